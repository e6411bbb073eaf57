"""Calls that are made again by hand keep their order: of steps, of older and newer, and of what a consumer said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from planning import (
    DONE,
    GIVE_UP,
    call,
    claim,
    emptied,
    make,
    none_over,
    numbers,
    opened,
    plan,
    post,
    retry_some,
    rows,
    states,
)
from sqlalchemy import update

from handlers import actions, tables
from handlers.actions.db_time import db_time
from handlers.errors import WrongRequest
from handlers.questions.filters import Filters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handlers.actions.choosing import Retried
    from handlers.database import Database

HOUR = 3_600_000
EVERYTHING = Filters(state=("dead", "cancelled"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("retrying")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, without actions."""
    return emptied(engine)


def covers(_operation: str, newer: Mapping[str, Any], older: Mapping[str, Any]) -> bool:
    return newer.keys() >= older.keys()


def update_of(number: int, **changed: Any) -> actions.Planned:
    """Return the n-th update of the task, which sets what every other does."""
    return call(number, **{"covers": "update_segment", "parameters": {"Duration": 10 + number}} | changed)


def retry(database: Database, number: int) -> str | None:
    return actions.retry(database, rows(database)[number]["id"], over=none_over, covers=covers)


def retry_all(database: Database, filters: Filters = EVERYTHING) -> Retried:
    """Look how many would be retried, and retry them: what was seen is what is done."""
    with database.read() as connection:
        seen = actions.preview_retry(connection, filters, over=none_over, covers=covers)
    done = actions.retry_matching(database, filters, over=none_over, over_now=none_over, covers=covers)
    assert seen == done
    return done


def ids(database: Database) -> list[str]:
    return [row["id"] for row in rows(database)]


# --- steps ---


def test_steps_that_are_retried_together_run_one_after_the_other(database: Database) -> None:
    plan(database, post(1), post(1, step=1), call(1, step=2))
    make(database, claim(database)[0], GIVE_UP)
    assert retry_some(database, ids(database)) == 3
    assert [row["stage"] for row in rows(database)] == ["ready", "held", "held"]
    for step in range(3):
        (taken,) = claim(database)
        assert taken.step == step
        make(database, taken)
    assert states(database) == ["done"] * 3


def test_a_step_is_not_retried_without_the_one_before_it_and_says_which(database: Database) -> None:
    plan(database, post(1), post(1, step=1))
    make(database, claim(database)[0], GIVE_UP)
    first, _ = ids(database)
    with pytest.raises(WrongRequest, match=f"the step before it, {first}, is dead, .* retry that one first"):
        retry(database, 1)
    done = retry_all(database, Filters(state=("cancelled",)))
    assert (done.count, done.left_out) == (0, 1)
    assert states(database) == ["dead", "cancelled"]
    assert (retry_all(database).count, states(database)) == (2, ["planned", "planned"])


def test_a_step_after_one_that_was_refused_can_never_be_made(database: Database) -> None:
    plan(database, post(1, refused="it can't be"), post(1, step=1))
    with pytest.raises(WrongRequest, match="was refused and never will be done"):
        retry(database, 1)
    assert retry_some(database, ids(database)) == 0
    assert states(database) == ["refused", "cancelled"]


def test_a_step_that_is_retried_waits_for_the_one_before_it_and_for_no_batch(database: Database) -> None:
    batch = {"batch_max": 5, "batch_within_ms": HOUR}
    plan(database, call(1), post(1, step=1, **batch))
    actions.cancel(database, ids(database)[1])
    with database.write() as connection:
        connection.execute(update(tables.actions).values(created_at=1))
    retry(database, 1)
    assert [row["stage"] for row in rows(database)] == ["ready", "held"]
    assert rows(database)[1]["due_since"] is None
    make(database, claim(database)[0])
    assert [one.step for one in claim(database)] == [1], "it was wanted at once"


def test_a_step_is_not_retried_while_the_one_before_it_is_in_hand(database: Database) -> None:
    plan(database, post(1), post(1, step=1))
    actions.cancel(database, ids(database)[1])
    (taken,) = claim(database)
    with pytest.raises(WrongRequest, match="is about to be made or under way; try again in a moment"):
        retry(database, 1)
    assert retry_some(database, ids(database)) == 0
    make(database, taken)
    retry(database, 1)
    assert [one.step for one in claim(database)] == [1]


def test_a_step_that_was_cancelled_by_hand_waits_for_what_superseded_the_one_before_it(database: Database) -> None:
    plan(database, update_of(1), post(1, step=1))
    actions.cancel(database, ids(database)[1])
    plan(database, update_of(2), covers=covers)
    assert states(database) == ["superseded", "cancelled", "planned"]
    retry(database, 1)
    assert rows(database)[1]["after"] == ids(database)[2]
    assert numbers(claim(database)) == [2]


# --- older and newer ---


