"""Which runs a task's name covers, and the state of each: derived from the set of marks, whatever their order.

Vendors reuse task ids (auto-record uses the user's id), so one name can mean many runs. A run begins at each
start mark; a file or a stop belongs to the run in which its time falls; before the first start mark, and where
there is none, everything belongs to run 1. The time of a file is its middle, because its first instant may lie before
that of the start mark, which is told later.

No vendor marks the start of a segment task, but a new run bears a new identifier. So does an update in the middle of
a run, which makes no silence: a run begins where an identifier is first heard after a silence.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Value = TypeVar("Value", int, str)

#: of two marks at one instant the later in this row decides
_STATES = ("running", "stopped", "failed")
_UPLOADS = ("uploading", "failed", "backed_up", "done")
#: how an upload stands once its files are where they can be read
READABLE = frozenset({"backed_up", "done"})

#: milliseconds by which a file may have begun before its task's start was told
_GRACE = 10_000
#: milliseconds of silence after which an identifier that was never heard of means another run
SILENCE = 600_000


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What the vendor told of a run: that it began, stopped or failed, or how the upload of its files stands."""

    at: int
    kind: str
    delivery: str
    account: str
    business_id: str | None
    reason: str | None
    state: str | None = None
    begins: bool = False
    upload: str | None = None
    #: 0 to 10000
    progress: int | None = None

    @property
    def place(self) -> tuple[str, int, str]:
        """Return what a delivery has one mark of."""
        return (self.delivery, self.at, self.kind)

    @property
    def said(self) -> tuple[object, ...]:
        """Return what tells it from another: two deliveries that say the same are one change."""
        return (self.at, self.kind, self.state, self.begins, self.upload, self.progress)

    @property
    def moves_uploads(self) -> bool:
        """Tell whether it can decide which run's upload stands how."""
        return self.begins or self.upload is not None or self.state in {"stopped", "failed"}

    @property
    def rank(self) -> tuple[object, ...]:
        """Return what decides between two words of one delivery, and of one instant: the more final."""
        state = _STATES.index(self.state) if self.state else -1
        upload = _UPLOADS.index(self.upload) if self.upload else -1
        progress = -1 if self.progress is None else self.progress
        # An empty text is not the same as none: of two that differ, one must be greater.
        said = (self.reason is not None, self.reason or "", self.business_id is not None, self.business_id or "")
        return (self.at, state, upload, progress, self.begins, *said)


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
        if self.started_at is None:
            return self.first_seen_at if self.ended_at is None else self.ended_at
        if self.ended_at is None:
            return self.started_at + _GRACE
        return (self.started_at + self.ended_at) // 2


