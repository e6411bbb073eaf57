"""Every documented constraint of a parameter takes what keeps it, and refuses what breaks it, saying why and where."""

from __future__ import annotations

import copy
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, get_args

import pytest
from calling import OPERATIONS, golden

from handlers.errors import WrongRequest
from handlers.operation import Parameters, complete, find_problems, find_unsent, takes_text
from handlers.vendors.aliyun.parameters import MEDIA_ENCODES, TASK_PROFILES

if TYPE_CHECKING:
    from collections.abc import Iterator

SEGMENT, RECORD, PUSH = (
    "volcengine.update_segment",
    "volcengine.update_record",
    "volcengine.update_push_mixed_stream_to_cdn",
)
START, UPDATE, STOP = "aliyun.start_record_task", "aliyun.update_record_task", "aliyun.stop_record_task"
JOB = "huawei.update_individual_stream_job"

ID = (["a", "u@@t-1_.x", "0" * 128], ["", "a/b", "a b", "ü", "x" * 129, "a\n", 7, True])
FLAG = ([True, False], [0, 1, "true", "True"])
EVEN = ([2, 640, 1920], [0, 1, 3, 1922, -2, "640", 640.5])
SHARE = ([0, 0.5, 1], [-0.1, 1.01, "0.5", True, float("nan"), float("inf")])
PROPORTION = ([0.01, 1], [0, -1, 1.01, "1", float("nan")])
PICTURE = (
    [
        "https://x.example.com/a.png",
        "https://x.example.com/a.jpg!small",
        "https://x.example.com/123.jpg~tplv-abc-image.image",
        "https://x.example.com/pic.php?id=3",
        "https://x.example.com/v1.2/picture",
        "https://x.example.com/thumb.jpg?from=a.gif",
        "http://x.example.com/a.JPEG?sign=1",
        "https://x.example.com/picture?id=3",
        f"https://x.example.com/{'a' * 996}.png",
    ],
    [
        "ftp://x.example.com/a.png",
        "a.png",
        *[f"https://x.example.com/a.{kind}" for kind in ("gif", "WEBP", "bmp", "svg", "avif", "heic", "tiff", "tif")],
        f"https://x.example.com/{'a' * 1000}.png",
        "https://x.example.com/a b.png",
        "http://[::1/a.png",
        7,
    ],
)
POSITION = ([[0, 0, 0], [-100, 100, 1.5]], [[0, 0], [0, 0, 0, 0], [0, 0, 101], [0, 0, "1"], 3])
AXIS = ([[1, 0, 0]], [[1, 0], [1, 0, 0, 0], ["x", 0, 0]])
ALI_ID = (["a", "lesson 7", "学"], ["", 7, None])
ALI_ONE_ID = (ALI_ID[0], [*ALI_ID[1], "a,b"])
USERS = ([["a"], ["a"] * 16], [[], ["a"] * 17, [""], [7], "a"])
ALI_SOURCE = (["camera", "shareScreen"], ["screen", "Camera", 1])
ORDER = ([0, 9], [-1, "0", 1.5])
LAYOUT = "Layout.CustomLayout"
REGION = f"{LAYOUT}.Regions[0]"
PANE = "UserPanes[0]"

Row = tuple[str, str, tuple[list[Any], list[Any]], str]


def ids(name: str) -> list[Row]:
    rule = "1 to 128 of the characters"
    needed = [(name, key, (ID[0], [*ID[1], None]), rule) for key in ("AppId", "RoomId")]
    clients = f"{'c' * 128}@@{'t' * 128}"
    task_id = ([*ID[0], clients], [*ID[1], None, f"{clients}t"]) if name == PUSH else (ID[0], [*ID[1], None, clients])
    business_id = ([*ID[0], ""], ID[1][1:])
    return [*needed, (name, "TaskId", task_id, rule), (name, "BusinessId", business_id, rule)]


