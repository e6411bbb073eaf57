"""Volcengine's fixtures, read as they are or with fields changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from counterparts import NOW

from handlers.events import Delivery, Event, Push, Recording, Segment, TaskKey
from handlers.vendors.volcengine import VENDOR

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
