"""When a call is made again, and when it never is."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from handlers.operation import Outcome
from handlers.retries import CALLS, Next, Schedule, after, destination_schedule

_FAILED = Outcome(verdict="again", code="InternalError", detail="try later")
_NOW = 1_700_000_000_000


def next_try(outcome: Outcome = _FAILED, **changed: Any) -> Next:
    told: dict[str, Any] = {
        "schedule": Schedule(delays_ms=(1_000, 5_000), tries=4),
        "tries": 1,
        "first_at": _NOW,
        "now": _NOW,
        "is_repeatable": True,
        "chance": lambda: 0.5,
    }
    return after(outcome, **told | changed)


def test_each_further_try_waits_a_random_part_of_its_own_delay_and_the_last_delay_counts_on() -> None:
    assert [next_try(tries=tries).at for tries in (1, 2, 3)] == [_NOW + 500, _NOW + 2_500, _NOW + 2_500]
    assert next_try(chance=lambda: 0.0).at == _NOW
    assert next_try(chance=lambda: 0.999).at == _NOW + 999


def test_no_try_comes_before_the_time_that_the_other_side_asked_for() -> None:
    asked = Outcome(verdict="again", after_ms=90_000)
    assert next_try(asked).at == _NOW + 90_000


def test_a_call_that_the_other_side_refuses_is_never_made_again_and_says_why() -> None:
    told = next_try(Outcome(verdict="give_up", code="InvalidParameter", detail="Duration is wrong"))
    assert told == Next(at=None, reason="InvalidParameter: Duration is wrong")


def test_after_the_last_try_there_is_none_and_the_reason_counts_them() -> None:
    assert next_try(tries=3).at is not None
    assert next_try(tries=4) == Next(at=None, reason="InternalError: try later; that was try 4 of 4")


def test_a_vendors_call_is_tried_for_ten_minutes_at_most() -> None:
    late = next_try(schedule=CALLS, tries=50, first_at=_NOW - 590_000, chance=lambda: 0.9)
    assert late.at is None
    assert "the 600 s for further tries are over" in late.reason
    assert next_try(schedule=CALLS, tries=50, first_at=_NOW - 500_000, chance=lambda: 0.9).at == _NOW + 54_000


def test_a_call_without_an_answer_is_made_again_only_where_a_repeat_does_no_harm() -> None:
    unclear = Outcome(verdict="again", detail="no answer in 15 s", is_unclear=True)
    assert next_try(unclear).at is not None
    told = next_try(unclear, is_repeatable=False)
    assert told.at is None
    assert told.reason.startswith("no answer in 15 s; it may have had its effect")
    assert next_try(is_repeatable=False).at is not None, "a clear refusal has had no effect"


def test_a_destinations_list_of_waits_means_one_try_more() -> None:
    schedule = destination_schedule((5_000, 30_000))
    assert schedule.tries == 3
    assert next_try(schedule=schedule, tries=2).at is not None
    assert next_try(schedule=schedule, tries=3).at is None


def test_what_a_rule_says_replaces_what_the_operation_does_by_itself() -> None:
    own = destination_schedule((5_000, 30_000))
    assert own.changed(tries=1) == Schedule(delays_ms=(5_000, 30_000), tries=1)
    assert own.changed(within_ms=60_000) == Schedule(delays_ms=(5_000, 30_000), within_ms=60_000)
    assert own.changed(delays_ms=(1_000,)) == Schedule(delays_ms=(1_000,), tries=2)
    assert own.changed() == own


@given(
    delays=st.lists(st.integers(min_value=0, max_value=10_000), min_size=1, max_size=4),
    tries=st.integers(min_value=1, max_value=8),
    most=st.integers(min_value=1, max_value=8),
    within=st.none() | st.integers(min_value=0, max_value=50_000),
    passed=st.integers(min_value=0, max_value=100_000),
    chance=st.floats(min_value=0, max_value=1, exclude_max=True),
    asked=st.none() | st.integers(min_value=0, max_value=100_000),
)
def test_a_next_try_is_always_within_what_was_allowed(  # noqa: PLR0913, PLR0917 - one for each thing that varies
    delays: list[int], tries: int, most: int, within: int | None, passed: int, chance: float, asked: int | None
) -> None:
    told = next_try(
        Outcome(verdict="again", after_ms=asked),
        schedule=Schedule(delays_ms=tuple(delays), tries=most, within_ms=within),
        tries=tries,
        now=_NOW + passed,
        chance=lambda: chance,
    )
    if told.at is None:
        assert told.reason
        return
    assert tries < most
    assert told.at >= _NOW + passed + (asked or 0)
    assert told.at <= _NOW + passed + max(*delays, asked or 0)
    assert within is None or told.at <= _NOW + within
