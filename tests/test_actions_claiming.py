"""Claiming: one holder at a time, below the limit, not what is stopped; a late word of a former holder is nothing."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from planning import (
    AGAIN,
    DONE,
    GIVE_UP,
    UNCLEAR,
    attempts,
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

from handlers import actions, tables
from handlers.actions import batches, claiming, expiring
from handlers.actions.db_time import db_time
from handlers.actions.endings import nobody_counts
from handlers.actions.figures import figures
from handlers.actions.in_hand import Room
from handlers.actions.quotas import Limiter
from handlers.clock import now_ms
from handlers.errors import BrokenOff, DatabaseAway, WrongRequest
from handlers.operation import Outcome
from handlers.retries import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from handlers.database import Database

LIMITED = {"quota": "main", "api": "UpdateSegment", "limit": 100.0}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("actions")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, empty: each test needs but a few rows."""
    return emptied(engine)


def test_several_claimers_at_once_get_each_action_once(database: Database) -> None:
    plan(database, *(call(number, lane=f"lane {number % 40}") for number in range(120)))
    made: list[str] = []
    at_work: set[str | None] = set()
    lock = threading.Lock()

    def work(holder: str) -> None:
        while "planned" in states(database) or "running" in states(database):
            for one in actions.claim(database, holder, 7):
                with lock:
                    assert one.lane not in at_work
                    at_work.add(one.lane)
                assert actions.begin(database, [actions.Begin(claimed=one)]) == [True]
                with lock:
                    made.append(one.subject)
                    at_work.remove(one.lane)
                assert settle(database, one) == "done"

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, ["wrk_a", "wrk_b", "wrk_c", "wrk_d"]))
    assert sorted(made) == sorted(f"seg_{number}" for number in range(120))


def test_slots_lie_an_interval_apart_and_no_window_of_a_second_holds_more_than_the_limit(database: Database) -> None:
    plan(database, *(call(number, lane=None, **LIMITED) for number in range(260)))
    slots: list[int] = []
    for _ in range(14):
        for taken in claim(database, 20, ahead_us=10_000_000):
            assert taken.not_before is not None
            slots.append(taken.not_before)
    assert len(slots) == 260
    assert {later - earlier for earlier, later in pairwise(slots)} == {10_417}
    assert max(sum(first <= slot < first + 1_020_000 for slot in slots) for first in slots) <= 100


def test_no_more_is_claimed_than_there_are_slots_soon_and_others_find_work_meanwhile(database: Database) -> None:
    plan(database, *(call(number, lane=None, **LIMITED) for number in range(100)))
    plan(database, *(post(number) for number in range(200, 203)))
    taken = claim(database)
    assert len([one for one in taken if one.api]) in {10, 11}
    assert len([one for one in taken if one.destination]) == 3
    assert claim(database) == []


def test_two_accounts_of_one_quota_stay_below_one_limit_and_two_apis_have_one_each(database: Database) -> None:
    plan(database, *(call(number, lane=None, account=f"a{number % 2}", **LIMITED) for number in range(40)))
    slots = sorted(one.not_before or 0 for one in claim(database, ahead_us=10_000_000))
    assert len(slots) == 32
    assert min(later - earlier for earlier, later in pairwise(slots)) == 10_417
    other = LIMITED | {"api": "UpdateRecord"}
    plan(database, *(call(number, lane=None, **other) for number in range(100, 105)))
    first = [one.not_before or 0 for one in claim(database, ahead_us=100_000) if one.api == "UpdateRecord"]
    assert len(first) == 5
    assert first[0] < slots[10]


def test_a_destination_has_a_limit_of_its_own_where_it_asks_for_one(database: Database) -> None:
    plan(database, *(post(number, destination="slow", limit=50.0) for number in range(3)), post(9))
    taken = claim(database)
    slots = [one.not_before for one in taken if one.destination == "slow" and one.not_before]
    assert [later - earlier for earlier, later in pairwise(slots)] == [20_833, 20_833]
    assert [one.not_before for one in taken if one.destination == "captioning"] == [None]


