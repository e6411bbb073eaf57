"""How fast calls would have come: the most in any one second, against the limit, and how long they would wait."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_SECOND_MS: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The calls that one limit counts, or those to one counterpart without a limit."""

    #: whose limit it is; None: none counts
    quota: str | None
    #: the API of the vendor, the destination, or else the operation
    api: str
    #: calls a second
    limit: float | None
    calls: int
    #: most calls that begin within any second, were there no limit; and when that second begins, milliseconds UTC
    peak: int
    peak_at: int
    #: below the limit, the most calls that wait at one time, and the longest wait in milliseconds
    waiting: int
    longest_wait_ms: int


@dataclass(kw_only=True)
class _Queue:
    limit: float | None
    calls: int = 0
    peak: int = 0
    peak_at: int = 0
    waiting: int = 0
    longest_us: int = 0
    #: when the next call may begin, microseconds UTC
    next_at: int = 0
    recent: deque[int] = field(default_factory=deque)

    def add(self, at: int, interval_us: int | None) -> None:
        self.calls += 1
        self.recent.append(at)
        while self.recent[0] <= at - _SECOND_MS:
            self.recent.popleft()
        if len(self.recent) > self.peak:
            self.peak, self.peak_at = len(self.recent), self.recent[0]
        if interval_us is not None:
            slot = max(self.next_at, at * 1000)
            self.next_at = slot + interval_us
            self.longest_us = max(self.longest_us, slot - at * 1000)
            self.waiting = max(self.waiting, -(-(slot - at * 1000) // interval_us))


def paces(calls: Iterable[Any], limits: Mapping[tuple[str, str], float]) -> list[Pace]:
    """Return the pace of each limiter and counterpart; the calls come in the order of their time.

    Of a call `at`, `quota`, `api`, `interval_us`, `destination` and `operation` are looked at.
    """
    queues: dict[tuple[str | None, str], _Queue] = {}
    for one in calls:
        key = (one.quota, (one.api or one.destination) if one.quota else (one.destination or one.operation))
        if key not in queues:
            queues[key] = _Queue(limit=None if one.quota is None else limits.get((one.quota, one.api or "")))
        queues[key].add(one.at, one.interval_us)
    return [
        Pace(
            quota=quota,
            api=api,
            limit=queue.limit,
            calls=queue.calls,
            peak=queue.peak,
            peak_at=queue.peak_at,
            waiting=queue.waiting,
            longest_wait_ms=queue.longest_us // 1000,
        )
        for (quota, api), queue in sorted(queues.items(), key=lambda item: (item[0][0] or "", item[0][1]))
    ]
