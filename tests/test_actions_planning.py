"""Planning: once, in the fact's transaction, in the order of the lane; and what ends without a call."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from planning import (
    AGAIN,
    AT,
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
    rows,
    states,
)
from sqlalchemy import event

from handlers import actions
from handlers.actions import Bound, Once
from handlers.clock import now_ms
from handlers.operation import holds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handlers.database import Database

OTHER = "volcengine/app/room/other"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("actions")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, empty: each test needs but a few rows."""
    return emptied(engine)


def covers(_operation: str, newer: Mapping[str, Any], older: Mapping[str, Any]) -> bool:
    return holds(newer, older)


def test_what_is_planned_already_is_not_planned_again(database: Database) -> None:
    plan(database, call(1), call(2))
    plan(database, call(2), call(1), call(3))
    assert [row["subject"] for row in rows(database)] == ["seg_1", "seg_2", "seg_3"]
    plan(database, call(1, change="recording.available"), call(1, rule="another"), call(1, generation=1))
    assert len(rows(database)) == 6


def test_what_is_planned_in_a_transaction_that_fails_is_not_there(database: Database) -> None:
    with suppress(ZeroDivisionError), database.write() as connection:
        actions.plan(connection, [call(1, once=Once(key="room"))], now=now_ms())
        assert 1 // len(rows(database)), "others don't see it yet"
    assert rows(database) == []
    plan(database, call(1, once=Once(key="room")))
    assert states(database) == ["planned"]


def test_an_event_without_actions_costs_no_statement(database: Database) -> None:
    with database.write() as connection:
        executed: list[str] = []
        event.listen(connection, "before_cursor_execute", lambda *args: executed.append(args[2]))
        actions.plan(connection, [], now=now_ms())
        actions.plan(connection, [], over={}, now=now_ms())
        assert executed == []


def test_a_lanes_first_is_the_earliest_by_event_time_delivery_position_and_step(database: Database) -> None:
    plan(
        database,
        call(5),
        call(3, at=AT + 5, delivery="dlv_00004"),
        call(4, at=AT + 5, delivery="dlv_00004", position=1),
    )
    plan(database, call(1))
    order = []
    while taken := claim(database):
        assert len(taken) == 1, "one of a lane is in hand at a time"
        order += numbers(taken)
        make(database, taken[0])
    assert order == [1, 3, 4, 5]


def test_a_late_arrival_goes_before_what_waits_and_never_overtakes_what_is_in_hand(database: Database) -> None:
    plan(database, call(5), call(6))
    (in_hand,) = claim(database)
    plan(database, call(1), call(2))
    assert claim(database) == []
    make(database, in_hand)
    assert numbers(claim(database)) == [1]


def test_a_late_arrival_goes_before_what_waits_for_its_next_try(database: Database) -> None:
    plan(database, call(5))
    make(database, claim(database)[0], AGAIN)
    plan(database, call(1))
    assert numbers(claim(database)) == [1]


def test_lanes_do_not_wait_for_each_other_and_without_a_lane_nothing_waits(database: Database) -> None:
    plan(database, call(1), call(2), call(3, lane=OTHER), post(4), post(5))
    assert sorted(numbers(claim(database))) == [1, 3, 4, 5]


def test_a_step_runs_once_the_one_before_it_is_done(database: Database) -> None:
    plan(database, post(1), call(1, step=1), post(1, step=2))
    for step in range(3):
        (taken,) = claim(database)
        assert taken.step == step
        assert claim(database) == []
        assert states(database) == ["done"] * step + ["planned"] * (3 - step)
        make(database, taken)
    assert states(database) == ["done"] * 3


def test_a_held_step_keeps_nobody_of_its_lane_waiting(database: Database) -> None:
    plan(database, post(1), call(1, step=1))
    plan(database, call(2))
    assert sorted(numbers(claim(database))) == [1, 2]


