"""What a list can be asked for: the filters, which of them fit which kind of row, and where a page begins."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, get_args

from handlers import tables
from handlers.errors import WrongRequest
from handlers.events import DOORS, RECORDING_STATES, TASK_STATES, TaskType
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORDINGS = "recordings"
SEGMENTS = "segments"
TASKS = "tasks"
DELIVERIES = "deliveries"
REFUSALS = "refusals"
ACTIONS = "actions"

#: rows on a page unless told otherwise, and at the most
DEFAULT_LIMIT = 50
MOST = 1000

_IDS = ("vendor", "account", "app_id", "business_id", "room_id", "task_id")
_NAMES = (*_IDS, "type")
_STARTED = ("started_after", "started_before")
_RECEIVED = ("received_after", "received_before")
_CREATED = ("created_after", "created_before")
_OF_CALL = ("rule", "operation", "destination", "mode")
#: kind of row -> the filters that it knows
KNOWN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        RECORDINGS: (*_NAMES, "user_id", "format", "state", "door", *_STARTED, *_RECEIVED, "updated_after", "q"),
        SEGMENTS: (*_IDS, "user_id", *_STARTED, *_RECEIVED, "q"),
        TASKS: (*_NAMES, "state", *_STARTED, "updated_after", "q"),
        DELIVERIES: (*_NAMES, "user_id", "format", "state", "door", "reason", *_RECEIVED, "q"),
        REFUSALS: ("vendor", "account", "door", "reason", *_RECEIVED),
        ACTIONS: ("vendor", "account", "room_id", "task_id", "state", *_OF_CALL, "task", "recording", *_CREATED),
    }
)
#: kind of row -> the states that its rows can have
STATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        RECORDINGS: RECORDING_STATES,
        SEGMENTS: (),
        TASKS: TASK_STATES,
        DELIVERIES: (tables.KEPT, tables.PROCESSED, tables.QUARANTINED),
        REFUSALS: (),
        ACTIONS: ("planned", "shadow", "running", "done", "again", "dead", "superseded", "cancelled", "refused"),
    }
)
TYPES: tuple[str, ...] = get_args(TaskType)
MODES = ("live", "shadow")

_ID = re.compile(r"[a-z]{3}_[0-9a-z]{1,64}")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What the rows of a list must have; several values of one field mean any of them.

    A delivery has the names (app_id to format, and q) of what it told of: a recording, a segment, or the start, stop,
    failure or upload of a task; all of them of the same one. There are too many segments to look at, but for a room,
    task, user or q, or where the type asks for them.

    Times are milliseconds since 1970 UTC; "after" includes the moment itself, "before" does not.
    """

    vendor: tuple[str, ...] = ()
    account: tuple[str, ...] = ()
    app_id: tuple[str, ...] = ()
    business_id: tuple[str, ...] = ()
    room_id: tuple[str, ...] = ()
    #: the vendor's name of the task
    task_id: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    #: somebody whose picture or sound is in the file
    user_id: tuple[str, ...] = ()
    format: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    #: of a recording: a door through which any of its deliveries came
    door: tuple[str, ...] = ()
    #: of a refusal: its word; of a delivery: what the reason of its quarantine begins with
    reason: tuple[str, ...] = ()
    started_after: int | None = None
    started_before: int | None = None
    #: of a recording or segment: when it was first heard of
    received_after: int | None = None
    received_before: int | None = None
    updated_after: int | None = None
    #: what the room or the task begins with; of a recording: or the key of its file
    q: str | None = None
    #: of an action: what asked for it, what it calls, and whether it is sent at all
    rule: tuple[str, ...] = ()
    operation: tuple[str, ...] = ()
    destination: tuple[str, ...] = ()
    mode: tuple[str, ...] = ()
    #: the ids of the task, and of the recording or segment, that it is about
    task: tuple[str, ...] = ()
    recording: tuple[str, ...] = ()
    #: of an action: when it was planned, by its id
    created_after: int | None = None
    created_before: int | None = None

    def given(self) -> tuple[str, ...]:
        """Return the names of the filters that ask for anything."""
        return tuple(one.name for one in fields(self) if getattr(self, one.name) not in ((), None))


@dataclass(frozen=True, kw_only=True)
class Page:
    """Which part of a list is wanted: at most `limit` rows (1..1000) after where `cursor` says."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


def check(kind: str, filters: Filters) -> None:
    """Raise WrongRequest with every filter that the kind does not know, and every value that can't be."""
    wrong = {
        name: f"is no filter of {kind}; known: {', '.join(KNOWN[kind])}"
        for name in filters.given()
        if name not in KNOWN[kind]
    }
    known = {"vendor": tuple(VENDORS), "state": STATES[kind], "type": TYPES, "door": DOORS, "mode": MODES}
    for name, words in known.items():
        unknown = [word for word in getattr(filters, name) if word not in words]
        if unknown and name not in wrong:
            wrong[name] = f"is {unknown[0]!r}; expected {', '.join(words)}"
    for name in filters.given():
        value = getattr(filters, name)
        words = (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ()
        if any(_UNSTORABLE.search(word) for word in words):
            wrong[name] = "holds a NUL or half a surrogate pair, which nothing that we keep can hold"
    if wrong:
        raise WrongRequest(wrong)


def to_cursor(kind: str, last: str) -> str:
    """Return the cursor of the page that begins after the row of this id."""
    return base64.urlsafe_b64encode(f"{kind}:{last}".encode()).decode().rstrip("=")


def from_cursor(kind: str, page: Page) -> str | None:
    """Return the id after which the page begins; raise WrongRequest for a wrong limit, or what is no cursor of ours."""
    wrong = {}
    if not 1 <= page.limit <= MOST:
        wrong["limit"] = f"is {page.limit}; expected 1 to {MOST}"
    last = None
    if page.cursor is not None:
        named, _, last = _decoded(page.cursor).partition(":")
        if named != kind or not _ID.fullmatch(last):
            wrong["cursor"] = f"is no cursor of {kind}; expected the `next` of an earlier answer, unchanged"
    if wrong:
        raise WrongRequest(wrong)
    return last


def _decoded(cursor: str) -> str:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
