"""The dispatcher: nobody waits for another's dead counterpart, stops take hold, ends are clean, errors are outcomes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from dispatching import at_work, do, in_hand
from planning import DONE, attempts, call, emptied, opened, plan, post, rows, states
from program import wait_until
from sqlalchemy import select

from handlers import actions, tables
from handlers.actions import Performed, dispatch
from handlers.clock import now_ms
from handlers.errors import DatabaseAway, SettingsError, WrongRequest
from handlers.meters import Meters
from handlers.operation import Outcome
from handlers.retries import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handlers.actions import Claimed
    from handlers.database import Database

LIMITED = {"quota": "main", "api": "UpdateSegment", "limit": 150.0}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("dispatch")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, empty."""
    return emptied(engine)


def test_a_dead_destination_delays_no_vendors_call_and_no_other_destination(database: Database) -> None:
    dead = threading.Event()
    under_way = threading.Semaphore(0)

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start(f"POST {claimed.id}")
        if claimed.destination == "dead":
            under_way.release()
            dead.wait(60)
        return Performed(outcome=DONE)

    plan(database, *(post(number, destination="dead") for number in range(100)))
    with at_work(database, perform, threads=16):
        for _ in range(4):
            assert under_way.acquire(timeout=20)
        plan(database, *(call(number, **LIMITED) for number in range(200, 230)))
        plan(database, *(post(number, destination="well") for number in range(300, 330)))
        wait_until(lambda: states(database).count("done") == 60, what="all calls of the others")
        assert {row["destination"] for row in rows(database) if row["state"] == "done"} == {None, "well"}
        dead.set()


def test_several_dead_destinations_leave_room_for_one_that_lives(database: Database) -> None:
    dead = threading.Event()

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start(f"POST {claimed.id}")
        if claimed.destination != "well":
            dead.wait(60)
        return Performed(outcome=DONE)

    plan(database, *(post(number, destination=f"dead {number % 4}") for number in range(200)))
    with at_work(database, perform, threads=64):
        wait_until(lambda: states(database).count("running") >= 25, what="calls to the dead")
        plan(database, *(post(number, destination="well") for number in range(300, 340)))
        wait_until(lambda: states(database).count("done") == 40, what="all calls to the one that lives")
        dead.set()


@pytest.mark.parametrize(
    "dead_ones",
    [
        [{"destination": f"dead {number}"} for number in range(20)],
        [{"destination": None, "quota": f"dead {number}", "api": "UpdateSegment"} for number in range(3)],
    ],
    ids=["destinations", "accounts"],
)
def test_a_wide_outage_leaves_room_for_a_vendors_calls(database: Database, dead_ones: list[dict[str, Any]]) -> None:
    dead = threading.Event()

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start(f"POST {claimed.id}")
        if claimed.quota != "main":
            dead.wait(60)
        return Performed(outcome=DONE)

    for _ in range(8):
        first = len(rows(database))
        planned = (post(first + number, **dead_ones[number % len(dead_ones)]) for number in range(40))
        plan(database, *planned)
    with at_work(database, perform):
        wait_until(lambda: is_steady(database), what="as many calls to the dead as there may be")
        plan(database, *(call(number, lane=None, **LIMITED) for number in range(400, 430)))
        wait_until(lambda: states(database)[-30:] == ["done"] * 30, what="all calls of the one that lives")
        busy = states(database).count("running")
        dead.set()
    assert busy < 128


def is_steady(database: Database) -> bool:
    """Tell whether no further call begins for a while."""
    before = states(database).count("running")
    time.sleep(0.3)
    return 0 < before == states(database).count("running")


def test_a_stop_takes_hold_within_a_second_and_go_goes_on(database: Database) -> None:
    plan(database, *(call(number, lane=None, **LIMITED | {"limit": 50.0}) for number in range(150)))
    with at_work(database, do):
        wait_until(lambda: states(database).count("done") > 5, what="the first calls")
        actions.stop(database, "operation", "volcengine.update_segment", now=now_ms())
        time.sleep(1)
        before = states(database)
        time.sleep(0.5)
        assert states(database) == before
        assert before.count("planned") > 20
        actions.go(database, "operation", "volcengine.update_segment")
        wait_until(lambda: set(states(database)) == {"done"}, what="the rest")


