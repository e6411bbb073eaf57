"""For how long received messages stay ours: they are hidden anew, in good time, until they are released.

Each renewal may give a message another handle. Where it fails the message is let go: it comes again, to us or to
another poller, and whoever kept it before finds it kept.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers.errors import QueueAway

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from handlers.queues import Message, MessageQueue

_log = logging.getLogger(__name__)

#: messages of one renewal: SQS takes ten at once, MNS one by one
_MOST = 10
#: seconds until a renewal that got no answer is tried again
_REST = 0.5
#: seconds of the longest renewal: each is for twice as long as the one before, for MNS takes a request for each message
#: and each time; and a poller that dies delays what it holds by as much
_LONGEST = 300


@dataclass
class _Held:
    message: Message
    handle: str
    #: time.monotonic() up to which it is hidden from others, and from which it should be hidden anew
    until: float
    due: float
    #: for how long it is to be hidden next
    seconds: float


class Holding:
    """The messages of one queue that a process has received and not yet released."""

    def __init__(self, name: str, connect: Callable[[], MessageQueue], let_go: Callable[[int], None]) -> None:
        """Take the queue's name in the settings, what connects to it, and who counts what had to be let go."""
        self._name = name
        self._connect = connect
        self._let_go = let_go
        self._held: dict[str, _Held] = {}
        self._renewing: set[str] = set()
        self._changed = threading.Condition()
        self._is_closed = False
        #: time.monotonic() when the thread looks again by itself
        self._looks_at = math.inf
        self._queue: MessageQueue | None = None
        self._thread = threading.Thread(target=self._run, name=f"holding-{name}", daemon=True)

    def start(self) -> None:
        """Renew in the background from now on."""
        self._thread.start()

    def close(self, patience: float) -> None:
        """Stop renewing; a renewal under way may take up to `patience` seconds."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(patience)

    def hold(self, messages: Sequence[Message]) -> None:
        """Begin to look after messages that have just arrived."""
        now = time.monotonic()
        with self._changed:
            for one in messages:
                half = one.hidden_for / 2
                self._held[one.handle] = _Held(one, one.handle, now + one.hidden_for, now + half, one.hidden_for)
                if now + half < self._looks_at:  # it need not be woken for each batch
                    self._changed.notify_all()

    def still(self, messages: Sequence[Message]) -> list[Message]:
        """Return those of the messages that are ours by now."""
        now = time.monotonic()
        with self._changed:
            return [one for one in messages if (held := self._held.get(one.handle)) is not None and held.until > now]

    def release(self, messages: Sequence[Message]) -> dict[str, Message]:
        """Look after these no longer; return those that are ours, by the handle that is good now."""
        names = {one.handle for one in messages}
        now = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: not names & self._renewing)
            found = [self._held.pop(name) for name in names if name in self._held]
        return {held.handle: held.message for held in found if held.until > now}

    def _run(self) -> None:
        while (due := self._wait()) is not None:
            try:
                self._renew(due)
            except Exception:  # noqa: BLE001 - a bug here must not end the renewing
                _log.exception("renewing messages of queue %s failed", self._name)
                self._settle(due, {}, 0, time.monotonic())
        if self._queue is not None:
            self._queue.close()

    def _wait(self) -> list[_Held] | None:
        """Wait until some are due, and return them; None once nobody wants them any more."""
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                waiting = sorted(self._held.values(), key=lambda held: held.due)
                due = [held for held in waiting[:_MOST] if held.due <= now]
                if due:
                    self._renewing = {held.message.handle for held in due}
                    return due
                self._looks_at = waiting[0].due if waiting else math.inf
                self._changed.wait(self._looks_at - now if waiting else None)
        return None

    def _renew(self, due: Sequence[_Held]) -> None:
        seconds = math.ceil(max(held.seconds for held in due)) or 1
        began = time.monotonic()
        handles = [held.handle for held in due if held.until > began]
        hidden: Mapping[str, str | None] = {}
        with suppress(QueueAway):
            if self._queue is None:
                self._queue = self._connect()
            hidden = self._queue.hide(handles, seconds) if handles else {}
        self._settle(due, hidden, seconds, began)

    def _settle(self, due: Sequence[_Held], hidden: Mapping[str, str | None], seconds: int, began: float) -> None:
        """Write down what became of the renewals, and let those wait no longer who want to release."""
        lost = 0
        now = time.monotonic()
        with self._changed:
            for held in due:
                new = hidden.get(held.handle, "")
                if new:
                    held.handle, held.until, held.due = new, began + seconds, began + seconds / 2
                    held.seconds = max(min(2 * held.seconds, _LONGEST), held.message.hidden_for)
                elif new is None or held.until <= now:
                    lost += self._held.pop(held.message.handle, None) is not None
                else:
                    held.due = now + min(_REST, (held.until - now) / 2)
            self._renewing = set()
            self._changed.notify_all()
        if lost:
            _log.warning("queue %s: %d messages are let go, they could not be hidden for longer", self._name, lost)
            self._let_go(lost)
