"""How long a poller rests before it asks again: after a failure, and after an empty answer that came too soon.

An empty answer that came at once means that the service takes no more long polls for now; it charges for each answer
nevertheless. And whoever asks without resting gets nothing sooner.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: seconds of the first rest, and of the longest after failures
FIRST = 0.5
LONGEST = 60.0
#: the longest after empty answers, where the queue's own wait is shorter
_LONGEST_EMPTY = 5.0
#: the part of its wait that an empty answer must have taken
_DUE = 0.8


class Rests:
    """Rests that double, up to a longest, and never end for two pollers at the same moment."""

    def __init__(self, longest: float = LONGEST, *, chance: Callable[[], float] = random.random) -> None:
        """Take the longest rest in seconds; `chance` gives numbers from 0 to below 1."""
        self._longest = longest
        self._chance = chance
        self._in_a_row = 0

    def next(self) -> float:
        """Return the seconds to rest now."""
        whole = min(self._longest, FIRST * 2.0 ** min(self._in_a_row, 30))
        self._in_a_row += 1
        return whole * (0.5 + self._chance() / 2)

    def reset(self) -> None:
        """Begin with the first again."""
        self._in_a_row = 0


class EmptyPolls:
    """Tells of each empty answer whether it came too soon."""

    def __init__(self, wait_seconds: int, *, chance: Callable[[], float] = random.random) -> None:
        """Take the seconds that a poll shall wait."""
        self._wait = wait_seconds
        self._rests = Rests(max(wait_seconds, _LONGEST_EMPTY), chance=chance)

    def rest(self, took: float) -> float:
        """Return the seconds to rest after an empty answer that took so long; 0 where it waited as it should."""
        if self._wait and took >= self._wait * _DUE:
            self._rests.reset()
            return 0.0
        return self._rests.next()

    def reset(self) -> None:
        """Note that there were messages."""
        self._rests.reset()
