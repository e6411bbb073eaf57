"""How long a claim takes, whatever waits or is in flight, and how near to a limit calls come."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from bench import report
from handlers import actions
from handlers.clock import now_ms
from handlers.operation import Outcome
from handlers.tables import actions as table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.places import Place
    from bench.plan import Plan
    from handlers.actions import Claimed, Planned
    from handlers.database import Database

IDLE_GOAL: Final = report.at_most(5)
GROWTH_GOAL: Final = report.at_most(3)
RATE_GOAL: Final = report.at_least(0.9)
_LANES: Final = 1_000
_CLAIM: Final = 16
_LIMIT: Final = 150
_SERIES: Final = {
    "sqlite": "WITH RECURSIVE k (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < :copies)",
    "postgresql": "WITH k (n) AS (SELECT * FROM generate_series(1, :copies))",
}


def measure(place: Place, plan: Plan) -> dict[str, list[float]]:
    """Return milliseconds of claims by what waits, and calls per second against the limit."""
    found: dict[str, list[float]] = {}
    with place.opened() as database:
        for waiting in plan.actions_waiting:
            _fill(database, waiting)
            found[f"claim of {_CLAIM} among {waiting:,}"] = _claims(database, plan.action_rounds)
            found[f"idle claim, {_LANES:,} heads of {waiting:,} in flight"] = _idle_claims(database, plan.action_rounds)
        _empty(database)
        found["rate"] = _rate(database, plan.action_calls)
    return found


def tell(measured: dict[str, list[float]]) -> None:
    """Print them; claims grow with what waits by the ratio of the last to the first."""
    for name, values in measured.items():
        if name.startswith("claim"):
            report.row(f"{name}, ms", report.spread(values, 2))
        elif name.startswith("idle"):
            report.row(f"{name}, ms", report.spread(values, 2), IDLE_GOAL.verdict(median(values)))
    claims = [median(values) for name, values in measured.items() if name.startswith("claim")]
    report.row(
        "claim among most / among fewest", f"{claims[-1] / claims[0]:.2f}", GROWTH_GOAL.verdict(claims[-1] / claims[0])
    )
    rate, busiest = measured["rate"]
    report.row(f"calls/s to an API with a limit of {_LIMIT}, / limit", f"{rate:.3f}", RATE_GOAL.verdict(rate))
    report.row(
        "most calls in any second", f"{busiest:.0f}", "within the limit" if busiest <= _LIMIT else "OVER THE LIMIT"
    )


def _call(number: int) -> Planned:
    return actions.Planned(
        rule="bench",
        subject=f"seg_{number}",
        change="segment.created",
        operation="volcengine.update_segment",
        vendor="volcengine",
        account="bench",
        lane=f"volcengine/{number % _LANES}",
        parameters={"Duration": 20},
        at=number,
        delivery=f"dlv_{number}",
        is_repeatable=True,
    )


def _empty(database: Database) -> None:
    with database.write(patience=600) as connection:
        connection.execute(text("DELETE FROM actions"))
        connection.execute(text("DELETE FROM attempts"))


def _fill(database: Database, waiting: int) -> None:
    """Plan one action in each lane, and let so many copies wait behind them."""
    _empty(database)
    with database.write() as connection:
        actions.plan(connection, [_call(number) for number in range(_LANES)], now=now_ms())
    changed = {
        "id": "a.id || '-' || k.n",
        "subject": "a.subject || '-' || k.n",
        "turn": "a.turn || '-' || k.n",
        "stage": "'waiting'",
        "is_head": "false",
    }
    names = table.c.keys()
    values = ", ".join(changed.get(name, f"a.{name}") for name in names)
    engine = "sqlite" if database.is_sqlite else "postgresql"
    with database.write(patience=600) as connection:
        copy = (
            f"INSERT INTO actions ({', '.join(names)}) {_SERIES[engine]} SELECT {values} FROM actions AS a CROSS JOIN k"  # noqa: S608 - names only
        )
        connection.execute(text(copy), {"copies": waiting // _LANES - 1})
        if not database.is_sqlite:  # there a server does so by itself, by and by; SQLite never does
            connection.execute(text("ANALYZE actions"))


def _claims(database: Database, rounds: int) -> list[float]:
    """Claim and settle, round after round; return the milliseconds of the claims."""
    return [took for took, taken in (_timed(database, _CLAIM) for _ in range(rounds)) if _settled(database, taken)]


def _idle_claims(database: Database, rounds: int) -> list[float]:
    """Take every head in hand, look for more, and give all back."""
    held: list[Claimed] = []
    while taken := actions.claim(database, "wrk_bench", _LANES):
        held += taken
    found = [_timed(database, _CLAIM)[0] for _ in range(rounds)]
    for start in range(0, len(held), 100):
        actions.give_back(database, held[start : start + 100])
    return found


def _timed(database: Database, most: int) -> tuple[float, Sequence[Claimed]]:
    began = time.perf_counter()
    taken = actions.claim(database, "wrk_bench", most)
    return (time.perf_counter() - began) * 1000, taken


def _settled(database: Database, taken: Sequence[Claimed]) -> bool:
    actions.begin(database, [actions.Begin(claimed=one) for one in taken])
    done = Outcome(verdict="done")
    told = actions.settle(database, [actions.Settle(claimed=one, outcome=done) for one in taken])
    if set(told) != {"done"}:
        raise RuntimeError("actions could not be settled")
    return True


def _rate(database: Database, calls: int) -> list[float]:
    """Make calls below a limit; return their rate by the limit, and the most calls in any second."""
    made: list[float] = []

    def perform(_claimed: Claimed, start: Callable[[str], None]) -> actions.Performed:
        start("POST /")
        made.append(time.monotonic())
        time.sleep(0.02)
        return actions.Performed(outcome=Outcome(verdict="done"))

    planned = [_limited(number) for number in range(calls)]
    for first in range(0, calls, 32):
        with database.write() as connection:
            actions.plan(connection, planned[first : first + 32], now=now_ms())
    stop = threading.Event()
    thread = threading.Thread(target=actions.Dispatcher(database, perform).run, args=(stop,))
    thread.start()
    until = time.monotonic() + 5 * calls / _LIMIT
    while len(made) < calls and time.monotonic() < until:
        time.sleep(0.05)
    stop.set()
    thread.join()
    made.sort()
    if len(made) < calls:
        raise RuntimeError(f"only {len(made)} of {calls} calls were made in time")
    apart = sum(later - earlier for earlier, later in pairwise(made))
    return [(calls - 1) / apart / _LIMIT, max(sum(first <= at < first + 1 for at in made) for first in made)]


def _limited(number: int) -> Planned:
    return replace(
        _call(number), quota="bench", api="UpdateSegment", limit=float(_LIMIT), lane=f"volcengine/{number % 50}"
    )
