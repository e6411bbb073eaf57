"""The stand-in of Huawei Cloud's RTC API: the vendor's own SDK is let in, and what the vendor refuses is refused."""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from standin_callers import huawei, huawei_request, send, with_header

from standin.openapi import Credential, OpenApiStandin
from standin.openapi.huawei import signature
from standin.openapi.wire import Request

with warnings.catch_warnings():  # what it imports on a newer Python is the SDK's own affair
    warnings.simplefilter("ignore", DeprecationWarning)
    from huaweicloudsdkcloudrtc.v2 import (
        CloudRTCClient,
        CreateIndividualStreamJobRequest,
        IndividualStreamJobReq,
        RecordParam,
        ShowIndividualStreamJobRequest,
        StopIndividualStreamJobRequest,
        UpdateIndividualJobReq,
        UpdateIndividualStreamJobRequest,
    )
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# The SDK takes the time of day with utcnow.
pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")

JOBS = "/v2/apps/a/individual-stream-jobs"
JOB = f"{JOBS}/j"
RULE = {"record_param": {"record_rule_id": "rule1"}}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the SDK a home of its own, for it writes an application id there."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def api() -> Iterator[OpenApiStandin]:
    temporary = Credential(secret="TSK", security_token="token", project_id="p")
    with OpenApiStandin(vendor="huawei", credentials={"AK": "SK", "TAK": temporary}) as standing:
        standing.tasks.add(app_id="a", room_id="r", task_id="j", user_id="u")
        yield standing


def sdk(api: OpenApiStandin, key: str = "AK", secret: str = "SK", token: str | None = None) -> Any:
    credentials = BasicCredentials(key, secret, "p")
    if token:
        credentials = credentials.with_security_token(token)
    return CloudRTCClient.new_builder().with_credentials(credentials).with_endpoints([api.endpoint]).build()


def error(api: OpenApiStandin, method: str, path: str, body: object = None) -> tuple[int, str]:
    reply = huawei(api, method, path, body)
    return reply.status, reply.json["error_code"]


# --- the vendor's own SDK as the referee ------------------------------------------------------------------------------


def update(client: Any, job: str = "j") -> Any:
    body = UpdateIndividualJobReq(record_param=RecordParam(record_rule_id="rule1"))
    return client.update_individual_stream_job(UpdateIndividualStreamJobRequest(app_id="a", job_id=job, body=body))


def create(client: Any) -> Any:
    body = IndividualStreamJobReq(room_id="r2", user_id="u2", max_idle_time=60)
    return client.create_individual_stream_job(CreateIndividualStreamJobRequest(app_id="a", body=body))


def show(client: Any) -> Any:
    return client.show_individual_stream_job(ShowIndividualStreamJobRequest(app_id="a", job_id="j"))


def stop(client: Any) -> Any:
    return client.stop_individual_stream_job(StopIndividualStreamJobRequest(app_id="a", job_id="j"))


CALLS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "UpdateIndividualStreamJob": (update, 200),
    "CreateIndividualStreamJob": (create, 201),
    "ShowIndividualStreamJob": (show, 200),
    "StopIndividualStreamJob": (stop, 204),
}


@pytest.mark.parametrize("action", CALLS)
def test_the_vendors_sdk_is_let_in_with_the_right_secret(api: OpenApiStandin, action: str) -> None:
    call, status = CALLS[action]
    assert call(sdk(api)).status_code == status
    assert (api.calls[-1].action, api.calls[-1].account) == (action, "AK")


@pytest.mark.parametrize("action", CALLS)
def test_the_vendors_sdk_is_refused_with_a_wrong_secret(api: OpenApiStandin, action: str) -> None:
    with pytest.raises(ClientRequestException) as refused:
        CALLS[action][0](sdk(api, secret="wrong"))
    assert (refused.value.status_code, refused.value.error_code) == (401, "APIGW.0301")
    assert not api.calls[-1].worked


