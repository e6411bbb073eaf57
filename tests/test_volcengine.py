"""Volcengine's events: what holds for all of them, uploads and streams, and the words that are not read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from counterparts import NOW
from volcengine_callbacks import (
    START,
    TASK,
    envelope,
    file_with,
    fixture,
    read,
    read_with,
    recording,
    utc,
)

from handlers import drift
from handlers.catalogue.families import is_mark
from handlers.errors import UnreadableDelivery
from handlers.events import Stream, StreamState, Upload

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
            RecordFileList=[{"ObjectKey": "a"}, {"ObjectKey": 7, "StartTime": -1, "Duration": -1}],
        )
    text = str(caught.value)
    for said in (
        "RoomId is ''",
        "TaskId is missing",
        "RecordFileList.1.ObjectKey is 7",
        "RecordFileList.1.StartTime is -1",
    ):
        assert said in text
    assert "RecordFileList.0" not in text
    assert "Code" not in text
    assert "Duration" not in text


def test_a_name_that_nobody_can_store_does_no_harm() -> None:
    outer = envelope("RecordStopped")
    data = json.loads(outer["EventData"])
    data["RecordFileList"][0]["\ud800\0"] = "\udfff"
    data["\ud800"] = [{}]
    stopped, created = read(outer | {"EventData": json.dumps(data)})
    assert stopped.kind == "task.stopped"
    assert recording(created).key is not None


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
def test_a_wrong_progress_costs_nothing_but_itself(progress: Any) -> None:
    with drift.noting() as noted:
        (event,) = read_with("RecordUploadProcessing", Progress=progress)
    assert event.upload == Upload(state="uploading")
    assert noted == {("wrong", "Progress")}


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
