"""Operations against the stand-ins of the vendors' APIs: taken, refused, throttled, and met by every fault."""

from __future__ import annotations

import http.client
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from calling import KEY, OPERATIONS, SECRET, TOKEN, account, golden, send
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.operation import Outcome, Response, complete, find_problems
from handlers.settings import Account, Secret
from handlers.vendors.aliyun.parameters import MEDIA_ENCODES, TASK_PROFILES
from standin.openapi import Credential, OpenApiStandin

if TYPE_CHECKING:
    from collections.abc import Iterator

each_operation = pytest.mark.parametrize("name", OPERATIONS)
ONE_OF = {"volcengine": "volcengine.update_segment", "huawei": "huawei.update_individual_stream_job"}


def vendor_of(name: str) -> str:
    return name.partition(".")[0]


def standing(vendor: str, **options: Any) -> OpenApiStandin:
    temporary = Credential(secret="TSK", security_token=TOKEN)
    return OpenApiStandin(vendor=vendor, credentials={KEY: SECRET, "TAK": temporary}, **options)


def run_the_task(api: OpenApiStandin, name: str, **changed: Any) -> None:
    """Let the task run that the golden request is about, or another."""
    told = golden(name)["parameters"] | changed
    if vendor_of(name) == "volcengine":
        type_ = OPERATIONS[name].task_type
        api.tasks.add(type=str(type_), app_id=told["AppId"], room_id=told["RoomId"], task_id=told["TaskId"])
    elif vendor_of(name) == "aliyun":
        channel = told.get("ChannelId", "lesson 7")
        api.tasks.add(app_id=told["AppId"], room_id=channel, task_id=told["TaskId"])
    else:
        api.tasks.add(app_id=told["app_id"], room_id="r", task_id=told["job_id"], user_id="u")


@pytest.fixture
def api(name: str) -> Iterator[OpenApiStandin]:
    with standing(vendor_of(name)) as one:
        if name != "aliyun.start_record_task":
            run_the_task(one, name)
        yield one


def call(api: OpenApiStandin, name: str, who: Account | None = None, **changed: Any) -> Outcome:
    """Make the golden call, with parameters changed, at this very moment."""
    operation = OPERATIONS[name]
    whole = complete(operation.parameters, {**golden(name)["parameters"], **changed})
    caller = who or account(vendor_of(name), endpoint=api.endpoint)
    request = operation.request(whole, caller, int(time.time() * 1000), uuid.uuid4().hex)
    return operation.outcome(send(request))


# --- taken as it is ---------------------------------------------------------------------------------------------------


@each_operation
def test_the_golden_call_is_taken_with_nothing_put_right(api: OpenApiStandin, name: str) -> None:
    outcome = call(api, name)
    assert (outcome.verdict, outcome.code) == ("done", None)
    made = api.calls[-1]
    assert made.worked
    assert made.action == OPERATIONS[name].api
    assert outcome.request_id == made.request_id
    assert [note for note in made.notes if "Canvas.Width" not in note and "Canvas.Height" not in note] == []


@each_operation
def test_a_temporary_key_is_let_in_with_its_token_and_not_without(api: OpenApiStandin, name: str) -> None:
    keys: dict[str, Any] = {
        "endpoint": api.endpoint,
        "access_key_id": Secret.literal("TAK"),
        "secret_access_key": Secret.literal("TSK"),
    }
    vendor = vendor_of(name)
    assert call(api, name, account(vendor, **keys)).verdict == "give_up"
    assert call(api, name, account(vendor, temporary=True, **keys)).verdict == "done"


@each_operation
def test_a_wrong_secret_is_given_up_and_says_which_settings_to_see(api: OpenApiStandin, name: str) -> None:
    who = account(vendor_of(name), endpoint=api.endpoint, secret_access_key=Secret.literal("wrong-and-secret"))
    outcome = call(api, name, who)
    assert outcome.verdict == "give_up"
    assert "secret_access_key" in outcome.meaning
    assert outcome.code in {"SignatureDoesNotMatch", "APIGW.0301"}
    assert "wrong-and-secret" not in repr(outcome)
    assert not api.calls[-1].worked


@pytest.mark.parametrize("name", ["volcengine.update_segment"])
def test_another_region_is_asked_for_by_the_account(api: OpenApiStandin, name: str) -> None:
    assert call(api, name, account("volcengine", endpoint=api.endpoint, region="ap-singapore-1")).verdict == "done"
    assert call(api, name, account("volcengine", endpoint=api.endpoint, region="mars-1")).code == "ServiceNotFound"


