"""Volcengine's events, word by word and field by field."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from counterparts import NOW

from handlers.catalogue.families import is_mark
from handlers.errors import UnreadableDelivery
from handlers.events import Delivery, Event, Push, Recording, Segment, Stream, StreamState, TaskKey, Upload
from handlers.reading import is_all_segments
from handlers.vendors.volcengine import VENDOR
from handlers.vendors.volcengine.pushes import without_secret

FIXTURES = Path(__file__).parent / "fixtures" / "volcengine"
APP = "60d2b5c1f9a3e4017c8b9a21"
TASK = TaskKey(vendor="volcengine", app_id=APP, room_id="room_1203", type="record", task_id="lesson_1203")
SLICES = TaskKey(vendor="volcengine", app_id=APP, room_id="room_1203", type="segment", task_id="slices_1203")
PUSH = TaskKey(vendor="volcengine", app_id=APP, room_id="room_1203", type="push", task_id="teacher@@push_1")
START = 1_772_701_500_000


def read(envelope: dict[str, Any]) -> tuple[Event, ...]:
    body = json.dumps(envelope).encode()
    delivery = Delivery(
        id="dlv_1", account="classroom", vendor="volcengine", door="http", received_at=NOW, headers={}, body=body
    )
    return tuple(VENDOR.read(delivery))


def envelope(name: str) -> dict[str, Any]:
    return dict(json.loads((FIXTURES / f"{name}.json").read_bytes()))


def fixture(name: str) -> tuple[Event, ...]:
    return read(envelope(name))


def changed(values: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the object with these fields changed; ... takes one away."""
    return {name: value for name, value in (values | fields).items() if value is not ...}


def read_with(name: str, **fields: Any) -> tuple[Event, ...]:
    """Read the fixture with these fields of its data changed."""
    outer = envelope(name)
    data = changed(json.loads(outer["EventData"]), **fields)
    return read(outer | {"EventData": json.dumps(data)})


def file_with(**fields: Any) -> Recording:
    """Read RecordStopped with these fields of its file changed."""
    data = json.loads(envelope("RecordStopped")["EventData"])
    _, event = read_with("RecordStopped", RecordFileList=[changed(data["RecordFileList"][0], **fields)])
    return recording(event)


def slice_with(**fields: Any) -> Segment:
    data = json.loads(envelope("SegmentRealTimeData")["EventData"])
    (event,) = read_with("SegmentRealTimeData", Data=[changed(data["Data"][0], **fields)])
    return segment(event)


def recording(event: Event) -> Recording:
    assert event.recording is not None
    return event.recording


def segment(event: Event) -> Segment:
    assert event.segment is not None
    return event.segment


def push(event: Event) -> Push:
    assert event.push is not None
    return event.push


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-03-05T09:01:07.001456789Z", utc("2026-03-05T09:01:07") + 1),
        ("2026-03-05T17:01:07+08:00", utc("2026-03-05T09:01:07")),
        ("1970-07-01T00:00:00.000000000Z", utc("1970-07-01T00:00:00")),
        ("soon", NOW),
        ("", NOW),
    ],
)
def test_an_event_happened_when_its_envelope_says(time: str, expected: int) -> None:
    assert {event.at for event in read(envelope("RecordStopped") | {"EventTime": time})} == {expected}


@pytest.mark.parametrize("empty", ["", None, ...])
def test_empty_is_missing(empty: Any) -> None:
    for event in read_with("RecordStopped", BusinessId=empty, ErrorMessage=empty, Code=empty):
        assert (event.business_id, event.reason, event.code) == (None, None, None)
    told = file_with(Vid=empty, Duration=empty, Size=empty, VideoCodec=empty, VideoWidth=empty, StreamList=empty)
    assert (told.vid, told.duration_ms, told.size_bytes, told.streams, told.ended_at) == (None, None, None, (), None)
    assert dict(told.media) == {"audio_codec": "aac", "height": 360}


def test_the_app_id_is_the_datas_or_else_the_envelopes() -> None:
    (event,) = read_with("RecordStarted", AppId=...)
    assert event.task == TASK
    (event,) = read(envelope("RecordStarted") | {"AppId": "another"})
    assert event.task == TASK


