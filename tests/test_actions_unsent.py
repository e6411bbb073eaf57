"""What was claimed and not sent: put back as it was, or made by whoever holds it now; never made twice."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from dispatching import Clock, at_work, do, in_hand
from planning import DONE, attempts, call, emptied, let_lapse, make_due, opened, plan, post, rows, states
from program import wait_until

from handlers import actions, tables
from handlers.actions import Performed, dispatch, unsent
from handlers.actions.in_hand import InHand
from handlers.actions.slots import SlotClock
from handlers.errors import DatabaseAway
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


def test_what_waited_for_the_other_side_keeps_its_only_try(database: Database) -> None:
    made: list[str] = []

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        if claimed.subject != "seg_0":
            wait_until(lambda: states(database)[0] == "dead", what="too fast")
        start(f"POST {claimed.id}")
        made.append(claimed.subject)
        too_fast = Outcome(verdict="again", is_throttled=True, after_ms=20_000)
        return Performed(outcome=too_fast if claimed.subject == "seg_0" else DONE)

    plan(database, *(post(number, schedule=Schedule(delays_ms=(0,), tries=1)) for number in range(3)))
    with at_work(database, perform):
        wait_until(lambda: states(database)[0] == "dead" and not in_hand(database), what="too fast")
        assert states(database) == ["dead", "planned", "planned"]
        with database.write() as connection:
            connection.execute(tables.quotas.delete())
            connection.execute(tables.actions.update().values(due_at=0))
    with at_work(database, do):
        wait_until(lambda: states(database) == ["dead", "done", "done"], what="the calls, later")
    assert made == ["seg_0"]


@pytest.mark.parametrize("limits", [LIMITED, {}], ids=["below a limit", "without one"])
def test_who_lost_an_action_between_its_begin_and_its_slot_sends_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any]
) -> None:
    """As a worker does that is frozen there, and goes on after another has taken the action."""
    sent: list[str] = []
    taken_over = threading.Event()
    wait = SlotClock.wait

    def freeze(slots: SlotClock, claimed: Claimed) -> int:
        let_lapse(database)
        actions.take_up_lost(database, chance=lambda: 0.0)
        make_due(database)
        (other,) = actions.claim(database, "wrk_other", 1)
        assert actions.begin(database, [actions.Begin(claimed=other)]) == [True]
        taken_over.set()
        time.sleep(0.05)  # its slot is over, too
        clock.now += 60
        return wait(slots, claimed)

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start(f"POST {claimed.id}")
        sent.append(claimed.holder)
        return Performed(outcome=DONE)

    clock = Clock()
    monkeypatch.setattr(SlotClock, "wait", freeze)
    monkeypatch.setattr(dispatch, "InHand", lambda threads: InHand(threads, clock=clock))
    monkeypatch.setattr(dispatch, "_TAKE_UP_EVERY", 600.0)
    plan(database, call(1, **limits))
    with at_work(database, perform):
        assert taken_over.wait(20)
    assert sent == []
    assert [(row["state"], row["holder"]) for row in rows(database)] == [("running", "wrk_other")]


def test_a_worker_that_slept_past_its_lease_sends_nothing_and_puts_its_action_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept, sent = threading.Event(), []
    wait = SlotClock.wait

    def sleep(slots: SlotClock, claimed: Claimed) -> int:
        missed = wait(slots, claimed)
        if not slept.is_set():
            slept.set()
            clock.now += 31
        return missed

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        start(f"POST {claimed.id}")
        sent.append(claimed.token)
        return Performed(outcome=DONE)

    clock = Clock()
    monkeypatch.setattr(SlotClock, "wait", sleep)
    monkeypatch.setattr(dispatch, "InHand", lambda threads: InHand(threads, clock=clock))
    plan(database, call(1, is_repeatable=False))
    with at_work(database, perform):
        wait_until(lambda: states(database) == ["done"], what="the call, by its second holder")
    (row,) = rows(database)
    assert sent == [2]
    assert [one["number"] for one in attempts(database, row["id"])] == [1]


@pytest.mark.parametrize("when", ["before it begins", "while it begins", "after it began"])
def test_a_database_that_goes_away_before_a_call_leaves_nothing_unclear(
    database: Database, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    gone = threading.Event()
    begin, wait = actions.begin, SlotClock.wait

    def go_once(moment: str) -> None:
        if when == moment and not gone.is_set():
            gone.set()
            raise DatabaseAway

    def begin_perhaps(*args: Any, **more: Any) -> Any:
        told = begin(*args, **more)
        go_once("while it begins")
        return told

    def wait_perhaps(slots: SlotClock, claimed: Claimed) -> int:
        go_once("after it began")
        return wait(slots, claimed)

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        go_once("before it begins")
        return do(claimed, start)

    monkeypatch.setattr(dispatch, "begin", begin_perhaps)
    monkeypatch.setattr(SlotClock, "wait", wait_perhaps)
    plan(database, call(1, is_repeatable=False, schedule=Schedule(delays_ms=(0,), tries=1)))
    with at_work(database, perform):
        wait_until(lambda: states(database) == ["done"], what="the call")
    (row,) = rows(database)
    assert (row["attempts"], len(attempts(database, row["id"]))) == (1, 1)
    assert gone.is_set()


def test_what_is_in_hand_again_before_its_former_thread_lets_go_is_made_and_settled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, let_go = threading.Event(), threading.Event()
    leave = InHand.let_go

    def put_back_slowly(*args: Any, **more: Any) -> int:
        number = unsent.put_back(*args, **more)
        assert again.wait(20)
        return number

    def note(hand: InHand, claimed: Claimed) -> None:
        leave(hand, claimed)
        let_go.set()

    def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
        if claimed.token == 1:
            raise DatabaseAway
        again.set()
        assert let_go.wait(20)
        return do(claimed, start)

    monkeypatch.setattr(dispatch, "put_back", put_back_slowly)
    monkeypatch.setattr(InHand, "let_go", note)
    plan(database, call(1, is_repeatable=False))
    with at_work(database, perform):
        wait_until(lambda: states(database) == ["done"], what="the call")


def test_calls_for_which_no_thread_can_be_started_are_put_back_and_made_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    start_thread = threading.Thread.start

    def start_perhaps(thread: threading.Thread) -> None:
        if thread.name == "sender":
            started.append(thread.name)
            if len(started) == 2:
                raise RuntimeError("can't start new thread")
        start_thread(thread)

    monkeypatch.setattr(threading.Thread, "start", start_perhaps)
    plan(database, *(post(number, destination=f"{number}") for number in range(6)))
    with at_work(database, do) as dispatcher:
        wait_until(lambda: states(database) == ["done"] * 6, what="all calls")
        wait_until(lambda: not len(dispatcher._hand), what="nothing in hand")
    assert [row["token"] for row in rows(database)] == [1, 2, 2, 2, 2, 2]
