"""How calls are planned for a trial: by the code that plans live ones, in a database that is thrown away.

Each plan is made at the time at which its delivery was received, and its calls count as made at once: how long they
would have waited for each other nobody knows. So once-keys, limits and names of tasks hold as they would have, and
what is over when it is planned ends cancelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event, text, tuple_

from handlers import tables
from handlers.actions import plan
from handlers.actions.names import COUNTS
from handlers.ids import first_id
from handlers.inbox.consequences import covers
from handlers.rows import fetch, insert
from handlers.tables.metadata import metadata

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from handlers.actions import Planned
    from handlers.database import Database

_TABLES: Final = (tables.actions, tables.attempts, tables.once_keys, tables.name_givers, tables.identifiers)
#: of the indexes, those that planning needs
_INDEXES: Final = frozenset(
    {"actions_once", "actions_rule", "actions_bound", "actions_head", "actions_waiting", "actions_run"}
)
_PRAGMAS: Final = ("journal_mode=OFF", "synchronous=OFF", "cache_size=-65536", "temp_store=FILE")
#: where the random part of an id begins: before it stands its time
_TIME_ENDS: Final = 14
_END: Final = text(
    "UPDATE actions SET id = :time || substr(id, :begins), after = :time || substr(after, :begins),"
    " stage = 'over', is_head = false WHERE rowid > :last"
)
_GIVE: Final = text(
    "UPDATE name_givers SET action = :time || substr(action, :begins)"
    " WHERE action IN (SELECT id FROM actions WHERE rowid > :last)"
)
_LAST: Final = text("SELECT max(rowid) FROM actions")


class Trial:
    """One version of the rules, and what it would have planned."""

    def __init__(self, folder: Path, name: str, live: Database) -> None:
        """Make an empty database in a folder; the identifiers that calls name are looked up in the live one."""
        self.path = folder / f"{name}.db"
        self._live = live
        self._engine = create_engine(f"sqlite:///{self.path}")
        event.listen(self._engine, "connect", _prepare)
        self.connection: Connection = self._engine.connect()
        metadata.create_all(self.connection, tables=_TABLES)
        for table in _TABLES:
            for index in table.indexes:
                if index.name not in _INDEXES and table is tables.actions:
                    index.drop(self.connection)
        self._looked_up: set[tuple[str, str]] = set()

    def plan(self, planned: Sequence[Planned], over: Mapping[str, str], *, now: int) -> None:
        """Plan what one delivery asks for at a time, milliseconds UTC."""
        for one in planned:
            if one.named is not None:
                self._look_up(one.vendor, one.named.value)
        needed = {task: why for task, why in over.items() if any(one.task == task for one in planned)}
        last = self._last() if any(one.lane is not None or one.bounds or one.step for one in planned) else None
        plan(self.connection, planned, now=now, covers=covers, over=needed)
        if last is not None:
            self._be_done(planned, last, now)

    def _last(self) -> int:
        return int(self.connection.execute(_LAST).scalar() or 0)

    def _be_done(self, planned: Sequence[Planned], last: int, now: int) -> None:
        """Let what was planned since be over, with ids of its time: what looks at others goes by both."""
        values = {"time": first_id("act", now)[:_TIME_ENDS], "begins": _TIME_ENDS + 1, "last": last}
        if any(one.starts or one.named is not None for one in planned):
            self.connection.execute(_GIVE, values)
        self.connection.execute(_END, values)

    def take_over(self, rule: str) -> None:
        """Begin with what a rule has acted on already, and with the names that live calls gave."""
        for table, owned in ((tables.once_keys, tables.once_keys.c.rule == rule), (tables.name_givers, text(COUNTS))):
            for page in self._pages(table, owned):
                insert(self.connection, table, page)

    def rows(self, query: str) -> Iterator[Any]:
        """Yield the rows of a question about the calls, in the words of SQLite."""
        yield from self.connection.execute(text(query))

    def finish(self) -> None:
        """Be done with planning, so that others may look."""
        self.connection.commit()

    def attach(self, other: Trial, name: str) -> None:
        """Have the tables of another trial, which is done, at hand under this name."""
        self.connection.commit()
        self.connection.exec_driver_sql(f"ATTACH DATABASE ? AS {name}", (str(other.path),))

    def close(self) -> None:
        """Let go of the database."""
        self.connection.close()
        self._engine.dispose()

    def _look_up(self, vendor: str, name: str) -> None:
        """Have an identifier at hand, as the live catalogue knows it, to which a call gives another meaning."""
        if (vendor, name) in self._looked_up:
            return
        self._looked_up.add((vendor, name))
        with self._live.read() as connection:
            found = list(fetch(connection, tables.identifiers, ("vendor", "identifier"), [(vendor, name)]))
        insert(self.connection, tables.identifiers, found)

    def _pages(self, table: Any, owned: Any) -> Iterator[list[dict[str, Any]]]:  # noqa: ANN401 - a table and a condition
        keys = list(table.primary_key.columns)
        last: tuple[Any, ...] | None = None
        while True:
            query = table.select().order_by(*keys).limit(1000)
            query = query.where(owned)
            if last is not None:
                query = query.where(tuple_(*keys) > tuple_(*last))
            with self._live.read() as connection:
                page = [dict(row) for row in connection.execute(query).mappings()]
            if not page:
                return
            yield page
            last = tuple(page[-1][key.name] for key in keys)


def _prepare(raw: sqlite3.Connection, _record: object) -> None:
    for pragma in _PRAGMAS:
        raw.execute(f"PRAGMA {pragma}")
