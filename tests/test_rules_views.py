"""What conditions see comes from events and rows as the rest of the house holds them."""

from __future__ import annotations

import json

import pytest
from rule_operations import AT, change

from handlers import tables
from handlers.events import KINDS, Delivery, Event, Push, Stream, StreamState, TaskKey, Upload
from handlers.rules.change import FIELDS, VARIABLES
from handlers.rules.expressions import Expression, Scope
from handlers.rules.views import event_view, row_view

TASK = TaskKey(vendor="volcengine", app_id="app", room_id="room", type="record", task_id="lesson")
DELIVERY = Delivery(
    id="dlv_1", account="classroom", vendor="volcengine", door="http", received_at=AT + 5, headers={}, body=b"{}"
)


def test_an_event_is_seen_with_all_that_it_says() -> None:
    event = Event(
        kind="stream.changed",
        word="RecordStreamStateChange",
        at=AT,
        task=TASK,
        business_id="b",
        code=3,
        reason="why",
        stream=StreamState(stream=Stream(user_id="anna", source="screen"), medium="video", is_published=True),
        upload=Upload(state="uploading", progress=5000),
        push=Push(url="rtmp://cdn.example/live", state="pushing"),
    )
    view = event_view("stream.changed", event, DELIVERY)
    assert list(view) == list(FIELDS["event"])
    assert None not in view.values()
    condition = 'event.user_id == "anna" && event.is_published && event.progress > 4999 && event.received_at > event.at'
    assert Expression(condition, "stream.changed").evaluate(Scope(change("stream.changed", event=view))) is True


def test_an_event_that_says_little_is_null_in_the_rest() -> None:
    view = event_view("unknown", Event(kind="unknown", word="New", at=AT), DELIVERY)
    told = {name for name, value in view.items() if value is not None}
    assert told == {"kind", "word", "at", "door", "delivery", "received_at", "vendor"}


@pytest.mark.parametrize(("view", "table"), [("task", "tasks"), ("recording", "recordings"), ("segment", "segments")])
def test_every_field_of_a_view_is_a_column_or_known_to_come_from_elsewhere(view: str, table: str) -> None:
    columns = set(getattr(tables, table).columns.keys())
    elsewhere = {"recording": {"streams", "flags"}}.get(view, set())
    assert set(FIELDS[view]) - columns == elsewhere


def test_the_rows_of_a_recording_and_of_a_segment_become_their_views() -> None:
    row = {"id": "rec_1", "media": json.dumps({"width": 1280}), "locator": "x", "started_at": AT}
    view = row_view("recording", row, streams=[{"recording": "rec_1", "user_id": "anna", "source": ""}])
    assert view["streams"] == [{"user_id": "anna", "source": None}]
    assert (view["media"], view["started_at"]) == ({"width": 1280}, AT)
    assert "locator" not in view
    stored = json.dumps([{"user_id": "u", "source": None}])
    segment = row_view("segment", {"id": "seg_1", "media": "{}", "streams": stored, "identifier": ""})
    assert (segment["streams"], segment["identifier"]) == ([{"user_id": "u", "source": None}], None)


def test_every_change_has_an_event_and_an_account() -> None:
    assert all({"event", "task", "account"} <= set(VARIABLES[name]) for name in KINDS)
