"""How calls are made again that are dead or cancelled, or wait for their next try: in one transaction, in their order.

1. What is about a run that is over, or gives a name that another task has by now, stays as it is.
2. A step comes back held by the step before it, unless that is done; where that one stays as it is, so does the step.
3. What a newer call makes superfluous ends superseded, and the steps after it follow the newer.
4. The rest is due at once, by its whole schedule, and the steps that were cancelled because of it come back with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from handlers.actions import lanes
from handlers.actions.coalescing import follow, why_superseded
from handlers.actions.db_time import db_time
from handlers.actions.endings import count_at_once, note, noted
from handlers.actions.many import as_rows, many
from handlers.actions.overtaking import overtaken
from handlers.actions.regiving import taken
from handlers.actions.row_locks import lock_rows
from handlers.actions.stages import AGAIN, CANCELLED, CLAIMED, DEAD, HELD, OVER, REFUSED, SUPERSEDED
from handlers.database import once_more
from handlers.tables import actions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.actions.overtaking import Covers, Newer
    from handlers.database import Database

    #: returns those of some tasks whose run is over or was followed by another, each with the reason; in a transaction
    #: that writes it keeps that so until its end
    Over = Callable[[Connection, Collection[str]], Mapping[str, str]]

#: most actions that one transaction changes; on SQLite others wait meanwhile
MOST_AT_ONCE: Final = 32
#: the states of what can be tried again by hand
RETRIABLE: Final = frozenset({DEAD, CANCELLED, AGAIN})

_TOO_LATE: Final = (
    "the run that it is about is over ({}), and a call could reach another run of that name;"
    " `reelhook call` makes one by hand"
)
_REVIVE: Final = """
    UPDATE actions SET state = 'planned', after = coalesce(r.held_by, actions.after),
        stage = CASE WHEN r.held_by IS NOT NULL THEN 'held' WHEN actions.lane IS NULL THEN 'ready' ELSE 'waiting' END,
        reason = NULL, newer = NULL, ended_at = NULL, expires_at = NULL, tries = 0, first_at = NULL,
        due_at = CASE WHEN r.held_by IS NOT NULL AND actions.batch_max IS NOT NULL THEN actions.created_at
            ELSE r.now END,
        due_since = CASE WHEN r.held_by IS NULL THEN r.now END,
        result = NULL, result_detail = NULL, result_at = NULL
    FROM {rows} WHERE actions.id = r.id AND actions.stage = 'over' AND actions.state IN ('dead', 'cancelled')
    RETURNING actions.id"""
_HURRY: Final = """
    UPDATE actions SET due_at = r.now, tries = 0, first_at = NULL, expires_at = NULL
    FROM {rows} WHERE actions.id = r.id AND actions.stage IN ('ready', 'waiting') AND actions.state = 'again'
    RETURNING actions.id"""
_SUPERSEDE: Final = """
    UPDATE actions SET state = 'superseded', newer = r.newer, reason = r.reason, ended_at = r.now,
        result = NULL, result_detail = NULL, result_at = NULL
    FROM {rows} WHERE actions.id = r.id AND actions.stage = 'over' AND actions.state IN ('dead', 'cancelled')
    RETURNING actions.id, actions.operation"""
#: a step waits for what superseded the one before it
_BEFORE: Final = """
    WITH RECURSIVE chain (id, before) AS (
        SELECT t.id, t.after FROM {rows} JOIN actions AS t ON t.id = r.id
        WHERE t.after IS NOT NULL AND t.stage = 'over' AND t.state IN ('dead', 'cancelled')
        UNION ALL
        SELECT c.id, b.newer FROM chain AS c JOIN actions AS b ON b.id = c.before WHERE b.state = 'superseded')
    SELECT c.id, b.id AS before, b.state, b.stage FROM chain AS c JOIN actions AS b ON b.id = c.before
    WHERE b.state NOT IN ('superseded', 'done')"""
_LANES: Final = """
    SELECT t.lane FROM {rows} JOIN actions AS t ON t.id = r.id WHERE t.lane IS NOT NULL
    UNION SELECT t.lane FROM {rows} JOIN actions AS t ON t.after = r.id WHERE t.lane IS NOT NULL"""
_HEADS: Final = "SELECT t.id FROM {rows} JOIN actions AS t ON t.lane = r.lane WHERE t.is_head"


@dataclass(frozen=True, kw_only=True)
class Revived:
    """What became of actions that somebody wants again; those that are in none of these can't be retried at all."""

    #: that are made again
    retried: Sequence[str] = ()
    #: that a newer one makes superfluous, each with what is said of it
    superseded: Mapping[str, str] = field(default_factory=dict)
    #: that stay as they are, each with the reason
    left_out: Mapping[str, str] = field(default_factory=dict)


