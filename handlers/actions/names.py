"""Whether a call fits what earlier calls said of tasks: the names that they gave, the way in which they started them.

Two runs under one name overwrite each other's files, so that a name belongs to the first that got it: to a run where
one is known, else to whatever has its lane.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from handlers.actions.many import as_rows, many
from handlers.rows import fetch
from handlers.tables import given_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.actions.planned import Named, Planned

#: the kind of the name of a task that a call starts
LANE: Final = "lane"
_MEND: Final = "two tasks that share one overwrite each other's files: build it from the task, as in ${task.id}"
_GIVE: Final = """
    INSERT INTO given_names (name, kind, lane, task, action)
    SELECT r.name, r.kind, r.lane, r.task, r.action FROM {rows} WHERE true
    ON CONFLICT (name, kind) DO UPDATE SET task = coalesce(given_names.task, excluded.task)"""
_STARTED: Final = """
    SELECT r.lane, t.parameters FROM {rows} JOIN given_names AS g ON g.name = r.lane AND g.kind = 'lane'
    JOIN actions AS t ON t.id = g.action"""
#: who bears a name in the catalogue, other than the run that it is given to
_HEARD: Final = """
    SELECT r.number, (
        SELECT CASE WHEN i.app_id = r.app_id AND i.room_id = r.room_id AND i.task_id = r.task_id
            THEN 'another run of ' ELSE '' END || 'task ' || i.task_id || ' in room ' || i.room_id
        FROM identifiers AS i WHERE i.identifier = r.name AND i.vendor = r.vendor
            AND NOT (i.app_id = r.app_id AND i.room_id = r.room_id AND i.task_id = r.task_id
                AND i.task = coalesce(r.task, i.task))
        LIMIT 1
    ) AS other FROM {rows}"""


class Names:
    """The names that a list of actions gives; nobody else may give them meanwhile."""

    def __init__(self, connection: Connection, planned: Sequence[Planned]) -> None:
        """Read who has them."""
        self._connection = connection
        wanted = list(dict.fromkeys((name, kind) for one in planned for name, kind in given_by(one)))
        found = fetch(connection, given_names, ("name", "kind"), wanted) if wanted else ()
        self._given = {(row["name"], row["kind"]): row for row in found}
        self._new: dict[tuple[str, str], dict[str, Any]] = {}
        self._heard = dict(_heard(connection, planned))
        self._started = dict(_started(connection, planned))

    def why_not(self, one: Planned) -> str | None:
        """Tell why a call can't be made."""
        if one.lane is None or one.refused is not None:
            return None
        if one.precondition is not None and one.lane in self._started:
            reason = one.precondition(self._started[one.lane])
            if reason is not None:
                return reason
        return None if one.named is None else self._whose(one, one.named)

    def give(self, one: Planned, action: str) -> None:
        """Let the call have what it names, unless it is a shadow."""
        if one.lane is None or one.mode == "shadow":
            return
        for name, kind in given_by(one):
            row = {"name": name, "kind": kind, "lane": one.lane, "task": _run(one), "action": action}
            before = self._given.setdefault((name, kind), row)
            if before is row:
                self._new[name, kind] = row
            elif before["task"] is None and row["task"] is not None:
                before["task"] = row["task"]
                self._new.setdefault((name, kind), row)
        if one.starts:
            self._started.setdefault(one.lane, one.parameters or {})

    def keep(self) -> None:
        """Write down which names were given."""
        if self._new:
            columns = dict.fromkeys(("name", "kind", "lane", "task", "action"), "text")
            self._connection.execute(many(self._connection, _GIVE, **columns), as_rows(list(self._new.values())))

    def _whose(self, one: Planned, named: Named) -> str | None:
        owner = self._heard.get(_hearing(one))
        if owner is None and (row := self._given.get((named.value, named.kind))) is not None:
            owner = _other(one, row)
        return None if owner is None else f"{named.kind.rpartition('.')[2]} {named.value!r} belongs to {owner}; {_MEND}"


def given_by(one: Planned) -> Iterator[tuple[str, str]]:
    """Yield what a call names, each with its kind."""
    if one.lane is not None and one.refused is None:
        if one.named is not None:
            yield one.named.value, one.named.kind
        if one.starts:
            yield one.lane, LANE


def _run(one: Planned) -> str | None:
    """Return the run that a call is about; None: it may be about another task than its change."""
    return None if one.named is None or one.named.task is None else one.task


def _other(one: Planned, row: Mapping[str, Any]) -> str | None:
    """Return who has the name, unless it is the call's own task."""
    if row["lane"] != one.lane:
        return str(row["lane"])
    run = _run(one)
    return None if run is None or row["task"] in {None, run} else f"another run of {one.lane}, {row['task']}"


def _hearing(one: Planned) -> tuple[str, ...] | None:
    """Return what is looked for in the catalogue: who else bears the name."""
    if one.lane is None or one.refused is not None or one.named is None or one.named.task is None:
        return None
    key = one.named.task
    return (one.vendor, one.named.value, key.app_id, key.room_id, key.task_id, one.task or "")


def _heard(connection: Connection, planned: Sequence[Planned]) -> Iterator[tuple[tuple[str, ...] | None, str]]:
    wanted = list(dict.fromkeys(asked for one in planned if (asked := _hearing(one)) is not None))
    if not wanted:
        return
    columns = ("vendor", "name", "app_id", "room_id", "task_id", "task")
    rows: list[dict[str, Any]] = [dict(zip(columns, one, strict=True)) for one in wanted]
    for number, row in enumerate(rows):
        row |= {"number": number, "task": row["task"] or None}
    query = many(connection, _HEARD, number="bigint", **dict.fromkeys(columns, "text"))
    for found in connection.execute(query, as_rows(rows)):
        if found.other is not None:
            yield wanted[found.number], found.other


def _started(connection: Connection, planned: Sequence[Planned]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield with which parameters the tasks were started that calls are particular about, by lane."""
    wanted = list(dict.fromkeys(one.lane for one in planned if one.precondition is not None and one.lane is not None))
    if wanted:
        rows = [{"lane": lane} for lane in wanted]
        for row in connection.execute(many(connection, _STARTED, lane="text"), as_rows(rows)):
            yield row.lane, json.loads(row.parameters)
