"""Whether a delivery is Huawei's: by the signature in its X-Rtc headers, or by the token of its URL.

Signature: the page rtc_faq/rtc_06_0144 ("callback signature"). It is the HMAC-SHA256, in hexadecimal, of X-Rtc-Rand +
X-Rtc-Timestamp + body under the auth_key of the callback's configuration (UpdateRecordCallback), which is taken as
UTF-8. Nothing stands between the three, so that whoever captured a callback can cut the same text elsewhere, under the
same signature. Three rules answer to that:

1. The timestamp is 10 digits (seconds) or 13 (milliseconds) that give a time from 2015 to 2099, and the rand is
   visible ASCII. The page tells neither the unit nor the shape; both units are taken.
2. A body that begins with digits is refused where another cut, with these digits in the timestamp, keeps rule 1 and
   leaves a body that can be read: then the digits were moved. No JSON object begins with a digit, so that nothing
   readable is ever refused, and other garbage is authentic and taken.
3. What a delivery is recognised by is the whole signed text, wherever it is cut. That is all that tells a cut between
   rand and timestamp, which leaves the body as it is: it is a repeat.

Without an auth_key Huawei sends no such header. An account that has `callback_secrets` always demands them all the
same; one that has only `url_tokens` goes by the token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from handlers.errors import BadSignature, BadToken, UnreadableDelivery
from handlers.events import PULLED, read_json
from handlers.vendor import Verified, seen_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handlers.events import Incoming
    from handlers.secrets import Secret
    from handlers.settings import Account

RAND, TIMESTAMP, SIGNATURE = "x-rtc-rand", "x-rtc-timestamp", "x-rtc-signature"
HEADERS = frozenset({RAND, TIMESTAMP, SIGNATURE})

#: 2015-01-01 and 2100-01-01: there was no SparkRTC before, and a wrong cut seldom falls between
_EARLIEST, _LATEST = 1_420_070_400_000, 4_102_444_800_000
_RAND = re.compile(r"[!-~]{1,256}")
_SECONDS_OR_MILLISECONDS = re.compile(r"[0-9]{10}(?:[0-9]{3})?")
#: of the timestamp, and of a rand that ends in digits
_LEADING_DIGITS = re.compile(rb"[0-9]+")


def verify(incoming: Incoming, account: Account) -> Verified:
    """Check the signature with each of the account's `callback_secrets`, or the token where it has none.

    Raises BadSignature or BadToken, whose text names the setting and tells nothing of any secret.
    """
    if account.callback_secrets or not account.url_tokens:
        return _verify_signature(incoming, account)
    return _verify_token(incoming, account)


def keys(incoming: Incoming) -> tuple[str, ...]:
    """Return the key of the signed text, the same wherever it is cut; of the body where no signature came."""
    if all(incoming.headers.get(name) for name in HEADERS):
        return (seen_key("signed", _signed_text(incoming)),)
    return (seen_key("body", incoming.body),)


def signed_time(headers: Mapping[str, str]) -> int | None:
    """Return the X-Rtc-Timestamp as milliseconds since 1970 UTC; None where none came, or none that can be."""
    text = headers.get(TIMESTAMP, "")
    return _milliseconds(text) if _SECONDS_OR_MILLISECONDS.fullmatch(text) else None


def _verify_signature(incoming: Incoming, account: Account) -> Verified:
    setting = f"callback_secrets of [accounts.{account.name}]"
    if not account.callback_secrets:
        raise BadSignature(f"{setting} is empty: set it to the auth_key of the callback's configuration")
    missing = [name.title() for name in (RAND, TIMESTAMP, SIGNATURE) if not incoming.headers.get(name)]
    if missing:
        raise BadSignature(
            f"{', '.join(missing)} missing; expected a callback signed with one of {setting}: "
            "set the same auth_key in the vendor's console, for without one nothing is signed"
        )
    text = _signed_text(incoming)
    came = _bytes(incoming.headers[SIGNATURE].lower())
    expected = [hmac.new(_bytes(key.reveal()), text, hashlib.sha256).hexdigest() for key in account.callback_secrets]
    secret = _index(came, expected)
    if secret is None:
        raise BadSignature(f"the signature is wrong; expected one made with {setting}, the auth_key in the console")
    signed_at = _checked_shape(incoming, setting)
    if incoming.door not in PULLED:
        _check_skew(signed_at, incoming.received_at, account)
    return Verified(keys=keys(incoming), secret=secret, signed_at=signed_at)


def _verify_token(incoming: Incoming, account: Account) -> Verified:
    setting = f"url_tokens of [accounts.{account.name}]"
    if not incoming.token:
        raise BadToken(
            f"the callback URL has no token; expected ?token=... with one of {setting}, "
            "or callback_secrets there, if the vendor's console has an auth_key"
        )
    secret = _index(_bytes(incoming.token), _revealed(account.url_tokens))
    if secret is None:
        raise BadToken(f"the token of the callback URL is wrong; expected ?token=... with one of {setting}")
    return Verified(keys=keys(incoming), secret=secret)


def _index(came: bytes, expected: Sequence[str]) -> int | None:
    # Every one is compared, whatever the ones before gave: how long it takes shall tell nothing.
    matches = [hmac.compare_digest(came, _bytes(one)) for one in expected]
    return matches.index(True) if any(matches) else None


def _checked_shape(incoming: Incoming, setting: str) -> int:
    """Return the signed time, once it is plain that the text was signed with this cut; milliseconds UTC."""
    rand = incoming.headers[RAND]
    signed_at = signed_time(incoming.headers)
    if signed_at is None or not _RAND.fullmatch(rand):
        raise BadSignature(
            f"the signature fits {setting}, but {RAND.title()} or {TIMESTAMP.title()} was cut elsewhere; expected up "
            "to 256 visible characters, and a time of 10 digits (seconds) or 13 (milliseconds), from 2015 to 2099"
        )
    if _is_shifted(rand + incoming.headers[TIMESTAMP], incoming.body):
        raise BadSignature(
            f"the signature fits {setting}, but the body was cut elsewhere: it begins with some of {TIMESTAMP.title()}"
        )
    return signed_at


def _is_shifted(before: str, body: bytes) -> bool:
    """Tell a body whose first digits, put back behind the timestamp, leave a readable one (rule 2)."""
    digits = _LEADING_DIGITS.match(body)
    if digits is None:
        return False
    text = before + digits[0].decode()
    cuts = (text[-length:] for length in (10, 13) if len(text) > length)
    if not any(_SECONDS_OR_MILLISECONDS.fullmatch(cut) and _milliseconds(cut) for cut in cuts):
        return False
    try:
        read_json(body[digits.end() :])
    except UnreadableDelivery:
        return False
    return True


def _check_skew(signed_at: int, received_at: int, account: Account) -> None:
    skew = received_at - signed_at
    if account.max_skew is not None and abs(skew) > account.max_skew:
        raise BadSignature(
            f"stale: signed {abs(skew)} ms {'before' if skew > 0 else 'after'} it came; expected at most "
            f"{account.max_skew} ms, by max_skew of [accounts.{account.name}]"
        )


def _milliseconds(digits: str) -> int | None:
    milliseconds = int(digits) * (1000 if len(digits) == 10 else 1)  # noqa: PLR2004 - digits of a time in seconds
    return milliseconds if _EARLIEST <= milliseconds < _LATEST else None


def _signed_text(incoming: Incoming) -> bytes:
    return _bytes(incoming.headers[RAND] + incoming.headers[TIMESTAMP]) + incoming.body


def _revealed(secrets: Sequence[Secret]) -> list[str]:
    return [secret.reveal() for secret in secrets]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