def test_the_vendors_sdk_is_let_in_with_a_temporary_key_and_its_token(api: OpenApiStandin) -> None:
    assert update(sdk(api, "TAK", "TSK", "token")).status_code == 200
    with pytest.raises(ClientRequestException, match=r"APIGW\.0301"):
        update(sdk(api, "TAK", "TSK", "another"))


def test_the_vendors_sdk_reads_the_summary_of_the_job(api: OpenApiStandin) -> None:
    answer = update(sdk(api))
    assert (answer.job_id, answer.app_id, answer.room_id, answer.user_id) == ("j", "a", "r", "u")
    assert (answer.stream_name, answer.state, answer.record_param.record_rule_id) == ("s_j_r_u", "RUNNING", "rule1")
    assert answer.x_request_id == api.calls[-1].request_id


def test_the_vendors_sdk_runs_a_job_from_its_start_to_its_end(api: OpenApiStandin) -> None:
    made = create(sdk(api))
    assert update(sdk(api), made.job_id).max_idle_time == 60
    assert stop(sdk(api)).status_code == 204
    assert (show(sdk(api)).state, show(sdk(api)).stop_reason) == ("STOPPED", "TENANT_STOP")


# --- signatures -------------------------------------------------------------------------------------------------------


def test_a_recorded_vector_is_reproduced() -> None:
    headers = (
        ("Content-Type", "application/json;charset=utf-8"),
        ("Host", "rtc-api.myhuaweicloud.com"),
        ("X-Project-Id", "projid123"),
        ("X-Sdk-Date", "20260101T000000Z"),
    )
    body = b'{"record_param": {"record_rule_id": "5f5e172b9016ed5b0961a43"}}'
    path = "/v2/apps/app1/individual-stream-jobs/job1"
    request = Request(method="PUT", path=path, query="", headers=headers, body=body)
    signed = ("content-type", "host", "x-project-id", "x-sdk-date")
    expected = "f78aa80f0315ca0adad127e7edca760077bd355b7740afe590923eff5a7e160d"
    assert signature.sign(request, "SKTEST", signed) == expected


def test_a_path_is_signed_decoded_and_encoded_again() -> None:
    request = Request(method="GET", path="/v2/apps/a%20b/x%2By/~", query="b=1&a=%20", headers=(), body=b"")
    assert signature.canonical(request, ()).splitlines()[1:3] == ["/v2/apps/a%20b/x%2By/~/", "a=%20&b=1"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", None),
        ("Authorization", "Basic abc"),
        ("Authorization", "SDK-HMAC-SHA256 Access=AK, Signature=ab"),
        ("Authorization", "SDK-HMAC-SHA256 Access=NO, SignedHeaders=host;x-sdk-date, Signature=ab"),
        ("X-Sdk-Date", None),
        ("X-Sdk-Date", "2026-01-01T00:00:00Z"),
        ("X-Project-Id", "another"),
        ("X-Security-Token", "made-up"),
    ],
)
def test_what_the_gateway_would_refuse_is_refused(api: OpenApiStandin, name: str, value: str | None) -> None:
    reply = send(api, with_header(huawei_request(api, body=RULE), name, value))
    assert (reply.status, reply.json["error_code"]) == (401, "APIGW.0301")
    assert reply.json["error_msg"].startswith("Incorrect IAM authentication information: ")
    assert reply.json["request_id"] == reply.headers["X-request-Id"]


def test_a_signature_that_is_no_ascii_is_refused(api: OpenApiStandin) -> None:
    request = huawei_request(api, body=RULE)
    value = str(request.header("Authorization")).partition("Signature=")[0]
    assert send(api, with_header(request, "Authorization", f"{value}Signature=\u00e9")).status == 401


def test_a_users_token_in_the_place_of_a_key_is_refused(api: OpenApiStandin) -> None:
    request = with_header(huawei_request(api, body=RULE), "Authorization", None)
    reply = send(api, with_header(request, "X-Auth-Token", "made-up"))
    assert reply.json["error_msg"].endswith("decrypt token fail")


