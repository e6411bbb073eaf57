"""Which calls that somebody wants again a newer one makes superfluous: made now, they would put an older state back."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from handlers.actions.many import as_rows, many
from handlers.actions.stages import CLAIMED, DONE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping

    #: tells, of an operation, whether the newer parameters (the first) set all that the older do
    Covers = Callable[[str, Mapping[str, Any], Mapping[str, Any]], bool]

#: of one lane, so many waiting calls and so many that are done are looked at, the newest
_LOOKED_AT: Final = 200
_COLUMNS: Final = "t.id, t.lane, t.turn, t.operation, t.covers, t.parameters, t.state, t.stage"
_WANTED: Final = f"""
    SELECT {_COLUMNS}, t.task FROM {{rows}} JOIN actions AS t ON t.id = r.id
    WHERE t.lane IS NOT NULL AND t.stage = 'over' AND t.state IN ('dead', 'cancelled')"""  # noqa: S608 - names only
_HEADS: Final = f"""
    SELECT {_COLUMNS} FROM {{rows}} JOIN actions AS t ON t.lane = r.lane
    WHERE t.is_head AND t.turn > r.turn"""  # noqa: S608 - names only
_WAITING: Final = f"""
    SELECT * FROM (
        SELECT {_COLUMNS}, row_number() OVER (PARTITION BY t.lane ORDER BY t.turn DESC) AS place
        FROM {{rows}} JOIN actions AS t ON t.lane = r.lane WHERE t.stage = 'waiting' AND t.turn > r.turn) AS near
    WHERE near.place <= {_LOOKED_AT}"""  # noqa: S608 - names only
# By task, which has an index: only what is open is found by its lane.
_MADE: Final = f"""
    SELECT * FROM (
        SELECT {_COLUMNS}, row_number() OVER (PARTITION BY t.lane, t.covers ORDER BY t.turn DESC) AS place
        FROM {{rows}} JOIN actions AS t ON t.task = r.task AND t.lane = r.lane
        WHERE t.state = 'done' AND t.covers IS NOT NULL AND t.turn > r.turn) AS near
    WHERE near.place <= {_LOOKED_AT}"""  # noqa: S608 - names only


@dataclass(frozen=True, kw_only=True)
class Newer:
    """A call that makes another superfluous."""

    id: str
    is_done: bool
    #: it is about to be made, or under way
    is_in_hand: bool


@dataclass(frozen=True, kw_only=True)
class _Call:
    turn: str
    operation: str
    covers: str | None
    parameters: Mapping[str, Any]
    newer: Newer
    is_wanted: bool = False


def overtaken(connection: Connection, actions: Collection[str], covers: Covers) -> Mapping[str, Newer]:
    """Return which of these dead or cancelled calls a newer one of their lane makes superfluous, with the newer.

    That is one that is done; or one that waits, is in hand, or is to be made again too, as long as no call of
    another kind stands between. Changes nothing.
    """
    rows = connection.execute(many(connection, _WANTED, id="text"), as_rows([{"id": one} for one in actions]))
    wanted = rows.mappings().all()
    in_question = {row["lane"] for row in wanted if row["covers"] is not None}
    wanted = [row for row in wanted if row["lane"] in in_question]
    if not wanted:
        return {}
    found: dict[str, Newer] = {}
    for calls in _by_lane(connection, wanted).values():
        found |= _overtaken(sorted(calls, key=lambda one: one.turn, reverse=True), covers)
    return found


def _overtaken(calls: Sequence[_Call], covers: Covers) -> Iterator[tuple[str, Newer]]:
    """Yield the wanted calls that a newer one covers; the newest come first."""
    newer: list[_Call] = []
    made: list[_Call] = []
    for one in calls:
        if one.newer.is_done:
            made.append(one)
            continue
        if newer and newer[0].covers != one.covers:
            newer = []
        others = (other for other in (*newer, *made) if one.is_wanted and other.covers == one.covers)
        by = next((other for other in others if covers(one.operation, other.parameters, one.parameters)), None)
        if by is not None:
            yield one.newer.id, by.newer
        elif one.covers is not None and len(newer) < _LOOKED_AT:
            newer.append(one)


def _by_lane(connection: Connection, wanted: Sequence[RowMapping]) -> Mapping[str, list[_Call]]:
    """Return the wanted calls, and those that may make them superfluous or stand between."""
    calls: defaultdict[str, list[_Call]] = defaultdict(list)
    first: dict[str, str] = {}
    tasks: dict[tuple[str, str], str] = {}
    for row in wanted:
        calls[row["lane"]].append(_call_of(row, is_wanted=True))
        first[row["lane"]] = min(row["turn"], first.get(row["lane"], row["turn"]))
        if row["task"] is not None and row["covers"] is not None:
            key = (row["lane"], row["task"])
            tasks[key] = min(row["turn"], tasks.get(key, row["turn"]))
    after = as_rows([{"lane": lane, "turn": turn} for lane, turn in first.items()])
    for open_ones in (_HEADS, _WAITING):
        for row in connection.execute(many(connection, open_ones, lane="text", turn="text"), after).mappings():
            calls[row["lane"]].append(_call_of(row))
            if row.get("place") == _LOOKED_AT:
                calls[row["lane"]].append(_unknown_before(row["turn"]))
    made = as_rows([{"lane": lane, "task": task, "turn": turn} for (lane, task), turn in tasks.items()])
    query = many(connection, _MADE, lane="text", task="text", turn="text")
    for row in connection.execute(query, made).mappings():
        calls[row["lane"]].append(_call_of(row))
    return calls


def _call_of(row: RowMapping, *, is_wanted: bool = False) -> _Call:
    return _Call(
        turn=row["turn"],
        operation=row["operation"],
        covers=row["covers"],
        parameters=json.loads(row["parameters"] or "{}"),
        newer=Newer(id=row["id"], is_done=row["state"] == DONE, is_in_hand=row["stage"] == CLAIMED),
        is_wanted=is_wanted,
    )


def _unknown_before(turn: str) -> _Call:
    """Return what stands for the calls before the last that was looked at: some may be of another kind."""
    nobody = Newer(id="", is_done=False, is_in_hand=False)
    return _Call(turn=turn[:-1], operation="", covers=None, parameters={}, newer=nobody)