def test_a_missed_slot_is_lost_and_another_comes_after_those_given_since(database: Database) -> None:
    plan(database, *(call(number, lane=None, **LIMITED) for number in range(5)))
    taken = claim(database)
    last = taken[-1].not_before
    assert last is not None
    assert actions.another_slot(database, taken[0]) == last + 10_417


def test_the_word_too_fast_pushes_all_calls_of_the_api_back_and_no_others(database: Database) -> None:
    plan(database, *(call(number, lane=None, **LIMITED) for number in range(3)))
    first, *_ = claim(database, 1)
    throttled = Outcome(verdict="again", code="FlowLimitExceeded", is_throttled=True, after_ms=30_000)
    assert make(database, first, throttled) == "again"
    assert claim(database) == []
    ahead = figures(database).ahead_ms["main", "UpdateSegment"]
    assert 25_000 < ahead <= 30_000
    plan(database, call(9, lane=None, **LIMITED | {"api": "UpdateRecord"}))
    assert numbers(claim(database)) == [9]
    assert figures(database).oldest_ms["volcengine.update_segment"] >= 0


@pytest.mark.parametrize(
    ("many", "other"),
    [
        (
            {"quota": "aliyun/lessons", "api": "UpdateRecordTask"},
            {"quota": "aliyun/lessons", "api": "StopRecordTask"},
        ),
        ({"destination": "captioning"}, {"destination": "archive"}),
    ],
    ids=["an API", "a destination"],
)
def test_the_word_too_fast_holds_back_all_calls_of_what_has_no_limit_and_no_others(
    database: Database, many: dict[str, str], other: dict[str, str]
) -> None:
    plan(database, *(call(number, lane=None, **many) for number in range(3)))
    first, *_ = claim(database, 1)
    plan(database, call(9, lane=None, **other))
    now = time.time_ns() // 1000
    throttled = Outcome(verdict="again", is_throttled=True, after_ms=30_000)
    assert make(database, first, throttled, clock=lambda _: now) == "again"
    assert numbers(claim(database, clock=lambda _: now)) == [9]
    assert claim(database, clock=lambda _: now + 29_999_999) == []
    assert sorted(numbers(claim(database, clock=lambda _: now + 30_000_000))) == [0, 1, 2]


def test_a_later_and_shorter_word_too_fast_lets_no_call_begin_earlier(database: Database) -> None:
    plan(database, *(post(number) for number in range(3)))
    now = time.time_ns() // 1000
    for one, after_ms in zip(claim(database, 2, clock=lambda _: now), (30_000, None), strict=True):
        make(database, one, Outcome(verdict="again", is_throttled=True, after_ms=after_ms), clock=lambda _: now)
    assert claim(database, clock=lambda _: now + 29_999_999) == []
    assert 2 in numbers(claim(database, clock=lambda _: now + 30_000_000))


def test_a_counterpart_gets_no_more_than_it_has_room_for(database: Database) -> None:
    plan(database, *(post(number) for number in range(9)))
    plan(database, *(post(number, destination="other") for number in range(10, 19)))
    taken = claim(database, room=Room(64, {Limiter("destination/captioning", ""): 6}, quick=()))
    assert [one.destination for one in taken].count("captioning") == 2
    assert [one.destination for one in taken].count("other") == 8


def test_what_is_too_late_takes_neither_slot_nor_room_from_what_is_in_time(database: Database) -> None:
    late, soon = now_ms() - 1, now_ms() + 60_000
    plan(database, *(call(number, lane=None, expires_at=late, **LIMITED) for number in range(90)))
    plan(database, *(call(number, lane=None, expires_at=soon, **LIMITED) for number in range(100, 103)))
    ended: Counter[tuple[str, str]] = Counter()
    none = Room(64, {Limiter("main", "UpdateSegment"): 48}, quick=())
    assert claim(database, room=none, count=ended.update) == []
    assert states(database).count("cancelled") == 90
    assert ended["volcengine.update_segment", "expired"] == 90
    assert numbers(claim(database)) == [100, 101, 102]