def test_ids_may_be_numbers_and_numbers_text() -> None:
    stopped, created = fixture("RecordStopped-numbers-as-text")
    assert stopped.task is not None
    assert (stopped.task.room_id, stopped.task.task_id, stopped.business_id, stopped.code) == ("1203", "99", "42", 0)
    told = recording(created)
    assert (told.duration_ms, told.size_bytes, told.started_at) == (57_472, 5_018_305, START)
    assert told.streams == (Stream(user_id="17", source="screen"),)
    assert dict(told.media) == {"width": 640, "height": 360, "video_codec": "0", "audio_codec": "aac"}


@pytest.mark.parametrize("name", ["RecordStopped", "SegmentRealTimeData", "TranscodeStarted", "RecordUploadDone"])
@pytest.mark.parametrize("data", ["", "[]", "null", "<xml/>", '{"AppId":', "{" * 10_000, '{"a":' + "9" * 5000 + "}"])
def test_data_that_is_no_object_is_unreadable(name: str, data: str) -> None:
    with pytest.raises(UnreadableDelivery, match=r"^EventData "):
        read(envelope(name) | {"EventData": data})


def test_every_wrong_field_is_told_at_once() -> None:
    with pytest.raises(UnreadableDelivery) as caught:
        read_with(
            "RecordStopped",
            RoomId="",
            TaskId=...,
            Code="x",
            RecordFileList=[{"ObjectKey": "a"}, {"ObjectKey": 7, "Duration": -1, "StreamList": [{"StreamType": 0}]}],
        )
    text = str(caught.value)
    for said in (
        "RoomId is ''",
        "TaskId is missing",
        "Code is 'x'",
        "RecordFileList.1.ObjectKey is 7",
        "RecordFileList.1.Duration is -1",
        "RecordFileList.1.StreamList.0.UserId is missing",
    ):
        assert said in text
    assert "RecordFileList.0" not in text


def test_a_name_that_nobody_can_store_does_no_harm() -> None:
    outer = envelope("RecordStopped")
    data = json.loads(outer["EventData"])
    data["RecordFileList"][0]["\ud800\0"] = "\udfff"
    data["\ud800"] = [{}]
    stopped, created = read(outer | {"EventData": json.dumps(data)})
    assert stopped.kind == "task.stopped"
    assert recording(created).key is not None


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


@pytest.mark.parametrize("files", [[], None, "", ...])
def test_a_stop_without_files_is_a_stop(files: Any) -> None:
    (event,) = read_with("RecordStopped", RecordFileList=files)
    assert event.kind == "task.stopped"


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
        ("Duration", -1),
        ("Duration", 0.5),
        ("Duration", True),
        ("Duration", 10**12 + 1),
        ("Duration", "1e3"),
        ("Size", 2**63),
        ("Size", "x"),
        ("Size", [1]),
        ("StartTime", 32_503_680_000_000),
        ("StartTime", "2026-03-05T09:01:07Z"),
        ("StartTime", 10**400),
        ("VideoWidth", -640),
        ("VideoCodec", ["h264"]),
        ("ObjectKey", "a\0"),
        ("ObjectKey", "\ud800"),
        ("ObjectKey", "é" * 513),
        ("ObjectKey", {}),
        ("Vid", 7),
        ("StreamList", [{"UserId": ""}]),
        ("StreamList", [{"UserId": "a", "StreamType": "x"}]),
        ("StreamList", "teacher"),
    ],
)
def test_a_wrong_field_of_a_file_is_unreadable_and_named(field: str, value: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=rf"RecordFileList\.0\.{field}"):
        file_with(**{field: value})


def test_numbers_without_a_fraction_are_whole() -> None:
    told = file_with(Duration=57_472.0, Size=" 5018305 ", StartTime=1.7727015e12)
    assert (told.duration_ms, told.size_bytes, told.started_at) == (57_472, 5_018_305, START)
    assert file_with(StartTime=0).started_at is None, "0 is no time"
    assert file_with(Duration=0).duration_ms == 0


def test_what_the_documentation_does_not_have_is_left_alone() -> None:
    stopped, created = fixture("RecordStopped-further-fields")
    assert stopped.reason is None
    assert recording(created).bucket is None


