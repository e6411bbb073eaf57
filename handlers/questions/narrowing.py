"""Whether SQLite reads a list from the few rows that match, or from the newest on until the page is full.

SQLite keeps no statistics of its own accord, so it can't tell whether a range of times or a prefix holds ten rows or
all of them: here they are counted, up to a bound. PostgreSQL knows by itself.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal, select

from handlers.questions.conditions import RANGES, TABLES, conditions
from handlers.questions.filters import RECORDINGS, Filters

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: rows that are sorted rather than looked for among all
_FEW = 2000


class Road(Enum):
    """How a list is read."""

    PLANNED = "as the engine plans it"
    FEW = "all that match, then sorted"
    NEWEST = "newest first, until the page is full"


def road(connection: Connection, kind: str, filters: Filters) -> Road:
    """Choose the road for a list; the filters are known to fit the kind."""
    given = filters.given()
    ranges = [name for name in given if name in _indexed_ranges(kind)]
    if connection.dialect.name != "sqlite" or not ranges or _has_ordered_index(kind, given):
        return Road.PLANNED
    told: dict[str, Any] = {name: getattr(filters, name) for name in ranges}
    narrow = conditions(kind, replace(Filters(), **told))
    some = select(literal(1)).select_from(TABLES[kind]).where(*narrow).limit(_FEW + 1).subquery()
    count = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return Road.FEW if count <= _FEW else Road.NEWEST


def _indexed_ranges(kind: str) -> set[str]:
    """Return the filters for which an index yields what lies in their range."""
    first = {index.columns[0].name for index in TABLES[kind].indexes}
    return {name for name, columns in RANGES[kind].items() if first.issuperset(columns)}


def _has_ordered_index(kind: str, given: tuple[str, ...]) -> bool:
    """Tell whether a filter names a value for which an index yields the rows in the order of their ids."""
    columns = ([column.name for column in index.columns] for index in TABLES[kind].indexes)
    ordered = {names[0] for names in columns if names[1:] == ["id"]}
    # The index of streams is ordered by recording.
    return any(name in ordered or (kind == RECORDINGS and name == "user_id") for name in given)
