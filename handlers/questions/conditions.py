"""What a filter means in SQL, for each kind of row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, literal, or_, select

from handlers import tables
from handlers.ids import first_id
from handlers.questions.filters import ACTIONS, DELIVERIES, RECORDINGS, REFUSALS, SEGMENTS, TASKS, Filters, check
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement, Select, Table

#: greater than every character that can follow a prefix
_LAST = "\U0010ffff"

TABLES: Mapping[str, Table] = {
    RECORDINGS: tables.recordings,
    SEGMENTS: tables.segments,
    TASKS: tables.tasks,
    DELIVERIES: tables.deliveries,
    REFUSALS: tables.refusals,
    ACTIONS: tables.actions,
}
#: filters whose name is the column's, in whichever table the kind has
_PLAIN = (
    *("vendor", "account", "app_id", "business_id", "room_id", "task_id", "type", "format"),
    *("rule", "operation", "destination", "mode", "task", "recording"),
)
#: filters of a delivery that are about what it told of
_TOLD = frozenset({"app_id", "business_id", "room_id", "task_id", "type", "user_id", "format", "q"})
#: those of them that fit a segment, and a mark
_TOLD_OF_SEGMENTS = _TOLD - {"type", "format"}
_TOLD_OF_MARKS = _TOLD - {"user_id", "format"}
#: those that let through few segments; others find a delivery by its segments only if told to
_TELLING = frozenset({"room_id", "task_id", "user_id", "q"})
#: filters of a segment that its task's indexes serve, because its own do not
OF_TASK = ("app_id", "task_id", "q")
_FAMILY = ("vendor", "app_id", "room_id", "type", "task_id")
#: milliseconds by which a clock that gives ids may be behind the one of the door
_SKEW = 3_600_000
_STARTED = {"started_after": ("started_at",), "started_before": ("started_at",)}
_UPDATED = {"updated_after": ("updated_at",)}
_RECEIVED = {"received_after": ("received_at",), "received_before": ("received_at",)}
_FIRST_SEEN = dict.fromkeys(_RECEIVED, ("first_seen_at",))
#: kind of row -> filter that names a range -> the columns that it is about, any of them
RANGES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    RECORDINGS: _STARTED | _UPDATED | _FIRST_SEEN | {"q": ("room_id", "task_id", "key")},
    SEGMENTS: _STARTED | _FIRST_SEEN | {"q": ("room_id", "task_id")},
    TASKS: _STARTED | _UPDATED | {"q": ("room_id", "task_id")},
    DELIVERIES: _RECEIVED,
    REFUSALS: _RECEIVED,
    ACTIONS: {},
}
#: states that few deliveries have at a time, with an index for each
_WAITING = frozenset({tables.KEPT, tables.QUARANTINED})


def conditions(kind: str, filters: Filters, *, loose: Collection[str] = ()) -> list[ColumnElement[bool]]:
    """Return what the rows must meet; deliveries are joined with the inbox. Raise WrongRequest (see filters.check).

    No index serves the filters that are named in `loose`: the rows are read along another one.
    """
    check(kind, filters)
    given = filters.given()
    loose = given if by_state(kind, filters) else loose
    by_task = [name for name in OF_TASK if name in given and name not in loose] if kind == SEGMENTS else []
    table = TABLES[kind]
    plain = [name for name in _PLAIN if name in table.c and name in given and name not in by_task]
    ranges = [name for name in RANGES[kind] if name in given and name not in by_task]
    found = [_any_of(_column(table, name, name in loose), getattr(filters, name)) for name in plain]
    found += (
        _states(kind, states_of(kind, filters), "state" in loose)
        + _reasons(kind, filters.reason)
        + _doors(kind, filters.door)
    )
    if kind == DELIVERIES:
        found += _told(filters)
    if kind == RECORDINGS and filters.user_id:
        found.append(_with_user(filters.user_id, "user_id" in loose))
    if kind == SEGMENTS:
        found += _of_tasks(filters, by_task) + _made_since(filters.received_after)
        if filters.user_id:
            found.append(_any_of(_column(table, "user_id", "user_id" in loose), filters.user_id))
    if kind == ACTIONS:
        found += _of_names(filters) + _planned(filters)
    for name in ranges:
        columns = [_column(table, column, name in loose) for column in RANGES[kind][name]]
        found.append(or_(*(_within(column, name, getattr(filters, name)) for column in columns)))
    return found


def states_of(kind: str, filters: Filters) -> tuple[str, ...]:
    """Return the states that the filters ask for: only what is in quarantine has a reason."""
    if kind == DELIVERIES and filters.reason and not filters.state:
        return (tables.QUARANTINED,)
    return filters.state


def by_state(kind: str, filters: Filters) -> bool:
    """Tell whether deliveries are best found through the inbox, by the few that are in these states."""
    states = states_of(kind, filters)
    return kind == DELIVERIES and bool(states) and _WAITING.issuperset(states)


def _column(table: Table, name: str, loose: bool) -> ColumnElement[Any]:  # noqa: FBT001 - one word for the caller's
    """Return the column, as an expression that has no index if `loose`."""
    column = table.c[name]
    if not loose:
        return column
    return column.concat(literal("")) if column.type.python_type is str else column + literal(0)


def _any_of(column: ColumnElement[str], values: Sequence[str]) -> ColumnElement[bool]:
    return column == values[0] if len(values) == 1 else column.in_(values)


def _within(column: ColumnElement[Any], name: str, value: str | int) -> ColumnElement[bool]:
    if name == "q":
        return _begins(column, str(value))
    return column < value if name.endswith("_before") else column >= value


def _begins(column: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:
    """Say it as a range, which an index can answer: text is compared byte for byte."""
    return (column >= prefix) & (column < prefix + _LAST)


def _states(kind: str, states: Sequence[str], loose: bool) -> list[ColumnElement[bool]]:  # noqa: FBT001 - one word for the caller's
    """Write the states out, because a partial index serves only a query that names its state; the words are ours."""
    if not states:
        return []
    inbox = tables.inbox
    column = inbox.c.state if kind == DELIVERIES else _column(TABLES[kind], "state", loose and kind == ACTIONS)
    named = [column == literal(state, literal_execute=True) for state in states]
    if kind == DELIVERIES and len(states) > 1 and _WAITING.issuperset(states):
        first, *others = (select(inbox.c.delivery).where(one) for one in named)
        return [inbox.c.delivery.in_(first.union_all(*others))]
    return [or_(*named)]


def _reasons(kind: str, reasons: Sequence[str]) -> list[ColumnElement[bool]]:
    if not reasons:
        return []
    if kind == DELIVERIES:
        return [or_(*(_begins(tables.inbox.c.reason, reason) for reason in reasons))]
    return [_any_of(TABLES[kind].c.reason, reasons)]


def _with_user(users: Sequence[str], loose: bool) -> ColumnElement[bool]:  # noqa: FBT001 - one word for the caller's
    """Find recordings by their streams; if `loose`, look at those of each recording that is read."""
    streams, recordings = tables.recording_streams, tables.recordings
    chosen = select(streams.c.recording).where(_any_of(streams.c.user_id, users))
    return chosen.where(streams.c.recording == recordings.c.id).exists() if loose else recordings.c.id.in_(chosen)


def _of_tasks(filters: Filters, names: Sequence[str]) -> list[ColumnElement[bool]]:
    """Find segments by the names of their task: of an application through its identifiers, of which there are few."""
    segments, identifiers, tasks = tables.segments, tables.identifiers, tables.tasks
    found: list[ColumnElement[bool]] = []
    if "app_id" in names:
        # The primary key begins with the vendor.
        vendors = identifiers.c.vendor.in_(filters.vendor or tuple(VENDORS))
        of_app = select(identifiers.c.task).where(vendors, _any_of(identifiers.c.app_id, filters.app_id))
        found.append(segments.c.task.in_(of_app))
    told: dict[str, Any] = {name: getattr(filters, name) for name in names if name != "app_id"}
    if told:
        chosen = select(tasks.c.id).where(*conditions(TASKS, Filters(type=("segment",), **told)))
        found.append(segments.c.task.in_(chosen))
    return found


def _of_names(filters: Filters) -> list[ColumnElement[bool]]:
    """Find actions by the vendor's names of their task."""
    told: dict[str, Any] = {name: getattr(filters, name) for name in ("room_id", "task_id") if getattr(filters, name)}
    if not told:
        return []
    chosen = select(tables.tasks.c.id).where(*conditions(TASKS, Filters(**told)))
    return [tables.actions.c.task.in_(chosen)]