@pytest.mark.parametrize("outcome", [DONE, None])
def test_an_update_is_not_made_again_after_a_newer_that_is_done_or_waits(database: Database, outcome: Any) -> None:
    plan(database, update_of(1), post(1, step=1), update_of(2))
    make(database, claim(database)[0], GIVE_UP)
    if outcome:
        make(database, claim(database)[0], outcome)
    _, _, newest = ids(database)
    assert retry(database, 0) == f"{newest}, which is newer, sets all that it would"
    older, step, newer = rows(database)
    assert (older["state"], older["newer"], older["ended_at"] is not None) == ("superseded", newest, True)
    assert (step["state"], step["after"]) == ("planned", newest)
    if not outcome:
        assert numbers(claim(database)) == [2]
        return
    assert newer["state"] == "done"
    assert [one.step for one in claim(database)] == [1], "what was to follow is made"


def test_an_update_is_not_made_again_while_a_newer_one_is_in_hand(database: Database) -> None:
    plan(database, update_of(1), update_of(2))
    make(database, claim(database)[0], GIVE_UP)
    (taken,) = claim(database)
    with pytest.raises(WrongRequest, match=f"{taken.id}, which is newer .* is under way; try again in a moment"):
        retry(database, 0)
    make(database, taken, GIVE_UP)
    assert retry(database, 0) is None
    assert numbers(claim(database)) == [1]


def test_of_a_lane_that_is_retried_after_an_outage_only_the_newest_update_is_made(database: Database) -> None:
    plan(database, *(update_of(number) for number in range(5)), post(4, step=1))
    while taken := claim(database):
        make(database, taken[0], GIVE_UP)
    done = retry_all(database)
    assert (done.count, done.superseded, done.left_out) == (2, 4, 0)
    assert states(database) == ["superseded"] * 4 + ["planned"] * 2
    assert numbers(claim(database)) == [4]


def test_an_update_is_made_again_where_a_newer_sets_less_or_another_lane_or_another_call_stands_between(
    database: Database,
) -> None:
    plan(database, update_of(1), call(2), update_of(3), update_of(4, parameters={"Handle": True}))
    plan(database, update_of(5, lane="another"))
    while taken := claim(database):
        for one in taken:
            make(database, one, GIVE_UP if one.subject == "seg_1" or one.lane == "another" else DONE)
    with database.write() as connection:
        of_others = tables.actions.c.subject == "seg_3"
        connection.execute(update(tables.actions).where(of_others).values(state="dead"))
    assert (retry(database, 4), retry(database, 2)) == (None, None)
    assert retry(database, 0) is not None, "what is done is no matter, and the waiting one sets all"
    assert sorted(numbers(claim(database))) == [3, 5]


def test_another_call_that_is_retried_too_parts_updates(database: Database) -> None:
    plan(database, update_of(1), call(2), update_of(3))
    while taken := claim(database):
        make(database, taken[0], GIVE_UP)
    assert retry_all(database).count == 3
    for number in (1, 2, 3):
        (one,) = claim(database)
        assert numbers([one]) == [number]
        make(database, one)


# --- what a consumer said ---


def test_what_a_consumer_said_of_an_earlier_try_counts_no_more_once_it_is_retried(database: Database) -> None:
    plan(database, post(1))
    make(database, claim(database)[0])
    (action,) = ids(database)
    actions.record_result(database, action, "failed", detail="oom")
    retry(database, 0)
    make(database, claim(database)[0])
    (row,) = rows(database)
    assert (row["state"], row["result"], row["result_detail"], row["result_at"]) == ("done", None, None, None)


def test_a_consumers_late_word_does_not_bring_back_what_died_when_it_was_retried(database: Database) -> None:
    plan(database, post(1))
    make(database, claim(database)[0])
    (action,) = ids(database)
    actions.record_result(database, action, "failed")
    retry(database, 0)
    make(database, claim(database)[0], GIVE_UP)
    with pytest.raises(WrongRequest, match="the action is dead; only one that is done can be given a result"):
        actions.record_result(database, action, "done")
    assert [(row["state"], row["outcome"]) for row in rows(database)] == [("dead", "give_up")]


# --- the clock ---


def test_verbs_go_by_the_databases_clock(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(database, post(1), post(2), post(3), post(4))
    for one in claim(database):
        make(database, one, DONE if one.subject in {"seg_3", "seg_4"} else GIVE_UP)
    with database.read() as connection:
        before = db_time(connection) // 1000
    monkeypatch.setattr("handlers.clock.now_ms", lambda: before + HOUR)
    first, second, third, fourth = ids(database)
    actions.retry(database, first, over=none_over)
    actions.retry(database, second, over=none_over)
    actions.cancel(database, second)
    actions.record_result(database, third, "done")
    actions.rerun(database, [fourth], over=none_over)
    with database.read() as connection:
        after = db_time(connection) // 1000
    found = rows(database)
    times = (
        found[0]["due_at"],
        found[1]["ended_at"],
        found[2]["result_at"],
        found[4]["due_at"],
        found[4]["created_at"],
    )
    assert all(before <= at <= after for at in times)
