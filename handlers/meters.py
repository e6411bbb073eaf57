"""The workers' figures: counted in memory, added to the database about once a second, shown by every web process."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from handlers.tables import meters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from handlers.database import Database

#: upper bounds, in seconds, of the classes into which the time from ack to catalogue falls
DELAY_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
PROCESSED = "processed"
QUARANTINED = "quarantined"
EVENTS = "events"
DELAY = "delay"
DELAY_SUM_MS = "delay_sum_ms"
_EVERY = 1.0


class Meters:
    """Counts that one worker adds to those of all workers."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._counts: Counter[tuple[str, str]] = Counter()
        self._flushed = time.monotonic()

    def add(self, name: str, label: str, value: int = 1) -> None:
        """Count something under a name and a label, such as `aliyun/lessons`."""
        self._counts[name, label] += value

    def add_delay(self, milliseconds: int) -> None:
        """Count one delivery's time from ack to catalogue."""
        seconds = milliseconds / 1000
        bound = next((bound for bound in DELAY_BOUNDS if seconds <= bound), None)
        self._counts[DELAY, "+Inf" if bound is None else f"{bound:g}"] += 1
        self._counts[DELAY_SUM_MS, ""] += max(milliseconds, 0)

    def flush(self, database: Database, *, at_once: bool = False) -> None:
        """Add the counts to the database's if a second has gone by; raise DatabaseAway and keep them otherwise."""
        if not self._counts or (not at_once and time.monotonic() - self._flushed < _EVERY):
            return
        insert = sqlite.insert if database.is_sqlite else postgresql.insert
        statement = insert(meters)
        statement = statement.on_conflict_do_update(
            index_elements=[meters.c.name, meters.c.label],
            set_={"value": meters.c.value + statement.excluded.value},
        )
        counts = sorted(self._counts.items())
        rows = [{"name": name, "label": label, "value": value} for (name, label), value in counts]
        with database.write() as connection:
            connection.execute(statement, rows)
        self._counts.clear()
        self._flushed = time.monotonic()


def totals(connection: Connection) -> Iterable[tuple[str, str, int]]:
    """Return name, label and value of everything that all workers counted."""
    return [(row.name, row.label, row.value) for row in connection.execute(select(meters).order_by(meters.c.name))]
