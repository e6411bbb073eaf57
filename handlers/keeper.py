"""Where a verified delivery goes: into the database, or into the spool when the database does not answer.

The thread that answers a callback never connects and never waits long: it writes on a connection that a
background thread has opened. Once that fails, deliveries go to the spool until the background thread has the
database back; then it drains the spool, oldest first.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from handlers.database import KEEP_PATIENCE, LOCK_PATIENCE, means_away
from handlers.deliveries import Accepted, Entry, keep
from handlers.errors import DatabaseAway, StoreUnavailable
from handlers.group_commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from handlers.database import Database
    from handlers.spool import Spool

_log = logging.getLogger(__name__)

#: most deliveries in one transaction: on SQLite few, so that the write lock is held for about 3 ms
_MOST_ON_SQLITE = 32
_MOST_ON_SERVER = 64
#: seconds between two looks at the database and the spool
_LOOK = 0.25
#: most deliveries that one transaction moves from the spool
_DRAIN = 64


class Keeper:
    """The one road on which a process's deliveries become durable."""

    def __init__(self, database: Database, spool: Spool | None) -> None:
        """Take the database and the spool; without a spool, an absent database means 503."""
        self._database = database
        self._spool = spool
        self._connection: Connection | None = None
        most = _MOST_ON_SQLITE if database.is_sqlite else _MOST_ON_SERVER
        self._group: GroupCommit[Entry, Accepted] = GroupCommit(self._flush, most=most)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._tend, name="keeper", daemon=True)

    def start(self) -> None:
        """Connect, and look after the connection and the spool from now on."""
        self._reconnect()
        self._thread.start()

    def close(self) -> None:
        """Stop looking after them; what is spooled stays for the next start."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._disconnect()

    @property
    def is_away(self) -> bool:
        """Tell whether deliveries go to the spool now."""
        return self._connection is None

    def keep(self, entry: Entry) -> Accepted:
        """Make the entry durable; raise StoreUnavailable if neither database nor spool can be written."""
        return self._group.submit(entry)

    def _flush(self, entries: Sequence[Entry]) -> list[Accepted | Exception]:
        connection = self._connection
        if connection is None:
            return self._put_aside(entries, None)
        try:
            return list(self._write(connection, entries))
        except DatabaseAway as exc:
            _log.warning("the database is away, deliveries go to the spool: %s", exc)
            self._disconnect()
            self._wake.set()
            return self._put_aside(entries, None)
        except SQLAlchemyError as exc:
            return self._bisect(entries, exc)

    def _bisect(self, entries: Sequence[Entry], exc: Exception) -> list[Accepted | Exception]:
        """Find the entry that the database refuses; the others are kept, and it goes to the spool by itself."""
        if len(entries) == 1:
            problem = str(getattr(exc, "orig", exc)).strip()
            _log.error("the database refuses delivery %s: %s", entries[0].delivery.id, problem)
            return self._put_aside(entries, problem)
        middle = len(entries) // 2
        return self._flush(entries[:middle]) + self._flush(entries[middle:])

    def _write(self, connection: Connection, entries: Sequence[Entry]) -> list[Accepted]:
        try:
            if self._database.is_sqlite:
                with self._database.written_by(connection, KEEP_PATIENCE, LOCK_PATIENCE):
                    return keep(self._database, connection, entries)
            with self._database.answering(connection, KEEP_PATIENCE):
                return keep(self._database, connection, entries)
        except DBAPIError as exc:
            if means_away(exc):
                raise DatabaseAway(str(exc.orig)) from exc
            raise

    def _put_aside(self, entries: Sequence[Entry], problem: str | None) -> list[Accepted | Exception]:
        unavailable = StoreUnavailable("neither the database nor the spool can be written; try again")
        if self._spool is None:
            _log.error("the database is away and REELHOOK_SPOOL is off: %d deliveries not kept", len(entries))
            return [unavailable] * len(entries)
        try:
            self._spool.put([(entry, problem) for entry in entries])
        except (DatabaseAway, SQLAlchemyError, OSError) as exc:
            _log.error("neither the database nor the spool can be written: %s", exc)
            return [unavailable] * len(entries)
        return [Accepted(delivery=entry.delivery.id, is_spooled=True, quarantined=entry.reason) for entry in entries]

    def _tend(self) -> None:
        """Reconnect and drain, for ever; nothing that goes wrong here may end it."""
        while not self._stop.is_set():
            try:
                if self._connection is None:
                    self._reconnect()
                if self._connection is not None and self._spool is not None:
                    self._drain(self._spool)
            except Exception:  # noqa: BLE001 - a bug here must not end the keeping
                _log.exception("looking after the spool failed; it is tried again")
            self._wake.wait(_LOOK)
            self._wake.clear()

    def _reconnect(self) -> None:
        try:
            connection = self._database.connect(autocommit=not self._database.is_sqlite)
        except DatabaseAway as exc:
            _log.info("the database is still away: %s", exc)
        else:
            self._connection = connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()
            with suppress(Exception):
                connection.close()

    def _drain(self, spool: Spool) -> None:
        """Move what waits in the spool into the database, in order, until nothing waits."""
        while waiting := spool.waiting(_DRAIN):
            try:
                with spool.drained_by_one():
                    waiting = spool.waiting(_DRAIN)
                    if not waiting or not self._drain_some(spool, waiting):
                        return
            except DatabaseAway as exc:
                _log.info("the spool waits: %s", exc)
                return

    def _drain_some(self, spool: Spool, waiting: Sequence[tuple[int, Entry]]) -> bool:
        """Keep some entries and forget them; a crash in between only makes them their own repeats."""
        try:
            with self._database.write() as connection:
                keep(self._database, connection, [entry for _, entry in waiting])
        except SQLAlchemyError as exc:
            if len(waiting) == 1:
                problem = str(getattr(exc, "orig", exc)).strip()
                _log.error("the database refuses spooled delivery %s: %s", waiting[0][1].delivery.id, problem)
                spool.set_aside(waiting[0][0], problem)
                return True
            middle = len(waiting) // 2
            return self._drain_some(spool, waiting[:middle]) and self._drain_some(spool, waiting[middle:])
        spool.remove([number for number, _ in waiting])
        _log.info("%d deliveries moved from the spool into the database", len(waiting))
        return True
