"""Along which index SQLite reads a list: the one of the narrowest filter, whatever else is asked.

SQLite keeps no statistics of its own accord, so it can't tell a room from an account, nor whether a range of times or
a prefix holds ten rows or all of them: here the former are ranked, and the latter are counted, up to a bound.
PostgreSQL knows by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal, select

from handlers.questions.conditions import OF_TASK, RANGES, TABLES, conditions
from handlers.questions.filters import ACTIONS, DELIVERIES, RECORDINGS, SEGMENTS, TASKS, Filters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

#: rows that are sorted rather than looked for among all; a task has thousands of segments
_FEW = 2000
_FEW_SEGMENTS = 10_000
#: kind of row -> filters that name few rows, which an index yields in the order of their ids; the narrowest first
_NARROW: Mapping[str, tuple[str, ...]] = {
    RECORDINGS: ("task_id", "room_id", "user_id"),
    SEGMENTS: ("room_id",),
    TASKS: ("task_id", "room_id"),
    # Of what they told of, which is looked up first.
    DELIVERIES: ("task_id", "room_id", "user_id", "q"),
    ACTIONS: ("recording", "task", "task_id", "room_id"),
}
#: the same for filters that may name most of the rows
_WIDE: Mapping[str, tuple[str, ...]] = {
    RECORDINGS: ("app_id", "account"),
    SEGMENTS: ("user_id", "account"),
    TASKS: ("app_id", "account"),
    DELIVERIES: ("account",),
    ACTIONS: ("destination", "rule", "operation", "account", "state"),
}
#: states that most actions end in; of the others there are fewer than of any rule
_USUAL = frozenset({"done", "shadow", "superseded", "cancelled"})


@dataclass(frozen=True, kw_only=True)
class Road:
    """How a list is read: as the engine plans it, but for what is said here."""

    #: find all that match, then sort; else follow the order of the ids until the page is full
    is_sorted: bool = False
    #: the filters that no index shall serve
    loose: frozenset[str] = frozenset()


def road(connection: Connection, kind: str, filters: Filters) -> Road:
    """Choose the road for a list; the filters are known to fit the kind."""
    given = frozenset(filters.given())
    narrow = [name for name in _NARROW.get(kind, ()) if name in given]
    wide = _wide(kind, filters)
    counted = given & _countable(kind)
    if connection.dialect.name != "sqlite":
        return Road()
    if narrow:
        return Road(loose=given - {narrow[0]})
    if not counted:
        return Road(loose=given.intersection(wide[1:]))
    if _are_few(connection, kind, filters, counted):
        return Road(is_sorted=True, loose=given - counted)
    return Road(loose=given.difference(wide[:1]))


def _wide(kind: str, filters: Filters) -> list[str]:
    """Return the filters given that may name most of the rows, the narrowest first."""
    wide = [name for name in _WIDE.get(kind, ()) if getattr(filters, name)]
    if kind == ACTIONS and filters.state and _USUAL.isdisjoint(filters.state):
        return ["state", *(name for name in wide if name != "state")]
    return wide


def _are_few(connection: Connection, kind: str, filters: Filters, counted: frozenset[str]) -> bool:
    """Tell whether these filters alone let through so few rows that they can be sorted."""
    few = _FEW_SEGMENTS if kind == SEGMENTS else _FEW
    told: dict[str, Any] = {name: getattr(filters, name) for name in counted}
    narrow = conditions(kind, replace(Filters(), **told))
    some = select(literal(1)).select_from(TABLES[kind]).where(*narrow).limit(few + 1).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one() <= few


def _countable(kind: str) -> frozenset[str]:
    """Return the filters for which an index yields what they let through, in an order of its own."""
    if kind == ACTIONS:
        return frozenset({"state"})
    first = {index.columns[0].name for index in TABLES[kind].indexes}
    ranges = {name for name, columns in RANGES[kind].items() if first.issuperset(columns)}
    return frozenset(ranges | set(OF_TASK) if kind == SEGMENTS else ranges)
