"""What rules see of a change: its name, what it is about, and the views that conditions and values name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from handlers.events import KINDS, TaskKey
from handlers.fields import MAX_ID

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


#: what may happen to the same subject again, as another change each time
REPEATABLE: Final = frozenset(
    {
        "recording.changed",
        "upload.progressed",
        "upload.failed",
        "stream.changed",
        "push.updated",
        "push.changed",
        "unknown",
    }
)

#: what a condition or value may name, by change
VARIABLES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({name: (*views_of(name), ACCOUNT) for name in KINDS})

#: the view of a planned action, which conditions may name that choose among actions
ACTION: Final = "action"
ACTION_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "id": "text",
        "rule": "text",
        "operation": "text",
        "vendor": "text",
        "account": "text",
        "destination": "text",
        "lane": "text",
        "subject": "text",
        "change": "text",
        "delivery": "text",
        "task": "text",
        "recording": "text",
        "step": "integer",
        "generation": "integer",
        "mode": "text",
        "state": "text",
        "reason": "text",
        "attempts": "integer",
        "due_at": "time",
        "expires_at": "time",
        "outcome": "text",
        "code": "text",
        "request_id": "text",
        "result": "text",
        "result_detail": "text",
        "result_at": "time",
        "rules_version": "text",
        "original": "text",
        "newer": "text",
        "after": "text",
        "created_at": "time",
        "ended_at": "time",
    }
)
#: the same for whatever expressions are checked for: changes, and actions, whose change may lack some of the views
VIEWS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({**FIELDS, ACTION: ACTION_FIELDS})
NAMED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({**VARIABLES, ACTION: (ACTION, *FIELDS, ACCOUNT)})


@dataclass(frozen=True, kw_only=True)
class Change:
    """What folding one event did to the catalogue, as rules see it.

    The views hold the names of the JSON API, but times as integers, milliseconds since 1970 UTC. A view that the
    change does not have is None; of an `unknown` event the task may be, and is then null in all its fields.
    """

    #: one of handlers.events.KINDS
    name: str
    #: the id of the recording, segment or task that it is about, or of the delivery where no task is known
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
    def occurrence(self) -> str:
        """Name the change among all of its name: its subject, and the event where that may change again."""
        if self.name not in REPEATABLE:
            return self.subject
        event = f"{self.delivery}/{self.position}"
        return event if self.subject == self.delivery else f"{self.subject} {event}"

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
    def task_name(self) -> str | None:
        """Name the task among all: by its id, else in the vendor's words as long as the catalogue doesn't know it."""
        if self.task is not None:
            return None if self.task.get("id") is None else str(self.task["id"])
        key = self.task_key
        if key is None or not key.task_id:
            return None
        words = f"{key.vendor}/{key.app_id}/{key.room_id}/{key.type}/{key.task_id}".encode("utf-8", "replace")
        # It becomes part of an index, in which there is room for three ids.
        is_short = len(words) <= MAX_ID
        return words.decode() if is_short else f"{key.vendor}/{hashlib.blake2b(words, digest_size=16).hexdigest()}"

    @property
    def business_id(self) -> str | None:
        """The vendor's business id, of the event where it says one, else of the task."""
        told = self.event.get("business_id") or (self.task or {}).get("business_id")
        return str(told) if told else None