class Covered:
    """The milliseconds that at least one of some spans covers."""

    def __init__(self) -> None:
        """Start with none."""
        self.total = 0
        #: starts and ends of what is covered without a gap, sorted
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Cover one more span; one that ends before it starts covers nothing."""
        if end <= start:
            return
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self.total += end - start - sum(self._ends[at] - self._starts[at] for at in range(first, last))
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]


@dataclass(kw_only=True)
class Files:
    """What the files of one run add up to: files are added, and grow, and never shrink."""

    count: int = 0
    account: str | None = None
    business_id: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    covered: Covered = field(default_factory=Covered)

    def add(self, span: Span) -> None:
        """Add one more file."""
        self.count += 1
        self.grow(span)

    def grow(self, span: Span) -> None:
        """Take what is known now of a file that was added before."""
        self.account = _least(self.account, span.account)
        self.business_id = _least(self.business_id, span.business_id)
        self.started_at = _least(self.started_at, span.started_at)
        if span.ended_at is not None:
            self.ended_at = span.ended_at if self.ended_at is None else max(self.ended_at, span.ended_at)
            if span.started_at is not None:
                self.covered.add(span.started_at, span.ended_at)


@dataclass(frozen=True, kw_only=True)
class Identifier:
    """What the slices of one identifier span, in milliseconds UTC, and how many they are."""

    name: str
    #: the task to which its slices belong so far
    task: str | None
    account: str
    business_id: str | None
    first_at: int
    last_at: int
    segment_count: int

    def belonging_to(self, task: str | None) -> Identifier:
        """Return the same with its slices belonging to this task."""
        return replace(self, task=task)


def run_of(starts: Sequence[int], time: int) -> int:
    """Return the number, from 1, of the run in which the time falls; starts are sorted."""
    return max(1, bisect_right(starts, time))


def starts_of(marks: Iterable[Mark], identifiers: Iterable[Identifier] = ()) -> list[int]:
    """Return the instants at which runs begin, sorted, each once."""
    return sorted({mark.at for mark in marks if mark.begins} | set(_heard_anew(identifiers)))


def _heard_anew(identifiers: Iterable[Identifier]) -> Iterator[int]:
    """Yield the instants at which an identifier is heard for the first time after a silence."""
    reach = None
    for one in sorted(identifiers, key=lambda one: (one.first_at, one.last_at)):
        if reach is None or one.first_at > reach + SILENCE:
            yield one.first_at
        reach = one.last_at if reach is None else max(reach, one.last_at)


def parted(marks: Iterable[Mark], starts: Sequence[int]) -> defaultdict[int, list[Mark]]:
    """Return the marks by run: each in the run in which its time falls.

    But an upload is over, and tells its progress, after its run was stopped, maybe when the next one has begun: such a
    word belongs to the latest run that was stopped by then, where one is known.
    """
    found: defaultdict[int, list[Mark]] = defaultdict(list)
    stopped: dict[int, int] = {}
    uploads = []
    for mark in marks:
        if mark.upload in READABLE or mark.progress is not None:
            uploads.append(mark)
            continue
        run = run_of(starts, mark.at)
        found[run].append(mark)
        if mark.state in {"stopped", "failed"} and not mark.begins:
            stopped[run] = min(mark.at, stopped.get(run, mark.at))
    for mark in uploads:
        over = [run for run, at in stopped.items() if at <= mark.at]
        found[max(over) if over else run_of(starts, mark.at)].append(mark)
    return found


def upload_of(marks: Iterable[Mark]) -> str | None:
    """Return how the upload of one run's files stands: the latest word of it, and at one instant the more final."""
    told = [mark for mark in marks if mark.upload is not None]
    return max(told, key=lambda mark: mark.rank).upload if told else None


def describe(marks: Sequence[Mark], files: Files, identifiers: Sequence[Identifier]) -> Mapping[str, int | str | None]:
    """Return the columns of a task that the marks, files and identifiers of one run determine."""
    last = max((mark for mark in marks if mark.state is not None), key=lambda mark: mark.rank, default=None)
    ends = [files.ended_at] if files.ended_at is not None else []
    ends += [one.last_at for one in identifiers]
    told: list[Mark | Files | Identifier] = [*marks, files, *identifiers]
    return {
        "account": min(one.account for one in told if one.account is not None),
        "business_id": min((one.business_id for one in told if one.business_id is not None), default=None),
        "state": "unknown" if last is None else last.state,
        "reason": None if last is None else last.reason,
        "upload": upload_of(marks),
        "started_at": _started_at(marks, files, identifiers),
        "ended_at": _ended_at(last, ends),
        "recording_count": files.count,
        "segment_count": sum(one.segment_count for one in identifiers),
        "recorded_ms": files.covered.total,
    }


def _started_at(marks: Sequence[Mark], files: Files, identifiers: Sequence[Identifier]) -> int | None:
    """Return the start that the vendor told; where it tells none, the earliest sign of the run."""
    begun = [mark.at for mark in marks if mark.begins]
    signs = [mark.at for mark in marks if mark.state == "running"]
    signs += [] if files.started_at is None else [files.started_at]
    return min(begun or [*signs, *(one.first_at for one in identifiers)], default=None)


def _ended_at(last: Mark | None, ends: Sequence[int]) -> int | None:
    """Return the stop that the vendor told; where it tells nothing of the task, the end of its last file."""
    if last is None:
        return max(ends, default=None)
    return None if last.state == "running" else last.at


def _least(one: Value | None, other: Value | None) -> Value | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
