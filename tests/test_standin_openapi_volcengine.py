"""The stand-in of Volcengine's OpenAPI: the vendor's own SDK is let in, and what the vendor refuses is refused."""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from standin_callers import layout, plain, send, streams, volcengine, volcengine_request, with_header

from standin.openapi import Credential, OpenApiStandin
from standin.openapi.volcengine import signature
from standin.openapi.wire import Request

with warnings.catch_warnings():  # what it imports on a newer Python is the SDK's own affair
    warnings.simplefilter("ignore", DeprecationWarning)
    from volcenginesdkcore import ApiClient, Configuration, UniversalApi, UniversalInfo
    from volcenginesdkcore.rest import ApiException

if TYPE_CHECKING:
    from collections.abc import Iterator

# The SDK takes the time of day with utcnow.
pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")

IDS = {"AppId": "a", "RoomId": "r", "TaskId": "t"}
VERSIONS = {"UpdatePushMixedStreamToCDN", "StartPushMixedStreamToCDN", "StopPushMixedStreamToCDN"}


@pytest.fixture
def api() -> Iterator[OpenApiStandin]:
    temporary = Credential(secret="TSK", security_token="token")
    with OpenApiStandin(vendor="volcengine", credentials={"AK": "SK", "TAK": temporary}) as standing:
        for type_ in ("segment", "record", "push"):
            standing.tasks.add(type=type_, app_id="a", room_id="r", task_id="t")
        yield standing


def version(action: str) -> str:
    return "2020-12-01" if action in VERSIONS else "2022-06-01"


def sdk(api: OpenApiStandin, key: str = "AK", secret: str = "SK", token: str | None = None) -> UniversalApi:
    configuration = Configuration()
    configuration.ak, configuration.sk, configuration.session_token = key, secret, token
    configuration.region, configuration.host, configuration.scheme = "cn-north-1", api.host, "http"
    configuration.auto_retry = False
    return UniversalApi(ApiClient(configuration))


def sdk_call(client: UniversalApi, action: str, body: dict[str, Any]) -> Any:
    return client.do_call(UniversalInfo("POST", "rtc", version(action), action, "application/json"), body)


def call(api: OpenApiStandin, action: str, **values: Any) -> Any:
    return volcengine(api, action, {**IDS, **values}, version=version(action)).json


def error(api: OpenApiStandin, action: str, **values: Any) -> str:
    reply = volcengine(api, action, {**IDS, **values}, version=version(action))
    assert reply.status == 200, "the service's own refusals come with HTTP 200"
    return str(reply.json["ResponseMetadata"]["Error"]["Code"])


def gateway_error(api: OpenApiStandin, request: Request) -> tuple[int, str, int]:
    reply = send(api, request)
    found = reply.json["ResponseMetadata"]["Error"]
    return reply.status, found["Code"], found["CodeN"]


# --- the vendor's own SDK as the referee ------------------------------------------------------------------------------

CALLS: dict[str, dict[str, Any]] = {
    "UpdateSegment": {"Identifier": "ident", "Handle": True, "Duration": 30},
    "UpdateRecord": {"TargetStreams": streams(0, 1), "Layout": layout(0, 1)},
    "UpdatePushMixedStreamToCDN": {"TargetStreams": streams(0, 1), "Layout": layout(0, 1), "SequenceNumber": 1},
    "GetRecordTask": {},
    "StopRecord": {},
    "StopSegment": {},
    "StopPushMixedStreamToCDN": {},
}
STARTS = ["StartRecord", "StartSegment", "StartPushMixedStreamToCDN"]


@pytest.mark.parametrize("action", CALLS)
def test_the_vendors_sdk_is_let_in_with_the_right_secret(api: OpenApiStandin, action: str) -> None:
    result = sdk_call(sdk(api), action, {**IDS, **CALLS[action]})
    assert result == "ok" or result["Status"] == 2
    assert api.calls[-1].account == "AK"


@pytest.mark.parametrize("action", STARTS)
def test_the_vendors_sdk_starts_tasks(api: OpenApiStandin, action: str) -> None:
    assert sdk_call(sdk(api), action, {**IDS, "TaskId": "new"}) == "ok"
    assert [task.state for task in api.tasks.all() if task.key.task_id == "new"] == ["running"]


