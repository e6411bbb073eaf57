"""What rules see of a change: its name, what it is about, and the views that conditions and values name."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from handlers.events import KINDS, TaskKey

if TYPE_CHECKING:
    from collections.abc import Mapping

#: the views of a change; the account is text, and stands beside them
EVENT, TASK, RECORDING, SEGMENT, ACCOUNT = "event", "task", "recording", "segment", "account"

#: the fields of each view and what they are; every one may be null, and only lists and media never are
FIELDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        EVENT: {
            "kind": "text",
            "word": "text",
            "at": "time",
            "reason": "text",
            "code": "integer",
            "user_id": "text",
            "source": "text",
            "medium": "text",
            "is_published": "boolean",
            "upload": "text",
            "progress": "integer",
            "push_url": "text",
            "push_state": "text",
            "door": "text",
            "delivery": "text",
            "received_at": "time",
            "business_id": "text",
            "app_id": "text",
            "room_id": "text",
            "task_id": "text",
            "type": "text",
            "vendor": "text",
        },
        TASK: {
            "id": "text",
            "type": "text",
            "run": "integer",
            "vendor": "text",
            "account": "text",
            "app_id": "text",
            "business_id": "text",
            "room_id": "text",
            "task_id": "text",
            "state": "text",
            "reason": "text",
            "upload": "text",
            "started_at": "time",
            "ended_at": "time",
            "recording_count": "integer",
            "segment_count": "integer",
            "recorded_ms": "integer",
            "updated_at": "time",
        },
        RECORDING: {
            "id": "text",
            "task": "text",
            "vendor": "text",
            "account": "text",
            "app_id": "text",
            "business_id": "text",
            "room_id": "text",
            "task_id": "text",
            "url": "text",
            "storage": "text",
            "bucket": "text",
            "region": "text",
            "key": "text",
            "vid": "text",
            "format": "text",
            "streams": "streams",
            "mixed": "boolean",
            "started_at": "time",
            "ended_at": "time",
            "duration_ms": "integer",
            "size_bytes": "integer",
            "media": "media",
            "state": "text",
            "flags": "texts",
            "sightings": "integer",
            "first_seen_at": "time",
            "updated_at": "time",
        },
        SEGMENT: {
            "id": "text",
            "task": "text",
            "vendor": "text",
            "account": "text",
            "app_id": "text",
            "room_id": "text",
            "task_id": "text",
            "identifier": "text",
            "bucket": "text",
            "region": "text",
            "key": "text",
            "streams": "streams",
            "mixed": "boolean",
            "started_at": "time",
            "duration_ms": "integer",
            "size_bytes": "integer",
            "media": "media",
            "first_seen_at": "time",
        },
    }
)


def views_of(change: str) -> tuple[str, ...]:
    """Name the views that a change has: all have event and task, some the recording or the segment as well."""
    if change.startswith("recording."):
        return (EVENT, TASK, RECORDING)
    return (EVENT, TASK, SEGMENT) if change == "segment.created" else (EVENT, TASK)


#: what a condition or value may name, by change
VARIABLES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({name: (*views_of(name), ACCOUNT) for name in KINDS})


@dataclass(frozen=True, kw_only=True)
class Change:
    """What folding one event did to the catalogue, as rules see it.

    The views hold the names of the JSON API, but times as integers, milliseconds since 1970 UTC. A view that the
    change does not have is None; of an `unknown` event the task may be, and is then null in all its fields.
    """

    #: one of handlers.events.KINDS
    name: str
    #: the id of the recording, segment or task that it is about, or of the delivery where nothing else changed
    subject: str
    vendor: str
    #: the name of the account
    account: str
    #: when it happened, milliseconds UTC
    at: int
    delivery: str
    #: which event of the delivery
    position: int = 0
    event: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] | None = None
    recording: Mapping[str, Any] | None = None
    segment: Mapping[str, Any] | None = None

    def view(self, name: str) -> Mapping[str, Any]:
        """Return the view of this name; one that is not there has no fields, so that all of them are null."""
        return getattr(self, name) or {}

    @property
    def task_key(self) -> TaskKey | None:
        """The vendor's own name of the task, if the change is about one."""
        told = self.task or self.event
        kind = told.get("type")
        if kind not in ("record", "segment", "push"):
            return None
        names = {name: str(told.get(name) or "") for name in ("app_id", "room_id", "task_id")}
        return TaskKey(vendor=self.vendor, type=kind, **names)

    @property
    def business_id(self) -> str | None:
        """The vendor's business id, of the event where it says one, else of the task."""
        told = self.event.get("business_id") or (self.task or {}).get("business_id")
        return str(told) if told else None
