"""How a queue behaves: what is visible when, which handle is valid, and when a message is gone.

Times are milliseconds of the clock that the queue is given, so a test can let hours pass at once. Only a long poll
waits in real time; `Queue.wake` makes it look again after a clock was moved by hand.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import heapq
import re
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from standin.mns.attributes import in_range
from standin.mns.errors import MnsError, message_not_exist, queue_not_exist
from standin.mns.message import Message, Received, seen

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from standin.mns.attributes import Attributes
    from standin.mns.message import Draft, Peeked

_HANDLE = re.compile(rb"[0-9]+(-[0-9]+){3}")


class Queue:
    """One queue. All methods may be called from any thread."""

    def __init__(self, name: str, attributes: Attributes, *, clock: Callable[[], int], rng: random.Random) -> None:
        """Make an empty queue whose time is `clock()` in milliseconds and whose ids come from `rng`."""
        self.name = name
        self.attributes = attributes
        self.created_at = self.modified_at = clock()
        #: what became of messages: sent, received, deleted, expired
        self.tally: Counter[str] = Counter()
        #: polls that wait for a message now
        self.waiting = 0
        self._clock = clock
        self._rng = rng
        self._changed = threading.Condition(threading.Lock())
        self._closed = False
        self._serial = 0
        self._moves = 0
        #: in order of enqueueing, for expiry; the dead are dropped late
        self._all: deque[Message] = deque()
        self._ready: list[tuple[int, int, Message]] = []
        #: (visible_at, move, message); out of date once the message's handle differs
        self._hidden: list[tuple[int, int, str, Message]] = []
        self._handles: dict[str, Message] = {}

    # --- in -----------------------------------------------------------------------------------------------------------
    def send(self, drafts: Sequence[Draft]) -> list[Message]:
        """Enqueue; a delayed message has a handle already, with which it can be deleted."""
        with self._changed:
            self._open()
            now = self._clock()
            sent = [self._enqueue(draft, now) for draft in drafts]
            self._changed.notify(len(sent))
        return sent

    def _enqueue(self, draft: Draft, now: int) -> Message:
        delay = self.attributes.delay_seconds if draft.delay_seconds is None else draft.delay_seconds
        self._serial += 1
        message = Message(
            serial=self._serial,
            message_id=f"{self._rng.getrandbits(64):016X}-1-{now:X}-{self._serial:09X}",
            body=draft.body,
            body_md5=hashlib.md5(draft.body.encode(), usedforsecurity=False).hexdigest().upper(),
            priority=draft.priority,
            enqueued_at=now,
            group_id=draft.group_id,
            properties=draft.properties,
            visible_at=now + delay * 1000,
        )
        self.tally["sent"] += 1
        self._all.append(message)
        if delay:
            self._hide(message, message.visible_at)
        else:
            heapq.heappush(self._ready, (message.priority, message.serial, message))
        return message

    def duplicate(self, received: Sequence[Received]) -> None:
        """Make the messages receivable once more, beside the ones handed out: what "at least once" allows."""
        with self._changed:
            for one in received:
                self._serial += 1
                copy = Message(
                    serial=self._serial,
                    message_id=one.message_id,
                    body=one.body,
                    body_md5=one.body_md5,
                    priority=one.priority,
                    enqueued_at=one.enqueued_at,
                    group_id=one.group_id,
                    properties=one.properties,
                    visible_at=0,
                    dequeue_count=one.dequeue_count,
                    first_dequeued_at=one.first_dequeued_at,
                )
                self._all.append(copy)
                heapq.heappush(self._ready, (copy.priority, copy.serial, copy))
            self._changed.notify(len(received))

    # --- out ----------------------------------------------------------------------------------------------------------
    def receive(
        self,
        count: int = 1,
        *,
        wait_seconds: float = 0,
        shorten: Callable[[int], int] | None = None,
        there: Callable[[], bool] = lambda: True,
    ) -> list[Received]:
        """Hand out up to `count` messages, highest priority first, then oldest; wait for the first of them.

        Args:
            count: 1 to 16.
            wait_seconds: How long to wait, in real time, while nothing can be received.
            shorten: Told how many could be handed out, says how many are.
            there: Says whether the caller is still connected; a caller who left gets nothing.

        Raises:
            MnsError: QueueNotExist, the queue was deleted before or while waiting.
        """
        until = time.monotonic() + wait_seconds if wait_seconds else 0.0
        with self._changed:
            while True:
                self._open()
                now = self._clock()
                self._turn(now)
                if self._ready:
                    return self._take(count, now, shorten)
                left = until - time.monotonic() if until else 0.0
                if left <= 0 or not there():
                    return []
                self._wait(left, now)
                if not there():
                    # The call that woke this one was meant for whoever can take the message.
                    self._changed.notify()
                    return []

    def _wait(self, left: float, now: int) -> None:
        if self._hidden:
            left = min(left, max((self._hidden[0][0] - now) / 1000, 0.001))
        self.waiting += 1
        try:
            self._changed.wait(left)
        finally:
            self.waiting -= 1

    def _take(self, count: int, now: int, shorten: Callable[[int], int] | None) -> list[Received]:
        count = min(count, len(self._ready))
        if shorten is not None:
            count = max(1, min(count, shorten(count)))
        until = now + self.attributes.visibility_timeout * 1000
        taken = [self._hand_out(heapq.heappop(self._ready)[2], now, until) for _ in range(count)]
        self.tally["received"] += count
        return taken

    def _hand_out(self, message: Message, now: int, until: int) -> Received:
        message.dequeue_count += 1
        message.first_dequeued_at = message.first_dequeued_at or now
        handle = self._hide(message, until)
        return Received(
            message_id=message.message_id,
            handle=handle,
            body=message.body,
            body_md5=message.body_md5,
            priority=message.priority,
            enqueued_at=message.enqueued_at,
            next_visible_at=until,
            first_dequeued_at=message.first_dequeued_at,
            dequeue_count=message.dequeue_count,
            group_id=message.group_id,
            properties=message.properties,
        )

    # --- handles ------------------------------------------------------------------------------------------------------
    def delete(self, handle: str) -> None:
        """Delete the message that the handle stands for.

        Raises:
            MnsError: ReceiptHandleError for what was never a handle, MessageNotExist for one that has died.
        """
        for _, failure in self.delete_all([handle]):
            raise failure

    def delete_all(self, handles: Sequence[str]) -> list[tuple[str, MnsError]]:
        """Delete what the handles stand for; return those that could not be, each with the error of `delete`."""
        failures = []
        with self._changed:
            self._open()
            self._turn(self._clock())
            for handle in handles:
                try:
                    self._bury(self._find(handle), "deleted")
                except MnsError as exc:
                    failures.append((handle, exc))
        return failures

    def change_visibility(self, handle: str, seconds: int) -> tuple[str, int]:
        """Hide the message for `seconds` (1 to 43,200) from now; return its new handle and when it is visible again.

        Raises:
            MnsError: as `delete`; InvalidArgument for seconds out of range.
        """
        in_range("VisibilityTimeout", seconds, 1, 43_200)
        with self._changed:
            self._open()
            now = self._clock()
            self._turn(now)
            message = self._find(handle)
            until = now + seconds * 1000
            new = self._hide(message, until)
            # Whoever waits may have to wake earlier than it planned.
            self._changed.notify_all()
        return new, until

    def _find(self, handle: str) -> Message:
        message = self._handles.get(handle)
        if message is not None:
            return message
        if _looks_like_a_handle(handle):
            raise message_not_exist()
        raise MnsError("ReceiptHandleError", "The receipt handle is none that this queue gives out.")

    def _hide(self, message: Message, until: int) -> str:
        if message.handle is not None:
            del self._handles[message.handle]
        self._moves += 1
        inner = f"{message.serial}-{until}-{self._moves}-{self._rng.getrandbits(32)}"
        handle = f"{message.priority}-{base64.b64encode(inner.encode()).decode()}"
        message.visible_at = until
        message.handle = handle
        self._handles[handle] = message
        heapq.heappush(self._hidden, (until, self._moves, handle, message))
        return handle

    def _bury(self, message: Message, how: str) -> None:
        message.gone = True
        self.tally[how] += 1
        if message.handle is not None:
            del self._handles[message.handle]
            message.handle = None

    # --- time ---------------------------------------------------------------------------------------------------------
    def _turn(self, now: int) -> None:
        """Drop what is too old, then show what was hidden long enough."""
        self._expire(now - self.attributes.message_retention_period * 1000)
        while self._hidden and self._hidden[0][0] <= now:
            _, _, handle, message = heapq.heappop(self._hidden)
            if message.handle == handle:
                del self._handles[handle]
                message.handle = None
                heapq.heappush(self._ready, (message.priority, message.serial, message))

    def _expire(self, oldest: int) -> None:
        expired = self.tally["expired"]
        while self._all and (self._all[0].gone or self._all[0].enqueued_at <= oldest):
            message = self._all.popleft()
            if not message.gone:
                self._bury(message, "expired")
        if self.tally["expired"] != expired:
            self._ready = [entry for entry in self._ready if not entry[2].gone]
            heapq.heapify(self._ready)

    def wake(self) -> None:
        """Make every waiting poll look again: the clock was moved, or its caller may have left."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """End the queue; polls that wait get QueueNotExist."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _open(self) -> None:
        if self._closed:
            raise queue_not_exist(self.name)

    # --- looking ------------------------------------------------------------------------------------------------------
    def peek(self, count: int = 1) -> list[Peeked]:
        """Show up to `count` receivable messages in the order of receiving, and change nothing."""
        with self._changed:
            self._open()
            self._turn(self._clock())
            waiting = heapq.nsmallest(count, self._ready)
            return [seen(message) for _, _, message in waiting]

    def messages(self) -> list[Peeked]:
        """Show every message that is neither deleted nor expired, in the order of enqueueing."""
        with self._changed:
            self._turn(self._clock())
            return [seen(message) for message in self._all if not message.gone]

    def counts(self) -> Counter[str]:
        """Count the messages by state: active, inactive, delayed."""
        return Counter(message.state for message in self.messages())

    def change_attributes(self, attributes: Attributes) -> None:
        """Take new attributes; messages that are hidden keep their time."""
        with self._changed:
            self.modified_at = self._clock()
            self._turn(self.modified_at)
            self.attributes = attributes
            self._changed.notify_all()


def _looks_like_a_handle(handle: str) -> bool:
    _, dash, inner = handle.partition("-")
    try:
        return bool(dash) and _HANDLE.fullmatch(base64.b64decode(inner, validate=True)) is not None
    except (binascii.Error, ValueError):
        return False