def test_so_much_that_is_too_late_ends_at_once_that_nobody_waits_long_for_it(database: Database) -> None:
    late = now_ms() - 1
    plan(database, *(call(number, lane=None, expires_at=late, **LIMITED) for number in range(160)))
    plan(database, post(200), call(201, lane=None, **LIMITED))
    assert [one.destination for one in claim(database, 4)] == ["captioning"]
    assert 128 <= states(database).count("cancelled") < 160
    assert numbers(claim(database)) == [201]


def test_what_is_stopped_does_not_end_before_it_goes_on(database: Database) -> None:
    plan(database, call(1, expires_at=now_ms() - 1))
    actions.stop(database, "rule", "short-slices", now=now_ms())
    claim(database)
    assert states(database) == ["planned"]
    actions.go(database, "rule", "short-slices")
    claim(database)
    assert states(database) == ["cancelled"]


def test_what_is_retried_before_it_ends_too_late_goes_on(database: Database) -> None:
    plan(database, call(1))
    make(database, claim(database)[0], AGAIN)
    (action,) = rows(database)
    actions.retry(database, action["id"], over=none_over, now=now_ms())
    expiring.expire(database, {action["id"]: action["lane"]}, clock=db_time, count=nobody_counts)
    assert numbers(claim(database)) == [1]


def test_what_is_taken_is_handed_out_though_the_database_goes_away_before_the_late_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go_away(*_: object, **__: object) -> None:
        raise DatabaseAway

    late = now_ms() - 1
    # One that is in time stands before it: so it is seen only when the calls are chosen.
    plan(database, post(0), now=late - 9)
    plan(database, post(1, expires_at=late), post(2), now=late - 5)
    with monkeypatch.context() as patched:
        patched.setattr(claiming, "expire", go_away)
        assert numbers(claim(database)) == [0, 2]
    assert states(database)[1] == "planned"
    assert claim(database) == []
    assert states(database)[1] == "cancelled"


def test_a_claim_that_the_server_undid_is_made_again_with_the_same_room_and_slots(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone: list[int] = []
    members = batches.members

    def break_off_once(held: Iterable[actions.Claimed]) -> list[actions.Claimed]:
        if not undone:
            undone.append(1)
            raise BrokenOff
        return members(held)

    plan(database, *(call(number, lane=None, **LIMITED) for number in range(3)))
    now = time.time_ns() // 1000
    monkeypatch.setattr(batches, "members", break_off_once)
    room = Room(1, {}, quick=())
    (first, second) = claim(database, room=room, clock=lambda _: now)
    assert (undone, first.not_before, first.token) == ([1], now, 1)
    assert second.not_before == now + 10_417


def test_those_that_wait_get_equal_parts_and_what_one_leaves_goes_to_the_others(database: Database) -> None:
    for destination, count in (("first", 30), ("second", 30), ("third", 2)):
        plan(database, *(post(len(rows(database)) + number, destination=destination) for number in range(count)))
    taken = Counter(one.destination for one in claim(database, 12))
    assert taken.total() == 12
    assert taken["third"] == 2
    assert taken["first"] - taken["second"] in {-1, 0, 1}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("all", ""),
        ("rule", "short-slices"),
        ("operation", "volcengine.update_segment"),
        ("account", "volcengine/classroom"),
    ],
)
def test_what_is_stopped_is_not_claimed_until_it_goes_on(database: Database, kind: str, name: str) -> None:
    plan(database, call(1))
    actions.stop(database, kind, name, now=now_ms())
    actions.stop(database, kind, name, now=now_ms())
    assert claim(database) == []
    assert [tuple(one) for one in figures(database).stopped] == [(kind, name)]
    assert figures(database).oldest_ms.keys() == {"volcengine.update_segment"}
    assert actions.go(database, kind, name)
    assert not actions.go(database, kind, name)
    assert numbers(claim(database)) == [1]


