"""The loop that has calls made: it claims what its threads have room for, and sees each through to its settlement.

1. Claim due actions, for no counterpart more than its share of the threads: one that is dead delays no other.
2. A thread prepares each call, writes down that it begins, waits for its slot, makes it; no transaction is open then.
   Where it comes to know that nothing is sent, it puts the action back as if nothing had begun.
3. It settles the outcome; what waited for that comes forward, and the loop looks again at once, as it does after it
   has ended what came too late.
4. Meanwhile leases are renewed, and what lost workers had in hand is taken up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from handlers.actions import batches, figures
from handlers.actions.claiming import LEASE_MS, claim, give_back, renew
from handlers.actions.db_time import db_time
from handlers.actions.endings import add_to
from handlers.actions.in_hand import InHand
from handlers.actions.losses import MOST_AT_ONCE, take_up_lost
from handlers.actions.senders import Senders
from handlers.actions.settling import Begin, Settle, begin, each_of, settle
from handlers.actions.slots import SlotClock
from handlers.actions.unsent import put_back
from handlers.errors import ActionLost, DatabaseAway, HeldBack, SettingsError, WrongRequest
from handlers.ids import new_id
from handlers.keeping.group_commit import GroupCommit
from handlers.meters import Meters
from handlers.operation import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from handlers.actions.claiming import Pace
    from handlers.actions.endings import Endings
    from handlers.actions.planned import Claimed
    from handlers.database import Database

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

#: calls in hand of one process that its counterparts share; each has a few besides
_THREADS: Final = 128
#: seconds between two looks: with calls in hand, and without
_REST_AT_WORK: Final = 0.02
_REST: Final = 0.1
_REST_WHILE_AWAY: Final = 0.5
_RENEW_EVERY: Final = LEASE_MS / 3000
_TAKE_UP_EVERY: Final = 1.0
#: seconds that a thread tries to write down what became of a call while the database is away
_SETTLE_PATIENCE: Final = 600.0
#: milliseconds of rest after "too fast", where the other side names no time
_REST_MS: Final = 1_000
#: most calls that one transaction writes down; on SQLite others wait meanwhile
_AT_ONCE: Final = 16


@dataclass(frozen=True, kw_only=True)
class Performed:
    """What became of a call, and the answer as text."""

    outcome: Outcome
    answer: str | None = None


class Perform(Protocol):
    """What makes a call: it prepares all, calls `start`, sends at once, and reads the answer.

    `start` takes the request as it may be shown. It returns when the call may be made, and raises ActionLost, HeldBack
    or DatabaseAway where it must not be. Where the action leads a batch, its `others` go in the same call, and have
    its outcome.
    """

    def __call__(self, claimed: Claimed, start: Callable[[str], None], /) -> Performed:
        """Make the call, and pass on what `start` raises. What is raised before that was called is no attempt."""


class Dispatcher:
    """What one worker process does with actions."""

    def __init__(  # noqa: PLR0913 - what a process may say of its calls
        self,
        database: Database,
        perform: Perform,
        *,
        threads: int = _THREADS,
        patience: float = 10.0,
        pace: Pace | None = None,
        clock: Callable[[Connection], int] = db_time,
    ) -> None:
        """Take what makes the calls, and how many seconds those under way are waited for at the end.

        `pace` tells how far apart the calls of a channel are by the settings of now.
        """
        self._database = database
        self._perform = perform
        self._patience = patience
        self._pace = pace
        self.holder = new_id("wrk")
        #: the loop's own; threads count beside them, so that none waits for the database on its way to its call
        self.meters = Meters()
        self._counted: Counter[tuple[str, str]] = Counter()
        self._ended: Endings = Counter()
        self._slots = SlotClock(database, clock=clock)
        self._senders = Senders()
        self._begins: GroupCommit[Begin, bool] = GroupCommit(self._begin, most=_AT_ONCE)
        self._settles: GroupCommit[list[Settle], list[str | None]] = GroupCommit(self._settle, most=_AT_ONCE)
        self._lock = threading.Lock()
        self._hand = InHand(threads)
        self._wake = threading.Event()
        self._is_stopping = False
        self._renewed_at = self._taken_up_at = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Have calls made until `stop` is set; then finish those in hand, and give back what has not begun."""
        noted: str | None = None
        while not stop.is_set():
            try:
                self._wake.clear()
                taken = self._round()
                noted = None
            except DatabaseAway as exc:
                if str(exc) != noted:
                    _log.warning("the database is away, actions wait: %s", exc)
                noted = str(exc)
                stop.wait(_REST_WHILE_AWAY)
            except Exception:  # noqa: BLE001 - the loop outlives every bug; each is logged
                _log.exception("the dispatcher met an error; it goes on")
                stop.wait(_REST_WHILE_AWAY)
            else:
                if not taken:
                    self._wake.wait(_REST_AT_WORK if len(self._hand) else _REST)
        self._finish()

    def _round(self) -> int:
        """Claim what there is room for; return how many actions were."""
        self._look_after()
        asked_at, room = self._hand.now(), self._hand.room()
        taken = claim(
            self._database,
            self.holder,
            room.left,
            room=room,
            pace=self._pace,
            lead_us=self._slots.lead_us,
            clock=self._slots.now,
            count=self._count_late,
        )
        self._hand.take(taken, asked_at=asked_at)
        self._hand_over(taken)
        return len(taken)

    def _hand_over(self, taken: Sequence[Claimed]) -> None:
        """Give each call a thread; those for which there is none are put back for others."""
        for place, one in enumerate(taken):
            try:
                self._senders.submit(partial(self._see_through, one))
            except Exception:
                left = taken[place:]
                for other in left:
                    self._hand.let_go(other)
                give_back(self._database, left, count=self._count_ended)
                raise

    def _look_after(self) -> None:
        """Renew the leases of what is in hand, take up what others lost, and add up the figures."""
        now = time.monotonic()
        if now - self._renewed_at > _RENEW_EVERY:
            self._renew()
        if now - self._taken_up_at > _TAKE_UP_EVERY:
            if lost := take_up_lost(self._database, clock=self._slots.now, count=self._count_ended):
                _log.warning("%d actions of lost workers are taken up", lost)
            self._taken_up_at = now if lost < MOST_AT_ONCE else now - _TAKE_UP_EVERY
            self._flush()

    def _renew(self) -> None:
        asked_at = self._hand.now()
        kept = renew(self._database, self._hand.all(), clock=self._slots.now)
        self._hand.renewed(kept, asked_at=asked_at)
        self._renewed_at = time.monotonic()

    def _see_through(self, claimed: Claimed) -> None:
        """Make one call and settle it; whatever happens, it is not in hand afterwards."""
        try:
            if self._is_stopping:
                give_back(self._database, [claimed], count=self._count_ended)
            else:
                self._make(claimed)
        except ActionLost:
            _log.warning("an action was taken over before its call was made", extra={"action": claimed.id})
        except DatabaseAway as exc:
            _log.warning("an action is left to its lease: %s", exc, extra={"action": claimed.id})
        except Exception:  # noqa: BLE001 - a bug costs one action its lease
            _log.exception("an action could not be seen through", extra={"action": claimed.id})
        finally:
            self._hand.let_go(claimed)
            self._wake.set()

    def _make(self, claimed: Claimed) -> None:
        call = _Call(claimed, self._start)
        began = time.monotonic()
        try:
            performed = self._perform(claimed, call.start)
        except ActionLost:
            self._put_back(claimed)
            raise
        except Exception as exc:  # noqa: BLE001 - a bug is an outcome, too; each is logged
            if isinstance(exc, DatabaseAway | HeldBack) and call.started_at is None:
                _log.info("an action is put back: %s", exc, extra={"action": claimed.id})
                self._put_back(claimed, after_ms=exc.after_ms if isinstance(exc, HeldBack) else 0)
                return
            if not isinstance(exc, SettingsError | WrongRequest):
                _log.exception("a call failed in an unforeseen way", extra={"action": claimed.id})
            performed = Performed(outcome=_failed(exc, is_unclear=call.started_at is not None))
        self._hand.answered(claimed)
        took = time.monotonic() - (call.started_at or began)
        self._write_down(claimed, performed, int(took * 1000))

    def _start(self, claimed: Claimed, request: str) -> None:
        if not self._begins.submit(Begin(claimed=claimed, request=request)):
            raise ActionLost
        missed = self._slots.wait(claimed)
        self._hand.send(claimed)
        self._count(figures.SENT, claimed, len(claimed.members))
        if missed:
            self._count(figures.LATE, claimed, missed)

    def _write_down(self, claimed: Claimed, performed: Performed, duration_ms: int) -> None:
        outcome = performed.outcome
        if outcome.is_throttled:
            self._slots.block(claimed, _REST_MS if outcome.after_ms is None else outcome.after_ms)
        told = each_of(Settle(claimed=claimed, outcome=outcome, answer=performed.answer, duration_ms=duration_ms))
        states = self._insist(partial(self._settles.submit, told))
        if None in states:
            _log.warning("an answer came after the lease was over, and changes nothing", extra={"action": claimed.id})
        for state, number in Counter(states).items():
            if state is not None:
                self._count(f"{figures.SETTLED}{state}", claimed, number)

    def _put_back(self, claimed: Claimed, *, after_ms: int = 0) -> None:
        """Undo that a call began of which nothing was sent; of a batch some may be another's."""
        self._insist(
            partial(
                put_back,
                self._database,
                claimed,
                after_ms=after_ms,
                clock=self._slots.now,
                count=self._count_ended,
            )
        )

    def _insist(self, write: Callable[[], Result]) -> Result:
        """Write something down, as soon as the database is there."""
        until = time.monotonic() + _SETTLE_PATIENCE
        while True:
            try:
                return write()
            except DatabaseAway:
                if time.monotonic() > until or self._is_stopping:
                    raise
                time.sleep(_REST_WHILE_AWAY)

    def _begin(self, calls: Sequence[Begin]) -> Sequence[bool | Exception]:
        def write(some: Sequence[Begin]) -> Sequence[bool]:
            return begin(self._database, some, clock=self._slots.now)

        return batches.in_portions(calls, write, size=lambda one: len(one.claimed.members))

    def _settle(self, calls: Sequence[list[Settle]]) -> Sequence[list[str | None] | Exception]:
        def write(some: Sequence[list[Settle]]) -> Sequence[list[str | None]]:
            ours = [one for call in some for one in call]
            told = iter(settle(self._database, ours, clock=self._slots.now, count=self._count_ended))
            return [[next(told) for _ in call] for call in some]

        return batches.in_portions(calls, write, size=len)

    def _count(self, name: str, claimed: Claimed, number: int = 1) -> None:
        with self._lock:
            self._counted[name, claimed.operation] += number

    def _count_ended(self, found: Endings) -> None:
        with self._lock:
            self._ended.update(found)

    def _count_late(self, found: Endings) -> None:
        """Count what came too late, and look at once for more: it takes nobody's time."""
        self._count_ended(found)
        if found:
            self._wake.set()

    def _flush(self, *, at_once: bool = False) -> None:
        """Add what was counted to the figures of all processes."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
            ended, self._ended = self._ended, Counter()
        for (name, operation), number in counted.items():
            self.meters.add(name, operation, number)
        add_to(self.meters, ended)
        self.meters.flush(self._database, at_once=at_once)

    def _finish(self) -> None:
        """Wait for the calls under way, and give back what has not begun."""
        self._is_stopping = True
        until = time.monotonic() + self._patience
        try:
            while len(self._hand) and time.monotonic() < until:
                self._wake.wait(0.05)
                self._wake.clear()
                if time.monotonic() - self._renewed_at > _RENEW_EVERY:
                    self._renew()
            if left := self._hand.all():
                _log.warning("%d calls are still under way; their actions are left to their leases", len(left))
                give_back(self._database, left, count=self._count_ended)
            self._flush(at_once=True)
        except DatabaseAway as exc:
            _log.warning("the database is away at the end; actions in hand are left to their leases: %s", exc)
        self._senders.close()


class _Call:
    """One call, and whether it was begun."""

    def __init__(self, claimed: Claimed, begin: Callable[[Claimed, str], None]) -> None:
        self._claimed = claimed
        self._begin = begin
        self.started_at: float | None = None

    def start(self, request: str) -> None:
        """Write down that the call begins, and wait until it may."""
        self._begin(self._claimed, request)
        self.started_at = time.monotonic()


def _failed(exc: Exception, *, is_unclear: bool) -> Outcome:
    """Return the outcome of a call that ended in an error of ours; a setting can be mended, parameters can't."""
    return Outcome(
        verdict="give_up" if isinstance(exc, WrongRequest) else "again",
        detail=f"{type(exc).__name__}: {exc}",
        is_unclear=is_unclear,
    )