def _planned(filters: Filters) -> list[ColumnElement[bool]]:
    """Find actions by the time that their ids begin with."""
    action, found = tables.actions.c.id, []
    if filters.created_after is not None:
        found.append(action >= first_id("act", filters.created_after))
    if filters.created_before is not None:
        found.append(action < first_id("act", filters.created_before))
    return found


def _made_since(received_after: int | None) -> list[ColumnElement[bool]]:
    """Let a list end where no segment can follow that was received so late: each got its id after that."""
    if received_after is None:
        return []
    return [tables.segments.c.id >= first_id("seg", received_after - _SKEW)]


def _told(filters: Filters) -> list[ColumnElement[bool]]:
    """Find deliveries from the recordings, marks and segments that they told of, for which there are indexes."""
    named: dict[str, Any] = {name: getattr(filters, name) for name in filters.given() if name in _TOLD}
    if not named:
        return []
    first, *others = _told_of_recordings(named), *_told_of_marks(named), *_told_of_segments(named)
    return [tables.deliveries.c.id.in_(first.union_all(*others) if others else first)]


def _told_of_recordings(named: Mapping[str, Any]) -> Select[Any]:
    sightings, recordings = tables.sightings, tables.recordings
    told = select(sightings.c.delivery).join_from(sightings, recordings, recordings.c.id == sightings.c.recording)
    return told.where(*conditions(RECORDINGS, Filters(**named)))


