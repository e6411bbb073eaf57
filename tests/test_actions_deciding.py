"""What once-keys, limits and names let through: only what is really planned counts, whoever plans at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from planning import call, emptied, opened, plan, post, rows, states
from sqlalchemy import event, insert, select

from handlers import actions, tables
from handlers.actions import Bound, Named, Once
from handlers.clock import now_ms
from handlers.events import TaskKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handlers.actions import Planned
    from handlers.database import Database

KEY = Once(key="room")
OVER = {"tsk_1": "its run ended"}
TASK = TaskKey(vendor="volcengine", app_id="app", room_id="room", type="segment", task_id="task")
HOUR = 3_600_000


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("deciding")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, empty: each test needs but a few rows."""
    return emptied(engine)


def named(number: int, value: str = "lesson", **changed: Any) -> Planned:
    """Return a call that gives its task's files a name."""
    return call(number, **{"named": Named(kind="volcengine.Identifier", value=value, task=TASK)} | changed)


def bear(database: Database, identifier: str, **changed: Any) -> None:
    """Let the slices of a task bear a name."""
    row = {"vendor": "volcengine", "app_id": "app", "room_id": "room", "type": "segment", "task_id": "task"}
    row |= {"identifier": identifier, "task": "tsk_1", "account": "classroom"}
    span = {"first_at": 1, "last_at": 1, "segment_count": 1}
    with database.write() as connection:
        connection.execute(insert(tables.identifiers).values(row | span | changed))


def test_a_refused_call_uses_up_no_once_key(database: Database) -> None:
    plan(database, call(1, once=KEY, refused="Duration: is 900; expected 1 to 600"), post(1, once=KEY, step=1))
    plan(database, call(2, once=KEY, refused="Duration: is 901; expected 1 to 600"), call(3, once=KEY))
    plan(database, call(4, once=KEY), call(5, once=KEY, refused="Duration: is 902; expected 1 to 600"))
    assert [(row["subject"], row["state"]) for row in rows(database)] == [
        ("seg_1", "refused"),
        ("seg_1", "cancelled"),
        ("seg_2", "refused"),
        ("seg_3", "planned"),
    ]


def test_a_call_whose_run_is_over_when_it_is_planned_uses_up_no_once_key(database: Database) -> None:
    late = Once(key="room", expires_at=now_ms() + 12 * HOUR)
    plan(database, call(1, once=late), post(1, once=late, step=1), over=OVER)
    plan(database, call(2, once=late, task="tsk_2"))
    assert states(database) == ["cancelled", "cancelled", "planned"]
    assert rows(database)[0]["reason"] == "its run ended"


def test_a_call_that_is_stopped_by_a_limit_or_for_its_name_uses_up_no_once_key(database: Database) -> None:
    bounds = (Bound(scope="rule", most=1, within_ms=HOUR),)
    plan(database, call(1, bounds=bounds), call(2, bounds=bounds, once=KEY))
    plan(database, named(3, lane="volcengine/app/other/task", rule="another"), named(4, once=KEY))
    assert states(database) == ["planned", "refused", "planned", "refused"]
    plan(database, call(5, once=KEY))
    assert states(database)[-1] == "planned"


def test_the_first_step_decides_for_its_once_key(database: Database) -> None:
    plan(database, post(1, once=KEY), call(1, once=KEY, step=1), post(1, once=KEY, step=2), over=OVER)
    plan(database, post(2, once=KEY))
    assert [(row["subject"], row["state"]) for row in rows(database)] == [
        ("seg_1", "planned"),
        ("seg_1", "cancelled"),
        ("seg_1", "cancelled"),
    ]


def test_what_is_refused_or_cancelled_uses_up_no_limit_and_no_name(database: Database) -> None:
    bounds = (Bound(scope="rule", most=1, within_ms=HOUR),)
    plan(database, named(1, bounds=bounds), over=OVER)
    plan(database, named(2, bounds=bounds, refused="it can't be made"))
    other = {"lane": "volcengine/app/other/task", "task": "tsk_2"}
    plan(database, named(3, bounds=bounds, **other), named(4, "another", bounds=bounds))
    assert states(database) == ["cancelled", "refused", "planned", "refused"]
    assert rows(database)[3]["reason"] == "the rule's limit of 1 in 3600 s is reached"


def test_a_limit_for_one_task_counts_by_the_tasks_words_where_it_has_no_row_yet(database: Database) -> None:
    bounds = (Bound(scope="task", most=1, within_ms=HOUR),)
    some = {"task": None, "bounds": bounds}
    plan(database, call(1, bound_key="a", **some), call(2, bound_key="b", **some), call(3, bound_key="a", **some))
    plan(database, call(4, bound_key="b", **some), call(5, bound_key="c", **some))
    assert states(database) == ["planned", "planned", "refused", "refused", "planned"]
    plan(database, call(6, **some), call(7, **some))
    assert states(database)[5:] == ["planned", "planned"], "of what is about no task nothing is counted for one"


