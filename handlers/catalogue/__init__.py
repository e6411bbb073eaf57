"""How events become the catalogue's rows: load the families they touch, fold, write the difference.

1. Lock the families, so that a family has one writer: whoever waits for locks takes them in key order, so that two
   can't deadlock; a worker leaves out what is locked.
2. Load their tasks, marks, files and identifiers, and the sightings and segments that the events name.
3. Fold event by event, in the order of their times; note what each one changed.
4. Write what differs: nothing where an event was folded before.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers import tables
from handlers.catalogue.difference import Difference
from handlers.catalogue.effects import Effect, Watch
from handlers.catalogue.families import Family, File, Happened, is_mark, mark_of, sighting_of
from handlers.catalogue.merge import AVAILABLE, Sighting, from_facts
from handlers.catalogue.slices import Name, slice_of
from handlers.events import Delivery, Event, Segment, TaskKey
from handlers.rows import Row, delete, fetch, insert
from handlers.runs import Identifier, Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping

_NAME = ("vendor", "app_id", "room_id", "type", "task_id")
_MARK = ("at", "kind", "delivery", "account", "business_id", "reason", "state", "begins", "upload", "progress")
_IDENTIFIER = ("task", "account", "business_id", "first_at", "last_at", "segment_count")


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


@dataclass(frozen=True, kw_only=True)
class Folded:
    """What folding some events in comes to, worked out and not written yet."""

    #: what each event changed, by delivery and position
    changes: Mapping[tuple[str, int], list[str]]
    #: those of the changes that somebody waits for, family by family, each in the order of its events
    effects: Sequence[Effect]
    #: the tasks that are over, or were followed by another run, of those that were neither before and of those that
    #: effects are about; with the reason
    over: Mapping[str, str]
    _difference: Difference
    _events: Sequence[Row]
    _stale_events: Sequence[Row]
    _generation: int

    def is_current(self, connection: Connection) -> bool:
        """Tell whether the catalogue is still as it was when this was worked out."""
        return self._generation == generation(connection)

    def write(self, connection: Connection) -> None:
        """Write it all."""
        self._difference.write(connection)
        delete(connection, tables.events, self._stale_events)
        insert(connection, tables.events, self._events)
        _advance(connection)


def fold(connection: Connection, told: Sequence[Told], *, now: int) -> Mapping[tuple[str, int], list[str]]:
    """Fold the events in; return the changes that each told, by delivery and position.

    The caller's transaction writes. `now`, in milliseconds UTC, becomes updated_at of what differs.
    """
    lock(connection, families_of(told))
    folded = work_out(connection, told, now=now)
    folded.write(connection)
    return folded.changes


def nobody_waits(_change: str) -> bool:
    """Tell of any change that nobody waits for it."""
    return False


def work_out(
    connection: Connection,
    told: Sequence[Told],
    *,
    now: int,
    wanted: Callable[[str], bool] = nobody_waits,
    silent: Collection[str] = (),
) -> Folded:
    """Fold the events in as `fold` does, but leave locking and writing to the caller.

    `wanted` tells which changes somebody waits for, and `silent` by which deliveries nobody does. On SQLite it may be
    written by a later transaction than the one that read, if it is current then.
    """
    before = generation(connection)
    by_family: dict[TaskKey, list[Told]] = defaultdict(list)
    for one in told:
        if (key := family_of(one.event)) is not None:
            by_family[key].append(one)
    keys = sorted(by_family)
    locators = {key: {t.event.recording.locator for t in by_family[key] if t.event.recording} for key in keys}
    slices = {key: {_slice_name(t.event.segment) for t in by_family[key] if t.event.segment} for key in keys}
    families = load(connection, locators, slices)
    happened = {(one.delivery.id, one.position): at_once(one.event) for one in told}
    watch = Watch(wanted, silent, now=now)
    for one in told:
        if family_of(one.event) is None:
            watch.see(one.delivery, one.position, one.event, happened[one.delivery.id, one.position])
    for key in keys:
        for one in sorted(by_family[key], key=lambda t: t.order):
            watch.reach(key, one.delivery, one.event)
            happened[one.delivery.id, one.position] += put(families, one)
            watch.see_in(families[key], one.delivery, one.position, one.event, happened[one.delivery.id, one.position])
        watch.end()
        families[key].settle()
    watch.complete(connection)
    changes = {place: [one.name for one in some] for place, some in happened.items()}
    stale, rows = _events(connection, told, families, changes)
    return Folded(
        changes=changes,
        effects=watch.effects,
        over=_over(families.values(), watch.effects),
        _difference=Difference(families.values(), now=now),
        _events=rows,
        _stale_events=stale,
        _generation=before,
    )


def _over(families: Iterable[Family], effects: Sequence[Effect]) -> dict[str, str]:
    about = {effect.task["id"] for effect in effects if effect.task is not None}
    over: dict[str, str] = {}
    for family in families:
        over |= family.newly_over()
        if about:
            over |= {task: why for task, why in family.over().items() if task in about}
    return over


def generation(connection: Connection) -> int:
    """Return a number that changes whenever SQLite's catalogue is written; a server has locks instead, and gives 0."""
    if connection.dialect.name != "sqlite":
        return 0
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _advance(connection: Connection) -> None:
    """Let whoever has read the catalogue without the write lock know that it is another now."""
    if connection.dialect.name == "sqlite":
        following = (generation(connection) + 1) % 2**31
        connection.exec_driver_sql(f"PRAGMA user_version = {following}")