def test_an_update_of_a_segment_task_sets_what_it_says() -> None:
    name = "volcengine.update_segment"
    with standing("volcengine") as api:
        run_the_task(api, name)
        assert call(api, name, Duration=77, Identifier="other", Handle=False).verdict == "done"
        (task,) = api.tasks.all()
        assert {key: task.settings[key] for key in ("Duration", "Identifier", "Handle")} == {
            "Duration": 77,
            "Identifier": "other",
            "Handle": False,
        }


def test_a_started_task_can_be_updated_and_stopped_and_a_second_start_is_done_already() -> None:
    with standing("aliyun") as api:
        assert call(api, "aliyun.start_record_task").verdict == "done"
        again = call(api, "aliyun.start_record_task")
        assert (again.verdict, again.code) == ("done", "TaskExisted")
        assert len(api.tasks.all()) == 1
        assert call(api, "aliyun.update_record_task").verdict == "done"
        assert call(api, "aliyun.stop_record_task").verdict == "done"
        gone = call(api, "aliyun.update_record_task")
        assert (gone.verdict, gone.code) == ("give_up", "InvalidTaskId.NotFound")


@pytest.mark.parametrize("name", ["aliyun.start_record_task", "aliyun.update_record_task", "aliyun.stop_record_task"])
def test_answers_in_xml_are_understood(name: str) -> None:
    with standing("aliyun", shape="xml") as api:
        if name != "aliyun.start_record_task":
            run_the_task(api, name)
        assert call(api, name).verdict == "done"
        if name == "aliyun.start_record_task":
            assert call(api, name).code == "TaskExisted"


@pytest.mark.parametrize(("vendor", "shape"), [("volcengine", "message"), ("huawei", "numbers")])
def test_success_in_the_vendors_other_shape_is_success(vendor: str, shape: str) -> None:
    name = ONE_OF[vendor]
    with standing(vendor, shape=shape) as api:
        run_the_task(api, name)
        assert call(api, name).verdict == "done"


def test_a_push_takes_growing_sequence_numbers_only() -> None:
    name = "volcengine.update_push_mixed_stream_to_cdn"
    with standing("volcengine") as api:
        run_the_task(api, name)
        assert call(api, name, SequenceNumber=10).verdict == "done"
        assert call(api, name, SequenceNumber=10).code == "InvalidParameter"
        assert call(api, name, SequenceNumber=11).verdict == "done"


def test_a_huawei_job_takes_the_older_publish_param() -> None:
    name = "huawei.update_individual_stream_job"
    with standing("huawei") as api:
        run_the_task(api, name)
        assert call(api, name, publish_param={"rtmp_urls": ["rtmp://x/live/k"]}).verdict == "done"
        assert api.tasks.all()[0].settings["publish_param"] == {"rtmp_urls": ["rtmp://x/live/k"]}


# --- refused by the vendor --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("volcengine.update_segment", "InvalidParameter.ErrorActiveTaskNotFound"),
        ("volcengine.update_record", "InvalidParameter.ErrorActiveTaskNotFound"),
        ("volcengine.update_push_mixed_stream_to_cdn", "InvalidParameter.ErrorActiveTaskNotFound"),
        ("aliyun.update_record_task", "InvalidTaskId.NotFound"),
        ("aliyun.stop_record_task", "InvalidTaskId.NotFound"),
        ("huawei.update_individual_stream_job", "RTC.00001003"),
    ],
)
def test_a_call_of_a_task_that_is_not_there_is_given_up(name: str, code: str) -> None:
    with standing(vendor_of(name)) as api:
        outcome = call(api, name)
        assert (outcome.verdict, outcome.code) == ("give_up", code)
        assert outcome.detail
        assert outcome.meaning
        assert outcome.request_id == api.calls[-1].request_id


def test_a_huawei_job_that_is_over_is_given_up() -> None:
    name = "huawei.update_individual_stream_job"
    with standing("huawei") as api:
        run_the_task(api, name)
        api.tasks.stop(app_id="6a1b2c3d", task_id="608196a2fa1")
        assert (call(api, name).verdict, call(api, name).code) == ("give_up", "RTC.00001009")


@pytest.mark.parametrize("name", OPERATIONS)
def test_calls_above_the_limit_are_told_to_come_again(api: OpenApiStandin, name: str) -> None:
    api.faults.add("throttled", times=1)
    outcome = call(api, name)
    assert (outcome.verdict, outcome.is_throttled) == ("again", True)
    assert outcome.code in {"FlowLimitExceeded.QPSOverLimit", "Throttling.User", "APIGW.0308"}
    assert call(api, name).verdict == "done"


