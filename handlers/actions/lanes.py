"""Which action of a lane comes next: the first by its turn is the head, and only a head may be taken in hand.

Whoever adds actions to a lane or ends one holds the lane's lock until the end of the transaction, so that a lane with
waiting actions always has a head. A claim needs no lock: it only turns a ready head into a claimed one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from handlers.actions.endings import note
from handlers.actions.many import as_rows, many
from handlers.actions.row_locks import lock_rows
from handlers.actions.stages import CANCELLED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

_LOCK: Final = text(
    "SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT hashtextextended(lane, 0) AS key"
    " FROM json_array_elements_text(CAST(:lanes AS json)) AS lane ORDER BY key) AS wanted"
)
_STEP_BACK: Final = """
    UPDATE actions SET stage = 'waiting', is_head = false FROM {rows}
    WHERE actions.lane = r.lane AND actions.is_head AND actions.stage = 'ready' AND EXISTS (
        SELECT 1 FROM actions AS w WHERE w.lane = r.lane AND w.stage = 'waiting' AND w.turn < actions.turn)"""
_STEP_FORWARD: Final = """
    UPDATE actions SET stage = 'ready', is_head = true WHERE id IN (
        SELECT (SELECT w.id FROM actions AS w WHERE w.lane = r.lane AND w.stage = 'waiting' ORDER BY w.turn LIMIT 1)
        FROM {rows} WHERE NOT EXISTS (SELECT 1 FROM actions AS h WHERE h.lane = r.lane AND h.is_head))"""
_HELD_LANES: Final = """
    SELECT DISTINCT t.lane FROM {rows} JOIN actions AS t ON t.after = r.id
    WHERE t.stage = 'held' AND t.lane IS NOT NULL"""
_RELEASE: Final = """
    UPDATE actions SET stage = CASE WHEN actions.lane IS NULL THEN 'ready' ELSE 'waiting' END,
        due_at = r.due_at + CASE WHEN actions.batch_max IS NULL THEN 0 ELSE actions.due_at - actions.created_at END,
        due_since = r.due_at + CASE WHEN actions.batch_max IS NULL THEN 0 ELSE actions.due_at - actions.created_at END
    FROM {rows} WHERE actions.after = r.id AND actions.stage = 'held'"""
_DROP_HELD: Final = """
    UPDATE actions SET state = 'cancelled', stage = 'over', reason = r.reason, ended_at = r.ended_at
    FROM {rows} WHERE actions.after = r.id AND actions.stage = 'held'
    RETURNING actions.id, actions.operation"""
_TAKE_BACK: Final = """
    UPDATE actions SET state = 'planned', stage = 'held', reason = NULL, ended_at = NULL, expires_at = NULL
    FROM {rows} WHERE actions.after = r.id AND actions.state = 'cancelled' AND actions.reason = r.reason
    RETURNING actions.id"""
_END: Final = """
    UPDATE actions SET state = r.state, stage = 'over', is_head = false, reason = r.reason, newer = r.newer,
        ended_at = r.ended_at, holder = NULL, lease_until = NULL, is_begun = false, over_reason = NULL
    FROM {rows} WHERE actions.id = r.id AND actions.stage IN ('held', 'waiting', 'ready')
    RETURNING actions.id, actions.operation"""
_LEAVE: Final = """
    UPDATE actions SET over_reason = r.reason
    FROM {rows} WHERE actions.id = r.id AND actions.stage = 'claimed'"""


def lock(connection: Connection, lanes: Iterable[str | None]) -> None:
    """Keep others from adding to these lanes and from ending what is in them, until the transaction ends."""
    wanted = sorted({lane for lane in lanes if lane is not None})
    if wanted and connection.dialect.name != "sqlite":
        connection.execute(_LOCK, {"lanes": as_rows(wanted)["rows"]})  # type: ignore[arg-type] # any JSON list


def set_heads(connection: Connection, lanes: Iterable[str | None]) -> None:
    """Make the first of each lane its head, unless one is in hand; the lanes are locked."""
    rows = [{"lane": lane} for lane in sorted({lane for lane in lanes if lane is not None})]
    if rows:
        connection.execute(many(connection, _STEP_BACK, lane="text"), as_rows(rows))
        connection.execute(many(connection, _STEP_FORWARD, lane="text"), as_rows(rows))


def lanes_after(connection: Connection, actions: Collection[str]) -> list[str]:
    """Return the lanes into which the steps after these would go, so that they can be locked first."""
    if not actions:
        return []
    rows = [{"id": action} for action in actions]
    return list(connection.execute(many(connection, _HELD_LANES, id="text"), as_rows(rows)).scalars())


def release_after(connection: Connection, actions: Collection[str], *, now: int) -> None:
    """Let the steps after these go into their lanes, which are locked; `now` in milliseconds UTC.

    Those that are handed over in batches wait for others as long from now as they would have from their plan.
    """
    if actions:
        rows = [{"id": action, "due_at": now} for action in actions]
        connection.execute(many(connection, _RELEASE, id="text", due_at="bigint"), as_rows(rows))


def drop_after(connection: Connection, actions: Collection[str], *, now: int) -> None:
    """Cancel the steps that would have come after these, and those after them."""
    left = list(actions)
    while left:
        rows = [{"id": action, "reason": not_done(action), "ended_at": now} for action in left]
        query = many(connection, _DROP_HELD, id="text", reason="text", ended_at="bigint")
        dropped = connection.execute(query, as_rows(rows)).all()
        note(connection, CANCELLED, (row.operation for row in dropped))
        left = [row.id for row in dropped]


def take_back_after(connection: Connection, actions: Collection[str]) -> None:
    """Hold the steps after these again, which were cancelled because these were not done; none is too old any more."""
    left = list(actions)
    while left:
        rows = [{"id": action, "reason": not_done(action)} for action in left]
        query = many(connection, _TAKE_BACK, id="text", reason="text")
        left = list(connection.execute(query, as_rows(rows)).scalars())


def end(  # noqa: PLR0913 - what an end consists of
    connection: Connection,
    actions: Collection[str],
    *,
    now: int,
    reason: str,
    state: str = CANCELLED,
    newer: str | None = None,
) -> Sequence[str]:
    """End those of the actions that nobody has in hand, with the steps after them; return which.

    Their lanes are locked; the caller sets their heads.
    """
    if not actions:
        return []
    lock_rows(connection, actions)
    rows = [{"id": one, "state": state, "reason": reason, "newer": newer, "ended_at": now} for one in actions]
    query = many(connection, _END, id="text", state="text", reason="text", newer="text", ended_at="bigint")
    found = connection.execute(query, as_rows(rows)).all()
    note(connection, state, (row.operation for row in found))
    ended = [row.id for row in found]
    drop_after(connection, ended, now=now)
    return ended


def end_with_run(connection: Connection, actions: Collection[str], *, now: int, reason: str) -> None:
    """End calls whose run is over, as `end` does; those in hand are left to their outcome.

    What is in hand is marked, so that it ends too where it would be tried again: the lane is another run's by then.
    """
    ended = end(connection, actions, now=now, reason=reason)
    # Only now: what a claim took a moment ago was ready when it was looked up, and did not end.
    if left := sorted(set(actions).difference(ended)):
        rows = [{"id": one, "reason": reason} for one in left]
        connection.execute(many(connection, _LEAVE, id="text", reason="text"), as_rows(rows))


def end_marked(connection: Connection, marked: Mapping[str, str], *, now: int) -> None:
    """End what nobody has in hand any more and was marked meanwhile: action -> why its run is over."""
    for reason in sorted(set(marked.values())):
        end(connection, [one for one, why in marked.items() if why == reason], now=now, reason=reason)


def not_done(action: str) -> str:
    """Say why a step was cancelled."""
    return f"the step before it, {action}, was not done"
