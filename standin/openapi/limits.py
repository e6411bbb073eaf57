"""Which call is over a limit: never more than so many within any one second, and never one refused below that.

The window slides: [t, t + 1 s) for every t. Times are whole nanoseconds, so that a second is exactly a second. What is
refused doesn't count, for it was not let in.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SECOND = 1_000_000_000


class Verdict(NamedTuple):
    """Whether a call is within its limit, and the moment (monotonic, ns) at which it was counted."""

    within: bool
    at: int


class Limiter:
    """Counts calls by account and action. `clock` gives nanoseconds and must never go back."""

    def __init__(self, limits: Mapping[str, int], clock: Callable[[], int] = time.monotonic_ns) -> None:
        wrong = {action: limit for action, limit in limits.items() if limit < 1}
        if wrong:
            raise ValueError(f"limits must be 1 or more calls per second, these are not: {wrong}")
        self.limits = dict(limits)
        self._clock = clock
        self._lock = threading.Lock()
        self._admitted: dict[tuple[str, str], deque[int]] = {}

    def admit(self, account: str, action: str) -> Verdict:
        """Count one call now; an action without a limit is always within it."""
        limit = self.limits.get(action)
        with self._lock:
            at = self._clock()
            if limit is None:
                return Verdict(within=True, at=at)
            admitted = self._admitted.setdefault((account, action), deque())
            while admitted and at - admitted[0] >= SECOND:
                admitted.popleft()
            within = len(admitted) < limit
            if within:
                admitted.append(at)
            return Verdict(within=within, at=at)