def put(families: Mapping[TaskKey, Family], one: Told, *, afresh: bool = False) -> list[Happened]:
    """Put an event into its family, which is among these; return the changes that it told."""
    assert one.event.task is not None, "only an event with a task has a family"  # noqa: S101 - a caller's bug
    family = families[one.event.task]
    changes: list[Happened] = []
    if is_mark(one.event):
        changes += family.put_mark(mark_of(one.event, one.delivery))
    if one.event.recording is not None:
        sighting = sighting_of(one.event, one.delivery, one.position)
        changes += family.put_sighting(one.event.recording.locator, sighting, afresh=afresh)
    if one.event.segment is not None:
        changes += family.put_slice(slice_of(one.event, one.delivery, one.position), afresh=afresh)
    return changes


def put_again(families: Mapping[TaskKey, Family], one: Told, *, afresh: bool = False) -> None:
    """Put an event into its family as `put` does, where nobody asks for the changes.

    The caller settles the files in the end: with thousands of marks and files, to do so after each event takes long.
    """
    assert one.event.task is not None, "only an event with a task has a family"  # noqa: S101 - a caller's bug
    family = families[one.event.task]
    if is_mark(one.event):
        family.keep_mark(mark_of(one.event, one.delivery))
    if one.event.recording is not None:
        sighting = sighting_of(one.event, one.delivery, one.position)
        family.keep_sighting(one.event.recording.locator, sighting, afresh=afresh)
    if one.event.segment is not None:
        family.put_slice(slice_of(one.event, one.delivery, one.position), afresh=afresh)


def at_once(event: Event) -> list[Happened]:
    """Return the change that an event is by itself, where it leaves nothing in the catalogue that could be compared."""
    leaves_nothing = not is_mark(event) and event.recording is None and event.segment is None
    return [Happened(event.kind)] if leaves_nothing or event.kind == "unknown" else []


def _slice_name(segment: Segment) -> Name:
    return (segment.identifier or "", segment.locator)


def family_of(event: Event) -> TaskKey | None:
    """Return the family that folding the event touches."""
    return event.task if event.kind != "unknown" else None


def families_of(told: Iterable[Told]) -> list[TaskKey]:
    """Return the families that folding these events touches, in the order in which they are locked."""
    return sorted({key for one in told if (key := family_of(one.event)) is not None})


def lock(connection: Connection, keys: Sequence[TaskKey]) -> None:
    """Keep other workers from these families until the transaction ends; the keys are sorted."""
    if connection.dialect.name == "postgresql" and keys:
        numbers = [_number(key) for key in keys]
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(n) FROM unnest(%s::bigint[]) AS n", (numbers,))


def lock_free(connection: Connection, keys: Sequence[TaskKey]) -> set[TaskKey]:
    """Lock those of the families that nobody else has locked, without waiting; return the others."""
    if connection.dialect.name != "postgresql" or not keys:
        return set()
    query = "SELECT n FROM unnest(%s::bigint[]) AS n WHERE NOT pg_try_advisory_xact_lock(n)"
    numbers = {key: _number(key) for key in keys}
    taken = set(connection.exec_driver_sql(query, (list(numbers.values()),)).scalars())
    return {key for key, number in numbers.items() if number in taken}


