"""What Volcengine tells of a recording task: its start and stop, its files, their upload, who is in the picture.

Fields: the page docs/6348/75125. RecordStopped is the same for four generations of the API, but for `ObjectKey`, which
that of 2020-12-01 lacks. No event tells the bucket, nor that a file can be read: that goes by the upload of its run.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from handlers.events import Event, Recording, StreamState, Upload
from handlers.fields import (
    Count,
    Fields,
    Id,
    Instant,
    MaybeCount,
    MaybeInstant,
    MaybeMilliseconds,
    MaybeText,
    note_wrong,
    read_fields,
)
from handlers.vendors.volcengine import words
from handlers.vendors.volcengine.told import AsList, Business, Name, Result, StreamPart, Streams, Told, UpToFirstWrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from handlers.events import Stream, UploadState

#: Progress: hundredths of a percent
_WHOLE = 10_000
_EXTENSION = re.compile(r"[^/]\.([a-z0-9]{1,16})\Z", re.IGNORECASE | re.ASCII)


class _File(Fields):
    also: ClassVar = frozenset[str]()

    vid: Name = Field(None, alias="Vid")
    object_key: Name = Field(None, alias="ObjectKey")
    duration: MaybeMilliseconds = Field(None, alias="Duration")
    size: MaybeCount = Field(None, alias="Size")
    start_time: Instant = Field(None, alias="StartTime")
    stream_list: Streams = Field((), alias="StreamList")
    video_codec: MaybeText = Field(None, alias="VideoCodec")
    audio_codec: MaybeText = Field(None, alias="AudioCodec")
    video_width: MaybeCount = Field(None, alias="VideoWidth")
    video_height: MaybeCount = Field(None, alias="VideoHeight")

    @model_validator(mode="after")
    def _has_a_name(self) -> _File:
        if self.vid is None and self.object_key is None and self.start_time is None:
            raise ValueError("expected an ObjectKey, a Vid or a StartTime, by which the file is known")
        return self

    def locator(self, streams: Sequence[Stream]) -> str:
        """Return the file's name, the same in RecordSyncUploadStarted and RecordStopped."""
        if self.object_key is not None:
            return f"key:{self.object_key}"
        if self.vid is not None:
            return f"vid:{self.vid}"
        names = json.dumps(sorted([stream.user_id, stream.source or ""] for stream in streams))
        return f"start:{self.start_time}:{hashlib.blake2b(names.encode(), digest_size=8).hexdigest()}"

    def recording(self) -> Recording:
        """Return it in our words."""
        streams = tuple(part.stream() for part in self.stream_list)
        is_timed = self.start_time is not None and self.duration is not None
        return Recording(
            locator=self.locator(streams),
            key=self.object_key,
            vid=self.vid,
            format=_format(self.object_key),
            streams=streams,
            # One stream may be alone in its file, or in a mix that nobody else was in.
            mixed=True if len(streams) > 1 else None,
            started_at=self.start_time,
            ended_at=(self.start_time or 0) + (self.duration or 0) if is_timed else None,
            duration_ms=self.duration,
            size_bytes=self.size,
            media=self._media(),
        )

    def _media(self) -> dict[str, str | int]:
        told = {
            "width": self.video_width,
            "height": self.video_height,
            "video_codec": self.video_codec,
            "audio_codec": self.audio_codec,
        }
        return {name: value for name, value in told.items() if value is not None}


class _Files(Result):
    record_file_list: Annotated[tuple[_File, ...], UpToFirstWrong, AsList] = Field((), alias="RecordFileList")


def _of_the_whole(value: int | None, info: ValidationInfo) -> int | None:
    if value is not None and value > _WHOLE:
        note_wrong(info)
        return None
    return value


def _switch(value: int | None) -> int:
    if value not in {0, 1}:
        raise ValueError("expected 0 or 1")
    return value or 0


class _Progress(Result):
    progress: Annotated[MaybeCount, AfterValidator(_of_the_whole)] = Field(None, alias="Progress")