def test_the_end_waits_for_calls_under_way_and_gives_back_the_rest(database: Database) -> None:
    began = threading.Event()
    plan(database, *(call(number, lane=None, **LIMITED | {"limit": 2.0}) for number in range(5)))

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start(f"POST {claimed.id}")
        began.set()
        time.sleep(0.3)
        return Performed(outcome=DONE)

    with at_work(database, perform):
        assert began.wait(20)
    assert set(states(database)) == {"done", "planned"}
    assert {row["stage"] for row in rows(database)} == {"over", "ready"}


def test_what_is_longer_under_way_than_the_end_waits_for_is_left_to_its_lease(database: Database) -> None:
    began, over = threading.Event(), threading.Event()

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start(f"POST {claimed.id}")
        began.set()
        over.wait(30)
        return Performed(outcome=DONE)

    plan(database, call(1))
    with at_work(database, perform, patience=0.2):
        assert began.wait(20)
    assert states(database) == ["running"]
    over.set()
    wait_until(lambda: states(database) == ["done"], what="the late answer, within the lease")


def test_the_lease_of_a_long_call_is_renewed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_RENEW_EVERY", 0.05)
    over = threading.Event()

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start(f"POST {claimed.id}")
        over.wait(30)
        return Performed(outcome=DONE)

    plan(database, call(1))
    with at_work(database, perform):
        wait_until(lambda: states(database) == ["running"], what="the call")
        first = rows(database)[0]["lease_until"]
        wait_until(lambda: rows(database)[0]["lease_until"] > first, what="a later end of the lease")
        over.set()


def test_after_too_fast_no_call_of_the_api_is_made_until_it_may_be(database: Database) -> None:
    made: list[float] = []

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start(f"POST {claimed.id}")
        made.append(time.monotonic())
        too_fast = Outcome(verdict="again", code="FlowLimitExceeded", is_throttled=True, after_ms=700)
        return Performed(outcome=too_fast if len(made) == 1 else DONE)

    plan(database, *(call(number, lane=None, **LIMITED | {"limit": 20.0}) for number in range(5)))
    with at_work(database, perform):
        wait_until(lambda: set(states(database)) == {"done"}, what="all calls")
    # One that waited for its slot already may still have gone out at the same moment; nothing between.
    assert not [at for at in made if 0.1 < at - made[0] < 0.65]
    assert len(made) == 6


@pytest.mark.parametrize("after_ms", [700, 600_000])
def test_after_too_fast_calls_in_hand_without_a_limit_wait_or_are_put_back(database: Database, after_ms: int) -> None:
    made: list[float] = []

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        if claimed.subject != "seg_0":  # in hand already, and ready to be sent, when the word comes
            wait_until(lambda: states(database)[0] == "again", what="too fast")
        start(f"POST {claimed.id}")
        made.append(time.monotonic())
        too_fast = Outcome(verdict="again", is_throttled=True, after_ms=after_ms)
        return Performed(outcome=too_fast if claimed.subject == "seg_0" and len(made) == 1 else DONE)

    plan(database, *(post(number, schedule=Schedule(delays_ms=(0,), within_ms=3_600_000)) for number in range(5)))
    with at_work(database, perform):
        over = ["done"] * 5 if after_ms == 700 else ["again", *["planned"] * 4]
        wait_until(lambda: states(database) == over and not in_hand(database), what="all calls")
    assert len(made) == (6 if after_ms == 700 else 1)
    assert not [at for at in made[1:] if at - made[0] < after_ms / 1000 - 0.05]
    if after_ms != 700:
        first, *others = rows(database)
        for row in others:
            assert (row["tries"], row["attempts"], row["first_at"], row["is_begun"]) == (0, 0, None, False)
            assert attempts(database, row["id"]) == []
            assert abs(row["due_at"] - first["due_at"]) < 60_000, "it is due when the other side takes calls again"


