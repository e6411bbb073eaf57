"""Where deliveries wait while the database is away: a SQLite file of this machine, as durable as the database."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
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
from sqlalchemy.exc import SQLAlchemyError

from handlers.database import Database
from handlers.errors import DatabaseAway
from handlers.keeping.deliveries import Entry, row_of, to_delivery
from handlers.write_lock import WriteLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection

metadata = MetaData()

#: seconds that a process waits for another one that makes the file
_MAKING_PATIENCE = 2.0
#: bytes of bodies after which a batch is large enough
_BATCH_BYTES = 4 * 1024 * 1024

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
    """The deliveries that a machine holds for its database; every method raises DatabaseAway if the file is no use."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is made on first use."""
        self.path = path
        self._database = Database(f"sqlite:///{path}", pool_size=2)
        self._drain_lock = WriteLock(path.with_name(path.name + ".drain"))
        self._making_lock = WriteLock(path.with_name(path.name + ".making"))
        self._made: tuple[int, int] | None = None

    def put(self, entries: Sequence[tuple[Entry, str | None]]) -> None:
        """Keep the entries, each with the problem that the database has with it, in one durable transaction."""
        with self._written() as connection:
            connection.execute(insert(spooled), [_row(entry, problem) for entry, problem in entries])

    def waiting(self, most: int) -> list[tuple[int, Entry]]:
        """Return the oldest entries that have no problem, with their numbers: `most`, or fewer large ones."""
        if not self._is_there():
            return []
        query = select(spooled).where(spooled.c.problem.is_(None)).order_by(spooled.c.number).limit(most)
        found: list[tuple[int, Entry]] = []
        size = 0
        with self._read() as connection:
            for row in connection.execute(query).mappings():
                found.append((row["number"], _entry(row)))
                size += len(row["body"])
                if size > _BATCH_BYTES:
                    break
        return found

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget entries that the database has kept."""
        with self._written() as connection:
            connection.execute(delete(spooled).where(spooled.c.number.in_(numbers)))

    def set_aside(self, number: int, problem: str) -> None:
        """Keep an entry that the database refuses out of the others' way."""
        with self._written() as connection:
            connection.execute(update(spooled).where(spooled.c.number == number).values(problem=problem))

    def retry(self) -> int:
        """Put the entries that were set aside back in line; return how many."""
        with self._written() as connection:
            query = update(spooled).where(spooled.c.problem.is_not(None)).values(problem=None)
            return connection.execute(query).rowcount

    def depth(self) -> tuple[int, int]:
        """Return how many entries wait, and how many the database refused."""
        if not self._is_there():
            return (0, 0)
        query = select(func.count(), func.count(spooled.c.problem)).select_from(spooled)
        with self._read() as connection:
            every, refused = connection.execute(query).one()
        return (every - refused, refused)

    def drained_by_one(self) -> AbstractContextManager[None]:
        """Hold the right to drain, which one process of the machine has; raise DatabaseAway if another holds it."""
        return self._drain_lock.held(0.01)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def _written(self) -> Iterator[Connection]:
        with self._usable(), self._database.write() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._usable(), self._database.read() as connection:
            yield connection

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Open the file; say what to do where it is damaged, which no waiting mends."""
        name = self.path.name
        try:
            self._open()
            yield
        except DatabaseAway as exc:
            raise self._useless(getattr(exc.__cause__, "orig", exc)) from exc
        except OSError as exc:
            raise self._useless(exc.strerror) from exc
        except SQLAlchemyError as exc:
            raise self._useless(
                f"{getattr(exc, 'orig', exc)}; move {name}, {name}-wal and {name}-shm away, for its deliveries may be "
                "saved from there, and a new one is made"
            ) from exc

    def _useless(self, why: object) -> DatabaseAway:
        return DatabaseAway(f"the spool {self.path.name} can't be used: {why}")

    def _is_there(self) -> bool:
        try:
            return self.path.exists()
        except OSError as exc:
            raise self._useless(exc.strerror) from exc

    def _open(self) -> None:
        """Make the file if need be; if it was moved away, let go of it."""
        if self._is_made():
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One process at a time: SQLite says "disk I/O error" where two put a new file into WAL mode at once, and the
        # processes of a machine do so in the same moment, when their database goes away.
        with self._making_lock.held(_MAKING_PATIENCE):
            if not self._is_made():
                self._make()

    def _is_made(self) -> bool:
        return self._made is not None and self._made == _identity(self.path)

    def _make(self) -> None:
        self._database.close()
        # Ours alone from its first moment on: SQLite gives its other files the same mode.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with self._database.write() as connection:
            metadata.create_all(connection)
        self._made = _identity(self.path)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino)


def _row(entry: Entry, problem: str | None) -> dict[str, Any]:
    return row_of(entry.delivery) | {
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
