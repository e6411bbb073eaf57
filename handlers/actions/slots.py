"""How a thread waits for the time of its call, by the database's clock, and takes another slot if it missed its own.

What needs no slot waits only while the other side wants no call.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from handlers.actions.db_time import db_time
from handlers.actions.quotas import Limiter, another_slot, limiter_of
from handlers.errors import HeldBack

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from handlers.actions.planned import Claimed
    from handlers.database import Database

#: microseconds by which a call may be late: a later one would come too close to the next
LATE_US: Final = 20_000
#: microseconds from a claim to its first call: at first, at least, and at most
_LEAD_US: Final = 25_000
_LEAST_LEAD_US: Final = 8_000
_MOST_LEAD_US: Final = 400_000
#: microseconds that a thread waits at most, and how many calls of its limit besides: a slot further off lies behind a
#: time that the other side asked for
_LONGEST_US: Final = 3_000_000
_MOST_BEFORE: Final = 16
#: of how long the database took to tell the time, microseconds, what is exact enough
_EXACT_US: Final = 4_000
#: microseconds after which a less exact time is better than none that is newer
_STALE_US: Final = 10_000_000


class SlotClock:
    """The database's time, as a process can wait for it, and how long its calls take to get ready."""

    def __init__(self, database: Database, *, clock: Callable[[Connection], int] = db_time) -> None:
        """Take the database; its time is learned whenever it is asked for."""
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        #: the database's time less our monotonic one, and when that was learned
        self._offset = 0
        self._learned_at: int | None = None
        self._blocked: dict[Limiter, int] = {}
        self.lead_us = _LEAD_US

    def now(self, connection: Connection) -> int:
        """Return the database's time in microseconds UTC, and learn from it."""
        before = _monotonic()
        told = self._clock(connection)
        after = _monotonic()
        with self._lock:
            is_stale = self._learned_at is None or after - self._learned_at > _STALE_US
            if is_stale or after - before < _EXACT_US:
                self._offset = told - (before + after) // 2
                self._learned_at = after
        return told

    def wait(self, claimed: Claimed) -> int:
        """Return when the call may be made; tell how many slots it missed before.

        Raises HeldBack where that is too far off: meanwhile it may become superfluous, or too old.
        """
        if claimed.not_before is None:
            self._sit_out(limiter_of(claimed))
            return 0
        missed = 0
        longest = _LONGEST_US + _MOST_BEFORE * (claimed.interval_us or 0)
        slot = claimed.not_before
        while True:
            left = self._sleep(slot, longest)
            late = _monotonic() + self._offset - slot
            self._adapt(left)
            if late <= LATE_US and slot >= self._blocked.get(limiter_of(claimed), 0):
                return missed
            missed += 1
            slot = another_slot(self._database, claimed, lead_us=self.lead_us, clock=self.now)

    def block(self, claimed: Claimed, after_ms: int) -> None:
        """Let what is in hand already wait, or take a later slot: the other side said "too fast"."""
        limiter = limiter_of(claimed)
        with self._lock:
            until = _monotonic() + self._offset + after_ms * 1000
            self._blocked[limiter] = max(until, self._blocked.get(limiter, 0))

    def _sit_out(self, limiter: Limiter) -> None:
        """Wait until the other side takes calls that need no slot; another "too fast" may come meanwhile."""
        while self._sleep(self._blocked.get(limiter, 0), _LONGEST_US) > 0:
            pass

    def _sleep(self, until: int, longest: int) -> int:
        """Sleep until a time; return how many microseconds that were. Raises HeldBack where it is too far off."""
        left = until - self._offset - _monotonic()
        if left > longest:
            raise HeldBack(left // 1000)
        if left > 0:
            time.sleep(left / 1_000_000)
        return left

    def _adapt(self, left: int) -> None:
        """Learn how long before its slot a call must be taken in hand: longer at once, shorter by and by."""
        if left < 0:
            self.lead_us = min(self.lead_us - left // 2 + 2_000, _MOST_LEAD_US)
        elif left > self.lead_us // 2:
            self.lead_us = max(self.lead_us - self.lead_us // 64, _LEAST_LEAD_US)


def _monotonic() -> int:
    return time.monotonic_ns() // 1000