def test_a_limit_that_is_exceeded_for_real_is_seen_as_such() -> None:
    name = "volcengine.update_segment"
    with standing("volcengine", limits={"UpdateSegment": 2}, clock=lambda: 0) as api:
        run_the_task(api, name)
        outcomes = [call(api, name) for _ in range(3)]
    assert [outcome.is_throttled for outcome in outcomes] == [False, False, True]
    assert [outcome.verdict for outcome in outcomes] == ["done", "done", "again"]


@each_operation
def test_a_clock_that_is_off_is_no_reason_to_repeat_for_ever_the_same_signature(api: OpenApiStandin, name: str) -> None:
    operation, told = OPERATIONS[name], golden(name)
    who = account(vendor_of(name), endpoint=api.endpoint)
    old = operation.request(told["parameters"], who, told["at"], told["nonce"])
    outcome = operation.outcome(send(old))
    assert outcome.code in {"InvalidTimestamp", "InvalidTimeStamp.Expired", "APIGW.0301"}
    assert call(api, name).verdict == "done"


# --- faults -----------------------------------------------------------------------------------------------------------

FAULTS: list[tuple[str, dict[str, Any], str, bool, bool]] = [
    # kind, its fields, verdict, throttled, unclear
    ("html-502", {}, "again", False, True),
    ("nothing", {}, "again", False, True),
    ("429", {}, "again", True, False),
    ("throttled", {}, "again", True, False),
    ("5xx", {}, "again", False, False),
    ("5xx", {"status": 503}, "again", False, False),
    ("trickle", {"seconds": 0.2}, "done", False, False),
]


@pytest.mark.parametrize(("kind", "fields", "verdict", "throttled", "unclear"), FAULTS)
@each_operation
def test_each_fault_has_its_outcome(  # noqa: PLR0913 - a row of the table
    api: OpenApiStandin,
    name: str,
    kind: str,
    fields: dict[str, Any],
    verdict: str,
    *,
    throttled: bool,
    unclear: bool,
) -> None:
    api.faults.add(kind, **fields)
    outcome = call(api, name)
    assert (outcome.verdict, outcome.is_throttled, outcome.is_unclear) == (verdict, throttled, unclear)
    assert outcome.detail or outcome.code


@each_operation
def test_an_error_inside_a_200_is_an_error(api: OpenApiStandin, name: str) -> None:
    code = {"volcengine": "AccessDenied.ServiceNotEnabled", "aliyun": "App.Stop", "huawei": "RTC.00001016"}
    api.faults.add("error", code=code[vendor_of(name)], status=200)
    outcome = call(api, name)
    assert (outcome.verdict, outcome.code) == ("give_up", code[vendor_of(name)])


@each_operation
def test_half_an_answer_is_tried_again_and_may_have_had_its_effect(api: OpenApiStandin, name: str) -> None:
    api.faults.add("half")
    operation, told = OPERATIONS[name], golden(name)
    request = operation.request(
        told["parameters"], account(vendor_of(name), endpoint=api.endpoint), int(time.time() * 1000), "n-1"
    )
    with pytest.raises(http.client.IncompleteRead) as broken:
        send(request)
    outcome = operation.outcome(Response(status=200, headers={}, body=broken.value.partial))
    assert (outcome.verdict, outcome.is_unclear) == ("again", True)
    assert api.calls[-1].worked


@each_operation
def test_a_repeat_after_a_lost_answer_does_no_harm(api: OpenApiStandin, name: str) -> None:
    """What `is_repeatable` promises: done once or twice, the task is the same."""
    assert OPERATIONS[name].is_repeatable
    if name == "aliyun.stop_record_task":
        return
    api.faults.add("nothing")
    assert call(api, name).is_unclear
    first = [dict(task.settings) for task in api.tasks.all()]
    number = OPERATIONS[name].sequence
    fresh = {number: golden(name)["parameters"][number] + 1} if number else {}
    assert call(api, name, **fresh).verdict == "done"
    again = [dict(task.settings) for task in api.tasks.all()]
    for settings_ in (*first, *again):
        settings_.pop("update_time", None)
    assert again == first


# --- whatever is taken here is taken there, unchanged -----------------------------------------------------------------


