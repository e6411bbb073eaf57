"""What becomes of messages that were pulled from a queue: kept, left for later, or set aside, each by itself.

A message may be deleted only once the whole of it is durable. One that can't be kept is left in the queue and comes
again; only after as many receives as the settings say it is set aside, so that it doesn't come for ever.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers import meters
from handlers.clock import now_ms
from handlers.errors import CannotVerify, DatabaseAway, RefusedDelivery
from handlers.events import Incoming
from handlers.fields import storable
from handlers.inbox.refusals import Refusals, Refused
from handlers.keeping.deliveries import Accepted, Entry
from handlers.vendor import seen_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handlers.inbox import Inbox
    from handlers.keeping.direct import DirectKeeper
    from handlers.keeping.spool import Spool
    from handlers.queues import Message
    from handlers.settings import Account, Queue

_log = logging.getLogger(__name__)

#: kinds of queues whose messages are read before they are kept: they may tell of nothing but segments, which wait
#: behind all else. What Alibaba writes into MNS never does, and reading is the dearest thing that this door could do
_READ_AT_ONCE = frozenset({"sqs"})
#: what stands in the refusals of a message that was not turned away by its vendor's rules
_DAMAGED, _UNVERIFIED = "damaged", "unverified"
#: seconds between two words about the same full place
_SAY_EVERY = 60.0
#: names of messages in the spool that are remembered: where they can't be deleted they come again and again
_MOST_NAMES = 10_000


@dataclass(frozen=True, kw_only=True)
class Source:
    """One queue, the account whose callbacks it carries, and who counts them."""

    queue: Queue
    account: Account
    count: Callable[[str, int], None]


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a process's messages may go, beside the database."""

    inbox: Inbox
    refusals: Refusals
    #: None where REELHOOK_SPOOL is off: what the database refuses then stays in its queue
    spool: Spool | None


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """A message and what is to be kept of it."""

    message: Message
    incoming: Incoming
    entry: Entry


