"""What the benchmark sends: FileCreated callbacks of about 450 bytes, each unique, three files to a task."""

from __future__ import annotations

import json

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
