"""What becomes of messages that were pulled from a queue: kept, left for later, or set aside, each by itself.

A message may be deleted only once what it says is durable. One that can't be kept is left in the queue and comes
again; only after as many receives as the settings say it is set aside, so that it doesn't come for ever.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers import meters, tables
from handlers.clock import now_ms
from handlers.errors import CannotVerify, DatabaseAway, RefusedDelivery
from handlers.events import Delivery, Incoming
from handlers.fields import storable
from handlers.ids import new_id
from handlers.keeping.deliveries import Accepted, Entry
from handlers.vendor import seen_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handlers.inbox import Inbox
    from handlers.inbox.refusals import Refusals
    from handlers.keeping.direct import DirectKeeper
    from handlers.keeping.spool import Spool
    from handlers.queues import Message
    from handlers.settings import Account, Queue

_log = logging.getLogger(__name__)

#: kinds of queues whose messages are read before they are kept: they may tell of nothing but segments, which wait
#: behind all else. What Alibaba writes into MNS never does, and reading is the dearest thing that this door could do
_READ_AT_ONCE = frozenset({"sqs"})


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
    #: None where REELHOOK_SPOOL is off: what the database can't hold then stays in its queue
    spool: Spool | None


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """A message and what is to be kept of it."""

    message: Message
    incoming: Incoming
    entry: Entry


class Intake:
    """The way of one queue's messages into the inbox, for one thread."""

    def __init__(self, source: Source, places: Places, keeper: DirectKeeper) -> None:
        """Take where messages come from, where they may go, and this thread's own way into the database."""
        self._source = source
        self._queue = source.queue
        self._places = places
        self._keeper = keeper

    def check(self, messages: Sequence[Message]) -> tuple[list[Pulled], list[Message]]:
        """Verify messages; return those to keep, and those that are not authentic, were set aside, and may be deleted.

        Those that are in neither are left in the queue.
        """
        good, done = [], []
        for message in messages:
            incoming = self._incoming(message)
            try:
                entry, _ = self._places.inbox.check(incoming, reads=self._queue.kind in _READ_AT_ONCE)
                good.append(Pulled(message=message, incoming=incoming, entry=entry))
            except RefusedDelivery as exc:
                if self._refuse(message, incoming, exc):
                    done.append(message)
            except Exception as exc:  # noqa: BLE001 - whatever one message meets must cost no other one
                problem = f"whether it is authentic can't be told: {_say(exc)}"
                if not isinstance(exc, CannotVerify):
                    _log.exception("queue %s: verifying message %s failed", self._queue.name, message.id)
                if self._is_worn(message) and self._put_in_spool(message, self._plain(message, incoming, problem)):
                    done.append(message)
        return good, done

    def keep(self, pulled: Sequence[Pulled]) -> list[Message]:
        """Keep these in one transaction; return those that may be deleted. Raises DatabaseAway as the keeper does."""
        done = []
        for one, result in zip(pulled, self._keeper.keep([one.entry for one in pulled]), strict=True):
            if isinstance(result, Accepted):
                self._tell(result)
                done.append(one.message)
            elif self._set_aside(one, result):
                done.append(one.message)
        return done

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

    def _tell(self, accepted: Accepted) -> None:
        self._source.count(meters.QUEUE_REPEATS if accepted.is_repeat else meters.QUEUE_KEPT, 1)
        if accepted.quarantined is not None:
            self._source.count(meters.QUEUE_QUARANTINED, 1)

    def _refuse(self, message: Message, incoming: Incoming, refused: RefusedDelivery) -> bool:
        """Note a refusal, and leave the message: a secret may be mended. Return whether it has come often enough."""
        self._source.count(meters.QUEUE_REFUSED, 1)
        if not self._is_worn(message):
            if message.receives == 1:
                _log.warning("queue %s: message %s is refused: %s", self._queue.name, message.id, refused)
                self._places.refusals.record(incoming, refused)
            return False
        try:
            self._places.refusals.record_now(incoming, refused)
        except DatabaseAway:
            return False
        self._say_set_aside(message, "the refusals", str(refused))
        return True

    def _set_aside(self, one: Pulled, exc: Exception) -> bool:
        """Deal with what the database refuses; return whether it lies elsewhere now."""
        problem = f"the database refuses it: {_say(exc)}"
        if not self._is_worn(one.message):
            if one.message.receives == 1:
                _log.error("queue %s: message %s is not kept: %s", self._queue.name, one.message.id, problem)
            return False
        plain = self._plain(one.message, one.incoming, problem)
        (result,) = self._keeper.keep([plain])
        if isinstance(result, Accepted):
            self._say_set_aside(one.message, "quarantine", problem)
            return True
        return self._put_in_spool(one.message, plain)

    def _plain(self, message: Message, incoming: Incoming, problem: str) -> Entry:
        """Return the message as what it is beyond doubt, bytes, in quarantine."""
        delivery = Delivery(
            id=new_id("dlv"),
            account=incoming.account,
            vendor=incoming.vendor,
            door=incoming.door,
            received_at=incoming.received_at,
            headers={},
            body=incoming.body,
        )
        key = f"{incoming.vendor}:{incoming.door}:{seen_key('set-aside', incoming.body)}"
        reason = storable(f"set aside after {message.receives} receives: {problem}")
        return Entry(delivery=delivery, keys=(key,), state=tables.QUARANTINED, reason=reason)

    def _put_in_spool(self, message: Message, plain: Entry) -> bool:
        """Write what the database can't take among what it has refused before, which waits there to be looked at."""
        if self._places.spool is None:
            return False
        try:
            self._places.spool.put([(plain, plain.reason or "")])
        except DatabaseAway as exc:
            _log.warning("queue %s: message %s can't be set aside: %s", self._queue.name, message.id, exc)
            return False
        self._say_set_aside(message, "the spool", plain.reason or "")
        return True

    def _say_set_aside(self, message: Message, where: str, why: str) -> None:
        self._source.count(meters.QUEUE_SET_ASIDE, 1)
        told = (self._queue.name, message.id, where, message.receives, why)
        _log.error("queue %s: message %s is set aside in %s after %d receives: %s", *told)


def _say(exc: Exception) -> str:
    """Return the first line: in those that follow a database quotes the row."""
    said = str(getattr(exc, "orig", exc)).strip().splitlines() or [""]
    return storable(f"{type(exc).__name__}: {said[0]}")
