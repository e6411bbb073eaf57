"""The loop over what waits: when it looks, how long it rests, how it outlives a database that goes away."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from handlers.clock import now_ms
from handlers.errors import DatabaseAway
from handlers.inbox.processing import Processor

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from handlers.database import Database
    from handlers.settings import Settings
    from handlers.vendor import Vendor

_log = logging.getLogger(__name__)

#: seconds between two looks at an idle inbox: on SQLite only at a number that says whether anything changed
_REST_ON_SQLITE = 0.02
_REST_ON_SERVER = 0.1
#: seconds after which the inbox is looked at even where nothing seems to have changed
_REST_AT_MOST = 1.0
#: seconds of rest while the database is away
_REST_WHILE_AWAY = 0.5
#: seconds between two looks for workers that died
_ADOPT_EVERY = 10.0


class Worker:
    """One worker process."""

    def __init__(self, database: Database, settings: Settings, vendors: Mapping[str, Vendor]) -> None:
        """Take the database, what knows the accounts, and what knows the vendors."""
        self._database = database
        self._processor = Processor(database, settings, vendors)
        self._adopted_at = float("-inf")
        self._watch = _Watch(database)
        #: what keeps the worker waiting: said once as long as it is the same
        self._noted: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Process what waits until `stop` is set, finishing the batch in hand."""
        while not stop.is_set():
            try:
                self._round(stop)
                self._noted = None
            except DatabaseAway as exc:
                if str(exc) != self._noted:
                    _log.warning("the database is away, the worker waits: %s", exc)
                self._noted = str(exc)
                self._watch.close()
                stop.wait(_REST_WHILE_AWAY)
            except Exception:  # noqa: BLE001 - the loop outlives every bug; each is logged
                _log.exception("the worker met an error; it goes on")
                self._watch.close()
                stop.wait(_REST_WHILE_AWAY)
        self._watch.close()
        with suppress(DatabaseAway):
            self._processor.meters.flush(self._database, at_once=True)
            self._processor.hand.put_down()

    def _round(self, stop: threading.Event) -> None:
        if time.monotonic() - self._adopted_at > _ADOPT_EVERY:
            self._processor.hand.adopt(now=now_ms())
            self._adopted_at = time.monotonic()
        # Taken before the look, so that what is kept meanwhile is not slept over.
        version = self._watch.version()
        if self._processor.process() == 0:
            self._watch.rest(stop, version)
        self._processor.meters.flush(self._database)


class _Watch:
    """How an idle worker notices that something was kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None

    def rest(self, stop: threading.Event, before: int) -> None:
        """Return when the version is no longer the one before the last look, or it is time to look anyway."""
        if not self._database.is_sqlite:
            stop.wait(_REST_ON_SERVER)
            return
        until = time.monotonic() + _REST_AT_MOST
        while not stop.wait(_REST_ON_SQLITE) and self.version() == before and time.monotonic() < until:
            pass

    def version(self) -> int:
        """Return a number that changes when another connection commits; a server has none, and gives 0."""
        if not self._database.is_sqlite:
            return 0
        if self._connection is None:
            self._connection = self._database.connect(autocommit=True)
        raw = self._connection.connection.driver_connection
        assert raw is not None, "a connection that is open has its driver's"  # noqa: S101 - an open connection
        return int(raw.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