def test_stopping_one_thing_stops_no_other(database: Database) -> None:
    plan(database, call(1), post(2), post(3, destination="other"), call(4, lane="b", rule="another", account="x"))
    for kind, name in (("destination", "other"), ("rule", "another"), ("account", "aliyun/classroom")):
        actions.stop(database, kind, name, now=now_ms())
    assert sorted(numbers(claim(database))) == [1, 2]
    with pytest.raises(WrongRequest, match="expected one of all, rule, operation, account, destination"):
        actions.stop(database, "lane", "x", now=now_ms())


def test_every_attempt_is_written_down_before_its_call_and_with_its_answer(database: Database) -> None:
    plan(database, call(1))
    (taken,) = claim(database)
    assert actions.begin(database, [actions.Begin(claimed=taken, request="POST /?Action=UpdateSegment")]) == [True]
    assert states(database) == ["running"]
    (open_,) = attempts(database, taken.id)
    assert (open_["number"], open_["request"], open_["ended_at"]) == (1, "POST /?Action=UpdateSegment", None)
    told = actions.Settle(claimed=taken, outcome=AGAIN, answer='{"a":"\0\ud800"}' + "x" * 9_999, duration_ms=12)
    assert actions.settle(database, [told]) == ["again"]
    make_due(database)
    (again,) = claim(database)
    assert make(database, again, DONE) == "done"
    first, second = attempts(database, taken.id)
    assert (first["outcome"], first["code"], first["detail"], first["duration_ms"]) == (
        "again",
        "InternalError",
        "try later",
        12,
    )
    assert first["answer"].startswith('{"a":"\\0\\ud800"}')
    assert len(first["answer"]) < 5_000
    assert (second["number"], second["outcome"], second["request_id"]) == (2, "done", "req-1")
    row = rows(database)[0]
    assert (row["attempts"], row["outcome"], row["request_id"], row["reason"]) == (2, "done", "req-1", None)


def test_a_call_is_not_due_again_before_its_next_try_and_keeps_its_lane_waiting(database: Database) -> None:
    plan(database, call(1), call(2))
    (taken,) = claim(database)
    before = now_ms()
    assert make(database, taken, Outcome(verdict="again", after_ms=60_000)) == "again"
    row = rows(database)[0]
    assert before + 60_000 <= row["due_at"] <= now_ms() + 60_000
    assert claim(database) == []
    make_due(database)
    assert numbers(claim(database)) == [1]


def test_what_can_not_succeed_is_dead_at_once_and_its_lane_goes_on(database: Database) -> None:
    plan(database, call(1), call(2))
    assert make(database, claim(database)[0], GIVE_UP) == "dead"
    assert rows(database)[0]["reason"] == "InvalidParameter: Duration is wrong"
    assert numbers(claim(database)) == [2]


def test_a_schedule_ends(database: Database) -> None:
    plan(database, call(1, schedule=Schedule(delays_ms=(0,), tries=3)))
    told = [make(database, claim(database)[0], AGAIN) for _ in range(3)]
    assert told == ["again", "again", "dead"]
    assert rows(database)[0]["reason"] == "InternalError: try later; that was try 3 of 3"


def test_an_unclear_outcome_is_tried_again_only_where_a_repeat_does_no_harm(database: Database) -> None:
    plan(database, call(1), call(2, lane="b", is_repeatable=False))
    told = {one.subject: make(database, one, UNCLEAR) for one in claim(database)}
    assert told == {"seg_1": "again", "seg_2": "dead"}
    assert "a repeat could do harm" in rows(database)[1]["reason"]


