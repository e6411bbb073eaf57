"""Whatever a caller sends, a stand-in answers or refuses in the vendor's form: it never breaks."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from standin.openapi.aliyun import Aliyun
from standin.openapi.aliyun.actions import ACTIONS as ALIYUN_ACTIONS
from standin.openapi.aliyun.parameters import IMAGE, MIXED, MODE, PANE, SINGLE, TEXT, USERS
from standin.openapi.credentials import gate
from standin.openapi.huawei import Huawei
from standin.openapi.volcengine import Volcengine
from standin.openapi.volcengine.actions import ACTIONS as VOLCENGINE_ACTIONS
from standin.openapi.volcengine.shapes import CANVAS, ENCODE, REGION, SPATIAL, STREAM
from standin.openapi.wire import Refused, Request, Vendor

_NAMES = [
    *(field.name for table in (CANVAS, ENCODE, REGION, SPATIAL, STREAM) for field in table),
    *("TargetStreams", "StreamList", "Layout", "LayoutMode", "CustomLayout", "Canvas", "Regions", "Encode", "Control"),
    *("SpatialConfig", "Identifier", "Handle", "Duration", "SequenceNumber", "IsUpdatePartialParam", "RecordMode"),
    *("record_param", "record_rule_id", "publish_param", "rtmp_urls", "room_id", "user_id", "max_idle_time"),
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["u", "#ffffff"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_NAMES) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=24,
)
bodies = st.dictionaries(st.sampled_from(_NAMES), values, max_size=8)
#: what a header may hold once a server has read it
header_text = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=80)
_AUTHORIZATIONS = st.one_of(
    header_text,
    st.builds(
        "{} {}=AK/20260101/cn-north-1/rtc/request, SignedHeaders={}, Signature={}".format,
        st.sampled_from(["HMAC-SHA256", "ACS3-HMAC-SHA256", "SDK-HMAC-SHA256"]),
        st.sampled_from(["Credential", "Access"]),
        header_text,
        header_text,
    ),
    st.builds(
        "{} {}=AK,SignedHeaders={},Signature={}".format,
        st.sampled_from(["ACS3-HMAC-SHA256", "SDK-HMAC-SHA256"]),
        st.sampled_from(["Credential", "Access"]),
        header_text,
        header_text,
    ),
)


unhurried = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(vendor: Vendor, request: Request) -> Any:
    """Do the work of a request that counts as authentic, and return what would be sent."""
    asked = vendor.ask(request)
    try:
        answer = vendor.work(request, asked).answer
    except Refused as refused:
        answer = vendor.refuse(asked, refused)
    return json.loads(answer.body)


def json_request(method: str, path: str, query: str, body: bytes) -> Request:
    return Request(method=method, path=path, query=query, headers=(("Content-Type", "application/json"),), body=body)


@pytest.mark.parametrize("action", VOLCENGINE_ACTIONS)
@unhurried
@given(body=bodies)
def test_volcengine_answers_any_body(action: str, body: dict[str, Any]) -> None:
    vendor = Volcengine(gate({}))
    ids = {"AppId": "a", "RoomId": "r", "TaskId": "t"}
    if not action.startswith("Start"):
        vendor.tasks.add(type=VOLCENGINE_ACTIONS[action].type, app_id="a", room_id="r", task_id="t")
    query = urlencode({"Action": action, "Version": VOLCENGINE_ACTIONS[action].version})
    answer = outcome(vendor, json_request("POST", "/", query, json.dumps({**body, **ids}).encode()))
    assert answer["ResponseMetadata"]["Action"] == action


@pytest.mark.parametrize("method", ["POST", "PUT"])
@unhurried
@given(body=bodies)
def test_huawei_answers_any_body(method: str, body: dict[str, Any]) -> None:
    vendor = Huawei(gate({}))
    vendor.tasks.add(app_id="a", task_id="j")
    path = "/v2/apps/a/individual-stream-jobs" + ("/j" if method == "PUT" else "")
    answer = outcome(vendor, json_request(method, path, "", json.dumps(body).encode()))
    assert "job_id" in answer or "error_code" in answer


_PARAMETERS = [
    *MIXED,
    *SINGLE,
    *MODE,
    *(f"{name}.{number}" for name in (*USERS, "LayoutIds") for number in (0, 1, 2, "x")),
    *(f"UserPanes.1.{name}" for name in PANE),
    *(f"UserPanes.1.Images.1.{name}" for name in IMAGE),
    *(f"UserPanes.1.Texts.1.{name}" for name in TEXT),
    *("UserPanes", "UserPanes.", "UserPanes.1", "UserPanes.1.Images", "UserPanes.1.Images.1"),
]
_texts = st.text(max_size=6) | st.sampled_from(["0", "1", "-1", "20", "1e400", "nan", "0.5", "4IN_720P", "Mixed_Audio"])


@pytest.mark.parametrize("action", ALIYUN_ACTIONS)
@unhurried
@given(parameters=st.dictionaries(st.sampled_from(_PARAMETERS), _texts, max_size=8))
def test_alibaba_answers_any_parameters(action: str, parameters: dict[str, str]) -> None:
    vendor = Aliyun(gate({}))
    if action != "StartRecordTask":
        vendor.tasks.add(app_id="a", room_id="c", task_id="t")
    ids = {"AppId": "a", "ChannelId": "c", "TaskId": "t", "TemplateId": "x"}
    query = urlencode({"Action": action, "Version": "2018-01-11", **ids, **parameters}, errors="replace")
    assert "RequestId" in outcome(vendor, Request(method="POST", path="/", query=query, headers=(), body=b""))


@pytest.mark.parametrize("vendor", [Volcengine, Aliyun, Huawei])
@unhurried
@given(authorization=_AUTHORIZATIONS, others=header_text, body=st.binary(max_size=20), query=st.text(max_size=20))
def test_nobody_gets_in_by_luck(vendor: Any, authorization: str, others: str, body: bytes, query: str) -> None:
    imitation: Vendor = vendor(gate({"AK": "SK"}))
    names = ("X-Date", "X-Sdk-Date", "x-acs-date", "X-Security-Token", "x-acs-signature-nonce", "Content-Type")
    headers = (("Authorization", authorization), *((name, others) for name in names))
    for path, start in (
        ("/", "Action=StopRecordTask&Version=2018-01-11&"),
        ("/v2/apps/a/individual-stream-jobs/j", ""),
    ):
        request = Request(
            method="POST" if path == "/" else "PUT", path=path, query=start + query, headers=headers, body=body
        )
        asked = imitation.ask(request)
        with pytest.raises(Refused) as refused:
            imitation.authenticate(request, asked)
        assert imitation.refuse(asked, refused.value).status >= 400
