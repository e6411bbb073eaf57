"""What a full catalogue costs: ingest with many rows there already, and the questions that the API asks."""

from __future__ import annotations

import random
import time
from statistics import median
from typing import TYPE_CHECKING

from sqlalchemy import event

from bench import crowd, places, report
from bench.ingest import beside_a_busy_worker
from bench.stations import stations
from handlers import questions
from handlers.questions.filters import RECORDINGS, Filters, Page, to_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sqlalchemy import Connection, Engine

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
    inside: dict[str, list[float]] = {name: [] for name in taken}
    with place.opened() as database:
        watch = _Statements(database.engine)
        for _ in range(_QUESTIONS):
            for name, ask in _asked(random.randrange(count)).items():
                with database.read() as connection:
                    watch.seconds, began = 0.0, time.perf_counter()
                    ask(connection)
                    taken[name].append((time.perf_counter() - began) * 1000)
                    inside[name].append(watch.seconds * 1000)
    for name, times in taken.items():
        _tell(name, sorted(times), sorted(inside[name]) if place.engine == places.POSTGRESQL else None)


def _tell(name: str, times: list[float], inside: list[float] | None) -> None:
    """Print a question; the goals are for the database's part, which on SQLite can't be told from the whole."""
    p50, p99 = (times[int(len(times) * part)] for part in (0.5, 0.99))
    figure = f"p50 {p50:,.1f} ms, p99 {p99:,.1f} ms"
    if inside is not None:
        p50, p99 = (inside[int(len(inside) * part)] for part in (0.5, 0.99))
        figure += f"; in the database {p50:,.1f}, {p99:,.1f}"
    report.row(name, figure, f"p50 {P50.verdict(p50)}; p99 {P99.verdict(p99)}")


class _Statements:
    """How long the statements of an engine took, until they had answered."""

    def __init__(self, engine: Engine) -> None:
        self.seconds = 0.0
        self._began = 0.0
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", self._end)

    def _begin(self, *_: object) -> None:
        self._began = time.perf_counter()

    def _end(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began


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
