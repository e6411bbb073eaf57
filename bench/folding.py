"""How many deliveries a second one worker process reads and folds, with nothing else to do."""

from __future__ import annotations

import os
import time
from pathlib import Path
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


def measure(place: Place, plan: Plan) -> tuple[list[float], list[float]]:
    """Return deliveries per second, and per second of the worker's CPU, by round; all wait when it begins."""
    rates, by_cpu = [], []
    with place.opened() as database, worker(place) as crew:
        for _ in range(plan.fold_rounds):
            backlog.fill(database, plan.fold_deliveries)
            waiting = backlog.waiting(database)
            began, used = time.perf_counter(), _cpu_seconds(crew.process.pid)
            with crew.at_work():
                while backlog.waiting(database):
                    if time.perf_counter() - began > _STUCK:
                        raise RuntimeError("the worker does not get on; see worker.log")
                    time.sleep(0.02)
                took = time.perf_counter() - began
            rates.append(waiting / took)
            by_cpu.append(waiting / (_cpu_seconds(crew.process.pid) - used))
    return rates, by_cpu


def _cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tell(measured: tuple[list[float], list[float]]) -> None:
    """Print the rates."""
    rates, by_cpu = measured
    report.row("fold rate of one worker, events/s", report.spread(rates, 0), GOAL.verdict(median(rates)))
    report.row(
        "the same per second of its own CPU", report.spread(by_cpu, 0), "the database's and the disk's time aside"
    )
