"""What is known of an action before it is planned, and of one that is in hand."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from handlers.destinations.handover import MOST_OF_BATCH
from handlers.retries import CALLS, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.events import TaskKey

#: stands where other actions have their rule; no rule can have a name with blanks
BY_HAND: Final = "(by hand)"
#: of a vendor's limit, what is used: the rest is for what delays a call on its way
USED_PART: Final = 0.96
#: milliseconds before it would be too late that an action waits for no others any more
_IN_TIME_MS: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Once:
    """What a rule acts once for: a key of its own, for ever or until a time in milliseconds UTC."""

    key: str
    expires_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A rule acts at most so often in so many milliseconds: in all, or for one task."""

    scope: Literal["rule", "task"]
    most: int
    within_ms: int


@dataclass(frozen=True, kw_only=True)
class Named:
    """A name that a call gives and no two tasks may have: they would overwrite each other's files."""

    #: such as `volcengine.Identifier`
    kind: str
    value: str
    #: the task that gets it, where the catalogue knows it
    task: TaskKey | None = None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One call that a rule asks for; its id comes with its row."""

    rule: str
    #: which version of the rules asks for it; None: a person does
    rules_version: str | None = None
    #: what the change is about, with its delivery where it may happen to that again; and the change's name
    subject: str
    change: str
    #: 0 where a rule asks; each rerun is one more
    generation: int = 0
    #: from 0; a step waits for the one before it, which stands before it in the same list
    step: int = 0
    #: such as `volcengine.update_segment`
    operation: str
    #: of the account, whose calls these are or whose event it is
    vendor: str
    account: str
    destination: str | None = None
    #: of which one is under way at a time, unique over everything that is called; None: no order
    lane: str | None = None
    #: whose limit counts for which API, and calls per second; None: none does
    quota: str | None = None
    api: str | None = None
    limit: float | None = None
    #: complete; None: refused
    parameters: Mapping[str, Any] | None
    #: the change as a destination is told of it; None: a vendor's call
    told: Mapping[str, Any] | None = None
    #: the event's time in milliseconds UTC, its delivery, its position in it: the order within the lane
    at: int
    delivery: str
    position: int = 0
    task: str | None = None
    #: the id of the recording or segment
    recording: str | None = None
    mode: Literal["live", "shadow"] = "live"
    #: which constraint failed
    refused: str | None = None
    #: milliseconds UTC after which it is not made any more
    expires_at: int | None = None
    schedule: Schedule = CALLS
    is_repeatable: bool = False
    #: it is about its task's run, and is cancelled when that ends
    needs_run: bool = False
    once: Once | None = None
    bounds: tuple[Bound, ...] = ()
    #: the task's words, by which a bound for one task counts; None: by its id, and where there is none either, not
    bound_key: str | None = None
    #: of the waiting calls of a lane with the same word, a newer may make an older superfluous; None: never
    covers: str | None = None
    #: the parameter that grows from attempt to attempt of a lane
    sequence: str | None = None
    #: a name that it gives
    named: Named | None = None
    #: the task of its lane begins with it
    starts: bool = False
    #: tells why it can't be made, by the parameters with which the task of its lane was started; None: it can be
    precondition: Callable[[Mapping[str, Any]], str | None] | None = None
    #: the action that it repeats
    original: str | None = None
    #: so many of a channel are handed over in one call as soon as they are there; None: each by itself. What has a
    #: lane goes one at a time, whatever stands here
    batch_max: int | None = None
    #: milliseconds after which it waits for no others any more
    batch_within_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """An action in hand: with its token, which only the last taker has, and the time of its call."""

    id: str
    token: int
    holder: str
    rule: str
    subject: str
    change: str
    step: int
    operation: str
    vendor: str
    account: str
    destination: str | None
    lane: str | None
    quota: str | None
    api: str | None
    interval_us: int | None
    parameters: Mapping[str, Any]
    #: the change as a destination is told of it; None: a vendor's call
    told: Mapping[str, Any] | None
    at: int
    delivery: str
    position: int
    task: str | None
    recording: str | None
    #: those made since it was planned or retried by hand, and the first of them, milliseconds UTC
    tries: int
    first_at: int | None
    schedule: Schedule
    is_repeatable: bool
    #: the parameter that must grow, and its number for this attempt
    sequence: str | None
    sequence_number: int | None = None
    #: microseconds UTC by the database's clock before which the call may not be made; None: at once
    not_before: int | None = None
    #: the further actions of its batch, in order; None: it is no batch
    others: tuple[Claimed, ...] | None = None

    @property
    def members(self) -> tuple[Claimed, ...]:
        """Return the actions of the call: itself, and the further ones of its batch."""
        return (self, *(self.others or ()))


def channel_of(planned: Planned) -> str:
    """Return what the action is chosen from together with: its limit, all that can be stopped, and its batch."""
    counterpart = (planned.destination, planned.quota, planned.api, interval_of(planned.limit))
    own = (*counterpart, planned.operation, planned.vendor, planned.account, planned.rule)
    size = batch_of(planned)
    return _told(own if size is None else (*own, size, _alike(planned)))


# A worker says the same of most actions.
@lru_cache(maxsize=1024)
def _told(channel: tuple[object, ...]) -> str:
    return json.dumps(channel)


def batch_of(planned: Planned) -> int | None:
    """Return how many are handed over in one call; None: it goes by itself, as all in lanes do."""
    if planned.batch_max is None or planned.lane is not None:
        return None
    return max(1, min(planned.batch_max, MOST_OF_BATCH))


def due_at(planned: Planned, now: int) -> int:
    """Return when the action is to be called though no others came; milliseconds UTC."""
    if batch_of(planned) is None:
        return now
    due = now + (planned.batch_within_ms or 0)
    return due if planned.expires_at is None else max(now, min(due, planned.expires_at - _IN_TIME_MS))


def _alike(planned: Planned) -> str:
    """Return what all of a batch have in common: their step, and all parameters but the body, as one call has one."""
    own = dict(planned.parameters or {})
    has_body = own.pop("body", None) is not None
    told = json.dumps([own, has_body], sort_keys=True)
    return f"{planned.step} {hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}"


def turn_of(planned: Planned, action: str) -> str:
    """Return the action's place in its lane, as text that sorts."""
    return f"{max(planned.at, 0):015d} {planned.delivery} {planned.position:06d} {planned.step:04d} {action}"


def interval_of(limit: float | None) -> int | None:
    """Return the microseconds between two calls below a limit of calls per second."""
    return None if limit is None else max(1, round(1_000_000 / (USED_PART * limit)))


@lru_cache(maxsize=256)
def schedule_text(schedule: Schedule) -> str:
    """Return a schedule as it is kept."""
    return json.dumps(asdict(schedule))


def read_schedule(kept: str) -> Schedule:
    """Return a kept schedule."""
    told = json.loads(kept)
    return Schedule(delays_ms=tuple(told["delays_ms"]), tries=told["tries"], within_ms=told["within_ms"])