def test_the_steps_after_one_that_died_are_cancelled_and_come_back_with_it(database: Database) -> None:
    plan(database, post(1), call(1, step=1), post(1, step=2))
    make(database, claim(database)[0], GIVE_UP)
    assert states(database) == ["dead", "cancelled", "cancelled"]
    first = rows(database)[0]["id"]
    assert rows(database)[1]["reason"] == f"the step before it, {first}, was not done"
    actions.retry(database, first, over=none_over, now=now_ms())
    assert states(database) == ["planned"] * 3
    for _ in range(3):
        make(database, claim(database)[0])
    assert states(database) == ["done"] * 3


def test_what_is_refused_is_shown_with_its_reason_and_ends_the_steps_after_it(database: Database) -> None:
    plan(database, call(1, parameters=None, refused="Duration: is 0; expected 1 to 600"), post(1, step=1))
    assert states(database) == ["refused", "cancelled"]
    assert rows(database)[0]["reason"] == "Duration: is 0; expected 1 to 600"
    assert claim(database) == []


def test_a_shadow_is_planned_and_never_called_and_takes_no_once_key(database: Database) -> None:
    plan(database, call(1, mode="shadow", once=Once(key="room")), post(1, step=1, mode="shadow"))
    assert states(database) == ["shadow", "shadow"]
    assert claim(database) == []
    plan(database, call(2, once=Once(key="room")))
    assert states(database) == ["shadow", "shadow", "planned"]


def test_a_shadow_of_a_change_keeps_no_live_call_from_being_planned(database: Database) -> None:
    plan(database, call(1, mode="shadow"), post(1, step=1, mode="shadow"))
    plan(database, call(1, mode="shadow"), post(1, step=1, mode="shadow"))
    assert states(database) == ["shadow", "shadow"]
    plan(database, call(1), post(1, step=1))
    assert states(database) == ["shadow", "shadow", "planned", "planned"]
    make(database, claim(database)[0])
    assert numbers(claim(database)) == [1]


def test_a_step_that_a_rule_gained_meanwhile_is_not_planned_after_what_is_planned_already(database: Database) -> None:
    plan(database, call(1))
    plan(database, call(1), post(1, step=1), post(1, step=2), call(2), post(2, step=1))
    assert [(row["subject"], row["step"]) for row in rows(database)] == [("seg_1", 0), ("seg_2", 0), ("seg_2", 1)]
    known = {row["id"] for row in rows(database)}
    assert all(row["after"] in {*known, None} for row in rows(database))


def test_planning_tells_how_many_live_calls_are_to_be_made(database: Database) -> None:
    some = {"covers": "update_segment", "parameters": {"Duration": 10}}
    asked = [
        *(call(1, **some), call(2, **some), post(2, step=1), call(3, lane=OTHER)),
        *(post(4, mode="shadow"), post(5, refused="it can't be"), post(6, needs_run=True, task="tsk_6")),
    ]
    for made in ({"volcengine.update_segment": 2, "http.post": 1}, {}):
        with database.write() as connection:
            over = {"tsk_6": "its run is over"}
            assert actions.plan(connection, asked, now=now_ms(), covers=covers, over=over) == made


def test_of_what_one_once_key_allows_the_first_change_is_planned_with_all_its_steps(database: Database) -> None:
    key = Once(key="room")
    plan(database, call(1, once=key), post(1, once=key, step=1), call(2, once=key), post(2, once=key, step=1))
    plan(database, call(3, once=key), call(4, once=Once(key="another room")), call(5, once=key, rule="another"))
    assert [(row["subject"], row["step"]) for row in rows(database)] == [
        ("seg_1", 0),
        ("seg_1", 1),
        ("seg_4", 0),
        ("seg_5", 0),
    ]


