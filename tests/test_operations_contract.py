"""What every operation promises, asked of each operation of each vendor."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from calling import FIXTURES, KEY, OPERATIONS, SECRET, TOKEN, account, golden

from handlers.errors import SettingsError, WrongRequest
from handlers.events import KINDS, TaskKey
from handlers.operation import Request, caveats_of, dry_run, find_problems, shown_headers
from handlers.settings import Account, Secret
from handlers.settings.kinds import ACCOUNTS
from handlers.vendor import Vendor
from handlers.vendors import VENDORS

HOUSE = Path(__file__).parent.parent
TASK = TaskKey(vendor="x", app_id="a-1", room_id="r-1", type="record", task_id="t-1")

each_operation = pytest.mark.parametrize("name", OPERATIONS)
each_vendor = pytest.mark.parametrize("vendor", VENDORS)


def vendor_of(name: str) -> str:
    return name.partition(".")[0]


def request_of(name: str, who: Account, told: dict[str, Any]) -> Any:
    return OPERATIONS[name].request(told["parameters"], who, told["at"], told["nonce"])


def requested(name: str, who: Account | None = None) -> Any:
    return request_of(name, who or account(vendor_of(name)), golden(name))


# --- the golden request -----------------------------------------------------------------------------------------------


@each_operation
def test_an_operation_builds_its_documented_request(name: str) -> None:
    expected = golden(name)["request"]
    request = requested(name)
    assert (request.method, request.url) == (expected["method"], expected["url"])
    assert dict(request.headers) == expected["headers"]
    assert request.body == expected["body"].encode()


def test_every_operation_has_a_golden_request_and_none_is_left_over() -> None:
    written = {f"{path.parent.name}.{path.stem}" for path in FIXTURES.glob("*/*.json") if path.stem != "answers"}
    assert written == set(OPERATIONS)


@each_operation
def test_the_same_call_is_signed_anew_at_another_time(name: str) -> None:
    told = golden(name)
    one = OPERATIONS[name].request(told["parameters"], account(vendor_of(name)), told["at"], "n-1")
    other = OPERATIONS[name].request(told["parameters"], account(vendor_of(name)), told["at"] + 1000, "n-2")
    assert one.headers["Authorization"] != other.headers["Authorization"]
    assert one.body == other.body


@each_operation
def test_an_account_calls_its_own_endpoint_under_its_hosts_name(name: str) -> None:
    request = requested(name, account(vendor_of(name), endpoint="https://rtc.example.com:8443"))
    headers = {key.lower(): value for key, value in request.headers.items()}
    assert request.url.startswith("https://rtc.example.com:8443/")
    assert headers["host"] == "rtc.example.com:8443"
    plain = requested(name, account(vendor_of(name), endpoint="https://rtc.example.com:443"))
    assert {key.lower(): value for key, value in plain.headers.items()}["host"] == "rtc.example.com"


def test_a_region_of_the_account_is_signed_where_the_vendor_signs_one() -> None:
    request = requested("volcengine.update_segment", account("volcengine", region="ap-southeast-1"))
    assert "/ap-southeast-1/rtc/request" in request.headers["Authorization"]


@each_operation
def test_a_temporary_key_sends_its_token_signed(name: str) -> None:
    request = requested(name, account(vendor_of(name), temporary=True))
    (header,) = [key for key, value in request.headers.items() if value == TOKEN]
    signed = re.search(r"SignedHeaders=([^,\s]+)", request.headers["Authorization"])
    assert signed is not None
    assert header.lower() in signed[1].split(";")
    assert TOKEN not in json.dumps(dict(requested(name).headers))


@each_operation
def test_an_account_without_a_key_is_told_which_settings_are_missing(name: str) -> None:
    bare = Account.model_validate({"name": "school", "vendor": vendor_of(name), "project_id": "p"})
    with pytest.raises(SettingsError, match=r"\[accounts\.school\]: access_key_id: .*secret_access_key"):
        requested(name, bare)


@each_operation
@pytest.mark.parametrize("broken", ["a\r\nX-Evil: 1", "schlüssel", " "])
def test_a_key_that_no_header_can_hold_is_refused_without_being_quoted(name: str, broken: str) -> None:
    with pytest.raises(SettingsError, match="access_key_id: holds what no header can") as refused:
        requested(name, account(vendor_of(name), access_key_id=Secret.literal(broken)))
    assert broken.strip() == "" or broken not in str(refused.value)


def test_a_project_is_needed_for_calls_of_huawei() -> None:
    with pytest.raises(SettingsError, match=r"\[accounts\.school\]: project_id: is not set"):
        requested("huawei.update_individual_stream_job", account("huawei", project_id=None))


@each_operation
def test_a_wrong_parameter_is_refused_before_anything_is_signed(name: str) -> None:
    told = golden(name)
    with pytest.raises(WrongRequest, match="Nonsense: is unknown"):
        OPERATIONS[name].request({**told["parameters"], "Nonsense": 1}, account(vendor_of(name)), told["at"], "n")


# --- what may be shown ------------------------------------------------------------------------------------------------


@each_operation
def test_a_dry_run_shows_the_signed_request_without_its_secrets(name: str) -> None:
    told = golden(name)
    who = account(vendor_of(name), temporary=True)
    text = dry_run(OPERATIONS[name], told["parameters"], who, at=told["at"], nonce=told["nonce"])
    assert text.startswith(f"{told['request']['method']} {told['request']['url']}\n")
    assert told["request"]["body"] in text
    signed = request_of(name, who, told).headers["Authorization"]
    before, _, signature = signed.partition("Signature=")
    assert f"Authorization: {before}Signature=(hidden)\n" in f"{text}\n"
    assert f"={KEY}" in before
    assert "SignedHeaders=" in before
    assert all(secret not in text for secret in (SECRET, TOKEN, signature))


@each_operation
def test_no_secret_stands_in_the_repr_of_a_request_or_in_its_shown_headers(name: str) -> None:
    request = requested(name, account(vendor_of(name), temporary=True))
    for text in (repr(request), json.dumps(shown_headers(request))):
        assert all(secret not in text for secret in (KEY, SECRET, TOKEN, "Signature="))


def test_a_header_in_another_form_than_a_signature_is_hidden_whole() -> None:
    signed = "HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c"
    for text in ("Bearer Signature=x", "MNS key:c2ln", f"x {signed}", f"{signed}, Token=d", "a b"):
        request = Request(method="GET", url="http://x/", headers={"Authorization": text})
        assert shown_headers(request, names_key=True) == {"Authorization": f"{text.partition(' ')[0]} (hidden)"}


def test_the_key_of_a_push_address_is_not_shown() -> None:
    name = "huawei.update_individual_stream_job"
    parameters = {**golden(name)["parameters"], "publish_param": {"rtmp_urls": ["rtmp://push.example.com/live/k3y"]}}
    text = dry_run(OPERATIONS[name], parameters, account("huawei"), at=0, nonce="n")
    assert "k3y" not in text
    assert '"publish_param":"(hidden)"' in text
    assert b"live/k3y" in OPERATIONS[name].request(parameters, account("huawei"), 0, "n").body
    (problem,) = find_problems(OPERATIONS[name].parameters, {**parameters, "publish_param": "rtmp://live/k3y"})
    assert "k3y" not in problem.reason


# --- what an operation says of itself ---------------------------------------------------------------------------------


@each_vendor
def test_the_operations_of_a_vendor_are_those_that_limits_may_name(vendor: str) -> None:
    assert set(VENDORS[vendor].operations) == set(ACCOUNTS.kinds[vendor].operations)
    assert all(name == operation.name for name, operation in VENDORS[vendor].operations.items())


def test_a_vendor_may_have_no_operations() -> None:
    one = VENDORS["aliyun"]
    assert not Vendor(name="x", verify=one.verify, keys=one.keys, read=one.read).operations


@each_operation
def test_the_documented_limits_stand_in_the_operations(name: str) -> None:
    limits = {
        "volcengine.update_record": 60,
        "volcengine.update_segment": 150,
        "volcengine.update_push_mixed_stream_to_cdn": 150,
    }
    assert OPERATIONS[name].limit == limits.get(name)


@each_operation
def test_what_a_call_can_bring_about_are_changes_that_exist(name: str) -> None:
    assert OPERATIONS[name].feeds <= set(KINDS)


def test_a_call_that_can_bring_about_its_own_trigger_says_so() -> None:
    assert OPERATIONS["volcengine.update_segment"].feeds == {"segment.created"}
    assert OPERATIONS["volcengine.update_push_mixed_stream_to_cdn"].feeds >= {"push.updated", "push.changed"}
    assert OPERATIONS["aliyun.start_record_task"].feeds >= {"recording.available", "task.started", "task.stopped"}


@each_operation
def test_an_operation_warns_cites_its_page_and_stands_in_its_vendors_page(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation.warnings
    assert operation.page
    page = (HOUSE / "docs" / "vendors" / f"{vendor_of(name)}.md").read_text()
    calls = page.split("\n## Calls\n")[1].split("\n## ")[0]
    assert f"`{name}`" in calls
    assert operation.api in calls
    assert all(f"`{field.alias or known}`" in calls for known, field in operation.parameters.model_fields.items())


SEGMENT, RECORD = "volcengine.update_segment", "volcengine.update_record"
PUSH = "volcengine.update_push_mixed_stream_to_cdn"
CANVAS = {"CustomLayout": {"Canvas": {"Width": 640, "Background": "#000000"}}}
REGIONS = {"CustomLayout": {"Canvas": {"Background": "#000000"}, "Regions": []}}


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        (SEGMENT, {"Identifier": "a"}, {"an Identifier must be unique", "whether what is left out"}),
        (SEGMENT, {"Duration": 20}, {"every update of Duration", "whether what is left out"}),
        (
            SEGMENT,
            {"Identifier": "a", "Handle": True, "Duration": 20},
            {"an Identifier must be unique", "every update of Duration"},
        ),
        (SEGMENT, {"Identifier": None, "Handle": True}, {"whether what is left out"}),
        (RECORD, {}, {"only a recording"}),
        (RECORD, {"TargetStreams": {"StreamList": []}}, {"only a recording", "TargetStreams and Regions"}),
        (RECORD, {"Layout": CANVAS}, {"only a recording", "of Layout", "the Canvas keeps"}),
        (RECORD, {"Layout": REGIONS}, {"only a recording", "of Layout", "TargetStreams and Regions"}),
        (RECORD, {"Layout": {"CustomLayout": None}}, {"only a recording", "of Layout"}),
        (PUSH, {"IsUpdatePartialParam": False}, {"with IsUpdatePartialParam false", "only a push"}),
        (PUSH, {"IsUpdatePartialParam": True}, {"only a push"}),
        (PUSH, {"IsUpdatePartialParam": True, "Layout": CANVAS}, {"only a push", "the Canvas keeps"}),
        (
            PUSH,
            {"IsUpdatePartialParam": True, "Layout": REGIONS},
            {"with IsUpdatePartialParam true", "only a push"},
        ),
        ("aliyun.start_record_task", {"TemplateId": "t1"}, {"it costs money"}),
        ("aliyun.start_record_task", {"MixMode": 1}, {"it costs money"}),
        ("aliyun.start_record_task", {"MixMode": 0}, {"it costs money", "with MixMode 0"}),
        ("aliyun.start_record_task", {"TaskId": "t"}, {"it costs money", "a TaskId that runs", "whether the id"}),
        ("aliyun.update_record_task", {"TemplateId": "t1"}, {"a task that was started with MixMode 0"}),
        ("aliyun.update_record_task", {}, {"a task that was started with MixMode 0", "TemplateId has to be given"}),
        ("huawei.update_individual_stream_job", {"record_param": {}}, {"a job can be", "an app has at most one"}),
        ("huawei.update_individual_stream_job", {"publish_param": {}}, {"a job can be", "publish_param is gone"}),
    ],
)
def test_an_operation_warns_of_what_is_true_of_the_call(name: str, given: dict[str, Any], said: set[str]) -> None:
    told = list(caveats_of(OPERATIONS[name].warnings, given))
    assert len(told) == len(said)
    assert all(any(one.startswith(begin) for one in told) for begin in said)


@pytest.mark.parametrize(("name", "given"), [(PUSH, ("IsUpdatePartialParam", "Layout")), (RECORD, ("Layout",))])
def test_an_operation_warns_of_what_may_be_true_once_a_change_tells_the_value(
    name: str, given: tuple[str, ...]
) -> None:
    warnings = OPERATIONS[name].warnings
    assert list(caveats_of(warnings, dict.fromkeys(given, "later"))) == [one.text for one in warnings]


@each_operation
def test_the_event_gives_a_call_what_names_its_task(name: str) -> None:
    operation = OPERATIONS[name]
    own = operation.own(TASK, "b-1")
    assert set(own) <= set(golden(name)["parameters"])
    assert own.keys() >= ({"AppId"} if vendor_of(name) != "huawei" else {"app_id", "job_id"})
    assert ("t-1" in own.values()) == (operation.derived is None)
    assert operation.own(TASK, "") == operation.own(TASK, None)
    assert ("b-1" in own.values()) == (vendor_of(name) == "volcengine")


@each_operation
def test_calls_of_one_task_share_a_lane_and_those_of_two_do_not(name: str) -> None:
    operation, parameters = OPERATIONS[name], golden(name)["parameters"]
    task = "job_id" if "job_id" in parameters else "TaskId"
    lane = operation.lane(parameters)
    assert lane is not None
    others = {key: "x" for key in parameters if key not in {"AppId", "RoomId", "TaskId", "app_id", "job_id"}}
    assert operation.lane({**parameters, **others}) == lane
    assert operation.lane({**parameters, task: "other"}) != lane
    assert operation.lane({}) is None


def test_calls_of_a_recording_and_of_a_segment_task_of_one_id_are_of_two_lanes() -> None:
    parameters = golden("volcengine.update_segment")["parameters"]
    lanes = {operation.lane(parameters) for operation in VENDORS["volcengine"].operations.values()}
    assert len(lanes) == 3


def test_start_update_and_stop_of_one_task_share_its_lane() -> None:
    parameters = golden("aliyun.start_record_task")["parameters"]
    assert len({operation.lane(parameters) for operation in VENDORS["aliyun"].operations.values()}) == 1


@each_operation
def test_every_parameter_says_its_type_and_what_is_expected(name: str) -> None:
    operation = OPERATIONS[name]
    schema = operation.parameters.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    for part in (schema, *(part for part in definitions.values() if "properties" in part)):
        assert part["additionalProperties"] is False
        for field, said in part["properties"].items():
            assert {"type", "anyOf", "$ref", "enum", "const"} & said.keys(), field
            assert "description" in json.dumps(said) or "$ref" in json.dumps(said), field
    json.dumps(schema)


# --- newer updates and older ones -------------------------------------------------------------------------------------

COVERED = [
    ("volcengine.update_segment", {"Duration": 30, "Handle": True}, {"Duration": 20}, True),
    ("volcengine.update_segment", {"Duration": 30}, {"Duration": 20, "Handle": True}, False),
    ("volcengine.update_segment", {"Duration": 30, "Handle": None}, {"Handle": True}, False),
    ("volcengine.update_segment", {"Duration": 30}, {"Duration": 20, "Handle": None}, True),
    ("volcengine.update_record", {"Layout": {"LayoutMode": 2}}, {"Layout": {"LayoutMode": 2}}, True),
    (
        "volcengine.update_record",
        {"Layout": {"LayoutMode": 2}},
        {"Layout": {"LayoutMode": 2, "CustomLayout": {"Regions": []}}},
        False,
    ),
    (
        "volcengine.update_record",
        {"TargetStreams": {"StreamList": []}},
        {"TargetStreams": {"StreamList": [{"Index": 0, "UserId": "u"}]}},
        True,
    ),
    ("volcengine.update_push_mixed_stream_to_cdn", {}, {"Encode": {"VideoFps": 20}}, True),
    (
        "volcengine.update_push_mixed_stream_to_cdn",
        {"IsUpdatePartialParam": True},
        {"IsUpdatePartialParam": True, "Encode": {"VideoFps": 20}},
        False,
    ),
    (
        "volcengine.update_push_mixed_stream_to_cdn",
        {"IsUpdatePartialParam": True, "Encode": {"VideoFps": 15}, "SequenceNumber": 2},
        {"IsUpdatePartialParam": True, "Encode": {"VideoFps": 20}, "SequenceNumber": 1},
        True,
    ),
    (
        "volcengine.update_push_mixed_stream_to_cdn",
        {"IsUpdatePartialParam": True, "Encode": {"VideoFps": 15}},
        {"IsUpdatePartialParam": False, "Encode": {"VideoFps": 20}},
        False,
    ),
    ("aliyun.update_record_task", {"SubSpecUsers": ["a"]}, {"SubSpecUsers": ["b", "c"]}, True),
    ("aliyun.update_record_task", {"SubSpecUsers": ["a"]}, {"UserPanes": [{"PaneId": 1}]}, False),
    ("huawei.update_individual_stream_job", {"record_param": {"record_rule_id": "b"}}, {}, True),
    ("huawei.update_individual_stream_job", {}, {"record_param": {"record_rule_id": "a"}}, False),
]


@pytest.mark.parametrize(("name", "newer", "older", "covers"), COVERED)
def test_a_newer_update_covers_an_older_one_if_it_sets_all_that_that_does(
    name: str, newer: dict[str, Any], older: dict[str, Any], *, covers: bool
) -> None:
    ids = OPERATIONS[name].own(TASK, None)
    covering = OPERATIONS[name].covers
    assert covering is not None
    assert covering({**ids, **newer}, {**ids, **older}) is covers


def test_a_start_or_stop_makes_no_other_superfluous() -> None:
    assert {name for name, operation in OPERATIONS.items() if operation.covers is None} == {
        "aliyun.start_record_task",
        "aliyun.stop_record_task",
    }


STARTED = [
    ("aliyun.update_record_task", {"MixMode": 0}, "MixMode 0"),
    ("aliyun.update_record_task", {"MixMode": 1}, None),
    ("aliyun.update_record_task", {}, None),
    ("volcengine.update_record", {"RecordMode": 1, "Layout": {"LayoutMode": 2}}, "RecordMode 1"),
    ("volcengine.update_record", {"Layout": {"LayoutMode": 0}}, "LayoutMode 0"),
    ("volcengine.update_record", {"RecordMode": 0, "Layout": {"LayoutMode": 2}}, None),
    ("volcengine.update_push_mixed_stream_to_cdn", {"Layout": {"LayoutMode": 3}}, "LayoutMode 3"),
    ("volcengine.update_push_mixed_stream_to_cdn", {}, "LayoutMode 0"),
]


@pytest.mark.parametrize(("name", "started", "reason"), STARTED)
def test_how_a_task_was_started_counts_where_it_is_known(
    name: str, started: dict[str, Any], reason: str | None
) -> None:
    precondition = OPERATIONS[name].precondition
    assert precondition is not None
    said = precondition(started)
    assert (said is None) if reason is None else (said is not None and reason in said)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("volcengine.update_segment", {"Duration": 20}, "ends the slice that is being cut, and begins one more"),
        ("volcengine.update_segment", {"Handle": True}, None),
        ("aliyun.stop_record_task", {}, "finds the task gone, which is an error without harm"),
    ],
)
def test_what_a_repeat_does_is_told_by_what_the_call_sets(
    name: str, parameters: dict[str, Any], said: str | None
) -> None:
    operation = OPERATIONS[name]
    assert operation.is_repeatable
    assert operation.repeat is not None
    assert operation.repeat(parameters) == said
