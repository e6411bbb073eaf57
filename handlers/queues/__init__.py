"""What a queue must provide, and which kinds there are: messages in, and a word about each back.

Queues deliver at least once, in any order. A message that was received is hidden from everybody for a while; who has
not deleted it by then gives it back by doing nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handlers.settings import Queue


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message as a queue handed it out."""

    #: what deletes this receipt of it; a renewal makes another
    handle: str = field(repr=False)
    #: the queue's own name of the message
    id: str
    #: what the vendor sent, byte for byte; what a topic or a gateway wrapped around it is taken off
    body: bytes = field(repr=False)
    #: why the body can't be what was sent; it may then be all that came of the message
    damage: str | None = None
    #: names in lower case
    headers: Mapping[str, str] = field(default_factory=dict)
    #: the secret of a callback URL, where a gateway passed it on
    token: str | None = field(default=None, repr=False)
    #: path and query as a gateway was asked for them
    target: str | None = field(default=None, repr=False)
    #: how often it has been handed out, this time included
    receives: int = 1
    #: milliseconds UTC by the queue's clock; None where it does not say
    enqueued_at: int | None = None
    #: seconds for which it is hidden from others, from when it arrived here
    hidden_for: float = 30.0


class MessageQueue(Protocol):
    """One thread's own connection to a queue. Every method raises QueueAway when there is no good answer."""

    def receive(self, wait_seconds: int) -> list[Message]:
        """Return some messages, or none after having waited that long; more may wait than a short batch brings."""

    def delete(self, handles: Sequence[str]) -> Mapping[str, str]:
        """Delete messages, at most MOST of its kind; return why by handle for those that were not deleted."""

    def hide(self, handles: Sequence[str], seconds: int) -> Mapping[str, str | None]:
        """Hide messages for so many more seconds, 0 giving them back; raises nothing.

        Returns the new handle by the old one, None where the message is not ours any more; one that could not be asked
        for is left out.
        """

    def look(self) -> str:
        """Ask for the queue's attributes, and return in a few words what they say."""

    def close(self) -> None:
        """Let go of the connection."""


#: kind -> its module and class; imported only where such a queue is configured, for an SDK takes its share of memory
KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "mns": ("handlers.queues.mns", "MnsQueue"),
        "sqs": ("handlers.queues.sqs", "SqsMessages"),
    }
)


#: messages that one call receives or deletes at the most, which is the service's own limit
MOST: Mapping[str, int] = MappingProxyType({"mns": 16, "sqs": 10})


def connect(queue: Queue, *, patience: float) -> MessageQueue:
    """Return a connection of the calling thread's own; `patience` in seconds for one answer, a wait included.

    Nothing is asked of the queue yet. Raises QueueAway where the settings can't even be tried.
    """
    module, name = KINDS[queue.kind]
    made: MessageQueue = getattr(import_module(module), name)(queue, patience=patience)
    return made
