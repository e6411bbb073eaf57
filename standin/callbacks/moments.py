"""How a time is written in a callback; times are integer milliseconds UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHINA = timezone(timedelta(hours=8))


def to_seconds_text(at: int) -> str:
    """Write whole seconds, such as 2020-09-02T10:23:54Z."""
    return _moment(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_nanoseconds_text(at: int) -> str:
    """Write nine digits behind the second, such as 2020-09-02T10:23:54.123000000Z."""
    return f"{_moment(at):%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}000000Z"


def to_chinese_text(at: int) -> str:
    """Write China's time with its offset, such as 2020-09-02T18:23:54.123+08:00."""
    local = _moment(at).astimezone(_CHINA)
    return local.isoformat(timespec="milliseconds" if at % 1000 else "seconds")


def to_name_text(at: int) -> str:
    """Write China's time as it stands in file names, such as 2020-09-02-18-23-54."""
    return _moment(at).astimezone(_CHINA).strftime("%Y-%m-%d-%H-%M-%S")


def _moment(at: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at)