def _number(key: TaskKey) -> int:
    digest = hashlib.blake2b("\0".join(_named(key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _named(key: TaskKey) -> tuple[str, ...]:
    return (key.vendor, key.app_id, key.room_id, key.type, key.task_id)


def load(
    connection: Connection,
    locators: Mapping[TaskKey, Collection[str] | None],
    slices: Mapping[TaskKey, Collection[Name]] | None = None,
) -> dict[TaskKey, Family]:
    """Load the families: of each the files named by locator with their sightings (None: all), of others the row.

    Of the segments only the ones that are named are loaded.
    """
    families = {key: Family(key=key) for key in locators}
    owners: dict[str, Family] = {}
    for row in fetch(connection, tables.tasks, _NAME, [_named(key) for key in families]):
        family = families[key_of(row)]
        family.stored[row["run"]] = family.tasks[row["run"]] = row
        owners[row["id"]] = family
    if not owners:
        return families
    for row in fetch(connection, tables.marks, _NAME, [_named(family.key) for family in owners.values()]):
        families[key_of(row)].stored_marks.add(Mark(**{name: row[name] for name in _MARK}))
    for family in families.values():
        family.marks |= family.stored_marks
    _load_slices(connection, families, slices or {})
    wanted: dict[str, File] = {}
    for row in fetch(connection, tables.recordings, ("task",), [(task,) for task in owners]):
        family = owners[row["task"]]
        available = row["state"] == AVAILABLE if row["available"] is None else row["available"]
        file = File(id=row["id"], stored=row, row=row | {"available": available})
        family.files[row["locator"]] = file
        named = locators[family.key]
        if named is None or row["locator"] in named:
            wanted[row["id"]] = file
    _load_sightings(connection, wanted)
    return families


def _load_slices(
    connection: Connection, families: Mapping[TaskKey, Family], wanted: Mapping[TaskKey, Collection[Name]]
) -> None:
    """Load every identifier of the families of segment tasks, and the segments that are wanted."""
    names = [_named(key) for key in families if key.type == "segment"]
    for row in fetch(connection, tables.identifiers, _NAME, names):
        told = Identifier(name=row["identifier"], **{name: row[name] for name in _IDENTIFIER})
        slices = families[key_of(row)].slices
        slices.stored_identifiers[told.name] = slices.identifiers[told.name] = told
    places = {
        (family.slices.identifiers[identifier].task, identifier, locator): family.slices
        for key, family in families.items()
        for identifier, locator in wanted.get(key, ())
        if identifier in family.slices.identifiers
    }
    for row in fetch(connection, tables.segments, ("task", "identifier", "locator"), list(places)):
        slices = places[row["task"], row["identifier"], row["locator"]]
        name = (row["identifier"], row["locator"])
        slices.stored[name] = row
        slices.rows[name] = dict(row)


def _load_sightings(connection: Connection, files: Mapping[str, File]) -> None:
    names = ("delivery", "position", "door", "account", "received_at", "at", "fingerprint")
    for row in fetch(connection, tables.sightings, ("recording",), [(recording,) for recording in files]):
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


def write(connection: Connection, families: Iterable[Family], *, now: int) -> int:
    """Write what of the families differs from what is stored; return how many rows that is."""
    difference = Difference(families, now=now)
    difference.write(connection)
    _advance(connection)
    return difference.count


def _events(
    connection: Connection,
    told: Sequence[Told],
    families: Mapping[TaskKey, Family],
    changes: Mapping[tuple[str, int], list[str]],
) -> tuple[list[Row], list[Row]]:
    """Return which events to delete, and what each delivery meant.

    An event that was folded before keeps the changes that it told then. Of segments there are too many for that.
    """
    told = [one for one in told if one.event.segment is None]
    before = _stored_events(connection, told)
    rows = []
    for one in told:
        place = (one.delivery.id, one.position)
        known = json.loads(before[place]["changes"]) if place in before else ()
        merged = dict.fromkeys((*known, *changes[place]))
        rows.append(_event_row(one, families) | {"changes": json.dumps(list(merged))})
    return [{"delivery": delivery, "position": position} for delivery, position in before], rows


def _stored_events(connection: Connection, told: Sequence[Told]) -> dict[tuple[str, int], Row]:
    deliveries = sorted({one.delivery.id for one in told})
    rows = fetch(connection, tables.events, ("delivery",), [(delivery,) for delivery in deliveries])
    return {(row["delivery"], row["position"]): row for row in rows}


def correct_events(connection: Connection, told: Sequence[Told], families: Mapping[TaskKey, Family]) -> int:
    """Bring what is stored of these events up to what they mean now; return how many rows differed."""
    told = [one for one in told if one.event.segment is None]
    stored = _stored_events(connection, told)
    rows = []
    for one in told:
        before = stored.get((one.delivery.id, one.position), {"changes": "[]"})
        after = _event_row(one, families) | {"changes": before["changes"]}
        if after != before:
            rows.append(after)
    delete(connection, tables.events, [{"delivery": row["delivery"], "position": row["position"]} for row in rows])
    insert(connection, tables.events, rows)
    _advance(connection)
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
