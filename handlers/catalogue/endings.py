"""Which runs are over by now: for whoever has calls about runs made apart from folding, as people do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers import tables
from handlers.catalogue import key_of, lock
from handlers.catalogue.families import Family
from handlers.rows import fetch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection

    from handlers.events import TaskKey

_NAME = ("vendor", "app_id", "room_id", "type", "task_id")
_UNKNOWN = "the catalogue does not know its run any more"


def over_now(connection: Connection, tasks: Collection[str]) -> dict[str, str]:
    """Return those of the tasks, by id, whose run is over or was followed by another, each with the reason.

    A task that the catalogue does not know is among them: its run became part of another, or is forgotten.
    """
    families = {key: Family(key=key) for key in _keys(connection, tasks)}
    for row in fetch(connection, tables.tasks, _NAME, [_named(key) for key in families]):
        families[key_of(row)].tasks[row["run"]] = row
    known = {row["id"] for family in families.values() for row in family.tasks.values()}
    over = {task: why for family in families.values() for task, why in family.over().items()}
    return {task: over.get(task, _UNKNOWN) for task in tasks if task in over or task not in known}


def over_for_good(connection: Connection, tasks: Collection[str]) -> dict[str, str]:
    """Return what over_now() does, and let no run of these names begin or end until the transaction ends.

    It is called before any lane is locked, as folding does it.
    """
    lock(connection, sorted(_keys(connection, tasks)))
    return over_now(connection, tasks)


def _keys(connection: Connection, tasks: Iterable[str]) -> set[TaskKey]:
    return {key_of(row) for row in fetch(connection, tables.tasks, ("id",), [(task,) for task in sorted(tasks)])}


def _named(key: TaskKey) -> tuple[str, ...]:
    return (key.vendor, key.app_id, key.room_id, key.type, key.task_id)
