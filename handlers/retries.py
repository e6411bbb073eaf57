"""When a call is made again, or that it never is: decided from what became of the last try and how many there were.

Pure: time and chance come in as arguments, and nothing is waited for here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.operation import Outcome


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How often, how long and how far apart a call is tried; milliseconds."""

    #: the longest wait before each further try; the last counts for all that follow
    delays_ms: tuple[int, ...]
    #: tries in all, the first included; None: as many as fit into `within_ms`
    tries: int | None = None
    #: how long after the first try there may be others; None: for ever
    within_ms: int | None = None

    def changed(
        self, *, tries: int | None = None, within_ms: int | None = None, delays_ms: tuple[int, ...] | None = None
    ) -> Schedule:
        """Return the schedule with what a rule says of it; a rule's delays or span lift the number of tries."""
        is_lifted = delays_ms is not None or within_ms is not None
        changed = Schedule(
            delays_ms=self.delays_ms if delays_ms is None else delays_ms,
            tries=tries if tries is not None or is_lifted else self.tries,
            within_ms=self.within_ms if within_ms is None else within_ms,
        )
        if changed.tries is None and changed.within_ms is None:
            return Schedule(delays_ms=changed.delays_ms, tries=len(changed.delays_ms) + 1)
        return changed


#: of vendors' calls: what they would change is over or has changed again after ten minutes
CALLS: Final = Schedule(delays_ms=(1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000), within_ms=600_000)


def destination_schedule(delays_ms: tuple[int, ...]) -> Schedule:
    """Return a destination's schedule: one try more than there are waits between them."""
    return Schedule(delays_ms=delays_ms, tries=len(delays_ms) + 1)


@dataclass(frozen=True, kw_only=True)
class Next:
    """What follows a try that was not the end of it: another at `at`, milliseconds UTC, or none; and why."""

    at: int | None
    reason: str = ""


def after(  # noqa: PLR0913 - each is one thing that the answer depends on
    outcome: Outcome,
    *,
    schedule: Schedule,
    tries: int,
    first_at: int,
    now: int,
    is_repeatable: bool,
    chance: Callable[[], float],
) -> Next:
    """Return when a call is made again whose outcome is `again` or `give_up`; times in milliseconds UTC.

    `tries` counts those made, this one included, the first at `first_at`. `chance` gives a number from 0 to below 1:
    each wait is a random part of the schedule's, so that calls that failed together don't come back together. No try
    comes before the time that the other side asked for.
    """
    if outcome.verdict == "give_up":
        return Next(at=None, reason=_said(outcome) or "the other side refuses it")
    if outcome.is_unclear and not is_repeatable:
        why = "it may have had its effect, and a repeat could do harm: look before you retry it"
        return Next(at=None, reason=f"{_said(outcome) or 'there was no answer'}; {why}")
    if schedule.tries is not None and tries >= schedule.tries:
        return Next(at=None, reason=f"{_said(outcome) or 'it failed'}; that was try {tries} of {schedule.tries}")
    wait = int(chance() * schedule.delays_ms[min(tries, len(schedule.delays_ms)) - 1]) if schedule.delays_ms else 0
    at = now + max(wait, outcome.after_ms or 0)
    if schedule.within_ms is not None and at > first_at + schedule.within_ms:
        seconds = f"{schedule.within_ms / 1000:g}"
        return Next(at=None, reason=f"{_said(outcome) or 'it failed'}; the {seconds} s for further tries are over")
    return Next(at=at, reason=_said(outcome))


def _said(outcome: Outcome) -> str:
    return ": ".join(part for part in (outcome.code, outcome.detail or outcome.meaning) if part)
