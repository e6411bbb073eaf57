"""Volcengine's recordings: starts, stops and files, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from volcengine_callbacks import (
    START,
    TASK,
    envelope,
    file_with,
    fixture,
    read_with,
    recording,
    utc,
)

from handlers import drift
from handlers.catalogue.families import is_mark
from handlers.errors import UnreadableDelivery
from handlers.events import Event, Recording, Stream, Upload

# --- recordings: starts and stops -------------------------------------------------------------------------------------


def test_a_start_begins_a_run() -> None:
    (event,) = fixture("RecordStarted")
    assert event == Event(
        kind="task.started",
        word="RecordStarted",
        at=utc("2026-03-05T09:01:07"),
        task=TASK,
        business_id="school-7",
        state="running",
        begins=True,
        code=0,
    )


def test_a_failed_start_begins_a_run_that_failed_and_says_why() -> None:
    (event,) = fixture("RecordStarted-failed")
    assert (event.kind, event.state, event.begins) == ("task.failed", "failed", True)
    assert (event.code, event.reason) == (1, "record not enabled")


def test_a_start_without_a_code_is_one() -> None:
    (event,) = fixture("RecordStarted-without-business")
    assert (event.kind, event.state, event.begins, event.code, event.business_id) == (
        "task.started",
        "running",
        True,
        None,
        None,
    )
    assert event.task is not None
    assert event.task.task_id == "teacher"


def test_a_stop_ends_the_run_and_lists_its_files() -> None:
    stopped, created = fixture("RecordStopped")
    assert (stopped.kind, stopped.state, stopped.begins, stopped.code) == ("task.stopped", "stopped", False, 0)
    assert stopped.recording is None
    assert (created.kind, created.word, created.at, created.task) == (
        "recording.created",
        "RecordStopped",
        stopped.at,
        TASK,
    )
    assert created.business_id == "school-7"
    assert not is_mark(created)
    key = "lessons/2026/lesson_1203_room_1203_teacher_C_1772701500000_000057_c4694fa1.mp4"
    assert created.recording == Recording(
        locator=f"key:{key}",
        key=key,
        format="mp4",
        streams=(Stream(user_id="teacher", source="camera"),),
        started_at=START,
        ended_at=START + 57_472,
        duration_ms=57_472,
        size_bytes=5_018_305,
        media={"width": 640, "height": 360, "video_codec": "h264", "audio_codec": "aac"},
    )


def test_a_failed_stop_keeps_its_files() -> None:
    failed, created = fixture("RecordStopped-failed")
    assert (failed.kind, failed.state, failed.begins) == ("task.failed", "failed", False)
    assert (failed.code, failed.reason) == (1, "task interrupted")
    assert recording(created).format == "flv"
    assert dict(recording(created).media) == {"width": 0, "height": 0, "video_codec": "h264"}


@pytest.mark.parametrize(("code", "expected"), [(-1, -1), ("-1", -1), (9999, 9999), ("1", 1)])
def test_any_code_but_0_is_a_failure(code: Any, expected: int) -> None:
    failed, created = read_with("RecordStopped", Code=code)
    assert (failed.kind, failed.code, created.kind) == ("task.failed", expected, "recording.created")


@pytest.mark.parametrize("code", [True, 0.5, "ok", [], 10**300, "9" * 100])
def test_a_code_that_is_no_whole_number_costs_nothing_but_itself(code: Any) -> None:
    with drift.noting() as noted:
        stopped, created = read_with("RecordStopped", Code=code)
    assert (stopped.kind, stopped.code, created.kind) == ("task.stopped", None, "recording.created")
    assert noted == {("wrong", "Code")}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("x" * 2100, "x" * 2048),
        ("é" * 2100, "é" * 1024),
        ("a\0b", "a\\0b"),
        ("\ud800", "\\ud800"),
        ({}, None),
        ([], None),
        ({"a": [1]}, '{"a": [1]}'),
        (1.5, "1.5"),
        (404, "404"),
    ],
)
def test_a_message_of_any_length_or_type_costs_no_file(message: Any, reason: str | None) -> None:
    stopped, created = read_with("RecordStopped", ErrorMessage=message)
    assert (stopped.kind, stopped.state, stopped.reason) == ("task.stopped", "stopped", reason)
    assert created.recording is not None


@pytest.mark.parametrize("files", [[], None, "", ...])
def test_a_stop_without_files_is_a_stop(files: Any) -> None:
    (event,) = read_with("RecordStopped", RecordFileList=files)
    assert event.kind == "task.stopped"


@pytest.mark.parametrize(
    ("files", "first"), [([0] * 10_000, "RecordFileList.0 "), ([{}] * 10_000, "RecordFileList.0 ")]
)
def test_of_ten_thousand_wrong_items_the_first_one_is_told(files: Any, first: str) -> None:
    with pytest.raises(UnreadableDelivery) as caught:
        read_with("RecordStopped", RecordFileList=files)
    assert first in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_stop_with_five_hundred_files_lists_them_all() -> None:
    file = json.loads(envelope("RecordStopped")["EventData"])["RecordFileList"][0]
    files = [file | {"ObjectKey": f"lessons/{number}.mp4"} for number in range(500)]
    events = read_with("RecordStopped", RecordFileList=files)
    assert len(events) == 501
    assert len({recording(event).locator for event in events[1:]}) == 500


@pytest.mark.parametrize("files", [{}, "x", 7, [[]], ["x"], [None]])
def test_a_list_of_no_files_is_unreadable(files: Any) -> None:
    with pytest.raises(UnreadableDelivery, match="RecordFileList"):
        read_with("RecordStopped", RecordFileList=files)


# --- recordings: files ------------------------------------------------------------------------------------------------


def test_a_file_is_known_by_its_key_else_its_vid_else_its_start_and_streams() -> None:
    assert file_with(ObjectKey="a/b.mp4", Vid="v0").locator == "key:a/b.mp4"
    assert file_with(ObjectKey="", Vid="v0").locator == "vid:v0"
    nameless = file_with(ObjectKey=...)
    assert nameless.locator.startswith(f"start:{START}:")
    assert nameless.locator == file_with(ObjectKey=..., Duration=1, Size=...).locator
    other = file_with(ObjectKey=..., StreamList=[{"UserId": "teacher", "StreamType": 1}])
    later = file_with(ObjectKey=..., StartTime=START + 1)
    assert len({nameless.locator, other.locator, later.locator}) == 3
    both = [{"UserId": "a"}, {"UserId": "b"}]
    assert file_with(ObjectKey=..., StreamList=both).locator == file_with(ObjectKey=..., StreamList=both[::-1]).locator
    with pytest.raises(UnreadableDelivery, match="expected an ObjectKey, a Vid or a StartTime"):
        file_with(ObjectKey=..., StartTime=0)


def test_a_file_has_one_locator_while_it_grows_and_when_it_is_whole() -> None:
    early, created = fixture("RecordSyncUploadStarted")
    assert (early.kind, early.upload, early.state) == ("upload.progressed", Upload(state="uploading"), None)
    growing = recording(created)
    assert (growing.duration_ms, growing.size_bytes, growing.ended_at) == (None, None, None)
    assert growing.format == "m3u8"
    assert file_with(ObjectKey=growing.key).locator == growing.locator
    _, nameless = read_with(
        "RecordSyncUploadStarted",
        RecordFileList=[{"StartTime": START, "StreamList": [{"UserId": "teacher", "StreamType": 0}]}],
    )
    assert file_with(ObjectKey=...).locator == recording(nameless).locator


def test_each_format_and_each_split_is_a_file() -> None:
    assert [recording(event).format for event in fixture("RecordStopped-formats")[1:]] == ["m3u8", "mp4"]
    camera, screen, second = (recording(event) for event in fixture("RecordStopped-three-files")[1:])
    assert camera.streams == second.streams == (Stream(user_id="teacher", source="camera"),)
    assert screen.streams == (Stream(user_id="teacher", source="screen"),)
    assert second.started_at == START + 14_400_000


def test_a_file_of_several_streams_is_mixed_and_of_one_it_is_not_known() -> None:
    _, created = fixture("RecordStopped-mixed")
    assert recording(created).mixed is True
    assert recording(created).streams == (
        Stream(user_id="teacher", source="camera"),
        Stream(user_id="teacher", source="screen"),
        Stream(user_id="学生-1"),
    )
    assert file_with().mixed is None
    assert file_with(StreamList=[]).mixed is None
    assert file_with(StreamList=[{"UserId": "a", "StreamType": 7}]).streams == (Stream(user_id="a"),)


def test_no_event_says_that_a_file_is_available() -> None:
    for name in ("RecordStopped", "RecordSyncUploadStarted", "RecordStopped-vid"):
        assert not any(recording(event).available for event in fixture(name) if event.recording)


def test_a_file_in_vod_has_a_vid_and_no_key() -> None:
    told = recording(fixture("RecordStopped-vid")[1])
    assert (told.vid, told.key, told.format) == ("v0d004g10000c5kq5rjc77u4m5q2jbv0", None, None)
    assert told.locator == "vid:v0d004g10000c5kq5rjc77u4m5q2jbv0"


@pytest.mark.parametrize(
    ("key", "expected"),
    [("a.mp4", "mp4"), ("a/b.M3U8", "m3u8"), ("a.b/c", None), ("a.", None), ("a/.mp4", None), ("a.tar.gz", "gz")],
)
def test_the_format_is_the_keys_extension(key: str, expected: str | None) -> None:
    assert file_with(ObjectKey=key).format == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("StartTime", 32_503_680_000_000),
        ("StartTime", "2026-03-05T09:01:07Z"),
        ("StartTime", 10**400),
        ("ObjectKey", "a\0"),
        ("ObjectKey", "\ud800"),
        ("ObjectKey", "é" * 513),
        ("ObjectKey", {}),
        ("Vid", 7),
    ],
)
def test_a_wrong_field_of_a_file_is_unreadable_and_named(field: str, value: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=rf"RecordFileList\.0\.{field}"):
        file_with(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("Duration", -1, "duration_ms"),
        ("Duration", 0.5, "duration_ms"),
        ("Duration", True, "duration_ms"),
        ("Duration", 10**12 + 1, "duration_ms"),
        ("Duration", "1e3", "duration_ms"),
        ("Size", 2**63, "size_bytes"),
        ("Size", "x", "size_bytes"),
        ("Size", [1], "size_bytes"),
        ("VideoWidth", -640, "width"),
        ("VideoCodec", ["h264"], "video_codec"),
        ("VideoCodec", "h" * 3000, "video_codec"),
    ],
)
def test_one_odd_value_in_one_file_costs_no_other(field: str, value: Any, name: str) -> None:
    file = json.loads(envelope("RecordStopped")["EventData"])["RecordFileList"][0]
    files = [file | {"ObjectKey": f"lessons/{number}.mp4"} for number in range(3)]
    files[1][field] = value
    with drift.noting() as noted:
        stopped, *created = read_with("RecordStopped", RecordFileList=files)
    assert (stopped.kind, len(created)) == ("task.stopped", 3)
    first, odd, last = (recording(event) for event in created)
    told = vars(odd) | dict(odd.media)
    assert told.get(name) is None
    assert first.duration_ms == last.duration_ms == 57_472
    assert noted == {("wrong", field)}


@pytest.mark.parametrize(
    ("streams", "users"),
    [
        ([{"UserId": ""}], []),
        ([None], []),
        (["teacher", {"UserId": "a"}, {"UserId": "a\0"}], ["a"]),
        ([{"UserId": 0}, {"UserId": [], "StreamType": 0}], ["0"]),
        ("teacher", []),
        ({"UserId": "a"}, []),
        ([0] * 10_000, []),
    ],
)
def test_a_stream_that_is_none_costs_nothing_but_itself(streams: Any, users: list[str]) -> None:
    with drift.noting() as noted:
        assert [stream.user_id for stream in file_with(StreamList=streams).streams] == users
    assert noted == {("wrong", "StreamList")}
    assert file_with(StreamList=[{"UserId": "a", "StreamType": "x"}]).streams == (Stream(user_id="a"),)


def test_a_field_that_no_page_has_is_drift() -> None:
    with drift.noting() as noted:
        fixture("RecordStopped-further-fields")
    names = {"Domain", "StopReason", "Bucket", "Region", "Extra"}
    assert noted == {("unknown", name) for name in names}
    with drift.noting() as noted:
        fixture("RecordStopped-mixed")
        read_with("RecordStopped", **{"no name": 1, "\ud800": 2})
    assert noted == {("unknown", drift.NO_NAME)}, "Index is documented"
    with drift.noting() as noted:
        read_with("RecordStopped", **{f"a{number}": 0 for number in range(100)})
    assert len(noted) == drift.MOST


def test_numbers_without_a_fraction_are_whole() -> None:
    told = file_with(Duration=57_472.0, Size=" 5018305 ", StartTime=1.7727015e12)
    assert (told.duration_ms, told.size_bytes, told.started_at) == (57_472, 5_018_305, START)
    assert file_with(StartTime=0).started_at is None, "0 is no time"
    assert file_with(Duration=0).duration_ms == 0


def test_what_the_documentation_does_not_have_is_left_alone() -> None:
    stopped, created = fixture("RecordStopped-further-fields")
    assert stopped.reason is None
    assert recording(created).bucket is None
