"""What is written of a family: the rows that differ, in the columns that differ, and nothing moved for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from handlers import catalogue, tables
from handlers.events import Delivery, Event, Recording, TaskKey
from handlers.ids import new_id

if TYPE_CHECKING:
    from handlers.database import Database

_START, _HOUR = 1_600_000_000_000, 3_600_000
_TASK = TaskKey(vendor="aliyun", app_id="a", room_id="r", type="record", task_id="user-1")


def tell(*events: Event) -> list[catalogue.Told]:
    """Return the events as those of one delivery."""
    delivery = Delivery(
        id=new_id("dlv"), account="lessons", vendor="aliyun", door="http", received_at=_START, headers={}, body=b""
    )
    return [catalogue.Told(delivery=delivery, position=n, event=event) for n, event in enumerate(events)]


def fold(database: Database, *told: list[catalogue.Told]) -> None:
    """Fold each in a transaction of its own."""
    for one in told:
        with database.write() as connection:
            catalogue.fold(connection, one, now=_START)


def started(hour: int) -> Event:
    at = _START + hour * _HOUR
    return Event(kind="task.started", word="Start", at=at, task=_TASK, state="running", begins=True)


def file(name: str, hour: int) -> Event:
    begin = _START + hour * _HOUR
    recording = Recording(locator=f"oss:b/{name}", started_at=begin, ended_at=begin + _HOUR, available=True)
    return Event(kind="recording.available", word="File", at=begin + _HOUR, task=_TASK, recording=recording)


def test_a_later_run_that_grows_keeps_its_number(database: Database) -> None:
    fold(database, tell(started(0)), tell(started(24)), tell(file("one", 24)))
    with database.read() as connection:
        runs = {row["run"]: row for row in connection.execute(select(tables.tasks)).mappings()}
    assert sorted(runs) == [1, 2]
    assert runs[2]["recording_count"] == 1
    assert runs[2]["recorded_ms"] == _HOUR


def test_later_runs_move_up_together_when_an_earlier_one_turns_up(database: Database) -> None:
    fold(database, tell(started(24)), tell(started(48)), tell(started(72)), tell(started(0)))
    with database.read() as connection:
        runs = {row["run"]: row["started_at"] for row in connection.execute(select(tables.tasks)).mappings()}
    assert runs == {run: _START + (run - 1) * 24 * _HOUR for run in (1, 2, 3, 4)}


@pytest.mark.parametrize("reasons", [(None, "IdleTimeOut"), ("IdleTimeOut", None)])
def test_a_delivery_that_tells_one_mark_with_two_reasons_leaves_one(
    database: Database, reasons: tuple[str | None, str | None]
) -> None:
    first, second = (
        Event(kind="task.stopped", word="Stop", at=_START, task=_TASK, state="stopped", reason=reason)
        for reason in reasons
    )
    fold(database, tell(first, second))
    with database.read() as connection:
        assert connection.execute(select(tables.marks.c.reason)).scalars().all() == ["IdleTimeOut"]


def test_what_was_worked_out_on_sqlite_is_not_current_once_the_catalogue_is_written(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("a server has locks instead")
    with database.read() as connection:
        ours = catalogue.work_out(connection, tell(file("one", 0)), now=_START)
        assert ours.is_current(connection)
    fold(database, tell(file("two", 1)))
    with database.read() as connection:
        assert not ours.is_current(connection)
