"""Whether a delivery is Volcengine's: by the signature in its envelope, and by the shape of what that covers.

Signature: the page docs/6348/69820. It is the SHA-256, in lower-case hexadecimal, of EventType, EventData, EventTime,
EventId, AppId, Version, Nonce and the secret: the eight *values* sorted by their bytes and joined without a mark. So
who captured a callback can exchange two values, or move characters between two that are neighbours in that order, under
the same signature. Three rules answer to that:

1. Version is a date, Nonce four letters or digits, EventTime an RFC 3339 time with its offset, EventType a word that
   begins with a capital: none of them can give or take a character and still be one.
2. EventId and AppId are visible ASCII without quotes and braces, and EventData is the rest, from its brace to its
   brace; the AppId in it is that of the envelope. An EventId that looks like one of the other values was swapped.
3. What still can be moved (between EventId and Nonce, or to and from a word that is unknown then) changes neither what
   is told, nor when, nor of which app. And it bears the signature of the true one, by which both are recognised.

The page promises nothing about time: a captured callback stays valid for ever, unless the account has a `max_age`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING

from handlers.errors import BadSignature, Uncheckable, UnreadableDelivery
from handlers.events import PULLED, read_json
from handlers.vendor import Verified, seen_key
from handlers.vendors.volcengine.envelope import Envelope, open_envelope, read_time
from handlers.vendors.volcengine.words import WORDS

if TYPE_CHECKING:
    from handlers.events import Incoming
    from handlers.secrets import Secret
    from handlers.settings import Account

_WORD = re.compile(r"[A-Z][A-Za-z0-9]{1,127}")
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NONCE = re.compile(r"[0-9A-Za-z]{4}")
#: visible ASCII without " { and }
_ID = re.compile(r"[!#-z|~]{1,256}")


def verify(incoming: Incoming, account: Account) -> Verified:
    """Check the envelope's signature with each of the account's `callback_secrets`, then its shape and age.

    Raises Uncheckable for what is no envelope, BadSignature for one that is not authentic; the text names the setting
    and tells nothing of any secret.
    """
    setting = f"callback_secrets of [accounts.{account.name}]"
    try:
        envelope = open_envelope(incoming.body)
    except UnreadableDelivery as exc:
        raise Uncheckable(f"{exc}; expected a callback signed with one of {setting}") from exc
    if not account.callback_secrets:
        raise BadSignature(f"{setting} is empty: set it to the secret of the callback's configuration in the console")
    secret = _matching(envelope, account.callback_secrets, setting)
    signed_at = _checked_shape(envelope, setting)
    if incoming.door not in PULLED:
        _check_age(signed_at, incoming.received_at, account)
    return Verified(keys=_keys(envelope), secret=secret, signed_at=signed_at)


def keys(incoming: Incoming) -> tuple[str, ...]:
    """Return the key of the event with what it says, and that of the signature; of the body where there is none.

    By the first a retry is recognised that the vendor signs anew, by the second a callback whose values were moved.
    An EventId alone would let what says something else under the same id pass for a repeat, and be lost.
    """
    try:
        envelope = open_envelope(incoming.body)
    except UnreadableDelivery:
        return (seen_key("body", incoming.body),)
    if not envelope.event_id or not envelope.signature:
        return (seen_key("body", incoming.body),)
    return _keys(envelope)


def sign(envelope: Envelope, secret: str) -> str:
    """Return the signature of the envelope under this secret, 64 hexadecimal digits in lower case."""
    # Sorted as text, which is the order of the bytes as well, for UTF-8 keeps that of the code points.
    return hashlib.sha256("".join(sorted((*envelope.signed, secret))).encode("utf-8", "surrogatepass")).hexdigest()


def _keys(envelope: Envelope) -> tuple[str, ...]:
    event = json.dumps([envelope.event_id, envelope.app_id, envelope.event_type, envelope.event_data])
    return (seen_key("event", event), seen_key("signature", envelope.signature))


def _matching(envelope: Envelope, secrets: tuple[Secret, ...], setting: str) -> int:
    missing = [name for name, text in (("Signature", envelope.signature), ("Nonce", envelope.nonce)) if not text]
    if missing:
        raise BadSignature(
            f"{' and '.join(missing)} missing; expected a callback signed with one of {setting}: "
            "set the same secret in the vendor's console"
        )
    came = envelope.signature.encode("utf-8", "surrogatepass")
    # Every one is compared, whatever the ones before gave: how long it takes shall tell nothing.
    matches = [hmac.compare_digest(came, sign(envelope, secret.reveal()).encode()) for secret in secrets]
    if not any(matches):
        raise BadSignature(f"the signature is wrong; expected one made with {setting}, the secret in the console")
    return matches.index(True)


def _checked_shape(envelope: Envelope, setting: str) -> int:
    """Return the signed time in milliseconds UTC, once it is plain that each value stands where it was signed."""
    signed_at = envelope.time()
    wrong = _misshapen(envelope)
    if signed_at is None:
        wrong.append("EventTime, expected an RFC 3339 time with its offset")
    if wrong or signed_at is None:
        raise BadSignature(f"the signature fits {setting}, but values were moved under it: {'; '.join(wrong)}")
    return signed_at


def _misshapen(envelope: Envelope) -> list[str]:
    """Return what does not look as it was signed."""
    checks = (
        (_WORD.fullmatch(envelope.event_type), "EventType, expected a word such as RecordStopped"),
        (_VERSION.fullmatch(envelope.version), "Version, expected a date such as 2020-12-01"),
        (_NONCE.fullmatch(envelope.nonce), "Nonce, expected four letters or digits"),
        (_ID.fullmatch(envelope.app_id), "AppId, expected visible ASCII without quotes and braces"),
        (_ID.fullmatch(envelope.event_id), "EventId, expected visible ASCII without quotes and braces"),
        (not _is_anothers(envelope.event_id), "EventId, expected no date, no time and no event's word"),
        (not _is_shifted(envelope), "EventData, expected the JSON object only, with the AppId of the envelope in it"),
    )
    return [expected for is_right, expected in checks if not is_right]


def _is_anothers(event_id: str) -> bool:
    """Tell an EventId that another value gives when the two are exchanged."""
    return bool(_VERSION.fullmatch(event_id)) or read_time(event_id) is not None or event_id in WORDS


def _is_shifted(envelope: Envelope) -> bool:
    """Tell data to which characters were added before its object, or whose object tells another app.

    Other data that can't be read was signed like that: it is authentic.
    """
    head, brace, rest = envelope.event_data.partition("{")
    try:
        values = read_json((brace + rest).encode("utf-8", "surrogatepass"))
    except UnreadableDelivery:
        return False
    if head.removeprefix("\ufeff").strip():
        return True
    told = values.get("AppId")
    is_told = isinstance(told, str | int) and not isinstance(told, bool) and told != ""
    return is_told and str(told) != envelope.app_id


def _check_age(signed_at: int, received_at: int, account: Account) -> None:
    age = received_at - signed_at
    if account.max_age is not None and abs(age) > account.max_age:
        raise BadSignature(
            f"stale: its EventTime is {abs(age)} ms {'before' if age > 0 else 'after'} it came; expected at most "
            f"{account.max_age} ms, by max_age of [accounts.{account.name}]"
        )
