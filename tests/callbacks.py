"""Alibaba callbacks as the tests send them, and the values they become."""

from __future__ import annotations

import json
import uuid
from typing import Any

from handlers.clock import now_ms
from handlers.events import Incoming

SAMPLE: dict[str, Any] = {
    "AppId": "9q1x",
    "ChannelId": "record-004",
    "Duration": 1792.257,
    "Event": "FileCreated",
    "MsgId": "83eaaf62-19e8-45df-929b-79f4753b0000",
    "StartTime": "2020-09-02T10:23:54Z",
    "StopTime": "2020-09-02T10:53:46Z",
    "TaskId": "task-005",
    "Url": "http://rtc-record.oss-cn-shanghai.aliyuncs.com/record/0902-1/9q1x/record-004_task-005/a.m3u8",
}


def file_created(number: int | None = None, **changed: Any) -> bytes:
    """Return a FileCreated body: the n-th file of its own task, or a fresh one, with the named fields changed."""
    name = uuid.uuid4().hex if number is None else f"{number:08d}"
    url = f"http://rtc-record.oss-cn-shanghai.aliyuncs.com/record/9q1x/room_task-{name}/file-{name}.m3u8"
    body = SAMPLE | {"MsgId": f"msg-{name}", "TaskId": f"task-{name}", "Url": url} | changed
    return json.dumps({key: value for key, value in body.items() if value is not ...}).encode()


def incoming(body: bytes, *, token: str | None, account: str = "lessons", **changed: Any) -> Incoming:
    """Return the body as it stands at the HTTP door."""
    told: dict[str, Any] = {
        "vendor": "aliyun",
        "account": account,
        "door": "http",
        "received_at": now_ms(),
        "headers": {"content-type": "application/json"},
        "body": body,
        "token": token,
    }
    return Incoming(**(told | changed))
