"""When the next call to an API may be made: one smooth limiter per quota and API, for all processes together.

Calls get slots one interval apart, never several at once, so that no window of a second holds more than the limit.
A slot that was missed is lost: its call takes another one. Where no limit is known, calls need no slot, and wait only
where the other side said "too fast".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import text

from handlers.actions.db_time import db_time
from handlers.actions.many import as_rows, many
from handlers.actions.use import Use
from handlers.database import once_more
from handlers.errors import ActionLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Row

    from handlers.actions.planned import Claimed
    from handlers.database import Database

#: microseconds of rest after "too fast", where the other side names no time
_REST_US: Final = 1_000_000

_BUSY: Final = text(
    "SELECT quota, api, next_at, blocked_until FROM quotas WHERE next_at > :full OR blocked_until > :now"
)
_MAKE: Final = text(
    "INSERT INTO quotas (quota, api, next_at, blocked_until) VALUES (:quota, :api, 0, 0) ON CONFLICT DO NOTHING"
)
_ROW: Final = (
    "SELECT next_at, blocked_until, used_in, used_us, used_before_us FROM quotas WHERE quota = :quota AND api = :api"
)
_LOCK: Final = text(f"{_ROW} FOR UPDATE")
_LOOK: Final = text(_ROW)
_MOVE: Final = text(
    "UPDATE quotas SET next_at = :next_at, used_in = :used_in, used_us = :used_us, used_before_us = :used_before_us"
    " WHERE quota = :quota AND api = :api"
)
_BLOCK: Final = text(
    "INSERT INTO quotas (quota, api, next_at, blocked_until) VALUES (:quota, :api, 0, :until)"
    " ON CONFLICT (quota, api) DO UPDATE SET blocked_until ="
    " CASE WHEN quotas.blocked_until > excluded.blocked_until THEN quotas.blocked_until"
    " ELSE excluded.blocked_until END"
)
_OURS: Final = """
    SELECT count(*) FROM {rows} JOIN actions AS t ON t.id = r.id WHERE t.token = r.token AND t.stage = 'claimed'"""


class Limiter(NamedTuple):
    """Whose limit counts, and for which API."""

    quota: str
    api: str


class Busy:
    """Which limiters give no call at the moment, as far as that can be seen without a lock; microseconds UTC."""

    def __init__(self, connection: Connection, *, now: int, full: int) -> None:
        """Look it up; a limiter whose next slot lies behind `full` counts as busy."""
        rows = connection.execute(_BUSY, {"now": now, "full": full}).all()
        #: of those that give slots, and of those whose calls need none
        self._with_slots = {Limiter(row.quota, row.api) for row in rows if max(row.next_at, row.blocked_until) > full}
        self._without = {Limiter(row.quota, row.api) for row in rows if row.blocked_until > now}

    def holds_back(self, limiter: Limiter, interval_us: int | None) -> bool:
        """Tell whether calls of a limiter, this far apart, have to wait."""
        return limiter in (self._without if interval_us is None else self._with_slots)


class Slots:
    """The next slots of one limiter, which nobody else hands out until the transaction ends; microseconds UTC."""

    def __init__(self, connection: Connection, limiter: Limiter, *, earliest: int) -> None:
        """Lock the limiter; no slot lies before `earliest`."""
        self._connection = connection
        self._limiter = limiter._asdict()
        row = self._locked()
        self._use = Use(row.used_in, row.used_us, row.used_before_us)
        self._is_moved = False
        self.next_at: int = max(row.next_at, row.blocked_until, earliest)

    def count(self, interval_us: int, latest: int) -> int:
        """Return how many slots there are up to a time."""
        return max(0, (latest - self.next_at) // interval_us + 1)

    def take(self, interval_us: int) -> int:
        """Return the next slot; the one after it lies an interval later."""
        slot = self.next_at
        self.next_at += interval_us
        self._use = self._use.with_slot(slot, interval_us)
        self._is_moved = True
        return slot

    def keep(self) -> None:
        """Write down what was taken."""
        if self._is_moved:
            self._connection.execute(_MOVE, self._limiter | {"next_at": self.next_at} | self._use._asdict())

    def _locked(self) -> Row[Any]:
        query = _LOOK if self._connection.dialect.name == "sqlite" else _LOCK
        row = self._connection.execute(query, self._limiter).one_or_none()
        if row is None:
            self._connection.execute(_MAKE, self._limiter)
            row = self._connection.execute(query, self._limiter).one()
        return row


@once_more
def another_slot(
    database: Database, claimed: Claimed, *, lead_us: int = 0, clock: Callable[[Connection], int] = db_time
) -> int:
    """Take another slot for a call that missed its own; return it in microseconds UTC, `lead_us` from now or later.

    Raises ActionLost where the call is another's by now: its holder slept, and its lease is over.
    """
    with database.write() as connection:
        rows = [{"id": one.id, "token": one.token} for one in claimed.members]
        query = many(connection, _OURS, id="text", token="bigint")  # noqa: S106 - a fencing token's type
        if connection.execute(query, as_rows(rows)).scalar_one() < len(rows):
            raise ActionLost
        slots = Slots(connection, limiter_of(claimed), earliest=clock(connection) + lead_us)
        slot = slots.take(claimed.interval_us or 0)
        slots.keep()
    return slot


def push_back(connection: Connection, claimed: Claimed, *, now: int, after_ms: int | None) -> None:
    """Let no call begin for a while, after the other side said "too fast"; `now` in microseconds UTC.

    That holds for those too that have no limit of their own.
    """
    until = now + (_REST_US if after_ms is None else after_ms * 1000)
    connection.execute(_BLOCK, limiter_of(claimed)._asdict() | {"until": until})


def limiter(quota: str | None, destination: str | None, api: str | None) -> Limiter:
    """Return whose limit counts: a vendor's, or the destination's own, whether it has a limit so far or not."""
    return Limiter(quota or (f"destination/{destination}" if destination else ""), api or "")


def limiter_of(claimed: Claimed) -> Limiter:
    """Return whose limit counts for an action."""
    return limiter(claimed.quota, claimed.destination, claimed.api)
