"""What an item of a list holds: the names of the public contract, from the columns of its row."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from handlers.keeping.deliveries import unpack_headers
from handlers.moments import to_text
from handlers.tables import PROCESSED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Item = dict[str, Any]

#: the flag of a recording whose file another task's recording names too
SHARED = "shared"

RECORDING = (
    "id",
    "task",
    "vendor",
    "account",
    "app_id",
    "business_id",
    "room_id",
    "task_id",
    "url",
    "storage",
    "bucket",
    "region",
    "key",
    "vid",
    "format",
    "streams",
    "mixed",
    "started_at",
    "ended_at",
    "duration_ms",
    "size_bytes",
    "media",
    "state",
    "flags",
    "sightings",
    "first_seen_at",
    "updated_at",
)
SEGMENT = (
    "id",
    "task",
    "vendor",
    "account",
    "app_id",
    "room_id",
    "task_id",
    "identifier",
    "bucket",
    "region",
    "key",
    "streams",
    "mixed",
    "started_at",
    "duration_ms",
    "size_bytes",
    "media",
    "first_seen_at",
)
TASK = (
    "id",
    "type",
    "run",
    "vendor",
    "account",
    "app_id",
    "business_id",
    "room_id",
    "task_id",
    "state",
    "reason",
    "upload",
    "started_at",
    "ended_at",
    "recording_count",
    "segment_count",
    "recorded_ms",
    "updated_at",
)
MARK = ("at", "kind", "state", "begins", "upload", "progress", "reason", "delivery")
IDENTIFIER = ("identifier", "first_at", "last_at", "segment_count")
DELIVERY = ("id", "account", "vendor", "door", "received_at", "state", "reason", "repeats", "events")
ACTION = (
    "id",
    "rule",
    "operation",
    "vendor",
    "account",
    "destination",
    "lane",
    "subject",
    "change",
    "delivery",
    "task",
    "recording",
    "step",
    "generation",
    "mode",
    "state",
    "reason",
    "attempts",
    "due_at",
    "expires_at",
    "outcome",
    "code",
    "request_id",
    "result",
    "result_detail",
    "result_at",
    "rules_version",
    "original",
    "newer",
    "after",
    "created_at",
    "ended_at",
)
ATTEMPT = (
    "number",
    "started_at",
    "ended_at",
    "duration_ms",
    "request",
    "answer",
    "outcome",
    "code",
    "detail",
    "request_id",
    "is_unclear",
)
#: what is shown of an action with its task
ACTION_OF_TASK = ("id", "rule", "operation", "destination", "recording", "state", "created_at")
STOPPED = ("kind", "name", "stopped_at")
REFUSAL = ("id", "account", "vendor", "door", "reason", "detail", "received_at", "size_bytes", "released")

_TIMES = frozenset(
    {
        *("started_at", "ended_at", "first_seen_at", "updated_at", "received_at", "at", "first_at", "last_at"),
        *("due_at", "expires_at", "result_at", "created_at", "stopped_at"),
    }
)
#: what a delivery means of which no event is kept, because it tells of segments
_BULK = ("segment.created",)


def recording(row: Mapping[str, Any], streams: Sequence[Mapping[str, Any]], *, shared: bool) -> Item:
    """Return a recording's item; `streams` are its rows of recording_streams."""
    told = {
        "streams": [{"user_id": one["user_id"], "source": one["source"] or None} for one in streams],
        "media": json.loads(row["media"]),
        "flags": [SHARED] if shared else [],
    }
    return _item(RECORDING, row, told)


def segment(row: Mapping[str, Any]) -> Item:
    """Return a segment's item."""
    told = {name: json.loads(row[name]) for name in ("streams", "media")}
    return _item(SEGMENT, row, told | {"identifier": row["identifier"] or None})


def mark(row: Mapping[str, Any]) -> Item:
    """Return one mark of a task, as shown with the task."""
    return _item(MARK, row, {})


def identifier(row: Mapping[str, Any]) -> Item:
    """Return what the slices of one identifier span, as shown with their task."""
    return _item(IDENTIFIER, row, {"identifier": row["identifier"] or None})


def task(row: Mapping[str, Any]) -> Item:
    """Return a task's item."""
    return _item(TASK, row, {})


def delivery(row: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Item:
    """Return a delivery's item; `events` are its rows of events, in order."""
    words = [word for event in events for word in (event["kind"], *json.loads(event["changes"]))]
    if not words and row["is_bulk"] and row["state"] == PROCESSED:
        words = list(_BULK)
    return _item(DELIVERY, row, {"events": list(dict.fromkeys(words)), "repeats": row["repeats"] or 0})


def refusal(row: Mapping[str, Any]) -> Item:
    """Return a refusal's item."""
    return _item(REFUSAL, row, {})


def action(row: Mapping[str, Any]) -> Item:
    """Return an action's item; it is due as long as it is not over."""
    return _item(ACTION, row, {"due_at": None if row["stage"] == "over" else row["due_at"]})


def call(row: Mapping[str, Any]) -> Item:
    """Return what an action calls with, and the change as destinations are told of it, as shown with the action."""
    return {name: None if row[name] is None else json.loads(row[name]) for name in ("parameters", "told")}


def attempt(row: Mapping[str, Any]) -> Item:
    """Return one attempt of an action, as shown with the action."""
    return _item(ATTEMPT, row, {"is_unclear": bool(row["is_unclear"])})


def action_of_task(row: Mapping[str, Any]) -> Item:
    """Return an action in few words, as shown with its task."""
    return _item(ACTION_OF_TASK, row, {})


def stopped(row: Mapping[str, Any]) -> Item:
    """Return one thing that is stopped by hand."""
    return _item(STOPPED, row, {})


def event(row: Mapping[str, Any]) -> Item:
    """Return one event of a delivery, as shown with the delivery."""
    told = {name: row[name] for name in ("kind", "word", "recording")}
    return told | {"at": to_text(row["at"]), "changes": json.loads(row["changes"])}


def sighting(row: Mapping[str, Any]) -> Item:
    """Return one sighting of a recording, as shown with the recording."""
    return {"delivery": row["delivery"], "door": row["door"], "received_at": to_text(row["received_at"])}


def raw(row: Mapping[str, Any]) -> Item:
    """Return what arrived: the headers, and the body as text if it is UTF-8, else as {"base64": "..."}."""
    return {"headers": unpack_headers(row["headers"]), "body": _body(row["body"])}


def _body(stored: bytes | None) -> str | dict[str, str] | None:
    if stored is None:
        return None
    try:
        return bytes(stored).decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(stored).decode()}


def _item(names: Sequence[str], row: Mapping[str, Any], told: Mapping[str, Any]) -> Item:
    values = {name: told[name] if name in told else row[name] for name in names}
    return {name: to_text(value) if name in _TIMES else value for name, value in values.items()}