@pytest.mark.parametrize("action", [*CALLS, *STARTS])
def test_the_vendors_sdk_is_refused_with_a_wrong_secret(api: OpenApiStandin, action: str) -> None:
    with pytest.raises(ApiException) as refused:
        sdk_call(sdk(api, secret="wrong"), action, {**IDS, **CALLS.get(action, {})})
    assert refused.value.status == 401
    assert json.loads(refused.value.body)["ResponseMetadata"]["Error"]["CodeN"] == 100010
    assert not api.calls[-1].worked
    assert api.calls[-1].account is None


def test_the_vendors_sdk_is_let_in_with_a_temporary_key_and_its_token(api: OpenApiStandin) -> None:
    assert sdk_call(sdk(api, "TAK", "TSK", "token"), "UpdateSegment", IDS) == "ok"
    with pytest.raises(ApiException, match="401"):
        sdk_call(sdk(api, "TAK", "TSK", "another"), "UpdateSegment", IDS)


def test_the_vendors_sdk_sees_a_refusal_inside_http_200(api: OpenApiStandin) -> None:
    with pytest.raises(ApiException, match="ErrorActiveTaskNotFound") as refused:
        sdk_call(sdk(api), "UpdateSegment", {**IDS, "TaskId": "other"})
    assert refused.value.status == 200


# --- signatures -------------------------------------------------------------------------------------------------------


def test_the_published_vector_of_a_get_is_reproduced() -> None:
    headers = (
        ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("Host", "rtc.volcengineapi.com"),
        ("X-Content-Sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("X-Date", "20201230T081805Z"),
    )
    query = "Action=GetRecordTask&AppId=Your_AppId&RoomId=Your_RoomId&TaskId=Your_TaskId&Version=2022-06-01"
    request = Request(method="GET", path="/", query=query, headers=headers, body=b"")
    signed = ("content-type", "host", "x-content-sha256", "x-date")
    # the vendor's page prints this secret with its example
    secret = "TnpCak5XWXpZV1U0WkRaaE5ERmxaR0ZpTmpjeVkyUXlZek0wTWpJMU1qWQ=="
    expected = "b650bac39169258e864c755c583327377aa505c8588f873bd7b3c5a08584942d"
    assert signature.sign(request, secret, signed, "20201230/cn-north-1/rtc/request") == expected


def test_a_recorded_vector_of_a_post_is_reproduced() -> None:
    body = b'{"AppId":"a1","RoomId":"r1","TaskId":"t1","Identifier":"ident","Handle":true,"Duration":30}'
    headers = (
        ("Content-Type", "application/json"),
        ("Host", "rtc.volcengineapi.com:443"),
        ("X-Content-Sha256", "18e30739183a145b22290a5dc3236424bf330ab583f2de3f068649a87613de42"),
        ("X-Date", "20260101T000000Z"),
    )
    request = Request(
        method="POST", path="/", query="Version=2022-06-01&Action=UpdateSegment", headers=headers, body=body
    )
    signed = ("content-type", "host", "x-content-sha256", "x-date")
    expected = "6a980379ae78e0e8373773538cd6e8a3b3b6399d4537f9accf742c954567928c"
    assert signature.sign(request, "c2VjcmV0LXRlc3Q=", signed, "20260101/cn-north-1/rtc/request") == expected


def test_a_call_that_nobody_signed_is_refused(api: OpenApiStandin) -> None:
    request = with_header(volcengine_request(api, "UpdateSegment", IDS), "Authorization", None)
    assert gateway_error(api, request) == (401, "MissingAuthenticationToken", 100003)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Basic abc", (400, "MissingRequestInfo", 100004)),
        ("HMAC-SHA256 Credential=AK/20260101/cn-north-1/rtc, SignedHeaders=host", (400, "MissingRequestInfo", 100004)),
        (
            "HMAC-SHA256 Credential=AK/20260101/cn-north-1/rtc/request, SignedHeaders=host",
            (401, "MissingSignature", 100005),
        ),
        (
            "HMAC-SHA256 Credential=AK/20260101/cn-north-1/rtc/request, Signature=ab",
            (400, "MissingRequestInfo", 100004),
        ),
        (
            "HMAC-SHA256 Credential=NO/20260101/cn-north-1/rtc/request, SignedHeaders=host, Signature=ab",
            (401, "InvalidAccessKey", 100009),
        ),
        (
            "HMAC-SHA256 Credential=AK/20260101/cn-north-1/vod/request, SignedHeaders=host, Signature=ab",
            (404, "ServiceNotFound", 100007),
        ),
        (
            "HMAC-SHA256 Credential=AK/20260101/mars-1/rtc/request, SignedHeaders=host, Signature=ab",
            (404, "ServiceNotFound", 100007),
        ),
    ],
)
def test_an_authorization_that_says_too_little_is_refused_for_what_it_lacks(
    api: OpenApiStandin, value: str, expected: tuple[int, str, int]
) -> None:
    request = with_header(volcengine_request(api, "UpdateSegment", IDS), "Authorization", value)
    assert gateway_error(api, request) == expected


