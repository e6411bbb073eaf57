"""One line from a queue to the inbox: a thread that receives, and one that keeps and then deletes.

They overlap: while a batch is kept, the next is received. What has been received and not deleted is bounded, and
nothing is received while the database is away.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers import meters
from handlers.errors import DatabaseAway, QueueAway
from handlers.queues import MOST
from webhook.polling_rests import EmptyPolls, Rests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handlers.inbox.pulled import Intake, Pulled
    from handlers.keeping.direct import DirectKeeper
    from handlers.queues import Message, MessageQueue
    from handlers.queues.holding import Holding
    from handlers.settings import Queue
    from webhook.polling_notes import QueueNotes

_log = logging.getLogger("webhook.poller")

#: batches that a line holds at the most: one is kept, the next waits, a third is on its way
_BATCHES = 3
#: seconds between two looks at what else may have happened
_LOOK = 0.2
#: seconds of the longest rest while the database is away
_LONGEST_AWAY = 2.0
#: seconds in which a request that waits for nothing must be answered
ANSWER_PATIENCE = 10.0


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a line works with."""

    queue: Queue
    #: connects to the queue, for the thread that calls it; takes the seconds for one answer
    connect: Callable[[float], MessageQueue]
    #: makes the keeping thread's own way into the database, and the intake in front of it
    intake: Callable[[], tuple[Intake, DirectKeeper]]
    holding: Holding
    notes: QueueNotes
    #: set while the database answers, for all lines of the process
    database_answers: threading.Event
    stop: threading.Event


