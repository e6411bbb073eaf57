"""Names that calls give, and how tasks were started: what came to nothing gave nothing, and started nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from planning import (
    AGAIN,
    DONE,
    GIVE_UP,
    UNCLEAR,
    call,
    claim,
    emptied,
    make,
    make_due,
    none_over,
    opened,
    plan,
    post,
    retry_some,
    rows,
    states,
)

from handlers import actions
from handlers.actions import Named
from handlers.clock import now_ms
from handlers.errors import WrongRequest
from handlers.events import TaskKey
from handlers.operation import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handlers.actions import Planned
    from handlers.database import Database

TASK = TaskKey(vendor="volcengine", app_id="app", room_id="room", type="segment", task_id="task")
OTHER = {"lane": "volcengine/app/room/other", "task": "tsk_2"}
EXISTED = Outcome(verdict="done", code="TaskExisted", detail="the task runs already")
UNCLEAR_END = Outcome(verdict="give_up", code="Odd", detail="nobody knows", is_unclear=True)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("names")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, empty: each test needs but a few rows."""
    return emptied(engine)


def named(number: int, value: str = "lesson", **changed: Any) -> Planned:
    """Return a call that gives its task's files a name."""
    return call(number, **{"named": Named(kind="volcengine.Identifier", value=value, task=TASK)} | changed)


def start(number: int, mode: int, **changed: Any) -> Planned:
    """Return a call that starts the task, in one of two ways."""
    return call(number, **{"starts": True, "needs_run": False, "parameters": {"MixMode": mode}} | changed)


def unfit(started: Mapping[str, Any]) -> str | None:
    """Refuse to update a task that was started in the one way."""
    return None if started["MixMode"] else "the task was started with MixMode 0"


def cancel(database: Database, number: int) -> None:
    """Cancel the action that was planned as the n-th."""
    actions.cancel(database, rows(database)[number]["id"], now=now_ms())


def retry(database: Database, number: int) -> None:
    """Retry the action that was planned as the n-th."""
    actions.retry(database, rows(database)[number]["id"], over=none_over, now=now_ms())


def end(database: Database, outcome: Outcome) -> None:
    """Make the only call that can be made, with this outcome."""
    (claimed,) = claim(database)
    make(database, claimed, outcome)


def can_be_updated(database: Database, number: int) -> bool:
    """Tell whether an update of the task is let through."""
    plan(database, call(number, precondition=unfit, mode="shadow"))
    return states(database)[-1] == "shadow"


def test_a_start_that_was_never_sent_does_not_tell_how_the_task_was_started(database: Database) -> None:
    plan(database, start(1, 0))
    assert not can_be_updated(database, 2), "it is still ahead"
    cancel(database, 0)
    assert can_be_updated(database, 3)
    plan(database, start(4, 1))
    end(database, DONE)
    assert can_be_updated(database, 5)


def test_a_start_that_the_vendor_refused_does_not_tell_how_the_task_was_started(database: Database) -> None:
    plan(database, start(1, 0))
    end(database, GIVE_UP)
    assert can_be_updated(database, 2)


def test_the_newest_start_tells_how_the_task_was_started(database: Database) -> None:
    for number, mode in enumerate((1, 0, 1)):
        plan(database, start(number, mode))
        end(database, DONE)
        assert can_be_updated(database, 10 + number) == bool(mode)
    plan(database, start(4, 0), call(5, precondition=unfit), start(6, 1), call(7, precondition=unfit))
    assert states(database)[-4:] == ["planned", "refused", "planned", "planned"]


def test_a_start_that_found_the_task_running_leaves_it_as_it_was_started(database: Database) -> None:
    plan(database, start(1, 0))
    end(database, EXISTED)
    assert can_be_updated(database, 2), "somebody else started it, nobody knows how"
    plan(database, start(3, 1))
    end(database, DONE)
    plan(database, start(4, 0))
    end(database, EXISTED)
    assert can_be_updated(database, 5)


def test_a_start_of_which_nobody_knows_what_became_leaves_open_how_the_task_runs(database: Database) -> None:
    plan(database, start(1, 0))
    end(database, DONE)
    plan(database, start(2, 1))
    end(database, UNCLEAR_END)
    assert can_be_updated(database, 3)


def test_a_start_that_is_retried_counts_again(database: Database) -> None:
    plan(database, start(1, 0))
    cancel(database, 0)
    retry(database, 0)
    assert not can_be_updated(database, 2)


def test_a_start_that_is_rerun_counts_as_the_newest(database: Database) -> None:
    plan(database, start(1, 0))
    end(database, GIVE_UP)
    actions.rerun(database, [rows(database)[0]["id"]], over=none_over, now=now_ms())
    end(database, DONE)
    assert not can_be_updated(database, 2)