def region(name: str) -> list[Row]:
    return [
        (name, f"{REGION}.StreamIndex", ([0], [-1, 2**31, "0", 0.5, None]), "a whole number from 0 up"),
        (name, f"{REGION}.WidthProportion", (PROPORTION[0], [*PROPORTION[1], None]), "above 0, up to 1"),
        (name, f"{REGION}.HeightProportion", (PROPORTION[0], [*PROPORTION[1], None]), "above 0, up to 1"),
        (name, f"{REGION}.LocationX", SHARE, "from 0 to 1"),
        (name, f"{REGION}.LocationY", SHARE, "from 0 to 1"),
        (name, f"{REGION}.ZOrder", ([0, 100], [-1, 101, 1.5]), "from 0 to 100"),
        (name, f"{REGION}.Alpha", PROPORTION, "above 0, up to 1"),
        (name, f"{REGION}.RenderMode", ([0, 1, 2, 3], [-1, 4, "1"]), "0, 1, 2 or 3"),
        (name, f"{REGION}.MediaType", ([0, 1, 2], [3, "0"]), "0 (both), 1 (sound) or 2 (picture)"),
        (name, f"{REGION}.AlternateImage", PICTURE, "expected"),
        (name, f"{REGION}.AlternateImageFillMode", ([0, 1], [2]), "0 or 1"),
        (name, f"{REGION}.SourceCrop", ([{}], [7, {"X": 1}]), "SourceCrop|unknown"),
        (name, f"{REGION}.SourceCrop.LocationX", SHARE, "from 0 to 1"),
        (name, f"{REGION}.SourceCrop.LocationY", SHARE, "from 0 to 1"),
        (name, f"{REGION}.SourceCrop.WidthProportion", PROPORTION, "above 0, up to 1"),
        (name, f"{REGION}.SourceCrop.HeightProportion", PROPORTION, "above 0, up to 1"),
        (name, f"{REGION}.SpatialPosition", POSITION, "three numbers from -100 to 100"),
    ]


def picture(name: str, most: int) -> list[Row]:
    every = [{"Index": index, "UserId": f"u{index}"} for index in range(most + 1)]
    return [
        (name, "TargetStreams", ([None], [7, {}]), "expected"),
        (name, "TargetStreams.StreamList", ([], [every, None, 7]), f"at most {most} streams"),
        (name, "TargetStreams.StreamList[0].Index", ([0], [-1, 2**31, "0", True, None]), "a whole number from 0 up"),
        (name, "TargetStreams.StreamList[0].UserId", (ID[0], [*ID[1], None]), "1 to 128 of the characters"),
        (name, "TargetStreams.StreamList[0].StreamType", ([0, 1], [2, "1", True]), "0 (camera) or 1 (screen)"),
        (name, "Layout", ([], [7, []]), "an object of the type Layout"),
        (name, "Layout.LayoutMode", ([2], [0, 1, 3, "2", True]), "only the custom layout can be updated"),
        (name, LAYOUT, ([], [7]), "an object of the type CustomLayout"),
        (name, f"{LAYOUT}.Canvas", ([None, {}], [7]), "an object of the type Canvas"),
        (name, f"{LAYOUT}.Canvas.Width", EVEN, "an even number from 2 to 1920"),
        (name, f"{LAYOUT}.Canvas.Height", EVEN, "an even number from 2 to 1920"),
        (name, f"{LAYOUT}.Canvas.Background", (["#000000", "#aBcDeF"], ["000000", "#fff", "red", "#00000g", 0]), "#RR"),
        (name, f"{LAYOUT}.Canvas.BackgroundImage", PICTURE, "expected"),
        (name, f"{LAYOUT}.Regions", ([], [7, {}]), "a list of the type Region"),
        *region(name),
    ]


