"""Promise 7: one at a time, in order, below the limit, over all processes, whoever of them is killed."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from limited_vendor import LIMITS, LimitedVendor, limited_vendor
from planning import call, emptied, opened, plan, rows
from program import wait_until
from sqlalchemy import func, select, update

from handlers import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.actions import Planned
    from handlers.database import Database

_WORKER = Path(__file__).with_name("calling_worker.py")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("promise")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, empty."""
    return emptied(engine)


@pytest.fixture
def vendor() -> Iterator[LimitedVendor]:
    """Return a vendor that refuses two calls of one task at a time, and more than 60 and 150 in a second."""
    with limited_vendor() as serving:
        yield serving


@contextmanager
def worker(database: Database, vendor: LimitedVendor) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a worker process; yield it with its name as a holder."""
    url = database.url.render_as_string(hide_password=False)
    command = [sys.executable, str(_WORKER), url, str(vendor.port)]
    with subprocess.Popen(command, cwd=_WORKER.parent.parent, text=True, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(20)


def many_calls(lanes: int, of_segment: int, of_record: int) -> list[Planned]:
    """Return calls of two APIs, each task's of one of them; two accounts share the quota."""
    planned = []
    for number in range(of_segment + of_record):
        api, place = ("UpdateRecord", 0) if number < of_record else ("UpdateSegment", 1)
        task = f"{api}-{number % (lanes * (7 if place else 3) // 10)}"
        planned.append(
            call(
                number,
                task=task,
                lane=f"volcengine/{task}",
                api=api,
                quota="main",
                limit=LIMITS[api],
                account=f"account-{number % 2}",
            )
        )
    return planned


def left(database: Database) -> int:
    query = select(func.count()).select_from(tables.actions).where(tables.actions.c.stage != "over")
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def test_the_vendor_of_these_tests_refuses_what_is_too_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limited_vendor.LATENCY", 0)
    vendor = LimitedVendor()
    told = [vendor.call("UpdateRecord", f"task-{number}", number, 1 + number / 61) for number in range(61)]
    assert told == [200] * 60 + [429]
    assert vendor.call("UpdateRecord", "late", 61, 1.5) == 429
    assert vendor.call("UpdateRecord", "next", 62, 2.999) == 200
    assert vendor.too_fast == ["UpdateRecord"] * 2


def test_promise_7_two_processes_make_a_thousand_calls_one_at_a_time_in_order_and_below_both_limits(
    database: Database, vendor: LimitedVendor
) -> None:
    plan(database, *many_calls(50, of_segment=710, of_record=290))
    with worker(database, vendor), worker(database, vendor):
        wait_until(lambda: left(database) == 0, patience=60, what="a thousand actions done")
    assert {row["state"] for row in rows(database)} == {"done"}
    assert vendor.count == 1000
    assert (vendor.overlaps, vendor.too_fast) == ([], [])
    orders = vendor.orders()
    assert len(orders) == 50
    assert all(order == sorted(order) for order in orders.values())
    for api, limit in LIMITS.items():
        assert vendor.busiest(api) <= limit
    with database.read() as connection:
        holders = connection.execute(select(tables.attempts.c.holder, func.count()).group_by("holder")).all()
    assert len(holders) == 2
    assert sum(count for _, count in holders) == 1000


@pytest.mark.torture
def test_promise_7_two_processes_come_close_to_both_limits(database: Database, vendor: LimitedVendor) -> None:
    """Fails on a machine that is too busy, which says nothing of the promise."""
    plan(database, *many_calls(50, of_segment=710, of_record=290))
    with worker(database, vendor), worker(database, vendor):
        wait_until(lambda: left(database) == 0, patience=60, what="a thousand actions done")
    for api, limit in LIMITS.items():
        assert 0.9 * limit <= vendor.usual(api) <= vendor.busiest(api) <= limit


def test_promise_7_killed_workers_actions_are_taken_up_after_the_lease_in_order(
    database: Database, vendor: LimitedVendor
) -> None:
    plan(database, *many_calls(50, of_segment=300, of_record=100))
    with ExitStack() as stack:
        for _ in range(3):
            killed, holder = stack.enter_context(worker(database, vendor))
            before = vendor.count
            wait_until(lambda before=before: vendor.count >= before + 20, what="calls of the next worker")
            killed.kill()
            killed.wait(20)
            lapse(database, holder)
        stack.enter_context(worker(database, vendor))
        wait_until(lambda: left(database) == 0, patience=60, what="all actions done")
    assert {row["state"] for row in rows(database)} == {"done"}
    assert (vendor.overlaps, vendor.too_fast) == ([], [])
    numbers = [number for order in vendor.orders().values() for number in order]
    assert set(numbers) == set(range(400))
    assert all(order == sorted(order) for order in vendor.orders().values())
    for api, limit in LIMITS.items():
        assert vendor.busiest(api) <= limit
    with database.read() as connection:
        unclear = connection.execute(select(func.count()).where(tables.attempts.c.is_unclear)).scalar_one()
    assert len(numbers) - 400 <= unclear, "a call is repeated only where a worker was lost with it"


def lapse(database: Database, holder: str) -> None:
    """Let a dead worker's leases be over: nobody wants to wait for them here."""
    held = (tables.actions.c.holder == holder) & (tables.actions.c.stage == "claimed")
    with database.write() as connection:
        connection.execute(update(tables.actions).where(held).values(lease_until=1))
