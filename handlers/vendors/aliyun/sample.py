"""The callback that the vendor's page on StartRecordTask shows, masked values and all, for trying Reelhook out."""

from __future__ import annotations

import json

SAMPLE = json.dumps(
    {
        "AppId": "9q****",
        "ChannelId": "record-004",
        "Duration": 1792.257,
        "Event": "FileCreated",
        "MsgId": "83eaaf62-19e8-45df-929b-79f4753b****",
        "StartTime": "2020-09-02T10:23:54Z",
        "StopTime": "2020-09-02T10:53:46Z",
        "TaskId": "task-005",
        "Url": "http://rtc-record.oss-cn-shanghai.aliyuncs.com"
        "/record/0902-1/9q****/record-004_task-005/2020-09-02-18-23-56_2020-09-02-18-53-56.m3u8",
    }
).encode()
