"""Volcengine's pushes to a CDN, and their addresses."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from folding import fold, rows, told_of, wipe
from volcengine_callbacks import (
    PUSH,
    START,
    changed,
    envelope,
    fixture,
    push,
    read,
    read_with,
    utc,
)

from handlers import drift
from handlers.catalogue.families import is_mark
from handlers.events import Push
from handlers.vendors.volcengine.pushes import without_secret

if TYPE_CHECKING:
    from handlers.database import Database
    from handlers.events import Event


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
        cut = f"{'x ' * 1020}rtmp://a:k3y@h.example.com"
        for wrong in ("rtmp://h.example.com/app/k3y\0", ["k3y"], {"k3y": 1}, "k3y" * 1000, cut):
            (event,) = read_with("TranscodeStarted", **{"PushURL": ..., field: wrong})
            assert event.kind == "push.started"
            assert "k3y" not in repr(event)


def test_a_message_of_any_length_costs_no_push() -> None:
    said = "rtmp://h.example.com/app/key refused " + "again " * 1000
    (event,) = read_with("TranscodeStopped", ErrorMessage=said)
    assert event.reason is not None
    assert event.reason.startswith("rtmp://h.example.com/app/... refused again")
    assert event.reason.endswith(" again")
    assert len(event.reason.encode()) <= 2048


@pytest.mark.parametrize("field", ["TaskState", "StartTime", "FinishTime", "Timestamp", "PushURL", "ErrorMessage"])
def test_one_odd_value_costs_no_push(field: str) -> None:
    with drift.noting() as noted:
        (event,) = read_with("TranscodeStateChanged-pushing", **{field: [1]})
    assert event.kind == "push.changed"
    assert noted == {("wrong", field)}


def test_a_push_happened_when_it_says_or_else_when_its_envelope_does() -> None:
    outer = envelope("TranscodeStopped") | {"EventTime": "2026-03-05T09:36:07Z"}
    data = json.loads(outer["EventData"])
    times = []
    for timestamp in (START + 100, str(START + 900), 0, "soon", ...):
        (event,) = read(outer | {"EventData": json.dumps(changed(data, Timestamp=timestamp))})
        times.append(event.at)
    told = utc("2026-03-05T09:36:07")
    assert times == [START + 100, START + 900, told, told, told]


def test_a_push_that_stops_and_begins_again_within_a_second_is_two_runs(database: Database) -> None:
    words = (("TranscodeStarted", 0), ("TranscodeStopped", 60_100), ("TranscodeStarted", 60_900))
    told = told_of([(_of_whole_seconds(word, START + after), START + after, "http") for word, after in words])
    for order in itertools.permutations(told):
        wipe(database)
        fold(database, [order])
        runs = sorted((task["run"], task["state"], task["started_at"]) for task in rows(database)["tasks"])
        assert runs == [(1, "stopped", START), (2, "running", START + 60_900)]


def _of_whole_seconds(word: str, at: int) -> tuple[Event, ...]:
    """Read the event of that time, whose envelope tells no more than its second."""
    outer = envelope(word)
    data = json.loads(outer["EventData"]) | {"Timestamp": at}
    time = datetime.fromtimestamp(at // 1000, UTC).isoformat()
    return read(outer | {"EventTime": time, "EventData": json.dumps(data)})


@pytest.mark.parametrize("word", ["TranscodeStopped", "TranscodeStateChanged-stopped"])
def test_a_push_that_stops_with_a_code_has_failed(word: str) -> None:
    (event,) = read_with(word, Code=3, ErrorMessage="no stream")
    assert (event.state, event.code, event.reason) == ("failed", 3, "no stream")
    assert push(event).state == "stopped"
    assert event.kind == ("task.failed" if word == "TranscodeStopped" else "push.changed")
