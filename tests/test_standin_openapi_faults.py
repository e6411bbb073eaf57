"""The faults of the stand-ins: each does to the call and to its answer what it says, and then is over."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from standin_callers import aliyun, huawei, plain, send, volcengine, volcengine_request

from standin.openapi import KINDS, Fault, OpenApiStandin
from standin.openapi.faults import Faults, read_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

IDS = {"AppId": "a", "RoomId": "r", "TaskId": "t"}


@pytest.fixture
def api() -> Iterator[OpenApiStandin]:
    with OpenApiStandin(vendor="volcengine", credentials={"AK": "SK"}) as standing:
        standing.tasks.add(type="segment", app_id="a", room_id="r", task_id="t")
        yield standing


def update(api: OpenApiStandin, **values: Any) -> Any:
    return volcengine(api, "UpdateSegment", {**IDS, "Duration": 30, **values})


def worked(api: OpenApiStandin) -> bool:
    task = api.tasks.get(type="segment", app_id="a", room_id="r", task_id="t")
    assert api.calls[-1].worked == bool(task.updates)
    return bool(task.updates)


def test_a_delay_takes_its_time_and_then_answers(api: OpenApiStandin) -> None:
    api.faults.add("delay", seconds=0.3)
    assert update(api).json["Result"] == "ok"
    call = api.calls[-1]
    assert call.answered is not None
    assert call.answered - call.arrived >= 0.3
    assert worked(api)


def test_a_delay_is_up_to_five_minutes() -> None:
    assert Fault(kind="delay", seconds=300).seconds == 300
    with pytest.raises(ValueError, match="0 to 300"):
        Fault(kind="delay", seconds=301)


def test_a_hanging_call_is_never_answered_and_does_nothing(api: OpenApiStandin) -> None:
    api.faults.add("hang")
    with pytest.raises(TimeoutError):
        send(api, volcengine_request(api, "UpdateSegment", IDS), timeout=0.5)
    assert not worked(api)
    assert api.calls[-1].answer is None
    assert update(api).json["Result"] == "ok", "the task is not held by a call that hangs"


def test_closing_ends_what_hangs_or_is_delayed() -> None:
    ended = threading.Event()

    def wait(api: OpenApiStandin) -> None:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            update(api)
        ended.set()

    with OpenApiStandin(vendor="volcengine", credentials={"AK": "SK"}) as api:
        api.faults.add("hang")
        thread = threading.Thread(target=wait, args=(api,))
        thread.start()
        while not api.calls:
            time.sleep(0.005)
    thread.join()
    assert ended.is_set()


def test_a_connection_cut_before_the_work_leaves_nothing_done(api: OpenApiStandin) -> None:
    api.faults.add("cut-before")
    with pytest.raises(http.client.RemoteDisconnected):
        update(api)
    assert not worked(api)


def test_a_connection_cut_after_the_work_leaves_it_done(api: OpenApiStandin) -> None:
    api.faults.add("cut-after")
    with pytest.raises(http.client.RemoteDisconnected):
        update(api)
    assert worked(api)
    assert api.calls[-1].answer is None


def test_a_proxys_page_is_502_and_no_json(api: OpenApiStandin) -> None:
    api.faults.add("html-502")
    reply = update(api)
    assert (reply.status, reply.headers["Content-Type"]) == (502, "text/html")
    assert reply.text.startswith("<html>")
    assert not worked(api)


def test_nothing_is_http_200_without_a_body(api: OpenApiStandin) -> None:
    api.faults.add("nothing")
    reply = update(api)
    assert (reply.status, reply.text) == (200, "")
    assert worked(api)


def test_half_an_answer_ends_in_the_middle(api: OpenApiStandin) -> None:
    api.faults.add("half")
    with pytest.raises(http.client.IncompleteRead) as ended:
        update(api)
    assert ended.value.partial
    assert ended.value.expected
    assert worked(api)


def test_an_error_under_http_200_is_the_vendors_own_form(api: OpenApiStandin) -> None:
    api.faults.add("error", code="InternalError.LockContention")
    reply = update(api)
    assert reply.status == 200
    assert reply.json["ResponseMetadata"]["Error"]["Code"] == "InternalError.LockContention"
    assert not worked(api)


def test_an_error_can_come_although_the_work_is_done(api: OpenApiStandin) -> None:
    api.faults.add("5xx", worked=True)
    assert update(api).status == 500
    assert worked(api)


def test_http_429_lasts_for_a_while(api: OpenApiStandin) -> None:
    api.faults.add("429", lasts=60)
    assert [update(api).status for _ in range(3)] == [429, 429, 429]
    api.faults.clear()
    assert update(api).status == 200


def test_what_lasts_is_over_when_its_time_is() -> None:
    now = [100.0]
    faults = Faults(clock=lambda: now[0])
    fault = faults.add("429", lasts=5)
    assert faults.take("UpdateSegment", "t") is fault
    now[0] = 104.9
    assert faults.take("UpdateSegment", "t") is fault
    now[0] = 105.0
    assert faults.take("UpdateSegment", "t") is None
    assert not faults.all()


@pytest.mark.parametrize(("status", "expected"), [(None, 500), (503, 503), (504, 504)])
def test_the_vendors_own_failure_has_its_status(api: OpenApiStandin, status: int | None, expected: int) -> None:
    api.faults.add("5xx", status=status)
    reply = update(api)
    assert reply.status == expected
    assert reply.json["ResponseMetadata"]["Error"]["Code"] == "InternalError.UnknownInternalError"


def test_a_trickle_comes_whole_in_the_end(api: OpenApiStandin) -> None:
    api.faults.add("trickle", seconds=0.3)
    begun = time.monotonic()
    assert update(api).json["Result"] == "ok"
    assert time.monotonic() - begun >= 0.3
    assert worked(api)


def test_each_vendor_has_its_own_words_for_too_many_calls(api: OpenApiStandin) -> None:
    api.faults.add("throttled")
    reply = update(api)
    assert (reply.status, reply.json["ResponseMetadata"]["Error"]["Code"]) == (200, "FlowLimitExceeded.QPSOverLimit")
    with OpenApiStandin(vendor="aliyun", credentials={"AK": "SK"}) as alibaba:
        alibaba.faults.add("throttled")
        answer = aliyun(alibaba, "StartRecordTask")
        assert (answer.status, answer.json["Code"]) == (400, "Throttling.User")
        assert not alibaba.tasks.all()
    with OpenApiStandin(vendor="huawei", credentials={"AK": "SK"}) as other:
        other.faults.add("throttled")
        answer = huawei(other, "GET", "/v2/apps/a/individual-stream-jobs/j")
        assert (answer.status, answer.json["error_code"]) == (429, "APIGW.0308")


def test_each_vendor_has_its_own_words_for_its_failure() -> None:
    with OpenApiStandin(vendor="aliyun", credentials={"AK": "SK"}) as api:
        api.faults.add("5xx")
        assert (aliyun(api, "StartRecordTask").status, api.calls[-1].code) == (500, "InternalError")
    with OpenApiStandin(vendor="huawei", credentials={"AK": "SK"}) as api:
        api.faults.add("5xx")
        assert huawei(api, "GET", "/v2/apps/a/individual-stream-jobs/j").json["error_code"] == "RTC.00002001"


def test_a_delay_meets_a_call_that_is_refused_all_the_same(api: OpenApiStandin) -> None:
    api.faults.add("cut-after")
    with pytest.raises(http.client.RemoteDisconnected):
        update(api, TaskId="other")
    assert not api.calls[-1].worked


# --- which call a fault meets -----------------------------------------------------------------------------------------


def test_a_fault_meets_so_many_calls_and_is_over(api: OpenApiStandin) -> None:
    api.faults.add("429", times=2, skip=1)
    assert [update(api).status for _ in range(5)] == [200, 429, 429, 200, 200]
    assert [call.fault for call in api.calls] == [None, "429", "429", None, None]


def test_a_fault_without_end_meets_every_call(api: OpenApiStandin) -> None:
    api.faults.add("429", times=None)
    assert {update(api).status for _ in range(5)} == {429}


def test_a_fault_meets_only_its_action_and_its_task(api: OpenApiStandin) -> None:
    api.faults.add("429", action="StopSegment", times=None)
    api.faults.add("5xx", task_id="other", times=None)
    assert update(api).status == 200
    assert update(api, TaskId="other").status == 500
    assert volcengine(api, "StopSegment", IDS).status == 429


def test_the_fault_that_was_added_first_is_met_first(api: OpenApiStandin) -> None:
    api.faults.add("429")
    api.faults.add(Fault(kind="5xx"))
    assert [update(api).status for _ in range(3)] == [429, 500, 200]


def test_an_unknown_fault_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="delay, hang, cut-before"):
        Fault(kind="explode")
    with pytest.raises(ValueError, match="1 or more"):
        Fault(kind="hang", times=0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_can_be_written_on_the_command_line(kind: str) -> None:
    assert read_fault(kind) == Fault(kind=kind)


def test_a_faults_fields_can_be_written_on_the_command_line() -> None:
    text = "error:action=UpdateSegment,task_id=t,times=none,skip=2,lasts=1.5,seconds=3,status=503,code=X.Y,worked=true"
    assert read_fault(text) == Fault(
        kind="error",
        action="UpdateSegment",
        task_id="t",
        times=None,
        skip=2,
        lasts=1.5,
        seconds=3,
        status=503,
        code="X.Y",
        worked=True,
    )


@pytest.mark.parametrize("text", ["explode", "delay:secs=3", "delay:seconds", "delay:seconds=x", "5xx:worked=yes"])
def test_a_fault_that_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_fault(text)


# --- connections, and what can be seen and set over HTTP --------------------------------------------------------------


def test_a_connection_is_kept_for_the_next_call(api: OpenApiStandin) -> None:
    connection = http.client.HTTPConnection(api.host, timeout=20)
    for _ in range(2):
        request = volcengine_request(api, "UpdateSegment", IDS)
        connection.request("POST", f"/?{request.query}", request.body, dict(request.headers))
        assert json.loads(connection.getresponse().read())["Result"] == "ok"
    connection.close()
    update(api)
    assert [call.connection for call in api.calls] == [1, 1, 2]


def test_a_body_without_a_right_length_is_refused(api: OpenApiStandin) -> None:
    for name, value in (("Transfer-Encoding", "chunked"), ("Content-Length", "-1"), ("Content-Length", "9999999")):
        connection = http.client.HTTPConnection(api.host, timeout=20)
        connection.putrequest("POST", "/")
        connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == 413
        connection.close()
    assert not api.calls


def test_faults_are_added_seen_and_cleared_over_http(api: OpenApiStandin) -> None:
    reply = plain(api, "POST", "/-/faults", {"kind": "5xx", "times": 2})
    assert (reply.status, reply.json["kind"]) == (201, "5xx")
    assert [fault["kind"] for fault in plain(api, "GET", "/-/faults").json["faults"]] == ["5xx"]
    assert update(api).status == 500
    plain(api, "DELETE", "/-/faults")
    assert update(api).status == 200


def test_tasks_are_added_and_seen_over_http(api: OpenApiStandin) -> None:
    values = {"type": "segment", "app_id": "b", "room_id": "r", "task_id": "t", "Duration": 60}
    assert plain(api, "POST", "/-/tasks", values).status == 201
    shown = plain(api, "GET", "/-/tasks").json["tasks"]
    assert [task["settings"]["Duration"] for task in shown] == [20, 60]
    assert update(api, AppId="b").json["Result"] == "ok"


def test_calls_are_seen_and_forgotten_over_http(api: OpenApiStandin) -> None:
    update(api)
    (call,) = plain(api, "GET", "/-/calls").json["calls"]
    assert (call["action"], call["task"]["task_id"], call["status"]) == ("UpdateSegment", "t", 200)
    assert call["applied"]["Duration"] == 30
    plain(api, "DELETE", "/-/calls")
    assert plain(api, "GET", "/-/calls").json["calls"] == []


@pytest.mark.parametrize(
    ("method", "path", "values", "status"),
    [
        ("POST", "/-/faults", {"kind": "explode"}, 400),
        ("POST", "/-/faults", {"kind": "hang", "when": "now"}, 400),
        ("POST", "/-/faults", [], 400),
        ("POST", "/-/tasks", {"app_id": "a"}, 400),
        ("POST", "/-/tasks", {"app_id": "a", "task_id": "t", "type": "mix"}, 400),
        ("POST", "/-/calls", {}, 404),
        ("DELETE", "/-/tasks", None, 404),
        ("GET", "/-/secrets", None, 404),
    ],
)
def test_what_can_not_be_set_is_refused(
    api: OpenApiStandin, method: str, path: str, values: object, status: int
) -> None:
    assert plain(api, method, path, values).status == status


def test_an_unknown_vendor_is_no_stand_in() -> None:
    with pytest.raises(ValueError, match="volcengine, aliyun, huawei"):
        OpenApiStandin(vendor="agora", credentials={})


def test_a_stand_in_that_does_not_listen_has_no_endpoint() -> None:
    api = OpenApiStandin(vendor="huawei", credentials={})
    with pytest.raises(RuntimeError, match="start"):
        _ = api.endpoint
    api.close()
