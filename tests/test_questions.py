"""The questions: keyset pages, filters, items of the public contract, capped totals, export."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from callbacks import file_created
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from rows import FIRST, LISTS, MINUTE, fill, fill_told, ids, keep_four, recording_row, sighting_row
from sqlalchemy import event, insert

from handlers import questions, tables
from handlers.errors import WrongRequest
from handlers.questions import items
from handlers.questions.filters import ACTIONS, DELIVERIES, KNOWN, MOST, RECORDINGS, TASKS, Filters, Page, to_cursor
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.database import Database
    from handlers.inbox import Inbox
    from handlers.settings import Settings


@pytest.fixture
def kept(inbox: Inbox, database: Database, settings: Settings) -> list[str]:
    """Keep and process four deliveries, the last one unreadable, and return their ids, oldest first."""
    return keep_four(inbox, database, settings)


# --- what an item holds ---


def test_a_recording_holds_the_names_of_the_contract(kept: list[str], database: Database) -> None:
    with database.read() as connection:
        item = questions.list_recordings(connection, Filters(task_id=("task-00000002",)), Page()).items[0]
        shown = questions.show_recording(connection, item["id"])
    assert tuple(item) == items.RECORDING
    assert item["started_at"] == "2020-09-02T10:23:54.000Z"
    assert item["first_seen_at"].endswith("Z")
    assert (item["sightings"], item["media"], item["flags"]) == (1, {}, [])
    assert shown is not None
    assert tuple(shown) == items.RECORDING
    assert [(one["delivery"], one["door"]) for one in shown["sightings"]] == [(kept[1], "http")]
    assert set(shown["sightings"][0]) == {"delivery", "door", "received_at"}


def test_a_task_holds_the_names_of_the_contract(kept: list[str], database: Database) -> None:
    assert kept
    with database.read() as connection:
        item = questions.list_tasks(connection, Filters(), Page()).items[0]
        shown = questions.show_task(connection, item["id"])
    assert tuple(item) == items.TASK
    assert (item["run"], item["recording_count"], item["recorded_ms"]) == (1, 1, 1_792_000)
    assert shown == item | {"marks": [], "identifiers": [], "actions": []}


def test_a_delivery_tells_its_state_repeats_and_events(kept: list[str], database: Database) -> None:
    with database.read() as connection:
        shown = questions.show_delivery(connection, kept[0])
        listed = questions.list_deliveries(connection, Filters(), Page()).items
    assert shown is not None
    assert tuple(listed[-1]) == items.DELIVERY
    assert listed[-1] == {name: shown[name] for name in items.DELIVERY}
    assert (shown["state"], shown["reason"], shown["repeats"]) == ("processed", None, 1)
    assert sorted(shown["events"]) == ["recording.available", "recording.created"]
    assert shown["body"].encode() == file_created(1)
    assert shown["headers"] == {"content-type": "application/json"}
    assert [detail["word"] for detail in shown["event_details"]] == ["FileCreated"]


def test_a_body_that_is_no_text_is_shown_in_base64(kept: list[str], database: Database) -> None:
    with database.read() as connection:
        shown = questions.show_delivery(connection, kept[3])
    assert shown is not None
    assert base64.b64decode(shown["body"]["base64"]) == b"not \xff json"
    assert shown["state"] == "quarantined"
    assert "UTF-8" in shown["reason"]


def test_streams_are_told_with_null_for_an_unknown_source(database: Database) -> None:
    row = fill(database, 1)[0]
    with database.write() as connection:
        stream = {"recording": row["id"], "user_id": "user-0", "source": "screen"}
        connection.execute(insert(tables.recording_streams), [stream])
    with database.read() as connection:
        item = questions.show_recording(connection, row["id"])
    assert item is not None
    assert item["streams"] == [{"user_id": "user-0", "source": None}, {"user_id": "user-0", "source": "screen"}]


def test_two_tasks_that_name_one_file_are_flagged_shared(database: Database) -> None:
    alike = {"bucket": "b", "key": "same/key"}
    rows = [recording_row(0, **alike), recording_row(2, **alike), recording_row(4, bucket="other", key="same/key")]
    rows += [recording_row(6, key="twice"), recording_row(7, key="twice")]
    with database.write() as connection:
        connection.execute(insert(tables.recordings), rows)
    with database.read() as connection:
        listing = questions.list_recordings(connection, Filters(), Page())
    flags = {item["id"]: item["flags"] for item in listing.items}
    assert [flags[row["id"]] for row in rows] == [["shared"], ["shared"], [], [], []]


def test_what_is_not_there_is_none(database: Database) -> None:
    with database.read() as connection:
        for name in ("rec_nothing", "", "\0", "x" * 5000):
            assert questions.show_recording(connection, name) is None
            assert questions.show_task(connection, name) is None
            assert questions.show_delivery(connection, name) is None
            assert questions.show_refusal(connection, name) is None


# --- filters ---


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        (Filters(room_id=("room-000001",)), range(4, 8)),
        (Filters(room_id=("room-000001", "room-000003")), (*range(4, 8), *range(12, 16))),
        (Filters(task_id=("task-000002",)), (4, 5)),
        (Filters(app_id=("rare",)), (0, 100)),
        (Filters(app_id=("rare",), format=("m3u8",)), ()),
        (Filters(format=("m3u8", "mp4"), room_id=("room-000000",)), range(4)),
        (Filters(user_id=("user-7",)), (7, 57, 107)),
        (Filters(started_after=FIRST + 3 * MINUTE, started_before=FIRST + 5 * MINUTE), (3, 4)),
        (Filters(received_after=FIRST + 118 * MINUTE), (118, 119)),
        (Filters(updated_after=FIRST + 118 * MINUTE + 1), (119,)),
        (Filters(q="room-00000"), range(40)),
        (Filters(q="task-000002"), (4, 5)),
        (Filters(q="record/00011"), range(110, 120)),
        (Filters(q="oom"), ()),
        (Filters(q="record/00011", format=("mp4",)), range(110, 120, 2)),
        (Filters(vendor=("huawei",)), ()),
        (Filters(vendor=("aliyun", "huawei"), room_id=("room-000001",)), range(4, 8)),
        (Filters(state=("announced", "missing")), ()),
        (Filters(door=("http",)), ()),
        (Filters(account=("lessons",), type=("record",), state=("available",)), range(120)),
    ],
)
def test_a_filter_lets_through_what_it_names(database: Database, filters: Filters, numbers: Any) -> None:
    rows = fill(database, 120)
    expected = [rows[number]["id"] for number in sorted(numbers, reverse=True)]
    assert ids(database, RECORDINGS, filters) == expected
    assert ids(database, RECORDINGS, filters, limit=7) == expected
    with database.read() as connection:
        assert questions.total(connection, RECORDINGS, filters) == (len(expected), False)


@pytest.mark.parametrize("wanted", ["%", "_", "room-0000_", "\\", "room\U0010ffff", "日本"])
def test_a_prefix_is_taken_literally(database: Database, wanted: str) -> None:
    rows = [recording_row(0), recording_row(1, room_id=f"{wanted}-room")]
    with database.write() as connection:
        connection.execute(insert(tables.recordings), rows)
    assert ids(database, RECORDINGS, Filters(q=wanted)) == [rows[1]["id"]]


def test_deliveries_are_filtered_by_state_account_door_and_reason(kept: list[str], database: Database) -> None:
    assert ids(database, DELIVERIES, Filters(state=("quarantined",))) == [kept[3]]
    assert ids(database, DELIVERIES, Filters(state=("processed",))) == kept[2::-1]
    assert ids(database, DELIVERIES, Filters(state=("kept", "quarantined", "processed"))) == kept[::-1]
    assert ids(database, DELIVERIES, Filters(state=("kept", "quarantined"), account=("lessons",))) == [kept[3]]
    assert ids(database, DELIVERIES, Filters(reason=("the body is not",))) == [kept[3]]
    assert ids(database, DELIVERIES, Filters(reason=("something else",))) == []
    assert ids(database, DELIVERIES, Filters(account=("lessons",), door=("http", "mns"))) == kept[::-1]
    assert ids(database, DELIVERIES, Filters(account=("other",))) == []


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        (Filters(room_id=("room-000001",)), range(4, 8)),
        (Filters(room_id=("room-000001", "room-000003")), (*range(4, 8), *range(12, 16))),
        (Filters(room_id=("room-000001",), format=("mp4",)), (4, 6)),
        (Filters(room_id=("room-000001",), task_id=("task-000001",)), ()),
        (Filters(app_id=("rare",)), (0,)),
        (Filters(task_id=("task-000002",), type=("record",)), (4, 5)),
        (Filters(type=("push",)), ()),
        (Filters(business_id=("school",)), ()),
        (Filters(user_id=("user-7",)), (7,)),
        (Filters(user_id=("user-7",), room_id=("room-000000",)), ()),
        (Filters(q="room-000001"), range(4, 8)),
        (Filters(q="task-000002"), (4, 5)),
        (Filters(q="record/00001"), range(10, 20)),
        (Filters(q="oom"), ()),
        (Filters(room_id=("room-000001",), state=("quarantined",)), (5,)),
        (Filters(room_id=("room-000001",), state=("quarantined", "kept")), (5,)),
        (Filters(room_id=("room-000001",), state=("processed",)), (4, 6, 7)),
        (Filters(room_id=("room-000001",), received_after=FIRST + 6), (6, 7)),
        (Filters(q="room-", received_before=FIRST + 2, account=("lessons",)), (0, 1)),
    ],
)
def test_deliveries_are_found_by_a_recording_that_they_told_of(
    database: Database, filters: Filters, numbers: Any
) -> None:
    told = fill_told(database, fill(database, 20))
    expected = [told[number] for number in sorted(numbers, reverse=True)]
    assert ids(database, DELIVERIES, filters) == expected
    assert ids(database, DELIVERIES, filters, limit=1) == expected
    with database.read() as connection:
        assert questions.total(connection, DELIVERIES, filters) == (len(expected), False)


def test_a_delivery_that_told_of_two_recordings_is_found_once(database: Database) -> None:
    rows = fill(database, 2)
    told = fill_told(database, rows)
    with database.write() as connection:
        connection.execute(insert(tables.sightings), [sighting_row(rows[1], told[0])])
    assert ids(database, DELIVERIES, Filters(room_id=("room-000000",))) == told[::-1]
    assert ids(database, DELIVERIES, Filters(format=("m3u8",))) == told[::-1]
    assert ids(database, DELIVERIES, Filters(format=("mp4",))) == told[:1]


def test_a_processed_delivery_is_found_by_the_room_that_it_spoke_of(kept: list[str], database: Database) -> None:
    with database.read() as connection:
        (room,) = {item["room_id"] for item in questions.list_recordings(connection, Filters(), Page()).items}
    assert ids(database, DELIVERIES, Filters(room_id=(room,))) == kept[2::-1]
    assert ids(database, DELIVERIES, Filters(task_id=("task-00000002",))) == [kept[1]]


def test_recordings_are_found_by_the_door_of_any_delivery(kept: list[str], database: Database) -> None:
    assert kept
    assert len(ids(database, RECORDINGS, Filters(door=("http",)))) == 3
    assert ids(database, RECORDINGS, Filters(door=("mns",))) == []


@pytest.mark.parametrize("kind", list(LISTS))
def test_every_filter_of_a_kind_can_be_asked_and_no_other(database: Database, kind: str) -> None:
    samples = {"type": ("record",), "door": ("http",), "q": "a", "vendor": ("aliyun",), "mode": ("live",)}
    samples["state"] = {DELIVERIES: ("kept",), TASKS: ("running",), ACTIONS: ("dead",)}.get(kind, ("available",))
    for one in fields(Filters):
        value: Any = samples.get(one.name, ("a",) if one.default == () else 1)
        filters = Filters(**{one.name: value})
        with database.read() as connection:
            if one.name in KNOWN[kind]:
                assert LISTS[kind](connection, filters, Page()).items == []
            else:
                with pytest.raises(WrongRequest) as caught:
                    LISTS[kind](connection, filters, Page())
                assert list(caught.value.wrong) == [one.name]
                assert f"known: {', '.join(KNOWN[kind])}" in caught.value.wrong[one.name]


def test_every_wrong_filter_is_told_at_once(database: Database) -> None:
    filters = Filters(
        vendor=("aliyum",), state=("gone",), type=("movie",), room_id=("a\0b",), q="\ud800", reason=("x",)
    )
    with database.read() as connection, pytest.raises(WrongRequest) as caught:
        questions.list_recordings(connection, filters, Page())
    assert set(caught.value.wrong) == {"vendor", "state", "type", "room_id", "q", "reason"}
    assert caught.value.wrong["vendor"] == f"is 'aliyum'; expected {', '.join(VENDORS)}"
    assert "announced, available" in caught.value.wrong["state"]


# --- pages ---


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "ä",
        "!!!!",
        "a" * 5000,
        to_cursor(TASKS, "tsk_1"),
        to_cursor(RECORDINGS, "rec_1' OR 1"),
        to_cursor(RECORDINGS, ""),
        base64.urlsafe_b64encode(b"\xff\xfe\0").decode(),
        json.dumps({"id": 1}),
    ],
)
def test_a_cursor_that_is_none_of_ours_is_refused(database: Database, cursor: str) -> None:
    with database.read() as connection, pytest.raises(WrongRequest) as caught:
        questions.list_recordings(connection, Filters(), Page(cursor=cursor))
    assert list(caught.value.wrong) == ["cursor"]


@pytest.mark.parametrize("limit", [0, -1, MOST + 1])
def test_a_limit_out_of_range_is_refused(database: Database, limit: int) -> None:
    with database.read() as connection, pytest.raises(WrongRequest) as caught:
        questions.list_recordings(connection, Filters(), Page(limit=limit))
    assert list(caught.value.wrong) == ["limit"]


def test_the_last_page_has_no_next_even_when_it_is_full(database: Database) -> None:
    fill(database, 4)
    with database.read() as connection:
        first = questions.list_recordings(connection, Filters(), Page(limit=2))
        second = questions.list_recordings(connection, Filters(), Page(limit=2, cursor=first.next))
    assert first.next is not None
    assert len(second.items) == 2
    assert second.next is None


#: filters that let every row through, on different roads
ALL_OF_THEM = [Filters(), Filters(q="room-", started_after=FIRST), Filters(account=("lessons",))]


@bounded(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 60), bursts=st.lists(st.integers(0, 5), max_size=60), filters=st.sampled_from(ALL_OF_THEM))
def test_paging_yields_every_row_once_in_order_while_rows_are_inserted(
    database: Database, limit: int, bursts: list[int], filters: Filters
) -> None:
    with database.write() as connection:
        connection.execute(tables.recordings.delete())
        connection.execute(tables.recording_streams.delete())
    before = [row["id"] for row in fill(database, 50)]
    found: list[str] = []
    cursor = None
    pauses = iter(bursts)
    start = 50
    while True:
        with database.read() as connection:
            listing = questions.list_recordings(connection, filters, Page(limit=limit, cursor=cursor))
        found += [item["id"] for item in listing.items]
        cursor = listing.next
        if cursor is None:
            break
        if burst := next(pauses, 0):
            fill(database, burst, start)
            start += burst
    assert found == sorted(before, reverse=True)


def test_paging_stays_whole_beside_a_busy_writer(database: Database) -> None:
    before = [row["id"] for row in fill(database, 300)]
    stop = threading.Event()

    def write() -> None:
        start = 300
        while not stop.is_set():
            fill(database, 5, start)
            start += 5

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = ids(database, RECORDINGS, Filters(), limit=7)
    finally:
        stop.set()
        writer.join()
    assert len(found) == len(set(found))
    assert found == sorted(found, reverse=True)
    assert set(before) <= set(found)


# --- totals and export ---


def test_a_total_is_exact_below_its_cap_and_says_when_it_is_not(database: Database) -> None:
    fill(database, 30)
    with database.read() as connection:
        assert questions.total(connection, RECORDINGS, Filters()) == (30, False)
        assert questions.total(connection, RECORDINGS, Filters(), cap=30) == (30, False)
        assert questions.total(connection, RECORDINGS, Filters(), cap=29) == (29, True)
        assert questions.total(connection, TASKS, Filters()) == (0, False)


def test_an_export_yields_what_the_lists_yield(database: Database) -> None:
    fill(database, 95)
    exported = list(questions.export_recordings(database, Filters(format=("mp4",)), chunk=10))
    with database.read() as connection:
        listed = questions.list_recordings(connection, Filters(format=("mp4",)), Page(limit=MOST)).items
    assert exported == listed
    assert len(exported) == 48


def test_an_export_holds_one_chunk_at_a_time(database: Database) -> None:
    fill(database, 200)
    asked: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    export: Iterator[Any] = questions.export_recordings(database, Filters(), chunk=10)
    for _ in range(15):
        next(export)
    assert sum("chosen" in statement for statement in asked) == 2
