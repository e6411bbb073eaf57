"""Batches: one call for many changes, none waiting for too long, and each with its own attempts, tries and fate."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from planning import (
    AGAIN,
    DONE,
    GIVE_UP,
    attempts,
    claim,
    emptied,
    let_lapse,
    make_due,
    none_over,
    numbers,
    opened,
    plan,
    post,
)
from planning import rows as all_rows
from program import wait_until

from handlers import actions, tables
from handlers.actions import Dispatcher, Performed, batches
from handlers.actions.in_hand import Room
from handlers.actions.quotas import Limiter
from handlers.actions.settling import each_of
from handlers.clock import now_ms
from handlers.operation import Outcome
from handlers.retries import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import RowMapping

    from handlers.actions import Claimed, Planned
    from handlers.database import Database

WITHIN = 60_000
CAPTIONING = Limiter("destination/captioning", "")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("batches")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, empty: each test needs but a few rows."""
    return emptied(engine)


def change(number: int, **changed: Any) -> Planned:
    """Return a hand-over of the n-th recording, three at a time within a minute unless changed."""
    return post(number, **{"batch_max": 3, "batch_within_ms": WITHIN} | changed)


def later(database: Database, milliseconds: int = WITHIN, most: int = 32, **more: Any) -> Sequence[Claimed]:
    """Claim when so much time has passed."""
    return claim(database, most, clock=lambda _: (now_ms() + milliseconds) * 1000, **more)


def together(calls: Sequence[Claimed]) -> list[list[int]]:
    """Return which actions go in each call."""
    return [numbers(call.members) for call in calls]


def begin(database: Database, call: Claimed) -> bool:
    return actions.begin(database, [actions.Begin(claimed=call, request="POST /")])[0]


def settle(database: Database, call: Claimed, outcome: Outcome = DONE) -> list[str | None]:
    told = each_of(actions.Settle(claimed=call, outcome=outcome, answer="{}"))
    return list(actions.settle(database, told))


def by_number(database: Database) -> dict[int, RowMapping]:
    return {int(row["subject"].removeprefix("seg_")): row for row in all_rows(database)}


# --- when a batch goes, and with whom -----------------------------------------------------------------------------


def test_as_soon_as_there_are_enough_they_go_in_one_call_in_the_order_of_their_events(database: Database) -> None:
    plan(database, change(2), change(3))
    assert claim(database) == []
    plan(database, change(1))
    assert together(claim(database)) == [[1, 2, 3]]
    assert claim(database) == []


def test_a_batch_holds_no_more_bytes_than_the_other_side_takes_in_one_message(database: Database) -> None:
    told = {"operation": "mns.send", "batch_max": 10, "told": {"change": "x" * 20_000}}
    plan(database, change(1, **told), change(2, **told), change(3, **told | {"told": {"change": "x" * 90_000}}))
    plan(database, change(4, **told), change(5, **told), change(6, **told))
    assert together([*later(database), *later(database)]) == [[1, 2], [3], [4, 5], [6]]


def test_when_the_first_has_waited_for_long_enough_what_there_is_goes_along(database: Database) -> None:
    now = now_ms()
    plan(database, change(1), now=now)
    plan(database, change(2), now=now + WITHIN - 1)
    assert later(database, WITHIN - 2_000) == []
    assert together(claim(database, clock=lambda _: (now + WITHIN) * 1000)) == [[1, 2]]


def test_one_that_is_left_alone_goes_as_a_batch_of_one(database: Database) -> None:
    plan(database, change(1), post(2))
    calls = {call.subject: call for call in later(database)}
    assert calls["seg_1"].others == ()
    assert calls["seg_2"].others is None


def test_of_many_full_batches_go_and_the_rest_waits_for_others(database: Database) -> None:
    plan(database, *(change(number) for number in range(8)))
    assert together(claim(database)) == [[0, 1, 2], [3, 4, 5]]
    plan(database, change(8))
    assert together(claim(database)) == [[6, 7, 8]]


def test_a_batch_is_never_larger_than_one_transaction_can_bear(database: Database) -> None:
    plan(database, *(change(number, batch_max=1_000_000) for number in range(257)))
    (call,) = claim(database)
    assert len(call.members) == 256
    assert together(later(database)) == [[256]]