def test_a_once_key_that_has_run_out_begins_anew_for_the_same_subject_too(database: Database) -> None:
    now = now_ms()
    plan(database, call(1, once=Once(key="task", expires_at=now + 1_000)), now=now)
    plan(database, call(1, once=Once(key="task", expires_at=now + 1_999)), now=now + 999)
    assert len(rows(database)) == 1
    plan(database, call(1, once=Once(key="task", expires_at=now + 2_000)), now=now + 1_000)
    assert [row["renewal"] for row in rows(database)] == [0, 1]
    plan(database, call(1, once=Once(key="task")), now=now + 9_999)
    plan(database, call(1, once=Once(key="task")), now=now + 99_999)
    assert [row["renewal"] for row in rows(database)] == [0, 1, 2]


def test_a_run_away_is_stopped_by_the_rules_bounds_visibly(database: Database) -> None:
    bounds = (Bound(scope="rule", most=3, within_ms=3_600_000), Bound(scope="task", most=2, within_ms=3_600_000))
    plan(database, call(1, bounds=bounds), call(2, bounds=bounds), call(3, bounds=bounds))
    plan(database, call(4, bounds=bounds, task="tsk_2"), call(5, bounds=bounds, task="tsk_3"), call(6, rule="another"))
    assert states(database) == ["planned", "planned", "refused", "planned", "refused", "planned"]
    reasons = [row["reason"] for row in rows(database) if row["reason"]]
    assert reasons == [
        "the rule's limit for its task of 2 in 3600 s is reached",
        "the rule's limit of 3 in 3600 s is reached",
    ]


def test_an_older_waiting_update_ends_superseded_by_the_newer_that_sets_all_that_it_would(database: Database) -> None:
    older = call(1, parameters={"Duration": 10, "Handle": True}, covers="update_segment")
    newer = call(2, parameters={"Duration": 20, "Handle": False, "Identifier": "x"}, covers="update_segment")
    plan(database, older, post(1, step=1), covers=covers)
    plan(database, newer, covers=covers)
    old, step, new = rows(database)
    assert [old["state"], step["state"], new["state"]] == ["superseded", "planned", "planned"]
    assert old["newer"] == step["after"] == new["id"]
    assert old["reason"] == f"{new['id']}, which is newer, sets all that it would"
    assert numbers(claim(database)) == [2]


def test_what_follows_a_superseded_call_runs_once_the_newer_one_is_done(database: Database) -> None:
    some = {"covers": "update_segment", "parameters": {"Duration": 10}}
    plan(database, call(1, **some), post(1, step=1), covers=covers)
    plan(database, call(2, **some), post(2, step=1), call(3, **some), post(3, step=1), covers=covers)
    plan(database, call(0, **some), post(0, step=1), covers=covers)
    assert states(database) == ["superseded", "planned"] * 2 + ["planned"] * 2 + ["superseded", "planned"]
    (newest,) = claim(database)
    assert newest.subject == "seg_3"
    make(database, newest)
    assert sorted(numbers(claim(database))) == [0, 1, 2, 3]


def test_what_follows_a_superseded_call_is_cancelled_where_the_newer_one_dies(database: Database) -> None:
    some = {"covers": "update_segment", "parameters": {"Duration": 10}}
    plan(database, call(1, **some), post(1, step=1), covers=covers)
    plan(database, call(2, **some), covers=covers)
    (newest,) = claim(database)
    make(database, newest, GIVE_UP)
    assert states(database) == ["superseded", "cancelled", "dead"]
    assert rows(database)[1]["reason"] == f"the step before it, {newest.id}, was not done"
    actions.retry(database, newest.id, over=none_over, now=now_ms())
    make(database, claim(database)[0])
    assert numbers(claim(database)) == [1]


def test_of_a_crowd_of_updates_that_come_at_once_or_wait_only_the_newest_is_left(database: Database) -> None:
    some = {"covers": "update_segment", "parameters": {"Duration": 10}}
    plan(database, *(call(number, **some) for number in range(450)))
    assert states(database) == ["planned"] * 450
    plan(database, *(call(number, **some) for number in range(450, 900)), covers=covers)
    assert states(database) == ["superseded"] * 899 + ["planned"]
    newest = rows(database)[-1]["id"]
    assert {row["newer"] for row in rows(database)} == {newest, None}
    assert numbers(claim(database)) == [899]


