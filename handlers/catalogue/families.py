"""What is known of one task's name - its runs, files and marks - as it is loaded, changed and written back.

A family is every run of one vendor task name. Folding and rebuilding both load families, put events in, and
write the difference, so a rebuilt catalogue can't follow other rules than a folded one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handlers.catalogue.merge import ANNOUNCED, AVAILABLE, Sighting, merge
from handlers.catalogue.slices import Slice, Slices
from handlers.ids import new_id
from handlers.runs import READABLE, Identifier, Mark, Span, describe, parted, run_of, starts_of, upload_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handlers.events import Delivery, Event, TaskKey

Row = dict[str, Any]
#: the delivery and the event's position in it
Place = tuple[str, int]


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
        if any(one.moves_uploads for one in (known, mark) if one is not None):
            self._told = None

    def put_sighting(self, locator: str, sighting: Sighting, *, afresh: bool = False) -> list[str]:
        """Fold what an event says of a file; return the changes, in the order in which rules shall see them."""
        before = dict(self.files[locator].row) if locator in self.files else {}
        if not self.keep_sighting(locator, sighting, afresh=afresh):
            return []
        file = self.files[locator]
        file.settle()
        file.judge(self._upload_of(file))
        return _changes(before, file.row)

    def put_mark(self, mark: Mark) -> list[str]:
        """Fold what an event says of a run; return the changes, its kind only where the same was not told before."""
        is_new = self.keep_mark(mark)
        changes = [mark.kind] if is_new and not self._goes_on(mark) else []
        return changes + ["recording.available"] * (self._judge() if self._told is None else 0)

    def put_slice(self, told: Slice, *, afresh: bool = False) -> list[str]:
        """Fold what an event says of a segment; return the changes."""
        return ["segment.created"] if self.slices.put(told, afresh=afresh) else []

    def settle(self) -> None:
        """Compute the runs from the marks, files and identifiers."""
        identifiers = list(self.slices.identifiers.values())
        starts = starts_of(self.marks, identifiers)
        marks = parted(self.marks, starts)
        files: dict[int, list[File]] = defaultdict(list)
        spans: dict[int, list[Span]] = defaultdict(list)
        heard: dict[int, list[Identifier]] = defaultdict(list)
        for file in (file for file in self.files.values() if not file.is_gone):
            span = file.span
            run = run_of(starts, span.time)
            files[run].append(file)
            spans[run].append(span)
        for identifier in sorted(identifiers, key=lambda one: (one.first_at, one.name)):
            heard[run_of(starts, identifier.first_at)].append(identifier)
        had = {run: [one.task for one in heard[run]] for run in heard}
        rows = self._rows_by_start(starts, sorted(marks.keys() | files.keys() | heard.keys()), had)
        self.tasks = {}
        for run, row in rows.items():
            self.tasks[run] = row | dict(describe(marks[run], spans[run], heard[run])) | {"run": run}
            self.slices.move(heard[run], row["id"])
            for file in files[run]:
                file.row["task"] = row["id"]
                file.judge(self.tasks[run]["upload"])

    def _judge(self) -> int:
        """Judge the files by what the marks say now; return how many became available.

        A word on an upload can make them so, and so can a start that parts one run's upload from the next one's.
        """
        _, uploads = self._runs()
        if READABLE.isdisjoint(uploads.values()):
            return 0
        waiting = [file for file in self.files.values() if file.row["state"] == ANNOUNCED and not file.is_gone]
        return sum(file.judge(self._upload_of(file)) for file in waiting)

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
        by_start = {row["started_at"]: row for row in self.stored.values() if row["state"] != "unknown"}
        free = {row["id"]: row for run, row in sorted(self.stored.items())}
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
