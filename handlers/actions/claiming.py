"""Who gets which action next, and for how long it is theirs.

1. Look at the channels that have something due; most looks end here, without a lock.
2. End what is too late at their front, so that it takes no part of what others can have.
3. Lock the limiters that give slots. Then let one after the other, whose work has waited longest first, have its
   part: its oldest due actions, or batches, for its next slots; none for slots further off, so that others find work
   too and little is lost with a worker that dies.
4. They are the holder's until the lease ends, and may be settled by whoever has the token of the last claim.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from handlers.actions import batches, lanes
from handlers.actions.channels import due
from handlers.actions.db_time import db_time
from handlers.actions.endings import nobody_counts, noted
from handlers.actions.expiring import expire, too_late
from handlers.actions.many import as_rows, many
from handlers.actions.planned import Claimed, read_schedule
from handlers.actions.quotas import Busy, Limiter, Slots
from handlers.actions.row_locks import lock_rows
from handlers.actions.switches import is_stopped, stopped
from handlers.database import once_more
from handlers.errors import DatabaseAway

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping

    from handlers.actions.channels import Channel
    from handlers.actions.endings import Count
    from handlers.actions.in_hand import Room
    from handlers.database import Database

    #: microseconds between two calls of a channel, as of now; None: no limit
    Pace = Callable[[Channel], int | None]

_log = logging.getLogger(__name__)

#: milliseconds after which an action that its holder has not settled goes to another
LEASE_MS: Final = 30_000
#: microseconds that slots are handed out ahead: a look at what is due has to come by in between
AHEAD_US: Final = 100_000
#: most actions that one transaction claims, or takes up after a lease; on SQLite others wait meanwhile
_MOST_AT_ONCE: Final = 32
_GREATEST_SEQUENCE: Final = 2**31 - 1

_TAKE: Final = """
    UPDATE actions SET stage = 'claimed', holder = r.holder, lease_until = r.lease_until, token = r.token,
        is_begun = false FROM {rows} WHERE actions.id = r.id"""
_NUMBER: Final = text(
    "INSERT INTO sequences (name, last) VALUES (:name, :least) ON CONFLICT (name) DO UPDATE SET last ="
    " CASE WHEN sequences.last + 1 > excluded.last THEN sequences.last + 1 ELSE excluded.last END RETURNING last"
)
_RENEW: Final = """
    UPDATE actions SET lease_until = r.lease_until FROM {rows}
    WHERE actions.id = r.id AND actions.token = r.token AND actions.stage = 'claimed' RETURNING actions.id"""
_GIVE_BACK: Final = """
    UPDATE actions SET stage = 'ready', holder = NULL, lease_until = NULL FROM {rows}
    WHERE actions.id = r.id AND actions.token = r.token AND actions.stage = 'claimed' AND NOT actions.is_begun
    RETURNING actions.id, actions.lane, actions.over_reason"""


@once_more
def claim(  # noqa: PLR0913 - what a holder may say of what it takes
    database: Database,
    holder: str,
    most: int,
    *,
    room: Room | None = None,
    pace: Pace | None = None,
    lead_us: int = 0,
    ahead_us: int = AHEAD_US,
    clock: Callable[[Connection], int] = db_time,
    count: Count = nobody_counts,
) -> Sequence[Claimed]:
    """Take up to `most` calls in hand, and of each counterpart no more than it has room for; a batch is one call.

    A call whose API has a limit comes with the time before which it may not be made: at least `lead_us` from now, at
    most `ahead_us` later. `pace` tells how far apart the calls of a channel are; without it, as they were planned.
    Raises DatabaseAway.
    """
    with database.read() as connection:
        now = clock(connection)
        found = _due(connection, now)
        late = too_late(connection, found, now=now // 1000)
        found = _with_slots(connection, found, now, full=now + lead_us + ahead_us // 2, pace=pace)
    if late:
        expire(database, late, clock=clock, count=count)
    # A batch is left for the next time only for the sake of others that can go.
    found = batches.affordable((one for one in found if room is None or room.of(one.limiter) > 0), _MOST_AT_ONCE)
    if not found or most <= 0:
        return []
    groups: dict[Limiter, list[Channel]] = defaultdict(list)
    for channel in found:
        groups[channel.limiter].append(channel)
    with database.write() as connection:
        claiming = _Claiming(connection, holder, clock(connection), lead_us, ahead_us)
        claiming.lock(limiter for limiter, some in groups.items() if any(one.interval_us is not None for one in some))
        claiming.divide(groups, min(most, _MOST_AT_ONCE), None if room is None else room.copy())
        taken = claiming.write()
    if claiming.late:
        try:
            expire(database, claiming.late, clock=clock, count=count)
        except DatabaseAway as exc:  # what is taken is in hand all the same, and what is late is found again
            _log.warning("%d actions that are too late end later: %s", len(claiming.late), exc)
    return taken


def _due(connection: Connection, now: int) -> list[Channel]:
    """Return the channels with something due that is not stopped, the oldest first; microseconds UTC."""
    found = due(connection, now // 1000)
    switched = stopped(connection) if found else set()
    return [
        one
        for one in sorted(found, key=lambda one: one.due_at)
        if not is_stopped(
            switched, rule=one.rule, operation=one.operation, account=one.account, destination=one.destination
        )
    ]


def _with_slots(
    connection: Connection, found: list[Channel], now: int, *, full: int, pace: Pace | None
) -> list[Channel]:
    """Leave out channels of limiters that give no call before `full`; microseconds UTC."""
    if not found:
        return []
    if pace is not None:
        found = [replace(channel, interval_us=pace(channel)) for channel in found]
    # Looked up without a lock, and with half the slots: a claim is worth its transaction only for several.
    busy = Busy(connection, now=now, full=full)
    return [channel for channel in found if not busy.holds_back(channel.limiter, channel.interval_us)]


class _Claiming:
    """One transaction that takes actions in hand."""

    def __init__(self, connection: Connection, holder: str, now: int, lead_us: int, ahead_us: int) -> None:
        self._connection = connection
        self._holder = holder
        self._now = now
        self._earliest = now + lead_us
        self._latest = now + lead_us + ahead_us
        self._taken: list[Claimed] = []
        #: the actions of those calls, and how many calls are of which channel
        self._ids: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._slots: dict[Limiter, Slots] = {}
        #: how many actions of batches may still be taken, unless one batch has more
        self._batched = _MOST_AT_ONCE
        #: those that are too late, with their lanes
        self.late: dict[str, str | None] = {}

    def lock(self, limiters: Iterable[Limiter]) -> None:
        """Keep others from giving slots of these."""
        # Sorted: two claims lock the same limiters in the same order, and can't wait for each other.
        for limiter in sorted(limiters):
            self._slots[limiter] = Slots(self._connection, limiter, earliest=self._earliest)

    def divide(self, groups: Mapping[Limiter, Sequence[Channel]], left: int, room: Room | None) -> None:
        """Take up to so many calls, of each limiter its part; what some leave, others get."""
        hungry = list(groups)
        while left > 0 and hungry:
            still = []
            for place, limiter in enumerate(hungry):
                part = -(-left // (len(hungry) - place))
                part = part if room is None else min(part, room.of(limiter))
                taken = self._take(limiter, groups[limiter], part)
                left -= taken
                if room is not None:
                    room.take(limiter, taken)
                if taken and taken == part:
                    still.append(limiter)
            hungry = still

    def _take(self, limiter: Limiter, some: Sequence[Channel], most: int) -> int:
        """Take the oldest due actions of a limiter's channels, for at most so many calls; return for how many."""
        before = len(self._taken)
        slots = self._slots.get(limiter)
        for channel in some:
            left = most - (len(self._taken) - before)
            if channel.interval_us is not None and slots is not None:
                left = min(left, slots.count(channel.interval_us, self._latest))
            for rows in self._chosen(channel, left):
                self._taken.append(self._call(rows, channel, slots))
                self._ids.update(row["id"] for row in rows)
                self._counts[channel.text] += 1
        return len(self._taken) - before

    def write(self) -> Sequence[Claimed]:
        """Write down what is in hand now."""
        for slots in self._slots.values():
            slots.keep()
        lease = self._now // 1000 + LEASE_MS
        taken = batches.members(self._taken)
        rows = [{"id": one.id, "holder": one.holder, "token": one.token, "lease_until": lease} for one in taken]
        if rows:
            query = many(self._connection, _TAKE, id="text", holder="text", token="bigint", lease_until="bigint")  # noqa: S106 - a fencing token's type
            self._connection.execute(query, as_rows(rows))
        return self._taken

    def _chosen(self, channel: Channel, most: int) -> Sequence[Sequence[RowMapping]]:
        if channel.batch_max is not None:
            most = min(most, max(self._batched // channel.batch_max, 0 if self._counts[channel.text] else 1))
        if most <= 0:
            return []
        # Those that are taken already come first once more, and don't fit.
        wanted = most + self._counts[channel.text]
        chosen = batches.choose(self._connection, channel, wanted, now=self._now // 1000, fits=self._fits)[:most]
        if channel.batch_max is not None:
            self._batched -= sum(map(len, chosen))
        return chosen

    def _fits(self, row: RowMapping) -> bool:
        if row["id"] in self._ids:
            return False
        if row["expires_at"] is None or row["expires_at"] > self._now // 1000:
            return True
        self.late[row["id"]] = row["lane"]
        return False

    def _call(self, rows: Sequence[RowMapping], channel: Channel, slots: Slots | None) -> Claimed:
        """Return one call: it has one slot, however many actions it is for."""
        first, *others = (self._claimed(row, channel) for row in rows)
        if slots is not None and channel.interval_us is not None:
            first = replace(first, not_before=slots.take(channel.interval_us))
        return first if channel.batch_max is None else replace(first, others=tuple(others))

    def _claimed(self, row: RowMapping, channel: Channel) -> Claimed:
        told: dict[str, Any] = {name: row[name] for name in _AS_THEY_ARE}
        number = None if row["sequence"] is None else self._number(row["lane"] or row["id"])
        return Claimed(
            **told,
            token=row["token"] + 1,
            holder=self._holder,
            interval_us=channel.interval_us,
            parameters=json.loads(row["parameters"] or "{}"),
            told=None if row["told"] is None else json.loads(row["told"]),
            schedule=read_schedule(row["schedule"]),
            sequence_number=number,
        )

    def _number(self, name: str) -> int:
        """Return a number greater than the last, and not less than the seconds since 1970; kept before the call."""
        least = self._now // 1_000_000
        return min(
            int(self._connection.execute(_NUMBER, {"name": name, "least": least}).scalar_one()), _GREATEST_SEQUENCE
        )


_AS_THEY_ARE: Final = (
    *("id", "rule", "subject", "change", "step", "operation", "vendor", "account", "destination", "lane", "quota"),
    *("api", "at", "delivery", "position", "task", "recording", "tries", "first_at", "is_repeatable"),
    "sequence",
)


@once_more
def renew(
    database: Database, held: Sequence[Claimed], *, clock: Callable[[Connection], int] = db_time
) -> Collection[str]:
    """Keep actions in hand for another lease, and return which; what is not the holder's any more is left as it is."""
    if not held:
        return ()
    with database.write() as connection:
        lock_rows(connection, [one.id for one in batches.members(held)])
        lease = clock(connection) // 1000 + LEASE_MS
        rows = [{"id": one.id, "token": one.token, "lease_until": lease} for one in batches.members(held)]
        query = many(connection, _RENEW, id="text", token="bigint", lease_until="bigint")  # noqa: S106 - a fencing token's type
        return set(connection.execute(query, as_rows(rows)).scalars())


@once_more
def give_back(database: Database, held: Sequence[Claimed], *, count: Count = nobody_counts) -> int:
    """Put back actions whose call has not begun, for anybody to take; return how many.

    Those whose task's run ended meanwhile end.
    """
    if not held:
        return 0
    with database.write() as connection:
        lanes.lock(connection, [one.lane for one in held])
        lock_rows(connection, [one.id for one in batches.members(held)])
        rows = [{"id": one.id, "token": one.token} for one in batches.members(held)]
        query = many(connection, _GIVE_BACK, id="text", token="bigint")  # noqa: S106 - a fencing token's type
        back = connection.execute(query, as_rows(rows)).all()
        marked = {row.id: row.over_reason for row in back if row.over_reason is not None}
        if marked:
            lanes.end_marked(connection, marked, now=db_time(connection) // 1000)
        # An earlier one may have come meanwhile.
        lanes.set_heads(connection, [row.lane for row in back])
    count(noted(connection))
    return len(back)
