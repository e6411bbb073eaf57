"""How our own calls are signed: as the vendors' pages say, and as the vendors' own SDKs do."""

from __future__ import annotations

import calendar
import hashlib
import time
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from calling import KEY, OPERATIONS, SECRET, TOKEN, account, golden
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.operation import Access, Request
from handlers.settings import Secret
from handlers.vendors.huawei import signing as huawei_signing
from handlers.vendors.volcengine import signing as volcengine_signing

with warnings.catch_warnings():  # what they import on a newer Python is the SDKs' own affair
    warnings.simplefilter("ignore", DeprecationWarning)
    from alibabacloud_tea_openapi.utils import Utils
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.sdk_request import SdkRequest
    from huaweicloudsdkcore.signer.signer import Signer
    from volcenginesdkcore.signv4 import SignerV4

if TYPE_CHECKING:
    from collections.abc import Mapping

# Volcengine's SDK takes the time of day with utcnow.
pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")

IN_2026 = calendar.timegm((2026, 1, 1, 0, 0, 0)) * 1000


def signature(headers: Mapping[str, str]) -> str:
    return headers["Authorization"].rpartition("Signature=")[2]


# --- documented and recorded signatures -------------------------------------------------------------------------------


def test_volcengines_documented_example_is_reproduced() -> None:
    query = volcengine_signing.encode(
        {
            "Action": "GetRecordTask",
            "Version": "2022-06-01",
            "AppId": "Your_AppId",
            "RoomId": "Your_RoomId",
            "TaskId": "Your_TaskId",
        }
    )
    headers = volcengine_signing.sign(
        "GET",
        query,
        {"Host": "rtc.volcengineapi.com", "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        b"",
        access=Access(key_id="AK", secret="TnpCak5XWXpZV1U0WkRaaE5ERmxaR0ZpTmpjeVkyUXlZek0wTWpJMU1qWQ=="),
        region="cn-north-1",
        at=calendar.timegm((2020, 12, 30, 8, 18, 5)) * 1000 + 999,
    )
    assert signature(headers) == "b650bac39169258e864c755c583327377aa505c8588f873bd7b3c5a08584942d"


def test_a_call_of_volcengine_is_signed_as_by_its_two_sdks() -> None:
    who = account(
        "volcengine",
        access_key_id=Secret.literal("AKTESTAKTEST"),
        secret_access_key=Secret.literal("c2VjcmV0LXRlc3Q="),
    )
    ids = {"AppId": "a1", "RoomId": "r1", "TaskId": "t1"}
    parameters = {**ids, "Identifier": "ident", "Handle": True, "Duration": 30}
    request = OPERATIONS["volcengine.update_segment"].request(parameters, who, IN_2026, "n")
    digest = "18e30739183a145b22290a5dc3236424bf330ab583f2de3f068649a87613de42"
    assert request.headers["X-Content-Sha256"] == hashlib.sha256(request.body).hexdigest() == digest
    assert signature(request.headers) == "6a980379ae78e0e8373773538cd6e8a3b3b6399d4537f9accf742c954567928c"


def test_a_call_of_huawei_is_signed_as_its_sdk_recorded_it() -> None:
    headers = huawei_signing.sign(
        "PUT",
        "/v2/apps/app1/individual-stream-jobs/job1",
        {
            "Content-Type": "application/json;charset=utf-8",
            "X-Project-Id": "projid123",
            "Host": "rtc-api.myhuaweicloud.com",
        },
        b'{"record_param": {"record_rule_id": "5f5e172b9016ed5b0961a43"}}',
        access=Access(key_id="AKTEST", secret="SKTEST"),
        at=IN_2026,
    )
    assert headers["Authorization"] == (
        "SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders=content-type;host;x-project-id;x-sdk-date, "
        "Signature=f78aa80f0315ca0adad127e7edca760077bd355b7740afe590923eff5a7e160d"
    )


# --- the vendors' SDKs as referees ------------------------------------------------------------------------------------


def by_volcengine(request: Request, *, temporary: bool) -> str:
    """Let the SDK sign the same request; it takes its own time, so that ours is signed for that time."""
    parts = urlsplit(request.url)
    headers = {name: request.headers[name] for name in ("Host", "Content-Type")}
    token = TOKEN if temporary else None
    query = dict(parse_qsl(parts.query))
    SignerV4.sign(
        "/", "POST", headers, request.body.decode(), {}, query, KEY, SECRET, "cn-north-1", "rtc", session_token=token
    )
    at = calendar.timegm(time.strptime(headers["X-Date"], "%Y%m%dT%H%M%SZ")) * 1000
    ours = volcengine_signing.sign(
        "POST",
        parts.query,
        {name: request.headers[name] for name in ("Host", "Content-Type")},
        request.body,
        access=Access(key_id=KEY, secret=SECRET, token=token),
        region="cn-north-1",
        at=at,
    )
    assert ours == headers
    return str(headers["Authorization"])


def by_aliyun(request: Request) -> str:
    parts = urlsplit(request.url)
    headers = {name: value for name, value in request.headers.items() if name != "Authorization"}
    asked = SimpleNamespace(
        method=request.method,
        pathname=parts.path,
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers=headers,
    )
    digest = hashlib.sha256(request.body).hexdigest()
    return str(Utils.get_authorization(asked, "ACS3-HMAC-SHA256", digest, KEY, SECRET))


def by_huawei(request: Request) -> str:
    parts = urlsplit(request.url)
    headers = {name: value for name, value in request.headers.items() if name != "Authorization"}
    asked = SdkRequest(
        method=request.method,
        schema=parts.scheme,
        host=parts.netloc,
        resource_path=parts.path,
        query_params=[],
        header_params=headers,
        body=request.body.decode(),
    )
    return str(Signer(BasicCredentials(KEY, SECRET, "p-1")).sign(asked).header_params["Authorization"])


@pytest.mark.parametrize("temporary", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_vendors_sdk_signs_the_same_request_the_same(name: str, *, temporary: bool) -> None:
    vendor, told = name.partition(".")[0], golden(name)
    who = account(vendor, temporary=temporary)
    request = OPERATIONS[name].request(told["parameters"], who, told["at"], told["nonce"])
    if vendor == "volcengine":
        assert by_volcengine(request, temporary=temporary)
    else:
        referee = by_aliyun if vendor == "aliyun" else by_huawei
        assert request.headers["Authorization"] == referee(request)


ANY_CHARACTERS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(user=ANY_CHARACTERS, channel=ANY_CHARACTERS.map(lambda text: text.replace(",", "-")))
def test_whatever_users_and_channels_are_called_alibabas_sdk_signs_it_the_same(user: str, channel: str) -> None:
    parameters = {**golden("aliyun.update_record_task")["parameters"], "ChannelId": channel, "SubSpecUsers": [user]}
    request = OPERATIONS["aliyun.update_record_task"].request(parameters, account("aliyun"), IN_2026, "n")
    sent = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
    assert (sent["SubSpecUsers.1"], sent["ChannelId"]) == (user, channel)
    assert request.headers["Authorization"] == by_aliyun(request)


@given(job=st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\ "), min_size=1, max_size=20))
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_whatever_a_job_is_called_huaweis_sdk_signs_it_the_same(job: str) -> None:
    if job in {".", ".."}:
        return
    parameters = {**golden("huawei.update_individual_stream_job")["parameters"], "job_id": job}
    request = OPERATIONS["huawei.update_individual_stream_job"].request(parameters, account("huawei"), IN_2026, "n")
    assert request.headers["Authorization"] == by_huawei(request)


@pytest.mark.parametrize("name", OPERATIONS)
def test_another_secret_gives_another_signature(name: str) -> None:
    vendor, told = name.partition(".")[0], golden(name)
    found: list[Any] = [
        OPERATIONS[name].request(told["parameters"], who, told["at"], told["nonce"]).headers["Authorization"]
        for who in (account(vendor), account(vendor, secret_access_key=Secret.literal("another")))
    ]
    assert found[0] != found[1]