def test_what_fails_before_its_call_counts_as_a_try_and_is_shown(database: Database) -> None:
    plan(database, call(1, schedule=Schedule(delays_ms=(0,), tries=2)))
    unset = Outcome(verdict="again", detail="SettingsError: access_key_id is not set")
    assert [settle(database, claim(database)[0], unset) for _ in range(2)] == ["again", "dead"]
    (action,) = rows(database)
    assert [one["detail"] for one in attempts(database, action["id"])] == [
        "SettingsError: access_key_id is not set"
    ] * 2


def test_a_lost_workers_actions_are_taken_up_after_the_lease_and_its_late_answer_changes_nothing(
    database: Database,
) -> None:
    plan(database, call(1), call(2, lane="b"), call(3, lane="c", is_repeatable=False), call(4))
    lost = {one.subject: one for one in claim(database)}
    for name in ("seg_1", "seg_3"):
        assert actions.begin(database, [actions.Begin(claimed=lost[name])]) == [True]
    assert actions.take_up_lost(database) == 0
    let_lapse(database)
    assert actions.take_up_lost(database, chance=lambda: 0.0) == 3
    assert actions.take_up_lost(database) == 0
    assert states(database) == ["again", "planned", "dead", "planned"]
    assert "the worker that made the call was lost" in rows(database)[2]["reason"]
    taken = {one.subject: one for one in actions.claim(database, "wrk_other", 9)}
    assert taken.keys() == {"seg_1", "seg_2"}
    before = [dict(row) for row in rows(database)]
    assert [settle(database, lost[name], DONE) for name in ("seg_1", "seg_2", "seg_3")] == [None] * 3
    assert actions.begin(database, [actions.Begin(claimed=lost["seg_2"])]) == [False]
    actions.renew(database, list(lost.values()))
    assert actions.give_back(database, list(lost.values())) == 0
    assert [dict(row) for row in rows(database)] == before
    assert [one["is_unclear"] for one in attempts(database, lost["seg_1"].id)] == [True]
    assert make(database, taken["seg_1"], DONE) == "done"


def test_a_renewed_lease_is_not_taken_up_and_what_has_not_begun_can_be_given_back(database: Database) -> None:
    plan(database, call(1), call(2, lane="b"))
    taken = claim(database)
    let_lapse(database)
    actions.renew(database, taken)
    assert actions.take_up_lost(database) == 0
    (begun,) = [one for one in taken if one.subject == "seg_1"]
    assert actions.begin(database, [actions.Begin(claimed=begun)]) == [True]
    plan(database, call(0, lane="b"))
    assert actions.give_back(database, taken) == 1
    assert numbers(claim(database)) == [0], "what came meanwhile and is earlier goes first"
    assert settle(database, begun) == "done"


def test_a_sequence_number_grows_with_every_attempt_of_a_lane_and_is_at_least_the_time(database: Database) -> None:
    plan(database, call(1, sequence="SequenceNumber", lane="push"), call(2, sequence="SequenceNumber", lane="other"))
    seconds = int(time.time())
    drawn = []
    for _ in range(3):
        (taken,) = [one for one in claim(database, 1) if one.lane == "push"] or [
            one for one in claim(database, 1) if one.lane == "push"
        ]
        assert taken.sequence_number is not None
        drawn.append(taken.sequence_number)
        make(database, taken, AGAIN, chance=lambda: 0.0)
    assert drawn[0] < drawn[1] < drawn[2] < 2**31
    assert seconds <= drawn[0] <= seconds + 5


def test_a_sequence_goes_on_from_a_number_that_is_ahead_of_the_time(database: Database) -> None:
    plan(database, call(1, sequence="SequenceNumber"))
    with database.write() as connection:
        connection.execute(tables.sequences.insert(), [{"name": call().lane, "last": 2_000_000_000}])
    assert claim(database)[0].sequence_number == 2_000_000_001
