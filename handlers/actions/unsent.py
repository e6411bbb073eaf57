"""What becomes of a call that was begun, or about to be, and never sent: it is as if it had not been begun.

No try is used up, no attempt is shown, and nothing is unclear about it: its holder knows that nothing was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from handlers.actions import lanes
from handlers.actions.db_time import db_time
from handlers.actions.endings import nobody_counts, noted
from handlers.actions.many import as_rows, many
from handlers.actions.row_locks import locking
from handlers.database import once_more

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from handlers.actions.endings import Count
    from handlers.actions.planned import Claimed
    from handlers.database import Database

_OURS: Final = """
    SELECT t.id FROM {rows} JOIN actions AS t ON t.id = r.id WHERE t.token = r.token AND t.stage = 'claimed'"""
_FORGET: Final = """
    DELETE FROM attempts WHERE ended_at IS NULL AND (action, number) IN (
        SELECT t.id, t.attempts FROM {rows} JOIN actions AS t ON t.id = r.id WHERE t.is_begun)"""
_PUT_BACK: Final = """
    UPDATE actions SET stage = 'ready', holder = NULL, lease_until = NULL, is_begun = false,
        due_at = CASE WHEN r.due_at > actions.due_at THEN r.due_at ELSE actions.due_at END,
        state = CASE WHEN NOT actions.is_begun THEN actions.state WHEN r.tries > 0 THEN 'again' ELSE 'planned' END,
        attempts = CASE WHEN actions.is_begun THEN actions.attempts - 1 ELSE actions.attempts END,
        tries = CASE WHEN actions.is_begun THEN r.tries ELSE actions.tries END,
        first_at = CASE WHEN actions.is_begun THEN r.first_at ELSE actions.first_at END
    FROM {rows} WHERE actions.id = r.id RETURNING actions.id, actions.lane, actions.over_reason"""


@once_more
def put_back(
    database: Database,
    claimed: Claimed,
    *,
    after_ms: int = 0,
    clock: Callable[[Connection], int] = db_time,
    count: Count = nobody_counts,
) -> int:
    """Put back the actions of a call that was not sent, due in `after_ms` at the earliest; return how many.

    What is not the holder's any more is left as it is, and what is about a run that ended meanwhile ends.
    Raises DatabaseAway.
    """
    with database.write() as connection:
        lanes.lock(connection, [claimed.lane])
        told = [{"id": one.id, "token": one.token} for one in claimed.members]
        query = many(connection, locking(connection, _OURS), id="text", token="bigint")  # noqa: S106 - a fencing token's type
        ours = set(connection.execute(query, as_rows(told)).scalars())
        if not ours:
            return 0
        now = clock(connection) // 1000
        rows = [
            {"id": one.id, "tries": one.tries, "first_at": one.first_at, "due_at": now + after_ms if after_ms else 0}
            for one in claimed.members
            if one.id in ours
        ]
        connection.execute(many(connection, _FORGET, id="text"), as_rows(rows))
        query = many(connection, _PUT_BACK, id="text", tries="bigint", first_at="bigint", due_at="bigint")
        back = connection.execute(query, as_rows(rows)).all()
        marked = {row.id: row.over_reason for row in back if row.over_reason is not None}
        lanes.end_marked(connection, marked, now=now)
        # An earlier one may have come meanwhile.
        lanes.set_heads(connection, [row.lane for row in back])
    count(noted(connection))
    return len(back)
