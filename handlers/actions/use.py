"""How much of a limit is used: what slots took up of the last ten seconds, an interval each.

Only two sums are kept with each limit: of the span of time in which its last slot lies, and of the span before that.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: microseconds of a span: the use is told of the last so many
SPAN_US: Final = 10_000_000


class Use(NamedTuple):
    """What the slots of one limit took up lately, in microseconds."""

    #: which span since 1970 the last slot lies in
    used_in: int
    used_us: int
    #: in the span before that
    used_before_us: int

    def with_slot(self, slot: int, interval_us: int) -> Use:
        """Return the use with another slot; microseconds UTC, none before the last."""
        span = slot // SPAN_US
        if span == self.used_in:
            return self._replace(used_us=self.used_us + interval_us)
        return Use(span, interval_us, self.used_us if span == self.used_in + 1 else 0)

    def share(self, now: int) -> float:
        """Return, from 0 to 1, how much of the last ten seconds slots took up; `now` in microseconds UTC."""
        # Slots are given away a moment ahead, perhaps in the span to come.
        now = max(now, self.used_in * SPAN_US)
        span, gone = divmod(now, SPAN_US)
        used, before = {0: (self.used_us, self.used_before_us), 1: (0, self.used_us)}.get(span - self.used_in, (0, 0))
        return min((used + before * (SPAN_US - gone) / SPAN_US) / SPAN_US, 1.0)
