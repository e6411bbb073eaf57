"""What Volcengine tells of a push task: how a mixed stream's way to a CDN begins, changes and ends.

Fields: the page docs/6348/75125. Its table says `PushURL`, its change log `PushUrl`; there is no BusinessId. The
address often holds a secret, in its query or as its last part, by which anybody could send in the owner's name: of it
only scheme, host and the path before its last part are kept, in the reason as well.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from handlers.events import Event, Push
from handlers.fields import MAX_TEXT, MaybeCount, MaybeInstant, note_wrong, read_fields, shown
from handlers.vendors.volcengine import words
from handlers.vendors.volcengine.told import Result, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.events import PushState, TaskState

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]{0,15})://([^\s/?#\\]*)([^\s?#\\]*)\S*", re.IGNORECASE | re.ASCII)
#: of an address that is written without its scheme, where it has a "=": looked for in what is found, and not by the
#: pattern, which would look again from each of two thousand question marks
_QUERY = re.compile(r"\?\S*")
_HOST = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)

#: TaskState -> how the push fares, and what that says of the task
#: milliseconds by which what a push tells of its time may differ from its event's
_DAY = 86_400_000
_STATES: Mapping[int | None, tuple[PushState, TaskState]] = {
    1: ("stopped", "stopped"),
    2: ("reconnecting", "running"),
    3: ("pushing", "running"),
    4: ("switched", "running"),
}


def _hushed(value: Any, info: ValidationInfo) -> str | None:  # noqa: ANN401 - any JSON value
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        note_wrong(info)  # whatever it holds may be a key
        return None
    text = str(value)
    if len(text) > MAX_TEXT:  # an address that is cut in two could not be told for one
        text = text[:MAX_TEXT].rpartition(" ")[0] or "..."
    return shown(without_secret(text))


#: text in which every address is cut down; what is no text is left out
Hushed = Annotated[str | None, BeforeValidator(_hushed)]


class _Push(Result):
    push_url: Hushed = Field(None, alias="PushURL")
    other_push_url: Hushed = Field(None, alias="PushUrl")
    error_message: Hushed = Field(None, alias="ErrorMessage")
    task_state: MaybeCount = Field(None, alias="TaskState")
    start_time: MaybeInstant = Field(None, alias="StartTime")
    finish_time: MaybeInstant = Field(None, alias="FinishTime")
    timestamp: MaybeInstant = Field(None, alias="Timestamp")

    def push(self, state: PushState | None) -> Push:
        """Return it in our words."""
        return Push(
            url=_address(self.push_url or self.other_push_url),
            state=state,
            started_at=self.start_time,
            ended_at=self.finish_time,
        )


def _address(text: str | None) -> str | None:
    """Return what is left of an address; nothing of what is none, for it may be a key."""
    return text if text is None or _ADDRESS.match(text) else "..."


def without_secret(text: str) -> str:
    """Return the text with every address in it cut down to what holds no secret: `rtmp://host/live/...`."""
    return _QUERY.sub(_without_values, _ADDRESS.sub(_shortened, text))


def _without_values(found: re.Match[str]) -> str:
    return "?..." if "=" in found[0] else found[0]


def _shortened(found: re.Match[str]) -> str:
    scheme, authority, path = found.groups()
    host = authority.rpartition("@")[2]
    if not _HOST.fullmatch(host):
        return f"{scheme}://..."
    before, _, last = path.rstrip("/").rpartition("/")
    return f"{scheme}://{host}{before}{'/...' if last else ''}"


def _started(told: Told) -> tuple[Event, ...]:
    data = read_fields(_Push, told.data)
    if data.has_failed:
        return (replace(_event(told, data, "task.failed"), state="failed", begins=True),)
    return (replace(_event(told, data, "push.started"), state="running", begins=True),)


def _updated(told: Told) -> tuple[Event, ...]:
    return (_event(told, read_fields(_Push, told.data), "push.updated"),)


def _changed(told: Told) -> tuple[Event, ...]:
    data = read_fields(_Push, told.data)
    push, state = _STATES.get(data.task_state, (None, None))
    if state == "stopped" and data.has_failed:
        state = "failed"
    return (replace(_event(told, data, "push.changed", push), state=state),)


def _stopped(told: Told) -> tuple[Event, ...]:
    data = read_fields(_Push, told.data)
    if data.has_failed:
        return (replace(_event(told, data, "task.failed", "stopped"), state="failed"),)
    return (replace(_event(told, data, "push.stopped", "stopped"), state="stopped"),)


def _at(told: Told, data: _Push) -> int:
    """Return when it happened, to the millisecond; many an EventTime is of whole seconds, in which pushes follow."""
    time = data.timestamp
    return told.at if time is None or abs(time - told.at) > _DAY else time


def _event(told: Told, data: _Push, kind: str, state: PushState | None = None) -> Event:
    return Event(
        kind=kind,
        word=told.word,
        at=_at(told, data),
        task=data.task("push"),
        business_id=data.business_id,
        push=data.push(state),
        code=data.code,
        reason=data.error_message,
    )


READERS: Mapping[str, Callable[[Told], tuple[Event, ...]]] = {
    words.PUSH_STARTED: _started,
    words.PUSH_UPDATED: _updated,
    words.PUSH_CHANGED: _changed,
    words.PUSH_STOPPED: _stopped,
}
