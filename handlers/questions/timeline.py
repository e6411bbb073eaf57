"""What the vendor told of one run: its marks, in the order of their times, and what the identifiers of its slices span.

Marks are kept by the vendor's name of the task, which covers every run; which of them are whose, is asked of the same
rules as the catalogue follows.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from handlers.runs import Identifier, Mark, parted, starts_of
from handlers.tables import identifiers, marks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, RowMapping, Table

Row = dict[str, Any]

_NAME = ("vendor", "app_id", "room_id", "type", "task_id")


def marks_of(connection: Connection, task: Mapping[str, Any]) -> list[Row]:
    """Return the marks of the run whose row of tasks this is, oldest first."""
    told = [Mark(**_taken(row, Mark)) for row in _rows(connection, marks, task)]
    heard = [
        Identifier(name=row["identifier"], **_taken(row, Identifier)) for row in _rows(connection, identifiers, task)
    ]
    own = parted(told, starts_of(told, heard)).get(task["run"], ())
    return [vars(mark) for mark in sorted(own, key=lambda mark: (mark.at, mark.kind, mark.delivery))]


def _rows(connection: Connection, table: Table, task: Mapping[str, Any]) -> Sequence[RowMapping]:
    return connection.execute(select(table).where(*_same_name(table, task))).mappings().all()


def _taken(row: RowMapping, kind: type[Mark | Identifier]) -> dict[str, Any]:
    return {field.name: row[field.name] for field in fields(kind) if field.name in row}


def identifiers_of(connection: Connection, task: Mapping[str, Any]) -> list[Row]:
    """Return the identifiers under which the run has segments, in the order in which they were heard."""
    query = select(identifiers).where(*_same_name(identifiers, task), identifiers.c.task == task["id"])
    rows = connection.execute(query.order_by(identifiers.c.first_at, identifiers.c.identifier)).mappings()
    return [dict(row) for row in rows]


def _same_name(table: Table, task: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    return [table.c[name] == task[name] for name in _NAME]
