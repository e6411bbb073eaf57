"""What a Huawei Cloud RTC callback means: a file was begun, a file is complete, a job is over; all else is unknown.

Fields: the page api-rtc/rtc_07_0021, where every one of them is "not mandatory"; `file_size` stands in the sample of
usermanual-rtc/rtc_04_0007 only. What is not told - the user, and a job or room that is left out - is taken from
`stream_name`, where CreateIndividualStreamJob made it: `s_{job}_{room}_{user}`.
Nothing is taken from the object's key but its extension: its layout is the record rule's to choose (`record_prefix`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator

from handlers.errors import UnreadableDelivery
from handlers.events import Event, Recording, Stream, TaskKey
from handlers.fields import (
    MAX_ID,
    Fields,
    Id,
    MaybeSeconds,
    MaybeText,
    MaybeTime,
    Shown,
    Text,
    Time,
    Unquoted,
    maybe,
    read_fields,
)
from handlers.storage.locate import MAX_KEY, Location, locate
from handlers.vendors.huawei.signature import signed_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.events import Delivery

FILE_STARTED = "RECORD_NEW_FILE_START"
FILE_COMPLETE = "RECORD_FILE_COMPLETE"
#: the word of the table of fields, and that of the best-practice page: taken for the same
JOB_OVER = ("CLOUD_RECORD_SERVER_OVER", "CLOUD_RECORD_OVER")

#: the names of the vendor's table, each "not mandatory", and `file_size` of its sample: any may stand in any event
_TABLE = frozenset(
    {
        "event_type",
        "stream_name",
        "record_format",
        "download_url",
        "file_size",
        "record_duration",
        "start_time",
        "end_time",
        "width",
        "height",
        "obs_location",
        "obs_bucket",
        "obs_object",
        "app_id",
        "job_id",
        "room_id",
        "detail_message",
    }
)
#: how the vendor calls what others know by the file's extension
_FORMATS = {"hls": "m3u8"}
#: what the stream of a single-stream job begins with; how a mix names its stream is not documented
_SINGLE = "s_"
_MOST = 2**63 - 1
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z0-9]+)+")
_ENDPOINT = re.compile(r"(?:https?://)?(?:[a-z0-9.-]+\.)?obs\.([a-z0-9-]+)\.myhuaweicloud\.(?:com|eu)(?:[:/].*)?")
_EXTENSION = re.compile(r"[^/]\.([a-z0-9]{1,16})\Z", re.IGNORECASE | re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,19}")


def _count(value: Any) -> int | None:  # noqa: ANN401 - any JSON value
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | str) or not _WHOLE.fullmatch(str(value)):
        raise ValueError("expected a whole number that is not negative")
    if int(value) > _MOST:
        raise ValueError(f"expected at most {_MOST}")
    return int(value)


def _bucket(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if not isinstance(value, str) or not _BUCKET.fullmatch(value):
        raise ValueError("expected the name of a bucket: 3 to 63 of a-z, 0-9, - and .")
    return value


def _key(value: str | None) -> str:
    if value is None or len(value.encode()) > MAX_KEY:
        raise ValueError(f"expected the key of an object, at most {MAX_KEY} bytes long")
    return value


def _located(value: Any) -> Location:  # noqa: ANN401 - any JSON value
    if not isinstance(value, str) or not value:
        raise Unquoted("expected the file's URL, as text that is not empty")
    try:
        return locate(value)
    except UnreadableDelivery as exc:
        raise Unquoted(str(exc)) from exc


MaybeCount = Annotated[int | None, BeforeValidator(maybe(_count))]


class _Word(Fields):
    event_type: Text = None


class _Ids(Fields):
    app_id: Id
    room_id: Id
    job_id: Id

    def task(self) -> TaskKey:
        return TaskKey(vendor="huawei", app_id=self.app_id, room_id=self.room_id, type="record", task_id=self.job_id)


class _End(Fields):
    end_time: MaybeTime = None


class _Job(_Ids, _End):
    also: ClassVar = _TABLE

    start_time: Time = None
    stream_name: MaybeText = None
    detail_message: Shown = None

    def user(self) -> str | None:
        """Return whose single stream it is, where stream_name tells it together with the job and the room."""
        before = f"{_SINGLE}{self.job_id}_{self.room_id}_"
        name = self.stream_name or ""
        user = name.removeprefix(before) if name.startswith(before) else ""
        return user if 0 < len(user.encode()) <= MAX_ID else None


class _File(_Job):
    record_format: MaybeText = None
    record_duration: MaybeSeconds = None
    file_size: MaybeCount = None
    width: MaybeCount = None
    height: MaybeCount = None
    obs_location: MaybeText = None

    def ended_at(self) -> int | None:
        if self.end_time is None and self.start_time is not None and self.record_duration is not None:
            return self.start_time + self.record_duration
        return self.end_time

    def media(self) -> dict[str, str | int]:
        return {name: size for name, size in (("width", self.width), ("height", self.height)) if size is not None}


class _FileByName(_File):
    """A file whose bucket and key are told; its URL is only shown, and left out where it can't be read."""

    obs_bucket: Annotated[str, BeforeValidator(_bucket)]
    obs_object: Annotated[Text, AfterValidator(_key)]
    download_url: Any = None

    def recording(self) -> Recording:
        url = _location(self.download_url)
        region = _region(self.obs_location)
        if region is None and url is not None and url.bucket == self.obs_bucket:
            region = url.region
        return Recording(
            locator=f"obs:{self.obs_bucket}/{self.obs_object}",
            url=url.url if url else None,
            storage="obs",
            bucket=self.obs_bucket,
            region=region,
            key=self.obs_object,
            format=_format(self.record_format, self.obs_object or ""),
        )