def test_what_one_call_cannot_carry_together_goes_apart(database: Database) -> None:
    apart: tuple[dict[str, Any], ...] = (
        {"rule": "another"},
        {"destination": "other", "parameters": {"to": "other"}},
        {"account": "other"},
        {"parameters": {"to": "captioning", "headers": {"x-room": "1"}}},
        {"parameters": {"to": "captioning", "body": 1}},
        {"batch_max": 4},
    )
    plan(database, change(0), *(change(number, **more) for number, more in enumerate(apart, start=1)))
    plan(database, change(10, parameters={"to": "captioning", "body": [2]}))
    assert sorted(together(later(database))) == [[0], [1], [2], [3], [4], [5, 10], [6]]


def test_steps_of_one_rule_go_apart_and_a_later_one_waits_for_others_from_when_it_may_go(database: Database) -> None:
    plan(database, change(1, batch_max=1), change(1, step=1))
    (first,) = claim(database)
    assert settle(database, first) == ["done"]
    before = now_ms()
    assert claim(database) == []
    held = all_rows(database)[1]
    assert before - 5_000 + WITHIN <= held["due_at"] <= now_ms() + WITHIN
    assert [call.step for call in later(database)] == [1]


def test_what_has_a_lane_goes_one_at_a_time_at_once(database: Database) -> None:
    plan(database, *(change(number, lane="destination/captioning") for number in range(4)))
    (call,) = claim(database)
    assert (call.others, together([call])) == (None, [[0]])


def test_what_would_be_too_late_does_not_wait_for_others_and_what_is_too_late_joins_none(database: Database) -> None:
    now = now_ms()
    plan(database, change(1, expires_at=now + 30_000), change(2), now=now)
    assert together(claim(database, clock=lambda _: (now + 29_500) * 1000)) == [[1, 2]]
    plan(database, change(3, expires_at=now - 1), change(4), change(5), now=now)
    assert claim(database) == []
    assert by_number(database)[3]["state"] == "cancelled"
    plan(database, change(6), now=now)
    assert together(claim(database)) == [[4, 5, 6]]


def test_one_that_waits_for_its_next_try_joins_no_batch_before_its_time(database: Database) -> None:
    plan(database, change(1))
    (alone,) = later(database)
    assert begin(database, alone)
    asked_to_wait = Outcome(verdict="again", code="500", after_ms=300_000)
    assert settle(database, alone, asked_to_wait) == ["again"]
    plan(database, *(change(number) for number in range(2, 4)))
    assert claim(database) == [], "two and one that may not go yet are no three"
    plan(database, change(4))
    assert together(claim(database)) == [[2, 3, 4]]
    plan(database, change(5))
    assert together(later(database)) == [[5]]
    plan(database, change(6, batch_within_ms=6_000_000))
    assert together(later(database, 301_000)) == [[1, 6]]


# --- limits -------------------------------------------------------------------------------------------------------


def test_a_call_counts_once_for_the_limit_and_for_the_room_of_its_destination(database: Database) -> None:
    plan(database, *(change(number, limit=10.0) for number in range(12)))
    taken = claim(database, ahead_us=250_000)
    slots = [call.not_before or 0 for call in taken]
    assert together(taken) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [second - first for first, second in pairwise(slots)] == [104_167, 104_167]
    assert {one.not_before for call in taken for one in call.others or ()} == {None}

    emptied(database)
    plan(database, *(change(number) for number in range(12)))
    room = Room(64, {CAPTIONING: 6}, quick=())
    assert together(claim(database, room=room)) == [[0, 1, 2], [3, 4, 5]]
    assert together(claim(database, 1)) == [[6, 7, 8]]


def test_a_destination_without_room_keeps_no_other_batch_waiting(database: Database) -> None:
    plan(database, *(change(number, batch_max=40) for number in range(80)), now=now_ms() - 1_000)
    plan(database, *(change(number, batch_max=40, destination="well") for number in range(100, 140)))
    (call,) = claim(database, room=Room(64, {CAPTIONING: 8}, quick=()))
    assert call.destination == "well"
    assert len(call.members) == 40


