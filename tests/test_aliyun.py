"""Alibaba's FileCreated, field by field."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from handlers import drift
from handlers.errors import BadToken, UnreadableDelivery
from handlers.events import Delivery, Event, Incoming, Recording, TaskKey
from handlers.secrets import Secret
from handlers.settings import Account
from handlers.vendor import seen_key
from handlers.vendors.aliyun import VENDOR

FIXTURES = Path(__file__).parent / "fixtures" / "aliyun"
SAMPLE: dict[str, Any] = json.loads((FIXTURES / "FileCreated.json").read_bytes())
NAME = "record/0902-1/9q****/record-004_task-005/2020-09-02-18-23-56_2020-09-02-18-53-56"
HOST = "rtc-record.oss-cn-shanghai.aliyuncs.com"
NOW = 1_790_000_000_123


def read(body: bytes) -> Event:
    delivery = Delivery(
        id="dlv_1", account="lessons", vendor="aliyun", door="http", received_at=NOW, headers={}, body=body
    )
    (event,) = VENDOR.read(delivery)
    return event


def fixture(name: str) -> Event:
    return read((FIXTURES / f"{name}.json").read_bytes())


def read_with(**changed: Any) -> Event:
    """Read the sample with these fields changed; ... takes one away."""
    values = {name: value for name, value in (SAMPLE | changed).items() if value is not ...}
    return read(json.dumps(values).encode())


def recording(event: Event) -> Recording:
    assert event.recording is not None
    return event.recording


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_the_documented_sample_reads_in_full_with_its_masks() -> None:
    assert fixture("FileCreated") == Event(
        kind="recording.available",
        word="FileCreated",
        at=utc("2020-09-02T10:53:46"),
        task=TaskKey(vendor="aliyun", app_id="9q****", room_id="record-004", type="record", task_id="task-005"),
        recording=Recording(
            locator=f"oss:rtc-record/{NAME}.m3u8",
            url=f"http://{HOST}/{NAME}.m3u8",
            storage="oss",
            bucket="rtc-record",
            region="cn-shanghai",
            key=f"{NAME}.m3u8",
            format="m3u8",
            started_at=utc("2020-09-02T10:23:54"),
            ended_at=utc("2020-09-02T10:53:46"),
            duration_ms=1_792_257,
            available=True,
        ),
    )


def test_what_alibaba_does_not_tell_is_left_open() -> None:
    told = recording(fixture("FileCreated"))
    assert (told.streams, told.mixed, told.size_bytes, told.vid, dict(told.media)) == ((), None, None, None, {})


def test_an_absent_duration_is_not_invented_from_the_times() -> None:
    assert recording(fixture("FileCreated-without-duration")).duration_ms is None


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (1792.257, 1_792_257),
        (1792, 1_792_000),
        (0, 0),
        (-0.0, 0),
        (0.0005, 1),
        (0.00049, 0),
        (1.0005, 1001),  # its binary fraction lies below
        (2.0015, 2002),
        (1e3, 1_000_000),
        (1e-7, 0),
        ("1792.257", 1_792_257),
        (" 1792 ", 1_792_000),
        ("1.5e3", 1_500_000),
        ("", None),
        (None, None),
        (..., None),
    ],
)
def test_a_duration_in_seconds_becomes_milliseconds_half_of_one_rounded_up(duration: Any, expected: int | None) -> None:
    assert recording(read_with(Duration=duration)).duration_ms == expected


@pytest.mark.parametrize(
    "duration", [True, [1], {}, "long", "1_000", "١٢", "NaN", "0x10", -1, "-0.001", 1e400, 10**400, 1e10]
)
def test_a_wrong_duration_costs_nothing_but_itself(duration: Any) -> None:
    with drift.noting() as noted:
        assert read_with(Duration=duration) == read_with(Duration=...)
    assert noted == {("wrong", "Duration")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-09-02T10:23:54Z", "2020-09-02T10:23:54"),
        ("2020-09-02T18:23:54+08:00", "2020-09-02T10:23:54"),
        ("2020-09-02t10:23:54z", "2020-09-02T10:23:54"),
        ("2020-09-02T10:23:54", "2020-09-02T10:23:54"),
        (" 2020-09-02 10:23Z ", "2020-09-02T10:23:00"),
        ("2020-02-29T23:59:59.999999999Z", "2020-02-29T23:59:59.999"),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text: str, expected: str) -> None:
    assert recording(read_with(StartTime=text)).started_at == utc(expected)


@pytest.mark.parametrize(
    "text",
    [
        "2020-02-30T00:00:00Z",
        "2020-13-01T00:00:00Z",
        "2020-09-02T24:00:00Z",
        "2020-09-02T10:60:00Z",
        "2020-09-02T10:23:60Z",
        "2020-09-02T10:23:54+24:00",
        "2020-09-02",
        "2020-W36-3T10:23:54Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "3000-01-01T00:00:00Z",
        "yesterday",
        1599042234,
        True,
        [],
        {},
        "\ud800",
        "2020-09-02T10:23:54Z\0",
    ],
)
def test_a_wrong_start_is_unreadable_and_named_and_a_wrong_end_costs_nothing_but_itself(text: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=r"^StartTime "):
        read_with(StartTime=text)
    with drift.noting() as noted:
        assert read_with(StopTime=text) == read_with(StopTime=...)
    assert noted == {("wrong", "StopTime")}


def test_times_come_from_the_fields_and_never_from_the_name_which_is_utc_plus_8() -> None:
    told = recording(fixture("FileCreated-without-times"))
    assert (told.started_at, told.ended_at, told.duration_ms) == (None, None, None)


def test_the_end_is_told_or_start_and_duration_or_open() -> None:
    assert recording(fixture("FileCreated-without-stop-time")).ended_at == utc("2020-09-02T10:23:54") + 1_792_257
    assert recording(read_with(StopTime="", Duration=...)).ended_at is None
    assert recording(read_with(StopTime=None, StartTime=...)).ended_at is None
    latest = recording(read_with(StopTime=..., StartTime="2999-12-31T23:59:59Z", Duration=10**9))
    assert latest.ended_at is not None
    datetime.fromtimestamp(latest.ended_at / 1000, UTC)


def test_an_end_before_its_start_is_kept_as_told() -> None:
    told = recording(read_with(StartTime="2020-09-02T11:00:00Z", StopTime="2020-09-02T10:00:00Z"))
    assert (told.started_at, told.ended_at) == (utc("2020-09-02T11:00:00"), utc("2020-09-02T10:00:00"))


def test_an_event_happened_when_the_recording_stopped_or_started_or_when_it_came() -> None:
    assert fixture("FileCreated").at == utc("2020-09-02T10:53:46")
    assert fixture("FileCreated-without-stop-time").at == utc("2020-09-02T10:23:54")
    assert fixture("FileCreated-without-times").at == NOW


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (".m3u8", "m3u8"),
        (".mp4", "mp4"),
        (".FLV", "flv"),
        (".ts", "ts"),
        (".tar.gz", "gz"),
        (".mp4?x=a.flv#b.m3u8", "mp4"),
        ("", None),
        (".", None),
        (".mp4/", None),
        (".d/name", None),
        ("/.mp4", None),
        (".02%20final%20version", None),
        (".mp4%0A", None),
        (".%E8%A7%86%E9%A2%91", None),
    ],
)
def test_the_format_is_the_extension_of_the_key(ending: str, expected: str | None) -> None:
    assert recording(read_with(Url=f"http://{HOST}/a/b{ending}")).format == expected


def test_formats_and_parts_of_one_task_are_files_of_their_own() -> None:
    formats = [fixture(f"FileCreated{name}") for name in ("", "-mp4", "-flv")]
    assert [recording(event).format for event in formats] == ["m3u8", "mp4", "flv"]
    parts = [fixture(f"FileCreated-split-{number}") for number in (1, 2, 3)]
    for files in (formats, parts):
        assert len({recording(event).locator for event in files}) == 3
        assert len({event.task for event in files}) == 1


def test_ids_come_from_their_fields_and_not_from_the_folder_which_is_ambiguous() -> None:
    task = fixture("FileCreated-split-1").task
    assert task is not None
    assert (task.room_id, task.task_id) == ("lesson_7", "task_a-1")


def test_a_channel_id_of_any_letters_is_text_in_its_field_and_decoded_once_in_the_key() -> None:
    event = fixture("FileCreated-non-ascii-channel")
    assert event.task is not None
    assert event.task.room_id == "高三\uff082\uff09班 数学+物理/100%"
    assert f"/{event.task.room_id}_task-005/" in (recording(event).key or "")


def test_a_customers_own_domain_does_not_tell_the_bucket() -> None:
    told = recording(fixture("FileCreated-cname"))
    assert (told.storage, told.bucket, told.region, told.key) == (None, None, None, None)
    assert told.locator == f"url:media.example.com/{NAME}.mp4"
    assert (told.url, told.format) == (f"https://media.example.com/{NAME}.mp4", "mp4")


def test_endpoints_and_signatures_make_no_other_file() -> None:
    names = ["", "-internal-endpoint", "-accelerate-endpoint", "-signed-url"]
    told = [recording(fixture(f"FileCreated{name}")) for name in names]
    assert {file.locator for file in told} == {f"oss:rtc-record/{NAME}.m3u8"}
    assert [file.region for file in told] == ["cn-shanghai", "cn-shanghai", None, "cn-shanghai"]


def test_a_signature_in_the_url_is_not_stored() -> None:
    assert recording(fixture("FileCreated-signed-url")).url == f"http://{HOST}/{NAME}.m3u8"
    assert "Signature" not in repr(fixture("FileCreated-signed-url"))


def test_whole_numbers_are_taken_as_ids() -> None:
    task = fixture("FileCreated-numbers-as-ids").task
    assert task == TaskKey(vendor="aliyun", app_id="1000001", room_id="204", type="record", task_id="305")


@pytest.mark.parametrize("field", ["AppId", "ChannelId", "TaskId", "Url"])
@pytest.mark.parametrize("value", [..., None, "", True, 1.5, [], {}, ["x"], "a\0b", "\ud83d", "x" * 5000])
def test_a_needed_field_that_is_missing_or_wrong_is_unreadable_and_named(field: str, value: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=f"^{field} "):
        read_with(**{field: value})


def test_all_wrong_fields_are_listed_at_once() -> None:
    with pytest.raises(UnreadableDelivery) as caught:
        read(
            b'{"Event": "FileCreated", "ChannelId": [], "StartTime": "2020-02-30T00:00:00Z", "Duration": {}, "Url": 1}'
        )
    text = str(caught.value)
    assert all(f"{name} " in text for name in ("AppId", "ChannelId", "TaskId", "StartTime", "Url"))
    assert "StopTime" not in text
    assert "2020-02-30" in text


def test_an_unreadable_url_is_not_repeated_in_the_reason() -> None:
    with pytest.raises(UnreadableDelivery) as caught:
        read_with(Url="https://user:hush@media.example.com/a.mp4?Signature=hush")
    assert "hush" not in str(caught.value)
    assert "Url" in str(caught.value)


def test_a_reason_can_be_stored_whatever_came() -> None:
    with pytest.raises(UnreadableDelivery) as caught:
        read_with(AppId="\0\ud800" * 1000, StartTime="\0\ud800", Duration="\0\ud800", ChannelId={"\0": "\ud800"})
    assert "\0" not in str(caught.value)
    assert len(str(caught.value).encode()) < 1000


def test_fields_that_we_do_not_know_are_left_alone() -> None:
    assert recording(fixture("FileCreated-further-fields")) == recording(fixture("FileCreated"))
    assert read_with(**{"Extra\0": "\0\ud800", "\ud800": {"\ud800": [None]}, "model_fields": 1}) == read_with()


@pytest.mark.parametrize("word", ["RecordPaused", "filecreated", "FileCreated ", "录制", 7])
def test_a_word_that_we_do_not_know_is_kept_and_is_no_error(word: Any) -> None:
    event = read_with(Event=word)
    assert (event.kind, event.word, event.recording) == ("unknown", str(word), None)
    assert event.task == fixture("FileCreated").task


@pytest.mark.parametrize("word", [..., None, ""])
def test_a_missing_word_is_unknown_too(word: Any) -> None:
    assert (read_with(Event=word).kind, read_with(Event=word).word) == ("unknown", "")


@pytest.mark.parametrize("word", [True, 1.5, [], {}, "File\0Created", "\ud800", "x" * 5000])
def test_a_word_that_is_no_text_is_unreadable(word: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=r"^Event "):
        read_with(Event=word)


@pytest.mark.parametrize("ids", [{"AppId": ...}, {"TaskId": []}, {"ChannelId": "\0"}])
def test_an_unknown_word_without_its_ids_names_no_task(ids: dict[str, Any]) -> None:
    event = read_with(Event="RecordPaused", **ids)
    assert (event.kind, event.task, event.at) == ("unknown", None, utc("2020-09-02T10:53:46"))


def test_an_unknown_word_with_wrong_times_happened_when_it_came() -> None:
    assert read_with(Event="RecordPaused", StartTime="soon").at == NOW


def test_an_empty_object_is_an_unknown_word() -> None:
    assert read(b"{}") == Event(kind="unknown", word="", at=NOW)


def test_a_form_is_read_up_to_the_length_at_which_decoding_it_costs_too_much() -> None:
    form = "".join(f"%{byte:02X}" for byte in json.dumps(SAMPLE).encode())
    padded = form + "%20" * ((131_072 - len(form)) // 3)
    assert read(padded.encode()) == read(json.dumps(SAMPLE).encode())
    with pytest.raises(UnreadableDelivery, match="the body is not JSON"):
        read(f"{padded}%20".encode())


def test_a_form_that_carries_the_json_is_read() -> None:
    body = (FIXTURES / "FileCreated.json").read_bytes()
    assert read(b"".join(b"%%%02X" % byte for byte in body)) == read(body)


def accept(body: bytes, token: str | None, *tokens: str) -> tuple[tuple[str, ...], int | None]:
    account = Account(name="lessons", vendor="aliyun", url_tokens=tuple(Secret.literal(text) for text in tokens))
    incoming = Incoming(
        vendor="aliyun", account="lessons", door="http", received_at=NOW, headers={}, body=body, token=token
    )
    verified = VENDOR.verify(incoming, account)
    return verified.keys, verified.secret


def test_a_delivery_is_recognised_by_its_message_id_and_what_it_says() -> None:
    body = (FIXTURES / "FileCreated.json").read_bytes()
    keys, _ = accept(body, "right", "right")
    assert len(keys) == 1
    assert keys[0].startswith("message:")
    assert accept(json.dumps(SAMPLE, indent=4, sort_keys=True).encode(), "right", "right")[0] == keys
    assert accept(json.dumps(SAMPLE | {"MsgId": 15}).encode(), "right", "right")[0] != keys


def test_a_corrected_message_under_the_same_id_is_no_repeat() -> None:
    keys, _ = accept(json.dumps(SAMPLE).encode(), "right", "right")
    assert accept(json.dumps(SAMPLE | {"Duration": 1}).encode(), "right", "right")[0] != keys


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"MsgId": ""}',
        b'{"MsgId": null}',
        b'{"MsgId": true}',
        b'{"MsgId": ["x"]}',
        b'{"MsgId"',
    ],
)
def test_a_delivery_without_a_message_id_is_recognised_by_its_body(body: bytes) -> None:
    assert accept(body, "right", "right")[0] == (seen_key("body", body),)


def test_a_message_id_that_no_database_takes_is_a_key_all_the_same() -> None:
    (key,), _ = accept(b'{"MsgId": "\\u0000\\ud800"}', "right", "right")
    assert key.startswith("message:")
    assert key.isascii()


def test_any_of_the_tokens_is_accepted_and_told() -> None:
    assert accept(b"{}", "new", "new", "old")[1] == 0
    assert accept(b"{}", "old", "new", "old")[1] == 1
    assert accept(b"{}", "schlüssel-钥匙", "new", "schlüssel-钥匙")[1] == 1


@pytest.mark.parametrize("token", [None, ""])
def test_a_missing_token_is_refused_and_the_setting_named(token: str | None) -> None:
    with pytest.raises(BadToken, match=r"has no token.*url_tokens of \[accounts\.lessons\]"):
        accept(b"{}", token, "right")


@pytest.mark.parametrize("token", ["wrong", "righ", "right ", "RIGHT", "rightright", "\0", "\ud800", "x" * 100_000])
def test_a_wrong_token_is_refused_and_no_token_is_repeated(token: str) -> None:
    with pytest.raises(BadToken, match=r"is wrong.*url_tokens of \[accounts\.lessons\]") as caught:
        accept(b"{}", token, "right", "s3cr3t")
    assert "right" not in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    assert token not in str(caught.value) or token == "wrong"


def test_a_body_is_not_looked_at_before_its_token_is_right() -> None:
    class Unread(bytes):
        def decode(self, *_: Any, **__: Any) -> str:
            raise AssertionError("the body was read")

    with pytest.raises(BadToken):
        accept(Unread(b"{}"), "wrong", "right")
    with pytest.raises(AssertionError, match="was read"):
        accept(Unread(b"{}"), "right", "right")


def test_an_account_without_tokens_accepts_nothing() -> None:
    with pytest.raises(BadToken, match=r"url_tokens of \[accounts\.lessons\] is empty"):
        accept(b"{}", "anything")
