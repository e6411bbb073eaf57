"""Where deliveries wait while the database is away: a SQLite file of this machine, as durable as the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from handlers.database import Database
from handlers.deliveries import Entry, pack_headers, to_delivery
from handlers.errors import DatabaseAway
from handlers.write_lock import WriteLock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

metadata = MetaData()

spooled = Table(
    "spooled",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("vendor", Text, nullable=False),
    Column("door", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("headers", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("keys", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    #: why the database refuses the row; it is passed over until someone asks for another try
    Column("problem", Text),
    Index("spooled_waiting", "problem", "number"),
    sqlite_autoincrement=True,
)


class Spool:
    """The deliveries that a machine holds for its database."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is made on first use."""
        self.path = path
        self._database = Database(f"sqlite:///{path}", pool_size=2)
        self._drain_lock = WriteLock(path.with_name(path.name + ".drain"))
        self._is_made = False

    def put(self, entries: Sequence[tuple[Entry, str | None]]) -> None:
        """Keep the entries, each with the problem that the database has with it, in one durable transaction.

        Raises DatabaseAway when the file can't be written.
        """
        self._make()
        with self._database.write() as connection:
            connection.execute(insert(spooled), [_row(entry, problem) for entry, problem in entries])

    def waiting(self, most: int) -> list[tuple[int, Entry]]:
        """Return the oldest entries that have no problem, with their numbers."""
        if not self.path.exists():
            return []
        self._make()
        query = select(spooled).where(spooled.c.problem.is_(None)).order_by(spooled.c.number).limit(most)
        with self._database.read() as connection:
            return [(row["number"], _entry(row)) for row in connection.execute(query).mappings()]

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget entries that the database has kept."""
        with self._database.write() as connection:
            connection.execute(delete(spooled).where(spooled.c.number.in_(numbers)))

    def set_aside(self, number: int, problem: str) -> None:
        """Keep an entry that the database refuses out of the others' way."""
        with self._database.write() as connection:
            connection.execute(update(spooled).where(spooled.c.number == number).values(problem=problem))

    def retry(self) -> int:
        """Put the entries that were set aside back in line; return how many."""
        self._make()
        with self._database.write() as connection:
            query = update(spooled).where(spooled.c.problem.is_not(None)).values(problem=None)
            return connection.execute(query).rowcount

    def depth(self) -> tuple[int, int]:
        """Return how many entries wait, and how many the database refused.

        Raises DatabaseAway when the file can't be read.
        """
        if not self.path.exists():
            return (0, 0)
        self._make()
        query = select(func.count(), func.count(spooled.c.problem)).select_from(spooled)
        with self._database.read() as connection:
            every, refused = connection.execute(query).one()
        return (every - refused, refused)

    def drained_by_one(self) -> AbstractContextManager[None]:
        """Hold the right to drain, which one process of the machine has; raise DatabaseAway if another holds it."""
        return self._drain_lock.held(0.01)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _make(self) -> None:
        if self._is_made and self.path.exists():
            return
        self._database.close()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise DatabaseAway(f"the spool's folder can't be made: {exc}") from exc
        with self._database.write() as connection:
            metadata.create_all(connection)
        self.path.chmod(0o600)
        self._is_made = True


def _row(entry: Entry, problem: str | None) -> dict[str, Any]:
    delivery = entry.delivery
    return {
        "id": delivery.id,
        "account": delivery.account,
        "vendor": delivery.vendor,
        "door": delivery.door,
        "received_at": delivery.received_at,
        "headers": pack_headers(delivery.headers),
        "body": delivery.body,
        "keys": json.dumps(entry.keys),
        "state": entry.state,
        "reason": entry.reason,
        "problem": problem,
    }


def _entry(row: Any) -> Entry:  # noqa: ANN401 - a row mapping
    return Entry(
        delivery=to_delivery(row),
        keys=tuple(json.loads(row["keys"])),
        state=row["state"],
        reason=row["reason"],
    )
