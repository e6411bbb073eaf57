"""The line from a queue to the inbox: threads that receive and verify, and as many that keep and delete.

They overlap: while some is kept, more is received and what was kept before is deleted. One keeps at a time: what
gathers meanwhile shares the next transaction. What has been received and not deleted is bounded, and nothing is
received while the database is away.
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

#: transactions' worth of messages that a line holds at the most for each of its threads: one is kept, the next gathers
_TRANSACTIONS = 2
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
    #: verifies, and keeps on the keeper, which is the line's own way into the database
    intake: Callable[[DirectKeeper], Intake]
    keeper: Callable[[], DirectKeeper]
    holding: Holding
    notes: QueueNotes
    #: set while the database answers, for all queues of the process
    database_answers: threading.Event
    stop: threading.Event


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """What one receive brought, as far as it has come."""

    messages: Sequence[Message]
    good: Sequence[Pulled] = ()
    #: what may be deleted
    done: Sequence[Message] = ()


class _Box:
    """Where batches wait for a thread that keeps."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._batches: deque[_Batch] = deque()
        self._is_ended = False

    def put(self, batch: _Batch) -> None:
        with self._changed:
            self._batches.append(batch)
            self._changed.notify()

    def take(self, most: int) -> list[_Batch]:
        """Wait for a batch, and take with it what else waits, up to `most` messages; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._batches or self._is_ended)
            taken: list[_Batch] = []
            size = 0
            while self._batches and (not taken or size + len(self._batches[0].messages) <= most):
                size += len(self._batches[0].messages)
                taken.append(self._batches.popleft())
            return taken

    def end(self) -> None:
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()


class Line:
    """The threads of one queue at work."""

    def __init__(self, means: Means) -> None:
        """Take what to work with; connect to nothing yet."""
        self._means = means
        self._verified = _Box()
        self._keeping = threading.Lock()
        self._is_over = threading.Event()
        # One for all: whoever keeps in turns by connections of their own reads anew, each time, what the others wrote.
        self._keeper = means.keeper()
        self._intake = means.intake(self._keeper)
        threads, batches = means.queue.threads, _TRANSACTIONS * self._keeper.most // MOST[means.queue.kind]
        self._room = threading.Semaphore(threads * batches)
        self._receiving = [self._thread("receive", number, self._receive) for number in range(threads)]
        self._settling = [self._thread("settle", number, self._settle) for number in range(threads)]

    def _thread(self, what: str, number: int, run: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=run, name=f"{what}-{self._means.queue.name}-{number}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        for thread in (*self._receiving, *self._settling):
            thread.start()

    def leave(self, until: float) -> None:
        """Wait for receives that bring something now; `until` by time.monotonic(). Call it after the stop.

        One that goes on waiting for messages is left behind, and ends with the process.
        """
        for thread in self._receiving:
            thread.join(max(0.0, until - time.monotonic()))

    def end(self, until: float) -> None:
        """Wait until what is held is kept and deleted, or given back; `until` by time.monotonic()."""
        self._is_over.set()
        self._verified.end()
        for thread in self._settling:
            thread.join(max(0.0, until - time.monotonic()))

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

    def _arrive(self, messages: Sequence[Message]) -> None:
        """Hand a batch over; one that comes when all is over is left to show itself again."""
        if self._is_over.is_set():
            return
        self._means.holding.hold(messages)
        try:
            good, done = self._intake.check(messages)
        except Exception:  # noqa: BLE001 - the loop outlives every bug
            self._forget(messages)
            self._room.release()
        else:
            self._verified.put(_Batch(messages=messages, good=good, done=done))

    def _forget(self, messages: Sequence[Message]) -> None:
        """Leave messages that a bug of ours met: they come again."""
        _log.exception("queue %s: %d messages met an error", self._means.queue.name, len(messages))
        self._means.holding.release(messages)

    # --- keeping and deleting ----------------------------------------------------------------------------------------

    def _settle(self) -> None:
        means = self._means
        deleting = _Deleting(means)
        while kept := self._take_and_keep():
            taken, done = kept
            ours = means.holding.release([one for batch in taken for one in batch.messages])
            deleting.delete([handle for handle, message in ours.items() if message.handle in done])
            if means.stop.is_set():
                deleting.give_back([handle for handle, message in ours.items() if message.handle not in done])
            for _ in taken:
                self._room.release()
        deleting.close()
        with self._keeping:
            self._keeper.close()

    def _take_and_keep(self) -> tuple[Sequence[_Batch], set[str]] | None:
        """Wait for batches and keep them; return them and the handles of what may be deleted, None at the end."""
        with self._keeping:  # while one waits or keeps, nobody wakes the others
            taken = self._verified.take(self._keeper.most)
            if not taken:
                return None
            done = self._keep([one for batch in taken for one in batch.good])
        return taken, done | {one.handle for batch in taken for one in batch.done}

    def _keep(self, good: Sequence[Pulled]) -> set[str]:
        """Keep messages; return the handles of those that may be deleted."""
        try:
            return {one.handle for one in self._keep_until_stopped(good)}
        except Exception:  # noqa: BLE001 - the loop outlives every bug
            self._forget([one.message for one in good])
            self._means.database_answers.set()
            self._means.stop.wait(_LOOK)
            return set()

    def _keep_until_stopped(self, pulled: Sequence[Pulled]) -> list[Message]:
        """Keep what is still ours, however long the database is away; return what may be deleted."""
        means, rests = self._means, Rests(_LONGEST_AWAY)
        left = list(pulled)
        while left and not self._is_hopeless():
            try:
                done = self._intake.keep(left)
            except DatabaseAway as exc:
                if means.database_answers.is_set():
                    _log.warning("the database is away, nothing is received until it answers: %s", exc)
                means.database_answers.clear()
                means.stop.wait(rests.next())
                ours = {one.handle for one in means.holding.still([one.message for one in left])}
                left = [one for one in left if one.message.handle in ours]
                if not left:  # nobody would notice that it answers again: what is received next tells
                    means.database_answers.set()
                continue
            means.database_answers.set()
            return done
        return []

    def _is_hopeless(self) -> bool:
        """Tell that the database was away when the stop came: what is held is given back, and not waited with."""
        return self._means.stop.is_set() and not self._means.database_answers.is_set()


class _Deleting:
    """A settling thread's own connection to the queue."""

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
