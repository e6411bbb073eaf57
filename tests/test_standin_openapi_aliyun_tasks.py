"""The stand-in of Alibaba Cloud's RTC API: parameters and their enumerations, and the tasks that they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from standin_callers import aliyun

from standin.openapi import OpenApiStandin
from standin.openapi.aliyun.parameters import MEDIA_ENCODES, TASK_PROFILES

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def api() -> Iterator[OpenApiStandin]:
    with OpenApiStandin(vendor="aliyun", credentials={"AK": "SK"}) as standing:
        yield standing


@pytest.fixture
def running(api: OpenApiStandin) -> OpenApiStandin:
    api.tasks.add(app_id="a", room_id="c", task_id="t")
    return api


def error(api: OpenApiStandin, action: str, **parameters: object) -> tuple[int, str | None]:
    reply = aliyun(api, action, **parameters)
    return reply.status, reply.json.get("Code")


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["AppId", "ChannelId", "TaskId", "TemplateId"])
@pytest.mark.parametrize("action", ["StartRecordTask", "UpdateRecordTask"])
def test_what_is_mandatory_is_asked_for(running: OpenApiStandin, action: str, name: str) -> None:
    assert error(running, action, **{name: None}) == (400, f"Missing{name}")
    assert error(running, action, **{name: ""}) == (400, f"Missing{name}")


@pytest.mark.parametrize("task", ["x" * 56, "with space", "a.b", "ü"])
def test_a_task_id_is_up_to_55_letters_digits_and_dashes(api: OpenApiStandin, task: str) -> None:
    assert error(api, "StartRecordTask", TaskId=task) == (400, "InvalidTaskId.Malformed")
    assert aliyun(api, "StartRecordTask", TaskId="x" * 55).status == 200


@pytest.mark.parametrize("name", ["AppId", "ChannelId"])
def test_one_id_is_taken_and_not_several(api: OpenApiStandin, name: str) -> None:
    assert error(api, "StartRecordTask", **{name: "a,b"}) == (400, f"Invalid{name}.Malformed")


@pytest.mark.parametrize("number", sorted(MEDIA_ENCODES))
def test_each_media_encode_of_the_table_is_known(api: OpenApiStandin, number: int) -> None:
    assert aliyun(api, "StartRecordTask", MediaEncode=number).status == 200


@pytest.mark.parametrize("number", [-1, 2, 21, 29, 44, 51, 55, "x", "1.0", ""])
def test_a_media_encode_beside_the_table_is_refused(api: OpenApiStandin, number: object) -> None:
    assert error(api, "StartRecordTask", MediaEncode=number) == (400, "InvalidMediaEncode.Malformed")


def test_there_are_28_media_encodes_and_19_task_profiles() -> None:
    assert len(MEDIA_ENCODES) == 28
    assert len(TASK_PROFILES) == 19


@pytest.mark.parametrize(
    ("profile", "encode", "status"),
    [
        ("4IN_720P", 20, 200),
        ("4IN_720P", 30, 400),
        ("4IN_720P", 22, 200),
        ("4IN_720P", 31, 400),
        ("4IN_360P", 1, 200),
        ("4IN_360P", 10, 400),
        ("1IN_1080P", 30, 200),
        ("Mixed_Audio", 0, 200),
        ("Mixed_Audio", 1, 400),
        ("4IN_720P", 33, 400),
    ],
)
def test_a_picture_is_no_larger_than_its_task_profile(
    api: OpenApiStandin, profile: str, encode: int, status: int
) -> None:
    assert aliyun(api, "StartRecordTask", TaskProfile=profile, MediaEncode=encode).status == status


def test_a_longer_side_within_the_area_is_taken_and_noted(api: OpenApiStandin) -> None:
    assert aliyun(api, "StartRecordTask", TaskProfile="4IN_720P", MediaEncode=32).status == 200
    assert "longer side" in api.calls[-1].notes[0]


@pytest.mark.parametrize(
    ("profile", "panes", "status"), [("2IN_720P", 2, 200), ("2IN_720P", 3, 400), ("Mixed_Audio", 9, 200)]
)
def test_panes_are_no_more_than_the_inputs_of_the_task_profile(
    api: OpenApiStandin, profile: str, panes: int, status: int
) -> None:
    given = {f"UserPanes.{number}.PaneId": number - 1 for number in range(1, panes + 1)}
    assert aliyun(api, "StartRecordTask", TaskProfile=profile, **given).status == status


USERS = (
    *("SubSpecUsers", "SubSpecAudioUsers", "SubSpecShareScreenUsers", "SubSpecCameraUsers"),
    *("UnsubSpecAudioUsers", "UnsubSpecShareScreenUsers", "UnsubSpecCameraUsers"),
)


@pytest.mark.parametrize("name", [*USERS, "UserPanes"])
@pytest.mark.parametrize("numbers", [[0], [2], [1, 3], [0, 1], list(range(1, 18)), ["01"], ["x"]])
def test_a_list_counts_from_one_without_a_gap_up_to_sixteen(
    api: OpenApiStandin, name: str, numbers: list[object]
) -> None:
    rest = ".UserId" if name == "UserPanes" else ""
    sent = {f"{name}.{number}{rest}": "u" for number in numbers}
    assert error(api, "StartRecordTask", **sent) == (400, f"Invalid{name}.Malformed")


@pytest.mark.parametrize("name", USERS)
def test_a_list_of_sixteen_is_read_in_order(api: OpenApiStandin, name: str) -> None:
    sent = {f"{name}.{number}": f"u{number}" for number in range(16, 0, -1)}
    assert aliyun(api, "StartRecordTask", **sent).status == 200
    assert api.calls[-1].applied is not None
    assert api.calls[-1].applied[name] == [f"u{number}" for number in range(1, 17)]


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("TaskProfile", "3IN_720P", "TaskProfile"),
        ("TaskProfile", "4in_720p", "TaskProfile"),
        ("SourceType", "screen", "SourceType"),
        ("StreamType", 2, "StreamType"),
        ("MixMode", 2, "MixMode"),
        ("CropMode", "x", "CropMode"),
        ("LayoutIds.1", "x", "LayoutID"),
        ("LayoutIds.2", 1, "LayoutID"),
        ("UserPanes.1.PaneId", 16, "PaneId"),
        ("UserPanes.1.PaneId", -1, "PaneId"),
        ("UserPanes.1.SourceType", "both", "SourceType"),
        ("UserPanes.1.Images.2.Url", "https://x", "Images"),
        ("UserPanes.1.Images.1.Url", "ftp://x", "Url"),
        ("UserPanes.1.Images.1.Display", 3, "Display"),
        ("UserPanes.1.Images.1.X", 1.1, "X"),
        ("UserPanes.1.Images.1.Width", "nan", "Width"),
        ("UserPanes.1.Images.1.ZOrder", -1, "ZOrder"),
        ("UserPanes.1.Texts.2.Text", "x", "Texts"),
        ("UserPanes.1.Texts.1.FontType", 6, "FontType"),
        ("UserPanes.1.Texts.1.FontSize", 0, "FontSize"),
        ("UserPanes.1.Texts.1.FontSize", 73, "FontSize"),
        ("UserPanes.1.Texts.1.FontColor", 16777216, "FontColor"),
    ],
)
def test_a_malformed_parameter_is_refused_by_its_name(
    api: OpenApiStandin, name: str, value: object, refused: str
) -> None:
    assert error(api, "StartRecordTask", **{name: value}) == (400, f"Invalid{refused}.Malformed")
    assert not api.tasks.all()


@pytest.mark.parametrize(
    ("mode", "name", "value"),
    [
        (0, "TaskProfile", "4IN_720P"),
        (0, "MediaEncode", 20),
        (0, "SubSpecUsers.1", "u"),
        (0, "UserPanes.1.UserId", "u"),
        (0, "LayoutIds.1", 1),
        (1, "SourceType", "camera"),
        (1, "StreamType", 1),
    ],
)
def test_a_parameter_of_the_other_mix_mode_has_no_effect(
    api: OpenApiStandin, mode: int, name: str, value: object
) -> None:
    assert aliyun(api, "StartRecordTask", MixMode=mode, **{name: value}).status == 200
    plain_name = name.partition(".")[0]
    assert api.calls[-1].notes == (f"{plain_name} has no effect in MixMode {mode}: ignored",)


# --- tasks ------------------------------------------------------------------------------------------------------------


def test_a_task_that_runs_exists_under_http_200(api: OpenApiStandin) -> None:
    assert aliyun(api, "StartRecordTask").status == 200
    assert error(api, "StartRecordTask") == (200, "TaskExisted")
    assert not api.calls[-1].worked
    assert error(api, "StartRecordTask", AppId="b") == (200, None), "another app's task of the id is another task"


def test_a_stopped_task_can_not_be_stopped_or_updated_and_its_id_is_free(api: OpenApiStandin) -> None:
    aliyun(api, "StartRecordTask")
    assert aliyun(api, "StopRecordTask").status == 200
    for action in ("StopRecordTask", "UpdateRecordTask"):
        assert error(api, action) == (404, "InvalidTaskId.NotFound")
    assert aliyun(api, "StartRecordTask").json.keys() == {"RequestId"}


def test_a_stop_needs_no_channel(running: OpenApiStandin) -> None:
    assert aliyun(running, "StopRecordTask", ChannelId=None, TemplateId=None).status == 200


def test_an_update_through_another_channel_finds_no_task(running: OpenApiStandin) -> None:
    assert error(running, "UpdateRecordTask", ChannelId="other") == (404, "InvalidTaskId.NotFound")


def test_a_task_of_single_streams_can_not_be_updated(api: OpenApiStandin) -> None:
    aliyun(api, "StartRecordTask", MixMode=0)
    assert error(api, "UpdateRecordTask") == (400, "OperationDenied.MixMode")


def test_an_update_changes_what_is_given_and_ignores_what_can_not_be_changed(api: OpenApiStandin) -> None:
    aliyun(api, "StartRecordTask", TaskProfile="4IN_720P", MediaEncode=20)
    assert aliyun(api, "UpdateRecordTask", MixMode=0, SubSpecUsers__1="u").status == 200
    settings = api.tasks.get(app_id="a", task_id="t").settings
    assert settings == {
        "TemplateId": "tpl",
        "MixMode": 1,
        "TaskProfile": "4IN_720P",
        "MediaEncode": 20,
        "SubSpecUsers": ["u"],
    }
    assert api.calls[-1].notes == ("MixMode can't be changed: ignored",)
    assert error(api, "UpdateRecordTask", MediaEncode=30) == (400, "InvalidMediaEncode.Malformed")
