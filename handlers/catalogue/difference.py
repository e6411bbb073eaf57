"""What of the catalogue must be written: the rows of some families that differ from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy import bindparam

from handlers import tables
from handlers.catalogue.merge import to_facts
from handlers.rows import Row, delete, insert, update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.catalogue.families import Family, File, Place
    from handlers.catalogue.merge import Sighting
    from handlers.catalogue.slices import Slices
    from handlers.events import Stream
    from handlers.runs import Identifier, Mark


#: the columns of a segment that another word, or another task, can change
_SLICE = tuple(
    column.name
    for column in tables.segments.c
    if column.name not in {"id", "vendor", "app_id", "room_id", "task_id", "identifier", "locator"}
)


class Difference:
    """The rows to insert, update and delete, by table."""

    def __init__(self, families: Iterable[Family], *, now: int) -> None:
        """Compare each family with what is stored of it; `now` becomes updated_at of what differs."""
        self._now = now
        self._new_tasks: list[Row] = []
        self._updated_tasks: list[Row] = []
        self._dropped_tasks: list[Row] = []
        self._new_files: list[Row] = []
        self._updated_files: list[Row] = []
        self._dropped_files: list[Row] = []
        self._marks: list[Row] = []
        self._dropped_marks: list[Row] = []
        self._sightings: list[Row] = []
        self._dropped_sightings: list[Row] = []
        self._streams: list[Row] = []
        self._dropped_streams: list[Row] = []
        self._slices: list[Row] = []
        self._updated_slices: list[Row] = []
        #: identifiers whose slices have come to belong to another task
        self._moved: list[Row] = []
        self._identifiers: list[Row] = []
        self._dropped_identifiers: list[Row] = []
        #: the columns in which any updated row differs: no other index is touched
        self._task_columns = {"updated_at"}
        self._file_columns = {"updated_at"}
        for family in families:
            self._add(family)

    @property
    def count(self) -> int:
        """Return how many rows are written or deleted."""
        return sum(len(rows) for rows in vars(self).values() if isinstance(rows, list))

    def write(self, connection: Connection) -> None:
        """Write them all."""
        if "run" in self._task_columns:
            _renumber(connection, self._updated_tasks)
        for table, gone in (
            (tables.recordings, self._dropped_files),
            (tables.tasks, self._dropped_tasks),
            (tables.marks, self._dropped_marks),
            (tables.sightings, self._dropped_sightings),
            (tables.recording_streams, self._dropped_streams),
            (tables.identifiers, self._dropped_identifiers),
        ):
            delete(connection, table, gone)
        insert(connection, tables.tasks, self._new_tasks)
        update(connection, tables.tasks, sorted(self._task_columns), self._updated_tasks)
        insert(connection, tables.marks, self._marks)
        insert(connection, tables.recordings, self._new_files)
        update(connection, tables.recordings, sorted(self._file_columns), self._updated_files)
        insert(connection, tables.recording_streams, self._streams)
        insert(connection, tables.sightings, self._sightings)
        insert(connection, tables.identifiers, self._identifiers)
        _move(connection, self._moved)
        insert(connection, tables.segments, self._slices)
        update(connection, tables.segments, _SLICE, self._updated_slices)

    def _add(self, family: Family) -> None:
        key = family.key
        name = {
            "vendor": key.vendor,
            "app_id": key.app_id,
            "room_id": key.room_id,
            "type": key.type,
            "task_id": key.task_id,
        }
        stored = {row["id"]: row for row in family.stored.values()}
        for row in family.tasks.values():
            before = stored.pop(row["id"], None)
            self._task(before, row | name)
        self._dropped_tasks += [{"id": one} for one in stored]
        for locator, file in family.files.items():
            if file.differs:
                self._file(file, file.row | name | {"id": file.id, "locator": locator})
        if family.marks != family.stored_marks:
            self._marks += [name | _mark_row(mark) for mark in family.marks - family.stored_marks]
            self._dropped_marks += [name | _mark_key(mark) for mark in family.stored_marks - family.marks]
        if family.slices.identifiers != family.slices.stored_identifiers or family.slices.rows:
            self._hear(family.slices, name)

    def _hear(self, slices: Slices, name: Row) -> None:
        gone = slices.stored_identifiers.keys() - slices.identifiers.keys()
        self._dropped_identifiers += [name | {"identifier": one} for one in gone]
        for known in slices.identifiers.values():
            before = slices.stored_identifiers.get(known.name)
            if known == before:
                continue
            self._identifiers.append(name | _identifier_row(known))
            if before is not None:
                self._dropped_identifiers.append(name | {"identifier": known.name})
                if before.task != known.task:
                    self._moved.append({"was": before.task, "becomes": known.task, "its": known.name})
        named = {key: value for key, value in name.items() if key != "type"}
        for place, row in slices.rows.items():
            stored = slices.stored.get(place)
            if stored is None:
                self._slices.append(row | named)
            elif row != stored:
                self._updated_slices.append(row)

    def _task(self, before: Row | None, row: Row) -> None:
        if before is None:
            self._new_tasks.append(row | {"updated_at": self._now})
        elif row != before:
            self._task_columns |= _changed(before, row)
            self._updated_tasks.append(row | {"updated_at": self._now})

    def _file(self, file: File, row: Row) -> None:
        streams = row.pop("streams", ())
        if file.is_gone:
            self._dropped_files.append({"id": file.id})
        elif file.stored is None:
            self._new_files.append(row | {"updated_at": self._now})
        elif row != file.stored:
            self._file_columns |= _changed(file.stored, row)
            self._updated_files.append(row | {"updated_at": self._now})
        if file.stored_sightings is not None and file.sightings != file.stored_sightings:
            self._sight(file.id, file.stored_sightings, file.sightings)
            self._stream(file, streams)

    def _sight(self, recording: str, before: Mapping[Place, Sighting], after: Mapping[Place, Sighting]) -> None:
        differ = [place for place, sighting in after.items() if before.get(place) != sighting]
        gone = [place for place in before if before[place] != after.get(place)]
        self._dropped_sightings += [_sighting_key(recording, before[place]) for place in gone]
        self._sightings += [_sighting_row(recording, after[place]) for place in differ]

    def _stream(self, file: File, streams: Iterable[Stream]) -> None:
        if file.stored is not None:
            self._dropped_streams.append({"recording": file.id})
        if not file.is_gone:
            self._streams += [
                {"recording": file.id, "user_id": stream.user_id, "source": stream.source or ""} for stream in streams
            ]


def _changed(before: Row, after: Row) -> set[str]:
    return {name for name, value in after.items() if before[name] != value}


def _sighting_key(recording: str, sighting: Sighting) -> Row:
    return {"recording": recording, "delivery": sighting.delivery, "position": sighting.position}


def _sighting_row(recording: str, sighting: Sighting) -> Row:
    return {
        "recording": recording,
        "delivery": sighting.delivery,
        "position": sighting.position,
        "door": sighting.door,
        "account": sighting.account,
        "received_at": sighting.received_at,
        "at": sighting.at,
        "fingerprint": sighting.fingerprint,
        "facts": to_facts(sighting),
    }


def _mark_key(mark: Mark) -> Row:
    return {"at": mark.at, "kind": mark.kind, "delivery": mark.delivery}


def _mark_row(mark: Mark) -> Row:
    return dict(vars(mark))


def _identifier_row(known: Identifier) -> Row:
    told = dict(vars(known))
    return {"identifier": told.pop("name"), **told}


def _move(connection: Connection, moved: Sequence[Row]) -> None:
    """Let the slices of each identifier belong to the task that it belongs to now, however many they are."""
    segments = tables.segments
    if moved:
        here = (segments.c.task == bindparam("was")) & (segments.c.identifier == bindparam("its"))
        connection.execute(sqlalchemy.update(segments).where(here).values(task=bindparam("becomes")), moved)


def _renumber(connection: Connection, rows: Iterable[Row]) -> None:
    """Move runs out of each other's way; the update that follows gives each its number: (name, run) is unique."""
    update(connection, tables.tasks, ["run"], [{"id": row["id"], "run": -row["run"]} for row in rows])