def test_what_is_stopped_gathers_and_goes_on(database: Database) -> None:
    actions.stop(database, "destination", "captioning", now=now_ms())
    plan(database, *(change(number) for number in range(4)))
    assert later(database) == []
    actions.go(database, "destination", "captioning")
    assert together(claim(database)) == [[0, 1, 2]]


# --- what becomes of it -------------------------------------------------------------------------------------------


def test_a_batch_that_fails_comes_back_together_and_each_has_its_attempts(database: Database) -> None:
    plan(database, *(change(number, schedule=Schedule(delays_ms=(3_600_000,), tries=2)) for number in range(3)))
    (call,) = claim(database)
    assert begin(database, call)
    assert {row["state"] for row in all_rows(database)} == {"running"}
    assert settle(database, call, AGAIN) == ["again"] * 3
    found = all_rows(database)
    assert len({row["due_at"] for row in found}) == 1, "chance parts none of them"
    assert {(row["attempts"], row["tries"], row["code"]) for row in found} == {(1, 1, "InternalError")}
    first, *others = [attempts(database, row["id"])[0] for row in found]
    assert (first["request"], first["answer"]) == ("POST /", "{}")
    for other in others:
        assert other["request"] == f"in one call with {found[0]['id']}, whose attempt 1 shows it"
        assert (other["outcome"], other["detail"], other["answer"]) == ("again", "try later", None)
    make_due(database)
    (again,) = claim(database)
    assert together([again]) == [[0, 1, 2]]
    assert begin(database, again)
    assert settle(database, again, AGAIN) == ["dead"] * 3
    assert {row["attempts"] for row in all_rows(database)} == {2}


def test_those_of_a_batch_with_fewer_tries_left_die_earlier(database: Database) -> None:
    few, many = Schedule(delays_ms=(0,), tries=1), Schedule(delays_ms=(0,), tries=9)
    plan(database, change(1, schedule=few), change(2, schedule=many), change(3, schedule=many))
    (call,) = claim(database)
    assert begin(database, call)
    assert settle(database, call, AGAIN) == ["dead", "again", "again"]
    assert together(claim(database)) == [[2, 3]]


def test_a_dead_workers_batch_is_taken_up_after_its_lease_and_comes_back_together(database: Database) -> None:
    plan(database, *(change(number) for number in range(3)), change(9, destination="other"))
    (begun,) = claim(database)
    assert begin(database, begun)
    (not_begun,) = later(database)
    let_lapse(database)
    assert actions.take_up_lost(database) == 4
    assert [row["state"] for row in all_rows(database)] == ["again", "again", "again", "planned"]
    assert len({row["due_at"] for row in all_rows(database)[:3]}) == 1
    assert settle(database, begun) == [None] * 3
    assert not begin(database, not_begun)
    assert [one["is_unclear"] for row in all_rows(database)[:3] for one in attempts(database, row["id"])] == [True] * 3
    make_due(database)
    assert sorted(together(actions.claim(database, "wrk_other", 9))) == [[0, 1, 2], [9]]


def test_the_leases_of_all_in_a_batch_are_renewed(database: Database) -> None:
    plan(database, *(change(number) for number in range(3)))
    taken = claim(database)
    let_lapse(database)
    actions.renew(database, taken)
    assert actions.take_up_lost(database) == 0


def lose_one(database: Database, one: Claimed) -> None:
    """Let another take up one action, as if its lease alone were over."""
    with database.write() as connection:
        table = tables.actions
        connection.execute(table.update().where(table.c.id == one.id).values(lease_until=1))
    actions.take_up_lost(database)


def test_a_batch_of_which_one_is_lost_is_not_begun_and_the_others_can_be_given_back(database: Database) -> None:
    plan(database, *(change(number) for number in range(3)), post(9))
    calls = {call.subject: call for call in claim(database)}
    lose_one(database, calls["seg_0"].members[1])
    begun = actions.begin(database, [actions.Begin(claimed=calls[name]) for name in ("seg_0", "seg_9")])
    assert begun == [False, True]
    assert [(row["tries"], row["attempts"]) for row in all_rows(database)] == [(0, 0)] * 3 + [(1, 1)]
    assert actions.give_back(database, [calls["seg_0"]]) == 2
    assert together(claim(database)) == [[0, 1, 2]]


