"""What is known of one task's name - its runs, files and marks - as it is loaded, changed and written back.

A family is every run of one vendor task name. Folding and rebuilding both load families, put events in, and
write the difference, so a rebuilt catalogue can't follow other rules than a folded one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from handlers.catalogue.merge import ANNOUNCED, AVAILABLE, Sighting, merge
from handlers.catalogue.slices import Slice, Slices
from handlers.catalogue.standing import Standing
from handlers.ids import new_id
from handlers.runs import READABLE, Mark, Span, describe, parted, run_of, starts_of, upload_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handlers.catalogue.slices import Name
    from handlers.events import Delivery, Event, TaskKey

Row = dict[str, Any]
#: the delivery and the event's position in it
Place = tuple[str, int]


class Happened(NamedTuple):
    """One change, and which file or slice of the family it is about; of neither, it is about the task."""

    name: str
    #: its locator
    file: str | None = None
    slice: Name | None = None


@dataclass(kw_only=True)
class File:
    """One recording, as stored and as it will be."""

    id: str
    #: None if it is new
    stored: Row | None = None
    row: Row = field(default_factory=dict)
    #: None until they are needed: most files of a family stay as they are
    stored_sightings: dict[Place, Sighting] | None = None
    sightings: dict[Place, Sighting] = field(default_factory=dict)

    def see(self, sighting: Sighting, *, afresh: bool = False) -> bool:
        """Put a sighting in; tell whether it was not there, or said something else.

        What the vendor said is compared. Where that is unchanged, the stored sighting stands, with the storage that
        was found for it then; `afresh` takes what the settings say now.
        """
        known = self.sightings.get(sighting.place)
        stored = (self.stored_sightings or {}).get(sighting.place)
        is_same = stored is not None and stored.fingerprint == sighting.fingerprint and not afresh
        self.sightings[sighting.place] = stored if is_same and stored is not None else sighting
        return known is None or known.fingerprint != sighting.fingerprint

    def settle(self) -> None:
        """Compute the row from the sightings."""
        if self.sightings:
            self.row |= merge(list(self.sightings.values()))

    def judge(self, upload: str | None) -> bool:
        """Tell, and note, whether the file is available: by its own deliveries' word, or by its run's upload."""
        is_available = bool(self.row["available"]) or upload in READABLE
        if self.row["state"] in {ANNOUNCED, AVAILABLE}:
            self.row["state"] = AVAILABLE if is_available else ANNOUNCED
        return is_available

    @property
    def is_gone(self) -> bool:
        """Tell a recording that nothing speaks of any more."""
        return self.stored_sightings is not None and not self.sightings

    @property
    def differs(self) -> bool:
        """Tell whether anything of the file may have to be written."""
        return self.stored_sightings is not None or self.row != self.stored

    @property
    def span(self) -> Span:
        """Return when the file was recorded."""
        row = self.row
        return Span(
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            first_seen_at=row["first_seen_at"],
            account=row["account"],
            business_id=row["business_id"],
        )


@dataclass(kw_only=True)
class Family:
    """Every run of one vendor task name."""

    key: TaskKey
    #: rows of tasks, by run, as stored and as they will be
    stored: dict[int, Row] = field(default_factory=dict)
    tasks: dict[int, Row] = field(default_factory=dict)
    #: by locator
    files: dict[str, File] = field(default_factory=dict)
    stored_marks: set[Mark] = field(default_factory=set)
    marks: set[Mark] = field(default_factory=set)
    slices: Slices = field(default_factory=Slices)
    #: the starts of the runs, and run -> how its upload stands; None where the marks have changed since
    _told: tuple[list[int], dict[int, str | None]] | None = None
    #: the marks by delivery, time and kind, and how many say the same; None until the first is put in
    _places: dict[tuple[str, int, str], Mark] | None = None
    _said: Counter[tuple[object, ...]] = field(default_factory=Counter)
    #: what the tasks were last worked out from; None where something may have moved from one run to another since
    _standing: Standing | None = None
    #: what was put in since: files, slices, and whether any mark
    _new_files: set[str] = field(default_factory=set)
    _new_slices: set[Name] = field(default_factory=set)
    _has_new_marks: bool = False

    def keep_sighting(self, locator: str, sighting: Sighting, *, afresh: bool = False) -> bool:
        """Put in what an event says of a file, and leave its row as it is; tell whether that was not known."""
        file = self.files.get(locator)
        if file is None:
            self.files[locator] = file = File(id=new_id("rec"), stored_sightings={})
        return file.see(sighting, afresh=afresh)

    def keep_mark(self, mark: Mark) -> bool:
        """Put in what an event says of a run; tell whether nobody had said the same.

        One delivery has one mark of a kind and time: of two that differ, the greater, whatever their order.
        """
        if self._places is None:
            self._places = {one.place: one for one in self.marks}
            self._said = Counter(one.said for one in self.marks)
        is_new = not self._said[mark.said]
        known = self._places.get(mark.place)
        if known is None or mark.rank > known.rank:
            self._replace(known, mark, self._places)
        return is_new

    def _replace(self, known: Mark | None, mark: Mark, places: dict[tuple[str, int, str], Mark]) -> None:
        if known is not None:
            self.marks.discard(known)
            self._said[known.said] -= 1
        self.marks.add(mark)
        self._said[mark.said] += 1
        places[mark.place] = mark
        both = [one for one in (known, mark) if one is not None]
        if any(one.moves_uploads for one in both):
            self._told = None
        if any(one.begins for one in both):
            self._standing = None

    def put_sighting(self, locator: str, sighting: Sighting, *, afresh: bool = False) -> list[Happened]:
        """Fold what an event says of a file; return the changes, in the order in which rules shall see them."""
        before = dict(self.files[locator].row) if locator in self.files else {}
        if not self.keep_sighting(locator, sighting, afresh=afresh):
            return []
        file = self.files[locator]
        self._new_files.add(locator)
        file.settle()
        file.judge(self._upload_of(file))
        return [Happened(name, file=locator) for name in _changes(before, file.row)]

    def put_mark(self, mark: Mark) -> list[Happened]:
        """Fold what an event says of a run; return the changes, its kind only where the same was not told before."""
        is_new = self.keep_mark(mark)
        self._has_new_marks = True
        changes = [Happened(mark.kind)] if is_new and not self._goes_on(mark) else []
        available = self._judge() if self._told is None else ()
        return changes + [Happened("recording.available", file=locator) for locator in available]

    def put_slice(self, told: Slice, *, afresh: bool = False) -> list[Happened]:
        """Fold what an event says of a segment; return the changes."""
        is_new = self.slices.put(told, afresh=afresh)
        if self._standing is not None:
            self._new_slices.add(told.name)
        return [Happened("segment.created", slice=told.name)] if is_new else []

    def task_of(self, task: str) -> Row | None:
        """Return a run's row by its id; the family is settled."""
        return next((row for row in self.tasks.values() if row["id"] == task), None)

    def task_at(self, at: int, mark: Mark | None = None) -> Row | None:
        """Return the row of the run that a mark speaks of, else in which a time falls, if any; it is settled."""
        if self._standing is None:
            return None
        run = None if mark is None else self._standing.run_of_mark(mark)
        return self.tasks.get(run_of(self._standing.starts, at) if run is None else run)

    def settle(self) -> None:
        """Compute the runs from the marks, files and identifiers; those that it had before keep their ids."""
        identifiers = list(self.slices.identifiers.values())
        starts = starts_of(self.marks, identifiers)
        standing = Standing(starts=starts, marks=parted(self.marks, starts))
        files: dict[int, list[File]] = defaultdict(list)
        for locator, file in self.files.items():
            if not file.is_gone:
                files[standing.place_file(locator, file.span)].append(file)
        for identifier in sorted(identifiers, key=lambda one: (one.first_at, one.name)):
            standing.place_identifier(identifier)
        heard = {run: [self.slices.identifiers[name] for name in names] for run, names in standing.heard.items()}
        had = {run: [one.task for one in some] for run, some in heard.items()}
        self.tasks = self._rows_by_start(starts, sorted(standing.marks.keys() | files.keys() | heard.keys()), had)
        for run, row in self.tasks.items():
            self.slices.move(heard.get(run, ()), row["id"])
            self._describe(standing, run)
            for file in files[run]:
                file.row["task"] = row["id"]
                file.judge(self.tasks[run]["upload"])
        self._stand(standing)

    def keep_up(self) -> None:
        """Compute the runs as settle() does, by what was put in since the last time alone, where that is enough."""
        if self._standing is None or not self._take_new(self._standing):
            self.settle()
        else:
            self._stand(self._standing)

    def _take_new(self, standing: Standing) -> bool:
        """Take what is new; tell whether no run began or lost anything by that."""
        changed: set[int] = set()
        if self._has_new_marks:
            standing.take_marks(self.marks)
            changed.update(standing.marks.keys() | self.tasks.keys())
        for locator in self._new_files:
            file = self.files[locator]
            run = None if file.is_gone else standing.take_file(locator, file.span)
            if run not in self.tasks:
                return False
            changed.add(run)
            file.row["task"] = self.tasks[run]["id"]
        for name in self._new_slices:
            run = standing.take_identifier(self.slices.identifiers[name[0]])
            if run not in self.tasks:
                return False
            changed.add(run)
            if name in self.slices.rows:
                self.slices.rows[name]["task"] = self.tasks[run]["id"]
        if any(run not in self.tasks or standing.is_empty(run) for run in changed):
            return False
        for run in changed:
            self._describe(standing, run)
        return True

    def _describe(self, standing: Standing, run: int) -> None:
        identifiers = [self.slices.identifiers[name] for name in standing.heard.get(run, ())]
        told = describe(standing.marks.get(run, ()), standing.files[run], identifiers)
        self.tasks[run] = self.tasks[run] | dict(told) | {"run": run}

    def _stand(self, standing: Standing) -> None:
        self._standing = standing
        self._new_files.clear()
        self._new_slices.clear()
        self._has_new_marks = False

    def newly_over(self) -> dict[str, str]:
        """Return the tasks that are over, or not the last any more, and were neither as stored; with the reason."""
        was = _over(self.stored)
        left = {row["id"] for row in self.tasks.values()}
        gone = {row["id"]: "its run is part of another" for row in self.stored.values() if row["id"] not in left}
        return {task: why for task, why in self.over().items() if task not in was} | gone

    def over(self) -> dict[str, str]:
        """Return the tasks that are over, or not the last any more, with the reason."""
        return _over(self.tasks)

    def _judge(self) -> list[str]:
        """Judge the files by what the marks say now; return the locators of those that became available.

        A word on an upload can make them so, and so can a start that parts one run's upload from the next one's.
        """
        _, uploads = self._runs()
        if READABLE.isdisjoint(uploads.values()):
            return []
        waiting = {
            name: file for name, file in self.files.items() if file.row["state"] == ANNOUNCED and not file.is_gone
        }
        return [name for name, file in waiting.items() if file.judge(self._upload_of(file))]

    def _upload_of(self, file: File) -> str | None:
        starts, uploads = self._runs()
        return uploads.get(run_of(starts, file.span.time))

    def _goes_on(self, mark: Mark) -> bool:
        """Tell a word that something runs, of a run that is known to have been started."""
        if mark.state != "running" or mark.begins or not mark.kind.endswith(".started"):
            return False
        starts, _ = self._runs()
        run = run_of(starts, mark.at)
        return any(one.kind == mark.kind and one != mark and run_of(starts, one.at) == run for one in self.marks)

    def _runs(self) -> tuple[list[int], dict[int, str | None]]:
        """Return the starts of the runs, and how the upload of each stands."""
        if self._told is None:
            starts = starts_of(self.marks)
            self._told = starts, {run: upload_of(marks) for run, marks in parted(self.marks, starts).items()}
        return self._told

    def _rows_by_start(
        self, starts: list[int], runs: Sequence[int], had: Mapping[int, Sequence[str | None]]
    ) -> dict[int, Row]:
        """Give each run the row that had its start or its segments before: an earlier run that turns up takes none."""
        by_start = {row["started_at"]: row for row in self.tasks.values() if row["state"] != "unknown"}
        free = {row["id"]: row for run, row in sorted(self.tasks.items())}
        rows: dict[int, Row] = {}
        for run in runs:
            known = by_start.get(starts[run - 1]) if run <= len(starts) else None
            wanted = [known["id"]] if known is not None else had.get(run, ())
            found = next((one for one in wanted if one in free), None)
            if found is not None:
                rows[run] = free.pop(found)
        for run in runs:
            if run not in rows:
                rows[run] = free.pop(next(iter(free))) if free else {"id": new_id("tsk")}
        return rows