@pytest.mark.parametrize("seconds", [-16 * 60, 16 * 60])
def test_a_date_too_far_from_now_is_refused(api: OpenApiStandin, seconds: int) -> None:
    request = volcengine_request(api, "UpdateSegment", IDS, at=time.time() + seconds)
    assert gateway_error(api, request) == (400, "InvalidTimestamp", 100006)


@pytest.mark.parametrize("seconds", [-14 * 60, 14 * 60])
def test_a_date_within_a_quarter_of_an_hour_is_fine(api: OpenApiStandin, seconds: int) -> None:
    request = volcengine_request(api, "UpdateSegment", IDS, at=time.time() + seconds)
    assert send(api, request).json["Result"] == "ok"


@pytest.mark.parametrize("value", ["2026-01-01T00:00:00Z", "20260199T000000Z", "now"])
def test_a_malformed_date_is_refused(api: OpenApiStandin, value: str) -> None:
    request = with_header(volcengine_request(api, "UpdateSegment", IDS), "X-Date", value)
    assert gateway_error(api, request) == (400, "InvalidTimestamp", 100006)


def test_a_missing_date_is_refused(api: OpenApiStandin) -> None:
    request = with_header(volcengine_request(api, "UpdateSegment", IDS), "X-Date", None)
    assert gateway_error(api, request) == (400, "MissingRequestInfo", 100004)


@pytest.mark.parametrize("name", ["Host", "X-Date", "X-Content-Sha256"])
def test_what_the_signature_leaves_out_is_refused(api: OpenApiStandin, name: str) -> None:
    request = volcengine_request(api, "UpdateSegment", IDS, unsigned=(name,))
    assert gateway_error(api, request) == (401, "SignatureDoesNotMatch", 100010)


def test_a_body_that_was_changed_after_signing_is_refused(api: OpenApiStandin) -> None:
    request = volcengine_request(api, "UpdateSegment", IDS)
    changed = replace(request, body=request.body.replace(b'"t"', b'"u"'))
    assert gateway_error(api, changed) == (401, "SignatureDoesNotMatch", 100010)


def test_a_hash_that_is_not_the_bodys_is_refused_although_it_is_signed(api: OpenApiStandin) -> None:
    request = volcengine_request(api, "UpdateSegment", IDS, headers={"X-Content-Sha256": "00"})
    assert gateway_error(api, request) == (401, "SignatureDoesNotMatch", 100010)


def test_a_scope_of_another_day_than_the_date_is_refused(api: OpenApiStandin) -> None:
    request = volcengine_request(api, "UpdateSegment", IDS)
    scope, signed = "20200101/cn-north-1/rtc/request", ("content-type", "host", "x-content-sha256", "x-date")
    value = signature.sign(request, "SK", signed, scope)
    header = f"HMAC-SHA256 Credential=AK/{scope}, SignedHeaders={';'.join(signed)}, Signature={value}"
    assert gateway_error(api, with_header(request, "Authorization", header)) == (401, "SignatureDoesNotMatch", 100010)


def test_a_query_that_was_changed_after_signing_is_refused(api: OpenApiStandin) -> None:
    request = volcengine_request(api, "UpdateSegment", IDS)
    changed = replace(request, query=request.query.replace("UpdateSegment", "StopSegment"))
    assert gateway_error(api, changed) == (401, "SignatureDoesNotMatch", 100010)


