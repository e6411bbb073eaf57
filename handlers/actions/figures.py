"""How the actions stand: how many in which state, how late the oldest is, how much of each limit is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, text

from handlers.actions.channels import channels, unsent
from handlers.actions.db_time import db_time
from handlers.actions.planned import BY_HAND
from handlers.actions.quotas import Limiter
from handlers.actions.stages import CANCELLED, REFUSED, SUPERSEDED
from handlers.actions.switches import Switch, is_stopped, stopped
from handlers.actions.use import Use
from handlers.ids import first_id
from handlers.tables import attempts, quotas

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

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
_ENDED: Final = text(
    "SELECT operation, is_late, count(*) AS n FROM (SELECT operation, CASE WHEN reason = :late THEN 1 ELSE 0 END"
    " AS is_late FROM actions WHERE state = :state AND id >= :since"
    " AND (state <> 'refused' OR (mode <> 'shadow' AND rule <> :by_hand)) LIMIT :most) AS found"
    " GROUP BY operation, is_late"
)
#: asked by the lease, so that their index serves it
_IN_HAND: Final = text("SELECT operation, due_since FROM actions WHERE stage = 'claimed' AND lease_until > 0")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What metrics and the console show of actions."""

    #: operation and state -> how many, of those that are not over, and of the dead
    waiting: Mapping[tuple[str, str], int]
    #: operation -> milliseconds since its oldest due action was due first, until it is done or given up: what was
    #: throttled or failed, waits in its lane or is stopped by hand goes on counting, what is held by a step does not
    oldest_ms: Mapping[str, int]
    #: quota and API -> milliseconds that its slots are given away ahead, or that it is pushed back
    ahead_ms: Mapping[tuple[str, str], int]
    #: quota and API -> from 0 to 1, how much of the calls that it may make it made in the last ten seconds
    used: Mapping[tuple[str, str], float]
    #: quota and API -> milliseconds that the oldest call that is not stopped waits for its slot
    slot_wait_ms: Mapping[tuple[str, str], int]
    stopped: Sequence[Switch]


def figures(database: Database, *, clock: Callable[[Connection], int] = db_time) -> Figures:
    """Return how the actions stand now."""
    with database.read() as connection:
        return figures_of(connection, clock=clock)


def figures_of(connection: Connection, *, clock: Callable[[Connection], int] = db_time) -> Figures:
    """Return the same in the transaction of whoever asks for more than that."""
    now = clock(connection)
    limits = {Limiter(row.quota, row.api): row for row in connection.execute(select(quotas))}
    found = stopped(connection)
    return Figures(
        waiting=_waiting(connection),
        oldest_ms=_oldest(connection, now // 1000),
        ahead_ms={one: max(0, max(row.next_at, row.blocked_until) - now) // 1000 for one, row in limits.items()},
        used={one: Use(row.used_in, row.used_us, row.used_before_us).share(now) for one, row in limits.items()},
        slot_wait_ms=dict.fromkeys(limits, 0) | _slot_waits(connection, limits, found, now // 1000),
        stopped=sorted(found),
    )


def _oldest(connection: Connection, now: int) -> dict[str, int]:
    since = [(one.operation, one.due_at) for one in unsent(connection)]
    since += [(row.operation, row.due_since) for row in connection.execute(_IN_HAND) if row.due_since is not None]
    oldest: dict[str, int] = {}
    for operation, at in since:
        oldest[operation] = max(oldest.get(operation, 0), now - at)
    return oldest


def _slot_waits(
    connection: Connection, limits: Collection[tuple[str, str]], found: Collection[Switch], now: int
) -> dict[tuple[str, str], int]:
    waits: dict[tuple[str, str], int] = {}
    for one in channels(connection):
        # What was planned without a limit waits for its slot too, once the settings have one.
        has_slots = one.interval_us is not None or one.limiter in limits
        if not has_slots or is_stopped(
            found, rule=one.rule, operation=one.operation, account=one.account, destination=one.destination
        ):
            continue
        waits[one.limiter] = max(waits.get(one.limiter, 0), now - one.due_at)
    return waits


def ended_since(connection: Connection, since: int, *, late: str) -> dict[tuple[str, str, bool], int]:
    """Return how many of the actions planned since a time, milliseconds UTC, ended without being done or given up.

    By operation, state (refused, cancelled, superseded), and whether the reason is `late`; of one state no more than
    COUNTED_AT_MOST are counted. Of the refused, those that would never have been sent are left out, and those by
    hand: whoever asked was told.
    """
    values = {"since": first_id("act", since), "late": late, "most": COUNTED_AT_MOST, "by_hand": BY_HAND}
    return {
        (row.operation, state, bool(row.is_late)): row.n
        for state in (REFUSED, CANCELLED, SUPERSEDED)
        for row in connection.execute(_ENDED, values | {"state": state})
    }


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
