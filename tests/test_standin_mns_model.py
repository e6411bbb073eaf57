"""The queue of the MNS stand-in against an oracle that is too simple to be wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from mns_client import HandClock

from standin.mns import Attributes, Queue
from standin.mns.errors import MnsError
from standin.mns.message import Draft


@dataclass
class Expected:
    """A message as the oracle knows it."""

    message_id: str
    priority: int
    enqueued_at: int
    visible_at: int
    handle: str | None = None
    received: int = 0
    gone: bool = False


class QueueAgainstOracle(RuleBasedStateMachine):
    """Everything that can be done with a queue; time passes only by a rule."""

    handles: Bundle[str] = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.queue = Queue("q", Attributes(), clock=self.clock, rng=random.Random(0))
        self.expected: list[Expected] = []
        self.visibility, self.retention = 30, 345_600
        self.ever: set[str] = set()

    # --- the oracle -----------------------------------------------------------------------------------------------
    def alive(self) -> list[Expected]:
        now = self.clock()
        for one in self.expected:
            one.gone = one.gone or now - one.enqueued_at >= self.retention * 1000
        return [one for one in self.expected if not one.gone]

    def receivable(self) -> list[Expected]:
        visible = [one for one in self.alive() if one.visible_at <= self.clock()]
        return sorted(visible, key=lambda one: one.priority)  # stable: oldest first among equals

    def holder(self, handle: str) -> Expected | None:
        now = self.clock()
        return next((one for one in self.alive() if one.handle == handle and one.visible_at > now), None)

    # --- what is done -----------------------------------------------------------------------------------------------
    @rule(target=handles, delay=st.sampled_from([None, 0, 1, 5]), priority=st.integers(1, 16), count=st.integers(1, 3))
    def send(self, delay: int | None, priority: int, count: int) -> Any:
        sent = self.queue.send([Draft(body="x", delay_seconds=delay, priority=priority)] * count)
        now = self.clock()
        for one in sent:
            self.expected.append(
                Expected(one.message_id, priority, now, now + (delay or 0) * 1000, one.handle if delay else None)
            )
        return multiple(*(self.fresh(one.handle) for one in sent if one.handle))

    def fresh(self, handle: str) -> str:
        assert handle not in self.ever, "a handle was given out twice"
        self.ever.add(handle)
        return handle

    @rule(target=handles, count=st.integers(1, 16))
    def receive(self, count: int) -> Any:
        expected = self.receivable()[:count]
        got = self.queue.receive(count)
        assert [one.message_id for one in got] == [one.message_id for one in expected]
        for one, due in zip(got, expected, strict=True):
            due.handle, due.received = one.handle, due.received + 1
            due.visible_at = self.clock() + self.visibility * 1000
            assert (one.dequeue_count, one.next_visible_at) == (due.received, due.visible_at)
        return multiple(*(self.fresh(one.handle) for one in got))

    @rule(handle=handles)
    def delete(self, handle: str) -> None:
        holder = self.holder(handle)
        if holder is None:
            with pytest.raises(MnsError, match="MessageNotExist"):
                self.queue.delete(handle)
        else:
            self.queue.delete(handle)
            holder.gone = True

    @rule(target=handles, handle=consumes(handles), seconds=st.integers(1, 60))
    def change_visibility(self, handle: str, seconds: int) -> Any:
        holder = self.holder(handle)
        if holder is None:
            with pytest.raises(MnsError, match="MessageNotExist"):
                self.queue.change_visibility(handle, seconds)
            return multiple()
        holder.handle, until = self.queue.change_visibility(handle, seconds)
        holder.visible_at = self.clock() + seconds * 1000
        assert until == holder.visible_at
        # The old handle stays in the bundle as well: it has to be dead.
        return multiple(handle, self.fresh(holder.handle))

    @rule(seconds=st.sampled_from([0.001, 1, 4.999, 5, 29.999, 30, 59, 61, 400_000]))
    def time_passes(self, seconds: float) -> None:
        self.clock.let_pass(seconds)

    @rule(visibility=st.sampled_from([1, 30, 60]), retention=st.sampled_from([60, 345_600]))
    def change_attributes(self, visibility: int, retention: int) -> None:
        self.alive()
        self.visibility, self.retention = visibility, retention
        self.queue.change_attributes(Attributes(visibility_timeout=visibility, message_retention_period=retention))

    @rule(count=st.integers(1, 16))
    def peek_changes_nothing(self, count: int) -> None:
        assert [one.message_id for one in self.queue.peek(count)] == [
            one.message_id for one in self.receivable()[:count]
        ]

    @invariant()
    def every_message_is_in_its_state(self) -> None:
        now = self.clock()
        expected = [
            (one.message_id, "active" if one.visible_at <= now else "inactive" if one.received else "delayed")
            for one in self.alive()
        ]
        assert [(one.message_id, one.state) for one in self.queue.messages()] == expected


TestQueueAgainstOracle = QueueAgainstOracle.TestCase
TestQueueAgainstOracle.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_caller_who_is_gone_already_is_not_waited_for() -> None:
    queue = Queue("q", Attributes(), clock=HandClock(), rng=random.Random(0))
    asked: list[int] = []

    def there() -> bool:
        asked.append(queue.waiting)
        return False

    assert queue.receive(wait_seconds=3600, there=there) == []
    assert asked == [0]  # it was asked before the wait, so that no wake-up can be missed