def test_a_signature_that_is_no_ascii_is_refused(api: OpenApiStandin) -> None:
    request = volcengine_request(api, "UpdateSegment", IDS)
    value = str(request.header("Authorization")).partition("Signature=")[0]
    changed = with_header(request, "Authorization", f"{value}Signature=\u00e9")
    assert gateway_error(api, changed) == (401, "SignatureDoesNotMatch", 100010)


def test_a_token_that_the_key_does_not_have_is_refused(api: OpenApiStandin) -> None:
    request = volcengine_request(api, "UpdateSegment", IDS, headers={"X-Security-Token": "made-up"})
    assert gateway_error(api, request) == (401, "InvalidAccessKey", 100009)


@pytest.mark.parametrize(
    ("action", "in_version", "expected"),
    [
        ("", "2022-06-01", (400, "MissingParameter", 100002)),
        ("UpdateSegment", "", (400, "MissingParameter", 100002)),
        ("UpdateNothing", "2022-06-01", (404, "InvalidActionOrVersion", 100008)),
        ("UpdateSegment", "2023-11-01", (404, "InvalidActionOrVersion", 100008)),
        ("UpdatePushMixedStreamToCDN", "2022-06-01", (404, "InvalidActionOrVersion", 100008)),
    ],
)
def test_an_action_that_is_not_here_is_refused_by_the_gateway(
    api: OpenApiStandin, action: str, in_version: str, expected: tuple[int, str, int]
) -> None:
    assert gateway_error(api, volcengine_request(api, action, IDS, version=in_version)) == expected


def test_a_get_of_an_update_is_refused_and_a_get_of_a_question_is_not(api: OpenApiStandin) -> None:
    assert gateway_error(api, volcengine_request(api, "UpdateSegment", b"", method="GET"))[0] == 404
    reply = send(api, volcengine_request(api, "GetRecordTask", b"", method="GET"))
    assert reply.json["ResponseMetadata"]["Error"]["Code"] == "MissingParameter.NoAppId"


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "InvalidParameter.BodyIsEmpty"),
        (b"[]", "InvalidParameter.Unmarshal"),
        (b"{", "InvalidParameter.Unmarshal"),
        ({"RoomId": "r", "TaskId": "t"}, "MissingParameter.NoAppId"),
        ({"AppId": "a", "TaskId": "t"}, "MissingParameter.NoRoomId"),
        ({"AppId": "a", "RoomId": "r"}, "InvalidParameter"),
        ({**IDS, "AppId": "a b"}, "InvalidParameter.IllegalAppId"),
        ({**IDS, "RoomId": "r/1"}, "InvalidParameter.IllegalRoomID"),
        ({**IDS, "TaskId": "x" * 129}, "InvalidParameter"),
        ({**IDS, "TaskId": 7}, "InvalidParameter.Unmarshal"),
        ({**IDS, "BusinessId": "ü"}, "InvalidParameter"),
        ({**IDS, "Duration": "30"}, "InvalidParameter.Unmarshal"),
        ({**IDS, "Duration": 2**31}, "InvalidParameter.Unmarshal"),
        ({**IDS, "Handle": 1}, "InvalidParameter.Unmarshal"),
        ({**IDS, "TaskId": "other"}, "InvalidParameter.ErrorActiveTaskNotFound"),
    ],
)
def test_a_body_that_the_vendor_would_refuse_is_refused(api: OpenApiStandin, body: object, code: str) -> None:
    reply = send(api, volcengine_request(api, "UpdateSegment", body))
    assert reply.status == 200
    assert reply.json["ResponseMetadata"]["Error"]["Code"] == code
    assert reply.json["Result"] == {}
    assert not api.calls[-1].worked


def test_a_body_that_is_not_called_json_is_refused(api: OpenApiStandin) -> None:
    request = volcengine_request(api, "UpdateSegment", IDS, headers={"Content-Type": "text/plain"})
    assert send(api, request).json["ResponseMetadata"]["Error"]["Code"] == "InvalidParameter.Unmarshal"


@pytest.mark.parametrize(("duration", "applied"), [(0, 20), (-1, 20), (601, 20), (1, 1), (600, 600)])
def test_a_duration_out_of_range_is_silently_twenty(api: OpenApiStandin, duration: int, applied: int) -> None:
    assert call(api, "UpdateSegment", Duration=duration)["Result"] == "ok"
    assert api.tasks.get(type="segment", app_id="a", room_id="r", task_id="t").settings["Duration"] == applied
    assert bool(api.calls[-1].notes) == (duration != applied)