class Line:
    """Two threads at work."""

    def __init__(self, means: Means, number: int) -> None:
        """Take what to work with, and the line's number among those of its queue."""
        self._means = means
        self._room = threading.Semaphore(_BATCHES)
        self._waiting: deque[list[Message]] = deque()
        self._arrived = threading.Condition()
        self._ended = False
        name = f"{means.queue.name}-{number}"
        self._receiver = threading.Thread(target=self._receive, name=f"receive-{name}", daemon=True)
        self._keeper = threading.Thread(target=self._keep, name=f"keep-{name}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._receiver.start()
        self._keeper.start()

    def leave(self, until: float) -> None:
        """Wait for a receive that brings something now; `until` by time.monotonic(). Call it after the stop.

        One that goes on waiting for messages is left behind, and ends with the process.
        """
        self._receiver.join(max(0.0, until - time.monotonic()))

    def end(self, until: float) -> None:
        """Wait until what is held is kept and deleted, or given back; `until` by time.monotonic()."""
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()
        self._keeper.join(max(0.0, until - time.monotonic()))

    # --- receiving ---------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        means = self._means
        empty, rests = EmptyPolls(means.queue.wait_seconds), Rests()
        queue: MessageQueue | None = None
        while self._may_receive():
            began = time.monotonic()
            try:
                queue = queue or means.connect(means.queue.wait_seconds + ANSWER_PATIENCE)
                messages = queue.receive(means.queue.wait_seconds)
            except Exception as exc:  # noqa: BLE001 - the loop outlives whatever an SDK raises
                self._room.release()
                means.notes.trouble(_say(exc))
                _close(queue)
                queue = None  # the next one reads its secrets anew
                means.stop.wait(rests.next())
                continue
            rests.reset()
            means.notes.received(messages)
            if messages:
                empty.reset()
                self._arrive(messages)
            else:
                self._room.release()
                means.stop.wait(empty.rest(time.monotonic() - began))
        _close(queue)

    def _may_receive(self) -> bool:
        """Wait until there is room and the database answers, and take the room; False after the stop."""
        means = self._means
        while not means.stop.is_set():
            if means.database_answers.wait(_LOOK) and self._room.acquire(timeout=_LOOK):
                return True
        return False

    def _arrive(self, messages: list[Message]) -> None:
        """Hand a batch over; one that comes after the end is left to show itself again."""
        with self._arrived:
            if not self._ended:
                self._means.holding.hold(messages)
                self._waiting.append(messages)
                self._arrived.notify_all()

    # --- keeping -----------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        means = self._means
        intake, keeper = means.intake()
        deleting = _Deleting(means)
        while (taken := self._take(keeper.most)) is not None:
            messages = [one for batch in taken for one in batch]
            try:
                self._keep_some(intake, messages, deleting)
            except Exception:  # noqa: BLE001 - the loop outlives every bug; what it held comes again
                _log.exception("queue %s: %d messages met an error", means.queue.name, len(messages))
                means.holding.release(messages)
                means.stop.wait(_LOOK)
            for _ in taken:
                self._room.release()
        deleting.close()
        keeper.close()

    def _take(self, most: int) -> list[list[Message]] | None:
        """Wait for a batch, and take with it what else waits, up to `most` messages; None at the end."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._waiting or self._ended)
            if not self._waiting:
                return None
            taken = [self._waiting.popleft()]
            while self._waiting and sum(map(len, taken)) + len(self._waiting[0]) <= most:
                taken.append(self._waiting.popleft())
            return taken

    def _keep_some(self, intake: Intake, messages: Sequence[Message], deleting: _Deleting) -> None:
        good, done = intake.check(messages)
        done += self._keep_until_stopped(intake, good)
        ours = self._means.holding.release(messages)
        kept = {one.handle for one in done}
        deleting.delete([handle for handle, message in ours.items() if message.handle in kept])
        if self._means.stop.is_set():
            deleting.give_back([handle for handle, message in ours.items() if message.handle not in kept])

    def _keep_until_stopped(self, intake: Intake, pulled: Sequence[Pulled]) -> list[Message]:
        """Keep what is still ours, however long the database is away; return what may be deleted."""
        means, rests = self._means, Rests(_LONGEST_AWAY)
        left = list(pulled)
        while left:
            try:
                done = intake.keep(left)
            except DatabaseAway as exc:
                if means.database_answers.is_set():
                    _log.warning("the database is away, nothing is received until it answers: %s", exc)
                means.database_answers.clear()
                if means.stop.is_set():
                    return []
                means.stop.wait(rests.next())
                ours = {one.handle for one in means.holding.still([one.message for one in left])}
                left = [one for one in left if one.message.handle in ours]
                if left:
                    continue
                done = []
            means.database_answers.set()
            return done
        return []


class _Deleting:
    """The keeping thread's own connection to the queue."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._queue: MessageQueue | None = None

    def delete(self, handles: Sequence[str]) -> None:
        """Delete messages that are kept; those that can't be deleted come again, and are found kept."""
        notes, name = self._means.notes, self._means.queue.name
        for some in self._batches(handles):
            try:
                failed = self._connected().delete(some)
            except Exception as exc:  # noqa: BLE001 - whatever an SDK raises
                _log.warning("queue %s: %d kept messages are not deleted, they come again: %s", name, len(some), exc)
                self.close()
                notes.count(meters.QUEUE_DELETE_FAILED, len(some))
                continue
            notes.count(meters.QUEUE_DELETED, len(some) - len(failed))
            if failed:
                why = min(failed.values())
                _log.warning("queue %s: %d kept messages are not deleted: %s", name, len(failed), why)
                notes.count(meters.QUEUE_DELETE_FAILED, len(failed))

    def give_back(self, handles: Sequence[str]) -> None:
        """Let others have messages at once that we can't keep any more."""
        try:
            for some in self._batches(handles):
                self._connected().hide(some, 0)
        except Exception as exc:  # noqa: BLE001 - they come again by themselves, only later
            _log.info("queue %s: messages can't be given back: %s", self._means.queue.name, exc)

    def close(self) -> None:
        _close(self._queue)
        self._queue = None

    def _batches(self, handles: Sequence[str]) -> list[list[str]]:
        most = MOST[self._means.queue.kind]
        return [list(handles[start : start + most]) for start in range(0, len(handles), most)]

    def _connected(self) -> MessageQueue:
        if self._queue is None:
            self._queue = self._means.connect(ANSWER_PATIENCE)
        return self._queue


def _close(queue: MessageQueue | None) -> None:
    if queue is not None:
        queue.close()


def _say(exc: Exception) -> str:
    return str(exc) if isinstance(exc, QueueAway) else f"{type(exc).__name__}: {exc}"
