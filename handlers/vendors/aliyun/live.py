"""What a callback of ApsaraVideo Live means, for recordings of ARTC, and whether Live signed it.

ARTC's recordings are begun with StartRtcCloudRecording. Fields, words and signature:
https://help.aliyun.com/zh/live/on-cloud-recording-callback-message. The signature is MD5 of timestamp|NotifyAuthKey,
without any domain, other than that of Live's stream recordings. It does not cover the body: whoever saw one callback
could put any body under its headers. Hence the URL's token is asked for as well, and the timestamp must be fresh.

A task's words tell its state. TaskCreated, TaskRecovering and TaskStopping change none; RecordFileUploaded, which the
SDK names (NotifyFileUploadedFormat), tells of a file in `payload`, whose fields are not confirmed by any page: they are
`unknown`, and kept. No word begins a run: the vendor gives each task an id of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from handlers.errors import BadSignature, UnreadableDelivery
from handlers.events import PULLED, Event, TaskKey
from handlers.fields import MAX_TIME, Fields, Id, Text, maybe, read_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.events import Incoming, TaskState
    from handlers.settings import Account

TIMESTAMP, SIGNATURE = "ali-live-timestamp", "ali-live-signature"
HEADERS = frozenset({TIMESTAMP, SIGNATURE})

#: milliseconds that the signed time may lie back, unless the account's max_age says otherwise, and may lie ahead
WINDOW = 300_000

_SECONDS = re.compile(r"[0-9]{10}")
_WHOLE = re.compile(r"[0-9]{1,15}")
#: of seconds the year 5138, of milliseconds 1973
_MOST_SECONDS = 10**11

#: word -> kind and state of the task
_STATES: Mapping[str, tuple[str, TaskState]] = {
    "TaskStarting": ("task.started", "running"),
    "TaskRunning": ("task.started", "running"),
    "TaskStopped": ("task.stopped", "stopped"),
}


def _instant(value: Any) -> int | None:  # noqa: ANN401 - any JSON value
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | str) or not _WHOLE.fullmatch(str(value)[:16]):
        raise ValueError("expected milliseconds since 1970, a whole number")
    # The page says milliseconds; Live's own header has seconds, and of these none is as large.
    number = int(value) * (1000 if int(value) < _MOST_SECONDS else 1)
    if number >= MAX_TIME:
        raise ValueError("expected a time from the year 1970 to 2999, in milliseconds")
    return number or None


class _Word(Fields):
    event_type: Text = Field(None, alias="eventType")


class _Ids(Fields):
    app_id: Id = Field(alias="appId")
    channel_id: Id = Field(alias="channelId")
    task_id: Id = Field(alias="taskId")

    def task(self) -> TaskKey:
        return TaskKey(
            vendor="aliyun", app_id=self.app_id, room_id=self.channel_id, type="record", task_id=self.task_id
        )


class _Sent(Fields):
    callback_ts: Annotated[int | None, BeforeValidator(maybe(_instant))] = Field(None, alias="callbackTs")


class _State(_Ids, _Sent):
    """A word of the task's state."""

    also: ClassVar = frozenset({"eventType", "payload"})


def is_signed(incoming: Incoming) -> bool:
    """Tell a delivery that comes with Live's headers, right or wrong."""
    return any(incoming.headers.get(name) for name in HEADERS)


def check_signature(incoming: Incoming, account: Account) -> tuple[int, int]:
    """Return which of the account's `callback_secrets` signed the timestamp, and the timestamp in milliseconds UTC.

    Raises BadSignature, whose text names the setting and tells nothing of any secret.
    """
    setting = f"callback_secrets of [accounts.{account.name}]"
    timestamp, came = (incoming.headers.get(name, "") for name in (TIMESTAMP, SIGNATURE))
    if not timestamp or not came:
        missing = SIGNATURE if timestamp else TIMESTAMP
        raise BadSignature(f"{missing.title()} is missing; expected it beside the other, made with one of {setting}")
    if not _SECONDS.fullmatch(timestamp):
        raise BadSignature(f"{TIMESTAMP.title()} is no time; expected 10 digits, seconds since 1970")
    # Every one is compared, whatever the ones before gave: how long it takes shall tell nothing.
    expected = [_digest(timestamp, secret.reveal()) for secret in account.callback_secrets]
    matches = [hmac.compare_digest(_bytes(came.lower()), one) for one in expected]
    if not any(matches):
        raise BadSignature(f"{SIGNATURE.title()} is wrong; expected one made with {setting}, the task's NotifyAuthKey")
    signed_at = int(timestamp) * 1000
    if incoming.door not in PULLED:  # there it may have waited for days
        _check_age(incoming.received_at - signed_at, account)
    return matches.index(True), signed_at


def is_live(values: Mapping[str, Any]) -> bool:
    """Tell a callback that has its word where Live has it: RTC's stands in `Event`.

    So does the newer DingRTC, whose words are numbers: it is unknown, and seen by its word.
    """
    return "eventType" in values and "Event" not in values


def read(values: Mapping[str, Any], headers: Mapping[str, str], received_at: int) -> Event:
    """Read a callback; its time is when it was sent, for nothing else is told: callbackTs, else the signed timestamp.

    Raises UnreadableDelivery for a word of the task's state, with all of its wrong fields.
    """
    word = read_fields(_Word, values).event_type or ""
    signed = headers.get(TIMESTAMP, "")
    at = int(signed) * 1000 if _SECONDS.fullmatch(signed) else received_at
    if word not in _STATES:
        return _unknown(word, values, at)
    told = read_fields(_State, values)
    kind, state = _STATES[word]
    return Event(kind=kind, word=word, at=_either(told.callback_ts, at), task=told.task(), state=state)


def _unknown(word: str, values: Mapping[str, Any], at: int) -> Event:
    """Take from a word that we don't know what can be taken, and miss the rest in silence."""
    try:
        task = read_fields(_Ids, values).task()
    except UnreadableDelivery:
        task = None
    sent = read_fields(_Sent, values).callback_ts
    return Event(kind="unknown", word=word, at=_either(sent, at), task=task)


def _either(sent: int | None, at: int) -> int:
    return at if sent is None else sent


def _check_age(age: int, account: Account) -> None:
    oldest = WINDOW if account.max_age is None else account.max_age
    if -WINDOW <= age <= oldest:
        return
    raise BadSignature(
        f"stale: {TIMESTAMP.title()} lies {abs(age)} ms {'back' if age > 0 else 'ahead'}; expected at most {oldest} ms "
        f"back (max_age of [accounts.{account.name}], 5 minutes unless set) and {WINDOW} ms ahead"
    )


def _digest(timestamp: str, key: str) -> bytes:
    # MD5 is what the vendor signs with.
    text = _bytes(f"{timestamp}|{key}")
    return hashlib.md5(text, usedforsecurity=False).hexdigest().encode()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