def test_each_duration_cuts_the_running_slice(api: OpenApiStandin) -> None:
    call(api, "UpdateSegment", Duration=30)
    call(api, "UpdateSegment", Handle=False)
    task = api.tasks.get(type="segment", app_id="a", room_id="r", task_id="t")
    assert (task.cuts, task.updates, task.settings["Handle"]) == (1, 2, False)


def test_an_identifier_of_another_task_is_taken_and_noted(api: OpenApiStandin) -> None:
    api.tasks.add(type="segment", app_id="a", room_id="r", task_id="other", Identifier="same")
    assert call(api, "UpdateSegment", Identifier="same")["Result"] == "ok"
    assert "overwrite" in api.calls[-1].notes[0]


def test_a_malformed_identifier_is_silently_a_random_one(api: OpenApiStandin) -> None:
    assert call(api, "UpdateSegment", Identifier="no spaces")["Result"] == "ok"
    identifier = api.calls[-1].applied["Identifier"] if api.calls[-1].applied else ""
    assert len(identifier) == 36


def test_fields_that_the_page_shows_but_its_table_lacks_are_ignored(api: OpenApiStandin) -> None:
    assert call(api, "UpdateSegment", MaxIdleTime=200, TargetStreams={"StreamList": []}, Duration=20)["Result"] == "ok"
    assert len(api.calls[-1].notes) == 2


def test_a_stopped_task_is_not_there_any_more(api: OpenApiStandin) -> None:
    api.tasks.stop(type="segment", app_id="a", room_id="r", task_id="t")
    assert error(api, "UpdateSegment") == "InvalidParameter.ErrorActiveTaskNotFound"


def test_the_same_task_id_in_another_room_is_another_task(api: OpenApiStandin) -> None:
    assert error(api, "UpdateSegment", RoomId="r2") == "InvalidParameter.ErrorActiveTaskNotFound"


def test_a_task_runs_from_its_start_to_its_stop(api: OpenApiStandin) -> None:
    assert call(api, "StartSegment", TaskId="n", Control={"Duration": 60})["Result"] == "ok"
    assert error(api, "StartSegment", TaskId="n") == "InvalidParameter.TaskAlreadyExists"
    assert api.tasks.get(type="segment", app_id="a", room_id="r", task_id="n").settings["Duration"] == 60
    assert call(api, "StopSegment", TaskId="n")["Result"] == "ok"
    assert error(api, "StopSegment", TaskId="n") == "InvalidParameter.ErrorActiveTaskNotFound"
    assert call(api, "StartSegment", TaskId="n")["Result"] == "ok"


# --- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_repeats_what_was_called(api: OpenApiStandin) -> None:
    metadata = call(api, "UpdateSegment")["ResponseMetadata"]
    assert metadata.pop("RequestId") == api.calls[-1].request_id
    assert metadata == {"Action": "UpdateSegment", "Version": "2022-06-01", "Service": "rtc", "Region": "cn-north-1"}


def test_the_result_comes_in_either_shape_of_the_samples() -> None:
    with OpenApiStandin(vendor="volcengine", credentials={"AK": "SK"}, shape="message") as api:
        api.tasks.add(type="segment", app_id="a", room_id="r", task_id="t")
        assert call(api, "UpdateSegment")["Result"] == {"Message": "success"}
        assert call(api, "UpdateSegment", TaskId="other")["Result"] is None


def test_an_unknown_shape_is_no_stand_in() -> None:
    with pytest.raises(ValueError, match="ok, message"):
        OpenApiStandin(vendor="volcengine", credentials={}, shape="xml")


def test_the_journal_holds_what_was_asked_and_no_secret(api: OpenApiStandin) -> None:
    call(api, "UpdateSegment", Duration=30)
    found = api.calls[-1]
    assert found.body == {**IDS, "Duration": 30}
    assert found.task == ("segment", "a", "r", "t")
    assert (found.action, found.status, found.code, found.worked) == ("UpdateSegment", 200, None, True)
    shown = plain(api, "GET", "/-/calls").text
    assert "SK" not in shown
    assert "Signature" not in shown