def some(fields: dict[str, st.SearchStrategy[Any]], **needed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(needed, optional=fields)


def mostly(good: st.SearchStrategy[Any], *bad: Any) -> st.SearchStrategy[Any]:
    """Return good values, and now and then one that the API would refuse or put right."""
    return st.integers(0, 31).flatmap(lambda number: st.sampled_from(bad) if number == 31 else good)


def whole_from(low: int, high: int) -> st.SearchStrategy[Any]:
    return mostly(st.integers(low, high), low - 1, high + 1)


ID = st.text("abcXYZ019_@-.", min_size=1, max_size=8)
TEXT = mostly(st.text(min_size=1, max_size=4), "")
SHARE = mostly(st.floats(0, 1) | st.sampled_from([0, 1]), -0.1, 1.1)
PROPORTION = mostly(st.floats(0.01, 1) | st.just(1), 0, 1.1)
EVEN = mostly(st.integers(1, 960).map(lambda half: 2 * half), 0, 3, 1922)
PICTURE = mostly(
    st.sampled_from(["https://x.example.com/a.png", "http://x/a.JPG?b=1"]), "ftp://x/a.png", "http://x/a.gif"
)
SPACE = st.lists(st.integers(-100, 100), min_size=3, max_size=3)
POSITION = mostly(SPACE, [0, 0], [0, 0, 101])
REGION = {
    "LocationX": SHARE,
    "LocationY": SHARE,
    "ZOrder": whole_from(0, 100),
    "Alpha": PROPORTION,
    "RenderMode": whole_from(0, 3),
    "MediaType": whole_from(0, 2),
    "AlternateImage": PICTURE,
    "AlternateImageFillMode": whole_from(0, 1),
    "SourceCrop": some({"LocationX": SHARE, "LocationY": SHARE, "WidthProportion": PROPORTION}),
    "SpatialPosition": POSITION,
}
PUSH_REGION = {**REGION, "ApplySpatialAudio": st.booleans(), "CornerRadius": PROPORTION}
CANVAS = some({"Background": mostly(st.sampled_from(["#303342"]), "#fff", "red"), "BackgroundImage": PICTURE})
ENCODE = some(
    {
        "VideoFps": whole_from(1, 60),
        "VideoGop": whole_from(1, 5),
        "VideoBitrate": whole_from(1, 10_000),
        "VideoWidth": EVEN,
        "VideoHeight": EVEN,
        "AudioCodec": st.just(0),
        "AudioBitrate": whole_from(32, 192),
        "AudioSampleRate": mostly(st.sampled_from([32_000, 44_100, 48_000]), 1),
        "AudioChannels": whole_from(1, 2),
    }
)
AXES = st.sampled_from([{}, {"Forward": [0, 0, 1], "Up": [1, 0, 0]}, {"Right": [0, 2, 0]}, {"Forward": [0, 1, 0]}])
SPATIAL = some(
    {"EnableSpatialRender": st.booleans(), "AudienceSpatialPosition": POSITION, "AudienceSpatialOrientation": AXES}
)


@st.composite
def picture(draw: st.DrawFn, region: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Draw streams and a layout of one set of indexes, mostly; either may be missing."""
    indexes = draw(st.lists(st.integers(0, 9), unique=True, max_size=4))
    placed = draw(mostly(st.permutations(indexes), [0], [0, 1]))
    size = {"WidthProportion": PROPORTION, "HeightProportion": PROPORTION}
    whole = {
        "TargetStreams": {
            "StreamList": [
                draw(some({"StreamType": whole_from(0, 1)}, Index=st.just(index), UserId=ID)) for index in indexes
            ]
        },
        "Layout": {
            "LayoutMode": draw(mostly(st.just(2), 0, 1)),
            "CustomLayout": {
                **draw(some({"Canvas": CANVAS})),
                "Regions": [draw(some(region, StreamIndex=st.just(index), **size)) for index in placed],
            },
        },
    }
    left = draw(mostly(st.just(()), ("TargetStreams",), ("Layout",), ("TargetStreams", "Layout")))
    return {name: value for name, value in whole.items() if name not in left}


def with_picture(
    region: dict[str, st.SearchStrategy[Any]], more: st.SearchStrategy[dict[str, Any]]
) -> st.SearchStrategy[Any]:
    return st.builds(lambda one, other: one | other, picture(region), more)


PANE = some(
    {
        "PaneId": whole_from(0, 15),
        "UserId": TEXT,
        "SourceType": mostly(st.sampled_from(["camera", "shareScreen"]), "x"),
        "Images": st.lists(
            some(
                {
                    "Url": mostly(st.just("http://x/a"), "x"),
                    "Display": whole_from(0, 2),
                    "X": SHARE,
                    "Width": SHARE,
                    "ZOrder": mostly(st.integers(0, 9), -1),
                }
            ),
            min_size=1,
            max_size=2,
        ),
        "Texts": st.lists(
            some(
                {
                    "Text": st.text(max_size=4),
                    "X": SHARE,
                    "FontType": whole_from(0, 5),
                    "FontSize": whole_from(1, 72),
                    "FontColor": whole_from(0, 2**24 - 1),
                }
            ),
            min_size=1,
            max_size=2,
        ),
    }
)
MIXED = {
    "TaskProfile": mostly(st.sampled_from(sorted(TASK_PROFILES)), "3IN_1P"),
    "MediaEncode": mostly(st.sampled_from(sorted(MEDIA_ENCODES)), 2),
    "CropMode": st.integers(0, 2),
    "LayoutIds": mostly(st.lists(st.integers(0, 9), min_size=1, max_size=3), []),
    "SubSpecUsers": mostly(st.lists(TEXT, min_size=1, max_size=16), [], ["a"] * 17),
    "SubSpecAudioUsers": st.lists(TEXT, min_size=1, max_size=3),
    "UserPanes": mostly(st.lists(PANE, min_size=1, max_size=3), []),
}
SINGLE = {
    "SourceType": mostly(st.sampled_from(["camera", "shareScreen"]), "x"),
    "StreamType": whole_from(0, 1),
}
ANY: dict[str, st.SearchStrategy[Any]] = {
    "volcengine.update_segment": some({"Identifier": ID, "Handle": st.booleans(), "Duration": whole_from(1, 600)}),
    "volcengine.update_record": with_picture(REGION, st.just({})),
    "volcengine.update_push_mixed_stream_to_cdn": with_picture(
        PUSH_REGION,
        some({"Encode": ENCODE, "Control": some({"SpatialConfig": SPATIAL})}, IsUpdatePartialParam=st.booleans()),
    ),
    "aliyun.start_record_task": some({**MIXED, "MixMode": st.just(1)})
    | some(SINGLE, MixMode=st.just(0))
    | some({"MediaEncode": st.just(0), **SINGLE}, MixMode=whole_from(0, 1)),
    "aliyun.update_record_task": some(MIXED),
    "huawei.update_individual_stream_job": some({"record_param": some({"record_rule_id": TEXT})}),
}
#: what the stand-in notes though nothing was put right or ignored: the vendor doesn't say what it compares, and
#: whether an Identifier is another task's can't be seen in a call
NO_HARM = ("has a longer side than", "they overwrite each other's files")


def ids(name: str) -> dict[str, Any]:
    return {
        key: value
        for key, value in golden(name)["parameters"].items()
        if key in {"AppId", "RoomId", "TaskId", "ChannelId", "TemplateId", "app_id", "job_id"}
    }


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, OpenApiStandin]]:
    every = {name: standing(vendor_of(name), limits=dict.fromkeys(["UpdateSegment", "UpdateRecord"])) for name in ANY}
    for one in every.values():
        one.__enter__()
    yield every
    for one in every.values():
        one.__exit__(None, None, None)


@pytest.mark.parametrize("name", ANY)
@given(data=st.data())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_model_takes_the_vendor_neither_refuses_nor_puts_right(
    servers: dict[str, OpenApiStandin], name: str, data: st.DataObject
) -> None:
    parameters = {**ids(name), **data.draw(ANY[name])}
    if find_problems(OPERATIONS[name].parameters, parameters):
        return
    api = servers[name]
    if "TaskId" in parameters:
        parameters["TaskId"] = uuid.uuid4().hex  # a task that nothing was set for
    if name != "aliyun.start_record_task":
        run_the_task(api, name, **parameters)
    operation = OPERATIONS[name]
    who = account(vendor_of(name), endpoint=api.endpoint)
    outcome = operation.outcome(send(operation.request(parameters, who, int(time.time() * 1000), uuid.uuid4().hex)))
    if outcome.code == "InvalidParameter" and ("TargetStreams" in parameters) is not ("Layout" in parameters):
        return  # it depends on the streams or regions that the task has already, which can't be known
    assert (outcome.verdict, outcome.code) == ("done", None), outcome.detail
    assert [note for note in api.calls[-1].notes if not any(part in note for part in NO_HARM)] == []