def test_what_performing_raises_is_an_outcome(database: Database) -> None:
    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        kind = claimed.parameters["kind"]
        if kind == "wrong":
            raise WrongRequest({"Duration": "is 0; expected 1 to 600"})
        if kind == "setting":
            raise SettingsError(["[accounts.classroom]: access_key_id: is not set"])
        start(f"POST {claimed.id}")
        raise ZeroDivisionError("a bug of ours")

    schedule = Schedule(delays_ms=(600_000,), within_ms=3_600_000)
    for number, kind in enumerate(("wrong", "setting", "bug", "harmful bug")):
        plan(
            database,
            call(
                number,
                lane=None,
                parameters={"kind": kind},
                schedule=schedule,
                is_repeatable=kind != "harmful bug",
            ),
        )
    with at_work(database, perform):
        wait_until(lambda: {row["attempts"] for row in rows(database)} == {1}, what="all calls")
        wait_until(lambda: not {"planned", "running"}.intersection(states(database)), what="all outcomes")
    assert states(database) == ["dead", "again", "again", "dead"]
    details = [attempts(database, row["id"])[0]["detail"] for row in rows(database)]
    assert details == [
        "WrongRequest: Duration: is 0; expected 1 to 600",
        "SettingsError: [accounts.classroom]: access_key_id: is not set",
        "ZeroDivisionError: a bug of ours",
        "ZeroDivisionError: a bug of ours",
    ]


def test_no_transaction_is_open_during_a_call(database: Database) -> None:
    free, told = threading.Event(), threading.Event()
    pool: Any = database.engine.pool

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start(f"POST {claimed.id}")
        until = time.monotonic() + 5
        # The loop looks for work now and then; a connection that this call holds would never come back.
        while time.monotonic() < until and not free.is_set():
            if pool.checkedout() == 0:
                free.set()
        told.set()
        return Performed(outcome=DONE)

    plan(database, call(1))
    with at_work(database, perform):
        assert told.wait(20)
    assert free.is_set()


def test_a_database_that_goes_away_under_a_call_leaves_its_outcome_unclear(database: Database) -> None:
    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start(f"POST {claimed.id}")
        raise DatabaseAway("it was asked for a file's place")

    plan(database, call(1, is_repeatable=False))
    with at_work(database, perform):
        wait_until(lambda: states(database) == ["dead"], what="the outcome")


def test_a_backlog_that_is_too_late_ends_without_a_rest(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(database, *(call(number, lane="a", expires_at=now_ms() - 1, **LIMITED) for number in range(9)))
    with monkeypatch.context() as patched:
        patched.setattr(dispatch, "_REST", 3_600.0)
        patched.setattr(dispatch, "_REST_AT_WORK", 3_600.0)
        with at_work(database, do) as dispatcher:
            wait_until(lambda: states(database) == ["cancelled"] * 9, what="the end of all")
            patched.undo()
            dispatcher._wake.set()


def test_no_call_waits_for_the_figures_to_be_written_down(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    in_hand, writing, sent = threading.Event(), threading.Event(), threading.Event()
    told: list[bool] = []

    def flush(*_: object, **__: object) -> None:
        if in_hand.is_set() and not told:
            writing.set()
            told.append(sent.wait(10))

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        in_hand.set()
        assert writing.wait(20)
        start(f"POST {claimed.id}")
        sent.set()
        return Performed(outcome=DONE)

    monkeypatch.setattr(Meters, "flush", flush)
    monkeypatch.setattr(dispatch, "_TAKE_UP_EVERY", 0.0)
    plan(database, call(1))
    with at_work(database, perform):
        wait_until(lambda: states(database) == ["done"], what="the call")
    assert told == [True]


def test_what_was_sent_and_what_became_of_it_is_counted(database: Database) -> None:
    plan(database, call(1), post(2))
    with at_work(database, do):
        wait_until(lambda: states(database) == ["done", "done"], what="the calls")
    with database.read() as connection:
        found = {(row.name, row.label): row.value for row in connection.execute(select(tables.meters))}
    assert found == {
        ("actions_sent", "volcengine.update_segment"): 1,
        ("actions_sent", "http.post"): 1,
        ("actions_done", "volcengine.update_segment"): 1,
        ("actions_done", "http.post"): 1,
    }
