"""How a time is written for people and programs: RFC 3339, in UTC, with milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from handlers.fields import to_milliseconds

#: what a time given to us looks like: the offset must be there
RFC_3339 = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_SHOWN = 60
_MATCHER = re.compile(RFC_3339.removesuffix("$"))
_LOST_PLUS = re.compile(r".*[0-9] [0-9]{2}:[0-9]{2}")


def to_text(ms: int | None) -> str | None:
    """Return milliseconds since 1970 UTC as `2020-09-02T10:23:54.000Z`; None stays None."""
    if ms is None:
        return None
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> int:
    """Return an RFC 3339 time with its offset as milliseconds since 1970 UTC; raise ValueError saying what is wrong."""
    shown = repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")
    if not _MATCHER.fullmatch(text):
        hint = "; in a URL a + is written %2B" if _LOST_PLUS.fullmatch(text) else ""
        raise ValueError(f"{shown} is no time; expected RFC 3339 with an offset, such as 2020-09-02T10:23:54Z{hint}")
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError as exc:
        raise ValueError(f"{shown} is no time: {exc}; expected one such as 2020-09-02T10:23:54Z") from exc
    return to_milliseconds(moment)
