"""A vendor's call about a run that is over is not made again, whoever asks: the name may be another run's by now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from planning import (
    DONE,
    GIVE_UP,
    call,
    claim,
    emptied,
    know_task,
    make,
    numbers,
    opened,
    plan,
    post,
    rows,
    states,
)
from sqlalchemy import update

from handlers import actions, rerunning, tables
from handlers.catalogue.endings import over_for_good, over_now
from handlers.clock import now_ms
from handlers.errors import WrongRequest
from handlers.questions.filters import Filters

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sqlalchemy import Connection

    from handlers.database import Database
    from handlers.operation import Outcome

MINUTE = 60_000


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("over")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, without actions and tasks."""
    with engine.write() as connection:
        connection.execute(tables.tasks.delete())
    return emptied(engine)


def stand(database: Database, **changed: Any) -> None:
    """Let the only task of the catalogue stand in another way."""
    with database.write() as connection:
        connection.execute(update(tables.tasks).values(**changed))


def tried(database: Database, outcome: Outcome = GIVE_UP) -> list[str]:
    """Have a vendor's call and a hand-over made, one after the other, while the run goes on; return their ids."""
    know_task(database)
    plan(database, call(1), post(2))
    for one in claim(database):
        make(database, one, outcome)
    return [row["id"] for row in rows(database)]


def retried(database: Database, action: str) -> None:
    actions.retry(database, action, over=over_for_good, now=now_ms())


# --- which runs are over ---


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"state": "running"}, None),
        ({"state": "unknown"}, None),
        ({"state": "stopped"}, "its task has stopped"),
        ({"state": "failed"}, "its task has failed"),
        ({"id": "tsk_2"}, "the catalogue does not know its run any more"),
    ],
)
def test_a_run_is_over_by_the_word_of_the_catalogue(
    database: Database, task: Mapping[str, Any], why: str | None
) -> None:
    know_task(database, **task)
    with database.write() as connection:
        assert over_for_good(connection, ["tsk_1"]) == ({} if why is None else {"tsk_1": why})


def test_a_run_is_over_once_the_next_of_its_name_has_begun(database: Database) -> None:
    know_task(database)
    know_task(database, id="tsk_2", run=2)
    know_task(database, id="tsk_3", task_id="another")
    with database.read() as connection:
        assert over_now(connection, ["tsk_1", "tsk_2", "tsk_3"]) == {"tsk_1": "run 2 of its task has begun"}
        assert over_now(connection, []) == {}


# --- retry ---


def test_a_call_about_a_run_that_is_over_is_not_retried_and_says_why(database: Database) -> None:
    about_run, hand_over = tried(database)
    stand(database, state="stopped")
    with pytest.raises(WrongRequest, match=r"is over \(its task has stopped\), .* `reelhook call` makes one by hand"):
        retried(database, about_run)
    retried(database, hand_over)
    assert states(database) == ["dead", "planned"]


def test_what_was_cancelled_with_its_run_stays_so(database: Database) -> None:
    know_task(database)
    plan(database, call(1))
    stand(database, state="stopped")
    plan(database, over={"tsk_1": "its task has stopped"})
    with pytest.raises(WrongRequest, match="its task has stopped"):
        retried(database, rows(database)[0]["id"])
    assert states(database) == ["cancelled"]
    assert claim(database) == []


def test_a_run_that_goes_on_after_all_is_called_again(database: Database) -> None:
    about_run, _ = tried(database)
    retried(database, about_run)
    assert numbers(claim(database)) == [1]


def test_what_can_not_be_retried_anyway_says_that(database: Database) -> None:
    about_run, _ = tried(database, DONE)
    stand(database, state="stopped")
    with pytest.raises(WrongRequest, match="the action is done; only one that is"):
        retried(database, about_run)


def test_a_step_about_a_run_that_is_over_does_not_come_back_with_the_one_before_it(database: Database) -> None:
    know_task(database)
    plan(database, post(1), call(1, step=1), post(1, step=2))
    make(database, claim(database)[0], GIVE_UP)
    stand(database, state="stopped")
    first, second, _ = (row["id"] for row in rows(database))
    retried(database, first)
    assert [(row["state"], row["reason"]) for row in rows(database)] == [
        ("planned", None),
        ("cancelled", "its task has stopped"),
        ("cancelled", f"the step before it, {second}, was not done"),
    ]