@pytest.mark.parametrize(("minutes", "status"), [(-16, 401), (16, 401), (-14, 200), (14, 200)])
def test_a_date_has_to_be_within_a_quarter_of_an_hour(api: OpenApiStandin, minutes: int, status: int) -> None:
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + minutes * 60))
    assert send(api, huawei_request(api, body=RULE, headers={"X-Sdk-Date": date})).status == status


@pytest.mark.parametrize("name", ["Host", "X-Sdk-Date"])
def test_a_header_that_the_signature_leaves_out_is_refused(api: OpenApiStandin, name: str) -> None:
    assert send(api, huawei_request(api, body=RULE, unsigned=(name,))).status == 401


def test_a_body_or_path_that_was_changed_after_signing_is_refused(api: OpenApiStandin) -> None:
    request = huawei_request(api, body=RULE)
    assert send(api, replace(request, body=request.body.replace(b"rule1", b"rule2"))).status == 401
    assert send(api, replace(request, path=f"{JOBS}/k")).status == 401


def test_a_hash_that_is_sent_counts_and_has_to_be_the_bodys(api: OpenApiStandin) -> None:
    assert send(api, huawei_request(api, body=RULE, headers={"X-Sdk-Content-Sha256": "00"})).status == 401
    unsigned = huawei_request(api, body=RULE, headers={"X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD"})
    assert send(api, replace(unsigned, body=unsigned.body.replace(b"rule1", b"rule2"))).status == 200


def test_a_call_without_a_project_is_refused(api: OpenApiStandin) -> None:
    request = huawei_request(api, body=RULE, headers={"X-Project-Id": ""})
    reply = send(api, request)
    assert (reply.status, reply.json["error_code"]) == (400, "RTC.00001005")


def test_a_key_of_another_project_is_refused() -> None:
    credential = Credential(secret="SK", project_id="mine")
    with OpenApiStandin(vendor="huawei", credentials={"AK": credential}) as api:
        assert error(api, "PUT", JOB, RULE) == (400, "RTC.00001001")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v2/apps/a/mix-stream-jobs/j"),
        ("POST", JOB),
        ("GET", JOBS),
        ("PUT", JOBS),
        ("DELETE", JOBS),
        ("GET", "/"),
    ],
)
def test_what_is_not_here_is_refused_by_the_gateway(api: OpenApiStandin, method: str, path: str) -> None:
    assert error(api, method, path) == (404, "APIGW.0101")


# --- bodies and jobs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "RTC.00001002"),
        (b"[]", "RTC.00001002"),
        (b"{", "RTC.00001002"),
        ({"record_param": "x"}, "RTC.00001002"),
        ({"record_param": {}}, "RTC.00001005"),
        ({"record_param": {"record_rule_id": 7}}, "RTC.00001003"),
        ({"record_param": {"record_rule_id": ""}}, "RTC.00001003"),
        ({"publish_param": {}}, "RTC.00001003"),
        ({"publish_param": {"rtmp_urls": []}}, "RTC.00001003"),
        ({"publish_param": {"rtmp_urls": "rtmp://x"}}, "RTC.00001003"),
    ],
)
def test_a_body_that_the_vendor_would_refuse_is_refused(api: OpenApiStandin, body: object, code: str) -> None:
    assert error(api, "PUT", JOB, body) == (400, code)
    assert not api.calls[-1].worked


def test_a_body_that_is_not_called_json_is_refused(api: OpenApiStandin) -> None:
    reply = send(api, huawei_request(api, body=RULE, headers={"Content-Type": "text/plain"}))
    assert (reply.status, reply.json["error_code"]) == (400, "RTC.00001002")


def test_an_empty_object_is_an_update(api: OpenApiStandin) -> None:
    assert huawei(api, "PUT", JOB, {}).status == 200


def test_the_older_publish_param_is_taken_and_given_back(api: OpenApiStandin) -> None:
    publish = {"rtmp_urls": ["rtmp://push.example/live"]}
    assert huawei(api, "PUT", JOB, {"publish_param": publish}).json["publish_param"] == publish


