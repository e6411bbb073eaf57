"""What every operation makes of an answer, whatever it is, and of any parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from calling import OPERATIONS, answers, response
from hypothesis import given
from hypothesis import strategies as st

from handlers.errors import WrongRequest
from handlers.operation import Outcome, Response, complete, find_problems
from handlers.vendors import VENDORS
from handlers.vendors.aliyun import errors as aliyun_errors
from handlers.vendors.huawei import errors as huawei_errors
from handlers.vendors.volcengine import errors as volcengine_errors

CODES = {"volcengine": volcengine_errors, "aliyun": aliyun_errors, "huawei": huawei_errors}

each_vendor = pytest.mark.parametrize("vendor", VENDORS)


def every_answer() -> list[Any]:
    return [pytest.param(vendor, what, id=f"{vendor}-{what}") for vendor in VENDORS for what in answers(vendor)]


@pytest.mark.parametrize(("vendor", "what"), every_answer())
def test_a_captured_answer_is_understood(vendor: str, what: str) -> None:
    told = answers(vendor)[what]
    expected: dict[str, Any]
    for operation in VENDORS[vendor].operations.values():
        expected = told["outcome"] | told.get(operation.name, {})
        found = operation.outcome(response(told["status"], told["body"], told["headers"]))
        assert {name: getattr(found, name) for name in expected} == expected
        for name in ("code", "request_id", "is_throttled", "is_unclear", "after_ms"):
            assert name in expected or not getattr(found, name), name
        assert found.detail or found.code


def coded(vendor: str, code: object, status: int) -> Outcome:
    """Return what is made of an answer with this code in the vendor's form, to a call that starts nothing."""
    bodies: dict[str, Any] = {
        "volcengine": {"ResponseMetadata": {"Error": {"Code": code, "Message": "why"}}},
        "aliyun": {"RequestId": "r", "Code": code, "Message": "why"},
        "huawei": {"error_code": code, "error_msg": "why"},
    }
    operation = next(one for one in VENDORS[vendor].operations.values() if one.derived is None)
    return operation.outcome(response(status, bodies[vendor]))


EVERY_CODE = [(vendor, code) for vendor, module in CODES.items() for code in module.CODES]


@pytest.mark.parametrize(("vendor", "code"), EVERY_CODE)
def test_every_code_of_a_table_has_its_verdict_and_its_reason(vendor: str, code: str) -> None:
    row = CODES[vendor].CODES[code]
    found = coded(vendor, code, 400)
    assert (found.verdict, found.code, found.detail) == (row.verdict, code, "why")
    assert found.meaning == row.says
    assert row.says


@pytest.mark.parametrize(("vendor", "family"), [(v, f) for v, module in CODES.items() for f in module.FAMILIES])
def test_a_code_that_no_table_lists_goes_by_its_family(vendor: str, family: str) -> None:
    code = f"{family}.NeverHeardOf" if vendor != "huawei" else f"{family}999"
    assert coded(vendor, code, 400).verdict == CODES[vendor].FAMILIES[family].verdict


def test_a_task_that_is_there_already_is_what_a_start_wanted_and_no_other_call() -> None:
    answer = response(200, {"RequestId": "r", "Code": "TaskExisted", "Message": "why"})
    verdicts = {name: one.outcome(answer).verdict for name, one in VENDORS["aliyun"].operations.items()}
    assert verdicts == {"start_record_task": "done", "update_record_task": "give_up", "stop_record_task": "give_up"}


@pytest.mark.parametrize(("code", "said"), [(5, "5"), (404, "404"), (True, "True"), ({"a": 1}, "Code"), ("Odd", "Odd")])
@pytest.mark.parametrize("name", ["Code", "code"])
def test_a_code_of_alibabas_is_an_error_in_whatever_form_it_comes(code: object, said: str, name: str) -> None:
    for operation in VENDORS["aliyun"].operations.values():
        found = operation.outcome(response(200, {"RequestId": "r", name: code, "message": "why"}))
        assert (found.verdict, found.code, found.detail) == ("give_up", said, "why")


@pytest.mark.parametrize("body", [{"Code": ""}, {"Code": None}, {"code": "OK"}, {"Code": 200}, {"Code": "0"}])
def test_a_code_of_alibabas_that_says_nothing_or_ok_is_no_error(body: dict[str, Any]) -> None:
    for operation in VENDORS["aliyun"].operations.values():
        assert operation.outcome(response(200, {"RequestId": "r", **body})).verdict == "done"
        assert operation.outcome(response(500, {"RequestId": "r", **body})).verdict == "again"


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ({}, "done"),
        ({"error_code": ""}, "done"),
        ({"error_code": None, "state": "RUNNING"}, "done"),
        ({"error_code": 5}, "give_up"),
        ({"error_code": {}}, "give_up"),
        ([], "again"),
        ("", "again"),
    ],
)
def test_what_huawei_answers_with_200_is_done_unless_it_is_an_error_or_no_object(body: object, verdict: str) -> None:
    assert OPERATIONS["huawei.update_individual_stream_job"].outcome(response(200, body)).verdict == verdict


