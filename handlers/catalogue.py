"""How events become the catalogue's rows: load the families they touch, fold, write the difference.

1. Lock the families in key order, so that two workers can't deadlock and a family has one writer.
2. Load their tasks, marks and files, and the sightings of the files that the events name.
3. Fold event by event, in the order of their times; note what each one changed.
4. Write what differs: nothing where an event was folded before.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, BigInteger, bindparam, delete, func, insert, select, tuple_, update

from handlers import tables
from handlers.events import Delivery, Event, Stream, TaskKey
from handlers.families import Family, File, Place, Row, mark_of, sighting_of
from handlers.merge import Sighting, from_facts, to_facts
from handlers.runs import MARKS, Mark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping, Table

_NAME = ("vendor", "app_id", "room_id", "type", "task_id")
#: how many values one statement may name; SQLite's oldest limit is 999
_CHUNK = 400


@dataclass(frozen=True, kw_only=True)
class Told:
    """One event, and the delivery that told of it."""

    delivery: Delivery
    position: int
    event: Event

    @property
    def order(self) -> tuple[int, str, int]:
        """Return where the event stands among those of its family."""
        return (self.event.at, self.delivery.id, self.position)


def fold(connection: Connection, told: Sequence[Told], *, now: int) -> dict[tuple[str, int], list[str]]:
    """Fold the events in; return the changes that each told, by delivery and position.

    The caller's transaction writes. `now`, in milliseconds UTC, becomes updated_at of what differs.
    """
    by_family: dict[TaskKey, list[Told]] = defaultdict(list)
    for one in told:
        if one.event.task is not None and one.event.kind != "unknown":
            by_family[one.event.task].append(one)
    keys = sorted(by_family)
    lock(connection, keys)
    locators = {key: {t.event.recording.locator for t in by_family[key] if t.event.recording} for key in keys}
    families = load(connection, locators)
    changes: dict[tuple[str, int], list[str]] = {(one.delivery.id, one.position): [] for one in told}
    for key in keys:
        for one in sorted(by_family[key], key=lambda t: t.order):
            changes[one.delivery.id, one.position] = put(families, one)
        families[key].settle()
    write(connection, families.values(), now=now)
    _write_events(connection, told, families, changes)
    return changes


def put(families: Mapping[TaskKey, Family], one: Told, *, afresh: bool = False) -> list[str]:
    """Put an event into its family, which is among these; return the changes that it told."""
    assert one.event.task is not None, "only an event with a task has a family"  # noqa: S101 - a caller's bug
    family = families[one.event.task]
    changes: list[str] = []
    if one.event.kind in MARKS:
        changes += family.put_mark(mark_of(one.event, one.delivery))
    if one.event.recording is not None:
        sighting = sighting_of(one.event, one.delivery, one.position)
        changes += family.put_sighting(one.event.recording.locator, sighting, afresh=afresh)
    return changes


def lock(connection: Connection, keys: Sequence[TaskKey]) -> None:
    """Keep other workers from these families until the transaction ends; the keys are sorted."""
    if connection.dialect.name == "postgresql" and keys:
        numbers = func.unnest(bindparam("numbers", [_number(key) for key in keys], type_=ARRAY(BigInteger)))
        connection.execute(select(func.pg_advisory_xact_lock(numbers.column_valued("number"))))


def _number(key: TaskKey) -> int:
    digest = hashlib.blake2b("\0".join(astuple(key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def load(connection: Connection, locators: Mapping[TaskKey, Collection[str] | None]) -> dict[TaskKey, Family]:
    """Load the families: of each the files named by locator with their sightings (None: all), of others the row."""
    families = {key: Family(key=key) for key in locators}
    owners: dict[str, Family] = {}
    for row in _rows(connection, tables.tasks, _NAME, [astuple(key) for key in families]):
        family = families[key_of(row)]
        family.stored[row["run"]] = family.tasks[row["run"]] = row
        owners[row["id"]] = family
    if not owners:
        return families
    for row in _rows(connection, tables.marks, _NAME, [astuple(family.key) for family in owners.values()]):
        mark = {name: row[name] for name in ("at", "kind", "delivery", "account", "business_id", "reason")}
        families[key_of(row)].stored_marks.add(Mark(**mark))
    for family in families.values():
        family.marks |= family.stored_marks
    wanted: dict[str, File] = {}
    for row in _rows(connection, tables.recordings, ("task",), [(task,) for task in owners]):
        family = owners[row["task"]]
        file = File(id=row["id"], stored=row, row=dict(row))
        family.files[row["locator"]] = file
        named = locators[family.key]
        if named is None or row["locator"] in named:
            wanted[row["id"]] = file
    _load_sightings(connection, wanted)
    return families


def _load_sightings(connection: Connection, files: Mapping[str, File]) -> None:
    names = ("delivery", "position", "door", "account", "received_at", "at", "fingerprint")
    for row in _rows(connection, tables.sightings, ("recording",), [(recording,) for recording in files]):
        recording, business_id = from_facts(row["facts"])
        told = {name: row[name] for name in names}
        sighting = Sighting(recording=recording, business_id=business_id, **told)
        files[row["recording"]].sightings[sighting.place] = sighting
    for file in files.values():
        file.stored_sightings = dict(file.sightings)


def key_of(row: Row | RowMapping) -> TaskKey:
    """Return the task name that a row carries."""
    return TaskKey(
        vendor=row["vendor"],
        app_id=row["app_id"],
        room_id=row["room_id"],
        type=row["type"],
        task_id=row["task_id"],
    )


def _rows(
    connection: Connection, table: Table, names: Sequence[str], values: Sequence[tuple[Any, ...]]
) -> Iterator[Row]:
    """Yield the rows whose named columns have one of the values."""
    columns = [table.c[name] for name in names]
    for start in range(0, len(values), _CHUNK):
        some = values[start : start + _CHUNK]
        wanted = columns[0].in_([value for (value,) in some]) if len(columns) == 1 else tuple_(*columns).in_(some)
        for row in connection.execute(select(table).where(wanted)).mappings():
            yield dict(row)


def write(connection: Connection, families: Iterable[Family], *, now: int) -> int:
    """Write what of the families differs from what is stored; return how many rows that is."""
    rows = _Difference()
    for family in families:
        rows.add(family, now)
    _renumber(connection, rows.updated_tasks)
    for table, ids in ((tables.recordings, rows.dropped_files), (tables.tasks, rows.dropped_tasks)):
        _delete(connection, table, [{"id": one} for one in ids])
    _delete(connection, tables.marks, rows.dropped_marks)
    _delete(connection, tables.sightings, rows.dropped_sightings)
    _delete(connection, tables.recording_streams, rows.dropped_streams)
    _insert(connection, tables.tasks, rows.new_tasks)
    _update(connection, tables.tasks, rows.updated_tasks)
    _insert(connection, tables.marks, rows.marks)
    _insert(connection, tables.recordings, rows.new_files)
    _update(connection, tables.recordings, rows.updated_files)
    _insert(connection, tables.recording_streams, rows.streams)
    _insert(connection, tables.sightings, rows.sightings)
    return rows.count


class _Difference:
    """The rows to insert, update and delete, by table."""

    def __init__(self) -> None:
        self.new_tasks: list[Row] = []
        self.updated_tasks: list[Row] = []
        self.dropped_tasks: list[str] = []
        self.new_files: list[Row] = []
        self.updated_files: list[Row] = []
        self.dropped_files: list[str] = []
        self.marks: list[Row] = []
        self.dropped_marks: list[Row] = []
        self.sightings: list[Row] = []
        self.dropped_sightings: list[Row] = []
        self.streams: list[Row] = []
        self.dropped_streams: list[Row] = []

    @property
    def count(self) -> int:
        return sum(map(len, vars(self).values()))

    def add(self, family: Family, now: int) -> None:
        name = {column: getattr(family.key, column) for column in _NAME}
        stored = {row["id"]: row for row in family.stored.values()}
        for row in family.tasks.values():
            before = stored.pop(row["id"], None)
            self._task(before, {"upload": None, "segment_count": 0} | row | name, now)
        self.dropped_tasks += stored
        for locator, file in family.files.items():
            self._file(file, file.row | name | {"id": file.id, "locator": locator}, now)
        self.marks += [name | _mark_row(mark) for mark in family.marks - family.stored_marks]
        self.dropped_marks += [name | _mark_key(mark) for mark in family.stored_marks - family.marks]

    def _task(self, before: Row | None, row: Row, now: int) -> None:
        if before is None:
            self.new_tasks.append(row | {"updated_at": now})
        elif row != before:
            self.updated_tasks.append(row | {"updated_at": now})

    def _file(self, file: File, row: Row, now: int) -> None:
        streams = row.pop("streams", ())
        if file.is_gone:
            self.dropped_files.append(file.id)
        elif file.stored is None:
            self.new_files.append(row | {"updated_at": now})
        elif row != file.stored:
            self.updated_files.append(row | {"updated_at": now})
        if file.stored_sightings is not None and file.sightings != file.stored_sightings:
            self._sightings(file.id, file.stored_sightings, file.sightings)
            self._streams(file, streams)

    def _sightings(self, recording: str, before: Mapping[Place, Sighting], after: Mapping[Place, Sighting]) -> None:
        differ = [place for place, sighting in after.items() if before.get(place) != sighting]
        gone = [place for place in before if before[place] != after.get(place)]
        self.dropped_sightings += [_sighting_key(recording, before[place]) for place in gone]
        self.sightings += [_sighting_row(recording, after[place]) for place in differ]

    def _streams(self, file: File, streams: Iterable[Stream]) -> None:
        if file.stored is not None:
            self.dropped_streams.append({"recording": file.id})
        if not file.is_gone:
            self.streams += [
                {"recording": file.id, "user_id": stream.user_id, "source": stream.source or ""} for stream in streams
            ]


def _sighting_key(recording: str, sighting: Sighting) -> Row:
    return {"recording": recording, "delivery": sighting.delivery, "position": sighting.position}


def _sighting_row(recording: str, sighting: Sighting) -> Row:
    told = ("door", "account", "received_at", "at", "fingerprint")
    return (
        _sighting_key(recording, sighting)
        | {name: getattr(sighting, name) for name in told}
        | {"facts": to_facts(sighting)}
    )


def _mark_key(mark: Mark) -> Row:
    return {"at": mark.at, "kind": mark.kind, "delivery": mark.delivery}


def _mark_row(mark: Mark) -> Row:
    return _mark_key(mark) | {"account": mark.account, "business_id": mark.business_id, "reason": mark.reason}


def _renumber(connection: Connection, rows: Sequence[Row]) -> None:
    """Move runs out of each other's way before they get their new numbers: (name, run) is unique."""
    moved = [{"moved_id": row["id"], "moved_run": -row["run"]} for row in rows if row["run"] > 1]
    if moved:
        table = tables.tasks
        connection.execute(
            update(table).where(table.c.id == bindparam("moved_id")).values(run=bindparam("moved_run")), moved
        )