def test_several_claimers_at_once_get_each_action_of_a_batch_once(database: Database) -> None:
    plan(database, *(change(number, destination=f"d{number % 3}") for number in range(90)))
    made: list[str] = []

    def work(holder: str) -> None:
        while {row["state"] for row in all_rows(database)} != {"done"}:
            for call in actions.claim(database, holder, 4):
                assert len(call.members) == 3
                assert begin(database, call)
                made.extend(one.subject for one in call.members)
                assert settle(database, call) == ["done"] * 3

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, ["wrk_a", "wrk_b", "wrk_c", "wrk_d"]))
    assert sorted(made) == sorted(f"seg_{number}" for number in range(90))


# --- the operator's verbs -----------------------------------------------------------------------------------------


def test_what_is_cancelled_leaves_its_batch(database: Database) -> None:
    plan(database, *(change(number) for number in range(3)))
    actions.cancel(database, by_number(database)[1]["id"], now=now_ms())
    assert claim(database) == []
    assert together(later(database)) == [[0, 2]]


def test_what_is_retried_goes_at_once_with_what_there_is(database: Database) -> None:
    plan(database, *(change(number) for number in range(3)))
    (call,) = claim(database)
    assert settle(database, call, GIVE_UP) == ["dead"] * 3
    plan(database, change(3))
    actions.retry(database, by_number(database)[1]["id"], over=none_over, now=now_ms())
    assert together(claim(database)) == [[1, 3]]


def test_what_is_rerun_goes_in_batches_again(database: Database) -> None:
    plan(database, *(change(number) for number in range(3)))
    (call,) = claim(database)
    assert settle(database, call) == ["done"] * 3
    assert actions.rerun(database, [one.id for one in call.members], over=none_over, now=now_ms()) == 3
    assert together(claim(database)) == [[0, 1, 2]]


# --- the dispatcher -----------------------------------------------------------------------------------------------


def run(database: Database, perform: Callable[[Claimed, Callable[[str], None]], Performed], until: str) -> Dispatcher:
    """Let a dispatcher work until every action is in this state."""
    dispatcher = Dispatcher(database, perform)
    stop = threading.Event()
    thread = threading.Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: {row["state"] for row in all_rows(database)} == {until}, what=f"all {until}")
    finally:
        stop.set()
        thread.join(30)
    return dispatcher


def test_one_call_is_made_for_all_and_what_is_counted_are_actions(database: Database) -> None:
    made: list[list[int]] = []

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start("POST /")
        made.append(numbers(claimed.members))
        return Performed(outcome=AGAIN if len(made) == 1 else DONE)

    plan(database, *(change(number, schedule=Schedule(delays_ms=(0,), tries=3)) for number in range(3)))
    run(database, perform, "done")
    assert made == [[0, 1, 2], [0, 1, 2]]
    with database.read() as connection:
        found = {row.name: row.value for row in connection.execute(tables.meters.select())}
    assert found == {"actions_sent": 6, "actions_again": 3, "actions_done": 3}


def test_a_batch_of_which_one_was_lost_is_made_later_at_no_cost_of_tries(database: Database) -> None:
    made: list[list[int]] = []
    lost: list[Claimed] = []

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        if not lost:
            lost.append(claimed)
            lose_one(database, claimed.members[2])
        start("POST /")
        made.append(numbers(claimed.members))
        return Performed(outcome=DONE)

    plan(database, *(change(number, batch_within_ms=0) for number in range(3)))
    run(database, perform, "done")
    assert sorted(number for call in made for number in call) == [0, 1, 2]
    assert {row["attempts"] for row in all_rows(database)} == {1}


def test_large_batches_are_written_down_a_few_at_a_time_and_the_error_of_one_is_no_others() -> None:
    written: list[list[int]] = []

    def write(some: Sequence[int]) -> list[int]:
        written.append(list(some))
        if 500 in some:
            raise ZeroDivisionError
        return [size + 1 for size in some]

    results = batches.in_portions([1, 100, 500, 27, 100, 1], write, size=lambda one: one)
    assert written == [[1, 100], [500], [27, 100, 1]]
    assert [result if isinstance(result, int) else type(result) for result in results] == [
        *(2, 101),
        ZeroDivisionError,
        *(28, 101, 2),
    ]
