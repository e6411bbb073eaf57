"""What an answer says that needs no vendor's table of codes: none, half of one, a stranger's, or a plain refusal."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from handlers.fields import storable
from handlers.operation.call import Outcome

if TYPE_CHECKING:
    from handlers.operation.call import Response, Verdict

_LONGEST_NAME = 256
_LONGEST_QUOTE = 200
#: a day: whoever asks for more will be asked again
_LONGEST_WAIT = 86_400_000
_TOKEN = re.compile(r"(security[-_]?token[\"']?\s*[:=]\s*[\"']?)[^\s\\&\"',;]+", re.IGNORECASE)
_THROTTLED = 429
_UNAVAILABLE = 503


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a vendor's code means for the call."""

    verdict: Verdict
    #: what is known of it, in our words
    says: str
    is_throttled: bool = False
    #: the vendor doesn't take the key; a temporary one may be replaced before the next try
    is_key_refused: bool = False


def refused(meaning: Meaning, response: Response, *, code: str, message: object, request_id: str | None) -> Outcome:
    """Return the outcome of an answer with the vendor's code; its message is carried verbatim but for tokens."""
    return Outcome(
        verdict=meaning.verdict,
        code=told(code),
        detail=without_tokens(storable(message)) if isinstance(message, str) else "",
        meaning=meaning.says,
        request_id=request_id,
        is_throttled=meaning.is_throttled or response.status == _THROTTLED,
        after_ms=_wait(response) if meaning.verdict == "again" else None,
        is_key_refused=meaning.is_key_refused,
    )


def unheard(response: Response, *, request_id: str | None = None) -> Outcome:
    """Return the outcome of an answer that isn't the vendor's: nothing, half of one, a proxy's page.

    The next try may reach the vendor. Unless the status says that nothing was done, this one may have had its effect.
    """
    text = without_tokens(storable(response.body[: 4 * _LONGEST_QUOTE].decode(errors="replace")))
    shown = " ".join(text.split())[:_LONGEST_QUOTE]
    what = f"what isn't the vendor's answer: {shown}" if shown else "an empty body"
    return Outcome(
        verdict="again",
        detail=f"HTTP {response.status} with {what}",
        meaning="no answer of the vendor's: the next try may get one",
        request_id=request_id,
        is_throttled=response.status == _THROTTLED,
        is_unclear=not (300 <= response.status < 500 or response.status == _UNAVAILABLE),  # noqa: PLR2004 - HTTP's own
        after_ms=_wait(response),
    )


def without_tokens(text: str) -> str:
    """Return a text of the other side's without the temporary keys that it may quote."""
    return _TOKEN.sub(r"\1(hidden)", text)


def read_object(body: bytes) -> dict[str, Any] | None:
    """Return the body as a JSON object, or None for anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def told(value: object) -> str | None:
    """Return a code or a request's id as text that can be kept; None where it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return storable(value)[:_LONGEST_NAME] if isinstance(value, str) and value else None


def code_of(value: object, name: str) -> str:
    """Return what an answer has as its code as text; the name of its field where it is neither text nor a number."""
    return str(value) if isinstance(value, str | int | float) else name


def request_id_of(response: Response, said: object, header: str) -> str | None:
    """Return the vendor's name of the request, from the body if it stands there, else from the header."""
    return told(said) or told(response.headers.get(header))


def _wait(response: Response) -> int | None:
    """Read Retry-After; None for what can't be.

    It is in seconds, or a date, which counts from the answer's own Date, or by our clock where that can't be read.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]) * 1000, _LONGEST_WAIT)
    until, begin = _moment(text), _moment(response.headers.get("date", ""))
    begin = response.at if begin is None else begin
    return None if until is None or begin is None else min(max(until - begin, 0), _LONGEST_WAIT)


def _moment(text: str) -> int | None:
    """Return a date of HTTP's in milliseconds UTC; None where it is none, or has no zone."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return None if found.tzinfo is None else int(found.timestamp() * 1000)
