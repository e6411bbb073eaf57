"""What becomes of actions whose holder is gone: others get them, unless a repeat of what was begun may do harm."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from handlers.actions import lanes
from handlers.actions.db_time import db_time
from handlers.actions.endings import nobody_counts, note, noted
from handlers.actions.many import as_rows, many
from handlers.actions.planned import read_schedule
from handlers.actions.row_locks import locking
from handlers.actions.stages import AGAIN, DEAD
from handlers.database import once_more
from handlers.operation import Outcome
from handlers.retries import after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, RowMapping

    from handlers.actions.endings import Count
    from handlers.database import Database
    from handlers.retries import Next

#: most actions that one transaction takes up; on SQLite others wait meanwhile
MOST_AT_ONCE: Final = 32
_UNHEARD: Final = Outcome(
    verdict="again", is_unclear=True, detail="the worker that made the call was lost before it wrote down an answer"
)

_LOST: Final = text(
    "SELECT id FROM actions WHERE stage = 'claimed' AND lease_until < :now ORDER BY lease_until LIMIT :most"
)
_STILL: Final = """
    SELECT t.id, t.lane, t.operation, t.is_begun, t.is_repeatable, t.tries, t.first_at, t.due_at, t.schedule,
        t.batch_max, t.over_reason
    FROM {rows} JOIN actions AS t ON t.id = r.id WHERE t.stage = 'claimed' AND t.lease_until < r.now"""
_LANES: Final = "SELECT DISTINCT t.lane FROM {rows} JOIN actions AS t ON t.id = r.id WHERE t.lane IS NOT NULL"
_LET_GO: Final = """
    UPDATE actions SET stage = 'ready', holder = NULL, lease_until = NULL, token = actions.token + 1, due_at = r.due_at,
        state = CASE WHEN actions.is_begun THEN 'again' ELSE actions.state END,
        outcome = CASE WHEN actions.is_begun THEN 'again' ELSE actions.outcome END, is_begun = false
    FROM {rows} WHERE actions.id = r.id AND actions.stage = 'claimed' AND actions.lease_until < r.now
    RETURNING actions.id"""
_NOTE: Final = """
    UPDATE attempts AS t SET outcome = 'again', is_unclear = true, ended_at = r.ended_at, detail = r.detail
    FROM {rows} WHERE t.action = r.id AND t.ended_at IS NULL"""


@once_more
def take_up_lost(
    database: Database,
    *,
    clock: Callable[[Connection], int] = db_time,
    chance: Callable[[], float] = random.random,
    count: Count = nobody_counts,
) -> int:
    """Give what dead holders had in hand to whoever claims next; return how many actions that were.

    A call that may have been made is made again only where a repeat does no harm; else the action is dead, and says so.
    One whose task's run ended meanwhile is cancelled.
    """
    with database.read() as connection:
        values = {"now": clock(connection) // 1000, "most": MOST_AT_ONCE}
        lost = list(connection.execute(_LOST, values).scalars())
    if not lost:
        return 0
    with database.write() as connection:
        rows: list[dict[str, Any]] = [{"id": action} for action in lost]
        in_lanes = connection.execute(many(connection, _LANES, id="text"), as_rows(rows)).scalars()
        found = [*in_lanes, *lanes.lanes_after(connection, lost)]
        lanes.lock(connection, found)
        now = clock(connection) // 1000
        taken_up = _let_go(connection, lost, now, chance)
        lanes.set_heads(connection, found)
    count(noted(connection))
    return taken_up


def _let_go(connection: Connection, lost: Sequence[str], now: int, chance: Callable[[], float]) -> int:
    # Locked: a slow holder may begin the call at the same time.
    query = many(connection, locking(connection, _STILL), id="text", now="bigint")
    still = connection.execute(query, as_rows([{"id": one, "now": now} for one in lost])).mappings().all()
    luck = chance()
    following = {
        # What is handed over in batches comes back together.
        row["id"]: _next(row, now, chance if row["batch_max"] is None else lambda: luck)
        for row in still
        if row["is_begun"]
    }
    rows = []
    for row in still:
        at = following[row["id"]].at if row["is_begun"] else row["due_at"]
        rows.append({"id": row["id"], "now": now, "due_at": now if at is None else at})
    query = many(connection, _LET_GO, id="text", now="bigint", due_at="bigint")
    free = set(connection.execute(query, as_rows(rows)).scalars())
    _note(connection, [action for action in following if action in free], now)
    for action, then in following.items():
        if then.at is None and action in free:
            lanes.end(connection, [action], now=now, reason=then.reason, state=DEAD)
    # What is dead already stays so.
    marked = {row["id"]: row["over_reason"] for row in still if row["over_reason"] is not None and row["id"] in free}
    lanes.end_marked(connection, marked, now=now)
    operations = {row["id"]: row["operation"] for row in still}
    again = [one for one, then in following.items() if then.at is not None and one in free and one not in marked]
    note(connection, AGAIN, (operations[one] for one in again))
    return len(free)


def _next(row: RowMapping, now: int, chance: Callable[[], float]) -> Next:
    return after(
        _UNHEARD,
        schedule=read_schedule(row["schedule"]),
        tries=row["tries"],
        first_at=row["first_at"] or now,
        now=now,
        is_repeatable=row["is_repeatable"],
        chance=chance,
    )


def _note(connection: Connection, begun: Sequence[str], now: int) -> None:
    """Say of the attempts that nobody knows what became of them."""
    rows = [{"id": action, "ended_at": now, "detail": _UNHEARD.detail} for action in begun]
    if rows:
        query = many(connection, _NOTE, id="text", ended_at="bigint", detail="text")
        connection.execute(query, as_rows(rows))
