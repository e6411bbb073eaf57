"""How ApsaraVideo Live calls back of ARTC's recordings: its words, and the signature in its headers.

Fields, words and signature: https://help.aliyun.com/zh/live/on-cloud-recording-callback-message. RecordFileUploaded
stands in the SDK alone; what its payload holds is told nowhere. The signature covers the time, and not the body.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from standin.callbacks.callback import Callback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from standin.callbacks.callback import Counterpart

Fields = dict[str, Any]

#: word -> how many milliseconds before the end of one imaginary minute it is said
EVENTS: Mapping[str, int] = {
    "TaskCreated": 60_000,
    "TaskStarting": 59_000,
    "TaskRunning": 58_000,
    "TaskRecovering": 30_000,
    "TaskStopping": 2_000,
    "TaskStopped": 1_000,
    "RecordFileUploaded": 0,
}


def signature(timestamp: str, key: str) -> str:
    """Sign: the MD5 of the timestamp, a bar and the key, in lower-case hexadecimal digits."""
    # MD5 is what the vendor signs with.
    return hashlib.md5(f"{timestamp}|{key}".encode(), usedforsecurity=False).hexdigest()


def callback(told: Mapping[str, Any], to: Counterpart, *, at: int) -> Callback:
    """Return the body, ready to be sent, signed at that time (milliseconds UTC) if the account has a NotifyAuthKey."""
    headers = {"content-type": "application/json"}
    if to.secret:
        timestamp = str(at // 1000)
        headers |= {"ali-live-timestamp": timestamp, "ali-live-signature": signature(timestamp, to.secret)}
    return Callback(
        vendor="aliyun",
        account=to.account,
        door="http",
        headers=headers,
        body=json.dumps(told, ensure_ascii=False).encode(),
        token=to.token,
        word=str(told.get("eventType", "")),
    )


def sample(word: str, *, at: int) -> Fields:
    """Return what an event of this word says, in the minute that ends at that time."""
    return {
        "appId": "standin-app",
        "channelId": "room-1",
        "taskId": "live-task-1",
        "eventType": word,
        "callbackTs": at - EVENTS[word],
        "payload": "{}",
    }