def test_fields_that_can_not_be_changed_are_ignored(api: OpenApiStandin) -> None:
    assert huawei(api, "PUT", JOB, {**RULE, "max_idle_time": 60}).json["max_idle_time"] == 30
    assert api.calls[-1].notes == ("max_idle_time can't be changed: ignored",)


@pytest.mark.parametrize("path", [f"{JOBS}/other", "/v2/apps/b/individual-stream-jobs/j", f"{JOBS}/a%2Fb"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_job_that_is_not_there_is_a_wrong_parameter_under_404(api: OpenApiStandin, method: str, path: str) -> None:
    assert error(api, method, path, RULE) == (404, "RTC.00001003")


def test_a_job_that_is_done_can_not_be_updated_or_stopped(api: OpenApiStandin) -> None:
    assert huawei(api, "DELETE", JOB).status == 204
    assert error(api, "PUT", JOB, RULE) == (400, "RTC.00001009")
    assert error(api, "DELETE", JOB) == (400, "RTC.00001009")
    assert huawei(api, "GET", JOB).json["state"] == "STOPPED"


def test_a_job_that_begins_can_be_updated(api: OpenApiStandin) -> None:
    api.tasks.add(app_id="a", room_id="r", task_id="j", state="init")
    assert huawei(api, "PUT", JOB, RULE).json["state"] == "INIT"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"room_id": None}, "RTC.00001005"),
        ({"user_id": None}, "RTC.00001005"),
        ({"room_id": 7}, "RTC.00001003"),
        ({"is_record_audio": "yes"}, "RTC.00001003"),
        ({"video_type": "BOTH"}, "RTC.00001003"),
        ({"select_stream_type": "4K"}, "RTC.00001003"),
        ({"max_idle_time": 4}, "RTC.00001003"),
        ({"max_idle_time": 43201}, "RTC.00001003"),
        ({"max_idle_time": True}, "RTC.00001003"),
        ({"record_param": {}}, "RTC.00001005"),
    ],
)
def test_a_new_job_that_the_vendor_would_refuse_is_refused(
    api: OpenApiStandin, values: dict[str, object], code: str
) -> None:
    assert error(api, "POST", JOBS, {"room_id": "r", "user_id": "u", **values}) == (400, code)


def test_a_new_job_runs(api: OpenApiStandin) -> None:
    reply = huawei(api, "POST", JOBS, {"room_id": "r", "user_id": "u", "video_type": "SCREENSTREAM", **RULE})
    assert reply.status == 201
    assert reply.json["record_param"] == RULE["record_param"]
    assert huawei(api, "GET", f"{JOBS}/{reply.json['job_id']}").json["video_type"] == "SCREENSTREAM"


def test_ids_are_text_or_the_numbers_of_the_pages_sample() -> None:
    for shape, ids in (("text", ["1", "2", "100"]), ("numbers", [1, 2, 100])):
        with OpenApiStandin(vendor="huawei", credentials={"AK": "SK"}, shape=shape) as api:
            api.tasks.add(app_id="2", room_id="100", task_id="1")
            answer = huawei(api, "PUT", "/v2/apps/2/individual-stream-jobs/1", RULE).json
            assert [answer["job_id"], answer["app_id"], answer["room_id"]] == ids
            assert update_of_numbers(api).job_id == "1", "the SDK makes text of either"


def update_of_numbers(api: OpenApiStandin) -> Any:
    return sdk(api).show_individual_stream_job(ShowIndividualStreamJobRequest(app_id="2", job_id="1"))


def test_an_unknown_shape_is_no_stand_in() -> None:
    with pytest.raises(ValueError, match="text, numbers"):
        OpenApiStandin(vendor="huawei", credentials={}, shape="ok")


def test_the_journal_holds_the_body_and_the_job(api: OpenApiStandin) -> None:
    huawei(api, "PUT", JOB, RULE)
    found = api.calls[-1]
    assert (found.body, found.task) == (RULE, ("record", "a", "", "j"))
    assert json.loads(found.answer or "")["job_id"] == "j"
