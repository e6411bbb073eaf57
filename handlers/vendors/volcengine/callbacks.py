"""What a Volcengine RTC callback means: by its word it is of a recording, a segment or a push task, else unknown.

Words and fields: the page docs/6348/75125. The envelope's Version is the same for all generations of the API and tells
nothing of the data's shape: what any generation sends is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handlers.errors import UnreadableDelivery
from handlers.events import Event
from handlers.fields import Fields, Text, read_fields
from handlers.vendors.volcengine import pushes, records, segments
from handlers.vendors.volcengine.envelope import Envelope, open_envelope
from handlers.vendors.volcengine.told import Business, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.events import Delivery

_READERS: Mapping[str, Callable[[Told], tuple[Event, ...]]] = {
    **records.READERS,
    **segments.READERS,
    **pushes.READERS,
}


class _Word(Fields):
    EventType: Text = None


def read(delivery: Delivery) -> tuple[Event, ...]:
    """Read a callback as one event, or more: a stop with three files is four, a callback of two slices two.

    The time of each is EventTime, unless its data tells a closer one.
    Raises UnreadableDelivery for what is no envelope, and for a known event with all of its wrong fields.
    """
    envelope = open_envelope(delivery.body)
    word = read_fields(_Word, {"EventType": envelope.event_type}).EventType or ""
    signed_at = envelope.time()
    at = delivery.received_at if signed_at is None else signed_at
    reader = _READERS.get(word)
    if reader is None:
        return (_unknown(word, envelope, at),)
    return reader(Told(word=word, at=at, data=_with_app_id(envelope.data(), envelope)))


def _unknown(word: str, envelope: Envelope, at: int) -> Event:
    """Take from a word that we don't read what can be taken, and miss the rest in silence."""
    try:
        told = read_fields(Business, _with_app_id(envelope.data(), envelope))
    except UnreadableDelivery:
        return Event(kind="unknown", word=word, at=at)
    return Event(kind="unknown", word=word, at=at, task=told.task("record"), business_id=told.business_id)


def _with_app_id(data: Mapping[str, Any], envelope: Envelope) -> Mapping[str, Any]:
    return {**data, "AppId": envelope.app_id} if data.get("AppId") in (None, "") else data
