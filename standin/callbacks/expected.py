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

_STATES = {"started": "running", "going": "running", "stopped": "stopped", "failed": "failed"}
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
    #: object keys
    slices: frozenset[str]


def expect(notices: Iterable[Notice]) -> Expectation:
    """Return what follows from the notices; those that are forged tell nothing."""
    told: dict[Task, list[Notice]] = defaultdict(list)
    for notice in notices:
        if not notice.forged and notice.says != "other":
            told[_named(notice.task)].append(notice)
    runs: dict[RunName, Facts] = {}
    files: dict[FileName, Facts] = {}
    for task, words in told.items():
        _expect_task(task, words, runs, files)
    slices = frozenset(one.key for words in told.values() for one in _slices(words))
    return Expectation(runs=runs, files=files, slices=slices)


def _named(task: Task) -> Task:
    return replace(task, business_id=None)


def _expect_task(task: Task, words: Sequence[Notice], runs: dict[RunName, Facts], files: dict[FileName, Facts]) -> None:
    starts = _starts(words)
    name = (task.vendor, task.type, task.app_id, task.room_id, task.task_id)
    recorded = _files(words)
    slices = _slices(words)
    for run in range(1, max(len(starts), 1) + 1):
        marks = [word for word in words if word.says not in {"files", "segments"} and _run(starts, word.at) == run]
        own = [file for file in recorded if _run(starts, _time(file)) == run]
        cut = [one for one in slices if _run(starts, one.started_at) == run]
        if not marks and not own and not cut:
            continue
        upload = _latest([word for word in marks if word.upload])
        readable = task.vendor != "volcengine" or (upload is not None and upload.upload in _READABLE)
        runs[*name, run] = _run_facts(task, marks, own, cut) | {"upload": upload.upload if upload else None}
        for file in own:
            files[*name, run, file.name] = _file_facts(file, readable=readable)


def _starts(words: Sequence[Notice]) -> list[int]:
    begins = {word.at for word in words if word.says == "started"}
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
        "state": "unknown" if last is None else _STATES[last.says],
        "recording_count": len(files),
        "segment_count": len(slices),
        "recorded_ms": _covered(files),
    }
    begun = [mark.at for mark in marks if mark.says == "started"]
    if begun:
        facts["started_at"] = min(begun)
    elif files and not marks:
        facts["started_at"] = min(file.started_at for file in files)
    if last is not None and last.says != "failed":
        facts["ended_at"] = last.at if last.says == "stopped" else None
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
    }
    if file.streams:
        facts["streams"] = sorted((stream.user_id, stream.source) for stream in file.streams)
    return facts