def mixed(name: str) -> list[Row]:
    return [
        (name, "AppId", ALI_ONE_ID, "text that is not empty|takes one only"),
        (name, "ChannelId", ALI_ONE_ID, "text that is not empty|takes one only"),
        (name, "TemplateId", ALI_ID, "text that is not empty"),
        (
            name,
            "TaskId",
            (["a", "A_z-9", "x" * 55], ["", "x" * 56, "a b", "a.b", 7, None]),
            "1 to 55 of the characters",
        ),
        (name, "TaskProfile", (["4IN_1080P", "16IN_720P", None], ["4IN", "3IN_720P", "4in_1080p", 4]), "expected"),
        (name, "MediaEncode", ([0, 20, 54, None], [2, 21, -1, "20", 55]), "expected"),
        (name, "CropMode", ([0, 1], ["1", 1.5]), "a whole number"),
        (name, "LayoutIds", ([[1], list(range(16))], [[], list(range(17)), ["1"], 1]), "expected"),
        *[
            (name, key, USERS, "expected")
            for key in (
                "SubSpecUsers",
                "SubSpecAudioUsers",
                "SubSpecShareScreenUsers",
                "SubSpecCameraUsers",
                "UnsubSpecAudioUsers",
                "UnsubSpecShareScreenUsers",
                "UnsubSpecCameraUsers",
            )
        ],
        (
            name,
            "UserPanes",
            ([[{"PaneId": 0}] * 4], [[], [{"PaneId": 0}] * 17, {}, "a", [{}], [{"UserId": None}]]),
            "a list of 1 to 16 panes|gap",
        ),
        (name, f"{PANE}.PaneId", ([0, 15], [-1, 16, "0"]), "from 0 to 15"),
        (name, f"{PANE}.UserId", (["a"], ["", 7]), "text that is not empty"),
        (name, f"{PANE}.SourceType", ALI_SOURCE, '"camera" or "shareScreen"'),
        (name, f"{PANE}.Images", ([[{"X": 0}] * 16], [[], [{"X": 0}] * 17, [{}]]), "a list of 1 to 16 pictures|gap"),
        (name, f"{PANE}.Images[0].Url", (["http://x/a", "https://x/a.jpg"], ["ftp://x/a", "x", 7]), "expected|address"),
        (name, f"{PANE}.Images[0].Display", ([0, 1, 2], [3, "1"]), "0 (never), 1 (always) or 2"),
        *[(name, f"{PANE}.Images[0].{key}", SHARE, "from 0 to 1") for key in ("X", "Y", "Width", "Height")],
        (name, f"{PANE}.Images[0].ZOrder", ORDER, "from 0 up"),
        (name, f"{PANE}.Texts", ([[{"X": 0}] * 16], [[], [{"X": 0}] * 17, [{}]]), "a list of 1 to 16 texts|gap"),
        (name, f"{PANE}.Texts[0].Text", (["", "a"], [7]), "text"),
        *[(name, f"{PANE}.Texts[0].{key}", SHARE, "from 0 to 1") for key in ("X", "Y")],
        (name, f"{PANE}.Texts[0].FontType", ([0, 5], [-1, 6]), "from 0 to 5"),
        (name, f"{PANE}.Texts[0].FontSize", ([1, 72], [0, 73, 1.5]), "from 1 to 72"),
        (name, f"{PANE}.Texts[0].FontColor", ([0, 16777215], [-1, 16777216]), "from 0 to 16777215"),
        (name, f"{PANE}.Texts[0].ZOrder", ORDER, "from 0 up"),
    ]


