"""Who gets which action next, and for how long it is theirs.

1. Look at the channels that have something ready; most looks end here, without a lock. A channel is what has one
   limit and can be stopped as a whole, so that what is stopped or has to wait for its limit is never searched through.
2. For each limiter, lock its row and take the oldest due actions for its next slots; none for slots further off, so
   that others find work too and little is lost with a worker that dies.
3. They are the holder's until the lease ends, and may be settled by whoever has the token of the last claim.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from handlers.actions import lanes
from handlers.actions.db_time import db_time
from handlers.actions.many import as_rows, many
from handlers.actions.planned import Claimed, read_schedule
from handlers.actions.quotas import Limiter, Slots
from handlers.actions.switches import is_stopped, stopped
from handlers.tables import actions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, RowMapping

    from handlers.database import Database

#: milliseconds after which an action that its holder has not settled goes to another
LEASE_MS: Final = 30_000
#: microseconds that slots are handed out ahead: a look at what is due has to come by in between
AHEAD_US: Final = 100_000
#: most actions that one transaction claims, or takes up after a lease; on SQLite others wait meanwhile
_MOST_AT_ONCE: Final = 32
_GREATEST_SEQUENCE: Final = 2**31 - 1

_CHANNELS: Final = text("""
    WITH RECURSIVE c (channel) AS (
        SELECT min(channel) FROM actions WHERE stage = 'ready'
        UNION ALL
        SELECT (SELECT min(channel) FROM actions WHERE stage = 'ready' AND channel > c.channel)
        FROM c WHERE c.channel IS NOT NULL)
    SELECT channel, (SELECT min(due_at) FROM actions WHERE stage = 'ready' AND channel = c.channel) AS due_at
    FROM c WHERE channel IS NOT NULL""")
_COLUMNS: Final = ", ".join(name for name in actions.c.keys())  # noqa: SIM118 - it is no mapping of its own
_CHOICE: Final = (
    f"SELECT {_COLUMNS} FROM actions WHERE stage = 'ready' AND channel = :channel AND due_at <= :now"  # noqa: S608 - names only
    " ORDER BY channel, due_at, id LIMIT :most"
)
_OLDEST: Final = text(_CHOICE)
_OLDEST_LOCKED: Final = text(f"{_CHOICE} FOR UPDATE SKIP LOCKED")
_BUSY: Final = text("SELECT quota, api FROM quotas WHERE next_at > :full OR blocked_until > :full")
_TAKE: Final = """
    UPDATE actions SET stage = 'claimed', holder = r.holder, lease_until = r.lease_until, token = r.token,
        is_begun = false FROM {rows} WHERE actions.id = r.id"""
_NUMBER: Final = text(
    "INSERT INTO sequences (name, last) VALUES (:name, :least) ON CONFLICT (name) DO UPDATE SET last ="
    " CASE WHEN sequences.last + 1 > excluded.last THEN sequences.last + 1 ELSE excluded.last END RETURNING last"
)
_RENEW: Final = """
    UPDATE actions SET lease_until = r.lease_until FROM {rows}
    WHERE actions.id = r.id AND actions.token = r.token AND actions.stage = 'claimed'"""
_GIVE_BACK: Final = """
    UPDATE actions SET stage = 'ready', holder = NULL, lease_until = NULL FROM {rows}
    WHERE actions.id = r.id AND actions.token = r.token AND actions.stage = 'claimed' AND NOT actions.is_begun
    RETURNING actions.id, actions.lane"""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """What has one limit, and can be stopped as a whole."""

    text: str
    due_at: int
    destination: str | None
    quota: str | None
    api: str | None
    interval_us: int | None
    operation: str
    account: str
    rule: str

    @property
    def limiter(self) -> Limiter:
        """Return whose limit counts, and whose calls are counted together."""
        return Limiter(self.quota or self.destination or "", self.api or "")


def claim(  # noqa: PLR0913 - what a holder may say of what it takes
    database: Database,
    holder: str,
    most: int,
    *,
    room: Callable[[Limiter], int] | None = None,
    lead_us: int = 0,
    ahead_us: int = AHEAD_US,
    clock: Callable[[Connection], int] = db_time,
) -> Sequence[Claimed]:
    """Take up to `most` due actions in hand, and of each counterpart no more than it has room for.

    A call whose API has a limit comes with the time before which it may not be made: at least `lead_us` from now, at
    most `ahead_us` later. Raises DatabaseAway.
    """
    with database.read() as connection:
        now = clock(connection)
        due = _due(connection, now // 1000, full=now + lead_us + ahead_us // 2)
    if not due or most <= 0:
        return []
    groups: dict[Limiter, list[Channel]] = defaultdict(list)
    for channel in due:
        groups[channel.limiter].append(channel)
    with database.write() as connection:
        claiming = _Claiming(connection, holder, clock(connection), lead_us, ahead_us)
        left = min(most, _MOST_AT_ONCE)
        # Sorted: two claims lock the same limiters in the same order, and can't wait for each other.
        for limiter, some in sorted(groups.items()):
            left -= claiming.take(limiter, some, left if room is None else min(left, room(limiter)))
        taken = claiming.write()
    if claiming.expired:
        _expire(database, claiming.expired, clock)
    return taken


def channels(connection: Connection) -> list[Channel]:
    """Return the channels with something ready, and since when the oldest of each is due, milliseconds UTC."""
    found = []
    for row in connection.execute(_CHANNELS):
        destination, quota, api, interval, operation, vendor, account, rule = json.loads(row.channel)
        found.append(
            Channel(
                text=row.channel,
                due_at=row.due_at,
                destination=destination,
                quota=quota,
                api=api,
                interval_us=interval,
                operation=operation,
                account=f"{vendor}/{account}",
                rule=rule,
            )
        )
    return found


def _expire(database: Database, expired: Sequence[tuple[str, str | None]], clock: Callable[[Connection], int]) -> None:
    with database.write() as connection:
        lanes.lock(connection, [lane for _, lane in expired])
        why = "it was not made in time: its max_age is over"
        lanes.end(connection, [action for action, _ in expired], now=clock(connection) // 1000, reason=why)
        lanes.set_heads(connection, [lane for _, lane in expired])


def _due(connection: Connection, now: int, *, full: int) -> list[Channel]:
    """Return the channels with something due, except of limiters whose next slot lies behind `full`, microseconds."""
    found = [channel for channel in channels(connection) if channel.due_at <= now]
    if any(channel.interval_us for channel in found):
        # Looked up without a lock, and with half the slots: a claim is worth its transaction only for several.
        busy = {Limiter(row.quota, row.api) for row in connection.execute(_BUSY, {"full": full})}
        found = [channel for channel in found if channel.interval_us is None or channel.limiter not in busy]
    switched = stopped(connection) if found else set()
    return [
        one
        for one in sorted(found, key=lambda one: one.due_at)
        if not is_stopped(
            switched, rule=one.rule, operation=one.operation, account=one.account, destination=one.destination
        )
    ]


class _Claiming:
    """One transaction that takes actions in hand."""

    def __init__(self, connection: Connection, holder: str, now: int, lead_us: int, ahead_us: int) -> None:
        self._connection = connection
        self._holder = holder
        self._now = now
        self._earliest = now + lead_us
        self._latest = now + lead_us + ahead_us
        self._taken: list[Claimed] = []
        #: id and lane of those that came too late
        self.expired: list[tuple[str, str | None]] = []

    def take(self, limiter: Limiter, some: Sequence[Channel], most: int) -> int:
        """Take the oldest due actions of a limiter's channels, at most so many; return how many."""
        before = len(self._taken)
        slots: Slots | None = None
        for channel in some:
            left = most - (len(self._taken) - before)
            if channel.interval_us is not None:
                slots = slots or Slots(self._connection, limiter, earliest=self._earliest)
                left = min(left, slots.count(channel.interval_us, self._latest))
            for row in self._oldest(channel, left) if left > 0 else ():
                if row["expires_at"] is not None and row["expires_at"] <= self._now // 1000:
                    self.expired.append((row["id"], row["lane"]))
                else:
                    self._taken.append(self._claimed(row, slots))
        if slots is not None:
            slots.keep()
        return len(self._taken) - before

    def write(self) -> Sequence[Claimed]:
        """Write down what is in hand now."""
        lease = self._now // 1000 + LEASE_MS
        rows = [{"id": one.id, "holder": one.holder, "token": one.token, "lease_until": lease} for one in self._taken]
        if rows:
            query = many(self._connection, _TAKE, id="text", holder="text", token="bigint", lease_until="bigint")  # noqa: S106 - a fencing token's type
            self._connection.execute(query, as_rows(rows))
        return self._taken

    def _oldest(self, channel: Channel, most: int) -> Sequence[RowMapping]:
        query = _OLDEST if self._connection.dialect.name == "sqlite" else _OLDEST_LOCKED
        values = {"channel": channel.text, "now": self._now // 1000, "most": most}
        return self._connection.execute(query, values).mappings().all()

    def _claimed(self, row: RowMapping, slots: Slots | None) -> Claimed:
        told: dict[str, Any] = {name: row[name] for name in _AS_THEY_ARE}
        number = None if row["sequence"] is None else self._number(row["lane"] or row["id"])
        interval = row["interval_us"]
        return Claimed(
            **told,
            token=row["token"] + 1,
            holder=self._holder,
            parameters=json.loads(row["parameters"] or "{}"),
            schedule=read_schedule(row["schedule"]),
            sequence_number=number,
            not_before=None if slots is None or interval is None else slots.take(interval),
        )

    def _number(self, name: str) -> int:
        """Return a number greater than the last, and not less than the seconds since 1970; kept before the call."""
        least = self._now // 1_000_000
        return min(
            int(self._connection.execute(_NUMBER, {"name": name, "least": least}).scalar_one()), _GREATEST_SEQUENCE
        )


_AS_THEY_ARE: Final = (
    *("id", "rule", "subject", "change", "step", "operation", "vendor", "account", "destination", "lane", "quota"),
    *("api", "interval_us", "at", "delivery", "position", "task", "recording", "tries", "first_at", "is_repeatable"),
    "sequence",
)


def renew(database: Database, held: Sequence[Claimed], *, clock: Callable[[Connection], int] = db_time) -> None:
    """Keep actions in hand for another lease; what is not the holder's any more is left as it is."""
    if not held:
        return
    with database.write() as connection:
        lease = clock(connection) // 1000 + LEASE_MS
        rows = [{"id": one.id, "token": one.token, "lease_until": lease} for one in held]
        query = many(connection, _RENEW, id="text", token="bigint", lease_until="bigint")  # noqa: S106 - a fencing token's type
        connection.execute(query, as_rows(rows))


def give_back(database: Database, held: Sequence[Claimed]) -> int:
    """Put back actions whose call has not begun, for anybody to take; return how many."""
    if not held:
        return 0
    with database.write() as connection:
        lanes.lock(connection, [one.lane for one in held])
        rows = [{"id": one.id, "token": one.token} for one in held]
        query = many(connection, _GIVE_BACK, id="text", token="bigint")  # noqa: S106 - a fencing token's type
        back = connection.execute(query, as_rows(rows)).all()
        # An earlier one may have come meanwhile.
        lanes.set_heads(connection, [row.lane for row in back])
    return len(back)