def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(insert(table), list(rows))


def _update(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    if rows:
        named = [row | {"_id": row["id"]} for row in rows]
        values: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "id"}
        connection.execute(update(table).where(table.c.id == bindparam("_id")).values(values), named)


def _delete(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    if rows:
        same = [table.c[name] == bindparam(f"its_{name}") for name in rows[0]]
        named = [{f"its_{name}": value for name, value in row.items()} for row in rows]
        connection.execute(delete(table).where(*same), named)


def _write_events(
    connection: Connection,
    told: Sequence[Told],
    families: Mapping[TaskKey, Family],
    changes: Mapping[tuple[str, int], list[str]],
) -> None:
    """Keep what each delivery meant; an event that was folded before keeps the changes that it told then."""
    deliveries = sorted({one.delivery.id for one in told})
    before = {
        (row["delivery"], row["position"]): json.loads(row["changes"])
        for row in _rows(connection, tables.events, ("delivery",), [(delivery,) for delivery in deliveries])
    }
    if before:
        _delete(connection, tables.events, [{"delivery": delivery} for delivery, _ in sorted(before)])
    rows = []
    for one in told:
        place = (one.delivery.id, one.position)
        merged = dict.fromkeys((*before.get(place, ()), *changes[place]))
        rows.append(_event_row(one, families) | {"changes": json.dumps(list(merged))})
    _insert(connection, tables.events, rows)


def correct_events(connection: Connection, told: Sequence[Told], families: Mapping[TaskKey, Family]) -> int:
    """Bring what is stored of these events up to what they mean now; return how many rows differed."""
    deliveries = sorted({one.delivery.id for one in told})
    stored = {
        (row["delivery"], row["position"]): row
        for row in _rows(connection, tables.events, ("delivery",), [(delivery,) for delivery in deliveries])
    }
    rows = []
    for one in told:
        before = stored.get((one.delivery.id, one.position), {"changes": "[]"})
        after = _event_row(one, families) | {"changes": before["changes"]}
        if after != before:
            rows.append(after)
    _delete(connection, tables.events, [{"delivery": row["delivery"], "position": row["position"]} for row in rows])
    _insert(connection, tables.events, rows)
    return len(rows)


def _event_row(one: Told, families: Mapping[TaskKey, Family]) -> Row:
    return {
        "delivery": one.delivery.id,
        "position": one.position,
        "kind": one.event.kind,
        "word": one.event.word,
        "at": one.event.at,
        "recording": _recording_id(one, families),
    }


def _recording_id(one: Told, families: Mapping[TaskKey, Family]) -> str | None:
    if one.event.task is None or one.event.recording is None or one.event.task not in families:
        return None
    return families[one.event.task].files[one.event.recording.locator].id
