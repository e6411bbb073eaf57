"""The operator's verbs: retry, cancel, rerun, a consumer's late word, and the figures of what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from planning import (
    AGAIN,
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
    rows,
    states,
)
from sqlalchemy import update

from handlers import actions, tables
from handlers.actions.figures import figures
from handlers.clock import now_ms
from handlers.errors import WrongRequest
from handlers.operation import Outcome
from handlers.questions.filters import Filters
from handlers.retries import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.database import Database


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("actions")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, empty: each test needs but a few rows."""
    return emptied(engine)


def test_a_dead_action_can_be_retried_with_its_whole_schedule(database: Database) -> None:
    plan(database, call(1, schedule=Schedule(delays_ms=(0,), tries=2), expires_at=now_ms() + 60_000), call(2))
    assert [make(database, claim(database)[0], AGAIN) for _ in range(2)] == ["again", "dead"]
    (action, _) = rows(database)
    with database.write() as connection:
        connection.execute(update(tables.actions).values(expires_at=1).where(tables.actions.c.id == action["id"]))
    actions.retry(database, action["id"], over=none_over, now=now_ms())
    assert [make(database, claim(database)[0], AGAIN) for _ in range(2)] == ["again", "dead"]
    assert rows(database)[0]["attempts"] == 4
    with pytest.raises(WrongRequest, match="there is no action act_x"):
        actions.retry(database, "act_x", over=none_over, now=now_ms())
    with pytest.raises(WrongRequest, match="the action is planned; only one that is again or cancelled or dead"):
        actions.retry(database, rows(database)[1]["id"], over=none_over, now=now_ms())


def test_a_retry_by_hand_does_not_wait_for_the_next_try(database: Database) -> None:
    plan(database, call(1))
    (taken,) = claim(database)
    make(database, taken, Outcome(verdict="again", after_ms=3_600_000))
    actions.retry(database, taken.id, over=none_over, now=now_ms())
    assert numbers(claim(database)) == [1]


def test_an_action_can_be_cancelled_until_its_call_is_in_hand(database: Database) -> None:
    plan(database, call(1), call(2), post(2, step=1))
    taken = claim(database)
    first, second, _ = rows(database)
    actions.cancel(database, second["id"], now=now_ms())
    assert states(database) == ["planned", "cancelled", "cancelled"]
    with pytest.raises(WrongRequest, match="about to be made or under way"):
        actions.cancel(database, first["id"], now=now_ms())
    make(database, taken[0])
    with pytest.raises(WrongRequest, match="the action is done; only one that is again or planned can be cancelled"):
        actions.cancel(database, first["id"], now=now_ms())


def test_all_that_a_filter_means_can_be_counted_and_then_retried(database: Database) -> None:
    plan(database, *(call(number, lane=None, rule=f"rule-{number % 2}") for number in range(70)))
    while taken := claim(database):
        for one in taken:
            make(database, one, GIVE_UP)
    chosen = Filters(rule=("rule-1",), created_after=now_ms() - 60_000)
    with database.read() as connection:
        for cap, seen in ((70, (35, False)), (34, (34, True))):
            found = actions.preview_retry(connection, chosen, over=none_over, cap=cap)
            assert (found.count, found.more) == seen
        early = Filters(created_before=now_ms() - 60_000)
        assert actions.preview_retry(connection, early, over=none_over).count == 0
    done = actions.retry_matching(database, chosen, over=none_over, over_now=none_over, now=now_ms(), most=33)
    assert (done.count, done.more) == (33, True)
    done = actions.retry_matching(database, chosen, over=none_over, over_now=none_over, now=now_ms())
    assert (done.count, done.more) == (2, False)
    with pytest.raises(WrongRequest, match="state: is 'done', from which nothing is retried; expected again, canc"):
        actions.retry_matching(database, Filters(state=("done",)), over=none_over, over_now=none_over, now=now_ms())


def test_a_rerun_is_a_new_generation_linked_to_the_old_with_its_steps_in_order(database: Database) -> None:
    plan(database, post(1), call(1, step=1, limit=150, quota="main", api="UpdateSegment"), call(2, lane="b"))
    for _ in range(2):
        for one in claim(database):
            make(database, one)
    ids = [row["id"] for row in rows(database)]
    assert actions.rerun(database, ids[:2], over=none_over, now=now_ms()) == 2
    assert actions.rerun(database, ids[:1], over=none_over, now=now_ms()) == 1
    old, new = rows(database)[:3], rows(database)[3:]
    assert [(row["original"], row["generation"], row["state"]) for row in new] == [
        (ids[0], 1, "planned"),
        (ids[1], 1, "planned"),
        (ids[0], 2, "planned"),
    ]
    assert new[1]["after"] == new[0]["id"]
    assert [row["interval_us"] for row in (old[1], new[1])] == [6_944, 6_944]
    assert [one.id for one in claim(database)] == [new[0]["id"], new[2]["id"]]
    assert actions.rerun(database, [new[1]["id"]], over=none_over, now=now_ms()) == 0, (
        "what was never done is not repeated"
    )


def test_two_calls_under_a_once_key_that_ran_out_in_between_are_both_rerun(database: Database) -> None:
    now = now_ms()
    for at in (now - 2_000, now):
        plan(database, post(1, once=actions.Once(key="room", expires_at=at + 1_000)), now=at)
    for one in claim(database):
        make(database, one)
    ids = [row["id"] for row in rows(database)]
    assert len(ids) == 2
    assert actions.rerun(database, ids, over=none_over, now=now_ms()) == 2
    assert [row["original"] for row in rows(database)[2:]] == ids


def test_a_consumer_that_finishes_later_says_how_it_went(database: Database) -> None:
    plan(database, post(1), post(2))
    for one in claim(database):
        make(database, one)
    first, second = (row["id"] for row in rows(database))
    actions.record_result(database, first, "done", detail="12 captions", now=now_ms())
    actions.record_result(database, second, "failed", detail="no speech", now=now_ms())
    assert [(row["state"], row["result"], row["result_detail"], row["reason"]) for row in rows(database)] == [
        ("done", "done", "12 captions", None),
        ("dead", "failed", "no speech", "its consumer failed: no speech"),
    ]
    actions.retry(database, second, over=none_over, now=now_ms())
    with pytest.raises(WrongRequest, match="the action is planned; only one that is done can be given a result"):
        actions.record_result(database, second, "done", now=now_ms())


def test_the_figures_tell_what_waits_and_how_long(database: Database) -> None:
    plan(database, call(1), call(2), post(3), now=now_ms() - 5_000)
    told = figures(database)
    assert told.waiting == {("volcengine.update_segment", "planned"): 2, ("http.post", "planned"): 1}
    assert all(5_000 <= age < 15_000 for age in told.oldest_ms.values())
    assert told.oldest_ms.keys() == {"volcengine.update_segment", "http.post"}
