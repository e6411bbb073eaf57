"""What a filter means in SQL, for each kind of row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import literal, or_, select

from handlers import tables
from handlers.filters import DELIVERIES, RECORDINGS, REFUSALS, TASKS, Filters, check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Table

#: greater than every character that can follow a prefix
_LAST = "\U0010ffff"

TABLES: dict[str, Table] = {
    RECORDINGS: tables.recordings,
    TASKS: tables.tasks,
    DELIVERIES: tables.deliveries,
    REFUSALS: tables.refusals,
}
#: filters whose name is the column's, in whichever table the kind has
_PLAIN = ("vendor", "account", "app_id", "business_id", "room_id", "task_id", "type", "format")
_RECEIVED_AT = {RECORDINGS: "first_seen_at", DELIVERIES: "received_at", REFUSALS: "received_at"}
_SEARCHED = {RECORDINGS: ("room_id", "task_id", "key"), TASKS: ("room_id", "task_id")}


def conditions(kind: str, filters: Filters) -> list[ColumnElement[bool]]:
    """Return what the rows must meet; deliveries are joined with the inbox. Raise WrongRequest (see filters.check)."""
    check(kind, filters)
    table = TABLES[kind]
    found = [_any_of(table.c[name], values) for name in _PLAIN if (values := getattr(filters, name))]
    found += _states(kind, filters.state)
    found += _reasons(kind, filters.reason)
    found += _doors(kind, filters.door)
    if filters.user_id:
        streams = tables.recording_streams
        found.append(table.c.id.in_(select(streams.c.recording).where(_any_of(streams.c.user_id, filters.user_id))))
    found += _times(kind, filters)
    if filters.q:
        found.append(or_(*(_begins(table.c[name], filters.q) for name in _SEARCHED[kind])))
    return found


def _any_of(column: ColumnElement[str], values: Sequence[str]) -> ColumnElement[bool]:
    return column == values[0] if len(values) == 1 else column.in_(values)


def _begins(column: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:
    """Say it as a range, which an index can answer: text is compared byte for byte."""
    return (column >= prefix) & (column < prefix + _LAST)


def _states(kind: str, states: Sequence[str]) -> list[ColumnElement[bool]]:
    if not states:
        return []
    column = tables.inbox.c.state if kind == DELIVERIES else TABLES[kind].c.state
    # Written out, because a partial index serves only a query that names its state; these words are ours.
    return [or_(*(column == literal(state, literal_execute=True) for state in states))]


def _reasons(kind: str, reasons: Sequence[str]) -> list[ColumnElement[bool]]:
    if not reasons:
        return []
    if kind == DELIVERIES:
        return [or_(*(_begins(tables.inbox.c.reason, reason) for reason in reasons))]
    return [_any_of(TABLES[kind].c.reason, reasons)]


def _doors(kind: str, doors: Sequence[str]) -> list[ColumnElement[bool]]:
    if not doors:
        return []
    if kind != RECORDINGS:
        return [_any_of(TABLES[kind].c.door, doors)]
    sightings = tables.sightings
    seen = select(sightings.c.recording).where(sightings.c.recording == tables.recordings.c.id)
    return [seen.where(_any_of(sightings.c.door, doors)).exists()]


def _times(kind: str, filters: Filters) -> list[ColumnElement[bool]]:
    columns = {"started": "started_at", "received": _RECEIVED_AT.get(kind, ""), "updated": "updated_at"}
    found: list[ColumnElement[bool]] = []
    for word, name in columns.items():
        after = getattr(filters, f"{word}_after")
        before = getattr(filters, f"{word}_before", None)
        found += [] if after is None else [TABLES[kind].c[name] >= after]
        found += [] if before is None else [TABLES[kind].c[name] < before]
    return found