def test_many_are_retried_without_those_about_runs_that_are_over(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.actions.choosing._CHUNK", 3)
    know_task(database)
    plan(database, *(call(number, lane=None) for number in range(7)), *(post(number) for number in range(7, 10)))
    for one in claim(database):
        make(database, one, GIVE_UP)
    stand(database, state="stopped")
    with database.read() as connection:
        seen = actions.preview_retry(connection, Filters(), over=over_now)
    assert (seen.count, seen.more, seen.left_out) == (3, False, 7)
    done = actions.retry_matching(database, Filters(), over=over_for_good, over_now=over_now, now=now_ms(), most=2)
    assert (done.count, done.more) == (2, True), "what is left out stands in nobody's way"
    done = actions.retry_matching(database, Filters(), over=over_for_good, over_now=over_now, now=now_ms(), most=2)
    assert (done.count, done.more, done.left_out) == (1, False, 7)
    assert states(database) == ["dead"] * 7 + ["planned"] * 3


def test_families_are_locked_for_what_is_retried_and_not_for_what_is_looked_at(database: Database) -> None:
    know_task(database, id="tsk_2", task_id="another", state="stopped")
    tried(database)
    plan(database, *(call(number, lane=None, task="tsk_2") for number in range(3, 6)))
    for one in claim(database):
        make(database, one, GIVE_UP)
    locked: list[str] = []

    def over(connection: Connection, tasks: Collection[str]) -> Mapping[str, str]:
        locked.extend(tasks)
        return over_for_good(connection, tasks)

    done = actions.retry_matching(database, Filters(), over=over, over_now=over_now)
    assert (done.count, done.left_out, locked) == (2, 3, ["tsk_1"])


# --- rerun ---


def rerun(database: Database, **filters: Any) -> tuple[int, int]:
    """Repeat what was done; return how many that were and how many were left out."""
    chosen = rerunning.choose(database, Filters(rule=("short-slices",), **filters))
    return rerunning.rerun(database, chosen, now=now_ms()), chosen.too_late


def test_a_rerun_leaves_out_calls_about_runs_that_are_over(database: Database) -> None:
    tried(database, DONE)
    stand(database, state="stopped")
    assert rerun(database, state=("done",)) == (1, 1)
    assert [(row["operation"], row["generation"]) for row in rows(database)[2:]] == [("http.post", 1)]
    assert numbers(claim(database)) == [2]


def test_a_rerun_leaves_out_the_steps_after_them_too(database: Database) -> None:
    know_task(database)
    plan(database, call(1), post(1, step=1), post(2))
    while taken := claim(database):
        for one in taken:
            make(database, one)
    stand(database, state="stopped")
    assert rerun(database, state=("done",)) == (1, 2)
    assert [row["subject"] for row in rows(database) if row["generation"]] == ["seg_2"]


def test_a_run_that_ends_after_the_choice_is_not_called(database: Database) -> None:
    tried(database, DONE)
    chosen = rerunning.choose(database, Filters(rule=("short-slices",), state=("done",)))
    stand(database, state="failed")
    assert (chosen.count, rerunning.rerun(database, chosen, now=now_ms())) == (2, 1)


# --- max_age ---


def expired(database: Database) -> str:
    """Plan a call with a step after it, and let both come too late; return its id."""
    know_task(database)
    plan(database, call(1, expires_at=1), post(1, step=1, expires_at=1))
    assert claim(database) == []
    assert states(database) == ["cancelled", "cancelled"]
    return str(rows(database)[0]["id"])


def test_a_retry_is_somebodys_wish_for_which_no_max_age_holds(database: Database) -> None:
    retried(database, expired(database))
    for _ in range(2):
        (taken,) = claim(database)
        make(database, taken)
    assert states(database) == ["done", "done"], "the step after it comes too"


def test_what_came_too_late_is_retried_together_only_where_somebody_names_its_state(database: Database) -> None:
    expired(database)
    assert actions.retry_matching(database, Filters(), over=over_for_good, over_now=over_now, now=now_ms()).count == 0
    chosen = Filters(state=("cancelled",), operation=("volcengine.update_segment",))
    assert actions.retry_matching(database, chosen, over=over_for_good, over_now=over_now, now=now_ms()).count == 1
    assert numbers(claim(database)) == [1]


def test_for_a_rerun_no_max_age_holds(database: Database) -> None:
    know_task(database)
    plan(database, call(1, expires_at=now_ms() + MINUTE))
    make(database, claim(database)[0])
    with database.write() as connection:
        connection.execute(update(tables.actions).values(expires_at=1))
    assert rerun(database, state=("done",)) == (1, 0)
    assert [row["expires_at"] for row in rows(database)] == [1, None]
    assert numbers(claim(database)) == [1]
