"""Huawei's record callbacks: field by field."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huawei_callbacks import MILLISECONDS, SECONDS, utc

from handlers import drift
from handlers.catalogue.families import sighting_of
from handlers.catalogue.merge import merge
from handlers.errors import UnreadableDelivery
from handlers.events import Delivery, Event, Recording, Stream, TaskKey
from handlers.vendors.huawei import VENDOR

FIXTURES = Path(__file__).parent / "fixtures" / "huawei"
SAMPLE: dict[str, Any] = json.loads((FIXTURES / "RECORD_FILE_COMPLETE.json").read_bytes())
NOW = 1_790_000_000_123


def read(body: bytes, **headers: str) -> Event:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    delivery = Delivery(
        id="dlv_1", account="clinic", vendor="huawei", door="http", received_at=NOW, headers=named, body=body
    )
    (event,) = VENDOR.read(delivery)
    return event


def fixture(name: str, **headers: str) -> Event:
    return read((FIXTURES / f"{name}.json").read_bytes(), **headers)


def read_with(**changed: Any) -> Event:
    """Read the sample with these fields changed; ... takes one away."""
    values = {name: value for name, value in (SAMPLE | changed).items() if value is not ...}
    return read(json.dumps(values).encode())


def recording(event: Event) -> Recording:
    assert event.recording is not None
    return event.recording


def task(event: Event) -> TaskKey:
    assert event.task is not None
    return event.task


# --- what it means ----------------------------------------------------------------------------------------------------


def test_the_documented_sample_reads_in_full_with_its_masks() -> None:
    key = SAMPLE["obs_object"]
    assert fixture("RECORD_FILE_COMPLETE") == Event(
        kind="recording.available",
        word="RECORD_FILE_COMPLETE",
        at=utc("2021-04-28T08:58:02"),
        task=TaskKey(
            vendor="huawei",
            app_id="5fcdf5651xxxxxx6f835d0d4",
            room_id="room01",
            type="record",
            task_id="608196a2fa1xxxxxx515147f32ef463b",
        ),
        recording=Recording(
            locator=f"obs:abc-rtc-bucket2/{key}",
            url=f"https://abc-rtc-bucket2.obs.cn-north-4.myhuaweicloud.com/{key}",
            storage="obs",
            bucket="abc-rtc-bucket2",
            region="cn-north-4",
            key=key,
            format="m3u8",
            started_at=utc("2021-04-28T08:56:57"),
            ended_at=utc("2021-04-28T08:58:02"),
            duration_ms=65_000,
            size_bytes=26_254_952,
            media={"width": 1280, "height": 720},
            available=True,
        ),
    )


def test_a_file_that_begins_says_that_its_job_runs_and_begins_no_run() -> None:
    event = fixture("RECORD_NEW_FILE_START")
    assert (event.kind, event.state, event.begins, event.recording) == ("task.started", "running", False, None)
    assert event.reason is None, "the status text of a job that runs is no reason for its end"


@pytest.mark.parametrize(
    ("name", "reason"), [("CLOUD_RECORD_SERVER_OVER", "EXCEED_MAX_IDLE_TIME"), ("CLOUD_RECORD_OVER", None)]
)
def test_both_words_for_its_end_stop_the_job(name: str, reason: str | None) -> None:
    event = fixture(name)
    assert (event.kind, event.word, event.state, event.reason) == ("task.stopped", name, "stopped", reason)


def test_the_events_of_one_job_belong_to_one_task() -> None:
    names = ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE-table", "RECORD_FILE_COMPLETE-mp4", "CLOUD_RECORD_OVER"]
    names += ["RECORD_FILE_COMPLETE-without-job-id", "RTC_AUDIO_STREAM_OPEN"]
    assert len({task(fixture(name)) for name in names}) == 1


@pytest.mark.parametrize("word", ["RTC_VIDEO_STREAM_CLOSE", "record_file_complete", "RECORD_OVER", "录制", 7])
def test_a_word_that_we_do_not_know_is_kept_and_is_no_error(word: Any) -> None:
    event = read_with(event_type=word)
    assert (event.kind, event.word, event.recording) == ("unknown", str(word), None)
    assert event.task == fixture("RECORD_FILE_COMPLETE").task


def test_an_unknown_word_misses_what_it_does_not_tell_in_silence() -> None:
    assert read(b'{"event_type": "RTC_USER_ROLE_CHANGED", "end_time": "soon", "app_id": []}') == Event(
        kind="unknown", word="RTC_USER_ROLE_CHANGED", at=NOW
    )


def test_whole_numbers_are_taken_as_ids_and_digits_as_sizes() -> None:
    event = fixture("RECORD_FILE_COMPLETE-numbers-as-ids")
    assert task(event) == TaskKey(vendor="huawei", app_id="1", room_id="100", type="record", task_id="1")
    told = recording(event)
    assert (told.streams, told.size_bytes, told.duration_ms) == ((Stream(user_id="user001"),), 1024, 1_800_500)
    assert told.media == {"width": 640, "height": 360}


# --- the stream's name ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # stream_name, job_id and room_id -> job, room and user
        (("s_j1_r1_u1", "j1", "r1"), ("j1", "r1", "u1")),
        (("s_j1_r1_u1", ..., ...), ("j1", "r1", "u1")),
        (("s_j1_r1_u1", None, ""), ("j1", "r1", "u1")),
        (("s_j1_r_1_u_1", "j1", "r_1"), ("j1", "r_1", "u_1")),
        (("s_j1_r_1_u_1", ..., "r_1"), ("j1", "r_1", "u_1")),
        (("s_j_1_r1_u_1", "j_1", "r1"), ("j_1", "r1", "u_1")),
        (("s_j_1_r1_u1", "j_1", ...), ("j_1", "r1", "u1")),
        (("s_j1__r1___", "j1", "_r1"), ("j1", "_r1", "__")),
        # nobody's: another job or room, no single stream, no user
        (("s_j2_r1_u1", "j1", "r1"), ("j1", "r1", None)),
        (("s_j1_r2_u1", "j1", "r1"), ("j1", "r1", None)),
        (("s_j1_r1_", "j1", "r1"), ("j1", "r1", None)),
        (("s_j1_r1", "j1", "r1"), ("j1", "r1", None)),
        (("m_j1_r1_u1", "j1", "r1"), ("j1", "r1", None)),
        (("mystream", "j1", "r1"), ("j1", "r1", None)),
        (("", "j1", "r1"), ("j1", "r1", None)),
        ((..., "j1", "r1"), ("j1", "r1", None)),
        # the stream's name for a job that is told nowhere
        (("mystream", ..., "r1"), ("mystream", "r1", None)),
        (("m_j1_r1_u1", "", "r1"), ("m_j1_r1_u1", "r1", None)),
        ((7, ..., "r1"), ("7", "r1", None)),
    ],
)
def test_job_room_and_user_are_told_by_their_fields_or_else_by_the_name_of_the_stream(
    told: tuple[Any, Any, Any], expected: tuple[str, str, str | None]
) -> None:
    event = read_with(**dict(zip(("stream_name", "job_id", "room_id"), told, strict=True)))
    job, room, user = expected
    assert (task(event).task_id, task(event).room_id) == (job, room)
    assert recording(event).streams == ((Stream(user_id=user, source=None),) if user else ())
    assert recording(event).mixed is (False if user else None)


@pytest.mark.parametrize("name", ["s_j1_r_1_u1", "s_j1_r1", "s_j1__u1", "s__r1_u1", "mystream", "", ...])
def test_a_room_that_can_not_be_told_is_not_guessed(name: Any) -> None:
    with pytest.raises(UnreadableDelivery, match="room_id is missing"):
        read_with(stream_name=name, room_id=...)


def test_the_job_of_a_start_and_an_end_is_found_in_the_same_way() -> None:
    for word in ("RECORD_NEW_FILE_START", "CLOUD_RECORD_SERVER_OVER"):
        assert task(read_with(event_type=word, job_id=...)) == task(read_with(job_id=...))


def test_a_user_too_long_to_be_looked_up_is_left_out() -> None:
    name = f"s_j1_r1_{'u' * 600}"
    assert recording(read_with(stream_name=name, job_id="j1", room_id="r1")).streams == ()


# --- where the file lies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "region"),
    [
        ("cn-north-4", "cn-north-4"),
        (" CN-North-4 ", "cn-north-4"),
        ("http://obs.cn-north-4.myhuaweicloud.com", "cn-north-4"),
        ("https://obs.ap-southeast-3.myhuaweicloud.com/", "ap-southeast-3"),
        ("https://obs.cn-north-4.myhuaweicloud.com:443/x?y", "cn-north-4"),
        ("lessons.obs.eu-west-101.myhuaweicloud.eu", "eu-west-101"),
        ("http://obs.cn-north-4.myhuaweicloud.com.evil.example", None),
        ("http://storage.example.com", None),
        ("somewhere", None),
        ("", None),
        (..., None),
    ],
)
def test_the_region_is_read_from_its_name_or_from_its_endpoint(told: Any, region: str | None) -> None:
    assert recording(read_with(obs_location=told, download_url=...)).region == region


def test_an_unknown_location_leaves_the_region_to_the_url_of_the_same_bucket() -> None:
    assert recording(read_with(obs_location="somewhere")).region == "cn-north-4"
    assert recording(read_with(obs_location=..., obs_bucket="another")).region is None


def test_name_and_url_of_one_file_give_one_locator() -> None:
    by_url, by_name = (recording(fixture(f"RECORD_FILE_COMPLETE-{how}-only")) for how in ("url", "object"))
    both = recording(fixture("RECORD_FILE_COMPLETE-table"))
    assert by_url.locator == by_name.locator == both.locator == f"obs:lessons-rec/{both.key}"
    assert (by_url.bucket, by_url.key, by_url.region) == (both.bucket, both.key, both.region)
    assert by_name.url is None


def test_a_signature_in_the_url_is_not_stored() -> None:
    event = fixture("RECORD_FILE_COMPLETE-signed-url")
    assert recording(event).url == recording(fixture("RECORD_FILE_COMPLETE-table")).url
    assert "hush" not in repr(event)


def test_a_url_that_can_not_be_read_costs_nothing_where_bucket_and_key_are_told() -> None:
    told = recording(fixture("RECORD_FILE_COMPLETE-non-ascii"))
    assert (told.url, told.bucket, told.region) == (None, "lessons-rec", "cn-north-4")
    assert told.key is not None
    assert told.locator == f"obs:lessons-rec/{told.key}"
    assert "高三(2)班 数学/课 1" in told.key
    assert told.streams == (Stream(user_id="学生_7"),)
    urls: list[Any] = [1, [], "ftp://x", "http://user:hush@x.example/a", "\0"]
    assert [recording(read_with(download_url=url)).url for url in urls] == [None] * len(urls)


@pytest.mark.parametrize("missing", [{"obs_bucket": ...}, {"obs_object": None}, {"obs_bucket": "", "obs_object": ""}])
def test_a_file_without_a_place_is_unreadable_and_its_url_is_not_repeated(missing: dict[str, Any]) -> None:
    with pytest.raises(UnreadableDelivery, match="download_url is missing"):
        read_with(**missing, download_url=...)
    with pytest.raises(UnreadableDelivery, match="download_url can't be read") as caught:
        read_with(**missing, download_url="https://user:hush@x.example/a?Signature=hush")
    assert "hush" not in str(caught.value)


def test_a_domain_of_the_customers_own_does_not_tell_the_bucket() -> None:
    told = recording(read_with(obs_bucket=..., download_url="https://media.example.com/a/b.mp4?x", record_format=...))
    assert (told.storage, told.bucket, told.region, told.key) == (None, None, None, None)
    assert (told.locator, told.format) == ("url:media.example.com/a/b.mp4", "mp4")


@pytest.mark.parametrize(
    ("told", "expected"),
    [("HLS", "m3u8"), ("hls", "m3u8"), ("MP4", "mp4"), ("FLV", "flv"), ("", "m3u8"), (..., "m3u8")],
)
def test_the_format_is_told_in_lower_case_hls_by_its_extension(told: Any, expected: str) -> None:
    assert recording(read_with(record_format=told)).format == expected


def test_a_file_that_grows_is_one_recording_with_its_latest_facts_in_any_order() -> None:
    names = ["RECORD_FILE_COMPLETE-table", "RECORD_FILE_COMPLETE-appended"]
    bodies = {name: (FIXTURES / f"{name}.json").read_bytes() for name in names}
    at = {"received_at": NOW, "door": "http", "account": "clinic", "vendor": "huawei", "headers": {}}
    deliveries = [Delivery(id=f"dlv_{name}", body=body, **at) for name, body in bodies.items()]  # type: ignore[arg-type] # of two types
    sightings = [sighting_of(VENDOR.read(one)[0], one, 0) for one in deliveries]
    assert len({one.recording.locator for one in sightings}) == 1
    for order in itertools.permutations([*sightings, sightings[0]]):
        grown = merge(order)
        assert (grown["started_at"], grown["ended_at"]) == (utc("2026-03-02T09:00:05"), utc("2026-03-02T11:15:05"))
        assert (grown["duration_ms"], grown["size_bytes"], grown["state"]) == (2_700_000, 48_000_000, "available")


# --- times and numbers ------------------------------------------------------------------------------------------------


def test_an_event_happened_at_its_end_or_when_it_was_signed_or_when_it_came() -> None:
    assert fixture("RECORD_FILE_COMPLETE", x_rtc_timestamp=SECONDS).at == utc("2021-04-28T08:58:02")
    for name in (
        "RECORD_FILE_COMPLETE-without-times",
        "RECORD_NEW_FILE_START",
        "CLOUD_RECORD_OVER",
        "event_type-missing",
    ):
        assert fixture(name, x_rtc_timestamp=SECONDS).at == 1_790_000_000_000
        assert fixture(name, x_rtc_timestamp=MILLISECONDS).at == 1_790_000_000_123
        for wrong in ("", "soon", "0000000000", "17900000001"):
            assert fixture(name, x_rtc_timestamp=wrong).at == NOW
        assert fixture(name).at == NOW
    assert read_with(event_type="RECORD_NEW_FILE_START").at == utc("2021-04-28T08:56:57")
    assert read_with(event_type="CLOUD_RECORD_OVER").at == utc("2021-04-28T08:58:02")


def test_the_end_is_told_or_start_and_duration_or_open() -> None:
    assert recording(fixture("RECORD_FILE_COMPLETE-without-end-time")).ended_at == utc("2026-03-02T09:30:05")
    assert recording(read_with(end_time=None, record_duration=...)).ended_at is None
    without = recording(fixture("RECORD_FILE_COMPLETE-without-times"))
    assert (without.started_at, without.ended_at, without.duration_ms) == (None, None, None)


@pytest.mark.parametrize("field", ["file_size", "width", "height"])
@pytest.mark.parametrize("value", [-1, "-1", 1.5, "1.5", True, [], {}, 2**63, 10**30, "x", "١"])
def test_a_wrong_number_costs_nothing_but_itself(field: str, value: Any) -> None:
    with drift.noting() as noted:
        told = recording(read_with(**{field: value}))
    assert told == recording(read_with(**{field: ...}))
    assert noted == {("wrong", field)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("end_time", "soon"),
        ("record_duration", "long"),
        ("record_format", ["HLS"]),
        ("obs_location", "x" * 3000),
        ("stream_name", {}),
    ],
)
def test_what_is_only_shown_costs_no_file(field: str, value: Any) -> None:
    with drift.noting() as noted:
        event = read_with(**{field: value})
    assert (event.kind, recording(event).locator) == ("recording.available", recording(read_with()).locator)
    assert noted == {("wrong", field)}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("é" * 3000, "é" * 1024),
        ("x" + "é" * 3000, "x" + "é" * 1023),
        ("over\0", "over\\0"),
        ("\ud800", "\\ud800"),
        ({"why": "房"}, '{"why": "房"}'),
        ({}, None),
        (7, "7"),
    ],
)
def test_a_message_of_any_length_or_type_costs_no_end(message: Any, reason: str | None) -> None:
    event = read_with(event_type="CLOUD_RECORD_OVER", detail_message=message)
    assert (event.kind, event.state, event.reason) == ("task.stopped", "stopped", reason)


@pytest.mark.parametrize("field", ["file_size", "width", "height", "record_duration"])
def test_a_number_that_is_not_told_is_left_open(field: str) -> None:
    for value in (..., None, ""):
        told = recording(read_with(**{field: value}))
        assert field.removeprefix("record_") not in told.media
        assert None in (told.size_bytes, told.duration_ms) or len(told.media) == 1


def test_all_wrong_fields_are_listed_at_once() -> None:
    with pytest.raises(UnreadableDelivery) as caught:
        read(b'{"event_type": "RECORD_FILE_COMPLETE", "room_id": [], "start_time": "2020-02-30T00:00:00Z"}')
    text = str(caught.value)
    assert all(f"{name} " in text for name in ("app_id", "room_id", "job_id", "start_time", "download_url"))
    assert "end_time" not in text


@pytest.mark.parametrize("word", ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "CLOUD_RECORD_OVER"])
@pytest.mark.parametrize("field", ["app_id", "room_id", "job_id"])
@pytest.mark.parametrize("value", [True, 1.5, [], {}, "a\0b", "\ud83d", "x" * 600])
def test_a_wrong_id_is_unreadable_and_named(word: str, field: str, value: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=f"^{field} "):
        read_with(event_type=word, **{field: value})


@pytest.mark.parametrize("bucket", ["a", "a/b", "A-Bucket", "x" * 64, 1234, [], "a b", "\0\0\0"])
def test_a_bucket_that_is_none_is_unreadable_and_named(bucket: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=r"^obs_bucket "):
        read_with(obs_bucket=bucket)


def test_fields_that_we_do_not_know_are_left_alone() -> None:
    further = fixture("RECORD_FILE_COMPLETE-further-fields")
    assert further == fixture("RECORD_FILE_COMPLETE-table")


def test_an_event_of_the_same_bytes_is_the_same_whatever_the_door() -> None:
    body = (FIXTURES / "RECORD_NEW_FILE_START.json").read_bytes()
    one = Delivery(
        id="dlv_1",
        account="clinic",
        vendor="huawei",
        door="http",
        received_at=NOW,
        headers={"x-rtc-timestamp": SECONDS},
        body=body,
    )
    assert VENDOR.read(one) == VENDOR.read(replace(one, id="dlv_2", door="sqs", received_at=NOW + 1))
