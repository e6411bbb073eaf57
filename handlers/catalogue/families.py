"""What is known of one task's name - its runs, files and marks - as it is loaded, changed and written back.

A family is every run of one vendor task name. Folding and rebuilding both load families, put events in, and
write the difference, so a rebuilt catalogue can't follow other rules than a folded one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handlers.catalogue.merge import AVAILABLE, Sighting, merge
from handlers.catalogue.runs import Mark, Span, describe, run_of, starts_of
from handlers.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    """All runs of one task name."""

    key: TaskKey
    #: the task rows by run, as stored
    stored: dict[int, Row] = field(default_factory=dict)
    tasks: dict[int, Row] = field(default_factory=dict)
    #: by locator
    files: dict[str, File] = field(default_factory=dict)
    stored_marks: set[Mark] = field(default_factory=set)
    marks: set[Mark] = field(default_factory=set)

    def put_sighting(self, locator: str, sighting: Sighting, *, afresh: bool = False) -> list[str]:
        """Fold what an event says of a file; return the changes, in the order in which rules shall see them."""
        file = self.files.get(locator)
        if file is None:
            self.files[locator] = file = File(id=new_id("rec"), stored_sightings={})
        before = dict(file.row)
        if not file.see(sighting, afresh=afresh):
            return []
        file.settle()
        return _changes(before, file.row)

    def put_mark(self, mark: Mark) -> list[str]:
        """Fold a start, stop or failure; return its kind unless the same was told before."""
        same = [known for known in self.marks if known.at == mark.at and known.kind == mark.kind]
        own = [known for known in same if known.delivery == mark.delivery]
        # One delivery has one mark of a kind and time: of two that differ, the greater, whatever their order.
        self.marks.difference_update(own)
        self.marks.add(max((*own, mark), key=lambda one: (one.reason or "", one.business_id or "")))
        return [] if same else [mark.kind]

    def settle(self) -> None:
        """Compute the runs from the marks and files."""
        starts = starts_of(self.marks)
        marks: dict[int, list[Mark]] = defaultdict(list)
        files: dict[int, list[File]] = defaultdict(list)
        spans: dict[int, list[Span]] = defaultdict(list)
        for mark in self.marks:
            marks[run_of(starts, mark.at)].append(mark)
        for file in (file for file in self.files.values() if not file.is_gone):
            span = file.span
            run = run_of(starts, span.time)
            files[run].append(file)
            spans[run].append(span)
        rows = self._rows_by_start(starts, sorted(marks.keys() | files.keys()))
        self.tasks = {}
        for run, row in rows.items():
            self.tasks[run] = row | dict(describe(marks[run], spans[run])) | {"run": run}
            for file in files[run]:
                file.row["task"] = row["id"]

    def _rows_by_start(self, starts: list[int], runs: Iterable[int]) -> dict[int, Row]:
        """Give each run the row that had its start before: a run keeps its id when an earlier one turns up."""
        by_start = {row["started_at"]: row for row in self.stored.values() if row["state"] != "unknown"}
        free = [row for run, row in sorted(self.stored.items())]
        rows: dict[int, Row] = {}
        for run in runs:
            known = by_start.get(starts[run - 1]) if run <= len(starts) else None
            if known is not None and known in free:
                rows[run] = known
                free.remove(known)
        for run in runs:
            if run not in rows:
                rows[run] = free.pop(0) if free else {"id": new_id("tsk")}
        return rows


def _changes(before: Row, after: Row) -> list[str]:
    if not before:
        return ["recording.created", "recording.available"] if after["state"] == AVAILABLE else ["recording.created"]
    facts = [name for name in after if name not in {"state", "sightings", "first_seen_at"}]
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
    """Return the event's word on its task as a mark."""
    return Mark(
        at=event.at,
        kind=event.kind,
        delivery=delivery.id,
        account=delivery.account,
        business_id=event.business_id,
        reason=event.reason,
    )
