"""Promise 7 with real calls: two `reelhook work` and a vendor's API that refuses what is too fast or overlaps."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from acting import APP, configuration, environment, parameters, standins
from conftest import new_database
from planning import AT, plan, rows
from program import running, wait_until
from sqlalchemy import func, select

from handlers import actions, tables
from handlers.actions import Planned
from handlers.clock import now_ms
from handlers.database import Database
from handlers.events import TaskKey
from handlers.inbox.terms import Terms
from handlers.migrate import upgrade
from handlers.operation import complete
from handlers.rules import Retry
from handlers.settings import Settings, load
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Select

    from handlers.events import TaskType
    from standin.openapi import Call, OpenApiStandin

_PATIENCE = 180.0
#: operation -> its API, the vendor's limit, how many calls of how many tasks
_OPERATIONS = {
    "update_record": ("UpdateRecord", 60, 90, 15),
    "update_segment": ("UpdateSegment", 150, 210, 35),
}
#: operation -> what the account may use of the limit. A busy machine lets calls arrive closer to each other than they
#: were made; two workers that didn't share a limit would be above it all the same
_ROOMY = {"update_record": 40, "update_segment": 100}
_ACCOUNTS = ("classroom", "evening")


@contextmanager
def planned(
    folder: Path, url: str, limits: dict[str, int]
) -> Iterator[tuple[dict[str, str], Database, OpenApiStandin]]:
    """Plan 300 calls of 50 tasks; yield the environment, the database, and the vendor."""
    own = f"limits = {{ {', '.join(f'{name} = {limit}' for name, limit in limits.items())} }}" if limits else ""
    with standins() as apis:
        environ = environment(folder, url, configuration(apis, **dict.fromkeys(_ACCOUNTS, own)), "")
        database = Database(url.replace("postgresql://", "postgresql+psycopg://"))
        try:
            upgrade(database)
            calls = many_calls(load(environ, vendors=tuple(VENDORS)), apis["volcengine"])
            plan(database, *calls)
            yield environ, database, apis["volcengine"]
        finally:
            database.close()


def many_calls(settings: Settings, api: OpenApiStandin) -> list[Planned]:
    """Return the calls, each with its number in it, those of a task from both accounts in turn."""
    terms = Terms(settings)
    found = []
    for name, (_, _, count, tasks) in _OPERATIONS.items():
        for number in range(count):
            task = f"{name}-{number % tasks}"
            kind: TaskType = "segment" if name == "update_segment" else "record"
            if number < tasks:
                api.tasks.add(app_id=APP, room_id="room", task_id=task, type=kind)
            key = TaskKey(vendor="volcengine", app_id=APP, room_id="room", type=kind, task_id=task)
            found.append(a_call(terms, name, key, number, _ACCOUNTS[number // tasks % 2]))
    return found


def a_call(terms: Terms, name: str, key: TaskKey, number: int, account: str) -> Planned:
    operation = VENDORS["volcengine"].operations[name]
    told: dict[str, Any] = {"AppId": APP, "RoomId": "room", "TaskId": key.task_id}
    if name == "update_segment":
        told["Duration"] = number + 1
    else:
        told |= parameters("volcengine.update_record")
        told["Layout"]["CustomLayout"]["Canvas"]["Background"] = f"#{number:06x}"
    whole = complete(operation.parameters, told)
    own = terms.of_call("volcengine", account, operation, whole, task=key, business_id=None, retry=Retry())
    return Planned(
        rule="many",
        subject=f"{name}-{number}",
        change="task.started",
        operation=f"volcengine.{name}",
        vendor="volcengine",
        account=account,
        parameters=whole,
        at=AT + number,
        delivery=f"dlv_{number:05d}",
        **own,
    )


def number_of(call: Call) -> int:
    """Return the number that a call was planned with."""
    if call.action == "UpdateSegment":
        return int(call.body["Duration"]) - 1
    return int(call.body["Layout"]["CustomLayout"]["Canvas"]["Background"].removeprefix("#"), 16)


def work_off(environ: dict[str, str], database: Database, folder: Path) -> None:
    """Run two workers, which begin together, until every call is made."""
    actions.stop(database, "all", now=now_ms())
    with ExitStack() as stack:
        for number in range(2):
            stack.enter_context(running(environ, "work", log=folder / f"log-{number}"))
        here = select(func.count()).select_from(tables.rule_books)
        wait_until(lambda: count(database, here) == 2, patience=_PATIENCE, what="two workers")
        actions.go(database, "all")
        left = select(func.count()).select_from(tables.actions).where(tables.actions.c.stage != "over")
        wait_until(lambda: count(database, left) == 0, patience=_PATIENCE, what="the last call")


def count(database: Database, query: Select[int]) -> int:
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def orders(calls: tuple[Call, ...]) -> dict[object, list[int]]:
    """Return the numbers of each task's calls, in the order that they arrived in."""
    found: dict[object, list[int]] = defaultdict(list)
    for one in calls:
        found[one.task].append(number_of(one))
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of an empty database, on each engine in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/data/reelhook.db"
    else:
        with new_database(request.getfixturevalue("postgres_server")) as made:
            yield made


def test_promise_7_two_workers_make_no_call_that_the_vendor_refuses(tmp_path: Path, url: str) -> None:
    with planned(tmp_path, url, _ROOMY) as (environ, database, vendor):
        work_off(environ, database, tmp_path)
        assert {row["state"] for row in rows(database)} == {"done"}
        with database.read() as connection:
            holders = set(connection.execute(select(tables.attempts.c.holder)).scalars())
    assert len(holders) == 2
    assert vendor.limits.items() >= {api: limit for api, limit, _, _ in _OPERATIONS.values()}.items()
    calls = vendor.calls
    assert len(calls) == 300
    assert [one.number for one in calls if one.within_limit is not True] == []
    assert [one.number for one in calls if one.overlap is not False] == []
    assert all(one.worked and one.code is None for one in calls)
    assert {one.account for one in calls} == {"VOLC-AK"}
    assert len(orders(calls)) == 50
    assert all(order == sorted(order) for order in orders(calls).values())


@pytest.mark.torture
def test_promise_7_the_vendor_refuses_nothing_at_its_very_limits(tmp_path: Path, url: str) -> None:
    """Fails on a machine that delays calls on their way by more than the 25th part of a second."""
    with planned(tmp_path, url, {}) as (environ, database, vendor):
        work_off(environ, database, tmp_path)
        assert {row["state"] for row in rows(database)} == {"done"}
    assert len(vendor.calls) == 300
    assert [one.number for one in vendor.calls if one.within_limit is not True] == []
    assert [one.number for one in vendor.calls if one.overlap is not False] == []
