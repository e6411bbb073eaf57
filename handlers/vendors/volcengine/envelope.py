"""What a Volcengine callback is wrapped in: seven texts that are signed, among them JSON that says what happened.

Fields: the vendor's page on message notifications (docs/6348/75124 and 69820). The four random characters are called
`Nonce`; pages before the end of 2023, and BytePlus, spell it `Noce`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from handlers import drift
from handlers.errors import UnreadableDelivery
from handlers.events import read_json
from handlers.fields import MAX_TIME, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = frozenset({"EventType", "EventData", "EventTime", "EventId", "AppId", "Version", "Nonce", "Noce", "Signature"})
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """The texts of a callback as they came; "" where one is missing."""

    event_type: str
    #: JSON text, signed as it stands
    event_data: str
    event_time: str
    event_id: str
    app_id: str
    version: str
    nonce: str
    signature: str

    @property
    def signed(self) -> tuple[str, ...]:
        """Return what the signature covers beside the secret."""
        return (
            self.event_type,
            self.event_data,
            self.event_time,
            self.event_id,
            self.app_id,
            self.version,
            self.nonce,
        )

    def time(self) -> int | None:
        """Return EventTime as milliseconds since 1970 UTC; None if it is no RFC 3339 time of the years 1970 to 2999."""
        return read_time(self.event_time)

    def data(self) -> dict[str, Any]:
        """Read EventData as one JSON object; raise UnreadableDelivery, saying what it is instead."""
        try:
            return read_json(self.event_data.encode("utf-8", "surrogatepass"))
        except UnreadableDelivery as exc:
            raise UnreadableDelivery(f"EventData{str(exc).removeprefix('the body')}") from exc


def open_envelope(body: bytes) -> Envelope:
    """Read the body as an envelope, whatever it says and whether it is signed.

    Raises UnreadableDelivery for what is no JSON object, and for one whose fields are no text.
    """
    values = read_json(body)
    if drift.is_asked():
        drift.note("unknown", values.keys() - _NAMES)
    nonce, noce = _text(values, "Nonce"), _text(values, "Noce")
    if nonce and noce and nonce != noce:
        raise UnreadableDelivery("the body has a Nonce and another Noce; expected one of them")
    return Envelope(
        event_type=_text(values, "EventType"),
        event_data=_text(values, "EventData"),
        event_time=_text(values, "EventTime"),
        event_id=_text(values, "EventId"),
        app_id=_text(values, "AppId"),
        version=_text(values, "Version"),
        nonce=nonce or noce,
        signature=_text(values, "Signature"),
    )


def is_unicode(text: str) -> bool:
    """Tell text without half a surrogate pair."""
    try:
        text.encode()  # many times faster than a look at each character
    except UnicodeEncodeError:
        return False
    return True


def read_time(text: str) -> int | None:
    """Return an RFC 3339 time as milliseconds since 1970 UTC; None for any other text."""
    if not _TIME.fullmatch(text):
        return None
    try:
        milliseconds = to_milliseconds(datetime.fromisoformat(text))
    except ValueError:  # there is no such day
        return None
    return milliseconds if 0 <= milliseconds < MAX_TIME else None


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnreadableDelivery(f"the body's {name} is no text; expected a JSON string")
    if not is_unicode(value):
        raise UnreadableDelivery(f"the body's {name} holds half a surrogate pair, which nobody can sign")
    return value
