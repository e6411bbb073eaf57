"""The loops over what waits, deliveries and actions: when they look, how long they rest, how they outlive an outage."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from handlers.actions import Dispatcher
from handlers.calling import Caller
from handlers.clock import now_ms
from handlers.errors import DatabaseAway
from handlers.inbox.consequences import Planner
from handlers.inbox.processing import Processor
from handlers.inbox.rule_notes import last_text, last_version
from handlers.limits import Limits
from handlers.rules import RuleBook
from handlers.rules.known import known_of

if TYPE_CHECKING:
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
#: seconds between two looks at the file of rules
_REFRESH_EVERY = 1.0


class Worker:
    """One worker process."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        vendors: Mapping[str, Vendor],
        *,
        caller: Caller | None = None,
    ) -> None:
        """Take the database, what knows the accounts, what knows the vendors, and what makes the calls, or make one."""
        self._database = database
        self._book = RuleBook(settings.rules, known_of(settings), must_exist=settings.rules_named)
        self._planner = Planner(settings, self._book)
        self._processor = Processor(database, settings, vendors, planner=self._planner)
        self._limits = Limits(settings, vendors)
        self._caller = caller or Caller(database, settings, vendors)
        self._adopted_at = self._refreshed_at = float("-inf")
        self._watch = _Watch(database)
        #: what keeps the worker waiting: said once as long as it is the same
        self._noted: str | None = None
        #: of the rules that were said to be in force
        self._noted_version = ""

    def run(self, stop: threading.Event) -> None:
        """Process what waits and have calls made until `stop` is set, finishing what is in hand."""
        dispatcher = Dispatcher(self._database, self._caller.perform, pace=self._limits.interval_us)
        calls = threading.Thread(target=dispatcher.run, args=(stop,), name="dispatcher")
        calls.start()
        try:
            self._process(stop)
        finally:
            calls.join()
            self._caller.close()

    def _process(self, stop: threading.Event) -> None:
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
            self._planner.notes.flush(self._database, now=now_ms(), at_once=True)
            self._planner.notes.leave(self._database)
            self._processor.hand.put_down()

    def _round(self, stop: threading.Event) -> None:
        if time.monotonic() - self._adopted_at > _ADOPT_EVERY:
            self._processor.hand.adopt(now=now_ms())
            self._adopted_at = time.monotonic()
        self._refresh()
        if not self._book.standing.is_fit:
            # What is kept waits: processed without its rules, it would never be asked about again.
            stop.wait(_REST_WHILE_AWAY)
            self._planner.notes.flush(self._database, now=now_ms())
            return
        # Taken before the look, so that what is kept meanwhile is not slept over.
        version = self._watch.version()
        if self._processor.process() == 0:
            self._watch.rest(stop, version)
        self._processor.meters.flush(self._database)
        self._planner.notes.flush(self._database, now=now_ms())

    def _refresh(self) -> None:
        """Read the rules again where their file has changed, and say so."""
        if time.monotonic() - self._refreshed_at < _REFRESH_EVERY:
            return
        is_new = self._book.refresh() or self._refreshed_at == float("-inf")
        if self._book.wants_past:
            is_new |= self._remember()
        self._refreshed_at = time.monotonic()
        if is_new:
            self._tell_rules()

    def _remember(self) -> bool:
        """Take the rules of before, unless they were found to be wrong by now; tell whether anything is another now."""
        version = last_version(self._database)
        if version is not None and version == self._book.refused:
            return False
        return self._book.remember(last_text(self._database))

    def _tell_rules(self) -> None:
        standing = self._book.standing
        stays = "the rules that were in force stay in force" if standing.is_fit else "deliveries wait for its mending"
        for problem in self._book.shown_problems():
            _log.error("%s; %s", problem, stays)
        if standing.version and (standing.is_current or self._noted_version != standing.version):
            _log.info("rules in force: %d, version %s", len(standing.rules.all), standing.version)
        self._noted_version = standing.version


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
