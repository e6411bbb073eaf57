"""What follows from changes: the calls that the rules ask for, planned in the transaction of their facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from handlers.actions import Bound, Once, Planned, plan
from handlers.actions.db_time import db_time
from handlers.destinations import OPERATIONS, tell
from handlers.fields import storable
from handlers.inbox.rule_notes import RuleNotes
from handlers.inbox.terms import Terms
from handlers.rules import Change
from handlers.rules.known import known_of, vendor_operations
from handlers.rules.views import event_view, row_view

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.catalogue.effects import Effect
    from handlers.operation import Operation
    from handlers.rules import Asked, RuleBook, Rules, Unmatched
    from handlers.rules.model import OperationLike
    from handlers.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Consequences:
    """What follows from some changes, not planned yet."""

    planned: Sequence[Planned] = ()
    #: rules that matched, once for each change
    matched: Sequence[str] = ()
    unmatched: Sequence[Unmatched] = ()
    #: tasks that are over, with the reason
    over: Mapping[str, str] = field(default_factory=dict)
    #: when that is, by the database's clock, milliseconds UTC
    now: int

    def write(self, connection: Connection) -> Counter[str]:
        """Plan the actions, and cancel what waits for tasks that are over.

        Returns by operation how many calls were added that are to be made.
        """
        return plan(connection, self.planned, now=self.now, covers=covers, over=self.over)


class Planner:
    """Who asks the rules in force."""

    def __init__(self, settings: Settings, book: RuleBook, *, clock: Callable[[Connection], int] = db_time) -> None:
        """Take what knows accounts and destinations, the rules, and a clock that is one for all machines.

        It gives microseconds UTC.
        """
        self._clock = clock
        self._book = book
        self._known = known_of(settings)
        self._terms = Terms(settings)
        self.notes = RuleNotes(book)

    @property
    def rules(self) -> Rules:
        """Return the rules in force."""
        return self._book.rules

    def consequences(
        self, connection: Connection, rules: Rules, effects: Iterable[Effect], over: Mapping[str, str]
    ) -> Consequences:
        """Ask the rules about every change, as of now by the database's clock; nothing is written."""
        now = self._clock(connection) // 1000
        planned: list[Planned] = []
        matched: list[str] = []
        unmatched: list[Unmatched] = []
        for effect in effects:
            change = change_of(effect)
            answer = rules.asked(change, now=now)
            matched += dict.fromkeys(asked.rule for asked in answer.asked)
            unmatched += answer.unmatched
            planned += [self.planned(change, asked, rules.version, now=now) for asked in answer.asked]
        return Consequences(planned=planned, matched=matched, unmatched=unmatched, over=over, now=now)

    def planned(self, change: Change, asked: Asked, version: str, *, now: int | None, tells: bool = True) -> Planned:
        """Return what is planned where a rule asks for a call; unless `tells`, without what a destination is told."""
        about = change.recording or change.segment
        terms = self._terms_of(change, asked, tells=tells)
        if asked.batch is not None:
            terms |= {"batch_max": asked.batch.most, "batch_within_ms": asked.batch.within_ms}
        expires = None if asked.max_age_ms is None or now is None else now + asked.max_age_ms
        return Planned(
            rule=asked.rule,
            rules_version=version,
            subject=change.occurrence,
            change=change.name,
            step=asked.step,
            operation=asked.operation,
            vendor=change.vendor,
            account=change.account,
            parameters=asked.parameters,
            at=change.at,
            delivery=change.delivery,
            position=change.position,
            task=change.task["id"] if change.task else None,
            recording=about["id"] if about else None,
            mode=asked.mode,
            refused=None if asked.refused is None else storable(asked.refused),
            expires_at=expires,
            once=_once(asked, now),
            bounds=_bounds(asked),
            bound_key=change.task_name,
            **terms,
        )

    def _terms_of(self, change: Change, asked: Asked, *, tells: bool) -> dict[str, Any]:
        operation = self._known.operations[asked.operation]
        if self._known.vendor_of(asked.operation) is None:
            return {"told": tell(change) if tells else None} | self._terms.of_handover(
                asked.destination, is_repeatable=OPERATIONS[asked.operation].is_repeatable, retry=asked.retry
            )
        return self._terms.of_call(
            change.vendor,
            change.account,
            cast("Operation", operation),
            asked.parameters,
            task=change.task_key,
            business_id=change.business_id,
            retry=asked.retry,
        )


def change_of(effect: Effect) -> Change:
    """Return what rules see of a change."""
    recording = None if effect.recording is None else row_view("recording", effect.recording)
    if recording is not None and effect.recording is not None:
        recording["flags"] = effect.recording["flags"]
    segment = None if effect.segment is None else row_view("segment", effect.segment)
    task = None if effect.task is None else row_view("task", effect.task)
    about = recording or segment or task
    return Change(
        name=effect.name,
        subject=effect.delivery.id if about is None else about["id"],
        vendor=effect.delivery.vendor,
        account=effect.delivery.account,
        at=effect.event.at,
        delivery=effect.delivery.id,
        position=effect.position,
        event=event_view(effect.name, effect.event, effect.delivery),
        task=task,
        recording=recording,
        segment=segment,
    )


def covers(operation: str, newer: Mapping[str, Any], older: Mapping[str, Any]) -> bool:
    """Tell whether a vendor's newer call makes an older one of the same task superfluous."""
    known = cast("Operation", _vendor_operations()[operation])
    return known.covers is not None and known.covers(newer, older)


@cache
def _vendor_operations() -> Mapping[str, OperationLike]:
    return vendor_operations()


def _once(asked: Asked, now: int | None) -> Once | None:
    if asked.once.is_plain:
        return None
    expires = None if asked.once.for_ms is None or now is None else now + asked.once.for_ms
    return Once(key=asked.once.key, expires_at=expires)


def _bounds(asked: Asked) -> tuple[Bound, ...]:
    limits = (("rule", asked.limits.rule), ("task", asked.limits.task))
    return tuple(Bound(scope=scope, most=one.most, within_ms=one.within_ms) for scope, one in limits if one)  # type: ignore[arg-type] # the two words of a scope