class _StreamChange(Business):
    also: ClassVar = frozenset[str]()

    user_id: Id = Field(alias="UserId")
    stream_type: MaybeCount = Field(None, alias="StreamType")
    state: Annotated[Count, AfterValidator(_switch)] = Field(alias="State")
    timestamp: MaybeInstant = Field(None, alias="Timestamp")


def _started(told: Told) -> tuple[Event, ...]:
    data = read_fields(Result, told.data)
    if data.has_failed:
        return (replace(_event(told, data, "task.failed"), state="failed", begins=True),)
    return (replace(_event(told, data, "task.started"), state="running", begins=True),)


def _stopped(told: Told) -> tuple[Event, ...]:
    data = read_fields(_Files, told.data)
    if data.has_failed:
        return (replace(_event(told, data, "task.failed"), state="failed"), *_recordings(told, data))
    return (replace(_event(told, data, "task.stopped"), state="stopped"), *_recordings(told, data))


def _sync_upload_started(told: Told) -> tuple[Event, ...]:
    data = read_fields(_Files, told.data)
    event = _event(told, data, "upload.progressed")
    return (replace(event, upload=Upload(state="uploading")), *_recordings(told, data))


def _recordings(told: Told, data: _Files) -> tuple[Event, ...]:
    task = data.task("record")
    return tuple(
        Event(
            kind="recording.created",
            word=told.word,
            at=told.at,
            task=task,
            business_id=data.business_id,
            recording=file.recording(),
        )
        for file in data.record_file_list
    )


def _upload(state: UploadState) -> Callable[[Told], tuple[Event, ...]]:
    """Return what reads an event that tells how the upload stands.

    Its Code changes nothing: the vendor's sample of RecordUploadDone carries a 1.
    """

    def read(told: Told) -> tuple[Event, ...]:
        data = read_fields(_Progress, told.data)
        kind = "upload.failed" if state == "failed" else "upload.progressed"
        upload = Upload(state=state, progress=data.progress)
        return (replace(_event(told, data, kind), upload=upload),)

    return read


def _stream(medium: Literal["audio", "video"]) -> Callable[[Told], tuple[Event, ...]]:
    """Return what reads that a participant's picture or sound goes into the recording, or does no more."""

    def read(told: Told) -> tuple[Event, ...]:
        data = read_fields(_StreamChange, told.data)
        stream = StreamPart(UserId=data.user_id, StreamType=data.stream_type).stream()
        event = Event(
            kind="stream.changed",
            word=told.word,
            at=told.at if data.timestamp is None else data.timestamp,
            task=data.task("record"),
            business_id=data.business_id,
            stream=StreamState(stream=stream, medium=medium, is_published=data.state == 1),
        )
        return (event,)

    return read


def _event(told: Told, data: Result, kind: str) -> Event:
    return Event(
        kind=kind,
        word=told.word,
        at=told.at,
        task=data.task("record"),
        business_id=data.business_id,
        code=data.code,
        reason=data.error_message,
    )


def _format(key: str | None) -> str | None:
    found = _EXTENSION.search(key or "")
    return found[1].lower() if found else None


READERS: Mapping[str, Callable[[Told], tuple[Event, ...]]] = {
    words.RECORD_STARTED: _started,
    words.RECORD_STOPPED: _stopped,
    words.RECORD_UPLOAD_STARTED: _upload("uploading"),
    words.RECORD_UPLOAD_PROCESSING: _upload("uploading"),
    words.RECORD_UPLOAD_DONE: _upload("done"),
    words.RECORD_UPLOAD_BACKED_UP: _upload("backed_up"),
    words.RECORD_SYNC_UPLOAD_STARTED: _sync_upload_started,
    words.RECORD_SYNC_UPLOAD_FAILED: _upload("failed"),
    words.RECORD_AUDIO_STREAM: _stream("audio"),
    words.RECORD_VIDEO_STREAM: _stream("video"),
}
