"""What Volcengine tells of a segment task: the slices that it has cut, several in one callback.

Fields: the page docs/6348/75125. It calls SampleRate, BitsPerSample and Channels numbers, while its samples hold text;
tasks of API 2020-12-01 say `TosBucket` where later ones say `Bucket`. No event tells that such a task starts or stops,
nor that a slice failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field

from handlers.events import Event, Segment
from handlers.fields import Fields, Instant, MaybeCount, MaybeMilliseconds, read_fields
from handlers.vendors.volcengine import words
from handlers.vendors.volcengine.told import AsList, Business, Group, MaybeStream, Name, Told, UpToFirstWrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: the user in whose name the mix of all streams is told
_MIXED = "mixed"


def _required(value: str | None) -> str:
    if value is None:
        raise ValueError("expected the key of an object, as text that is not empty")
    return value


class _Slice(Fields):
    also: ClassVar = frozenset[str]()

    stream: MaybeStream = Field(None, alias="Stream")
    object_key: Annotated[Name, AfterValidator(_required)] = Field(alias="ObjectKey")
    sample_rate: MaybeCount = Field(None, alias="SampleRate")
    bits_per_sample: MaybeCount = Field(None, alias="BitsPerSample")
    channels: MaybeCount = Field(None, alias="Channels")
    size: MaybeCount = Field(None, alias="Size")
    time_stamp: Instant = Field(None, alias="TimeStamp")
    duration: MaybeMilliseconds = Field(None, alias="Duration")

    def segment(self, data: _Slices) -> Segment:
        """Return it in our words."""
        bucket = data.bucket or data.tos_bucket
        is_mixed = self.stream is not None and self.stream.user_id == _MIXED
        return Segment(
            locator=f"{bucket or ''}/{self.object_key}",
            identifier=data.identifier,
            bucket=bucket,
            key=self.object_key,
            streams=(self.stream.stream(),) if self.stream is not None and not is_mixed else (),
            mixed=None if self.stream is None else is_mixed,
            started_at=self.time_stamp,
            duration_ms=self.duration,
            size_bytes=self.size,
            media=self._media(),
        )

    def _media(self) -> dict[str, str | int]:
        told = {"sample_rate": self.sample_rate, "bits_per_sample": self.bits_per_sample, "channels": self.channels}
        return {name: value for name, value in told.items() if value is not None}


class _Slices(Business):
    also: ClassVar = frozenset[str]()

    bucket: Group = Field(None, alias="Bucket")
    tos_bucket: Group = Field(None, alias="TosBucket")
    identifier: Group = Field(None, alias="Identifier")
    data: Annotated[tuple[_Slice, ...], UpToFirstWrong, AsList] = Field((), alias="Data")


def _segments(told: Told) -> tuple[Event, ...]:
    """Read one event for each slice; a callback without any tells nothing, but is no error."""
    data = read_fields(_Slices, told.data)
    task = data.task("segment")
    created = tuple(
        Event(
            kind="segment.created",
            word=told.word,
            at=told.at,
            task=task,
            business_id=data.business_id,
            segment=one.segment(data),
        )
        for one in data.data
    )
    return created or (Event(kind="unknown", word=told.word, at=told.at, task=task, business_id=data.business_id),)


READERS: Mapping[str, Callable[[Told], tuple[Event, ...]]] = {words.SEGMENT: _segments}
