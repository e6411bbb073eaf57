"""What a process has in hand, how long that is its own, and how many more calls each counterpart may have.

1. A few calls a counterpart may always have, whatever the others have in hand: there are threads for them besides.
2. Of the threads that all share nobody has more than it leaves free, nor more than its own most.
3. Half of those are for whoever answers quickly. However many others are dead, they leave it alone; who has not
   answered yet counts as one of them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from handlers.actions.claiming import LEASE_MS
from handlers.actions.quotas import limiter_of
from handlers.errors import ActionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from handlers.actions.planned import Claimed
    from handlers.actions.quotas import Limiter

#: calls in hand of one API with a limit, and of one destination
_MOST_WITH_LIMIT: Final = 48
_MOST: Final = 8
#: calls that a counterpart may have beside those that share the threads
_OWN: Final = 2
#: of the shared threads, so many times as many are the most in all: beyond that nobody has any of its own
_MOST_IN_ALL: Final = 4
#: seconds after which an answer is no quick one
_QUICK: Final = 1.0
#: seconds of a lease: what is left of it when a call is sent, which a vendor's call is over in
_LEASE: Final = LEASE_MS / 1000
_LEFT: Final = 10.0


@dataclass
class _Hold:
    """One call in hand; seconds of the monotonic clock."""

    claimed: Claimed
    until: float
    sent_at: float | None = None


class Room:
    """How many more calls each counterpart may have, as of a moment."""

    def __init__(self, threads: int, counts: Mapping[Limiter, int], quick: Collection[Limiter]) -> None:
        """Take how many threads all share, what is in hand of whom, and who answers quickly."""
        self._threads = threads
        self._counts = Counter(counts)
        self._quick = quick

    @property
    def left(self) -> int:
        """Return how many calls may be taken in hand of all together."""
        return max(_MOST_IN_ALL * self._threads - self._counts.total(), 0)

    def of(self, limiter: Limiter) -> int:
        """Return how many more calls one may have."""
        count = self._counts[limiter]
        most = _MOST_WITH_LIMIT if limiter.api else _MOST
        used = _shared(count)
        free = self._threads - sum(map(_shared, self._counts.values()))
        if limiter not in self._quick:
            others = sum(_shared(number) for one, number in self._counts.items() if one not in self._quick)
            free = min(free, self._threads // 2 - others)
        more = max(_OWN - count, 0) + max((free - used + 1) // 2, 0)
        return max(min(more, most - count, self.left), 0)

    def copy(self) -> Room:
        """Return the same room once more, for a claim that may be undone."""
        return Room(self._threads, self._counts, self._quick)

    def take(self, limiter: Limiter, number: int) -> None:
        """Note that one got calls."""
        self._counts[limiter] += number


class InHand:
    """The calls that a process has in hand."""

    def __init__(self, threads: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take how many threads all counterparts share."""
        self._threads = threads
        self._clock = clock
        self._lock = threading.Lock()
        #: by action and token: what a thread lets go of may be in hand again already
        self._holds: dict[tuple[str, int], _Hold] = {}
        #: when a call was last answered quickly, and when one last was not
        self._quick_at: dict[Limiter, float] = {}
        self._slow_at: dict[Limiter, float] = {}

    def __len__(self) -> int:
        """Return how many calls are in hand."""
        return len(self._holds)

    def all(self) -> list[Claimed]:
        """Return the calls."""
        with self._lock:
            return [hold.claimed for hold in self._holds.values()]

    def now(self) -> float:
        """Return the time by which leases are counted here: what is asked for later lasts longer than from now."""
        return self._clock()

    def take(self, calls: Iterable[Claimed], *, asked_at: float) -> None:
        """Have these in hand, for a lease that was asked for at that time."""
        with self._lock:
            for one in calls:
                self._holds[one.id, one.token] = _Hold(claimed=one, until=asked_at + _LEASE)

    def renewed(self, actions: Collection[str], *, asked_at: float) -> None:
        """Note which actions have another lease, that was asked for at that time."""
        with self._lock:
            for hold in self._holds.values():
                if all(one.id in actions for one in hold.claimed.members):
                    hold.until = max(hold.until, asked_at + _LEASE)

    def send(self, claimed: Claimed) -> None:
        """Note that a call is sent now. Raise ActionLost where its lease may be over before the call is."""
        with self._lock:
            hold, now = self._hold(claimed), self._clock()
            if hold is None or now > hold.until - _LEFT:
                raise ActionLost
            hold.sent_at = now

    def answered(self, claimed: Claimed) -> None:
        """Note that a call is over, whatever its outcome."""
        limiter = limiter_of(claimed)
        with self._lock:
            hold, now = self._hold(claimed), self._clock()
            if hold is not None and hold.sent_at is not None:
                times = self._quick_at if now - hold.sent_at <= _QUICK else self._slow_at
                times[limiter] = now
                hold.sent_at = None

    def let_go(self, claimed: Claimed) -> None:
        """Have a call in hand no longer."""
        with self._lock:
            self._holds.pop((claimed.id, claimed.token), None)

    def room(self) -> Room:
        """Return how many more calls each counterpart may have now."""
        with self._lock:
            counts = Counter(limiter_of(hold.claimed) for hold in self._holds.values())
            slow_at = dict(self._slow_at)
            for hold in self._holds.values():
                limiter = limiter_of(hold.claimed)
                if hold.sent_at is not None and (since := hold.sent_at + _QUICK) < self._clock():
                    slow_at[limiter] = max(since, slow_at.get(limiter, since))
            quick = {one for one, at in self._quick_at.items() if at > slow_at.get(one, float("-inf"))}
            return Room(self._threads, counts, quick)

    def _hold(self, claimed: Claimed) -> _Hold | None:
        return self._holds.get((claimed.id, claimed.token))


def _shared(count: int) -> int:
    """Return how many of a counterpart's calls use threads that all share."""
    return max(count - _OWN, 0)