def test_a_waiting_call_of_another_kind_parts_what_comes_at_once(database: Database) -> None:
    some = {"covers": "update_segment", "parameters": {"Duration": 10}}
    plan(database, call(3), covers=covers)
    plan(database, call(1, **some), call(2, **some), call(4, **some), call(5, **some), covers=covers)
    assert states(database) == ["planned", "superseded", "planned", "superseded", "planned"]


def test_an_update_is_not_superseded_by_one_that_leaves_a_field_out_or_of_another_lane_or_when_in_hand(
    database: Database,
) -> None:
    some = {"covers": "update_segment", "parameters": {"Duration": 10}}
    plan(database, call(1, **some), covers=covers)
    plan(database, call(2, covers="update_segment", parameters={"Handle": True}), covers=covers)
    plan(database, call(3, **some, lane=OTHER), covers=covers)
    assert states(database) == ["planned"] * 3
    taken = claim(database)
    assert sorted(numbers(taken)) == [1, 3]
    plan(database, call(4, **some), covers=covers)
    assert states(database) == ["planned"] * 4


def test_a_call_of_another_kind_between_them_keeps_an_older_update(database: Database) -> None:
    some = {"covers": "update_segment", "parameters": {"Duration": 10}}
    plan(database, call(1, **some), call(2), call(3, **some), covers=covers)
    assert states(database) == ["planned"] * 3
    plan(database, call(4, **some), covers=covers)
    assert states(database) == ["planned", "planned", "superseded", "planned"]


def test_a_late_arrival_that_waits_behind_a_newer_one_is_superseded_itself(database: Database) -> None:
    some = {"covers": "update_segment", "parameters": {"Duration": 10}}
    plan(database, call(5, **some), covers=covers)
    plan(database, call(1, **some), covers=covers)
    assert states(database) == ["planned", "superseded"]
    assert numbers(claim(database)) == [5]


def test_waiting_calls_of_a_run_that_ended_are_cancelled_and_hand_overs_are_not(database: Database) -> None:
    plan(database, call(1), call(2), post(3), call(4, lane=OTHER, task="tsk_2"), call(5, needs_run=False))
    in_hand, *others = sorted(claim(database), key=lambda one: one.subject)
    actions.give_back(database, others)
    plan(database, over={"tsk_1": "its run is over"})
    assert states(database) == ["planned", "cancelled", "planned", "planned", "planned"]
    assert rows(database)[1]["reason"] == "its run is over"
    assert make(database, in_hand, DONE) == "done"
    assert sorted(numbers(claim(database))) == [3, 4, 5]


def test_what_is_planned_and_what_ends_with_a_run_can_be_told_at_once(database: Database) -> None:
    plan(database, call(1), call(2, lane=OTHER, task="tsk_2"))
    plan(database, call(3), call(4, lane=OTHER, task="tsk_2"), over={"tsk_1": "its run ended"})
    assert [(row["state"], row["reason"]) for row in rows(database)] == [
        ("cancelled", "its run ended"),
        ("planned", None),
        ("cancelled", "its run ended"),
        ("planned", None),
    ]
    plan(database, over={"tsk_2": "a new run began"})
    assert states(database) == ["cancelled"] * 4
    assert claim(database) == []


def test_what_is_not_made_in_time_is_cancelled_and_the_next_of_its_lane_comes(database: Database) -> None:
    plan(database, call(1, expires_at=now_ms() - 1), call(2, expires_at=now_ms() + 60_000))
    assert numbers(claim(database)) == [2]
    assert states(database) == ["cancelled", "planned"]
    assert rows(database)[0]["reason"] == "it was not made in time: its max_age is over"