@once_more
def revive(
    database: Database, some: Sequence[str], *, over: Over, covers: Covers | None = None, now: int | None = None
) -> Revived:
    """Make up to MOST_AT_ONCE calls again at once; `now` in milliseconds UTC, unless given the database's."""
    with database.write() as connection:
        # The families come before the words, those before the lanes, as where events are folded; rows come last.
        ended = over(connection, _tasks(connection, some))
        left_out = {**taken(connection, some), **_too_late(connection, some, ended)}
        found = _lanes(connection, some)
        lanes.lock(connection, found)
        lock_rows(connection, {*some, *_before(connection, some), *_heads(connection, found)})
        reviving = _Reviving(connection, db_time(connection) // 1000 if now is None else now)
        revived = reviving.write([one for one in some if one not in left_out], covers, ended)
        lanes.set_heads(connection, found)
    count_at_once(database, noted(connection))
    return Revived(retried=revived.retried, superseded=revived.superseded, left_out={**left_out, **revived.left_out})


def steps_left_out(
    connection: Connection, wanted: Collection[str], *, coming: Collection[str] = ()
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the steps that are to wait, each with the one before it, and those that can't come back, each with why.

    The step before one of `wanted` comes back where it is among them, and can, or in `coming`.
    """
    before = {row.id: row for row in _before_rows(connection, wanted)}
    early: dict[str, str] = {}
    is_settled = False
    while not is_settled:
        more = {
            step: _why_early(row.before, row.state, row.stage)
            for step, row in before.items()
            if step not in early and row.stage in {OVER, CLAIMED}
            if not (row.state in {DEAD, CANCELLED} and (row.before in wanted or row.before in coming))
            or row.before in early
        }
        early |= more
        is_settled = not more
    return {step: row.before for step, row in before.items() if step not in early}, early


class _Reviving:
    """One transaction that makes calls again, whose lanes and rows are locked."""

    def __init__(self, connection: Connection, now: int) -> None:
        self._connection = connection
        self._now = now

    def write(self, wanted: Sequence[str], covers: Covers | None, ended: Mapping[str, str]) -> Revived:
        """Write down what becomes of them; `ended` are tasks whose run is over, each with the reason."""
        held, left_out = steps_left_out(self._connection, wanted)
        newer = self._overtaken([one for one in wanted if one not in held and one not in left_out], covers)
        if busy := {one: _why_busy(by) for one, by in newer.items() if by.is_in_hand}:
            held, early = steps_left_out(self._connection, [one for one in wanted if one not in busy])
            left_out = {**early, **busy}
        coming = [one for one in wanted if one not in left_out]
        retried = self._revive([one for one in coming if one not in newer], held)
        superseded = self._supersede({one: newer[one] for one in coming if one in newer})
        lanes.take_back_after(self._connection, [*retried, *superseded])
        follow(self._connection, [(one, newer[one].id) for one in superseded])
        _end_steps(self._connection, ended, self._now)
        made = sorted({newer[one].id for one in superseded if newer[one].is_done})
        lanes.release_after(self._connection, made, now=self._now)
        return Revived(retried=[*retried, *self._hurry(coming)], superseded=superseded, left_out=left_out)

    def _overtaken(self, wanted: Sequence[str], covers: Covers | None) -> Mapping[str, Newer]:
        return {} if covers is None else overtaken(self._connection, wanted, covers)

    def _revive(self, some: Iterable[str], held: Mapping[str, str]) -> Sequence[str]:
        rows = [{"id": one, "now": self._now, "held_by": held.get(one)} for one in some]
        query = many(self._connection, _REVIVE, id="text", now="bigint", held_by="text")
        return list(self._connection.execute(query, as_rows(rows)).scalars())

    def _hurry(self, some: Iterable[str]) -> Sequence[str]:
        rows = [{"id": one, "now": self._now} for one in some]
        query = many(self._connection, _HURRY, id="text", now="bigint")
        return list(self._connection.execute(query, as_rows(rows)).scalars())

    def _supersede(self, newer: Mapping[str, Newer]) -> Mapping[str, str]:
        if not newer:
            return {}
        reasons = {one: why_superseded(by.id) for one, by in newer.items()}
        rows = [{"id": one, "newer": by.id, "reason": reasons[one], "now": self._now} for one, by in newer.items()]
        query = many(self._connection, _SUPERSEDE, id="text", newer="text", reason="text", now="bigint")
        ended = self._connection.execute(query, as_rows(rows)).all()
        note(self._connection, SUPERSEDED, (row.operation for row in ended))
        return {row.id: reasons[row.id] for row in ended}


def _tasks(connection: Connection, some: Sequence[str]) -> set[str]:
    """Return the tasks of the actions: the steps after them may need a run where they don't."""
    query = select(actions.c.task).where(actions.c.id.in_(some), actions.c.task.is_not(None))
    return set(connection.execute(query).scalars())


def _too_late(connection: Connection, some: Sequence[str], ended: Mapping[str, str]) -> dict[str, str]:
    if not ended:
        return {}
    query = select(actions.c.id, actions.c.task).where(
        actions.c.id.in_(some), actions.c.needs_run, actions.c.task.in_(ended), actions.c.state.in_(RETRIABLE)
    )
    return {row.id: _TOO_LATE.format(ended[row.task]) for row in connection.execute(query)}


def _lanes(connection: Connection, some: Sequence[str]) -> list[str]:
    """Return the lanes of the actions, and of the steps after them."""
    rows = as_rows([{"id": one} for one in some])
    return list(connection.execute(many(connection, _LANES, id="text"), rows).scalars())


def _heads(connection: Connection, found: Sequence[str]) -> list[str]:
    """Return the first of each lane: kept from being claimed, so that what is decided by them stays true."""
    rows = as_rows([{"lane": lane} for lane in found])
    return list(connection.execute(many(connection, _HEADS, lane="text"), rows).scalars())


def _before(connection: Connection, some: Collection[str]) -> set[str]:
    return {row.before for row in _before_rows(connection, some)}


def _before_rows(connection: Connection, some: Collection[str]) -> Sequence[Any]:
    """Return of each step that is dead or cancelled the one before it, where that is not done."""
    if not some:
        return ()
    rows = as_rows([{"id": one} for one in some])
    return connection.execute(many(connection, _BEFORE, id="text"), rows).all()


def _end_steps(connection: Connection, ended: Mapping[str, str], now: int) -> None:
    """End the steps that were just taken back and are about runs that are over; being held, they are in no lane yet."""
    for task, reason in sorted(ended.items()):
        held = select(actions.c.id).where(actions.c.task == task, actions.c.needs_run, actions.c.stage == HELD)
        lanes.end(connection, list(connection.execute(held).scalars()), now=now, reason=reason)


def _why_early(before: str, state: str, stage: str) -> str:
    if stage == CLAIMED:
        return f"the step before it, {before}, is about to be made or under way; try again in a moment"
    if state == REFUSED:
        return f"the step before it, {before}, was refused and never will be done, and a step runs once that one is"
    return f"the step before it, {before}, is {state}, and a step runs once that one is done; retry that one first"


def _why_busy(newer: Newer) -> str:
    return f"{newer.id}, which is newer and sets all that it would, is under way; try again in a moment"