def test_a_name_is_free_again_once_the_call_that_would_have_given_it_ended_unsent(database: Database) -> None:
    plan(database, named(1))
    plan(database, named(2, **OTHER))
    assert states(database) == ["planned", "refused"], "it is still ahead"
    cancel(database, 0)
    plan(database, named(3, **OTHER))
    assert states(database) == ["cancelled", "refused", "planned"]
    plan(database, named(4))
    assert states(database)[-1] == "refused"


def test_a_superseded_call_gives_no_name_and_the_one_that_came_instead_gives_its_own(database: Database) -> None:
    plan(database, named(1, covers="x"))
    plan(database, named(2, "another", covers="x"), covers=lambda *_: True)
    plan(database, named(3, **OTHER), named(4, "another", **OTHER))
    assert states(database) == ["superseded", "planned", "planned", "refused"]


@pytest.mark.parametrize(
    ("outcome", "is_free"), [(GIVE_UP, True), (UNCLEAR_END, False), (DONE, False)], ids=["refused", "unclear", "done"]
)
def test_a_name_is_free_again_where_the_call_clearly_failed(
    database: Database, outcome: Outcome, *, is_free: bool
) -> None:
    plan(database, named(1))
    end(database, outcome)
    plan(database, named(2, **OTHER))
    assert states(database)[-1] == ("planned" if is_free else "refused")


@pytest.mark.parametrize(("outcome", "is_free"), [(AGAIN, True), (UNCLEAR, False)], ids=["clear", "unclear"])
def test_of_a_cancelled_call_each_try_counts(database: Database, outcome: Outcome, *, is_free: bool) -> None:
    plan(database, named(1))
    end(database, outcome)
    make_due(database)
    cancel(database, 0)
    plan(database, named(2, **OTHER))
    assert states(database) == ["cancelled", "planned" if is_free else "refused"]


def test_a_call_that_began_and_never_ended_may_have_given_its_name(database: Database) -> None:
    plan(database, named(1))
    (claimed,) = claim(database)
    assert actions.begin(database, [actions.Begin(claimed=claimed)]) == [True]
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE actions SET state = 'dead', stage = 'over', is_head = false")
    plan(database, named(2, **OTHER))
    assert states(database)[-1] == "refused"


def test_a_name_stays_with_its_task_while_another_call_of_it_gives_it(database: Database) -> None:
    plan(database, named(1))
    plan(database, named(2))
    cancel(database, 0)
    plan(database, named(3, **OTHER))
    assert states(database) == ["cancelled", "planned", "refused"]
    end(database, DONE)
    plan(database, named(4))
    cancel(database, 3)
    plan(database, named(5, **OTHER))
    assert states(database)[3:] == ["cancelled", "refused"]


def test_a_call_is_not_retried_under_a_name_that_another_task_got_meanwhile(database: Database) -> None:
    plan(database, named(1), post(2), named(2, step=1))
    cancel(database, 1)
    cancel(database, 0)
    plan(database, named(3, **OTHER))
    for number in (0, 1):
        with pytest.raises(WrongRequest, match="Identifier 'lesson' belongs to volcengine/app/room/other"):
            retry(database, number)
    ids = [row["id"] for row in rows(database)]
    assert retry_some(database, ids, now=now_ms()) == 0
    cancel(database, 3)
    assert retry_some(database, ids[:2], now=now_ms()) == 2


def test_a_call_is_not_rerun_under_a_name_that_another_task_got_meanwhile(database: Database) -> None:
    plan(database, named(1))
    end(database, GIVE_UP)
    plan(database, named(2, **OTHER))
    actions.rerun(database, [rows(database)[0]["id"]], over=none_over, now=now_ms())
    assert states(database) == ["dead", "planned", "refused"]


def test_a_name_that_was_given_back_goes_to_one_of_those_who_want_it_at_once(database: Database) -> None:
    for number in range(5):
        value = f"lesson-{number}"
        plan(database, named(number, value, rule=f"r{number}"))
        cancel(database, len(rows(database)) - 1)
        first = rows(database)[-1]["id"]
        together = threading.Barrier(3)

        def want(task: str, number: int = number, value: str = value, together: threading.Barrier = together) -> None:
            together.wait()
            plan(
                database, named(number, value, rule=f"r{number}-{task}", lane=f"volcengine/app/room/{task}", task=task)
            )

        def again(action: str = first, together: threading.Barrier = together) -> None:
            together.wait()
            with suppress(WrongRequest):
                actions.retry(database, action, over=none_over, now=now_ms())

        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(want, "a"), pool.submit(want, "b"), pool.submit(again)]:
                done.result()
        assert states(database)[-3:].count("planned") == 1
