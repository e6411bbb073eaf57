"""What a right catalogue holds once some notices have been told: the oracle that the product is checked against.

It reads the plan of the world, never a callback, and shares no code with the catalogue: each question is answered anew,
by looking through all that was told. It is meant to be plain, and it is slow.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from standin.callbacks.plan import File, Notice, Slice, Task

#: vendor, type, app, room, task id, run
RunName = tuple[str, str, str, str, str, int]
#: the run's name, and the file's
FileName = tuple[str, str, str, str, str, int, str]
Facts = dict[str, Any]

_STATES = ("running", "stopped", "failed")
_READABLE = ("done", "backed_up")
#: milliseconds: who is silent for longer, and then speaks under a new name, has begun anew
_SILENCE = 600_000
#: milliseconds by which a file may begin before its run's start is told
_GRACE = 10_000


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The runs, files and slices that must be there, and nothing else; a fact that is not named may be anything."""

    runs: Mapping[RunName, Facts]
    files: Mapping[FileName, Facts]
    #: by run and object key
    slices: Mapping[FileName, Facts]


def expect(notices: Iterable[Notice]) -> Expectation:
    """Return what follows from the notices; those that are forged tell nothing."""
    told: dict[Task, list[Notice]] = defaultdict(list)
    for notice in notices:
        if not notice.forged and notice.says != "other":
            told[_named(notice.task)].append(notice)
    runs: dict[RunName, Facts] = {}
    files: dict[FileName, Facts] = {}
    slices: dict[FileName, Facts] = {}
    for task, words in told.items():
        history = _History(task, words)
        for run in history.numbers():
            name = (task.vendor, task.type, task.app_id, task.room_id, task.task_id, run)
            if (facts := history.run(run)) is not None:
                runs[name] = facts
            files |= {(*name, key): facts for key, facts in history.files(run).items()}
            slices |= {(*name, key): facts for key, facts in history.slices(run).items()}
    return Expectation(runs=runs, files=files, slices=slices)


def _named(task: Task) -> Task:
    return replace(task, business_id=None)


class _History:
    """All that was told under one task's name."""

    def __init__(self, task: Task, words: Sequence[Notice]) -> None:
        self._task = task
        self._words = words
        self._starts = _starts(words)
        self._business_id = next((word.task.business_id for word in words if word.task.business_id), None)

    def numbers(self) -> range:
        return range(1, max(len(self._starts), 1) + 1)

    def run(self, run: int) -> Facts | None:
        """Return what must be said of a run; None where nothing was told of it."""
        marks, files, slices = self._marks(run), self._own(run), self._cut(run)
        if not marks and not files and not slices:
            return None
        upload = self._upload(run)
        return _run_facts(self._task, marks, files, slices) | {"upload": upload, "business_id": self._business_id}

    def files(self, run: int) -> dict[str, Facts]:
        readable = self._task.vendor != "volcengine" or self._upload(run) in _READABLE
        also = {"business_id": self._business_id}
        return {file.name: _file_facts(file, readable=readable) | also for file in self._own(run)}

    def slices(self, run: int) -> dict[str, Facts]:
        return {one.key: _slice_facts(one) for one in self._cut(run)}

    def _upload(self, run: int) -> str | None:
        latest = _latest([mark for mark in self._marks(run) if mark.upload])
        return latest.upload if latest else None

    def _marks(self, run: int) -> list[Notice]:
        told = [word for word in self._words if word.says not in {"files", "segments"}]
        return [word for word in told if _run(self._starts, word.at) == run]

    def _own(self, run: int) -> list[File]:
        return [file for file in _files(self._words) if _run(self._starts, _time(file)) == run]

    def _cut(self, run: int) -> list[Slice]:
        return [one for one in _slices(self._words) if _run(self._starts, one.started_at) == run]


def _starts(words: Sequence[Notice]) -> list[int]:
    begins = {word.at for word in words if word.begins}
    heard: list[Slice] = []
    names: set[str] = set()
    for one in sorted(_slices(words), key=lambda one: one.started_at):
        last = max((other.started_at for other in heard), default=None)
        if one.identifier not in names and (last is None or one.started_at > last + _SILENCE):
            begins.add(one.started_at)
        names.add(one.identifier)
        heard.append(one)
    return sorted(begins)


def _run(starts: Sequence[int], at: int) -> int:
    return max(1, sum(start <= at for start in starts))


def _time(file: File) -> int:
    """Return the file's middle: it may have begun before its run's start was told."""
    if file.ended_at is None:
        return file.started_at + _GRACE
    return (file.started_at + file.ended_at) // 2


def _latest(words: Sequence[Notice]) -> Notice | None:
    return max(words, key=lambda word: word.at, default=None)


def _slices(words: Iterable[Notice]) -> list[Slice]:
    return list(dict.fromkeys(one for word in words for one in word.slices))


def _files(words: Sequence[Notice]) -> list[File]:
    """Return each file once, as the latest word of it says; what that leaves out, an earlier one may have said."""
    known: dict[str, File] = {}
    for word in sorted(words, key=lambda word: word.at):
        for file in word.files:
            before = known.get(file.name)
            if before is not None and file.duration_ms is None:
                file = before  # noqa: PLW2901 - a word on a growing file adds nothing to what is known of its end
            known[file.name] = file
    return list(known.values())


def _run_facts(task: Task, marks: Sequence[Notice], files: Sequence[File], slices: Sequence[Slice]) -> Facts:
    last = _latest([mark for mark in marks if mark.says in _STATES])
    facts: Facts = {
        "state": "unknown" if last is None else last.says,
        "recording_count": len(files),
        "segment_count": len(slices),
        "recorded_ms": _covered(files),
    }
    begun = [mark.at for mark in marks if mark.begins]
    if begun:
        facts["started_at"] = min(begun)
    elif files and not marks:
        facts["started_at"] = min(file.started_at for file in files)
    if last is not None:
        facts["ended_at"] = None if last.says == "running" else last.at
    if task.vendor == "aliyun":
        facts["ended_at"] = max(file.ended_at or 0 for file in files)
    return facts


def _covered(files: Sequence[File]) -> int:
    """Return the milliseconds in which at least one of the files was recorded, counted edge by edge."""
    edges = sorted({edge for file in files if file.ended_at for edge in (file.started_at, file.ended_at)})
    spans = [(file.started_at, file.ended_at) for file in files if file.ended_at]
    covered = 0
    for left, right in pairwise(edges):
        if any(start <= left and right <= (end or 0) for start, end in spans):
            covered += right - left
    return covered


def _file_facts(file: File, *, readable: bool) -> Facts:
    facts: Facts = {
        "state": "available" if readable else "announced",
        "format": file.format,
        "started_at": file.started_at,
        "ended_at": file.ended_at,
        "duration_ms": file.duration_ms,
        "size_bytes": file.size_bytes,
        "media": dict(file.media),
        "streams": sorted((stream.user_id, stream.source) for stream in file.streams),
    }
    if file.storage:  # else it is Reelhook's settings that may tell
        facts |= {"storage": file.storage, "bucket": file.bucket, "region": file.region, "url": file.url}
    return facts


def _slice_facts(one: Slice) -> Facts:
    is_mixed = one.user_id == "mixed"
    return {
        "identifier": one.identifier,
        "bucket": one.bucket,
        "mixed": is_mixed,
        "streams": [] if is_mixed else [(one.user_id, "camera")],
        "started_at": one.started_at,
        "duration_ms": one.duration_ms,
        "size_bytes": one.size_bytes,
    }
