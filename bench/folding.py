"""How many deliveries a second one worker process reads and folds, with nothing else to do."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from bench import backlog, report
from bench.stations import worker

if TYPE_CHECKING:
    from bench.places import Place
    from bench.plan import Plan

GOAL = report.at_least(5_000)
#: seconds without progress after which a worker counts as stuck
_STUCK = 60.0


def measure(place: Place, plan: Plan) -> list[float]:
    """Return deliveries per second, by round; each waits in the inbox when the worker begins."""
    rates = []
    with place.opened() as database, worker(place) as crew:
        for _ in range(plan.fold_rounds):
            backlog.fill(database, plan.fold_deliveries)
            waiting = backlog.waiting(database)
            began = time.perf_counter()
            with crew.at_work():
                while backlog.waiting(database):
                    if time.perf_counter() - began > _STUCK:
                        raise RuntimeError("the worker does not get on; see worker.log")
                    time.sleep(0.02)
                took = time.perf_counter() - began
            rates.append(waiting / took)
    return rates


def tell(rates: list[float]) -> None:
    """Print the rate."""
    report.row("fold rate of one worker, events/s", report.spread(rates, 0), GOAL.verdict(median(rates)))