@pytest.mark.parametrize(
    ("vendor", "code", "status", "verdict"),
    [
        ("aliyun", "InvalidSecurityToken.Expired", 400, "again"),
        ("aliyun", "InvalidSecurityToken.MismatchWithAccessKey", 400, "give_up"),
        ("aliyun", "InvalidAccessKeyId.NotFound", 404, "give_up"),
        ("volcengine", "InvalidAccessKey", 401, "give_up"),
        ("volcengine", "SignatureDoesNotMatch", 401, "give_up"),
        ("volcengine", "NeverHeardOf", 401, "give_up"),
        ("huawei", "APIGW.0301", 401, "give_up"),
        ("huawei", "NeverHeardOf", 401, "give_up"),
    ],
)
def test_a_key_that_is_refused_is_told_from_other_refusals(vendor: str, code: str, status: int, verdict: str) -> None:
    found = coded(vendor, code, status)
    assert (found.verdict, found.is_key_refused) == (verdict, True)
    assert not coded(vendor, "Other", 400).is_key_refused


@each_vendor
@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"retry-after": "5"}, 5000),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "99999999999"}, 86_400_000),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT"}, None),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 60_000),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT", "date": "Thu, 01 Jan 2026 00:02:00 GMT"}, 0),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT", "date": "Thu, 01 Jan 2026 00:02:00"}, None),
        ({}, None),
    ],
)
def test_what_the_other_side_wants_to_be_waited_is_told(
    vendor: str, headers: dict[str, str], after: int | None
) -> None:
    operation = next(iter(VENDORS[vendor].operations.values()))
    assert operation.outcome(response(429, "", headers)).after_ms == after


ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=30)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = ["ResponseMetadata", "Error", "Code", "Message", "RequestId", "Result", "error_code", "error_msg", "job_id"]
SHAPED = st.recursive(
    ANY_JSON, lambda inner: st.dictionaries(st.sampled_from([*NAMES, "request_id"]), inner, max_size=4), max_leaves=8
)
ANY_HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "date", "x-request-id", "x-acs-request-id"]) | ANY_TEXT, ANY_TEXT, max_size=3
)


def assert_an_outcome(answer: Response) -> None:
    for name, operation in OPERATIONS.items():
        found = operation.outcome(answer)
        assert found.verdict in {"done", "again", "give_up"}, name
        for text in (found.code, found.detail, found.request_id):
            assert text is None or (len(text) <= 4096 and "\0" not in text)
            assert text is None or text.encode().decode() == text, "half a character can't be kept"
        assert found.after_ms is None or 0 <= found.after_ms <= 86_400_000
        assert found.verdict != "done" or answer.status == 200 or found.code == "TaskExisted"


@given(status=st.integers(100, 999), headers=ANY_HEADERS, body=st.binary(max_size=200))
def test_any_bytes_under_any_status_have_an_outcome(status: int, headers: dict[str, str], body: bytes) -> None:
    assert_an_outcome(Response(status=status, headers=headers, body=body))


@given(status=st.sampled_from([200, 400, 404, 429, 500]) | st.integers(100, 999), headers=ANY_HEADERS, body=SHAPED)
def test_any_json_under_any_status_has_an_outcome(status: int, headers: dict[str, str], body: Any) -> None:
    assert_an_outcome(response(status, json.dumps(body), headers))


@given(body=st.from_regex(r"(<\?xml[^>]*\?>)?<(Error|AResponse)>(<(Code|RequestId|Message)>.*</(Code|RequestId)>)*.*"))
def test_anything_like_xml_has_an_outcome(body: str) -> None:
    assert_an_outcome(response(200, body.encode("utf-8", "replace")))


HURTFUL = [
    b"[" * 100_000,
    b"1" * 5000,
    b'{"a":' * 50_000,
    b"\xff\xfe{",
    b'{"Code":' + b"9" * 5000,
    b" " * 300_000 + b"x",
    b"<Error>" * 50_000,
    b"<?xml?>" + b" " * 300_000 + b"<Error>",
    b"<Error>" + b"<Code>" * 50_000 + b"</Error>",
]


@pytest.mark.parametrize("body", HURTFUL, ids=range(len(HURTFUL)))
def test_an_answer_that_is_made_to_hurt_is_tried_again(body: bytes) -> None:
    for operation in OPERATIONS.values():
        assert operation.outcome(response(200, body)).verdict == "again"


@given(values=st.dictionaries(st.sampled_from(["AppId", "RoomId", "TaskId", "Duration"]) | ANY_TEXT, ANY_JSON))
def test_any_parameters_are_complete_or_refused_with_a_reason(values: dict[str, Any]) -> None:
    for operation in OPERATIONS.values():
        problems = find_problems(operation.parameters, values)
        if not problems:
            assert complete(operation.parameters, values).keys() <= values.keys()
            continue
        with pytest.raises(WrongRequest) as refused:
            complete(operation.parameters, values)
        assert refused.value.wrong
        assert all(problem.reason and problem.name for problem in problems)
