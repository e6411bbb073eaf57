"""Volcengine's pushes to a CDN, and their addresses."""

from __future__ import annotations

from typing import Any

import pytest
from volcengine_callbacks import (
    PUSH,
    fixture,
    push,
    read_with,
)

from handlers.catalogue.families import is_mark
from handlers.errors import UnreadableDelivery
from handlers.events import Push
from handlers.vendors.volcengine.pushes import without_secret


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