SPATIAL = "Control.SpatialConfig"
ORIENTATION = f"{SPATIAL}.AudienceSpatialOrientation"
TABLE: list[Row] = [
    *ids(SEGMENT),
    (SEGMENT, "Identifier", ID, "1 to 128 of the characters"),
    (SEGMENT, "Handle", FLAG, "true or false"),
    (SEGMENT, "Duration", ([1, 20, 600], [0, 601, -1, 20.5, 20.0, "20", True, 2**70]), "from 1 to 600"),
    (SEGMENT, "MaxIdleTime", ([200], ["200", 1.5]), "a whole number, which is not sent"),
    (SEGMENT, "TargetStreams", ([{"StreamList": [{"UserId": "u"}, {"UserId": "u"}]}], [7, []]), "which is not sent"),
    *ids(RECORD),
    *picture(RECORD, 17),
    *ids(PUSH),
    *picture(PUSH, 30),
    (PUSH, f"{REGION}.ApplySpatialAudio", FLAG, "true or false"),
    (PUSH, f"{REGION}.CornerRadius", PROPORTION, "above 0, up to 1"),
    (PUSH, "IsUpdatePartialParam", (FLAG[0], [*FLAG[1], None]), "true (only what is given changes"),
    (PUSH, "SequenceNumber", ([0, 2**31 - 1], [-1, 2**31, "1", 1.5]), "from 0 to 2147483647"),
    (PUSH, "Encode", ([None, {}], [7]), "an object of the type Encode"),
    (PUSH, "Encode.VideoFps", ([1, 60], [0, 61]), "from 1 to 60"),
    (PUSH, "Encode.VideoGop", ([1, 5], [0, 6]), "from 1 to 5"),
    (PUSH, "Encode.VideoBitrate", ([1, 10_000], [0, 10_001]), "from 1 to 10000"),
    (PUSH, "Encode.VideoWidth", EVEN, "an even number from 2 to 1920"),
    (PUSH, "Encode.VideoHeight", EVEN, "an even number from 2 to 1920"),
    (PUSH, "Encode.AudioCodec", ([0], [1]), "expected 0"),
    (PUSH, "Encode.AudioBitrate", ([32, 192], [31, 193]), "from 32 to 192"),
    (PUSH, "Encode.AudioSampleRate", ([32_000, 44_100, 48_000], [8_000, "48000", True]), "32000, 44100 or 48000"),
    (PUSH, "Encode.AudioChannels", ([2], [0, 3]), "1 or 2"),
    (PUSH, "Control", ([None, {}], [7]), "expected"),
    (PUSH, SPATIAL, ([None, {}], [7]), "an object of the type SpatialConfig"),
    (PUSH, f"{SPATIAL}.EnableSpatialRender", FLAG, "true or false"),
    (PUSH, f"{SPATIAL}.AudienceSpatialPosition", POSITION, "three numbers from -100 to 100"),
    (PUSH, ORIENTATION, ([{}, {"Forward": [0, 0, 1], "Up": [1, 0, 0]}], [7, {"Forward": [0, 1, 0]}]), ""),
    (PUSH, f"{ORIENTATION}.Forward", AXIS, "three numbers"),
    (PUSH, f"{ORIENTATION}.Right", ([[0, 1, 0]], AXIS[1]), "three numbers"),
    (PUSH, f"{ORIENTATION}.Up", ([[0, 0, 2]], AXIS[1]), "three numbers"),
    *mixed(START),
    (START, "MixMode", ([1, None], [2, "1", True]), "0 (single streams) or 1 (mixed"),
    (START, "SourceType", ([None], ["screen"]), '"camera" or "shareScreen"'),
    (START, "StreamType", ([None], [2, "0"]), "0 (as sent) or 1 (sound alone)"),
    (START, "BackgroundColor", ([0], ["#fff"]), "which is not sent"),
    (START, "Backgrounds", ([[{}]], [{}]), "which is not sent"),
    (START, "Watermarks", ([[{}]], [{}]), "which is not sent"),
    *mixed(UPDATE),
    (STOP, "AppId", ALI_ONE_ID, "text that is not empty|takes one only"),
    (STOP, "TaskId", (["a", "x" * 55], ["", "x" * 56, "a/b", None]), "1 to 55 of the characters"),
    *[
        (JOB, key, (["a", "6a1b", "x" * 256, "ü"], ["", "a/b", "a\\b", ".", "..", "a b", "a\n", "x" * 257, 7]), "")
        for key in ("app_id", "job_id")
    ],
    (JOB, "record_param", ([None], [7, {}, {"record_rule_id": "a", "more": 1}]), ""),
    (JOB, "record_param.record_rule_id", (["a"], ["", 7, None]), "the id of a record rule"),
    (
        JOB,
        "publish_param",
        (
            [None, {"rtmp_urls": ["rtmp://x"], "n": None}],
            [7, [], {"a": float("nan")}, {"a": {"b": object()}}, {"a": "\ud800"}],
        ),
        "",
    ),
]


NOT_SENT = {
    *((SEGMENT, path) for path in ("MaxIdleTime", "TargetStreams")),
    *((START, path) for path in ("BackgroundColor", "Backgrounds", "Watermarks")),
}


