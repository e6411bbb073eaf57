"""What an examination finds: how it stands, what was seen, what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    #: what was looked at, such as `database.fsync`
    check: str
    #: fail: promises are broken or nothing works; warn: they may be, or something is odd
    level: Level
    #: what was seen; never a secret
    says: str
    #: what to do about it; None where nothing needs to be done
    do: str | None = None


def ok(check: str, says: str, do: str | None = None) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(check=check, level="ok", says=says, do=do)


def warn(check: str, says: str, do: str) -> Finding:
    """Return a finding that somebody should look at."""
    return Finding(check=check, level="warn", says=says, do=do)


def fail(check: str, says: str, do: str) -> Finding:
    """Return a finding that must be mended."""
    return Finding(check=check, level="fail", says=says, do=do)
