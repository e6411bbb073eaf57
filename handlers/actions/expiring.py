"""What comes too late: actions whose max_age was over before anybody took them in hand end, and are not made.

They need no slot and nobody's room, so that a backlog of them keeps nothing from going that is still in time. They are
looked for where the next calls would be chosen: at the front of the channels with something due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from handlers.actions import lanes
from handlers.actions.endings import EXPIRED, NOT_IN_TIME, note, noted
from handlers.actions.many import as_rows, many
from handlers.actions.row_locks import locking
from handlers.database import once_more

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.actions.channels import Channel
    from handlers.actions.endings import Count
    from handlers.database import Database

    #: actions with their lanes
    Late = Mapping[str, str | None]

#: most actions that one look finds; on SQLite others wait while they end
_MOST_AT_ONCE: Final = 128
#: in the order in which calls are chosen
_FIRST_IS_LATE: Final = """
    SELECT r.channel FROM {rows} WHERE (
        SELECT t.expires_at FROM actions AS t WHERE t.stage = 'ready' AND t.channel = r.channel AND t.due_at <= r.now
        ORDER BY t.channel, t.due_at, t.id LIMIT 1) <= r.now"""
#: no further than the front: what is behind may be a great deal, and all in time
_FRONT: Final = text(
    "SELECT id, lane FROM (SELECT id, lane, expires_at FROM actions WHERE stage = 'ready' AND channel = :channel"
    " AND due_at <= :now ORDER BY channel, due_at, id LIMIT :most) AS front WHERE expires_at <= :now"
)
_STILL: Final = """
    SELECT t.id, t.operation FROM {rows} JOIN actions AS t ON t.id = r.id
    WHERE t.stage = 'ready' AND t.expires_at <= r.now"""


def too_late(connection: Connection, due: Sequence[Channel], *, now: int) -> Late:
    """Return what is too late at the front of these channels, up to 128 actions; `now` in milliseconds UTC."""
    if not due:
        return {}
    rows = [{"channel": one.text, "now": now} for one in due]
    query = many(connection, _FIRST_IS_LATE, channel="text", now="bigint")
    found: dict[str, str | None] = {}
    for channel in connection.execute(query, as_rows(rows)).scalars().all():
        if (left := _MOST_AT_ONCE - len(found)) > 0:
            front = connection.execute(_FRONT, {"channel": channel, "now": now, "most": left})
            found.update((row.id, row.lane) for row in front)
    return found


@once_more
def expire(database: Database, late: Late, *, clock: Callable[[Connection], int], count: Count) -> None:
    """End those of the actions that are too late still, with the steps after them. Raises DatabaseAway."""
    with database.write() as connection:
        lanes.lock(connection, late.values())
        now = clock(connection) // 1000
        # Locked: one may be in hand by now, or be retried, which gives it all the time.
        query = many(connection, locking(connection, _STILL), id="text", now="bigint")
        still = connection.execute(query, as_rows([{"id": one, "now": now} for one in late])).all()
        operations = {row.id: row.operation for row in still}
        ended = lanes.end(connection, list(operations), now=now, reason=NOT_IN_TIME)
        note(connection, EXPIRED, (operations[action] for action in ended))
        lanes.set_heads(connection, late.values())
    count(noted(connection))
