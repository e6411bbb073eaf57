"""Whether a call fits what earlier calls said of tasks: the names that they gave, the way in which they started them.

Two runs under one name overwrite each other's files, so that a name belongs to the first that got it: to a run where
one is known, else to whatever has its lane. Every action that gives a name is written down with it, and what has become
of the action is looked up when somebody asks: a call that never went out, or was clearly refused, gave nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from handlers.actions.many import as_rows, many
from handlers.actions.planned import turn_of
from handlers.actions.stages import DONE, PLANNED
from handlers.rows import insert
from handlers.tables import name_givers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.actions.planned import Named, Planned

#: what an action did with the names that it gives: it may do it yet; it did, or may have; it did not
Standing = Literal["ahead", "made", "void"]

#: the kind of the name of a task that a call starts
LANE: Final = "lane"
_MEND: Final = "two tasks that share one overwrite each other's files: build it from the task, as in ${task.id}"
#: how to tell of a row of name_givers, `g`, and its action, `t`, that the action came to nothing
_IS_VOID: Final = """t.stage = 'over' AND t.state IN ('cancelled', 'superseded', 'refused', 'dead') AND NOT EXISTS (
        SELECT 1 FROM attempts AS w
        WHERE w.action = t.id AND (w.outcome IS NULL OR w.outcome = 'done' OR w.is_unclear))"""
_STANDING: Final = f"""
    CASE WHEN t.id IS NULL THEN 'made' WHEN t.stage <> 'over' THEN 'ahead' WHEN {_IS_VOID} THEN 'void' ELSE 'made' END
    AS standing"""
#: of the rows of name_givers, those that count
COUNTS: Final = f"NOT EXISTS (SELECT 1 FROM actions AS t WHERE t.id = name_givers.action AND {_IS_VOID})"  # noqa: S608 - words of this module only
_GIVEN: Final = f"""
    SELECT g.name, g.kind, g.lane, g.task, g.action, {_STANDING}
    FROM {{rows}} JOIN name_givers AS g ON g.name = r.name AND g.kind = r.kind LEFT JOIN actions AS t ON t.id = g.action
    ORDER BY g.action"""  # noqa: S608 - words of this module only
_STARTED: Final = f"""
    SELECT r.lane, t.parameters, t.turn, t.state, t.code, {_STANDING}
    FROM {{rows}} JOIN name_givers AS g ON g.name = r.lane AND g.kind = 'lane' JOIN actions AS t ON t.id = g.action
    ORDER BY t.turn"""  # noqa: S608 - words of this module only
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


@dataclass(frozen=True, kw_only=True)
class Given:
    """A name that an action gives, and what has become of that."""

    name: str
    kind: str
    lane: str
    #: the run that gets it; None: which is not known
    task: str | None
    action: str
    standing: Standing = "ahead"

    def is_anothers(self, lane: str, run: str | None) -> bool:
        """Tell whether it keeps the name from a task, of which a run is known or none."""
        return self.standing != "void" and (self.lane != lane or (run is not None and self.task not in {None, run}))

    def whose(self, lane: str) -> str:
        """Tell who has the name, to whoever has this lane."""
        return self.lane if self.lane != lane else f"another run of {lane}, {self.task}"


@dataclass(frozen=True, kw_only=True)
class _Start:
    """A call that starts the task of a lane."""

    turn: str
    #: None: with which parameters the task runs isn't known by it
    parameters: Mapping[str, Any] | None


class Names:
    """The names that a list of actions gives; nobody else may give them meanwhile."""

    def __init__(self, connection: Connection, planned: Sequence[Planned]) -> None:
        """Read who has them."""
        self._connection = connection
        self._given: defaultdict[tuple[str, str], list[Given]] = defaultdict(list)
        for given in givers(connection, (name for one in planned for name in given_by(one) if name[1] != LANE)):
            self._given[given.name, given.kind].append(given)
        self._new: list[Given] = []
        self._heard = dict(_heard(connection, planned))
        self._started = dict(_started(connection, planned))

    def why_not(self, one: Planned) -> str | None:
        """Tell why a call can't be made."""
        if one.lane is None or one.refused is not None:
            return None
        started = self._started.get(one.lane)
        if one.precondition is not None and started is not None and started.parameters is not None:
            reason = one.precondition(started.parameters)
            if reason is not None:
                return reason
        return None if one.named is None else self._whose(one, one.named)

    def give(self, one: Planned, action: str) -> None:
        """Let the call have what it names, unless it is a shadow."""
        if one.lane is None or one.mode == "shadow":
            return
        for name, kind in given_by(one):
            row = Given(name=name, kind=kind, lane=one.lane, task=_run(one), action=action)
            before = self._given[name, kind]
            # What surely has the name already needs no further word for it.
            if not any((has.lane, has.task, has.standing) == (row.lane, row.task, "made") for has in before):
                before.append(row)
                self._new.append(row)
        if one.starts:
            start = _Start(turn=turn_of(one, action), parameters=one.parameters or {})
            self._started[one.lane] = max(self._started.get(one.lane, start), start, key=lambda each: each.turn)

    def keep(self) -> None:
        """Write down which names were given."""
        columns = ("name", "kind", "lane", "task", "action")
        insert(self._connection, name_givers, [{name: getattr(row, name) for name in columns} for row in self._new])

    def _whose(self, one: Planned, named: Named) -> str | None:
        owner = self._heard.get(_hearing(one))
        if owner is None:
            owner = whose(self._given[named.value, named.kind], str(one.lane), _run(one))
        return None if owner is None else belongs(named.value, named.kind, owner)


def givers(connection: Connection, names: Iterable[tuple[str, str]]) -> Iterator[Given]:
    """Yield which actions give the names, each with its kind: the oldest of each name first."""
    rows = [{"name": name, "kind": kind} for name, kind in dict.fromkeys(names)]
    if rows:
        for row in connection.execute(many(connection, _GIVEN, name="text", kind="text"), as_rows(rows)):
            yield Given(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def whose(given: Iterable[Given], lane: str, run: str | None) -> str | None:
    """Tell who has a name, other than this task; None: nobody."""
    return next((has.whose(lane) for has in given if has.is_anothers(lane, run)), None)


def belongs(name: str, kind: str, owner: str) -> str:
    """Say that a name is another's, and what to do about it."""
    return f"{kind.rpartition('.')[2]} {name!r} belongs to {owner}; {_MEND}"


def word_of(name: str, kind: str) -> str:
    """Return the word that is locked by whoever decides by a name."""
    return f"name {kind} {name}"


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


def _started(connection: Connection, planned: Sequence[Planned]) -> Iterator[tuple[str, _Start]]:
    """Yield how the tasks were last started, or are to be, that calls are particular about; by lane."""
    wanted = list(dict.fromkeys(one.lane for one in planned if one.precondition is not None and one.lane is not None))
    if not wanted:
        return
    rows = [{"lane": lane} for lane in wanted]
    # In order, so that of each lane the newest is the last word.
    for row in connection.execute(many(connection, _STARTED, lane="text"), as_rows(rows)):
        # One that is done with a code found the task running: how that was started, an earlier one knows.
        if row.standing != "void" and not (row.state == DONE and row.code is not None):
            is_known = row.standing == "ahead" or row.state in {DONE, PLANNED}
            yield row.lane, _Start(turn=row.turn, parameters=json.loads(row.parameters) if is_known else None)
