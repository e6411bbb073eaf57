"""What an Alibaba Cloud RTC callback means: FileCreated is an available recording, any other word is unknown.

A callback of ApsaraVideo Live is live.py's to read; what a queue or topic wrapped around one, mns.py takes off.

Fields: the vendor's page on StartRecordTask (API 2018-01-11), whose table lacks the `Duration` that its sample shows.
Times are UTC, while the file's name carries local times (UTC+8) that differ by seconds as well: nothing is ever taken
from a name but its extension.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from handlers.errors import UnreadableDelivery
from handlers.events import Event, Recording, TaskKey
from handlers.fields import Fields, Id, MaybeSeconds, MaybeTime, Text, Time, Unquoted, read_fields
from handlers.storage.locate import Location, locate
from handlers.vendors.aliyun import live, mns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.events import Delivery

FILE_CREATED = "FileCreated"

_EXTENSION = re.compile(r"[^/]\.([a-z0-9]{1,16})\Z", re.IGNORECASE | re.ASCII)


def _located(value: Any) -> Location:  # noqa: ANN401 - any JSON value
    if not isinstance(value, str) or not value:
        raise Unquoted("expected the file's URL, as text that is not empty")
    try:
        return locate(value)
    except UnreadableDelivery as exc:
        raise Unquoted(str(exc)) from exc


class _Word(Fields):
    event: Text = Field(None, alias="Event")


class _Ids(Fields):
    app_id: Id = Field(alias="AppId")
    channel_id: Id = Field(alias="ChannelId")
    task_id: Id = Field(alias="TaskId")

    def task(self) -> TaskKey:
        return TaskKey(
            vendor="aliyun", app_id=self.app_id, room_id=self.channel_id, type="record", task_id=self.task_id
        )


class _Times(Fields):
    start_time: Time = Field(None, alias="StartTime")
    stop_time: MaybeTime = Field(None, alias="StopTime")


class _FileCreated(_Ids, _Times):
    also: ClassVar = frozenset({"Event", "MsgId"})

    duration: MaybeSeconds = Field(None, alias="Duration")
    url: Annotated[Location, BeforeValidator(_located)] = Field(alias="Url")

    def ended_at(self) -> int | None:
        if self.stop_time is None and self.start_time is not None and self.duration is not None:
            return self.start_time + self.duration
        return self.stop_time


def read(delivery: Delivery) -> tuple[Event, ...]:
    """Read a callback as one event.

    Raises UnreadableDelivery for what is no JSON object, and for a FileCreated, or a word of Live, with all of its
    wrong fields.
    """
    values = mns.said(delivery)
    if live.is_live(values):
        return (live.read(values, delivery.headers, delivery.received_at),)
    if values.get("Event") == FILE_CREATED:  # nearly always, and then there is nothing else to find out about it
        return (_file_created(values, delivery.received_at),)
    word = read_fields(_Word, values).event or ""
    return (_unknown(word, values, delivery.received_at),)


def _file_created(values: Mapping[str, Any], received_at: int) -> Event:
    told = read_fields(_FileCreated, values)
    recording = Recording(
        locator=told.url.locator,
        url=told.url.url,
        storage=told.url.kind,
        bucket=told.url.bucket,
        region=told.url.region,
        key=told.url.key,
        format=_format(told.url.path),
        started_at=told.start_time,
        ended_at=told.ended_at(),
        duration_ms=told.duration,
        available=True,
    )
    at = _first(told.stop_time, told.start_time, received_at)
    return Event(kind="recording.available", word=FILE_CREATED, at=at, task=told.task(), recording=recording)


def _unknown(word: str, values: Mapping[str, Any], received_at: int) -> Event:
    """Take from a word that we don't know what can be taken, and miss the rest in silence."""
    try:
        task = read_fields(_Ids, values).task()
    except UnreadableDelivery:
        task = None
    try:
        times = read_fields(_Times, values)
    except UnreadableDelivery:
        times = read_fields(_Times, {})
    at = _first(times.stop_time, times.start_time, received_at)
    return Event(kind="unknown", word=word, at=at, task=task)


def _first(stop: int | None, start: int | None, received: int) -> int:
    return next(time for time in (stop, start, received) if time is not None)


def _format(path: str) -> str | None:
    found = _EXTENSION.search(path)
    return found[1].lower() if found else None
