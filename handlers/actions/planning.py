"""How actions are written down, in the transaction of the fact that they follow from; and which end without a call.

1. Of what one once-key allows, the first change is planned and the others are not.
2. What is over one of its rule's bounds is planned as refused, so that a run-away shows.
3. One statement inserts them all; what is planned already stays as it is.
4. Of the waiting calls of a lane, those that a newer one covers end superseded; then the lane's first is its head.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, text

from handlers.actions import lanes
from handlers.actions.many import as_rows, many
from handlers.actions.planned import channel_of, interval_of, schedule_text, turn_of
from handlers.actions.stages import CANCELLED, HELD, OVER, PLANNED, READY, REFUSED, SHADOW, SUPERSEDED, WAITING
from handlers.ids import first_id, new_id
from handlers.rows import insert
from handlers.tables import actions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from handlers.actions.planned import Bound, Planned

#: of a lane's waiting calls, the last so many are held against a newer one
_LOOKED_AT: Final = 200
_TAKE_KEY: Final = text(
    "INSERT INTO once_keys (rule, once_key, expires_at, renewal) VALUES (:rule, :key, :expires_at, 0)"
    " ON CONFLICT (rule, once_key) DO UPDATE SET expires_at = excluded.expires_at, renewal = once_keys.renewal + 1"
    " WHERE once_keys.expires_at <= :now RETURNING renewal"
)
_OF_RUNS: Final = """
    SELECT t.id, t.lane, t.task FROM {rows} JOIN actions AS t ON t.task = r.task
    WHERE t.needs_run AND t.stage <> 'over'"""
_IN_LANE: Final = text(
    "SELECT id, operation, covers, parameters, turn FROM ("
    " SELECT id, operation, covers, parameters, turn FROM actions WHERE lane = :lane AND stage = 'waiting'"
    " UNION ALL"
    " SELECT id, operation, covers, parameters, turn FROM actions WHERE lane = :lane AND is_head AND stage = 'ready'"
    ") AS w ORDER BY turn DESC LIMIT :most"
)


def plan(
    connection: Connection,
    planned: Sequence[Planned],
    *,
    now: int,
    covers: Callable[[str, Mapping[str, Any], Mapping[str, Any]], bool] | None = None,
    over: Mapping[str, str] | None = None,
) -> None:
    """Write the actions down in the caller's transaction, once in it; `now` in milliseconds UTC.

    What is planned already (rule, subject, change, generation and step) is left as it is. The steps of one change
    stand together, in order. `covers` tells, of an operation, whether the newer parameters (the first) make a waiting
    call with the older ones superfluous. `over` names tasks whose run is over or was followed by another, each with
    the reason: their waiting calls end, as cancel_for_tasks does it, of what is planned here too.

    Lanes are locked all at once and in order; two calls in one transaction may wait for another's two in turn.
    """
    if not planned and not over:
        return
    rows = list(_Rows(connection, now).of(planned))
    insert(connection, actions, rows, ignore_known=True)
    ending = _calls_of_runs(connection, over or {})
    touched = sorted({row["lane"] for row in rows if row["stage"] == WAITING})
    lanes.lock(connection, [*touched, *(row.lane for row in ending)])
    if covers is not None:
        for lane in sorted({row["lane"] for row in rows if row["stage"] == WAITING and row["covers"]}):
            _coalesce(connection, lane, covers, now)
    for task, reason in (over or {}).items():
        lanes.end(connection, [row.id for row in ending if row.task == task], now=now, reason=reason)
    lanes.set_heads(connection, [*touched, *(row.lane for row in ending)])


def cancel_for_tasks(connection: Connection, tasks: Collection[str], *, reason: str, now: int) -> Sequence[str]:
    """End the waiting calls of these tasks, whose run is over or was followed by another; return their ids.

    In the caller's transaction, `now` in milliseconds UTC. What is in hand already is left to its outcome.
    """
    if not tasks:
        return []
    found = _calls_of_runs(connection, tasks)
    lanes.lock(connection, [row.lane for row in found])
    ended = lanes.end(connection, [row.id for row in found], now=now, reason=reason)
    lanes.set_heads(connection, [row.lane for row in found])
    return ended


def _calls_of_runs(connection: Connection, tasks: Collection[str]) -> Sequence[Row[Any]]:
    if not tasks:
        return []
    query = many(connection, _OF_RUNS, task="text")
    return connection.execute(query, as_rows([{"task": task} for task in tasks])).all()


class _Rows:
    """How a list of actions becomes rows."""

    def __init__(self, connection: Connection, now: int) -> None:
        self._connection = connection
        self._now = now
        #: by rule and key, the change that took it, and which renewal it got; None: it was taken before
        self._keys: dict[tuple[str, str], tuple[tuple[object, ...], int | None]] = {}
        #: by bound, how often the rule has acted
        self._acted: dict[tuple[object, ...], int] = {}
        #: by change and step, the row
        self._made: dict[tuple[object, ...], dict[str, Any]] = {}

    def of(self, planned: Sequence[Planned]) -> Iterator[dict[str, Any]]:
        for one in planned:
            renewal = self._renewal(one)
            if renewal is not None:
                yield self._row(one, renewal)

    def _renewal(self, one: Planned) -> int | None:
        """Take the once-key for the change; return None where another change has it."""
        if one.once is None or one.mode == "shadow" or one.generation:
            return 0
        key, change = (one.rule, one.once.key), _change(one)
        if key not in self._keys:
            values = {"rule": one.rule, "key": one.once.key, "expires_at": one.once.expires_at, "now": self._now}
            self._keys[key] = (change, self._connection.execute(_TAKE_KEY, values).scalar())
        owner, renewal = self._keys[key]
        return renewal if owner == change else None

    def _row(self, one: Planned, renewal: int) -> dict[str, Any]:
        action = new_id("act")
        before = self._made.get((*_change(one), one.step - 1)) if one.step else None
        refused = one.refused or (None if one.mode == "shadow" or one.step else self._over_bounds(one))
        state, stage, reason = self._standing(one, before, refused)
        row = {name: getattr(one, name) for name in _AS_THEY_ARE} | {
            "id": action,
            "renewal": renewal,
            "turn": turn_of(one, action),
            "channel": channel_of(one),
            "interval_us": interval_of(one.limit),
            "parameters": None if one.parameters is None else json.dumps(one.parameters, ensure_ascii=False),
            "state": state,
            "stage": stage,
            "reason": reason,
            "after": before["id"] if before else None,
            "schedule": schedule_text(one.schedule),
            "created_at": self._now,
            "due_at": self._now,
            "ended_at": self._now if stage == OVER else None,
        }
        self._made[(*_change(one), one.step)] = row
        return row

    def _standing(
        self, one: Planned, before: dict[str, Any] | None, refused: str | None
    ) -> tuple[str, str, str | None]:
        if refused is not None:
            return REFUSED, OVER, refused
        if one.mode == "shadow":
            return SHADOW, OVER, None
        if before is None:
            return PLANNED, READY if one.lane is None else WAITING, None
        if before["stage"] == OVER:
            return CANCELLED, OVER, lanes.not_done(before["id"])
        return PLANNED, HELD, None

    def _over_bounds(self, one: Planned) -> str | None:
        for bound in one.bounds:
            key = (one.rule, one.task if bound.scope == "task" else None, bound)
            if key not in self._acted:
                self._acted[key] = self._count(one, bound)
            if self._acted[key] >= bound.most:
                whose = "for its task " if bound.scope == "task" else ""
                return f"the rule's limit {whose}of {bound.most} in {bound.within_ms / 1000:g} s is reached"
        for bound in one.bounds:
            self._acted[one.rule, one.task if bound.scope == "task" else None, bound] += 1
        return None

    def _count(self, one: Planned, bound: Bound) -> int:
        since = first_id("act", self._now - bound.within_ms)
        acted = select(actions.c.id).where(
            actions.c.rule == one.rule, actions.c.id >= since, actions.c.step == 0, actions.c.generation == 0
        )
        acted = acted.where(actions.c.state.not_in((REFUSED, SHADOW)))
        if bound.scope == "task":
            acted = acted.where(actions.c.task == one.task)
        return len(self._connection.execute(acted.limit(bound.most)).all())


#: what a row has of its plan without any change
_AS_THEY_ARE: Final = (
    *("rule", "subject", "change", "generation", "step", "operation", "vendor", "account", "destination", "lane"),
    *("quota", "api", "at", "delivery", "position", "task", "recording", "mode", "original"),
    *("is_repeatable", "needs_run", "covers", "sequence", "expires_at"),
)


def _change(one: Planned) -> tuple[object, ...]:
    return (one.rule, one.subject, one.change, one.delivery, one.position, one.generation)


def _coalesce(
    connection: Connection,
    lane: str,
    covers: Callable[[str, Mapping[str, Any], Mapping[str, Any]], bool],
    now: int,
) -> None:
    """End the waiting calls of a lane that a newer one covers, as long as no call of another kind stands between."""
    newer: list[Any] = []
    for row in connection.execute(_IN_LANE, {"lane": lane, "most": _LOOKED_AT}).all():
        if row.covers is None or (newer and newer[0].covers != row.covers):
            newer = [row] if row.covers is not None else []
            continue
        told = json.loads(row.parameters)
        by = next((one for one in newer if covers(row.operation, json.loads(one.parameters), told)), None)
        if by is None:
            newer.append(row)
        else:
            reason = f"{by.id}, which is newer, sets all that it would"
            lanes.end(connection, [row.id], now=now, reason=reason, state=SUPERSEDED, newer=by.id)
