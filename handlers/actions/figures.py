"""How the actions stand: how many in which state, how late the oldest is, how far ahead limits are spoken for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, text

from handlers.actions.channels import channels
from handlers.actions.db_time import db_time
from handlers.actions.switches import Switch, stopped
from handlers.tables import attempts, quotas

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping

    from handlers.database import Database

#: more actions of one state are not counted
COUNTED_AT_MOST: Final = 10_000
#: what workers count, by operation
PLANNED: Final = "actions_planned"
SENT: Final = "actions_sent"
SETTLED: Final = "actions_"
LATE: Final = "actions_late"
_OPEN: Final = text(
    "SELECT operation, count(*) AS n FROM (SELECT operation FROM actions WHERE state = :state LIMIT :most) AS found"
    " GROUP BY operation"
)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What metrics and the console show of actions."""

    #: operation and state -> how many, of those that are not over, and of the dead
    waiting: Mapping[tuple[str, str], int]
    #: operation -> milliseconds that its oldest due action waits, throttled and stopped ones included
    oldest_ms: Mapping[str, int]
    #: quota and API -> milliseconds that its slots are given away ahead, or that it is pushed back
    ahead_ms: Mapping[tuple[str, str], int]
    stopped: Sequence[Switch]


def figures(database: Database, *, clock: Callable[[Connection], int] = db_time) -> Figures:
    """Return how the actions stand now."""
    with database.read() as connection:
        return figures_of(connection, clock=clock)


def figures_of(connection: Connection, *, clock: Callable[[Connection], int] = db_time) -> Figures:
    """Return the same in the transaction of whoever asks for more than that."""
    now = clock(connection)
    oldest: dict[str, int] = {}
    for channel in channels(connection):
        late = max(now // 1000 - channel.due_at, 0)
        oldest[channel.operation] = max(oldest.get(channel.operation, 0), late)
    ahead = {
        (row.quota, row.api): max(0, max(row.next_at, row.blocked_until) - now) // 1000
        for row in connection.execute(select(quotas))
    }
    return Figures(waiting=_waiting(connection), oldest_ms=oldest, ahead_ms=ahead, stopped=sorted(stopped(connection)))


def _waiting(connection: Connection) -> dict[tuple[str, str], int]:
    """Count what is not over, state by state: the index serves each."""
    return {
        (row.operation, state): row.n
        for state in ("planned", "running", "again", "dead")
        for row in connection.execute(_OPEN, {"state": state, "most": COUNTED_AT_MOST})
    }


def attempts_of(connection: Connection, action: str) -> Sequence[RowMapping]:
    """Return the attempts of an action, first to last, as rows of the table."""
    query = select(attempts).where(attempts.c.action == action).order_by(attempts.c.number)
    return connection.execute(query).mappings().all()
