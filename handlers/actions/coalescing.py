"""Which waiting calls of a lane a newer one makes superfluous, among those that wait and those that are planned now.

From the newest back: a call is covered by a newer one of the same kind, as long as none of another kind stands
between. What was to follow the older one follows the newer from then on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from heapq import merge
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from handlers.actions import lanes
from handlers.actions.many import as_rows, many
from handlers.actions.stages import HELD, OVER, SUPERSEDED, WAITING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping

    Covers = Callable[[str, Mapping[str, Any], Mapping[str, Any]], bool]

#: after so many calls of a lane that no newer one covers, those before them are left as they are
_LOOKED_AT: Final = 200
_COLUMNS: Final = "t.id, t.lane, t.operation, t.covers, t.parameters, t.turn"
_OCCUPIED: Final = """
    SELECT r.lane FROM {rows}
    WHERE EXISTS (SELECT 1 FROM actions AS w WHERE w.lane = r.lane AND w.stage = 'waiting')"""
_HEADS: Final = (
    f"SELECT {_COLUMNS} FROM {{rows}} JOIN actions AS t ON t.lane = r.lane WHERE t.is_head AND t.stage = 'ready'"  # noqa: S608 - names only
)
_PAGE: Final = text(
    f"SELECT {_COLUMNS} FROM actions AS t WHERE t.lane = :lane AND t.stage = 'waiting' AND t.turn < :before"  # noqa: S608 - names only
    " ORDER BY t.turn DESC LIMIT :most"
)
#: greater than every turn
_LAST: Final = "~"
_FOLLOW: Final = """
    UPDATE actions SET after = r.newer FROM {rows} WHERE actions.after = r.id AND actions.stage = 'held'"""


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A call that waits in a lane."""

    id: str
    turn: str
    operation: str
    covers: str | None
    parameters: Mapping[str, Any]
    #: where it is planned now
    row: dict[str, Any] | None = None


def coalesce(connection: Connection, rows: Sequence[dict[str, Any]], covers: Covers, now: int) -> None:
    """End what a newer call covers, in the lanes into which calls come; `now` in milliseconds UTC.

    The lanes are locked. Of `rows`, which are to be inserted yet, those that are covered are changed.
    """
    coming: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["stage"] == WAITING:
            coming[row["lane"]].append(row)
    wanted = [{"lane": lane} for lane in sorted(coming) if any(row["covers"] for row in coming[lane])]
    if not wanted:
        return
    heads = _heads(connection, wanted)
    occupied = set(connection.execute(many(connection, _OCCUPIED, lane="text"), as_rows(wanted)).scalars())
    pairs = []
    for lane in (one["lane"] for one in wanted):
        new = sorted((_call_of(row, row) for row in coming[lane]), key=_turn, reverse=True)
        waiting = _waiting(connection, lane) if lane in occupied else ()
        pairs += list(_covered(merge(new, heads.get(lane, ()), waiting, key=_turn, reverse=True), covers))
    _end_planned(pairs, rows, now)
    _end_waiting(connection, [(one.id, newer.id) for one, newer in pairs if one.row is None], now)


def follow(connection: Connection, pairs: Sequence[tuple[str, str]]) -> None:
    """Let what is held by the first of each pair wait for the second, which is newer."""
    if pairs:
        rows = [{"id": one, "newer": newer} for one, newer in pairs]
        connection.execute(many(connection, _FOLLOW, id="text", newer="text"), as_rows(rows))


def why_superseded(newer: str) -> str:
    """Say why a call was not made."""
    return f"{newer}, which is newer, sets all that it would"


def _covered(calls: Iterable[_Call], covers: Covers) -> Iterator[tuple[_Call, _Call]]:
    """Yield the calls that a newer one covers, with the newer; the newest come first."""
    newer: list[_Call] = []
    left = _LOOKED_AT
    for one in calls:
        if newer and newer[0].covers != one.covers:
            newer = []
        by = next((other for other in newer if covers(one.operation, other.parameters, one.parameters)), None)
        if by is not None:
            left = _LOOKED_AT
            yield one, by
            continue
        if one.covers is not None:
            newer.append(one)
        left -= 1
        if not left:
            return


def _end_planned(pairs: Sequence[tuple[_Call, _Call]], rows: Sequence[dict[str, Any]], now: int) -> None:
    followed = {}
    for one, newer in pairs:
        if one.row is not None:
            followed[one.id] = newer.id
            ended = {
                "state": SUPERSEDED,
                "stage": OVER,
                "reason": why_superseded(newer.id),
                "newer": newer.id,
                "ended_at": now,
            }
            one.row.update(ended)
    for row in rows:
        if row["stage"] == HELD:
            row["after"] = followed.get(row["after"], row["after"])


def _end_waiting(connection: Connection, pairs: Sequence[tuple[str, str]], now: int) -> None:
    if not pairs:
        return
    # First, while they wait: an end takes what follows with it.
    follow(connection, pairs)
    for newer in dict.fromkeys(newer for _, newer in pairs):
        ended = [one for one, by in pairs if by == newer]
        lanes.end(connection, ended, now=now, reason=why_superseded(newer), state=SUPERSEDED, newer=newer)


def _heads(connection: Connection, wanted: Sequence[dict[str, Any]]) -> Mapping[str, list[_Call]]:
    """Return the ready calls by lane, and keep them from being claimed; one that is being claimed is left out."""
    of_server = "" if connection.dialect.name == "sqlite" else " FOR UPDATE OF t SKIP LOCKED"
    found = connection.execute(many(connection, _HEADS + of_server, lane="text"), as_rows(wanted)).mappings()
    return {row["lane"]: [_call_of(row)] for row in found}


def _waiting(connection: Connection, lane: str) -> Iterator[_Call]:
    """Yield the waiting calls of a lane, the newest first, as far as they are asked for."""
    before = _LAST
    while True:
        page = connection.execute(_PAGE, {"lane": lane, "before": before, "most": _LOOKED_AT}).mappings().all()
        yield from (_call_of(row) for row in page)
        if len(page) < _LOOKED_AT:
            return
        before = page[-1]["turn"]


def _call_of(told: Mapping[str, Any] | RowMapping, row: dict[str, Any] | None = None) -> _Call:
    return _Call(
        id=told["id"],
        turn=told["turn"],
        operation=told["operation"],
        covers=told["covers"],
        parameters=json.loads(told["parameters"] or "{}"),
        row=row,
    )


def _turn(one: _Call) -> str:
    return one.turn
