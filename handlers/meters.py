"""The workers' figures: counted in memory, added to the database about once a second, shown by every web process."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from handlers.drift import NO_NAME
from handlers.tables import meters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from handlers.database import Database

#: upper bounds, in seconds, of the classes into which the time from ack to catalogue falls
DELAY_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
PROCESSED = "processed"
QUARANTINED = "quarantined"
EVENTS = "events"
#: what of callbacks is not as documented, by vendor/word/what/field; no more than MOST_DRIFT fields are told apart
DRIFT = "drift"
MOST_DRIFT = 200
DELAY = "delay"
DELAY_SUM_MS = "delay_sum_ms"
#: what pollers count, by the queue's name in the settings
QUEUE_RECEIVED = "queue_received"
QUEUE_KEPT = "queue_kept"
QUEUE_REPEATS = "queue_repeats"
QUEUE_QUARANTINED = "queue_quarantined"
QUEUE_REFUSED = "queue_refused"
QUEUE_SET_ASIDE = "queue_set_aside"
QUEUE_DELETED = "queue_deleted"
QUEUE_DELETE_FAILED = "queue_delete_failed"
QUEUE_LET_GO = "queue_let_go"
QUEUE_EMPTY = "queue_empty"
#: what pollers note: 1 or 0, milliseconds UTC, milliseconds
QUEUE_UP = "queue_up"
QUEUE_RECEIVED_AT = "queue_received_at"
QUEUE_OLDEST_MS = "queue_oldest_ms"
_EVERY = 1.0


class Meters:
    """Counts that one worker adds to those of all workers."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._counts: Counter[tuple[str, str]] = Counter()
        self._notes: dict[tuple[str, str], int] = {}
        self._flushed = time.monotonic()

    def add(self, name: str, label: str, value: int = 1) -> None:
        """Count something under a name and a label, such as `aliyun/lessons`."""
        self._counts[name, label] += value

    def note(self, name: str, label: str, value: int) -> None:
        """Set a figure that is no count: whoever of all processes says it last is believed."""
        self._notes[name, label] = value

    def add_delay(self, milliseconds: int) -> None:
        """Count one delivery's time from ack to catalogue."""
        seconds = milliseconds / 1000
        bound = next((bound for bound in DELAY_BOUNDS if seconds <= bound), None)
        self._counts[DELAY, "+Inf" if bound is None else f"{bound:g}"] += 1
        self._counts[DELAY_SUM_MS, ""] += max(milliseconds, 0)

    def flush(self, database: Database, *, at_once: bool = False) -> None:
        """Add the counts to the database's if a second has gone by; raise DatabaseAway and keep them otherwise."""
        if not (self._counts or self._notes) or (not at_once and time.monotonic() - self._flushed < _EVERY):
            return
        with database.write() as connection:
            _merge(connection, _with_bounded_drift(connection, self._counts), is_sum=True)
            _merge(connection, self._notes, is_sum=False)
        self._counts.clear()
        self._notes.clear()
        self._flushed = time.monotonic()


def _with_bounded_drift(connection: Connection, counts: Mapping[tuple[str, str], int]) -> Mapping[tuple[str, str], int]:
    """Count what is one field too many under its vendor and word alone: names may be anybody's."""
    if not any(name == DRIFT for name, _ in counts):
        return counts
    known = set(connection.execute(select(meters.c.label).where(meters.c.name == DRIFT)).scalars())
    bounded: Counter[tuple[str, str]] = Counter()
    for (name, label), value in sorted(counts.items()):
        told = label
        if name == DRIFT and label not in known:
            told = label if len(known) < MOST_DRIFT else f"{label.rpartition('/')[0]}/{NO_NAME}"
            known.add(told)
        bounded[name, told] += value
    return bounded


def _merge(connection: Connection, figures: Mapping[tuple[str, str], int], *, is_sum: bool) -> None:
    if not figures:
        return
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(meters)
    new = meters.c.value + statement.excluded.value if is_sum else statement.excluded.value
    statement = statement.on_conflict_do_update(index_elements=[meters.c.name, meters.c.label], set_={"value": new})
    # Sorted: two processes that write the same rows take them in the same order, and can't deadlock.
    rows = [{"name": name, "label": label, "value": value} for (name, label), value in sorted(figures.items())]
    connection.execute(statement, rows)


def totals(connection: Connection) -> Iterable[tuple[str, str, int]]:
    """Return name, label and value of everything that all workers counted."""
    return [(row.name, row.label, row.value) for row in connection.execute(select(meters).order_by(meters.c.name))]