class Intake:
    """The way of one queue's messages into the inbox."""

    def __init__(self, source: Source, places: Places, keeper: DirectKeeper) -> None:
        """Take where messages come from, where they may go, and the queue's own way into the database."""
        self._source = source
        self._queue = source.queue
        self._places = places
        self._keeper = keeper
        #: time.monotonic() from which it may be said again that no more can be set aside
        self._says_full_from = 0.0
        self._spooled: set[str] = set()

    def check(self, messages: Sequence[Message]) -> tuple[list[Pulled], list[Message]]:
        """Verify messages; return those to keep, and those that are not authentic, were set aside, and may be deleted.

        Those that are in neither are left in the queue.
        """
        good, worn = [], []
        for message in messages:
            incoming = self._incoming(message)
            try:
                good.append(Pulled(message=message, incoming=incoming, entry=self._entry(message, incoming)))
            except Exception as exc:  # noqa: BLE001 - whatever one message meets must cost no other one
                refused = self._refused(message, incoming, exc)
                if self._is_worn(message):
                    worn.append((message, refused))
        return good, self._set_aside(worn)

    def keep(self, pulled: Sequence[Pulled]) -> list[Message]:
        """Keep these in one transaction; return those that may be deleted. Raises DatabaseAway as the keeper does."""
        done: list[Message] = []
        told: Counter[str] = Counter()
        for one, result in zip(pulled, self._keeper.keep([one.entry for one in pulled]), strict=True):
            if isinstance(result, Accepted):
                told[meters.QUEUE_REPEATS if result.is_repeat else meters.QUEUE_KEPT] += 1
                told[meters.QUEUE_QUARANTINED] += result.quarantined is not None
                done.append(one.message)
            elif self._put_in_spool(one, result):
                done.append(one.message)
        for name, value in told.items():
            self._source.count(name, value)
        return done

    def _entry(self, message: Message, incoming: Incoming) -> Entry:
        """Return what is to be kept; raise what the inbox raises, and _Damaged."""
        if message.damage is not None:
            raise _Damaged(message.damage)
        entry, _ = self._places.inbox.check(incoming, reads=self._queue.kind in _READ_AT_ONCE)
        return entry

    def _incoming(self, message: Message) -> Incoming:
        return Incoming(
            vendor=self._source.account.vendor,
            account=self._source.account.name,
            door=self._queue.kind,
            received_at=now_ms(),
            headers=message.headers,
            body=message.body,
            token=message.token,
            target=message.target,
        )

    def _is_worn(self, message: Message) -> bool:
        return message.receives > self._queue.max_receives

    def _refused(self, message: Message, incoming: Incoming, exc: Exception) -> Refused:
        """Return why a message can't be believed, and say so when it comes for the first time."""
        self._source.count(meters.QUEUE_REFUSED, 1)
        if isinstance(exc, RefusedDelivery):
            reason, detail = exc.reason, str(exc)
            if message.receives == 1:  # it stays in the queue: a secret may be mended
                self._places.refusals.record(incoming, exc)
        elif isinstance(exc, _Damaged):
            reason, detail = _DAMAGED, str(exc)
        else:
            reason, detail = _UNVERIFIED, f"whether it is authentic can't be told: {_say(exc)}"
            if not isinstance(exc, CannotVerify):
                _log.error("queue %s: verifying message %s failed", self._queue.name, message.id, exc_info=exc)
        if message.receives == 1:
            _log.warning("queue %s: message %s is refused: %s", self._queue.name, message.id, detail)
        return Refused(incoming=incoming, reason=reason, detail=f"{detail}; it was received {message.receives} times")

    def _set_aside(self, worn: Sequence[tuple[Message, Refused]]) -> list[Message]:
        """Write what came often enough among the refusals, whole; return what lies there, and may be deleted."""
        if not worn:
            return []
        try:
            lies = self._places.refusals.set_aside([(self._name(message), refused) for message, refused in worn])
        except DatabaseAway:
            return []
        except Exception as exc:  # noqa: BLE001 - whatever one message meets must cost no other one
            if len(worn) > 1:
                return [message for one in worn for message in self._set_aside([one])]
            _log.error(
                "queue %s: message %s stays, it can't be set aside: %s", self._queue.name, worn[0][0].id, _say(exc)
            )
            return []
        done = []
        for (message, refused), is_safe in zip(worn, lies, strict=True):
            if is_safe:
                self._say_set_aside(message, "the refusals", refused.detail)
                done.append(message)
        if len(done) < len(worn):
            self._say_full(len(worn) - len(done))
        return done

    def _name(self, message: Message) -> str:
        return seen_key("message", f"{self._queue.name}\n{message.id}\n".encode() + message.body)

    def _say_full(self, count: int) -> None:
        if time.monotonic() < self._says_full_from:
            return
        self._says_full_from = time.monotonic() + _SAY_EVERY
        _log.error(
            "queue %s: %d refused messages stay there until they expire: what account %s may set aside is full; "
            "mend the cause, then `reelhook release`, or `reelhook refusals discard` where they were rightly refused",
            self._queue.name,
            count,
            self._source.account.name,
        )

    def _put_in_spool(self, one: Pulled, exc: Exception) -> bool:
        """Write what the database refuses among what it has refused before; return whether it lies there now."""
        message, problem = one.message, f"the database refuses it: {_say(exc)}"
        if not self._is_worn(message):
            if message.receives == 1:
                _log.error("queue %s: message %s is not kept: %s", self._queue.name, message.id, problem)
            return False
        if self._places.spool is None:
            return False
        name = self._name(message)
        if name in self._spooled:
            return True
        try:
            self._places.spool.put([(one.entry, problem)])
        except DatabaseAway as away:
            _log.warning("queue %s: message %s can't be set aside: %s", self._queue.name, message.id, away)
            return False
        if len(self._spooled) >= _MOST_NAMES:
            self._spooled.clear()
        self._spooled.add(name)
        self._say_set_aside(message, "the spool", problem)
        return True

    def _say_set_aside(self, message: Message, where: str, why: str) -> None:
        self._source.count(meters.QUEUE_SET_ASIDE, 1)
        told = (self._queue.name, message.id, where, message.receives, why)
        _log.error("queue %s: message %s is set aside in %s after %d receives: %s", *told)


class _Damaged(Exception):
    """What came can't be what was sent."""


def _say(exc: Exception) -> str:
    """Return the first line: in those that follow a database quotes the row."""
    said = str(getattr(exc, "orig", exc)).strip().splitlines() or [""]
    return storable(f"{type(exc).__name__}: {said[0]}")
