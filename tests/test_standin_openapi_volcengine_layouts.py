"""The stand-in of Volcengine's OpenAPI: layouts of records and pushes, and what an update leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from standin_callers import layout, streams, volcengine

from standin.openapi import OpenApiStandin

if TYPE_CHECKING:
    from collections.abc import Iterator

IDS = {"AppId": "a", "RoomId": "r", "TaskId": "t"}
VERSIONS = {"UpdateRecord": "2022-06-01", "StartRecord": "2022-06-01", "UpdatePushMixedStreamToCDN": "2020-12-01"}


@pytest.fixture
def api() -> Iterator[OpenApiStandin]:
    with OpenApiStandin(vendor="volcengine", credentials={"AK": "SK"}) as standing:
        for type_ in ("record", "push"):
            standing.tasks.add(type=type_, app_id="a", room_id="r", task_id="t")
        yield standing


def call(api: OpenApiStandin, action: str, **values: Any) -> Any:
    reply = volcengine(api, action, {**IDS, **values}, version=VERSIONS[action])
    assert reply.status == 200, "the service's own refusals come with HTTP 200"
    return reply.json


def error(api: OpenApiStandin, action: str, **values: Any) -> str:
    return str(call(api, action, **values)["ResponseMetadata"]["Error"]["Code"])


# --- layouts ----------------------------------------------------------------------------------------------------------

LAYOUTS = ["UpdateRecord", "UpdatePushMixedStreamToCDN"]


@pytest.mark.parametrize("action", LAYOUTS)
@pytest.mark.parametrize(
    "values",
    [
        {"TargetStreams": streams(0, 1), "Layout": layout(0)},
        {"TargetStreams": streams(0), "Layout": layout(0, 1)},
        {"TargetStreams": streams(0, 0), "Layout": layout(0)},
        {"TargetStreams": streams(0), "Layout": layout(0, 0)},
        {"TargetStreams": {"StreamList": [{"UserId": "u"}]}, "Layout": layout()},
        {"TargetStreams": streams(0)},
        {"TargetStreams": {"StreamList": [{"Index": 0}]}, "Layout": layout(0)},
        {"TargetStreams": streams(0), "Layout": {**layout(0), "LayoutMode": 1}},
        {"TargetStreams": streams(0), "Layout": {"CustomLayout": layout(0)["CustomLayout"]}},
        {"TargetStreams": streams(0), "Layout": layout(0, WidthProportion=0)},
        {"TargetStreams": streams(0), "Layout": layout(0, WidthProportion=1.1)},
        {"TargetStreams": streams(0), "Layout": layout(0, HeightProportion=None)},
        {"TargetStreams": streams(0), "Layout": layout(0, LocationX=-0.1)},
        {"TargetStreams": streams(*range(31)), "Layout": layout(*range(31))},
    ],
)
def test_a_layout_that_does_not_fit_is_refused(api: OpenApiStandin, action: str, values: dict[str, Any]) -> None:
    assert error(api, action, **values) == "InvalidParameter"


def test_a_record_takes_seventeen_streams_and_a_push_thirty(api: OpenApiStandin) -> None:
    for action, most in (("UpdateRecord", 17), ("UpdatePushMixedStreamToCDN", 30)):
        fits = {"TargetStreams": streams(*range(most)), "Layout": layout(*range(most))}
        assert call(api, action, **fits)["Result"] == "ok"
        more = {"TargetStreams": streams(*range(most + 1)), "Layout": layout(*range(most + 1))}
        assert error(api, action, **more) == "InvalidParameter"


@pytest.mark.parametrize(
    ("name", "value", "default"),
    [
        ("ZOrder", 101, 0),
        ("Alpha", 0, 1),
        ("RenderMode", 4, 0),
        ("MediaType", 3, 0),
        ("AlternateImage", "ftp://x", None),
    ],
)
def test_a_wrong_optional_value_of_a_region_is_silently_its_default(
    api: OpenApiStandin, name: str, value: object, default: object
) -> None:
    values = {"TargetStreams": streams(0), "Layout": layout(0, **{name: value})}
    assert call(api, "UpdateRecord", **values)["Result"] == "ok"
    applied: Any = api.calls[-1].applied
    assert applied["Layout"]["CustomLayout"]["Regions"][0][name] == default
    assert name in api.calls[-1].notes[0]


@pytest.mark.parametrize(
    ("url", "is_taken"),
    [
        ("https://x/a.png", True),
        ("https://x/a.jpg!small", True),
        ("https://x/pic.php?id=3", True),
        ("https://x/a.gif", False),
        ("https://x/a.WEBP?v=1", False),
    ],
)
def test_a_picture_is_taken_unless_its_address_ends_like_another_format(
    api: OpenApiStandin, url: str, *, is_taken: bool
) -> None:
    call(api, "UpdateRecord", TargetStreams=streams(0), Layout=layout(0, AlternateImage=url))
    (record,) = (task for task in api.tasks.all() if task.key.type == "record")
    assert record.settings["Layout"]["CustomLayout"]["Regions"][0]["AlternateImage"] == (url if is_taken else None)


def test_a_push_may_have_the_id_of_a_client_and_its_own(api: OpenApiStandin) -> None:
    clients = f"{'c' * 128}@@{'t' * 128}"
    for type_ in ("record", "push"):
        api.tasks.add(type=type_, app_id="a", room_id="r", task_id=clients)
    assert call(api, "UpdatePushMixedStreamToCDN", TaskId=clients)["Result"] == "ok"
    assert error(api, "UpdatePushMixedStreamToCDN", TaskId=f"{clients}t") == "InvalidParameter"
    assert error(api, "UpdateRecord", TaskId=clients) == "InvalidParameter"


def test_the_size_of_the_canvas_can_not_be_changed(api: OpenApiStandin) -> None:
    whole = layout(0)
    whole["CustomLayout"]["Canvas"] |= {"Width": 860, "Height": 340}
    assert call(api, "UpdateRecord", TargetStreams=streams(0), Layout=whole)["Result"] == "ok"
    applied: Any = api.calls[-1].applied
    assert "Width" not in applied["Layout"]["CustomLayout"]["Canvas"]
    assert applied["Layout"]["CustomLayout"]["Canvas"]["Background"] == "#303342"


@pytest.mark.parametrize("settings", [{"RecordMode": 1}, {"Layout": {"LayoutMode": 0}}])
def test_a_record_of_another_mode_or_layout_can_not_be_updated(api: OpenApiStandin, settings: dict[str, Any]) -> None:
    api.tasks.add(type="record", app_id="a", room_id="r", task_id="t", **settings)
    assert error(api, "UpdateRecord", TargetStreams=streams(0), Layout=layout(0)) == "InvalidParameter"


def test_a_record_started_over_the_wire_keeps_its_mode_and_layout(api: OpenApiStandin) -> None:
    call(api, "StartRecord", TaskId="adaptive")
    call(api, "StartRecord", TaskId="custom", Layout={"LayoutMode": 2})
    assert error(api, "UpdateRecord", TaskId="adaptive") == "InvalidParameter"
    assert call(api, "UpdateRecord", TaskId="custom")["Result"] == "ok"


# --- pushes -----------------------------------------------------------------------------------------------------------


def push(api: OpenApiStandin) -> Any:
    return api.tasks.get(type="push", app_id="a", room_id="r", task_id="t").settings


def test_what_a_push_update_leaves_out_falls_back_to_its_default(api: OpenApiStandin) -> None:
    call(api, "UpdatePushMixedStreamToCDN", TargetStreams=streams(0), Layout=layout(0), Encode={"VideoFps": 30})
    assert push(api)["Encode"]["VideoFps"] == 30
    call(api, "UpdatePushMixedStreamToCDN", Encode={"VideoGop": 2})
    assert push(api)["Encode"]["VideoFps"] == 15
    assert push(api)["TargetStreams"] == {"StreamList": []}
    assert push(api)["Layout"]["CustomLayout"] == {
        "Canvas": {"Background": "#000000", "BackgroundImage": None},
        "Regions": [],
    }


def test_a_partial_push_update_leaves_the_rest_as_it_was(api: OpenApiStandin) -> None:
    call(api, "UpdatePushMixedStreamToCDN", TargetStreams=streams(0), Layout=layout(0), Encode={"VideoFps": 30})
    background = {"CustomLayout": {"Canvas": {"Background": "#ffffff"}}}
    answer = call(
        api, "UpdatePushMixedStreamToCDN", IsUpdatePartialParam=True, Layout=background, Encode={"VideoGop": 2}
    )
    assert answer["Result"] == "ok"
    assert (push(api)["Encode"]["VideoFps"], push(api)["Encode"]["VideoGop"]) == (30, 2)
    assert push(api)["Layout"]["CustomLayout"]["Canvas"]["Background"] == "#ffffff"
    assert len(push(api)["Layout"]["CustomLayout"]["Regions"]) == 1


def test_a_partial_push_update_replaces_a_list_as_a_whole(api: OpenApiStandin) -> None:
    call(api, "UpdatePushMixedStreamToCDN", TargetStreams=streams(0, 1), Layout=layout(0, 1))
    partial = {"IsUpdatePartialParam": True, "TargetStreams": streams(0)}
    assert error(api, "UpdatePushMixedStreamToCDN", **partial) == "InvalidParameter"
    assert call(api, "UpdatePushMixedStreamToCDN", **partial, Layout=layout(0))["Result"] == "ok"


def test_a_sequence_number_has_to_be_above_the_last(api: OpenApiStandin) -> None:
    assert call(api, "UpdatePushMixedStreamToCDN", SequenceNumber=5)["Result"] == "ok"
    for number in (5, 4):
        assert error(api, "UpdatePushMixedStreamToCDN", SequenceNumber=number) == "InvalidParameter"
    assert call(api, "UpdatePushMixedStreamToCDN")["Result"] == "ok", "without one nothing is compared"
    assert call(api, "UpdatePushMixedStreamToCDN", SequenceNumber=6)["Result"] == "ok"


def test_a_refused_update_uses_no_sequence_number_up(api: OpenApiStandin) -> None:
    assert error(api, "UpdatePushMixedStreamToCDN", SequenceNumber=9, TargetStreams=streams(0)) == "InvalidParameter"
    assert call(api, "UpdatePushMixedStreamToCDN", SequenceNumber=9)["Result"] == "ok"


@pytest.mark.parametrize("number", [2**31, 1_767_225_600_000, "7", 1.5, True])
def test_a_sequence_number_is_an_int32(api: OpenApiStandin, number: object) -> None:
    assert error(api, "UpdatePushMixedStreamToCDN", SequenceNumber=number) == "InvalidParameter.Unmarshal"


def test_axes_that_are_not_perpendicular_are_silently_the_default(api: OpenApiStandin) -> None:
    axes = {"Forward": [1, 0, 0], "Right": [1, 1, 0], "Up": [0, 0, 1]}
    spatial = {"SpatialConfig": {"AudienceSpatialOrientation": axes}}
    assert call(api, "UpdatePushMixedStreamToCDN", Control=spatial)["Result"] == "ok"
    assert push(api)["Control"]["SpatialConfig"]["AudienceSpatialOrientation"]["Right"] == [0, 1, 0]


def test_codec_and_profile_can_not_be_changed(api: OpenApiStandin) -> None:
    assert call(api, "UpdatePushMixedStreamToCDN", Encode={"VideoCodec": 1, "AudioProfile": 2})["Result"] == "ok"
    assert [note for note in api.calls[-1].notes if "can't be changed" in note] == list(api.calls[-1].notes)
    assert len(api.calls[-1].notes) == 2
