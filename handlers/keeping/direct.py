"""How a batch is kept straight in the database, without the spool: what it came from is its buffer.

One that the database refuses costs no other of its batch.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from handlers.database import LOCK_PATIENCE, refuses_row
from handlers.errors import DatabaseAway
from handlers.keeping.deliveries import Accepted, Entry, keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from handlers.database import Database

#: most deliveries of one transaction while somebody waits for each answer: on SQLite few, so that the write lock is
#: held for about 3 ms
MOST_ON_SQLITE = 32
MOST_ON_SERVER = 64
#: the same where nobody waits, on either: what the commit itself takes, some 5 ms of a disk, is shared by more. On
#: SQLite others wait for the write lock about 3 ms longer than by 32
_MOST_PULLED = 128


class DirectKeeper:
    """One thread's own road into the database."""

    #: deliveries that should be kept together at the most
    most = _MOST_PULLED

    def __init__(self, database: Database, *, patience: float) -> None:
        """Take the database, and how many seconds it may take for a batch; connect to nothing yet."""
        self._database = database
        self._patience = patience
        self._connection: Connection | None = None

    def keep(self, entries: Sequence[Entry]) -> list[Accepted | Exception]:
        """Keep the entries in one transaction; return for each what became of it, or why the database refuses it.

        Raises DatabaseAway where nothing can be said of any of them; they may be kept nevertheless, and then the next
        try finds them.
        """
        try:
            return list(write_through(self._database, self._connected(), entries, self._patience))
        except DatabaseAway:
            self.close()
            raise
        except Exception as exc:  # noqa: BLE001 - whatever one entry meets must cost no other one
            if not isinstance(exc, DBAPIError):
                self.close()  # it may be the connection's fault
            if len(entries) == 1:
                return [exc]
            middle = len(entries) // 2
            return self.keep(entries[:middle]) + self.keep(entries[middle:])

    def close(self) -> None:
        """Let go of the connection; the next batch opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()
            with suppress(Exception):
                connection.close()

    def _connected(self) -> Connection:
        if self._connection is not None and self._database.has_moved():
            self.close()
        if self._connection is None:
            self._connection = self._database.connect(autocommit=not self._database.is_sqlite)
        return self._connection


def write_through(
    database: Database, connection: Connection, entries: Sequence[Entry], patience: float
) -> list[Accepted]:
    """Keep the entries in one transaction of a connection that the caller holds (see Database.connect).

    Raises DatabaseAway for whatever is not the entries' own fault.
    """
    try:
        if database.is_sqlite:
            with database.written_by(connection, patience, LOCK_PATIENCE):
                return keep(database, connection, entries)
        with database.answering(connection, patience):
            return keep(database, connection, entries)
    except DBAPIError as exc:
        if refuses_row(exc):
            raise
        # Whatever else is wrong, tables that are still missing included, is not the delivery's fault: it waits.
        raise DatabaseAway(str(exc.orig).strip()) from exc
