"""The stand-in of Alibaba Cloud's RTC API: the vendor's own SDK is let in, and what the vendor refuses is refused."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from standin_callers import aliyun, aliyun_request, plain, send, with_header

from standin.openapi import Credential, OpenApiStandin
from standin.openapi.aliyun import signature
from standin.openapi.wire import Request

with warnings.catch_warnings():  # what it imports on a newer Python is the SDK's own affair
    warnings.simplefilter("ignore", DeprecationWarning)
    from alibabacloud_rtc20180111.client import Client
    from alibabacloud_rtc20180111.models import (
        StartRecordTaskRequest,
        StartRecordTaskRequestUserPanes,
        StartRecordTaskRequestUserPanesImages,
        StartRecordTaskRequestUserPanesTexts,
        StopRecordTaskRequest,
        UpdateRecordTaskRequest,
    )
    from alibabacloud_tea_openapi.exceptions import ClientException
    from alibabacloud_tea_openapi.utils_models import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The SDK takes the time of day with utcnow.
pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")

IDS = {"app_id": "a", "channel_id": "c", "task_id": "t", "template_id": "tpl"}


@pytest.fixture
def api() -> Iterator[OpenApiStandin]:
    temporary = Credential(secret="TSK", security_token="token")
    with OpenApiStandin(vendor="aliyun", credentials={"AK": "SK", "TAK": temporary}) as standing:
        yield standing


@pytest.fixture
def running(api: OpenApiStandin) -> OpenApiStandin:
    api.tasks.add(app_id="a", room_id="c", task_id="t")
    return api


def sdk(api: OpenApiStandin, key: str = "AK", secret: str = "SK", token: str | None = None) -> Any:
    return Client(
        Config(access_key_id=key, access_key_secret=secret, security_token=token, endpoint=api.host, protocol="http")
    )


# --- the vendor's own SDK as the referee ------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Any], Any]] = {
    "StartRecordTask": lambda client: client.start_record_task(StartRecordTaskRequest(**{**IDS, "task_id": "new"})),
    "UpdateRecordTask": lambda client: client.update_record_task(UpdateRecordTaskRequest(**IDS, media_encode=20)),
    "StopRecordTask": lambda client: client.stop_record_task(StopRecordTaskRequest(app_id="a", task_id="t")),
}


@pytest.mark.parametrize("action", CALLS)
def test_the_vendors_sdk_is_let_in_with_the_right_secret(running: OpenApiStandin, action: str) -> None:
    answer = CALLS[action](sdk(running))
    assert answer.status_code == 200
    assert answer.body.request_id == running.calls[-1].request_id
    assert (running.calls[-1].action, running.calls[-1].account) == (action, "AK")


@pytest.mark.parametrize("action", CALLS)
def test_the_vendors_sdk_is_refused_with_a_wrong_secret(running: OpenApiStandin, action: str) -> None:
    with pytest.raises(ClientException) as refused:
        CALLS[action](sdk(running, secret="wrong"))
    assert (refused.value.code, refused.value.status_code) == ("SignatureDoesNotMatch", 400)
    assert not running.calls[-1].worked


def test_the_vendors_sdk_is_let_in_with_a_temporary_key_and_its_token(running: OpenApiStandin) -> None:
    assert CALLS["StopRecordTask"](sdk(running, "TAK", "TSK", "token")).status_code == 200
    with pytest.raises(ClientException) as refused:
        CALLS["StopRecordTask"](sdk(running, "TAK", "TSK", "another"))
    assert refused.value.code == "InvalidSecurityToken.MismatchWithAccessKey"


def test_the_vendors_sdk_flattens_lists_as_they_are_read(api: OpenApiStandin) -> None:
    image = StartRecordTaskRequestUserPanesImages(url="https://pictures.example/one.png", display=1, x=0.5, zorder=0)
    text = StartRecordTaskRequestUserPanesTexts(text="语 文 & more", font_size=12, font_color=65793)
    pane = StartRecordTaskRequestUserPanes(
        pane_id=0, user_id="ü +", source_type="shareScreen", images=[image], texts=[text]
    )
    users = [f"user {number}" for number in range(1, 13)]
    sdk(api).start_record_task(
        StartRecordTaskRequest(**IDS, sub_spec_users=users, layout_ids=[3, 1], user_panes=[pane])
    )
    applied: Any = api.calls[-1].applied
    assert applied["SubSpecUsers"] == users
    assert applied["LayoutIds"] == [3, 1]
    assert applied["UserPanes"] == [
        {
            "PaneId": 0,
            "UserId": "ü +",
            "SourceType": "shareScreen",
            "Images": [{"Url": "https://pictures.example/one.png", "Display": 1, "X": 0.5, "ZOrder": 0}],
            "Texts": [{"Text": "语 文 & more", "FontSize": 12, "FontColor": 65793}],
        }
    ]


def test_the_vendors_sdk_takes_a_task_that_exists_for_a_success(running: OpenApiStandin) -> None:
    answer = sdk(running).start_record_task(StartRecordTaskRequest(**IDS))
    assert answer.status_code == 200
    assert running.calls[-1].code == "TaskExisted"


# --- signatures -------------------------------------------------------------------------------------------------------


def test_the_published_vector_of_the_old_signature_is_reproduced() -> None:
    query = (
        "TimeStamp=2016-02-23T12%3A46%3A24Z&Format=XML&AccessKeyId=testid&Action=DescribeRegions"
        "&SignatureMethod=HMAC-SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&Version=2014-05-26"
        "&SignatureVersion=1.0"
    ).replace("TimeStamp", "Timestamp")
    request = Request(method="GET", path="/", query=query, headers=(), body=b"")
    assert signature.sign_parameters(request, "testsecret") == "OLeaidS1JvxuMvnyHOwuJ+uX5qY="


def test_the_published_vector_of_the_signature_in_headers_is_reproduced() -> None:
    headers = (
        ("host", "ecs.cn-shanghai.aliyuncs.com"),
        ("x-acs-action", "RunInstances"),
        ("x-acs-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("x-acs-date", "2023-10-26T10:22:32Z"),
        ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
        ("x-acs-version", "2014-05-26"),
    )
    query = "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai"
    request = Request(method="POST", path="/", query=query, headers=headers, body=b"")
    expected = "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    assert signature.sign_headers(request, "YourAccessKeySecret", tuple(name for name, _ in headers)) == expected


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_old_signature_lets_in(running: OpenApiStandin, method: str) -> None:
    request = aliyun_request(running, "StopRecordTask", {"AppId": "a", "TaskId": "t"}, method=method)
    assert send(running, request).status == 200


def test_parameters_in_a_form_are_signed_and_read(running: OpenApiStandin) -> None:
    request = aliyun_request(running, "StopRecordTask", {"AppId": "a", "TaskId": "t"}, form=True)
    changed = replace(request, body=request.body.replace(b"TaskId=t", b"TaskId=u"))
    assert send(running, changed).json["Code"] == "SignatureDoesNotMatch"
    assert send(running, request).status == 200


def test_a_wrong_old_signature_is_refused(running: OpenApiStandin) -> None:
    request = aliyun_request(running, "StopRecordTask", {"AppId": "a", "TaskId": "t"}, secret="wrong")
    assert send(running, request).json["Code"] == "SignatureDoesNotMatch"


def at(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        ("AccessKeyId", None, 400, "MissingParameter"),
        ("SignatureNonce", None, 400, "MissingParameter"),
        ("Timestamp", None, 400, "MissingParameter"),
        ("Signature", "", 400, "MissingParameter"),
        ("SignatureMethod", "HMAC-SHA256", 400, "IncompleteSignature"),
        ("SignatureVersion", "2.0", 400, "IncompleteSignature"),
        ("AccessKeyId", "NO", 404, "InvalidAccessKeyId.NotFound"),
        ("SecurityToken", "made-up", 400, "InvalidSecurityToken.MismatchWithAccessKey"),
        ("Timestamp", "2026-01-01 00:00:00", 400, "InvalidTimeStamp.Format"),
        ("Timestamp", -16 * 60, 400, "InvalidTimeStamp.Expired"),
        ("Timestamp", 36 * 60, 400, "InvalidTimeStamp.Expired"),
        ("Action", None, 400, "MissingParameter"),
        ("Action", "StartNothing", 404, "InvalidAction.NotFound"),
        ("Version", "2016-11-01", 404, "InvalidVersion"),
    ],
)
def test_what_the_gateway_would_refuse_is_refused(
    running: OpenApiStandin, name: str, value: str | int | None, status: int, code: str
) -> None:
    given = at(value) if isinstance(value, int) else value
    request = aliyun_request(running, "StopRecordTask", {"AppId": "a", "TaskId": "t"}, common={name: given})
    reply = send(running, request)
    assert (reply.status, reply.json["Code"]) == (status, code)
    assert set(reply.json) == {"RequestId", "HostId", "Code", "Message", "Recommend"}


def test_a_nonce_is_good_once(running: OpenApiStandin) -> None:
    request = aliyun_request(
        running, "UpdateRecordTask", {"AppId": "a", "ChannelId": "c", "TaskId": "t", "TemplateId": "x"}
    )
    assert send(running, request).status == 200
    assert send(running, request).json["Code"] == "SignatureNonceUsed"


def test_a_refused_signature_uses_no_nonce_up(running: OpenApiStandin) -> None:
    common = {"SignatureNonce": "the-same"}
    parameters = {"AppId": "a", "TaskId": "t"}
    forged = aliyun_request(running, "StopRecordTask", parameters, common=common, secret="wrong")
    assert send(running, forged).json["Code"] == "SignatureDoesNotMatch"
    assert send(running, aliyun_request(running, "StopRecordTask", parameters, common=common)).status == 200


def recorded(api: OpenApiStandin) -> Request:
    """Return a signed call in headers, as the vendor's SDK lays it out."""
    headers = (
        ("Host", api.host),
        ("x-acs-action", "StopRecordTask"),
        ("x-acs-version", "2018-01-11"),
        ("x-acs-date", at(0)),
        ("x-acs-signature-nonce", "nonce"),
        ("x-acs-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    )
    return Request(method="POST", path="/", query="AppId=a&TaskId=t", headers=headers, body=b"")


def sign(request: Request, *without: str) -> Request:
    signed = tuple(sorted(name.lower() for name, _ in request.headers if name not in without))
    value = signature.sign_headers(request, "SK", signed)
    return with_header(
        request,
        "Authorization",
        f"ACS3-HMAC-SHA256 Credential=AK,SignedHeaders={';'.join(signed)},Signature={value}",
    )


def test_a_call_signed_in_its_headers_is_let_in_and_a_replay_is_not(running: OpenApiStandin) -> None:
    request = sign(recorded(running))
    assert send(running, request).status == 200
    assert send(running, request).json["Code"] == "SignatureNonceUsed"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("x-acs-date", -16 * 60, "InvalidTimeStamp.Expired"),
        ("x-acs-date", "today", "InvalidTimeStamp.Format"),
        ("x-acs-signature-nonce", "", "MissingParameter"),
        ("x-acs-content-sha256", "00", "SignatureDoesNotMatch"),
        ("x-acs-version", "2016-11-01", "InvalidVersion"),
        ("x-acs-action", "StartNothing", "InvalidAction.NotFound"),
    ],
)
def test_headers_that_the_gateway_would_refuse_are_refused(
    running: OpenApiStandin, name: str, value: str | int, code: str
) -> None:
    given = at(value) if isinstance(value, int) else value
    assert send(running, sign(with_header(recorded(running), name, given))).json["Code"] == code


