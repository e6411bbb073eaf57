"""How actions are written down, in the transaction of the fact that they follow from; and which end without a call.

1. What is planned already stays as it is, with all steps of its change.
2. Of what one once-key allows, the first change that is really planned has it, and the others are not planned.
3. What is over one of its rule's bounds, or would take another run's name, is planned as refused, and what is about a
   run that is over as cancelled, so that it shows. It uses up no once-key, no bound and no name.
4. Of the calls of a lane that wait or come now, those that a newer one covers end superseded.
5. One statement inserts them all; then the first of each lane is its head.
"""

from __future__ import annotations

import json
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from handlers.actions import lanes
from handlers.actions.bounds import bound_key_of
from handlers.actions.coalescing import coalesce
from handlers.actions.deciding import Deciding
from handlers.actions.endings import note
from handlers.actions.many import as_rows, many
from handlers.actions.planned import batch_of, channel_of, due_at, interval_of, schedule_text, turn_of
from handlers.actions.stages import CANCELLED, HELD, OVER, PLANNED, READY, REFUSED, SHADOW, SUPERSEDED, WAITING
from handlers.ids import new_id
from handlers.rows import insert
from handlers.tables import actions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from handlers.actions.planned import Planned

_OF_RUNS: Final = """
    SELECT t.id, t.lane, t.task FROM {rows} JOIN actions AS t ON t.task = r.task
    WHERE t.needs_run AND t.stage <> 'over'"""


def plan(
    connection: Connection,
    planned: Sequence[Planned],
    *,
    now: int,
    covers: Callable[[str, Mapping[str, Any], Mapping[str, Any]], bool] | None = None,
    over: Mapping[str, str] | None = None,
) -> Counter[str]:
    """Write the actions down in the caller's transaction, once in it; `now` in milliseconds UTC.

    What is planned already (rule, subject, change, generation and step) is left as it is. The steps of one change
    stand together, in order. `covers` tells, of an operation, whether the newer parameters (the first) make a waiting
    call with the older ones superfluous. `over` names tasks whose run is over or was followed by another, each with
    the reason: their waiting calls end, also of what is planned here. What is in hand already is left to its outcome,
    and is not tried again.

    Returns by operation how many live calls were added that are to be made.

    What decides is locked all at once and in order, then the lanes; two calls in one transaction may wait for
    another's two in turn.
    """
    if not planned and not over:
        return Counter()
    rows = _rows(connection, planned, over or {}, now)
    ending = _calls_of_runs(connection, over or {})
    touched = [*(row["lane"] for row in rows if row["stage"] == WAITING), *(row.lane for row in ending)]
    lanes.lock(connection, touched)
    for task, reason in (over or {}).items():
        lanes.end_with_run(connection, [row.id for row in ending if row.task == task], now=now, reason=reason)
    if covers is not None:
        coalesce(connection, rows, covers, now)
    insert(connection, actions, rows, ignore_known=True)
    lanes.set_heads(connection, touched)
    for end in (REFUSED, CANCELLED, SUPERSEDED):
        note(connection, end, (row["operation"] for row in rows if row["state"] == end and row["mode"] == "live"))
    return Counter(row["operation"] for row in rows if row["stage"] != OVER)


def _calls_of_runs(connection: Connection, tasks: Collection[str]) -> Sequence[Row[Any]]:
    if not tasks:
        return []
    query = many(connection, _OF_RUNS, task="text")
    return connection.execute(query, as_rows([{"task": task} for task in tasks])).all()


def _rows(
    connection: Connection, planned: Sequence[Planned], over: Mapping[str, str], now: int
) -> Sequence[dict[str, Any]]:
    if not planned:
        return []
    deciding = Deciding(connection, planned, now)
    rows = list(_Rows(deciding, over, now).of(planned))
    deciding.keep()
    return rows


class _Rows:
    """How a list of actions becomes rows."""

    def __init__(self, deciding: Deciding, over: Mapping[str, str], now: int) -> None:
        self._deciding = deciding
        self._over = over
        self._now = now
        #: by change, the row of its last step and its renewal; None: its further steps are not planned
        self._changes: dict[tuple[object, ...], tuple[dict[str, Any] | None, int] | None] = {}

    def of(self, planned: Sequence[Planned]) -> Iterator[dict[str, Any]]:
        for one in planned:
            change = _change(one)
            if change not in self._changes:
                renewal = self._deciding.renewal(one)
                self._changes[change] = None if renewal is None else (None, renewal)
            standing = self._changes[change]
            if standing is None:
                continue
            before, renewal = standing
            # The steps after what is planned already were not part of the rule then: nothing would release them.
            is_new = self._deciding.is_new(one, renewal)
            self._changes[change] = (row := self._row(one, renewal, before), renewal) if is_new else None
            if is_new:
                yield row

    def _row(self, one: Planned, renewal: int, before: dict[str, Any] | None) -> dict[str, Any]:
        action = new_id("act")
        state, stage, reason = self._standing(one, before)
        if state == PLANNED:
            self._deciding.let_through(one, action)
        return dict(zip(_AS_THEY_ARE, _as_they_are(one), strict=True)) | {
            "id": action,
            "renewal": renewal,
            "turn": turn_of(one, action),
            "channel": channel_of(one),
            "interval_us": interval_of(one.limit),
            "parameters": None if one.parameters is None else json.dumps(one.parameters, ensure_ascii=False),
            "told": None if one.told is None else json.dumps(one.told, ensure_ascii=False),
            "state": state,
            "stage": stage,
            "reason": reason,
            "bound_key": bound_key_of(one),
            "newer": None,
            "after": before["id"] if before else None,
            "schedule": schedule_text(one.schedule),
            "created_at": self._now,
            "due_at": (due := due_at(one, self._now)),
            "due_since": due if stage in {READY, WAITING} else None,
            "batch_max": batch_of(one),
            "ended_at": self._now if stage == OVER else None,
        }

    def _standing(self, one: Planned, before: dict[str, Any] | None) -> tuple[str, str, str | None]:
        if one.refused is None and one.mode == "live":
            if before is not None and before["stage"] == OVER:
                return CANCELLED, OVER, lanes.not_done(before["id"])
            if one.needs_run and one.task is not None and one.task in self._over:
                return CANCELLED, OVER, self._over[one.task]
        if (refused := self._deciding.why_not(one)) is not None:
            return REFUSED, OVER, refused
        if one.mode == "shadow":
            return SHADOW, OVER, None
        if before is not None:
            return PLANNED, HELD, None
        return PLANNED, READY if one.lane is None else WAITING, None


#: what a row has of its plan without any change
_AS_THEY_ARE: Final = (
    *(
        "rule",
        "rules_version",
        "subject",
        "change",
        "generation",
        "step",
        "operation",
        "vendor",
        "account",
        "destination",
        "lane",
    ),
    *("quota", "api", "at", "delivery", "position", "task", "recording", "mode", "original"),
    *("is_repeatable", "needs_run", "covers", "sequence", "expires_at"),
)
_as_they_are: Final = attrgetter(*_AS_THEY_ARE)


def _change(one: Planned) -> tuple[object, ...]:
    return (one.rule, one.subject, one.change, one.delivery, one.position, one.generation)
