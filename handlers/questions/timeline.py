"""What the vendor told of one run: its marks, in the order of their times, and what the identifiers of its slices span.

Marks are kept by the vendor's name of the task, which covers every run: a run has those from its start, which is the
time at which its task began, up to the next one's. The first has what comes before it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from handlers.tables import identifiers, marks, tasks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Connection, Table

Row = dict[str, Any]

_NAME = ("vendor", "app_id", "room_id", "type", "task_id")


def marks_of(connection: Connection, task: Mapping[str, Any]) -> list[Row]:
    """Return the marks of the run whose row of tasks this is, oldest first."""
    found = [*_same_name(marks, task)]
    if task["run"] > 1:
        found.append(marks.c.at >= task["started_at"])
    following = select(tasks.c.started_at).where(*_same_name(tasks, task), tasks.c.run == task["run"] + 1)
    end = connection.execute(following).scalar()
    if end is not None:
        found.append(marks.c.at < end)
    query = select(marks).where(*found).order_by(marks.c.at, marks.c.kind, marks.c.delivery)
    return [dict(row) for row in connection.execute(query).mappings()]


def identifiers_of(connection: Connection, task: Mapping[str, Any]) -> list[Row]:
    """Return the identifiers under which the run has segments, in the order in which they were heard."""
    query = select(identifiers).where(*_same_name(identifiers, task), identifiers.c.task == task["id"])
    rows = connection.execute(query.order_by(identifiers.c.first_at, identifiers.c.identifier)).mappings()
    return [dict(row) for row in rows]


def _same_name(table: Table, task: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    return [table.c[name] == task[name] for name in _NAME]
