"""How Volcengine RTC calls back: its words, what each says, and the signature within the body.

Words and fields: https://www.volcengine.com/docs/6348/75125; envelope and signature:
https://www.volcengine.com/docs/6348/69820. An event's data is JSON text within the JSON of the envelope; its shape goes
by the API version that started the task, while the envelope's Version is always the same.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from standin.callbacks.callback import Callback
from standin.callbacks.moments import to_nanoseconds_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from standin.callbacks.callback import Counterpart

Fields = dict[str, Any]

#: of the API that started the task
GENERATIONS = ("2022-06-01", "2020-12-01")
#: the envelope's own
VERSION = "2020-12-01"
#: how the field of the four random characters is spelled, today and in older callbacks
NONCE_NAMES = ("Nonce", "Noce")
#: the fields that the signature covers
SIGNED = ("EventType", "EventData", "EventTime", "EventId", "AppId", "Version")
#: two retries after the first try, for any answer but 200 and none within five seconds
TRIES = 3

_MINUTE = 60_000


def signature(envelope: Mapping[str, str], nonce: str, secret: str) -> str:
    """Sign: the SHA-256 of the values and the secret, sorted and joined, in lower-case hexadecimal digits."""
    values = [*(envelope[name] for name in SIGNED), nonce, secret]
    return hashlib.sha256("".join(sorted(values)).encode()).hexdigest()


def envelope(word: str, data: Mapping[str, Any], *, at: int, event_id: str) -> Fields:
    """Return the envelope without nonce and signature; `at` in milliseconds UTC."""
    return {
        "EventType": word,
        "EventData": json.dumps(data, ensure_ascii=False, separators=(",", ":")),
        "EventTime": to_nanoseconds_text(at),
        "EventId": event_id,
        "AppId": data.get("AppId", ""),
        "Version": VERSION,
    }


def callback(outer: Mapping[str, str], to: Counterpart, *, nonce: str = "aaBc", nonce_name: str = "Nonce") -> Callback:
    """Return the envelope signed, ready to be sent."""
    signed = dict(outer) | {"Signature": signature(outer, nonce, to.secret), nonce_name: nonce}
    return Callback(
        vendor="volcengine",
        account=to.account,
        door="http",
        headers={"content-type": "application/json"},
        body=json.dumps(signed, ensure_ascii=False).encode(),
        token=to.token,
        word=outer["EventType"],
    )


def sample(word: str, *, at: int, mark: str, generation: str = GENERATIONS[0]) -> tuple[Fields, int]:
    """Return what an event of this word says, and its time: each stands at its place in one imaginary minute.

    That minute ends at `at`, so that a start, a stop and an upload sent one after the other belong together. `mark`
    goes into the names of files: another one makes another file.
    """
    told, ago = EVENTS[word]
    return told(at, mark, generation), at - ago


def _base(_at: int, _mark: str, _generation: str) -> Fields:
    return {
        "AppId": "standin-app",
        "BusinessId": "school",
        "RoomId": "room-1",
        "TaskId": "task-1",
        "Code": 0,
        "ErrorMessage": "",
    }


def _file(at: int, mark: str, generation: str) -> Fields:
    place = {"Vid": f"v0{mark}"} if generation == "2020-12-01" else {"ObjectKey": f"lessons/task-1_room-1_{mark}.mp4"}
    return place | {
        "Duration": 57_472,
        "Size": 5_018_305,
        "StartTime": at - _MINUTE + 1_000,
        "StreamList": [{"Index": 0, "UserId": "teacher", "StreamType": 0}],
        "VideoCodec": "h264",
        "AudioCodec": "aac",
        "VideoWidth": 640,
        "VideoHeight": 360,
    }


def _stopped(at: int, mark: str, generation: str) -> Fields:
    return _base(at, mark, generation) | {"RecordFileList": [_file(at, mark, generation)]}


def _sync_started(at: int, mark: str, generation: str) -> Fields:
    file = _file(at, mark, generation)
    del file["Duration"], file["Size"]
    file["ObjectKey"] = f"lessons/task-1_room-1_000000_{mark}.m3u8"
    return _base(at, mark, generation) | {"RecordFileList": [file]}


def _processing(at: int, mark: str, generation: str) -> Fields:
    return _base(at, mark, generation) | {"Progress": 5_000}


def _named() -> Fields:
    return {"AppId": "standin-app", "BusinessId": "school", "RoomId": "room-1", "TaskId": "task-1"}


def _stream_state(at: int, _mark: str, _generation: str) -> Fields:
    return _named() | {"UserId": "teacher", "StreamType": 0, "State": 1, "Timestamp": at - 50_000}


def _segments(at: int, mark: str, generation: str) -> Fields:
    bucket = "TosBucket" if generation == "2020-12-01" else "Bucket"
    slices = [_slice(at, mark, user) for user in ("teacher", "mixed")]
    return _named() | {"TaskId": "segments-1", bucket: "lessons", "Identifier": "5f1c6c6e", "Data": slices}


def _slice(at: int, mark: str, user: str) -> Fields:
    return {
        "Stream": {"Index": 0, "UserId": user, "StreamType": 0},
        "ObjectKey": f"5f1c6c6e/{user}_{at}_{mark}.wav",
        # The table says numbers, every sample shows text.
        "SampleRate": "44100",
        "BitsPerSample": "16",
        "Channels": "2",
        "Size": 256_044,
        "TimeStamp": at - 8_000,
        "Duration": 8_000,
    }


def _transcode(at: int, _mark: str, _generation: str) -> Fields:
    return {
        "AppId": "standin-app",
        "RoomId": "room-1",
        "TaskId": "teacher@@push-1",
        "Timestamp": at,
        "PushURL": "rtmp://push.example.com/live/room-1",
        "Code": 0,
        "ErrorMessage": "",
    }


def _transcode_state(at: int, mark: str, generation: str) -> Fields:
    return _transcode(at, mark, generation) | {"StartTime": at - _MINUTE, "FinishTime": 0, "TaskState": 3}


def _snapshots(at: int, mark: str, generation: str) -> Fields:
    bucket = "TosBucket" if generation == "2020-12-01" else "Bucket"
    shot = {
        "Stream": {"UserId": "teacher", "StreamType": 0},
        "ObjectKey": f"snapshots/{mark}.jpg",
        "Format": 0,
        "Width": 640,
        "Height": 360,
        "Size": 40_960,
        "TimeStamp": at,
    }
    return _named() | {"TaskId": "snapshots-1", bucket: "lessons", "Data": [shot]}


def _webcast(at: int, _mark: str, _generation: str) -> Fields:
    return _named() | {"TaskId": "webcast-1", "Status": 1, "Reason": "", "Timestamp": at}


def _room(at: int, _mark: str, _generation: str) -> Fields:
    return {"RoomId": "room-1", "Timestamp": at, "AppId": "standin-app"}


def _user(at: int, mark: str, generation: str) -> Fields:
    return _room(at, mark, generation) | {"UserId": "teacher"}


_Told = tuple["Callable[[int, str, str], Fields]", int]

#: word -> what it says, and how many milliseconds before the end of the minute it is said
EVENTS: Mapping[str, _Told] = {
    "RecordStarted": (_base, _MINUTE),
    "RecordStopped": (_stopped, 1),
    "RecordUploadStarted": (_base, 0),
    "RecordUploadProcessing": (_processing, 0),
    "RecordUploadDone": (_base, 0),
    "RecordUploadBackuped": (_base, 0),
    "RecordAudioStreamStateChanged": (_stream_state, 50_000),
    "RecordVideoStreamStateChanged": (_stream_state, 50_000),
    "RecordSyncUploadStarted": (_sync_started, 55_000),
    "RecordSyncUploadFailed": (_base, 54_000),
    "SegmentRealTimeData": (_segments, 0),
    "TranscodeStarted": (_transcode, _MINUTE),
    "TranscodeUpdated": (_transcode, 30_000),
    "TranscodeStateChanged": (_transcode_state, 29_000),
    "TranscodeStopped": (_transcode, 0),
    "SnapshotRealTimeData": (_snapshots, 0),
    "Webcast": (_webcast, 0),
    **dict.fromkeys(("RoomCreate", "RoomDestroy"), (_room, 0)),
    # Their fields are not known to us; what every event about a person has stands for them.
    **dict.fromkeys(
        (
            "UserAudioStreamStart",
            "UserAudioStreamStop",
            "UserVideoStreamStart",
            "UserVideoStreamStop",
            "UserScreenAudioStreamStart",
            "UserScreenAudioStreamStop",
            "UserScreenVideoStreamStart",
            "UserScreenVideoStreamStop",
            "UserJoinRoom",
            "UserLeaveRoom",
            "InvisibleUserJoinRoom",
            "InvisibleUserLeaveRoom",
            "RoleChangeInvisible2Visible",
            "RoleChangeVisible2Invisible",
            "RelayStreamStateChanged",
            "PushPublicStream",
            "MusicRemoved",
            "WbTranscodeProgressChanged",
            "WbTranscodeFinished",
            "MachineReviewResult",
        ),
        (_user, 0),
    ),
}