# --- recordings: uploads and streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "upload"),
    [
        ("RecordUploadStarted", "upload.progressed", Upload(state="uploading")),
        ("RecordUploadProcessing", "upload.progressed", Upload(state="uploading", progress=4210)),
        ("RecordUploadDone", "upload.progressed", Upload(state="done")),
        ("RecordUploadDone-code-0", "upload.progressed", Upload(state="done")),
        ("RecordUploadBackuped", "upload.progressed", Upload(state="backed_up")),
        ("RecordSyncUploadFailed", "upload.failed", Upload(state="failed")),
    ],
)
def test_an_upload_is_told_of_the_run(name: str, kind: str, upload: Upload) -> None:
    (event,) = fixture(name)
    assert (event.kind, event.upload, event.task, event.state, event.begins) == (kind, upload, TASK, None, False)


def test_an_upload_that_is_done_is_done_whatever_its_code() -> None:
    (event,) = fixture("RecordUploadDone")
    assert (event.code, event.upload) == (1, Upload(state="done"))
    (event,) = fixture("RecordSyncUploadFailed")
    assert (event.code, event.reason) == (1, "bucket not found")


@pytest.mark.parametrize(("progress", "expected"), [(0, 0), (10_000, 10_000), ("4210", 4210), ("", None), (..., None)])
def test_progress_is_of_ten_thousand(progress: Any, expected: int | None) -> None:
    (event,) = read_with("RecordUploadProcessing", Progress=progress)
    assert event.upload == Upload(state="uploading", progress=expected)


@pytest.mark.parametrize("progress", [-1, 10_001, "10001", "half", 0.5])
def test_a_wrong_progress_is_unreadable_and_named(progress: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=r"^Progress "):
        read_with("RecordUploadProcessing", Progress=progress)


def test_a_stream_goes_into_the_recording_or_no_more() -> None:
    (audio,) = fixture("RecordAudioStreamStateChanged")
    assert audio.stream == StreamState(
        stream=Stream(user_id="teacher", source="camera"), medium="audio", is_published=True
    )
    assert (audio.kind, audio.at, audio.task) == ("stream.changed", 1_772_701_512_345, TASK)
    (video,) = fixture("RecordVideoStreamStateChanged")
    assert video.stream == StreamState(
        stream=Stream(user_id="teacher", source="screen"), medium="video", is_published=False
    )
    assert not is_mark(video)


def test_a_stream_changed_when_it_says_or_else_when_its_envelope_does() -> None:
    (event,) = read_with("RecordAudioStreamStateChanged", Timestamp=...)
    assert event.at == fixture("RecordAudioStreamStateChanged")[0].at - 1_772_701_512_345 + event.at
    assert datetime.fromtimestamp(event.at / 1000, UTC).year == 2026
    assert event.at % 60_000 == 7_000 + 24