class _FileByUrl(_File):
    """A file of which bucket or key is not told, so that its URL must tell where it lies."""

    download_url: Annotated[Location, BeforeValidator(_located)]

    def recording(self) -> Recording:
        url = self.download_url
        return Recording(
            locator=url.locator,
            url=url.url,
            storage=url.kind,
            bucket=url.bucket,
            region=url.region or (_region(self.obs_location) if url.bucket else None),
            key=url.key,
            format=_format(self.record_format, url.path),
        )


def read(delivery: Delivery) -> tuple[Event, ...]:
    """Read a callback as one event.

    Its time is the vendor's own, else the signed X-Rtc-Timestamp, else when it came.
    Raises UnreadableDelivery for what is no JSON object, and for a known event with all of its wrong fields.
    """
    values = delivery.json()
    word = read_fields(_Word, values).event_type or ""
    signed_at = signed_time(delivery.headers)
    at = delivery.received_at if signed_at is None else signed_at
    return (_READERS.get(word, _unknown)(word, _with_ids(values), at),)


def _file_started(word: str, values: Mapping[str, Any], at: int) -> Event:
    """Read the start of a file: its job runs, but need not begin here, for the vendor says this of each file."""
    told = read_fields(_Job, _with_job(values))
    at = at if told.start_time is None else told.start_time
    return Event(kind="task.started", word=word, at=at, task=told.task(), state="running", begins=False)


def _file_complete(word: str, values: Mapping[str, Any], at: int) -> Event:
    is_named = values.get("obs_bucket") not in (None, "") and values.get("obs_object") not in (None, "")
    values = _with_job(values)
    told = read_fields(_FileByName, values) if is_named else read_fields(_FileByUrl, values)
    user = told.user()
    recording = replace(
        told.recording(),
        streams=(Stream(user_id=user),) if user else (),
        mixed=False if user else None,
        started_at=told.start_time,
        ended_at=told.ended_at(),
        duration_ms=told.record_duration,
        size_bytes=told.file_size,
        media=told.media(),
        available=True,
    )
    at = at if told.end_time is None else told.end_time
    return Event(kind="recording.available", word=word, at=at, task=told.task(), recording=recording)


def _job_over(word: str, values: Mapping[str, Any], at: int) -> Event:
    told = read_fields(_Job, _with_job(values))
    at = at if told.end_time is None else told.end_time
    return Event(kind="task.stopped", word=word, at=at, task=told.task(), state="stopped", reason=told.detail_message)


def _unknown(word: str, values: Mapping[str, Any], at: int) -> Event:
    """Take from a word that we don't know what can be taken, and miss the rest in silence."""
    try:
        task = read_fields(_Ids, values).task()
    except UnreadableDelivery:
        task = None
    end = read_fields(_End, values).end_time
    return Event(kind="unknown", word=word, at=at if end is None else end, task=task)


_READERS: Mapping[str, Callable[[str, Mapping[str, Any], int], Event]] = {
    FILE_STARTED: _file_started,
    FILE_COMPLETE: _file_complete,
    **dict.fromkeys(JOB_OVER, _job_over),
}


def _with_ids(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the job and the room that stream_name tells, where their own fields do not."""
    name = _plain(values.get("stream_name"))
    job = _plain(values.get("job_id")) or name.removeprefix(_SINGLE).partition("_")[0]
    before = f"{_SINGLE}{job}_"
    if not job or not name.startswith(before):
        return values
    # Rooms and users may hold "_" too: of several, nobody knows which one parts them.
    room, *users = name.removeprefix(before).split("_")
    known = {"job_id": job, "room_id": room if len(users) == 1 else ""}
    return {**values, **{field: told for field, told in known.items() if told and _lacks(values, field)}}


def _with_job(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Let the stream's name stand for a job that is told nowhere: it is the same in all that is said of the job."""
    name = values.get("stream_name")
    return {**values, "job_id": name} if _lacks(values, "job_id") and _plain(name) else values


def _lacks(values: Mapping[str, Any], field: str) -> bool:
    return values.get(field) in (None, "")


def _plain(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return an id as text, a number as its digits; "" for what is no id."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _location(value: Any) -> Location | None:  # noqa: ANN401 - any JSON value
    try:
        return _located(value)
    except Unquoted:
        return None


def _region(text: str | None) -> str | None:
    """Read the region's name, which the table of fields has, or the endpoint's URL, which the sample has."""
    text = (text or "").strip().lower()
    found = _ENDPOINT.fullmatch(text)
    name = found[1] if found else text
    return name if _REGION.fullmatch(name) else None


def _format(told: str | None, path: str) -> str | None:
    if told is not None:
        return _FORMATS.get(told.lower(), told.lower())
    found = _EXTENSION.search(path)
    return found[1].lower() if found else None
