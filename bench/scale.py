"""What a full catalogue costs: ingest with many rows there already, and the questions that the API asks."""

from __future__ import annotations

import random
import time
from statistics import median
from typing import TYPE_CHECKING

from bench import crowd, places, report
from bench.ingest import beside_a_busy_worker
from bench.stations import stations
from handlers import questions
from handlers.filters import RECORDINGS, Filters, Page, to_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from bench.places import Place
    from bench.plan import Plan

INGEST = report.at_least(0.5)
P50 = report.at_most(3)
P99 = report.at_most(50)
_FULL, _EMPTY = "full", "almost empty"
_CONNECTIONS = 64
_QUESTIONS = 200


def run(engine: str, count: int, root: Path, plan: Plan) -> None:
    """Fill one of two places with `count` recordings; print what ingest and questions cost there."""
    with places.made(engine, (_FULL, _EMPTY), root) as made:
        began = time.perf_counter()
        with made[_FULL].opened() as database:
            crowd.gather(database, count)
        report.row("rows made by SQL, s", f"{time.perf_counter() - began:,.0f}")
        _ask_all(made[_FULL], count)
        with stations(made) as found:
            rates: dict[str, list[float]] = {_FULL: [], _EMPTY: []}
            for _ in range(plan.rounds):
                for station in found:
                    figures, _folded = beside_a_busy_worker(station, _CONNECTIONS, plan.seconds)
                    rates[station.name].append(figures.rate)
    for name, told in rates.items():
        report.row(f"ingest, {name}, {_CONNECTIONS} connections, req/s", report.spread(told, 0))
    ratios = [full / empty for full, empty in zip(rates[_FULL], rates[_EMPTY], strict=True)]
    report.row(f"ingest {_FULL} ÷ {_EMPTY}", report.spread(ratios), INGEST.verdict(median(ratios)))


def _ask_all(place: Place, count: int) -> None:
    """Ask each question many times, of random rooms, tasks and depths; the questions take turns."""
    taken: dict[str, list[float]] = {name: [] for name in _asked(0)}
    with place.opened() as database:
        for _ in range(_QUESTIONS):
            for name, ask in _asked(random.randrange(count)).items():
                with database.read() as connection:
                    began = time.perf_counter()
                    ask(connection)
                    taken[name].append((time.perf_counter() - began) * 1000)
    for name, times in taken.items():
        times.sort()
        p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
        report.row(name, f"p50 {p50:,.1f} ms, p99 {p99:,.1f} ms", f"p50 {P50.verdict(p50)}; p99 {P99.verdict(p99)}")


def _asked(number: int) -> Mapping[str, Callable[[Connection], object]]:
    """Return the questions about the n-th recording and its neighbours, as the API asks them."""
    after = Page(cursor=to_cursor(RECORDINGS, crowd.recording(number)))
    some = Filters(app_id=(f"app{number % crowd.APPS}",))

    def listed(filters: Filters, page: Page) -> Callable[[Connection], object]:
        return lambda connection: questions.list_recordings(connection, filters, page)

    return {
        "newest page of 50": listed(Filters(), Page()),
        "page at a random depth": listed(Filters(), after),
        "page of an application, random depth": listed(some, after),
        "recordings of a room": listed(Filters(room_id=(crowd.room(number),)), Page()),
        "recordings of a task": listed(Filters(task_id=(crowd.task(number),)), Page()),
        "key prefix": listed(Filters(q=crowd.task(number)), Page()),
        "one recording with its sightings": lambda connection: questions.show_recording(
            connection, crowd.recording(number)
        ),
        "total of an application, capped": lambda connection: questions.total(connection, RECORDINGS, some),
    }
