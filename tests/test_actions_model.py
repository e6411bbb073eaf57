"""Actions against a simple model: whatever is planned, claimed, settled, lost, stopped, over and retried, in any order.

Some go in batches, which the model counts by itself, and some are steps that wait for the step before them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from known_actions import Known, key
from planning import AGAIN, DONE, GIVE_UP, UNCLEAR, call, emptied, none_over, opened, plan, post, rows

from handlers import actions
from handlers.actions.claiming import LEASE_MS
from handlers.actions.settling import each_of
from handlers.actions.unsent import put_back
from handlers.errors import WrongRequest
from handlers.retries import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from handlers.actions import Claimed
    from handlers.database import Database

_TRIES = 3
_LANES = ("one", "two", None)
_TASKS = ("tsk_1", "tsk_2")
_BATCH = 3
#: milliseconds: the longest that one waits for others, and from one try to the next
_WITHIN = 2_000
_DELAY = 500
_SCHEDULE = Schedule(delays_ms=(_DELAY,), tries=_TRIES)


class Model(RuleBasedStateMachine):
    """The actions of three lanes and two rules, one of which may be stopped; time passes only by a rule."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        emptied(self.database)
        self.now = 1_700_000_000_000
        self.known: dict[str, Known] = {}
        self.stopped: set[str] = set()
        #: everything that was ever in hand, the late words of former holders included
        self.handed: list[Claimed] = []

    def clock(self, _connection: object) -> int:
        return self.now * 1000

    # --- what happens -----------------------------------------------------------------------------------------

    @initialize()
    def begin_with_work(self) -> None:
        self.plan_with_a_step_after_it(lane=None, then="one", at=5, name="a", task=_TASKS[0])
        for number, lane in enumerate((*_LANES, *_LANES)):
            self.plan(lane=lane, at=10, is_repeatable=number % 2 == 0, name="ab"[number % 2], task=_TASKS[number % 2])
        self.plan_for_a_batch(at=10, count=4, is_repeatable=True, name="a")
        self.claim(2)

    @rule(
        lane=st.sampled_from(_LANES),
        at=st.integers(min_value=0, max_value=20),
        is_repeatable=st.booleans(),
        name=st.sampled_from(("a", "b")),
        task=st.sampled_from(_TASKS),
    )
    def plan(self, lane: str | None, at: int, is_repeatable: bool, name: str, task: str) -> None:  # noqa: FBT001 - a model's own
        number = len(self.known)
        one = call(
            number,
            at=at,
            lane=lane,
            rule=name,
            is_repeatable=is_repeatable,
            schedule=_SCHEDULE,
            task=task,
            # As the terms have it: what is about a run stands in its task's lane.
            needs_run=lane is not None,
        )
        plan(self.database, one, now=self.now)
        plan(self.database, one, now=self.now)
        self.known[f"seg_{number}"] = Known(
            lane=lane,
            order=(at, number, 0),
            is_repeatable=is_repeatable,
            rule=name,
            due_at=self.now,
            task=None if lane is None else task,
        )

    @rule(
        lane=st.sampled_from(_LANES),
        then=st.sampled_from(_LANES),
        at=st.integers(min_value=0, max_value=20),
        name=st.sampled_from(("a", "b")),
        task=st.sampled_from(_TASKS),
    )
    def plan_with_a_step_after_it(self, lane: str | None, then: str | None, at: int, name: str, task: str) -> None:
        number = len(self.known)
        same = {"at": at, "rule": name, "is_repeatable": True, "schedule": _SCHEDULE, "task": task}
        calls = (
            call(number, lane=one, step=step, needs_run=one is not None, **same)
            for step, one in enumerate((lane, then))
        )
        plan(self.database, *calls, now=self.now)
        for step, one in enumerate((lane, then)):
            self.known[f"seg_{number}/{step}" if step else f"seg_{number}"] = Known(
                lane=one,
                order=(at, number, step),
                is_repeatable=True,
                rule=name,
                due_at=self.now,
                task=None if one is None else task,
                after=f"seg_{number}" if step else None,
                is_held=bool(step),
            )

    @rule(
        at=st.integers(min_value=0, max_value=20),
        count=st.integers(min_value=1, max_value=4),
        is_repeatable=st.booleans(),
        name=st.sampled_from(("a", "b")),
    )
    def plan_for_a_batch(self, at: int, count: int, is_repeatable: bool, name: str) -> None:  # noqa: FBT001 - a model's own
        first = len(self.known)
        batch = {"batch_max": _BATCH, "batch_within_ms": _WITHIN}
        for number in range(first, first + count):
            more = {"rule": name, "is_repeatable": is_repeatable, "schedule": _SCHEDULE}
            plan(self.database, post(number, at=at, **more, **batch), now=self.now)
            self.known[f"seg_{number}"] = Known(
                lane=None,
                order=(at, number, 0),
                is_repeatable=is_repeatable,
                rule=name,
                due_at=self.now + _WITHIN,
                is_batched=True,
            )

    @rule(passed=st.sampled_from((_DELAY, _WITHIN)))
    def let_time_pass(self, passed: int) -> None:
        self.now += passed

    @rule(most=st.integers(min_value=1, max_value=4))
    def claim(self, most: int) -> None:
        expected, batches = self._claimable(), self._batches()
        taken = actions.claim(self.database, "wrk", most, clock=self.clock)
        assert len(taken) == min(most, len(expected) + sum(map(self._calls, batches))), (taken, expected, batches)
        for one in taken:
            if one.others is None:
                assert key(one) in expected
            else:
                self._check_batch([key(member) for member in one.members], batches)
            for member in one.members:
                known = self.known[key(member)]
                known.token, known.lease_until, known.is_begun = member.token, self.now + LEASE_MS, False
            self.handed.append(one)

    @precondition(lambda self: self.handed)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self._begin(data.draw(st.sampled_from(self.handed)))

    def _begin(self, one: Claimed) -> None:
        ours = self._ours(one)
        if any(known.is_begun for known in ours):
            return
        is_ours = len(ours) == len(one.members)
        assert actions.begin(self.database, [actions.Begin(claimed=one)], clock=self.clock) == [is_ours]
        for known in ours if is_ours else ():
            known.state, known.is_begun, known.tries = "running", True, known.tries + 1

    @precondition(lambda self: self.handed)
    @rule(data=st.data(), outcome=st.sampled_from((DONE, AGAIN, GIVE_UP, UNCLEAR)))
    def settle(self, data: st.DataObject, outcome: Any) -> None:
        self._settle(data.draw(st.sampled_from(self.handed)), outcome)

    @precondition(lambda self: self._awaited())
    @rule(data=st.data(), outcome=st.sampled_from((DONE, GIVE_UP)))
    def end_what_a_step_waits_for(self, data: st.DataObject, outcome: Any) -> None:
        self._settle(data.draw(st.sampled_from(self._awaited())), outcome)

    def _awaited(self) -> list[Claimed]:
        """Return the calls in hand for which a step waits."""
        waited_for = {known.after for known in self.known.values() if known.is_held}
        return [one for one in self.handed if waited_for.intersection(self._names(one))]

    def _settle(self, one: Claimed, outcome: Any) -> None:
        told = each_of(actions.Settle(claimed=one, outcome=outcome), chance=lambda: 1.0)
        states = actions.settle(self.database, told, clock=self.clock, chance=lambda: 1.0)
        for member, state in zip(one.members, states, strict=True):
            known = self.known[key(member)]
            if known.token != member.token:
                assert state is None, "a late word changes nothing"
                continue
            known.tries += not known.is_begun
            self._end(known, outcome)
            self._let_go(known)
            self._follow(key(member))
            assert state == known.state

    @precondition(lambda self: self._is_in_hand())
    @rule(passed=st.sampled_from((1, LEASE_MS // 2, LEASE_MS + 1)))
    def take_up_lost_later(self, passed: int) -> None:
        self.now += passed
        self.take_up_lost()

    def take_up_lost(self) -> None:
        lost = [name for name, one in self.known.items() if one.token is not None and one.lease_until < self.now]
        assert actions.take_up_lost(self.database, clock=self.clock, chance=lambda: 1.0) == len(lost)
        for name in lost:
            known = self.known[name]
            if known.is_begun:
                self._end(known, UNCLEAR)
            self._let_go(known)
            self._follow(name)

    @precondition(lambda self: self._is_in_hand())
    @rule()
    def lose_a_worker_and_claim_again(self) -> None:
        """Bring about what chance brings about too rarely: two who think that the same action is theirs."""
        self.take_up_lost_later(LEASE_MS + 1)
        self.claim(4)

    @precondition(lambda self: self._is_in_hand())
    @rule()
    def renew(self) -> None:
        actions.renew(self.database, self.handed, clock=self.clock)
        held = {(key(one), one.token) for call in self.handed for one in call.members}
        for name, known in self.known.items():
            if (name, known.token) in held:
                known.lease_until = self.now + LEASE_MS

    @precondition(lambda self: self.handed)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """Give back a call; of a batch perhaps only one, so that its holder has a part of it."""
        one = data.draw(st.sampled_from(self.handed))
        some = data.draw(st.sampled_from((one, replace(one.members[-1], others=None))))
        unbegun = [name for name in self._names(some) if not self.known[name].is_begun]
        assert actions.give_back(self.database, [some]) == len(unbegun)
        for name in unbegun:
            self._let_go(self.known[name])
            self._follow(name)

    @precondition(lambda self: self.handed)
    @rule(data=st.data())
    def put_back_what_was_not_sent(self, data: st.DataObject) -> None:
        self._put_back(data.draw(st.sampled_from(self.handed)))

    @precondition(lambda self: self._is_in_hand())
    @rule(data=st.data())
    def begin_and_send_nothing(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for one in self.handed if self._ours(one)]))
        self._begin(one)
        self._put_back(one)

    def _put_back(self, one: Claimed) -> None:
        ours = self._names(one)
        assert put_back(self.database, one, clock=self.clock) == len(ours)
        for member in one.members:
            if (name := key(member)) in ours:
                known = self.known[name]
                if known.is_begun:
                    known.state, known.tries = "again" if member.tries else "planned", member.tries
                self._let_go(known)
                self._follow(name)

    @rule(task=st.sampled_from(_TASKS))
    def end_a_run(self, task: str) -> None:
        plan(self.database, over={task: "its run ended"}, now=self.now)
        ended = [name for name, known in self.known.items() if known.task == task and self._is_open(known)]
        for known in map(self.known.__getitem__, ended):
            known.is_over = known.token is not None
            known.state = known.state if known.is_over else "cancelled"
            known.is_held = False
        for name in ended:
            self._follow(name)

    @precondition(lambda self: self._is_in_hand())
    @rule(data=st.data(), is_made=st.booleans())
    def end_the_run_of_a_call_in_hand(self, data: st.DataObject, is_made: bool) -> None:  # noqa: FBT001 - a model's own
        """Bring about what chance brings about too rarely: a call in hand that would be tried again in another run."""
        for task in _TASKS:
            self.end_a_run(task)
        if is_made:
            self.settle(data, AGAIN)
        else:
            self.give_back(data)

    @precondition(lambda self: not self.stopped)
    @rule(name=st.sampled_from(("a", "b")))
    def stop(self, name: str) -> None:
        actions.stop(self.database, "rule", name, now=self.now)
        self.stopped.add(name)

    @precondition(lambda self: self.stopped)
    @rule(name=st.sampled_from(("a", "b")))
    def go(self, name: str) -> None:
        assert actions.go(self.database, "rule", name) == (name in self.stopped)
        self.stopped.discard(name)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[name]
        can = known.token is None and known.state in {"planned", "again"}
        assert self._is_done(lambda: actions.cancel(self.database, self._id(name), now=self.now)) == can
        if can:
            known.state, known.is_held = "cancelled", False
            self._follow(name)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[name]
        before = None if known.after is None else self.known[known.after]
        may_wait = before is None or before.state == "done" or (self._is_open(before) and before.token is None)
        can = known.token is None and (known.state == "again" or (known.state in {"dead", "cancelled"} and may_wait))
        assert self._is_done(lambda: actions.retry(self.database, self._id(name), over=none_over, now=self.now)) == can
        if can:
            known.is_held = known.state != "again" and before is not None and before.state != "done"
            known.state, known.tries = "again" if known.state == "again" else "planned", 0
            known.due_at, known.is_dropped, known.has_result = self.now, False, False
            for after in self._after_it(name):
                if after.is_dropped and known.state == "planned":
                    after.state, after.is_held, after.is_dropped = "planned", True, False

    @precondition(lambda self: any(known.state == "done" for known in self.known.values()))
    @rule(data=st.data(), result=st.sampled_from(("done", "failed")))
    def say_how_it_went(self, data: st.DataObject, result: Literal["done", "failed"]) -> None:
        ended = [name for name, known in self.known.items() if known.state in {"done", "dead", "cancelled"}]
        name = data.draw(st.sampled_from(sorted(ended)))
        known = self.known[name]
        can = known.state == "done" or (known.state == "dead" and known.has_result)
        assert self._is_done(lambda: actions.record_result(self.database, self._id(name), result, now=self.now)) == can
        if can:
            known.state, known.has_result = "dead" if result == "failed" else "done", True

    # --- what must hold ---------------------------------------------------------------------------------------

    @invariant()
    def all_is_as_in_the_model_and_each_lane_with_work_has_one_head(self) -> None:
        found = rows(self.database)
        assert {key(row): row["state"] for row in found} == {name: known.state for name, known in self.known.items()}
        held = {key(row) for row in found if row["stage"] == "held"}
        assert held == {name for name, known in self.known.items() if known.is_held}
        for lane in _LANES:
            in_lane = (row["stage"] for row in found if row["lane"] == lane)
            stages = [stage for stage in in_lane if stage not in {"over", "held"}]
            heads = [stage for stage in stages if stage in {"ready", "claimed"}]
            assert len(heads) == (len(stages) if lane is None else bool(stages)), stages

    def _is_in_hand(self) -> bool:
        return any(one.token is not None for one in self.known.values())

    def _ours(self, call: Claimed) -> list[Known]:
        """Return those of a call that are still whose it says."""
        return [self.known[name] for name in self._names(call)]

    def _names(self, call: Claimed) -> list[str]:
        return [key(one) for one in call.members if self.known[key(one)].token == one.token]

    def _after_it(self, name: str) -> list[Known]:
        """Return the steps after an action."""
        return [known for known in self.known.values() if known.after == name]

    def _follow(self, name: str) -> None:
        """Let the steps after an action go ahead once it is done, and end with it where it never will be."""
        state = self.known[name].state
        for known in self._after_it(name):
            if known.is_held and state == "done":
                known.is_held, known.due_at = False, self.now
            elif known.is_held and state in {"dead", "cancelled"}:
                known.is_held, known.is_dropped, known.state = False, True, "cancelled"

    def _batches(self) -> Sequence[set[str]]:
        """Return what may go into batches now, of each rule."""
        found: dict[str, set[str]] = defaultdict(set)
        for subject, known in self.known.items():
            may_go = known.state == "planned" or known.due_at <= self.now
            is_free = known.is_batched and known.token is None and known.rule not in self.stopped
            if is_free and self._is_open(known) and may_go:
                found[known.rule].add(subject)
        return list(found.values())

    def _is_due(self, subject: str) -> bool:
        return self.known[subject].due_at <= self.now

    def _calls(self, some: set[str]) -> int:
        """Return how many calls may be made for these: full ones, and one with the rest if one of that is due."""
        full = len(some) // _BATCH
        return full + (sum(map(self._is_due, some)) > full * _BATCH)

    def _check_batch(self, subjects: Sequence[str], batches: Sequence[set[str]]) -> None:
        assert any(some.issuperset(subjects) for some in batches), subjects
        assert len(subjects) == _BATCH or any(map(self._is_due, subjects))
        assert len(subjects) <= _BATCH
        assert list(subjects) == sorted(subjects, key=lambda one: self.known[one].order)

    def _claimable(self) -> set[str]:
        """Return what may be taken in hand: the first of each lane in which nothing is in hand."""
        found = set()
        for subject, known in self.known.items():
            others = [
                one for one in self.known.values() if one.lane == known.lane and self._is_open(one) and not one.is_held
            ]
            is_free = known.lane is None or (
                all(one.token is None for one in others)
                and known.order == min((one.order for one in others), default=None)
            )
            is_its_time = known.due_at <= self.now and known.rule not in self.stopped
            is_ready = self._is_open(known) and known.token is None and not known.is_held
            if is_ready and is_free and is_its_time and not known.is_batched:
                found.add(subject)
        return found

    @staticmethod
    def _is_open(known: Known) -> bool:
        return known.state in {"planned", "again", "running"}

    def _let_go(self, known: Known) -> None:
        """Take a call out of its holder's hand; what would be tried again is over with its run."""
        if known.is_over and self._is_open(known):
            known.state = "cancelled"
        known.token, known.is_begun, known.is_over = None, False, False

    def _end(self, known: Known, outcome: Any) -> None:
        known.state = self._after(known, outcome)
        if known.state == "again":
            known.due_at = self.now + _DELAY

    @staticmethod
    def _after(known: Known, outcome: Any) -> str:
        if outcome.verdict == "done":
            return "done"
        is_harmful = outcome.is_unclear and not known.is_repeatable
        return "dead" if outcome.verdict == "give_up" or is_harmful or known.tries >= _TRIES else "again"

    def _id(self, name: str) -> str:
        return str(next(row["id"] for row in rows(self.database) if key(row) == name))

    @staticmethod
    def _is_done(verb: Callable[[], object]) -> bool:
        try:
            verb()
        except WrongRequest:
            return False
        return True


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("model")) as database:
        yield database


def test_actions_behave_as_the_model_says_whatever_happens_in_any_order(engine: Database) -> None:
    machine = type("ModelOnEngine", (Model,), {"database": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40 if engine.is_sqlite else 25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
