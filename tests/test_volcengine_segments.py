"""Volcengine's slices, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from volcengine_callbacks import (
    SLICES,
    fixture,
    read_with,
    segment,
    slice_with,
)

from handlers import drift
from handlers.errors import UnreadableDelivery
from handlers.events import Segment, Stream
from handlers.reading import is_all_segments


def test_a_slice_is_a_segment() -> None:
    (event,) = fixture("SegmentRealTimeData")
    key = "0d3f9a6e-5c1b-4a53-8f0e-7f2f7d8e1a90_teacher_1772701520214_1.wav"
    assert (event.kind, event.task, event.business_id) == ("segment.created", SLICES, "school-7")
    assert event.segment == Segment(
        locator=f"school-audio/{key}",
        identifier="0d3f9a6e-5c1b-4a53-8f0e-7f2f7d8e1a90",
        bucket="school-audio",
        key=key,
        streams=(Stream(user_id="teacher", source="camera"),),
        mixed=False,
        started_at=1_772_701_520_214,
        duration_ms=8_000,
        size_bytes=256_044,
        media={"sample_rate": 44_100, "bits_per_sample": 16, "channels": 2},
    )


def test_the_bucket_may_have_its_older_name() -> None:
    assert segment(fixture("SegmentRealTimeData-2020")[0]).bucket == "school-audio"
    (event,) = read_with("SegmentRealTimeData", Bucket=...)
    assert segment(event).bucket is None
    assert segment(event).locator.startswith("/0d3f")


def test_the_figures_of_a_slice_may_be_text_or_numbers() -> None:
    told = segment(fixture("SegmentRealTimeData-numbers")[0])
    assert dict(told.media) == {"sample_rate": 48_000, "bits_per_sample": 16, "channels": 1}
    assert dict(slice_with(SampleRate="", Channels=None, BitsPerSample=...).media) == {}


def test_one_callback_tells_of_several_slices_and_all_of_them_are_bulk() -> None:
    events = fixture("SegmentRealTimeData-several")
    assert is_all_segments(events)
    assert [segment(event).mixed for event in events] == [False, False, True]
    assert [[stream.user_id for stream in segment(event).streams] for event in events] == [
        ["teacher"],
        ["pupil@1.example"],
        [],
    ]
    assert len({segment(event).locator for event in events}) == 3


@pytest.mark.parametrize("data", [[], None, "", ...])
def test_a_callback_without_slices_is_unknown(data: Any) -> None:
    (event,) = read_with("SegmentRealTimeData", Data=data)
    assert (event.kind, event.word, event.task) == ("unknown", "SegmentRealTimeData", SLICES)


def test_a_slice_may_not_say_whose_it_is() -> None:
    told = slice_with(Stream=...)
    assert (told.streams, told.mixed) == ((), None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ObjectKey", ...),
        ("ObjectKey", ""),
        ("ObjectKey", 7),
        ("ObjectKey", "k" * 1025),
        ("TimeStamp", "now"),
    ],
)
def test_a_wrong_name_or_time_of_a_slice_is_unreadable_and_named(field: str, value: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=rf"^Data\.0\.{field}"):
        slice_with(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("SampleRate", "44.1k"),
        ("Channels", -2),
        ("Size", {}),
        ("Duration", -1),
        ("Stream", {}),
        ("Stream", "teacher"),
        ("Stream", {"UserId": ""}),
    ],
)
def test_one_odd_value_costs_no_slice(field: str, value: Any) -> None:
    with drift.noting() as noted:
        told = slice_with(**{field: value})
    assert told == slice_with(**{field: ...})
    assert noted == {("wrong", field)}


@pytest.mark.parametrize("field", ["Identifier", "Bucket", "TosBucket"])
def test_a_name_that_no_index_holds_is_unreadable(field: str) -> None:
    with pytest.raises(UnreadableDelivery, match=f"^{field} .*at most 255"):
        read_with("SegmentRealTimeData", **{field: "x" * 256})
