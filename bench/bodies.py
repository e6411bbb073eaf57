"""What the benchmark sends: FileCreated callbacks of about 450 bytes, each unique, three files to a task; segments."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: the account of every server that the benchmark starts, and the secret of its callback URL
ACCOUNT = "bench"
TOKEN = "a-token-of-the-benchmark-0123456789abcdef"  # noqa: S105 - guards a server that lives for minutes, on loopback
PATH = f"/callbacks/aliyun/{ACCOUNT}?token={TOKEN}"
FILES_PER_TASK = 3


def file_created(series: str, number: int) -> bytes:
    """Return the n-th callback of a series; callbacks.lua makes the same."""
    task = f"{series}-task-{number // FILES_PER_TASK:09d}"
    name = f"record/0902-1/9q1x/{series}/{task}_{number:09d}.m3u8"
    return json.dumps(
        {
            "AppId": "9q1x",
            "ChannelId": f"{series}-room-{number // 64:07d}",
            "Duration": 1792.257,
            "Event": "FileCreated",
            "MsgId": f"83eaaf62-19e8-45df-{series}-{number:012d}",
            "StartTime": "2020-09-02T10:23:54Z",
            "StopTime": "2020-09-02T10:53:46Z",
            "TaskId": task,
            "Url": f"http://rtc-record.oss-cn-shanghai.aliyuncs.com/{name}",
        }
    ).encode()


#: the account of segments, whose callbacks are signed
CLASSROOM = "classroom"
SIGNING_KEY = "a-signing-key-of-the-benchmark"
SEGMENT_PATH = f"/callbacks/volcengine/{CLASSROOM}"
#: segments that one callback tells of
PER_CALLBACK = 2
_TIME = 1_773_014_400_000


def segments(name: str, room: int) -> bytes:
    """Return a callback of two slices of one task; the name makes them new."""
    slices = [
        {
            "Stream": {"UserId": user, "StreamType": 0},
            "ObjectKey": f"{room}/{name}-{user}.wav",
            "SampleRate": "44100",
            "BitsPerSample": "16",
            "Channels": "2",
            "Size": 256_044,
            "TimeStamp": _TIME,
            "Duration": 20_000,
        }
        for user in ("teacher", "pupil")
    ]
    told = {"TaskId": f"slices-{room}", "Bucket": "slices", "Identifier": f"one-of-{room}", "Data": slices}
    return _signed("SegmentRealTimeData", name, room, told)


def record_stopped(task: str) -> bytes:
    """Return the callback of a recording that is over, with one file."""
    file = {"ObjectKey": f"{task}.mp4", "StartTime": _TIME, "Duration": 60_000, "Size": 1, "StreamList": []}
    return _signed("RecordStopped", task, 0, {"TaskId": task, "Code": 0, "ErrorMessage": "", "RecordFileList": [file]})


def _signed(word: str, name: str, room: int, told: Mapping[str, object]) -> bytes:
    data = {"AppId": "app", "BusinessId": "", "RoomId": f"room-{room}", **told}
    envelope = {
        "EventType": word,
        "EventData": json.dumps(data),
        "EventTime": "2026-03-09T00:00:00.000000000Z",
        "EventId": f"evt-{word}-{name}",
        "AppId": "app",
        "Version": "2020-12-01",
        "Nonce": "aaBc",
    }
    signature = hashlib.sha256("".join(sorted([*envelope.values(), SIGNING_KEY])).encode()).hexdigest()
    return json.dumps(envelope | {"Signature": signature}).encode()
