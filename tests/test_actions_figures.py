"""What the figures tell of actions: how long the oldest waits, how much of a limit is used, and how actions ended."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from dispatching import at_work
from planning import (
    GIVE_UP,
    call,
    claim,
    emptied,
    let_lapse,
    make,
    none_over,
    numbers,
    opened,
    plan,
    post,
    rows,
    states,
)
from program import wait_until
from sqlalchemy import event, select, text

from handlers import actions, tables
from handlers.actions import Bound, Performed
from handlers.actions.endings import add_to, noted
from handlers.actions.figures import figures
from handlers.actions.use import SPAN_US, Use
from handlers.clock import now_ms
from handlers.meters import Meters
from handlers.operation import Outcome
from handlers.retries import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handlers.actions import Claimed
    from handlers.actions.endings import Endings
    from handlers.database import Database

HOUR = 3_600_000
FOR_LONG = Schedule(delays_ms=(6 * HOUR,), within_ms=24 * HOUR)
LIMITED = {"quota": "main", "api": "UpdateSegment", "limit": 100.0}
UPDATE = "volcengine.update_segment"
POST = "http.post"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("figures")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    return emptied(engine)


def oldest(database: Database, later: int = 0) -> dict[str, int]:
    """Return the age of the oldest of each operation in seconds, `later` milliseconds from now."""
    told = figures(database, clock=lambda _: (now_ms() + later) * 1000).oldest_ms
    return {operation: age // 1000 for operation, age in told.items()}


# --- the age of the oldest --------------------------------------------------------------------------------------------


def test_what_waits_behind_a_head_in_its_backoff_ages_from_when_it_was_due(database: Database) -> None:
    behind = {"lane": "destination/captioning", "schedule": FOR_LONG}
    plan(database, *(post(number, **behind) for number in range(50)), now=now_ms() - HOUR)
    (head,) = claim(database)
    assert make(database, head, Outcome(verdict="again", after_ms=6 * HOUR)) == "again"
    assert oldest(database)[POST] // 10 == 360


def test_a_throttled_action_ages_though_its_due_time_moves(database: Database) -> None:
    plan(database, call(1, schedule=FOR_LONG, **LIMITED), now=now_ms() - HOUR)
    (taken,) = claim(database)
    assert make(database, taken, Outcome(verdict="again", is_throttled=True, after_ms=HOUR)) == "again"
    assert rows(database)[0]["due_at"] > now_ms()
    assert oldest(database)[UPDATE] // 10 == 360


def test_an_action_that_is_in_hand_goes_on_ageing_until_it_is_over(database: Database) -> None:
    plan(database, post(1), now=now_ms() - HOUR)
    (taken,) = claim(database)
    assert oldest(database)[POST] // 10 == 360
    make(database, taken, GIVE_UP)
    assert oldest(database) == {}


def test_a_call_of_a_lost_worker_ages_from_when_it_was_due(database: Database) -> None:
    plan(database, post(1), now=now_ms() - HOUR)
    actions.begin(database, [actions.Begin(claimed=one) for one in claim(database)])
    let_lapse(database)
    assert actions.take_up_lost(database) == 1
    assert oldest(database)[POST] // 10 == 360


def test_what_is_stopped_ages_and_what_is_held_by_a_step_does_not(database: Database) -> None:
    plan(database, post(1), call(1, step=1), now=now_ms() - HOUR)
    assert oldest(database).keys() == {POST}
    actions.stop(database, "all", now=now_ms())
    assert oldest(database)[POST] // 10 == 360
    actions.go(database, "all")
    make(database, claim(database)[0])
    assert oldest(database) == {UPDATE: 0}, "a step is due once the one before it is done"


def test_a_batch_ages_from_when_it_is_due_with_or_without_others(database: Database) -> None:
    plan(database, post(1, batch_max=5, batch_within_ms=HOUR))
    assert oldest(database, later=HOUR // 2) == {POST: 0}
    assert oldest(database, later=HOUR + 60_000)[POST] in {59, 60}


def test_what_is_retried_by_hand_starts_anew(database: Database) -> None:
    plan(database, post(1), now=now_ms() - HOUR)
    make(database, claim(database)[0], GIVE_UP)
    actions.retry(database, rows(database)[0]["id"], over=none_over, now=now_ms())
    assert oldest(database) == {POST: 0}


def test_the_ages_are_looked_up_and_not_searched_for_among_all_actions(database: Database) -> None:
    for start in range(0, 1_000, 250):
        some = range(start, start + 250)
        plan(database, *(call(number, lane=f"lane {number % 10}", task=f"tsk_{number}") for number in some))
    claim(database)
    with database.write() as connection:
        connection.execute(text("ANALYZE actions"))
    ran: dict[str, object] = {}

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        ran.setdefault(statement, parameters)

    event.listen(database.engine, "before_cursor_execute", note)
    figures(database)
    event.remove(database.engine, "before_cursor_execute", note)
    asked = [statement for statement in ran if "due_since" in statement]
    assert len(asked) == 2
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN (FORMAT JSON)"
    with database.read() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        for statement in asked:
            told = str([tuple(row) for row in connection.exec_driver_sql(f"{explain} {statement}")])
            assert not re.search(r"SCAN actions|Seq Scan", told)
            used = set(re.findall(r"actions_(?:ready|state|operation|unsent|claimed|once|rule)\b", told))
            assert used in ({"actions_unsent"}, {"actions_claimed"})


# --- how much of a limit is used --------------------------------------------------------------------------------------


def test_a_limit_that_gives_away_all_its_slots_is_used_up_and_one_at_rest_is_not(database: Database) -> None:
    plan(database, *(call(number, lane=None, **LIMITED) for number in range(60)))
    began = now_ms() * 1000
    while claim(database, clock=lambda _: began, ahead_us=SPAN_US):
        pass
    main = ("main", "UpdateSegment")
    at_once = figures(database, clock=lambda _: began).used[main]
    assert 0.05 < at_once < 0.07, "60 calls of 960 in ten seconds"
    assert figures(database, clock=lambda _: began + 3 * SPAN_US).used[main] == 0


def test_the_use_of_a_limit_is_told_of_the_last_ten_seconds() -> None:
    use = Use(0, 0, 0)
    for slot in range(7 * SPAN_US, 9 * SPAN_US, 10_000):
        use = use.with_slot(slot, 10_000)
    assert use.share(9 * SPAN_US - 1) == pytest.approx(1.0)
    assert use.share(9 * SPAN_US + SPAN_US // 2) == pytest.approx(0.5)
    assert use.share(10 * SPAN_US) == 0
    slow = Use(0, 0, 0)
    for slot in range(7 * SPAN_US, 8 * SPAN_US, 40_000):
        slow = slow.with_slot(slot, 10_000)
    assert slow.share(8 * SPAN_US) == pytest.approx(0.25)
    assert slow.share(7 * SPAN_US) == pytest.approx(0.25), "slots are given away a moment ahead"
    assert slow.with_slot(12 * SPAN_US, 10_000).share(12 * SPAN_US) == pytest.approx(0.001)


def test_the_oldest_call_that_waits_for_its_slot_is_told_unless_it_is_stopped(database: Database) -> None:
    plan(database, *(call(number, lane=None, **LIMITED) for number in range(3)), now=now_ms() - 60_000)
    plan(database, post(9), now=now_ms() - HOUR)
    told = figures(database).slot_wait_ms
    assert told.keys() == {("main", "UpdateSegment")}
    assert 60_000 <= told["main", "UpdateSegment"] < 90_000
    actions.stop(database, "account", "volcengine/classroom", now=now_ms())
    assert figures(database).slot_wait_ms == {}
    actions.go(database, "account", "volcengine/classroom")
    claim(database)
    assert figures(database).slot_wait_ms == {("main", "UpdateSegment"): 0}


def test_what_was_planned_before_there_was_a_limit_waits_for_its_slot_too(database: Database) -> None:
    own = ("destination/captioning", "")
    plan(database, post(0), now=now_ms() - 60_000)
    assert figures(database).slot_wait_ms == {}
    plan(database, post(1, limit=1.0))
    (taken,) = [one for one in claim(database) if one.subject == "seg_1"]
    make(database, taken)
    plan(database, post(2), now=now_ms() - 60_000)
    assert 60_000 <= figures(database).slot_wait_ms[own] < 90_000


# --- how actions ended ------------------------------------------------------------------------------------------------


def counted(database: Database) -> dict[tuple[str, str], int]:
    """Return what all processes counted."""
    with database.read() as connection:
        return {(row.name, row.label): row.value for row in connection.execute(select(tables.meters))}


def told_by(database: Database, found: Endings) -> dict[tuple[str, str], int]:
    meters = Meters()
    add_to(meters, found)
    meters.flush(database, at_once=True)
    return counted(database)


def test_what_is_given_up_with_a_lost_worker_is_counted_and_what_is_tried_again(database: Database) -> None:
    plan(database, post(1), post(2, is_repeatable=False), post(3), call(3, step=1, is_repeatable=False))
    actions.begin(database, [actions.Begin(claimed=one) for one in claim(database) if numbers([one]) != [3]])
    let_lapse(database)
    found: Endings = Counter()
    assert actions.take_up_lost(database, count=found.update) == 3
    assert told_by(database, found) == {("actions_again", POST): 1, ("actions_dead", POST): 1}


def test_the_failure_that_a_consumer_tells_is_counted_once(database: Database) -> None:
    plan(database, post(1))
    make(database, claim(database)[0])
    for _ in range(2):
        actions.record_result(database, rows(database)[0]["id"], "failed", detail="no speech", now=now_ms())
    assert counted(database) == {("actions_dead", POST): 1}


def test_what_was_not_made_in_time_is_counted(database: Database) -> None:
    plan(database, call(1, expires_at=now_ms() - 1), post(1, step=1), call(2, lane="b", expires_at=now_ms() + HOUR))
    found: Endings = Counter()
    assert numbers(claim(database, count=found.update)) == [2]
    assert told_by(database, found) == {
        ("actions_cancelled", UPDATE): 1,
        ("actions_expired", UPDATE): 1,
        ("actions_cancelled", POST): 1,
    }


def test_what_is_refused_superseded_or_ends_with_its_run_is_counted(database: Database) -> None:
    bound = Bound(scope="rule", most=3, within_ms=HOUR)
    plan(database, call(0, lane="b", task="tsk_2"))
    with database.write() as connection:
        some = [call(number, covers=UPDATE, bounds=(bound,)) for number in range(1, 4)]
        actions.plan(connection, some, now=now_ms(), covers=lambda *_: True, over={"tsk_2": "its run is over"})
        actions.plan(connection, [call(9, lane=None, mode="shadow", refused="it can't be")], now=now_ms())
    assert noted(connection) == {
        (UPDATE, "refused"): 1,
        (UPDATE, "superseded"): 1,
        (UPDATE, "cancelled"): 1,
    }


def test_what_is_cancelled_by_hand_is_counted(database: Database) -> None:
    plan(database, post(1), call(1, step=1))
    actions.cancel(database, rows(database)[0]["id"], now=now_ms())
    assert counted(database) == {("actions_cancelled", POST): 1, ("actions_cancelled", UPDATE): 1}


def test_the_steps_that_end_with_a_call_are_counted_by_whoever_settles_it(database: Database) -> None:
    plan(database, post(1), call(1, step=1))
    found: Endings = Counter()
    make(database, claim(database)[0], GIVE_UP, count=found.update)
    assert found == {(UPDATE, "cancelled"): 1}


def test_nothing_is_counted_of_a_transaction_that_failed(database: Database) -> None:
    plan(database, post(1))

    class Torn(Exception):
        pass

    found: Endings = Counter()

    def tear(_connection: object) -> int:
        raise Torn

    with pytest.raises(Torn):
        actions.take_up_lost(database, clock=tear, count=found.update)
    assert not found


def test_a_dispatcher_counts_all_ends_that_it_sees(database: Database) -> None:
    plan(database, post(1), call(1, step=1), call(2, expires_at=now_ms() - 1))

    def perform(_claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start("POST /")
        return Performed(outcome=GIVE_UP)

    with at_work(database, perform):
        wait_until(lambda: sorted(states(database)) == ["cancelled", "cancelled", "dead"], what="the ends")
    assert counted(database) == {
        ("actions_sent", POST): 1,
        ("actions_dead", POST): 1,
        ("actions_cancelled", UPDATE): 2,
        ("actions_expired", UPDATE): 1,
    }
