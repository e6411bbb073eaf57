"""What a process has in hand: whoever answers quickly keeps half of the threads, and everybody has a few of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from handlers.actions.in_hand import InHand, Room
from handlers.actions.planned import Claimed
from handlers.actions.quotas import Limiter
from handlers.errors import ActionLost
from handlers.retries import CALLS

if TYPE_CHECKING:
    from collections.abc import Sequence

DEAD = Limiter("dead", "UpdateSegment")
WELL = Limiter("well", "UpdateSegment")


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hand(clock: Clock) -> InHand:
    return InHand(128, clock=clock)


def calls(limiter: Limiter, count: int, first: int = 0) -> Sequence[Claimed]:
    """Return calls of a counterpart in hand."""
    same: dict[str, Any] = dict.fromkeys(("subject", "change", "operation", "vendor", "account", "delivery"), "")
    none = dict.fromkeys(("destination", "lane", "interval_us", "told", "task", "recording", "first_at", "sequence"))
    rest = {"step": 0, "at": 0, "position": 0, "tries": 0, "schedule": CALLS, "is_repeatable": True, "parameters": {}}
    return [
        Claimed(
            id=f"{limiter.quota} {first + number}",
            **same | none | rest,
            token=1,
            holder="wrk",
            rule="",
            quota=limiter.quota,
            api=limiter.api,
        )
        for number in range(count)
    ]


def filled(room: Room, limiters: Sequence[Limiter]) -> dict[Limiter, int]:
    """Let all take what they get, again and again; return how many each has got."""
    got = dict.fromkeys(limiters, 0)
    while any(room.of(one) for one in limiters):
        for one in limiters:
            room.take(one, number := min(room.of(one), 4))
            got[one] += number
    return got


def answer(hand: InHand, clock: Clock, some: Sequence[Claimed], *, after: float) -> None:
    """Send calls, and have them answered after so many seconds."""
    hand.take(some, asked_at=clock.now)
    for one in some:
        hand.send(one)
    clock.now += after
    for one in some:
        hand.answered(one)
        hand.let_go(one)


@pytest.mark.parametrize("count", [1, 3, 20, 100])
def test_those_that_have_not_answered_yet_leave_half_of_the_threads_and_have_a_few_of_their_own(count: int) -> None:
    limiters = [Limiter(f"dead {number}", "x") for number in range(count)]
    room = Room(128, {}, quick={WELL})
    got = filled(room, limiters)
    assert all(2 <= number <= 48 for number in got.values())
    assert sum(got.values()) <= 64 + 2 * count
    assert room.of(WELL) >= 32
    assert room.of(Limiter("new", "x")) >= 2


def test_those_that_answer_quickly_leave_room_for_one_another() -> None:
    limiters = [Limiter(f"quick {number}", "x") for number in range(3)]
    room = Room(128, {}, quick={*limiters, WELL})
    got = filled(room, limiters)
    assert sum(got.values()) > 64
    assert room.of(WELL) >= 10


def test_there_are_never_more_than_a_few_times_the_threads() -> None:
    limiters = [Limiter(f"dead {number}", "x") for number in range(500)]
    assert sum(filled(Room(16, {}, quick=()), limiters).values()) == 64


def test_one_that_does_not_answer_any_more_is_noticed_while_its_calls_hang(hand: InHand, clock: Clock) -> None:
    answer(hand, clock, calls(DEAD, 1), after=0.1)
    before = hand.room().of(DEAD)
    hanging = calls(DEAD, 40, first=10)
    hand.take(hanging, asked_at=clock.now)
    for one in hanging:
        hand.send(one)
    clock.now += 0.5
    assert hand.room().of(DEAD) > 0
    clock.now += 1.0
    others = [Limiter(f"dead {number}", "x") for number in range(9)]
    room = hand.room()
    filled(room, others)
    assert room.of(DEAD) == 0, "the threads of those that don't answer are used up"
    assert before == 48


def test_one_answer_that_takes_long_among_quick_ones_changes_nothing(hand: InHand, clock: Clock) -> None:
    (hung,) = calls(WELL, 1)
    hand.take([hung], asked_at=clock.now)
    hand.send(hung)
    for number in range(1, 6):
        answer(hand, clock, calls(WELL, 1, first=number), after=0.4)
    room = hand.room()
    filled(room, [Limiter(f"dead {number}", "x") for number in range(20)])
    assert room.of(WELL) > 20


def test_nothing_is_sent_that_may_outlast_its_lease(hand: InHand, clock: Clock) -> None:
    first, second = calls(WELL, 2)
    hand.take([first, second], asked_at=clock.now)
    clock.now += 15
    hand.renewed({first.id}, asked_at=clock.now)
    clock.now += 10
    hand.send(first)
    with pytest.raises(ActionLost):
        hand.send(second)


def test_who_lets_go_late_leaves_alone_what_is_in_hand_again(hand: InHand, clock: Clock) -> None:
    (first,) = calls(WELL, 1)
    again = replace(first, token=2)
    hand.take([first], asked_at=clock.now)
    hand.take([again], asked_at=clock.now)
    hand.answered(first)
    hand.let_go(first)
    assert hand.all() == [again]
    hand.send(again)
    hand.answered(again)
    hand.let_go(again)
    assert len(hand) == 0


def test_what_is_in_hand_no_longer_is_not_sent_and_its_answer_is_told_of_nobody(hand: InHand, clock: Clock) -> None:
    (lost,) = calls(WELL, 1)
    hand.take([lost], asked_at=clock.now)
    hand.let_go(lost)
    with pytest.raises(ActionLost):
        hand.send(lost)
    hand.answered(lost)
    assert hand.room().of(WELL) == hand.room().of(DEAD)
