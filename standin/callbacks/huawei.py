"""How Huawei Cloud RTC (SparkRTC) calls back: its words, what each says, and the signature in its headers.

Fields: https://support.huaweicloud.com/api-rtc/rtc_07_0021.html; sample and protocol:
https://support.huaweicloud.com/usermanual-rtc/rtc_04_0007.html; signature:
https://support.huaweicloud.com/rtc_faq/rtc_06_0144.html, which does not tell the timestamp's unit.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from standin.callbacks.callback import Callback
from standin.callbacks.moments import to_name_text, to_seconds_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from standin.callbacks.callback import Counterpart

Fields = dict[str, Any]

#: unit of X-Rtc-Timestamp -> milliseconds in one
UNITS = {"s": 1000, "ms": 1}
#: no retry is documented
TRIES = 1

_MINUTE = 60_000
BUCKET = "standin-bucket"
_LOCATION = "obs.cn-north-4.myhuaweicloud.com"


def signature(rand: str, timestamp: str, body: bytes, secret: str) -> str:
    """Sign: the HMAC-SHA256 of rand, timestamp and body, one behind the other, in lower-case hexadecimal digits."""
    return hmac.new(secret.encode(), rand.encode() + timestamp.encode() + body, hashlib.sha256).hexdigest()


def callback(told: Mapping[str, Any], to: Counterpart, *, at: int, rand: str, unit: str = "s") -> Callback:
    """Return the body, ready to be sent, signed at that time (milliseconds UTC) unless no key was set."""
    body = json.dumps(told, ensure_ascii=False).encode()
    timestamp = str(at // UNITS[unit])
    headers = {"content-type": "application/json"}
    if to.secret:
        headers["x-rtc-rand"] = rand
        headers["x-rtc-timestamp"] = timestamp
        headers["x-rtc-signature"] = signature(rand, timestamp, body, to.secret)
    return Callback(
        vendor="huawei",
        account=to.account,
        door="http",
        headers=headers,
        body=body,
        token=to.token,
        word=str(told.get("event_type", "")),
    )


def sample(word: str, *, at: int, mark: str) -> Fields:
    """Return what an event of this word says at that time; `mark` makes another file of it."""
    return EVENTS[word](word, at, mark)


def named(word: str, *, app_id: str, job_id: str, room_id: str, user_id: str) -> Fields:
    """Return the fields that every event has."""
    return {
        "event_type": word,
        "stream_name": f"s_{job_id}_{room_id}_{user_id}",
        "app_id": app_id,
        "job_id": job_id,
        "room_id": room_id,
    }


def placed(bucket: str, key: str) -> Fields:
    """Return the fields that say where a file lies."""
    return {
        "download_url": f"https://{bucket}.{_LOCATION}/{key}",
        # Documented as a region, shown as a URL.
        "obs_location": f"http://{_LOCATION}",
        "obs_bucket": bucket,
        "obs_object": key,
    }


def _sample_names(word: str) -> Fields:
    return named(word, app_id="standin-app", job_id="608196a2fa1b", room_id="room-1", user_id="teacher")


def _begun(word: str, _at: int, _mark: str) -> Fields:
    return _sample_names(word) | {"record_format": "HLS", "detail_message": "recording starts"}


def _complete(word: str, at: int, mark: str) -> Fields:
    started = at - _MINUTE
    stem = f"mystream_{to_name_text(started)}"
    key = f"Record/standin-app/live/hls/{stem}_{mark}/{stem}.m3u8"
    return (
        _sample_names(word)
        | placed(BUCKET, key)
        | {
            "record_format": "HLS",
            "file_size": 26_254_952,
            "record_duration": 60,
            "start_time": to_seconds_text(started),
            "end_time": to_seconds_text(at),
            "width": 1280,
            "height": 720,
        }
    )


def _over(word: str, _at: int, _mark: str) -> Fields:
    return _sample_names(word) | {"detail_message": "recording ends"}


def _of_room(word: str, _at: int, _mark: str) -> Fields:
    return _sample_names(word)


EVENTS: Mapping[str, Callable[[str, int, str], Fields]] = {
    "RECORD_NEW_FILE_START": _begun,
    "RECORD_FILE_COMPLETE": _complete,
    "CLOUD_RECORD_SERVER_OVER": _over,
    # as the vendor's best practices, https://support.huaweicloud.com/bestpractice-rtc, still call it
    "CLOUD_RECORD_OVER": _over,
    # of `notify_event_subscription`; their own fields are told nowhere
    **dict.fromkeys(
        (
            "RTC_USER_ROLE_CHANGED",
            "RTC_AUDIO_STREAM_OPEN",
            "RTC_AUDIO_STREAM_CLOSE",
            "RTC_VIDEO_STREAM_OPEN",
            "RTC_VIDEO_STREAM_CLOSE",
        ),
        _of_room,
    ),
}