@pytest.mark.parametrize(("state", "expected"), [(0, False), (1, True), ("0", False), ("1", True)])
def test_the_state_of_a_stream_may_be_text(state: Any, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    (event,) = read_with("RecordAudioStreamStateChanged", State=state)
    assert event.stream is not None
    assert event.stream.is_published is expected


@pytest.mark.parametrize(
    ("field", "value"), [("State", 2), ("State", ...), ("State", []), ("State", "on"), ("UserId", ...), ("RoomId", "")]
)
def test_a_stream_change_that_can_not_be_told_is_unreadable(field: str, value: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=f"^{field} "):
        read_with("RecordAudioStreamStateChanged", **{field: value})


# --- segments ---------------------------------------------------------------------------------------------------------


def test_a_slice_is_a_segment() -> None:
    (event,) = fixture("SegmentRealTimeData")
    key = "0d3f9a6e-5c1b-4a53-8f0e-7f2f7d8e1a90_teacher_1772701520214_1.wav"
    assert (event.kind, event.task, event.business_id) == ("segment.created", SLICES, "school-7")
    assert event.segment == Segment(
        locator=f"school-audio/{key}",
        identifier="0d3f9a6e-5c1b-4a53-8f0e-7f2f7d8e1a90",
        bucket="school-audio",
        key=key,
        streams=(Stream(user_id="teacher", source="camera"),),
        mixed=False,
        started_at=1_772_701_520_214,
        duration_ms=8_000,
        size_bytes=256_044,
        media={"sample_rate": 44_100, "bits_per_sample": 16, "channels": 2},
    )


def test_the_bucket_may_have_its_older_name() -> None:
    assert segment(fixture("SegmentRealTimeData-2020")[0]).bucket == "school-audio"
    (event,) = read_with("SegmentRealTimeData", Bucket=...)
    assert segment(event).bucket is None
    assert segment(event).locator.startswith("/0d3f")


def test_the_figures_of_a_slice_may_be_text_or_numbers() -> None:
    told = segment(fixture("SegmentRealTimeData-numbers")[0])
    assert dict(told.media) == {"sample_rate": 48_000, "bits_per_sample": 16, "channels": 1}
    assert dict(slice_with(SampleRate="", Channels=None, BitsPerSample=...).media) == {}


def test_one_callback_tells_of_several_slices_and_all_of_them_are_bulk() -> None:
    events = fixture("SegmentRealTimeData-several")
    assert is_all_segments(events)
    assert [segment(event).mixed for event in events] == [False, False, True]
    assert [[stream.user_id for stream in segment(event).streams] for event in events] == [
        ["teacher"],
        ["pupil@1.example"],
        [],
    ]
    assert len({segment(event).locator for event in events}) == 3


@pytest.mark.parametrize("data", [[], None, "", ...])
def test_a_callback_without_slices_is_unknown(data: Any) -> None:
    (event,) = read_with("SegmentRealTimeData", Data=data)
    assert (event.kind, event.word, event.task) == ("unknown", "SegmentRealTimeData", SLICES)


def test_a_slice_may_not_say_whose_it_is() -> None:
    told = slice_with(Stream=...)
    assert (told.streams, told.mixed) == ((), None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ObjectKey", ...),
        ("ObjectKey", ""),
        ("ObjectKey", 7),
        ("ObjectKey", "k" * 1025),
        ("SampleRate", "44.1k"),
        ("Duration", -1),
        ("TimeStamp", "now"),
        ("Stream", {}),
        ("Stream", "teacher"),
    ],
)
def test_a_wrong_field_of_a_slice_is_unreadable_and_named(field: str, value: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=rf"^Data\.0\.{field}"):
        slice_with(**{field: value})


@pytest.mark.parametrize("field", ["Identifier", "Bucket", "TosBucket"])
def test_a_name_that_no_index_holds_is_unreadable(field: str) -> None:
    with pytest.raises(UnreadableDelivery, match=f"^{field} .*at most 255"):
        read_with("SegmentRealTimeData", **{field: "x" * 256})


# --- pushes -----------------------------------------------------------------------------------------------------------


def test_a_push_begins() -> None:
    (event,) = fixture("TranscodeStarted")
    assert (event.kind, event.task, event.state, event.begins) == ("push.started", PUSH, "running", True)
    assert (event.code, event.reason, event.business_id) == (0, None, None)
    assert event.push == Push(url="rtmp://push.example.com/live/...")


def test_a_push_that_can_not_begin_has_failed() -> None:
    (event,) = fixture("TranscodeStarted-failed")
    assert (event.kind, event.state, event.begins, event.code) == ("task.failed", "failed", True, 1)
    assert event.reason == "connect rtmp://push.example.com/live/... refused"


def test_a_single_stream_has_no_address() -> None:
    assert push(fixture("TranscodeStarted-single")[0]).url is None


def test_an_update_changes_nothing_of_the_run() -> None:
    (event,) = fixture("TranscodeUpdated")
    assert (event.kind, event.state, event.begins, is_mark(event)) == ("push.updated", None, False, False)
    (event,) = fixture("TranscodeUpdated-failed")
    assert (event.kind, event.state, event.code, event.reason) == ("push.updated", None, 1, "layout not custom")


@pytest.mark.parametrize(
    ("name", "state", "code"),
    [("stopped", "stopped", 0), ("reconnecting", "running", 4), ("pushing", "running", 0), ("switched", "running", 0)],
)
def test_a_push_changes(name: str, state: str, code: int) -> None:
    (event,) = fixture(f"TranscodeStateChanged-{name}")
    assert (event.kind, event.state, event.code, event.begins) == ("push.changed", state, code, False)
    assert push(event).state == name


def test_a_push_tells_its_start_and_end_where_there_is_one() -> None:
    stopped = push(fixture("TranscodeStateChanged-stopped")[0])
    assert (stopped.started_at, stopped.ended_at) == (1_772_701_531_000, 1_772_702_531_000)
    reconnecting = push(fixture("TranscodeStateChanged-reconnecting")[0])
    assert (reconnecting.started_at, reconnecting.ended_at) == (None, None)


