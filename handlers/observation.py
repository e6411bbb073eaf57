"""What can be told of a running Reelhook from the outside: its database, migrations, spool, backlog, rules, actions.

Who asks for health asks again and again, with little patience, and most of all while the database is silent. So one
background look at a time is taken, however many ask, and nobody waits for it longer than a moment.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, replace
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from handlers import meters
from handlers.actions.figures import figures_of
from handlers.errors import DatabaseAway
from handlers.migrate import is_ready
from handlers.questions.backlog import Backlog, backlog
from handlers.questions.rules import rules_in_force

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.actions import Figures
    from handlers.database import Database
    from handlers.keeping.spool import Spool
    from handlers.questions.rules import InForce

_log = logging.getLogger(__name__)

#: seconds that the database may take for a look
_PATIENCE = 3.0
#: seconds that somebody who asks waits for it: probes give up after one
_MOMENT = 0.8
#: threads that wait for one look at the most
_WAITERS = 4


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One look."""

    #: None while the database does not answer
    backlog: Backlog | None
    #: None while the database does not answer
    is_migrated: bool | None
    #: deliveries that wait and that the database refuses; None if there is no spool, or it can't be used
    spool: tuple[int, int] | None
    #: name, label and value of what the workers counted
    totals: tuple[tuple[str, str, int], ...] = ()
    #: why the spool can't be used; None if it can, or there is none
    spool_problem: str | None = None
    #: None while the database does not answer, or its migrations are missing
    rules: InForce | None = None
    actions: Figures | None = None


class Observer:
    """Who looks, for all who ask in one process."""

    def __init__(self, database: Database, spool: Spool | None, clock: Callable[[], int]) -> None:
        """Take what is looked at; the clock gives milliseconds UTC."""
        self._database = database
        self._spool = spool
        self._clock = clock
        self._lock = Lock()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="observer")
        self._look: Future[Observation] | None = None
        self._began = 0.0
        self._waiters = BoundedSemaphore(_WAITERS)

    def look(self) -> Observation:
        """Return a look that was finished just now; what the database has to say is missing if it takes too long.

        Only a few threads wait, and only while the look is young: the others are for callbacks.
        """
        with self._lock:
            if self._look is None or self._look.done():
                self._began = time.monotonic()
                self._look = self._threads.submit(observe, self._database, self._spool, now=self._clock())
            look, left = self._look, self._began + _MOMENT - time.monotonic()
        if not self._waiters.acquire(timeout=0.01):
            return self._without_database()
        try:
            return look.result(timeout=max(left, 0))
        except Late:
            return self._without_database()
        finally:
            self._waiters.release()

    def _without_database(self) -> Observation:
        return _with_spool(Observation(backlog=None, is_migrated=None, spool=None), self._spool)


def observe(database: Database, spool: Spool | None, *, now: int) -> Observation:
    """Take one look, within a few seconds, whatever is broken; `now` in milliseconds UTC."""
    return _with_spool(_look(database, now), spool)


def _look(database: Database, now: int) -> Observation:
    try:
        with database.read(patience=_PATIENCE) as connection:
            if not is_ready(connection):
                return Observation(backlog=None, is_migrated=False, spool=None)
            return Observation(
                backlog=backlog(connection, now=now),
                is_migrated=True,
                spool=None,
                totals=tuple(meters.totals(connection)),
                rules=rules_in_force(connection, now=now),
                actions=figures_of(connection),
            )
    except (DatabaseAway, SQLAlchemyError) as exc:
        _log.info("the database could not be looked at: %s", exc)
        return Observation(backlog=None, is_migrated=None, spool=None)


def _with_spool(seen: Observation, spool: Spool | None) -> Observation:
    if spool is None:
        return seen
    try:
        return replace(seen, spool=spool.depth())
    except DatabaseAway as exc:
        return replace(seen, spool_problem=str(exc))
