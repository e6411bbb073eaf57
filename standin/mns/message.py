"""What a message is: to be sent, in its queue, handed out, looked at."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_PRIORITY = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A message that is to be sent."""

    body: str
    #: seconds; None takes the queue's
    delay_seconds: int | None = None
    #: 1 (first) to 16
    priority: int = DEFAULT_PRIORITY
    group_id: str = ""
    #: UserProperties and SystemProperties as they came, ready to go out again
    properties: str = ""


@dataclass(slots=True, eq=False)
class Message:
    """A message in a queue, as it stands now. Read it, don't write it: the queue does."""

    serial: int
    message_id: str
    body: str
    body_md5: str
    priority: int
    enqueued_at: int
    group_id: str
    properties: str
    #: when it can be received (again)
    visible_at: int
    #: the only valid handle; None while the message waits to be received
    handle: str | None = None
    dequeue_count: int = 0
    #: 0 until it was received once
    first_dequeued_at: int = 0
    gone: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A message as one receive handed it out."""

    message_id: str
    handle: str
    body: str
    body_md5: str
    priority: int
    enqueued_at: int
    next_visible_at: int
    first_dequeued_at: int
    dequeue_count: int
    group_id: str
    properties: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Peeked:
    """A message as an onlooker sees it; `state` is active, inactive (handed out) or delayed."""

    message_id: str
    state: str
    body: str
    body_md5: str
    priority: int
    enqueued_at: int
    visible_at: int
    first_dequeued_at: int
    dequeue_count: int
    group_id: str
    properties: str


def seen(message: Message) -> Peeked:
    """Return what an onlooker sees of a message."""
    hidden = "inactive" if message.dequeue_count else "delayed"
    return Peeked(
        message_id=message.message_id,
        state="active" if message.handle is None else hidden,
        body=message.body,
        body_md5=message.body_md5,
        priority=message.priority,
        enqueued_at=message.enqueued_at,
        visible_at=message.visible_at,
        first_dequeued_at=message.first_dequeued_at,
        dequeue_count=message.dequeue_count,
        group_id=message.group_id,
        properties=message.properties,
    )