def test_another_run_of_a_task_gets_no_name_that_an_earlier_one_has(database: Database) -> None:
    plan(database, named(1), named(2))
    plan(database, named(3), named(4, task="tsk_2"), named(5, "another", task="tsk_2"))
    assert states(database) == ["planned", "planned", "planned", "refused", "planned"]
    assert rows(database)[3]["reason"] == (
        "Identifier 'lesson' belongs to another run of volcengine/app/room/task, tsk_1;"
        " two tasks that share one overwrite each other's files: build it from the task, as in ${task.id}"
    )


def test_a_name_that_the_slices_of_another_run_bear_is_refused_and_the_runs_own_is_not(database: Database) -> None:
    bear(database, "lesson")
    bear(database, "other", room_id="elsewhere")
    plan(database, named(1), named(2, task="tsk_2"), named(3, "other"), named(4, task=None))
    assert states(database) == ["planned", "refused", "refused", "planned"]
    whose = [row["reason"].partition(" belongs to ")[2].partition(";")[0] for row in rows(database) if row["reason"]]
    assert whose == ["another run of task task in room room", "task task in room elsewhere"]


def test_a_name_of_a_run_that_was_not_known_belongs_to_the_first_that_is(database: Database) -> None:
    plan(database, named(1, task=None), named(2))
    plan(database, named(3, task="tsk_2"), named(4, task=None))
    assert states(database) == ["planned", "planned", "refused", "planned"]


def test_a_name_is_given_by_an_action_that_is_there(database: Database) -> None:
    plan(database, named(1, starts=True))
    plan(database, named(1, "another", starts=True), named(2, "third", refused="it can't be made"))
    with database.read() as connection:
        given = connection.execute(select(tables.name_givers)).mappings().all()
    assert sorted(row["name"] for row in given) == ["lesson", "volcengine/app/room/task"]
    assert {row["action"] for row in given} == {rows(database)[0]["id"]}


def test_how_a_task_was_started_counts_for_what_is_planned_with_its_start(database: Database) -> None:
    def unfit(started: Any) -> str | None:
        return f"it was started with {started['Duration']}"

    start = call(1, starts=True, parameters={"Duration": 7})
    plan(database, call(0, precondition=unfit), start, call(2, precondition=unfit))
    plan(database, call(3, precondition=unfit, mode="shadow"))
    assert [row["reason"] for row in rows(database)] == [None, None, *["it was started with 7"] * 2]


def at_once(database: Database, plans: Sequence[Sequence[Planned]]) -> None:
    """Plan in as many transactions at once."""
    together = threading.Barrier(len(plans))

    def go(some: Sequence[Planned]) -> None:
        together.wait()
        plan(database, *some)

    with ThreadPoolExecutor(len(plans)) as pool:
        list(pool.map(go, plans))


def test_plans_at_once_with_the_same_keys_and_names_in_any_order_wait_for_each_other_in_one(
    database: Database,
) -> None:
    for number in range(10):
        some = [
            named(one, word, rule=f"r{number}", once=Once(key=word), lane=word, starts=True)
            for one, word in ((one, f"{number}-{one}") for one in range(250))
        ]
        at_once(database, [some[:40], some[39::-1], some[::-1]])
        assert len(rows(database)) == 250 * (number + 1)


def test_a_limit_holds_for_plans_at_once(database: Database) -> None:
    for number in range(10):
        bounds = (Bound(scope="rule", most=3, within_ms=HOUR),)
        plans = [[post(9 * who + one, rule=f"r{number}", bounds=bounds) for one in range(3)] for who in range(4)]
        at_once(database, plans)
        assert states(database).count("planned") == 3 * (number + 1)


def test_many_calls_are_planned_in_as_few_statements_as_few(database: Database) -> None:
    """Under SQLite's write lock vendors wait: what a delivery asks for at once must not cost a look each."""
    counts = []
    for number, size in ((0, 2), (1, 40)):
        bounds = (Bound(scope="task", most=5, within_ms=HOUR), Bound(scope="rule", most=500, within_ms=HOUR))
        some = [
            named(
                one, word, rule=word, lane=word, task=word, once=Once(key=word), bounds=bounds, covers="x", starts=True
            )
            for one, word in ((one, f"{number}-{one}") for one in range(size))
        ]
        executed: list[str] = []
        with database.write() as connection:
            event.listen(connection, "before_cursor_execute", lambda *args, to=executed: to.append(args[2]))
            actions.plan(connection, some, now=now_ms(), covers=lambda *_: False)
        counts.append(len(executed))
    assert states(database) == ["planned"] * 42
    assert counts[0] == counts[1] < 20
