"""How Alibaba Cloud RTC calls back: FileCreated, by HTTP with a token in the URL, or as a message of MNS.

Fields: the vendor's page on StartRecordTask (API 2018-01-11), whose table lacks the Duration that its sample shows.
Whether a message stands in a queue as it is or in base64 is documented nowhere; the envelopes are those of a topic:
https://help.aliyun.com/document_detail/27482.html.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from standin.callbacks.callback import Callback
from standin.callbacks.moments import to_name_text, to_seconds_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from standin.callbacks.callback import Counterpart

Fields = dict[str, Any]

#: no retry is documented
TRIES = 1
BUCKET = "rtc-record"

_MINUTE = 60_000


def callback(told: Mapping[str, Any], to: Counterpart) -> Callback:
    """Return the body for HTTP, ready to be sent with the token of the URL."""
    return Callback(
        vendor="aliyun",
        account=to.account,
        door="http",
        headers={"content-type": "application/json"},
        body=json.dumps(told, ensure_ascii=False).encode(),
        token=to.token,
        word=str(told.get("Event", "")),
    )


def message(told: Mapping[str, Any], to: Counterpart, *, encoding: str, at: int) -> Callback:
    """Return the message for a queue, as one of ENCODINGS; `at`, milliseconds UTC, is when a topic published it."""
    text = json.dumps(told, ensure_ascii=False)
    return Callback(
        vendor="aliyun",
        account=to.account,
        door="mns",
        headers={},
        body=_queued(text, encoding, at, to).encode(),
        token=to.token,
        word=str(told.get("Event", "")),
    )


def sample(word: str, *, at: int, mark: str) -> Fields:
    """Return a file of the minute before `at`; `mark` makes another file and message of it."""
    return EVENTS[word](at, mark)


def url_of(key: str) -> str:
    """Return the URL of a file as the callbacks write it."""
    return f"http://{BUCKET}.oss-cn-shanghai.aliyuncs.com/{quote(key)}"


def _file_created(at: int, mark: str) -> Fields:
    started = at - _MINUTE
    key = f"record/standin-app/room-1_task-1/{to_name_text(started)}_{to_name_text(at)}_{mark}.m3u8"
    return {
        "AppId": "standin-app",
        "ChannelId": "room-1",
        "Duration": 60.257,
        "Event": "FileCreated",
        "MsgId": f"83eaaf62-19e8-45df-929b-{mark}",
        "StartTime": to_seconds_text(started),
        "StopTime": to_seconds_text(at),
        "TaskId": "task-1",
        "Url": url_of(key),
    }


EVENTS: Mapping[str, Callable[[int, str], Fields]] = {"FileCreated": _file_created}


def _queued(text: str, encoding: str, at: int, to: Counterpart) -> str:
    if encoding == "base64":
        return base64.b64encode(text.encode()).decode()
    if encoding == "topic":
        return json.dumps(_envelope(text, at, to))
    if encoding == "topic-xml":
        members = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in _envelope(text, at, to).items())
        return f'<?xml version="1.0" encoding="utf-8"?><Notification xmlns="http://mns.aliyuncs.com/doc/v1/">{members}</Notification>'
    return text


def _envelope(text: str, at: int, to: Counterpart) -> dict[str, str]:
    # MNS asks for MD5 here, which guards nothing.
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()
    return {
        "TopicOwner": to.topic_owner,
        "TopicName": to.topic_name,
        "Subscriber": to.topic_owner,
        "SubscriptionName": "reelhook",
        "MessageId": digest[:16],
        "Message": text,
        "MessageMD5": digest,
        "PublishTime": str(at),
    }
