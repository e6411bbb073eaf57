"""Calls that are in hand while their task's run ends: their outcome counts, and no further try reaches another run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from planning import (
    AGAIN,
    DONE,
    GIVE_UP,
    call,
    claim,
    emptied,
    let_lapse,
    make,
    make_due,
    none_over,
    numbers,
    opened,
    plan,
    post,
    rows,
    settle,
    states,
)

from handlers import actions
from handlers.clock import now_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handlers.actions import Claimed
    from handlers.database import Database
    from handlers.operation import Outcome

OVER = {"tsk_1": "its run ended"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("runs")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, empty."""
    return emptied(engine)


def in_hand(database: Database, *, is_begun: bool = True) -> Claimed:
    """Return the first call of a run, which ends while it is in hand, and whose name begins another run."""
    plan(database, call(1), post(1, step=1))
    (taken,) = claim(database)
    if is_begun:
        assert actions.begin(database, [actions.Begin(claimed=taken)]) == [True]
    plan(database, over=OVER)
    plan(database, call(2, task="tsk_2"))
    return taken


def shown(database: Database) -> Sequence[tuple[str, str | None]]:
    return [(row["state"], row["reason"]) for row in rows(database)]


def test_a_call_that_fails_after_its_run_ended_is_not_tried_in_the_next(database: Database) -> None:
    taken = in_hand(database)
    assert settle(database, taken, AGAIN) == "cancelled"
    first, step, _ = shown(database)
    assert first == ("cancelled", "its run ended")
    assert step == ("cancelled", f"the step before it, {taken.id}, was not done")
    assert rows(database)[0]["ended_at"] is not None
    assert numbers(claim(database)) == [2], "the next run's call waits for it no longer"


@pytest.mark.parametrize(("outcome", "state"), [(DONE, "done"), (GIVE_UP, "dead")])
def test_a_call_that_is_over_with_its_run_has_the_outcome_that_it_had(
    database: Database, outcome: Outcome, state: str
) -> None:
    assert settle(database, in_hand(database), outcome) == state


@pytest.mark.parametrize("is_begun", [True, False])
def test_a_lost_workers_call_whose_run_ended_is_not_taken_up(database: Database, is_begun: bool) -> None:  # noqa: FBT001 - a case
    taken = in_hand(database, is_begun=is_begun)
    let_lapse(database)
    assert actions.take_up_lost(database) == 1
    assert shown(database)[0] == ("cancelled", "its run ended")
    assert numbers(claim(database)) == [2]
    assert settle(database, taken, DONE) is None


def test_a_lost_workers_call_that_may_not_be_repeated_is_dead_though_its_run_ended(database: Database) -> None:
    plan(database, call(1, is_repeatable=False))
    assert actions.begin(database, [actions.Begin(claimed=one) for one in claim(database)]) == [True]
    plan(database, over=OVER)
    let_lapse(database)
    actions.take_up_lost(database)
    assert states(database) == ["dead"]


def test_a_call_that_is_given_back_after_its_run_ended_is_cancelled(database: Database) -> None:
    taken = in_hand(database, is_begun=False)
    assert actions.give_back(database, [taken]) == 1
    assert shown(database)[0] == ("cancelled", "its run ended")
    assert numbers(claim(database)) == [2]


def test_a_call_about_no_run_is_tried_again_though_its_task_is_over(database: Database) -> None:
    plan(database, call(1, needs_run=False))
    (taken,) = claim(database)
    plan(database, over=OVER)
    assert make(database, taken, AGAIN) == "again"


def test_a_call_that_was_cancelled_with_its_run_has_its_whole_schedule_when_it_is_retried_by_hand(
    database: Database,
) -> None:
    taken = in_hand(database)
    assert settle(database, taken, AGAIN) == "cancelled"
    actions.retry(database, taken.id, over=none_over, now=now_ms())
    (again,) = claim(database)
    assert (again.id, make(database, again, AGAIN)) == (taken.id, "again")
    make_due(database)
    assert [one.id for one in claim(database)] == [taken.id]