def _told_of_marks(named: Mapping[str, Any]) -> list[Select[Any]]:
    """Find marks by a task of the same name: their own primary key serves only a whole name."""
    if not named.keys() <= _TOLD_OF_MARKS:
        return []
    marks, tasks = tables.marks, tables.tasks
    names = {name: value for name, value in named.items() if name != "business_id"}
    same = and_(*(marks.c[name] == tasks.c[name] for name in _FAMILY))
    told = select(marks.c.delivery)
    if names:
        told = told.join_from(tasks, marks, same).where(*conditions(TASKS, Filters(**names)))
    return [told.where(_any_of(marks.c.business_id, named["business_id"])) if "business_id" in named else told]


def _told_of_segments(named: Mapping[str, Any]) -> list[Select[Any]]:
    """Find segments where few can match, or where their type is asked for: else there are too many to look at."""
    is_asked = "segment" in named.get("type", ("segment",) if named.keys() & _TELLING else ())
    names = {name: value for name, value in named.items() if name != "type"}
    if not is_asked or not names.keys() <= _TOLD_OF_SEGMENTS:
        return []
    return [select(tables.segments.c.delivery).where(*conditions(SEGMENTS, Filters(**names)))]


def _doors(kind: str, doors: Sequence[str]) -> list[ColumnElement[bool]]:
    if not doors:
        return []
    if kind != RECORDINGS:
        return [_any_of(TABLES[kind].c.door, doors)]
    sightings = tables.sightings
    seen = select(sightings.c.recording).where(sightings.c.recording == tables.recordings.c.id)
    return [seen.where(_any_of(sightings.c.door, doors)).exists()]