@pytest.mark.parametrize(
    "name", ["Host", "x-acs-action", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"]
)
def test_a_header_that_the_signature_leaves_out_is_refused(running: OpenApiStandin, name: str) -> None:
    assert send(running, sign(recorded(running), name)).json["Code"] == "IncompleteSignature"


def test_a_signature_that_is_no_ascii_is_refused(running: OpenApiStandin) -> None:
    request = sign(recorded(running))
    value = str(request.header("Authorization")).partition("Signature=")[0]
    changed = with_header(request, "Authorization", f"{value}Signature=\u00e9")
    assert send(running, changed).json["Code"] == "SignatureDoesNotMatch"


@pytest.mark.parametrize("value", ["Basic abc", "ACS3-HMAC-SHA256 Credential=AK", "ACS3-HMAC-SHA256 Signature=ab"])
def test_an_authorization_that_says_too_little_is_refused(running: OpenApiStandin, value: str) -> None:
    assert send(running, with_header(recorded(running), "Authorization", value)).json["Code"] == "IncompleteSignature"


# --- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_is_xml_where_the_format_asks_for_it(running: OpenApiStandin) -> None:
    parameters = {"AppId": "a", "TaskId": "t"}
    reply = send(running, aliyun_request(running, "StopRecordTask", parameters, common={"Format": "XML"}))
    assert reply.headers["Content-Type"] == "text/xml;charset=utf-8"
    assert f"<StopRecordTaskResponse><RequestId>{running.calls[-1].request_id}</RequestId>" in reply.text


def test_a_refusal_is_xml_where_the_shape_is() -> None:
    with OpenApiStandin(vendor="aliyun", credentials={"AK": "SK"}, shape="xml") as api:
        assert "<Code>InvalidTaskId.NotFound</Code>" in aliyun(api, "StopRecordTask").text


def test_an_unknown_shape_is_no_stand_in() -> None:
    with pytest.raises(ValueError, match="json, xml"):
        OpenApiStandin(vendor="aliyun", credentials={}, shape="ok")


def test_the_journal_holds_parameters_and_nothing_that_signs(running: OpenApiStandin) -> None:
    aliyun(running, "StopRecordTask")
    found = running.calls[-1]
    assert found.body == {"AppId": "a", "ChannelId": "c", "TaskId": "t", "TemplateId": "tpl"}
    assert found.task == ("record", "a", "", "t")
    shown = plain(running, "GET", "/-/calls").text
    assert "Signature" not in shown
    assert "AccessKeyId" not in shown
