"""How what a vendor has to tell becomes its callback: fields, spelling and signature, all from the notice alone.

What the vendors leave open - spellings, units, generations of their API - goes by the notice's number, so that a world
holds all of it, and a notice composed twice is the same callback twice.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from standin.callbacks import aliyun, huawei, volcengine
from standin.callbacks.callback import ENCODINGS
from standin.callbacks.moments import to_chinese_text, to_nanoseconds_text, to_seconds_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from standin.callbacks.callback import Callback, Counterpart
    from standin.callbacks.plan import File, Notice, Slice

Fields = dict[str, Any]

#: a vendor's number for a stream's source
_STREAM_TYPES = {"camera": 0, "screen": 1}
#: our names of picture and sound -> Volcengine's
_MEDIA = {"width": "VideoWidth", "height": "VideoHeight", "video_codec": "VideoCodec", "audio_codec": "AudioCodec"}
#: events of no task
_OF_ROOMS = ("UserJoinRoom",)


def compose(notice: Notice, to: Counterpart) -> Callback:
    """Return the callback that tells it, signed for the account."""
    return _COMPOSE[notice.task.vendor](notice, to)


def _volcengine(notice: Notice, to: Counterpart) -> Callback:
    data = _volcengine_data(notice)
    mark = _random(notice)
    outer = volcengine.envelope(notice.word, data, at=notice.at, event_id=f"evt-{mark}")
    write = (to_nanoseconds_text, to_chinese_text)[notice.number // 2 % 2]
    outer["EventTime"] = write(notice.at)
    name = volcengine.NONCE_NAMES[notice.number % 2]
    return volcengine.callback(outer, to, nonce=mark[-4:], nonce_name=name)


def _volcengine_data(notice: Notice) -> Fields:
    task = notice.task
    if notice.word in _OF_ROOMS:
        return {"AppId": task.app_id, "RoomId": task.room_id, "Timestamp": notice.at} | dict(notice.fields)
    data: Fields = {"AppId": task.app_id, "RoomId": task.room_id, "TaskId": task.task_id}
    if notice.number % 5 == 0:
        data["Domain"] = "a field that no page shows"
    if task.type == "push":
        data |= {"Timestamp": notice.at, "PushURL": f"rtmp://push.example.com/live/{task.room_id}"}
    else:
        data["BusinessId"] = task.business_id or ""
    if notice.slices:
        return data | _segment_data(notice)
    if "StreamStateChanged" not in notice.word:
        data |= {"Code": 0, "ErrorMessage": ""}
    if notice.files or notice.word == "RecordStopped":
        data["RecordFileList"] = [_record_file(file) for file in notice.files]
    return data | dict(notice.fields)


def _record_file(file: File) -> Fields:
    place = {"Vid": file.vid} if file.vid else {"ObjectKey": file.key}
    length = {} if file.duration_ms is None else {"Duration": file.duration_ms, "Size": file.size_bytes}
    streams = [{"UserId": one.user_id, "StreamType": _STREAM_TYPES[one.source or "camera"]} for one in file.streams]
    seen = {_MEDIA[name]: value for name, value in file.media}
    return place | length | {"StartTime": file.started_at, "StreamList": streams} | seen


def _segment_data(notice: Notice) -> Fields:
    bucket = ("Bucket", "TosBucket")[notice.number % 2]
    told = [_audio_data(one, as_text=notice.number % 3 != 0) for one in notice.slices]
    return {bucket: notice.slices[0].bucket, "Identifier": notice.slices[0].identifier, "Data": told}


def _audio_data(one: Slice, *, as_text: bool) -> Fields:
    numbers = {"SampleRate": 44_100, "BitsPerSample": 16, "Channels": 2}
    return {
        "Stream": {"UserId": one.user_id, "StreamType": 0},
        "ObjectKey": one.key,
        **({name: str(value) for name, value in numbers.items()} if as_text else numbers),
        "Size": one.size_bytes,
        "TimeStamp": one.started_at,
        "Duration": one.duration_ms,
    }


def _huawei(notice: Notice, to: Counterpart) -> Callback:
    task, fields = notice.task, dict(notice.fields)
    user = str(fields.pop("user_id"))
    told = huawei.named(notice.word, app_id=task.app_id, job_id=task.task_id, room_id=task.room_id, user_id=user)
    told |= fields
    for file in notice.files:
        told |= huawei.placed(huawei.BUCKET, file.key) | _huawei_file(file) | dict(file.media)
    unit = ("s", "ms")[notice.number % 2]
    return huawei.callback(told, to, at=notice.at, rand=_random(notice), unit=unit)


def _huawei_file(file: File) -> Fields:
    return {
        "file_size": file.size_bytes,
        "record_duration": (file.duration_ms or 0) // 1000,
        "start_time": to_seconds_text(file.started_at),
        "end_time": to_seconds_text(file.ended_at or file.started_at),
    }


def _aliyun(notice: Notice, to: Counterpart) -> Callback:
    task = notice.task
    (file,) = notice.files
    told = {
        "AppId": task.app_id,
        "ChannelId": task.room_id,
        "Duration": (file.duration_ms or 0) / 1000,
        "Event": notice.word,
        "MsgId": f"{_random(notice)}-{notice.number}",
        "StartTime": to_seconds_text(file.started_at),
        "StopTime": to_seconds_text(file.ended_at or file.started_at),
        "TaskId": task.task_id,
        "Url": aliyun.url_of(file.key),
    }
    if notice.door == "mns":
        return aliyun.message(told, to, encoding=ENCODINGS[notice.number % len(ENCODINGS)], at=notice.at)
    return aliyun.callback(told, to)


def _random(notice: Notice) -> str:
    """Return 16 hexadecimal digits that no other notice has."""
    told = f"{notice.task.app_id} {notice.number} {notice.forged}"
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


_COMPOSE: Mapping[str, Callable[[Notice, Counterpart], Callback]] = {
    "volcengine": _volcengine,
    "huawei": _huawei,
    "aliyun": _aliyun,
}