def _why_over(task: Row, last_run: int) -> str | None:
    if task["state"] in {"stopped", "failed"}:
        return f"its task has {task['state']}"
    return f"run {last_run} of its task has begun" if task["run"] < last_run else None


def _over(tasks: Mapping[int, Row]) -> dict[str, str]:
    last_run = max(tasks, default=0)
    reasons = {row["id"]: _why_over(row, last_run) for row in tasks.values()}
    return {task: why for task, why in reasons.items() if why is not None}


def _changes(before: Row, after: Row) -> list[str]:
    if not before:
        return ["recording.created", "recording.available"] if after["state"] == AVAILABLE else ["recording.created"]
    facts = [name for name in after if name not in {"state", "available", "sightings", "first_seen_at"}]
    changes = ["recording.changed"] if any(before[name] != after[name] for name in facts if name in before) else []
    if after["state"] == AVAILABLE != before["state"]:
        changes.append("recording.available")
    return changes


def sighting_of(event: Event, delivery: Delivery, position: int) -> Sighting:
    """Return the event's word on its recording as a sighting."""
    assert event.recording is not None, "only an event with a recording is a sighting"  # noqa: S101 - a caller's bug
    return Sighting(
        delivery=delivery.id,
        position=position,
        door=delivery.door,
        account=delivery.account,
        received_at=delivery.received_at,
        at=event.at,
        fingerprint=event.fingerprint(),
        business_id=event.business_id,
        recording=event.recording,
    )


def mark_of(event: Event, delivery: Delivery) -> Mark:
    """Return the event's word on a run of its task as a mark."""
    return Mark(
        at=event.at,
        kind=event.kind,
        delivery=delivery.id,
        account=delivery.account,
        business_id=event.business_id,
        reason=event.reason,
        state=event.state,
        begins=event.begins,
        upload=event.upload.state if event.upload else None,
        progress=event.upload.progress if event.upload else None,
    )


def is_mark(event: Event) -> bool:
    """Tell whether the event says anything of a run."""
    return event.state is not None or event.begins or event.upload is not None
