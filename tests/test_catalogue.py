"""The catalogue: whatever comes in whatever order, the same set of deliveries gives the same rows."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from folding import fold, in_any_order, rows, told_of, told_times, wipe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from handlers import catalogue, runs, tables
from handlers.catalogue import merge
from handlers.catalogue.families import Family
from handlers.events import Event, Recording, Segment, Stream, StreamState, TaskKey, Upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.database import Database

_PAGE = (Path(__file__).parent.parent / "docs" / "catalogue.md").read_text()
_START, _HOUR = 1_600_000_000_000, 3_600_000

streams = st.builds(Stream, user_id=st.sampled_from("uvw"), source=st.sampled_from(["camera", "screen", None]))
times = st.integers(0, 6).map(lambda hours: _START + hours * _HOUR)
recordings = st.builds(
    Recording,
    locator=st.sampled_from(["oss:b/1", "oss:b/2", "oss:b/3"]),
    url=st.sampled_from([None, "http://a", "http://b"]),
    format=st.sampled_from([None, "m3u8", "mp4"]),
    streams=st.lists(streams, max_size=2).map(tuple),
    mixed=st.sampled_from([None, True, False]),
    started_at=st.none() | times,
    ended_at=st.none() | times,
    duration_ms=st.none() | st.integers(0, 9),
    size_bytes=st.none() | st.integers(0, 9),
    media=st.dictionaries(st.sampled_from(["width", "height"]), st.integers(1, 3), max_size=2),
    available=st.booleans(),
)
keys = st.builds(
    TaskKey,
    vendor=st.just("aliyun"),
    app_id=st.just("app"),
    room_id=st.sampled_from(["r1", "r2"]),
    type=st.just("record"),
    task_id=st.sampled_from(["t1", "t2"]),
)
files = st.builds(
    Event,
    kind=st.just("recording.available"),
    word=st.just("FileCreated"),
    at=times,
    task=keys,
    business_id=st.sampled_from([None, "b1", "b2"]),
    recording=recordings,
)
marks = st.builds(
    Event,
    kind=st.sampled_from(["task.started", "task.stopped", "task.failed"]),
    word=st.just("Mark"),
    at=times,
    task=keys,
    state=st.sampled_from([None, "running", "stopped", "failed"]),
    begins=st.booleans(),
    reason=st.sampled_from([None, "IdleTimeOut"]),
)
uploads = st.builds(
    Event,
    kind=st.sampled_from(["upload.progressed", "upload.failed"]),
    word=st.just("Upload"),
    at=times,
    task=keys,
    upload=st.builds(
        Upload,
        state=st.sampled_from(["uploading", "failed", "backed_up", "done"]),
        progress=st.none() | st.integers(0, 10000),
    ),
)
slices = st.builds(
    Event,
    kind=st.just("segment.created"),
    word=st.just("Slice"),
    at=times,
    task=keys.map(lambda key: dataclasses.replace(key, type="segment")),
    business_id=st.sampled_from([None, "b1", "b2"]),
    segment=st.builds(
        Segment,
        locator=st.sampled_from(["b/1", "b/2", "b/3"]),
        identifier=st.sampled_from([None, "one", "two"]),
        key=st.sampled_from([None, "1"]),
        streams=st.lists(streams, max_size=1).map(tuple),
        started_at=st.none() | times,
        duration_ms=st.none() | st.integers(0, _HOUR),
        media=st.dictionaries(st.sampled_from(["sample_rate", "channels"]), st.integers(1, 3), max_size=2),
    ),
)
published = st.builds(
    Event,
    kind=st.just("stream.changed"),
    word=st.just("Stream"),
    at=times,
    task=keys,
    stream=st.builds(
        StreamState, stream=streams, medium=st.sampled_from(["audio", "video"]), is_published=st.booleans()
    ),
)
unknown = st.builds(Event, kind=st.just("unknown"), word=st.just("RecordPaused"), at=times, task=keys)


# --- the same, but nasty: one name, equal and nearly equal times, empty texts, marks that say several things ---------

_MINUTE = 60_000
close = st.integers(0, 40).map(lambda minutes: _START + minutes * _MINUTE) | st.integers(_START, _START + 3)
empty = st.sampled_from([None, "", "b"])
one_name = TaskKey(vendor="aliyun", app_id="app", room_id="r", type="record", task_id="t")
close_files = st.builds(
    Event,
    kind=st.just("recording.created"),
    word=st.just("File"),
    at=close,
    task=st.just(one_name),
    business_id=empty,
    recording=st.builds(
        Recording,
        locator=st.sampled_from("123"),
        url=empty,
        started_at=st.none() | close,
        ended_at=st.none() | close,
        available=st.booleans(),
    ),
)
close_marks = st.builds(
    Event,
    kind=st.sampled_from(["task.started", "task.stopped", "upload.progressed"]),
    word=st.just("Mark"),
    at=close,
    task=st.sampled_from([one_name, dataclasses.replace(one_name, type="segment")]),
    business_id=empty,
    reason=empty,
    state=st.sampled_from([None, "running", "stopped", "failed"]),
    begins=st.booleans(),
    upload=st.none() | st.builds(Upload, state=st.sampled_from(["uploading", "failed", "done"])),
)
close_slices = st.builds(
    Event,
    kind=st.just("segment.created"),
    word=st.just("Slice"),
    at=close,
    task=st.just(dataclasses.replace(one_name, type="segment")),
    business_id=empty,
    segment=st.builds(
        Segment,
        locator=st.sampled_from("123"),
        identifier=st.sampled_from([None, "", "x", "y", "z"]),
        key=empty,
        started_at=st.none() | close,
        duration_ms=st.none() | st.integers(0, 15 * _MINUTE),
    ),
)


def deliveries_of(events: st.SearchStrategy[Event]) -> st.SearchStrategy[list[Any]]:
    """Draw deliveries, each of a few events."""
    one = st.tuples(st.lists(events, min_size=1, max_size=3), times, st.sampled_from(["http", "mns"]))
    return st.lists(one, min_size=1, max_size=7)


_settings = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@given(drawn=deliveries_of(files | marks | unknown), data=st.data())
@_settings
def test_promise_4_any_order_duplication_and_partition_gives_equal_rows(
    database: Database, drawn: list[Any], data: st.DataObject
) -> None:
    first, second, expected = in_any_order(database, told_of(drawn), data)
    for changes in (first, second):
        assert told_times(changes, "recording.created") == len(expected["recordings"])
        available = sum(row["state"] == "available" for row in expected["recordings"])
        assert told_times(changes, "recording.available") == available


@given(drawn=deliveries_of(files | marks | uploads | slices | published | unknown), data=st.data())
@_settings
def test_promise_4_any_order_holds_for_uploads_segments_and_streams(
    database: Database, drawn: list[Any], data: st.DataObject
) -> None:
    first, second, expected = in_any_order(database, told_of(drawn), data)
    for changes in (first, second):
        assert told_times(changes, "recording.created") == len(expected["recordings"])
        assert told_times(changes, "segment.created") == len(expected["segments"])
    for task in expected["tasks"]:
        assert task["recording_count"] == sum(_same_run(task, row) for row in expected["recordings"])
        assert task["segment_count"] == sum(_same_run(task, row | {"type": "segment"}) for row in expected["segments"])


@given(drawn=deliveries_of(close_files | close_marks | close_slices), data=st.data())
@_settings
def test_promise_4_any_order_holds_where_runs_part_merge_and_share_an_instant(
    database: Database, drawn: list[Any], data: st.DataObject
) -> None:
    first, second, expected = in_any_order(database, told_of(drawn), data)
    for changes in (first, second):
        assert told_times(changes, "recording.created") == len(expected["recordings"])
        assert told_times(changes, "segment.created") == len(expected["segments"])
        available = sum(row["state"] == "available" for row in expected["recordings"])
        assert told_times(changes, "recording.available") >= available
    for task in expected["tasks"]:
        kind = "segment" if task["type"] == "segment" else "recording"
        told = [row | {"type": task["type"]} for row in expected[f"{kind}s"]]
        assert task[f"{kind}_count"] == sum(_same_run(task, row) for row in told)


def _same_run(task: dict[str, Any], row: dict[str, Any]) -> bool:
    return all(task[name] == row[name] for name in ("room_id", "task_id", "type", "run"))


def test_promise_4_folding_again_changes_nothing_and_tells_nothing(database: Database) -> None:
    event = Event(
        kind="recording.available",
        word="FileCreated",
        at=_START,
        task=TaskKey(vendor="aliyun", app_id="a", room_id="r", type="record", task_id="t"),
        recording=Recording(locator="oss:b/1", started_at=_START, ended_at=_START + _HOUR, available=True),
    )
    told = told_of([([event], _START, "http")])
    assert fold(database, [told]) == [["recording.created", "recording.available"]]
    with database.read() as connection:
        before = connection.execute(select(tables.recordings)).mappings().all()
    assert fold(database, [told]) == [[]]
    with database.read() as connection:
        assert connection.execute(select(tables.recordings)).mappings().all() == before


def started(key: TaskKey, at: int) -> Event:
    return Event(kind="task.started", word="Start", at=at, task=key, state="running", begins=True)


def test_a_run_keeps_its_id_when_an_earlier_one_turns_up(database: Database) -> None:
    key = TaskKey(vendor="aliyun", app_id="a", room_id="r", type="record", task_id="user-1")
    late, early = (started(key, _START + hours * _HOUR) for hours in (24, 0))
    fold(database, [told_of([([late], _START, "http")])])
    with database.read() as connection:
        first = connection.execute(select(tables.tasks)).mappings().one()
    fold(database, [told_of([([early], _START, "http")])])
    with database.read() as connection:
        found = {row["run"]: row for row in connection.execute(select(tables.tasks)).mappings()}
    assert found[2]["id"] == first["id"]
    assert found[1]["started_at"] == _START


def test_a_week_of_daily_runs_is_seven_tasks_with_their_own_files(database: Database) -> None:
    key = TaskKey(vendor="aliyun", app_id="a", room_id="r", type="record", task_id="user-1")
    events = []
    for day in range(7):
        start = _START + day * 24 * _HOUR
        file = Recording(locator=f"oss:b/{day}", started_at=start + 1000, ended_at=start + _HOUR, available=True)
        events += [
            Event(kind="task.stopped", word="Stop", at=start + _HOUR, task=key, state="stopped"),
            Event(kind="recording.available", word="File", at=start + _HOUR, task=key, recording=file),
            started(key, start),
        ]
    fold(database, [told_of([([event], _START, "http") for event in reversed(events)])])
    with database.read() as connection:
        tasks = connection.execute(select(tables.tasks).order_by(tables.tasks.c.run)).mappings().all()
    assert [task["run"] for task in tasks] == [1, 2, 3, 4, 5, 6, 7]
    assert {task["state"] for task in tasks} == {"stopped"}
    assert {task["recording_count"] for task in tasks} == {1}
    assert {task["recorded_ms"] for task in tasks} == {_HOUR - 1000}


def test_a_start_that_parts_two_uploads_tells_that_a_file_is_available(database: Database) -> None:
    key = TaskKey(vendor="aliyun", app_id="a", room_id="r", type="record", task_id="user-1")
    file = Recording(locator="oss:b/1", started_at=_START, ended_at=_START + _HOUR)
    done = Upload(state="done")
    uploading = Upload(state="uploading")
    events = [
        started(key, _START),
        Event(kind="upload.progressed", word="Upload", at=_START + 25 * _HOUR, task=key, upload=uploading),
        Event(kind="recording.created", word="File", at=_START + _HOUR, task=key, recording=file),
        Event(kind="upload.progressed", word="Upload", at=_START + 2 * _HOUR, task=key, upload=done),
        started(key, _START + 24 * _HOUR),
    ]
    changes = fold(database, [[delivery] for delivery in told_of([([event], _START, "http") for event in events])])
    assert [row["state"] for row in rows(database)["recordings"]] == ["available"]
    assert changes[-1] == ["task.started", "recording.available"]
    assert told_times(changes, "recording.available") == 1


def test_a_family_looks_at_the_other_marks_but_once_for_all_that_are_put_in() -> None:
    key = TaskKey(vendor="aliyun", app_id="a", room_id="r", type="record", task_id="user-1")
    told = [one for (one,) in told_of([([started(key, _START + n)], _START, "http") for n in range(2000)])]
    family = Family(key=key)
    looked = Counting()
    family.marks = looked
    for one in told:
        catalogue.put_again({key: family}, one)
    assert (len(looked), looked.walks) == (2000, 1 + 1)


class Counting(set[Any]):
    """A set that counts how often somebody walks through it."""

    walks = 0

    def __iter__(self) -> Any:
        self.walks += 1
        return super().__iter__()


def test_runs_that_change_places_do_not_meet(database: Database) -> None:
    key = TaskKey(vendor="aliyun", app_id="a", room_id="r", type="record", task_id="user-1")
    fold(database, [told_of([([started(key, _START + run * _HOUR)], _START, "http") for run in (1, 2)])])
    with database.write() as connection:
        family = catalogue.load(connection, {key: None})[key]
        family.tasks = {3 - run: row | {"run": 3 - run} for run, row in family.stored.items()}
        catalogue.write(connection, [family], now=_START)
    with database.read() as connection:
        runs = {row["run"]: row["started_at"] for row in connection.execute(select(tables.tasks)).mappings()}
    assert runs == {1: _START + 2 * _HOUR, 2: _START + _HOUR}


def test_promise_4_a_file_of_which_two_accounts_tell_alike_lies_in_one_storage(database: Database) -> None:
    key = TaskKey(vendor="aliyun", app_id="a", room_id="r", type="record", task_id="t")
    event = Event(kind="recording.created", word="File", at=_START, task=key, recording=Recording(locator="url:h/1"))
    told = []
    for account in ("lessons", "clinic"):
        there = Recording(locator="url:h/1", storage="oss", bucket=f"of-{account}", key="1")
        located = dataclasses.replace(event, recording=there, as_told=event.fingerprint())
        (one,) = told_of([([located], _START, "http")])[0]
        told.append([dataclasses.replace(one, delivery=dataclasses.replace(one.delivery, account=account))])
    found = []
    for order in (told, told[::-1]):
        wipe(database)
        fold(database, [[delivery] for delivery in order])
        found += [row["bucket"] for row in rows(database)["recordings"]]
    assert found == ["of-lessons", "of-lessons"]


@pytest.mark.parametrize("reasons", [(None, ""), ("", None)])
def test_promise_4_an_empty_reason_is_more_than_none_in_any_order(database: Database, reasons: Any) -> None:
    key = TaskKey(vendor="aliyun", app_id="a", room_id="r", type="record", task_id="t")
    stops = [
        Event(kind="task.stopped", word="Stop", at=_START, task=key, state="stopped", reason=reason)
        for reason in reasons
    ]
    fold(database, [told_of([(stops, _START, "http")])])
    assert [row["reason"] for row in rows(database)["tasks"]] == [""]


def test_recorded_time_counts_an_instant_once() -> None:
    assert _covered([(0, 10), (5, 15), (20, 30), (20, 25)]) == 25
    assert _covered([]) == 0
    assert _covered([(10, 5)]) == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=12))
def test_recorded_time_is_what_counting_every_millisecond_gives(spans: list[tuple[int, int]]) -> None:
    assert _covered(spans) == len({instant for start, end in spans for instant in range(start, end)})


def _covered(spans: Sequence[tuple[int, int]]) -> int:
    covered = runs.Covered()
    for start, end in spans:
        covered.add(start, end)
    return covered.total


def test_every_field_of_a_recording_has_a_merge_rule() -> None:
    told = {field.name for field in dataclasses.fields(Recording)} - {"locator"}
    assert told <= set(merge.RULES)
    derived = {"id", "task", "locator", "vendor", "app_id", "room_id", "type", "task_id", "updated_at"}
    columns = {column.name for column in tables.recordings.columns} - derived
    assert columns - {"sightings", "state"} == set(merge.RULES) - {"streams"}


@pytest.mark.parametrize("rule", [merge.latest, merge.least, merge.greatest, merge.union, merge.overlay])
def test_every_merge_rule_says_what_it_takes(rule: Any) -> None:
    assert rule in merge.RULES.values()
    assert rule.__doc__.startswith("Take")
    assert f"*{rule.__name__.capitalize()}*" in _PAGE or f"*{rule.__name__}*" in _PAGE


def test_the_page_on_the_catalogue_has_the_table_of_merge_rules_as_it_is() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|$", _PAGE, flags=re.MULTILINE))
    assert told == {field: getattr(rule, "__name__", "") for field, rule in merge.RULES.items()}