@pytest.mark.parametrize("state", [0, 5, 99, "", None, ...])
def test_a_state_that_we_do_not_know_is_none(state: Any) -> None:
    (event,) = read_with("TranscodeStateChanged-pushing", TaskState=state)
    assert (event.kind, event.state, push(event).state) == ("push.changed", None, None)


def test_a_push_stops() -> None:
    (event,) = fixture("TranscodeStopped")
    assert (event.kind, event.state, push(event).state) == ("push.stopped", "stopped", "stopped")


def test_the_address_may_have_its_other_spelling() -> None:
    assert push(fixture("TranscodeStateChanged-push-url")[0]).url == "rtmp://push.example.com/live/..."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtmp://push.example.com/live/stream-1?volcSecret=1&volcTime=2", "rtmp://push.example.com/live/..."),
        ("rtmp://a.example.com:1935/live2/abcd-efgh-ijkl", "rtmp://a.example.com:1935/live2/..."),
        ("rtmps://user:password@h.example.com/app/key", "rtmps://h.example.com/app/..."),
        ("srt://1.2.3.4:9000?streamid=secret&passphrase=x", "srt://1.2.3.4:9000"),
        ("rtmp://[::1]:1935/live/key/", "rtmp://[::1]:1935/live/..."),
        ("rtmp://h.example.com/", "rtmp://h.example.com"),
        ("h.example.com/app/s?volcSecret=1 refused", "h.example.com/app/s?... refused"),
        ("rtmp://h.example.com/key", "rtmp://h.example.com/..."),
        ("rtmp://h.example.com/a/b/c/key#frag", "rtmp://h.example.com/a/b/c/..."),
        ("RTMP://H.example.com/app/KEY", "RTMP://H.example.com/app/..."),
        ("rtmp://sec%20ret\\key/x", "rtmp://..."),
        ("rtmp://h,secret/app/key", "rtmp://..."),
        ("no address", "no address"),
        (
            "from rtmp://a.example/x/k1 to rtmp://b.example/y/k2",
            "from rtmp://a.example/x/... to rtmp://b.example/y/...",
        ),
    ],
)
def test_an_address_is_cut_down_to_what_holds_no_secret(text: str, expected: str) -> None:
    assert without_secret(text) == expected


def test_no_secret_of_an_address_is_in_any_event() -> None:
    for name in ("TranscodeStarted", "TranscodeStarted-failed", "TranscodeStateChanged-switched"):
        assert "0123456789" not in repr(fixture(name))
        assert "key-1203" not in repr(fixture(name))
    assert push(read_with("TranscodeStarted", PushURL="k3y")[0]).url == "..."
    for field in ("PushURL", "PushUrl", "ErrorMessage"):
        for wrong in ("rtmp://h.example.com/app/k3y\0", ["k3y"], "k3y" * 1000):
            with pytest.raises(UnreadableDelivery, match=f"^{field} can't be read") as caught:
                read_with("TranscodeStarted", **{field: wrong})
            assert "k3y" not in str(caught.value)


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RoomCreate", "UserJoinRoom", "MachineReviewResult", "SegmentStarted"])
def test_an_event_of_no_task_is_unknown(name: str) -> None:
    (event,) = fixture(name)
    assert (event.kind, event.word, event.task) == ("unknown", name, None)


@pytest.mark.parametrize("name", ["Webcast", "SnapshotRealTimeData", "RecordPaused"])
def test_an_unknown_event_of_a_task_names_it(name: str) -> None:
    (event,) = fixture(name)
    assert (event.kind, event.word, event.task, event.business_id) == ("unknown", name, TASK, "school-7")


def test_a_word_is_known_in_its_own_spelling_only() -> None:
    (event,) = read(envelope("RecordStopped") | {"EventType": "recordStopped"})
    assert (event.kind, event.word) == ("unknown", "recordStopped")
    (event,) = read({name: value for name, value in envelope("RecordStopped").items() if name != "EventType"})
    assert (event.kind, event.word) == ("unknown", "")


def test_a_word_that_can_not_be_stored_is_unreadable() -> None:
    for word in ("a\0", "x" * 3000):
        with pytest.raises(UnreadableDelivery, match=r"^EventType "):
            read(envelope("RecordStopped") | {"EventType": word})
