"""Where a verified delivery goes: into the database, or into the spool when the database does not answer.

The thread that answers a callback never connects and never waits long: it writes on a connection that a
background thread has opened. Once that fails, deliveries go to the spool until the background thread has the
database back; then it drains the spool, oldest first.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from handlers.database import KEEP_PATIENCE, refuses_row
from handlers.errors import DatabaseAway, StoreUnavailable
from handlers.keeping.deliveries import Accepted, Entry, keep
from handlers.keeping.direct import MOST_ON_SERVER, MOST_ON_SQLITE, write_through
from handlers.keeping.group_commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from handlers.database import Database
    from handlers.keeping.spool import Spool

_log = logging.getLogger(__name__)

#: seconds between two looks at the database and the spool
_LOOK = 0.25
#: most deliveries that one transaction moves from the spool, and seconds that it may take
_DRAIN = 64
_DRAIN_PATIENCE = 10.0
#: seconds that a group may take before the next ones are spared the wait
_SLOW = 0.5


class Keeper:
    """The one road on which a process's deliveries become durable."""

    def __init__(self, database: Database, spool: Spool | None) -> None:
        """Take the database and the spool; without a spool, an absent database means 503."""
        self._database = database
        self._spool = spool
        self._connection: Connection | None = None
        most = MOST_ON_SQLITE if database.is_sqlite else MOST_ON_SERVER
        self._group: GroupCommit[Entry, Accepted] = GroupCommit(self._flush, most=most)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._noted: str | None = None
        self._thread = threading.Thread(target=self._tend, name="keeper", daemon=True)

    def start(self) -> None:
        """Connect, and look after the connection and the spool from now on."""
        try:
            self._reconnect()
        except DatabaseAway as exc:
            self._note(str(exc))
        self._thread.start()

    def close(self) -> None:
        """Stop looking after them; what is spooled stays for the next start."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._disconnect()

    def keep(self, entry: Entry) -> Accepted:
        """Make the entry durable; raise StoreUnavailable if neither database nor spool can be written."""
        return self._group.submit(entry)

    def _flush(self, entries: Sequence[Entry]) -> list[Accepted | Exception]:
        connection = self._connection
        if connection is None:
            return self._put_aside(entries, None)
        began = time.monotonic()
        try:
            results: list[Accepted | Exception] = list(
                write_through(self._database, connection, entries, KEEP_PATIENCE)
            )
        except DatabaseAway as exc:
            self._leave(f"the database is away: {exc}")
            return self._put_aside(entries, None)
        except Exception as exc:  # noqa: BLE001 - whatever one entry meets must cost no other one
            return self._bisect(entries, exc)
        if self._spool is not None and (took := time.monotonic() - began) > _SLOW:
            # Those that wait behind this group would wait as long again, and those behind them longer.
            self._leave(f"the database took {took:.1f} s for {len(entries)} deliveries")
        return results

    def _leave(self, why: str) -> None:
        """Take the road through the spool until the background thread finds the database quick again."""
        _log.warning("deliveries go to the spool: %s", why)
        self._disconnect()
        self._wake.set()

    def _bisect(self, entries: Sequence[Entry], exc: Exception) -> list[Accepted | Exception]:
        """Find the entry that the database refuses; the others are kept, and it goes to the spool by itself."""
        if len(entries) == 1:
            problem = str(getattr(exc, "orig", exc)).strip()
            _log.error("the database refuses delivery %s: %s", entries[0].delivery.id, problem)
            return self._put_aside(entries, problem)
        middle = len(entries) // 2
        return self._flush(entries[:middle]) + self._flush(entries[middle:])

    def _put_aside(self, entries: Sequence[Entry], problem: str | None) -> list[Accepted | Exception]:
        unavailable = StoreUnavailable(
            "this callback was not kept: neither database nor spool can be written now; send it again"
        )
        if self._spool is None:
            _log.error("the database is away and REELHOOK_SPOOL is off: %d deliveries not kept", len(entries))
            return [unavailable] * len(entries)
        try:
            self._spool.put([(entry, problem) for entry in entries])
        except Exception as exc:  # noqa: BLE001 - whatever it is, each of them must get an answer
            _log.error("neither the database nor the spool can be written: %s", exc)
            return [unavailable] * len(entries)
        return [Accepted(delivery=entry.delivery.id, is_spooled=True, quarantined=entry.reason) for entry in entries]

    def _tend(self) -> None:
        """Reconnect and drain, for ever; nothing that goes wrong here may end it."""
        while not self._stop.is_set():
            try:
                if self._connection is not None and self._database.has_moved():
                    self._leave("the database's file was moved or replaced")
                if self._spool is not None:
                    self._drain(self._spool)
                if self._connection is None:
                    self._reconnect()
                self._note(None)
            except DatabaseAway as exc:
                self._note(str(exc))
            except Exception as exc:  # noqa: BLE001 - a bug here must not end the keeping
                self._note(f"{type(exc).__name__}: {exc}", exc)
            self._wake.wait(_LOOK)
            self._wake.clear()

    def _note(self, problem: str | None, exc: Exception | None = None) -> None:
        """Log what keeps the spool from draining, once as long as it is the same."""
        if problem is not None and problem != self._noted:
            _log.warning("database and spool are looked at again and again: %s", problem, exc_info=exc)
        self._noted = problem

    def _reconnect(self) -> None:
        if self._database.is_sqlite:
            # Tried out in here: behind a holder that is frozen, each callback would wait its whole patience anew.
            with self._database.write():
                pass
        self._connection = self._database.connect(autocommit=not self._database.is_sqlite)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()
            with suppress(Exception):
                connection.close()

    def _drain(self, spool: Spool) -> None:
        """Move what waits in the spool into the database, in order, until nothing waits."""
        if not spool.waiting(1):
            return
        with ExitStack() as held:
            try:
                held.enter_context(spool.drained_by_one())
            except DatabaseAway:
                return  # another process of this machine is at it
            while not self._stop.is_set() and (waiting := spool.waiting(_DRAIN)):
                self._drain_some(spool, waiting)

    def _drain_some(self, spool: Spool, waiting: Sequence[tuple[int, Entry]]) -> None:
        """Keep some entries and forget them; after a crash in between they are found kept already, under their ids."""
        try:
            self._keep_spooled([entry for _, entry in waiting])
        except DatabaseAway:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever one entry meets must not stop those behind it
            if len(waiting) > 1:
                middle = len(waiting) // 2
                self._drain_some(spool, waiting[:middle])
                self._drain_some(spool, waiting[middle:])
                return
            problem = str(getattr(exc, "orig", exc)).strip()
            _log.error("the database refuses spooled delivery %s: %s", waiting[0][1].delivery.id, problem)
            spool.set_aside(waiting[0][0], problem)
            return
        spool.remove([number for number, _ in waiting])
        _log.info("%d deliveries moved from the spool into the database", len(waiting))

    def _keep_spooled(self, entries: Sequence[Entry]) -> None:
        try:
            with self._database.write(patience=_DRAIN_PATIENCE) as connection:
                keep(self._database, connection, entries)
        except DBAPIError as exc:
            if refuses_row(exc):
                raise
            raise DatabaseAway(str(exc.orig).strip()) from exc
