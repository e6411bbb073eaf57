"""The questions about segments: items of the public contract, filters on every road, pages, totals, export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rows import FIRST, MINUTE, fill_segments, ids, segment_row
from sqlalchemy import insert

from handlers import questions, tables
from handlers.ids import first_id, new_id
from handlers.questions import items, narrowing
from handlers.questions.filters import MOST, SEGMENTS, Filters, Page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handlers.database import Database


@pytest.fixture(params=[0, narrowing._FEW_SEGMENTS], ids=["read from the newest", "sorted"])
def _few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have SQLite take each of its two roads."""
    monkeypatch.setattr(narrowing, "_FEW_SEGMENTS", request.param)


def test_a_segment_holds_the_names_of_the_contract(database: Database) -> None:
    rows = fill_segments(database, 20)
    with database.read() as connection:
        listed = questions.list_segments(connection, Filters(), Page()).items
        shown = questions.show_segment(connection, rows[10]["id"])
    assert tuple(listed[0]) == items.SEGMENT
    assert shown in listed
    assert shown is not None
    assert (shown["identifier"], listed[-1]["identifier"]) == ("run-1", None)
    assert shown["streams"] == [{"user_id": "user-10", "source": None}]
    assert (shown["media"], shown["mixed"], shown["duration_ms"]) == ({}, None, MINUTE)
    assert shown["started_at"] == shown["first_seen_at"] == "2020-09-13T12:36:40.000Z"


def test_a_segment_that_is_not_there_is_none(database: Database) -> None:
    with database.read() as connection:
        for name in ("seg_nothing", "", "\0"):
            assert questions.show_segment(connection, name) is None


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        (Filters(room_id=("room-000001",)), range(20, 40)),
        (Filters(task_id=("task-000003",)), range(30, 40)),
        (Filters(task_id=("task-000003", "task-000005")), (*range(30, 40), *range(50, 60))),
        (Filters(task_id=("task-000003",), room_id=("room-000001",)), range(30, 40)),
        (Filters(task_id=("task-000003",), room_id=("room-000002",)), ()),
        (Filters(task_id=("task-000003",), account=("lessons",), user_id=("user-31",)), (31,)),
        (Filters(app_id=("rare",)), range(10)),
        (Filters(app_id=("rare", "usual"), vendor=("aliyun",)), range(120)),
        (Filters(app_id=("rare",), vendor=("huawei",)), ()),
        (Filters(app_id=("rare",), task_id=("task-000003",)), ()),
        (Filters(app_id=("usual",), room_id=("room-000000",)), range(10, 20)),
        (Filters(user_id=("user-7",)), (7, 57, 107)),
        (Filters(started_after=FIRST + 3 * MINUTE, started_before=FIRST + 5 * MINUTE), (3, 4)),
        (Filters(received_after=FIRST + 118 * MINUTE), (118, 119)),
        (Filters(received_before=FIRST + 2 * MINUTE), (0, 1)),
        (Filters(received_after=FIRST + MINUTE, received_before=FIRST + 3 * MINUTE), (1, 2)),
        (Filters(q="room-00000"), range(120)),
        (Filters(q="room-000002"), range(40, 60)),
        (Filters(q="task-00001"), range(100, 120)),
        (Filters(q="task-00001", app_id=("usual",), started_before=FIRST + 102 * MINUTE), (100, 101)),
        (Filters(q="slices/"), ()),
        (Filters(business_id=("school",)), ()),
        (Filters(account=("nobody",)), ()),
    ],
)
def test_a_filter_lets_through_what_it_names(database: Database, filters: Filters, numbers: Iterable[int]) -> None:
    rows = fill_segments(database, 120)
    expected = [rows[number]["id"] for number in sorted(numbers, reverse=True)]
    assert ids(database, SEGMENTS, filters) == expected
    assert ids(database, SEGMENTS, filters, limit=7) == expected
    with database.read() as connection:
        assert questions.total(connection, SEGMENTS, filters) == (len(expected), False)


def test_a_segment_is_found_by_when_it_was_received_however_late_it_was_folded(database: Database) -> None:
    received = FIRST + 1
    late = [
        segment_row(1, id=first_id("seg", received + delay), first_seen_at=received) for delay in (-60_000, 0, 9**12)
    ]
    rows = [row | {"locator": str(number)} for number, row in enumerate(late)]
    with database.write() as connection:
        connection.execute(insert(tables.segments), rows)
    expected = [row["id"] for row in rows[::-1]]
    assert ids(database, SEGMENTS, Filters(received_after=received)) == expected
    assert ids(database, SEGMENTS, Filters(received_after=received, received_before=received + 1)) == expected
    assert ids(database, SEGMENTS, Filters(received_after=received + 1)) == []
    assert ids(database, SEGMENTS, Filters(received_after=-1)) == expected


def test_ids_of_a_time_and_later_are_no_less_than_its_first_id() -> None:
    assert first_id("seg", 0) == "seg_" + "0" * 26
    assert first_id("seg", -5) == first_id("seg", 0)
    assert first_id("seg", FIRST) < first_id("seg", FIRST + 1) < new_id("seg")


def test_an_export_of_segments_yields_what_the_lists_yield(database: Database) -> None:
    fill_segments(database, 90)
    exported = list(questions.export_segments(database, Filters(room_id=("room-000001",)), chunk=7))
    with database.read() as connection:
        page = Page(limit=MOST)
        assert exported == questions.list_segments(connection, Filters(room_id=("room-000001",)), page).items
    assert len(exported) == 20
