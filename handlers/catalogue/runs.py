"""Which runs a task's name covers, and the state of each: derived from the set of marks, whatever their order.

Vendors reuse task ids (auto-record uses the user's id), so one name can mean many runs. A run begins at each
start mark; a file or a stop belongs to the run in which its time falls; before the first start mark, and where
there is none, everything belongs to run 1.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers.catalogue.merge import covered_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

STARTED = "task.started"
STOPPED = "task.stopped"
FAILED = "task.failed"
MARKS = (STARTED, STOPPED, FAILED)
_STATES = {STARTED: "running", STOPPED: "stopped", FAILED: "failed"}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A start, stop or failure that the vendor told of."""

    at: int
    #: one of MARKS
    kind: str
    delivery: str
    account: str
    business_id: str | None
    reason: str | None

    @property
    def rank(self) -> tuple[int, int, str]:
        """Return what decides between marks of one run: the later, and at one instant the more final."""
        return (self.at, MARKS.index(self.kind), self.reason or "")


@dataclass(frozen=True, kw_only=True)
class Span:
    """When a file was recorded, and whose word that is."""

    started_at: int | None
    ended_at: int | None
    first_seen_at: int
    account: str
    business_id: str | None

    @property
    def time(self) -> int:
        """Return the instant by which the file belongs to a run."""
        return next(t for t in (self.started_at, self.ended_at, self.first_seen_at) if t is not None)


def run_of(starts: Sequence[int], time: int) -> int:
    """Return the number, from 1, of the run in which the time falls; starts are sorted."""
    return max(1, bisect_right(starts, time))


def starts_of(marks: Iterable[Mark]) -> list[int]:
    """Return the instants at which runs begin, sorted, each once."""
    return sorted({mark.at for mark in marks if mark.kind == STARTED})


def describe(marks: Sequence[Mark], files: Sequence[Span]) -> Mapping[str, int | str | None]:
    """Return the columns of a task that the marks and files of one run determine."""
    last = max(marks, key=lambda mark: mark.rank, default=None)
    starts = [mark.at for mark in marks if mark.kind == STARTED]
    file_starts = [file.started_at for file in files if file.started_at is not None]
    file_ends = [file.ended_at for file in files if file.ended_at is not None]
    spans = [(f.started_at, f.ended_at) for f in files if f.started_at is not None and f.ended_at is not None]
    told: list[Mark | Span] = [*marks, *files]
    business = [one.business_id for one in told if one.business_id is not None]
    return {
        "account": min(one.account for one in told),
        "business_id": min(business, default=None),
        "state": "unknown" if last is None else _STATES[last.kind],
        "reason": None if last is None else last.reason,
        "started_at": min(starts or file_starts, default=None),
        "ended_at": _ended_at(last, file_ends),
        "recording_count": len(files),
        "recorded_ms": covered_ms(spans),
    }


def _ended_at(last: Mark | None, file_ends: Sequence[int]) -> int | None:
    """Return the stop that the vendor told; where it tells nothing of the task, the end of its last file."""
    if last is None:
        return max(file_ends, default=None)
    return None if last.kind == STARTED else last.at
