"""Makes the views of a change from what the rest of the house holds: an event, the catalogue's rows, an action."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from handlers.moments import from_text
from handlers.rules.change import FIELDS, Change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handlers.events import Delivery, Event


def event_view(change: str, event: Event, delivery: Delivery) -> dict[str, Any]:
    """Return what conditions see as `event`; `change` is the change's name in our words."""
    stream, push, upload, task = event.stream, event.push, event.upload, event.task
    return {
        "kind": change,
        "word": event.word,
        "at": event.at,
        "reason": event.reason,
        "code": event.code,
        "user_id": stream.stream.user_id if stream else None,
        "source": stream.stream.source if stream else None,
        "medium": stream.medium if stream else None,
        "is_published": stream.is_published if stream else None,
        "upload": upload.state if upload else None,
        "progress": upload.progress if upload else None,
        "push_url": push.url if push else None,
        "push_state": push.state if push else None,
        "door": delivery.door,
        "delivery": delivery.id,
        "received_at": delivery.received_at,
        "business_id": event.business_id,
        "app_id": task.app_id if task else None,
        "room_id": task.room_id if task else None,
        "task_id": task.task_id if task else None,
        "type": task.type if task else None,
        "vendor": delivery.vendor,
    }


def row_view(view: str, row: Mapping[str, Any], *, streams: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return what conditions see as `task`, `recording` or `segment`, from the catalogue's row of it.

    `streams` are a recording's rows of recording_streams; a segment's stand in its own row. A row lacks `flags`, which
    compare it with others: the caller adds them where it knows them.
    """
    told = {name: row[name] for name in FIELDS[view] if name in row}
    if "media" in FIELDS[view]:
        told["media"] = _read(row.get("media"), {})
        own = _read(row.get("streams"), [])
        told["streams"] = own or [{"user_id": one["user_id"], "source": one["source"] or None} for one in streams]
    if view == "segment":
        told["identifier"] = row.get("identifier") or None
    return told


def told_change(action: Mapping[str, Any]) -> Change:
    """Return the change that an action was planned for, from the action's row: with the views that are kept in `told`.

    Of a vendor's call none is kept.
    """
    told = json.loads(action["told"] or "{}")
    names = {name: action[name] for name in ("subject", "vendor", "account", "at", "delivery", "position")}
    views: dict[str, Any] = {view: _with_times(view, told[view]) for view in FIELDS if told.get(view)}
    return Change(name=action["change"], **names, **views)


def _with_times(view: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a view as it was before its times were written as texts."""
    kinds = FIELDS[view]
    return {
        name: from_text(value) if kinds.get(name) == "time" and isinstance(value, str) else value
        for name, value in told.items()
    }


def _read(stored: Any, otherwise: Any) -> Any:  # noqa: ANN401 - a JSON column, read or not
    return json.loads(stored) if isinstance(stored, str) else stored or otherwise
