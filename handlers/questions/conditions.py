"""What a filter means in SQL, for each kind of row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import literal, or_, select

from handlers import tables
from handlers.questions.filters import DELIVERIES, RECORDINGS, REFUSALS, TASKS, Filters, check

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Table

#: greater than every character that can follow a prefix
_LAST = "\U0010ffff"

TABLES: Mapping[str, Table] = {
    RECORDINGS: tables.recordings,
    TASKS: tables.tasks,
    DELIVERIES: tables.deliveries,
    REFUSALS: tables.refusals,
}
#: filters whose name is the column's, in whichever table the kind has
_PLAIN = ("vendor", "account", "app_id", "business_id", "room_id", "task_id", "type", "format")
#: filters of a delivery that are about a recording it told of
_TOLD = ("app_id", "business_id", "room_id", "task_id", "type", "user_id", "format", "q")
_STARTED = {"started_after": ("started_at",), "started_before": ("started_at",)}
_UPDATED = {"updated_after": ("updated_at",)}
_RECEIVED = {"received_after": ("received_at",), "received_before": ("received_at",)}
_FIRST_SEEN = dict.fromkeys(_RECEIVED, ("first_seen_at",))
#: kind of row -> filter that names a range -> the columns that it is about, any of them
RANGES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    RECORDINGS: _STARTED | _UPDATED | _FIRST_SEEN | {"q": ("room_id", "task_id", "key")},
    TASKS: _STARTED | _UPDATED | {"q": ("room_id", "task_id")},
    DELIVERIES: _RECEIVED,
    REFUSALS: _RECEIVED,
}
#: states that few deliveries have at a time, with an index for each
_WAITING = frozenset({tables.KEPT, tables.QUARANTINED})


def conditions(kind: str, filters: Filters, *, from_newest: bool = False) -> list[ColumnElement[bool]]:
    """Return what the rows must meet; deliveries are joined with the inbox. Raise WrongRequest (see filters.check).

    With `from_newest` no index serves but the one by id, so that the rows are read in its order.
    """
    check(kind, filters)
    table = TABLES[kind]
    loose = from_newest or by_state(kind, filters)
    plain = [name for name in _PLAIN if name in table.c]
    found = [_any_of(_column(table, name, loose), values) for name in plain if (values := getattr(filters, name))]
    found += _states(kind, states_of(kind, filters))
    found += _reasons(kind, filters.reason)
    found += _doors(kind, filters.door)
    if kind == DELIVERIES:
        found += _told(filters)
    elif filters.user_id:
        streams = tables.recording_streams
        found.append(table.c.id.in_(select(streams.c.recording).where(_any_of(streams.c.user_id, filters.user_id))))
    found += [
        or_(*(_within(_column(table, column, loose), name, getattr(filters, name)) for column in columns))
        for name, columns in RANGES[kind].items()
        if getattr(filters, name) is not None
    ]
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


def _states(kind: str, states: Sequence[str]) -> list[ColumnElement[bool]]:
    """Write the states out, because a partial index serves only a query that names its state; the words are ours."""
    if not states:
        return []
    inbox = tables.inbox
    column = inbox.c.state if kind == DELIVERIES else TABLES[kind].c.state
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


def _told(filters: Filters) -> list[ColumnElement[bool]]:
    """Find deliveries from the recordings that they told of, for which there are indexes."""
    named: dict[str, Any] = {name: value for name in _TOLD if (value := getattr(filters, name))}
    if not named:
        return []
    sightings, recordings = tables.sightings, tables.recordings
    told = select(sightings.c.delivery).join_from(sightings, recordings, recordings.c.id == sightings.c.recording)
    return [tables.deliveries.c.id.in_(told.where(*conditions(RECORDINGS, Filters(**named))))]


def _doors(kind: str, doors: Sequence[str]) -> list[ColumnElement[bool]]:
    if not doors:
        return []
    if kind != RECORDINGS:
        return [_any_of(TABLES[kind].c.door, doors)]
    sightings = tables.sightings
    seen = select(sightings.c.recording).where(sightings.c.recording == tables.recordings.c.id)
    return [seen.where(_any_of(sightings.c.door, doors)).exists()]