def put(parameters: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return the parameters with a value at a path; what is missing on the way is made."""
    whole = copy.deepcopy(parameters)
    place: Any = whole
    parts = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
    for part, following in pairwise(parts):
        made: Any = [{}] if isinstance(following, int) else {}
        place = place.setdefault(part, made) if isinstance(place, dict) else place[part]
    place[parts[-1]] = value
    return whole


def examples(*, good: bool) -> list[Any]:
    return [
        pytest.param(name, path, value, rule, id=f"{name}-{path}-{number}")
        for name, path, values, rule in TABLE
        for number, value in enumerate(values[0 if good else 1])
    ]


def base(name: str) -> dict[str, Any]:
    """Return the golden parameters, but of streams and regions only the first, which a row changes by itself."""
    parameters: dict[str, Any] = copy.deepcopy(golden(name)["parameters"])
    if name in {RECORD, PUSH}:
        del parameters["TargetStreams"]["StreamList"][1:]
        del parameters["Layout"]["CustomLayout"]["Regions"][1:]
    if name == PUSH:
        parameters["IsUpdatePartialParam"] = True
    return parameters


@pytest.mark.parametrize(("name", "path", "value", "_rule"), examples(good=True))
def test_what_keeps_a_constraint_is_taken(name: str, path: str, value: Any, _rule: str) -> None:
    parameters = put(base(name), path, value)
    assert find_problems(OPERATIONS[name].parameters, parameters) == ()
    sent = complete(OPERATIONS[name].parameters, parameters)
    is_left_out = (value is None and "." not in path) or (path, value) == ("BusinessId", "") or (name, path) in NOT_SENT
    assert (re.split(r"[.\[]", path)[0] in sent) is not is_left_out


@pytest.mark.parametrize(("name", "path", "value", "rule"), examples(good=False))
def test_what_breaks_a_constraint_is_refused_with_the_constraint_and_the_page(
    name: str, path: str, value: Any, rule: str
) -> None:
    problems = find_problems(OPERATIONS[name].parameters, put(base(name), path, value))
    assert problems
    assert all(problem.name.startswith(path) for problem in problems)
    assert any(re.search("|".join(map(re.escape, rule.split("|"))), problem.reason) for problem in problems)
    assert all(re.search(r"\((docs/6348/\d+|RTC API 2018-01-11, \w+|api-rtc/\w+)\)$", one.reason) for one in problems)
    with pytest.raises(WrongRequest) as refused:
        complete(OPERATIONS[name].parameters, put(base(name), path, value))
    assert refused.value.wrong == {problem.name: problem.reason for problem in problems}


# --- constraints between parameters -----------------------------------------------------------------------------------


def streams(*indexes: int) -> dict[str, Any]:
    return {"StreamList": [{"Index": index, "UserId": f"u{index}"} for index in indexes]}


def layout(*indexes: int) -> dict[str, Any]:
    regions = [{"StreamIndex": index, "WidthProportion": 1, "HeightProportion": 1} for index in indexes]
    return {"LayoutMode": 2, "CustomLayout": {"Regions": regions}}


VOLC = {"AppId": "a", "RoomId": "r", "TaskId": "t"}
ALI = {"AppId": "a", "ChannelId": "c", "TaskId": "t", "TemplateId": "tpl"}
WHOLE = {**VOLC, "IsUpdatePartialParam": False}
PART = {**VOLC, "IsUpdatePartialParam": True}
TOGETHER: list[tuple[str, dict[str, Any], str | None]] = [
    (RECORD, {**VOLC}, None),
    (RECORD, {**VOLC, "TargetStreams": streams(0, 1), "Layout": layout(1, 0)}, None),
    (RECORD, {**VOLC, "TargetStreams": streams(0, 1)}, None),
    (RECORD, {**VOLC, "Layout": layout(3)}, None),
    (RECORD, {**VOLC, "TargetStreams": streams(0), "Layout": {"LayoutMode": 2}}, None),
    (RECORD, {**VOLC, "TargetStreams": streams(0, 1), "Layout": layout(0)}, "a region for every stream"),
    (RECORD, {**VOLC, "TargetStreams": streams(0), "Layout": layout(0, 1)}, "a stream for every region"),
    (RECORD, {**VOLC, "TargetStreams": streams(0, 0)}, "holds the Index 0 more than once"),
    (RECORD, {**VOLC, "TargetStreams": streams(0), "Layout": layout(0, 0)}, "place the StreamIndex 0 more than once"),
    (RECORD, {**VOLC, "Layout": layout(1, 1)}, "place the StreamIndex 1 more than once"),
    (PUSH, {**PART, "Layout": layout(1, 1)}, "place the StreamIndex 1 more than once"),
    (SEGMENT, VOLC, "or nothing is updated"),
    (SEGMENT, {**VOLC, "MaxIdleTime": 200}, "or nothing is updated"),
    (SEGMENT, {**VOLC, "Handle": False}, None),
    (RECORD, {**VOLC, "TargetStreams": streams(*range(17)), "Layout": layout(*range(17))}, None),
    (RECORD, {**VOLC, "Layout": {"CustomLayout": {}}}, "is missing; expected 2"),
    (PUSH, WHOLE, None),
    (PUSH, {**WHOLE, "TargetStreams": streams(*range(30)), "Layout": layout(*range(30))}, None),
    (PUSH, {**WHOLE, "TargetStreams": streams(0)}, "a region for every stream"),
    (PUSH, {**WHOLE, "Layout": layout(0)}, "a stream for every region"),
    (PUSH, {**WHOLE, "Layout": {"CustomLayout": {}}}, "would fall back to 0; expected 2"),
    (PUSH, {**PART, "TargetStreams": streams(0)}, None),
    (PUSH, {**PART, "Layout": layout(0)}, None),
    (PUSH, {**PART, "Layout": {"CustomLayout": {}}}, None),
    (PUSH, {**PART, "TargetStreams": streams(0), "Layout": layout(1)}, "a region for every stream"),
    (PUSH, {**PART, "Encode": {"AudioChannels": 1}, "Control": {"SpatialConfig": {}}}, None),
    (
        PUSH,
        {**PART, "Encode": {"AudioChannels": 1}, "Control": {"SpatialConfig": {"EnableSpatialRender": True}}},
        "no effect with Encode.AudioChannels 1",
    ),
    (START, {**ALI, "MixMode": 0, "StreamType": 1, "SourceType": "camera"}, None),
    (START, {**ALI, "MixMode": 0, "MediaEncode": 20}, "MediaEncode without an effect in MixMode 0"),
    (START, {**ALI, "MixMode": 0, "SubSpecUsers": ["a"]}, "SubSpecUsers without an effect in MixMode 0"),
    (START, {**ALI, "MixMode": 0, "UserPanes": [{"PaneId": 0}]}, "UserPanes without an effect in MixMode 0"),
    (START, {**ALI, "MixMode": 0, "Watermarks": []}, "Watermarks without an effect in MixMode 0"),
    (START, {**ALI, "MixMode": 1, "Watermarks": []}, None),
    (START, {**ALI, "MixMode": 1, "StreamType": 0}, "StreamType without an effect in MixMode 1"),
    (START, {**ALI, "SourceType": "camera"}, "SourceType without an effect in MixMode 1"),
]


@pytest.mark.parametrize(("name", "parameters", "reason"), TOGETHER)
def test_parameters_that_must_go_together_do_or_are_refused(
    name: str, parameters: dict[str, Any], reason: str | None
) -> None:
    problems = find_problems(OPERATIONS[name].parameters, parameters)
    assert bool(problems) is (reason is not None)
    assert reason is None or any(reason in problem.reason for problem in problems)


@pytest.mark.parametrize("name", [START, UPDATE])
@pytest.mark.parametrize("profile", TASK_PROFILES)
def test_a_picture_is_taken_up_to_the_size_that_the_profile_pays_for(name: str, profile: str) -> None:
    _, (width, height) = TASK_PROFILES[profile]
    for encode, size in MEDIA_ENCODES.items():
        parameters = {**ALI, "TaskProfile": profile, "MediaEncode": encode}
        problems = find_problems(OPERATIONS[name].parameters, parameters)
        assert bool(problems) is (size[0] * size[1] > width * height), encode


@pytest.mark.parametrize("name", [START, UPDATE])
@pytest.mark.parametrize("profile", TASK_PROFILES)
def test_panes_are_taken_up_to_the_inputs_that_the_profile_pays_for(name: str, profile: str) -> None:
    most, _ = TASK_PROFILES[profile]
    for count in range(1, 17):
        parameters = {**ALI, "TaskProfile": profile, "UserPanes": [{"PaneId": 0}] * count}
        assert bool(find_problems(OPERATIONS[name].parameters, parameters)) is (most is not None and count > most)


# --- what an update can't change --------------------------------------------------------------------------------------

UNKNOWN = [
    (SEGMENT, "Control", "Identifier, Handle, Duration"),
    (RECORD, "Encode", "TargetStreams, Layout"),
    (RECORD, "Layout.MainVideoStream", "LayoutMode, CustomLayout"),
    (PUSH, "Encode.VideoCodec", "VideoFps"),
    (PUSH, "Encode.AudioProfile", "VideoFps"),
    (PUSH, "Control.MaxIdleTime", "SpatialConfig"),
    (START, "ClockWidgets", "MediaEncode"),
    (START, "SubSpecUsers.1", "SubSpecUsers"),
    (UPDATE, "MixMode", "MediaEncode"),
    (UPDATE, "StreamType", "MediaEncode"),
    (STOP, "ChannelId", "AppId, TaskId"),
    (JOB, "max_idle_time", "record_param"),
]


@pytest.mark.parametrize(("name", "path", "known"), UNKNOWN)
def test_an_unknown_parameter_is_refused_with_those_that_are_known(name: str, path: str, known: str) -> None:
    parameters = golden(name)["parameters"]
    changed = {**parameters, path: 1} if path == "SubSpecUsers.1" else put(parameters, path, 1)
    (problem,) = find_problems(OPERATIONS[name].parameters, changed)
    assert problem.name == path
    assert "can't be changed by this call" in problem.reason
    assert known in problem.reason
    assert not any(path in problem.reason for _, path in NOT_SENT if name in {SEGMENT, START})


@pytest.mark.parametrize(("name", "path"), sorted(NOT_SENT))
def test_what_a_page_shows_and_the_api_does_not_have_is_taken_and_not_sent(name: str, path: str) -> None:
    (value, *_), _ = next(values for one, other, values, _ in TABLE if (one, other) == (name, path))
    parameters = {**base(name), path: value} if name == SEGMENT else {**ALI, path: value}
    model = OPERATIONS[name].parameters
    assert find_unsent(model, parameters) == (path,)
    assert complete(model, parameters) == complete(model, {**parameters, path: None})


@pytest.mark.parametrize(("value", "came"), [(1001, "the number 1001"), (True, "true"), (-7, "the number -7")])
def test_a_number_where_text_is_wanted_is_told_how_to_be_written(value: object, came: str) -> None:
    written = came.rpartition(" ")[2]
    for name, path in ((SEGMENT, "RoomId"), (JOB, "app_id"), (START, "TaskId")):
        (problem,) = find_problems(OPERATIONS[name].parameters, put(base(name), path, value))
        assert problem.reason.startswith(f'is {came}; expected text, so write "{written}" in quotes: ')


@pytest.mark.parametrize("name", OPERATIONS)
def test_null_is_as_good_as_left_out(name: str) -> None:
    parameters = golden(name)["parameters"]
    model = OPERATIONS[name].parameters
    optional = [field.alias or known for known, field in model.model_fields.items() if not field.is_required()]
    nothing = {**parameters, **dict.fromkeys(optional)}
    if name == PUSH:
        nothing["IsUpdatePartialParam"] = True
    if name == SEGMENT:  # nothing at all is no update
        optional.remove("Handle")
        nothing["Handle"] = True
    assert complete(model, nothing).keys() == parameters.keys() - set(optional)


def test_an_object_that_is_sent_as_it_is_given_keeps_its_nulls() -> None:
    parameters = {"app_id": "a", "job_id": "j", "publish_param": {"rtmp_urls": None, "more": [None, {"a": None}]}}
    assert complete(OPERATIONS[JOB].parameters, parameters) == parameters


def test_numbers_are_sent_as_they_were_written() -> None:
    parameters = put(golden(RECORD)["parameters"], f"{REGION}.Alpha", 1.0)
    sent = complete(OPERATIONS[RECORD].parameters, parameters)["Layout"]["CustomLayout"]["Regions"][0]
    assert [repr(sent[key]) for key in ("Alpha", "WidthProportion", "ZOrder")] == ["1", "0.5", "0"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_text_is_known(name: str) -> None:
    model = OPERATIONS[name].parameters
    told = golden(name)["parameters"]
    for key, value in told.items():
        assert takes_text(model, [key]) is isinstance(value, str)
    assert not takes_text(model, ["Nonsense"])


@pytest.mark.parametrize(
    ("path", "is_text"),
    [
        (f"{LAYOUT}.Canvas.Background", True),
        (f"{LAYOUT}.Canvas.Width", False),
        (f"{LAYOUT}.Canvas", False),
        ("IsUpdatePartialParam", False),
    ],
)
def test_what_is_text_is_known_in_depth(path: str, *, is_text: bool) -> None:
    assert takes_text(OPERATIONS[PUSH].parameters, path.split(".")) is is_text


# --- the table is complete --------------------------------------------------------------------------------------------


def leaves(model: type[Parameters], before: str = "") -> Iterator[str]:
    for known, field in model.model_fields.items():
        path = f"{before}{field.alias or known}"
        yield path
        for inner in models(field.annotation):
            yield from leaves(inner, f"{path}.")


def models(annotation: object) -> Iterator[type[Parameters]]:
    if isinstance(annotation, type) and issubclass(annotation, Parameters):
        yield annotation
    for part in get_args(annotation):
        yield from models(part)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_parameter_has_an_example_that_is_refused(name: str) -> None:
    tried = {re.sub(r"\[\d+\]", "", path) for one, path, values, _ in TABLE if one == name and values[1]}
    assert tried == set(leaves(OPERATIONS[name].parameters))
