"""The pull doors: all configured queues, each with its threads, into the same inbox as what is pushed.

A message is deleted only once it is kept, and straight in the database: its queue is the buffer while that is away.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from handlers import meters
from handlers.inbox import Inbox
from handlers.inbox.pulled import Intake, Places, Source
from handlers.inbox.refusals import Refusals
from handlers.keeping.direct import DirectKeeper
from handlers.keeping.keeper import Keeper
from handlers.keeping.spool import Spool
from handlers.queues import connect
from handlers.queues.holding import Holding
from webhook.polling_line import ANSWER_PATIENCE, Line, Means
from webhook.polling_notes import PollingFigures, QueueNotes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.database import Database
    from handlers.queues import MessageQueue
    from handlers.settings import Account, Queue, Settings
    from handlers.vendor import Vendor

_log = logging.getLogger(__name__)

#: seconds that the database may take for a batch: nobody waits for an answer here, and a slow one is better than none
_KEEP_PATIENCE = 10.0
#: seconds after the stop in which receives may bring something, and in which all must be done: serve kills after 30
_LEAVE_PATIENCE = 1.0
_END_PATIENCE = 18.0
#: seconds that the last figures may take then
_TELL_PATIENCE = 3.0
#: seconds between two writes of the figures
_FLUSH = 1.0


class Poller:
    """All queues of one process."""

    def __init__(self, database: Database, settings: Settings, vendors: Mapping[str, Vendor]) -> None:
        """Take where to keep, what knows queues and accounts, and what knows the vendors; connect to nothing yet."""
        self._database = database
        self._settings = settings
        self._spool = Spool(settings.spool) if settings.spool else None
        # The inbox verifies here and keeps nothing: batches are kept by each line's own keeper.
        inbox = Inbox(settings, vendors, Keeper(database, None))
        self._places = Places(inbox=inbox, refusals=Refusals(database, vendors), spool=self._spool)
        self._figures = PollingFigures()
        self._database_answers = threading.Event()
        self._database_answers.set()

    def run(self, stop: threading.Event) -> None:
        """Receive, keep and delete until the stop; then finish what is held, or give it back."""
        self._places.refusals.start()
        lines: list[Line] = []
        holdings: list[Holding] = []
        for queue in self._settings.queues.values():
            holding, means = self._means(queue, stop)
            holdings.append(holding)
            lines.append(Line(means))
            _log.info("queue %s: %s %s is polled by %d threads", queue.name, queue.kind, queue.queue, queue.threads)
        for holding in holdings:
            holding.start()
        for line in lines:
            line.start()
        is_over = threading.Event()
        # A thread of its own, which may hang for long while the database does.
        telling = threading.Thread(target=self._tell, args=(is_over,), name="figures", daemon=True)
        telling.start()
        stop.wait()
        self._end(lines, holdings)
        is_over.set()
        telling.join(_TELL_PATIENCE)
        if self._spool is not None:
            self._spool.close()

    def _tell(self, is_over: threading.Event) -> None:
        while not is_over.wait(_FLUSH):
            self._figures.flush(self._database)
        self._figures.flush(self._database, at_once=True)

    def _end(self, lines: list[Line], holdings: list[Holding]) -> None:
        now = time.monotonic()
        for line in lines:
            line.leave(now + _LEAVE_PATIENCE)
        for line in lines:
            line.end(now + _END_PATIENCE)
        for holding in holdings:
            holding.close(max(0.0, now + _END_PATIENCE - time.monotonic()))
        self._places.refusals.close()

    def _means(self, queue: Queue, stop: threading.Event) -> tuple[Holding, Means]:
        notes = QueueNotes(queue.name, self._figures)
        source = Source(queue=queue, account=account_of(queue, self._settings), count=notes.count)

        def connected(patience: float) -> MessageQueue:
            return connect(queue, patience=patience)

        let_go = partial(notes.count, meters.QUEUE_LET_GO)
        holding = Holding(queue.name, partial(connected, ANSWER_PATIENCE), let_go)
        return holding, Means(
            queue=queue,
            connect=connected,
            intake=partial(Intake, source, self._places),
            keeper=partial(DirectKeeper, self._database, patience=_KEEP_PATIENCE),
            holding=holding,
            notes=notes,
            database_answers=self._database_answers,
            stop=stop,
        )


def account_of(queue: Queue, settings: Settings) -> Account:
    """Return the account that a queue names; settings have seen to it that there is one."""
    return next(account for account in settings.accounts.values() if account.name == queue.account)
