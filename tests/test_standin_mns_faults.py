"""What the MNS stand-in does wrong on purpose, as the vendor's own client feels it."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from mns.mns_exception import MNSClientNetworkException
from mns.queue import Message
from mns_client import KEYS, HandClock, client, refusal

from standin.mns import KINDS, Fault, Faults, MnsStandin

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def mns() -> Iterator[MnsStandin]:
    clock = HandClock(time.time_ns() // 1_000_000)
    with MnsStandin(access_keys=KEYS, clock=clock, seed=1) as standin:
        standin.create_queue("recordings", visibility_timeout=30)
        yield standin


@pytest.fixture
def queue(mns: MnsStandin) -> Iterator[Any]:
    with client(mns) as account:
        queue = account.get_queue("recordings")
        queue.set_encoding(False)
        yield queue


def damage(call: Any, *arguments: Any) -> MNSClientNetworkException:
    """Return the client's exception for an answer that it can't read, or for none."""
    with pytest.raises(MNSClientNetworkException) as caught:
        call(*arguments)
    return caught.value


def test_a_dropped_reply_to_a_send_makes_the_client_send_twice(queue: Any, mns: MnsStandin) -> None:
    mns.faults.add("drop_reply", operation="SendMessage")
    queue.send_message(Message("a"))
    assert [one.body for one in mns.messages("recordings")] == ["a", "a"]


def test_a_dropped_reply_to_a_receive_hides_its_messages(queue: Any, mns: MnsStandin) -> None:
    mns.send_all("recordings", ["a", "b"])
    mns.faults.add("drop_reply", operation="BatchReceiveMessage")
    assert refusal(queue.batch_receive_message, 16, 0).type == "MessageNotExist"
    assert [one.state for one in mns.messages("recordings")] == ["inactive", "inactive"]


def test_two_dropped_replies_reach_the_caller(queue: Any, mns: MnsStandin) -> None:
    mns.send("recordings", "a")
    mns.faults.add("drop_reply", times=2)
    assert refusal(queue.receive_message, 0).type == "MessageNotExist"  # the second reply was an empty one: not struck
    mns.faults.clear()
    mns.send_all("recordings", ["a", "b"])
    mns.faults.add("drop_reply", times=2)
    assert damage(queue.receive_message, 0).type == "NetWorkException"


def test_a_cut_connection_does_no_work(queue: Any, mns: MnsStandin) -> None:
    mns.faults.add("cut", times=2)
    assert damage(queue.send_message, Message("a")).type == "NetWorkException"
    assert mns.messages("recordings") == []
    queue.send_message(Message("a"))


def test_a_delay_passes_before_the_work(queue: Any, mns: MnsStandin) -> None:
    mns.faults.add("delay", seconds=0.4)
    started = time.monotonic()
    queue.send_message(Message("a"))
    assert time.monotonic() - started >= 0.4


def test_a_stall_lets_the_caller_run_into_its_timeout(queue: Any, mns: MnsStandin) -> None:
    mns.send("recordings", "a")
    mns.faults.add("stall", seconds=60)
    queue.mns_client.set_connection_timeout(0.3)
    assert "timed out" in damage(queue.receive_message, 0).message
    assert [one.state for one in mns.messages("recordings")] == ["inactive"]


def test_a_stalling_server_still_stops(mns: MnsStandin, queue: Any) -> None:
    mns.faults.add("stall", seconds=600)
    mns.faults.add("delay", seconds=600, after=1)
    queue.mns_client.set_connection_timeout(0.2)
    damage(queue.send_message, Message("a"))
    damage(queue.send_message, Message("b"))
    started = time.monotonic()
    mns.stop()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "error"}, "InternalError"),
        ({"kind": "error", "code": "AccessDenied"}, "AccessDenied"),
        ({"kind": "throttle"}, "QpsLimitExceeded"),
    ],
)
def test_an_error_comes_in_the_vendors_form(queue: Any, mns: MnsStandin, fault: Any, expected: str) -> None:
    mns.faults.add(**fault)
    assert refusal(queue.send_message, Message("a")).type == expected
    assert mns.messages("recordings") == []


def test_what_a_proxy_answers_is_no_xml(queue: Any, mns: MnsStandin) -> None:
    for kind in ("html_502", "empty_504"):
        mns.faults.add(kind)
        assert damage(queue.receive_message, 0).type == "RespDataDamaged"


def test_an_empty_answer_at_once_ignores_waitseconds(queue: Any, mns: MnsStandin) -> None:
    mns.send("recordings", "a")
    mns.faults.add("empty_at_once", operation="ReceiveMessage")
    started = time.monotonic()
    assert refusal(queue.receive_message, 30).type == "MessageNotExist"
    assert time.monotonic() - started < 20
    assert queue.receive_message(30).message_body == "a"


def test_a_short_batch_leaves_messages_behind(queue: Any, mns: MnsStandin) -> None:
    mns.send_all("recordings", ["a", "b", "c"])
    mns.faults.add("short_batch", count=2)
    assert len(queue.batch_receive_message(16, 0)) == 2
    assert len(queue.batch_receive_message(16, 0)) == 1


def test_a_corrupt_body_does_not_fit_its_md5(queue: Any, mns: MnsStandin) -> None:
    mns.faults.add("corrupt_body")
    assert refusal(queue.receive_message, 0).type == "MessageNotExist"  # an empty reply does not use the fault up
    mns.send("recordings", '{"a":1}')
    received = queue.receive_message(0)
    digest = hashlib.md5(received.message_body.encode(), usedforsecurity=False).hexdigest().upper()
    assert digest != received.message_body_md5
    assert [one.body for one in mns.messages("recordings")] == ['{"a":1}']


def test_a_duplicate_comes_once_more_under_its_own_handle(queue: Any, mns: MnsStandin) -> None:
    sent = mns.send("recordings", "a")
    mns.faults.add("duplicate")
    first, second = queue.receive_message(0), queue.receive_message(0)
    assert (first.message_id, second.message_id) == (sent, sent)
    assert first.receipt_handle != second.receipt_handle
    queue.delete_message(first.receipt_handle)
    queue.delete_message(second.receipt_handle)
    assert mns.messages("recordings") == []


def test_a_partial_delete_spares_messages_and_says_which(queue: Any, mns: MnsStandin) -> None:
    mns.send_all("recordings", ["a", "b", "c"])
    handles = [one.receipt_handle for one in queue.batch_receive_message(16, 0)]
    mns.faults.add("partial_delete", count=2)
    error = refusal(queue.batch_delete_message, handles)
    assert [one["ReceiptHandle"] for one in error.sub_errors] == handles[:2]
    assert [one.body for one in mns.messages("recordings")] == ["a", "b"]


def test_headers_in_another_case_trip_the_client(queue: Any, mns: MnsStandin) -> None:
    mns.faults.add("header_case", case="upper", times=None)
    with pytest.raises(KeyError, match="x-mns-request-id"):
        queue.batch_delete_message(["nonsense"])


def test_a_partial_send_takes_the_rest(queue: Any, mns: MnsStandin) -> None:
    mns.faults.add("partial_send")
    error = refusal(queue.batch_send_message, [Message("a"), Message("b")])
    assert (error.type, len(error.sub_errors)) == ("InternalError", 2)
    assert [one.body for one in mns.messages("recordings")] == ["b"]


def test_a_broken_reply_ends_in_the_middle(queue: Any, mns: MnsStandin) -> None:
    mns.send("recordings", "a")
    mns.faults.add("broken_reply")
    assert "IncompleteRead" in damage(queue.receive_message, 0).message


def test_a_fault_strikes_its_operation_on_its_queue_only(mns: MnsStandin, queue: Any) -> None:
    mns.faults.add("throttle", operation="SendMessage", queue="another")
    queue.send_message(Message("a"))
    mns.faults.add("throttle", operation="SendMessage", queue="recordings", after=1, times=2)
    queue.send_message(Message("b"))
    assert [refusal(queue.send_message, Message("c")).type for _ in range(2)] == ["QpsLimitExceeded"] * 2
    queue.send_message(Message("d"))
    assert [one["struck"] for one in mns.faults.armed()] == [0, 2]


def test_a_share_is_the_same_for_the_same_seed() -> None:
    def strikes(seed: int) -> list[bool]:
        faults = Faults(seed=seed)
        faults.add("cut", share=0.3, times=None)
        return [faults.strike("cut", "SendMessage", "q") is not None for _ in range(1000)]

    assert strikes(7) == strikes(7) != strikes(8)
    assert 200 < sum(strikes(7)) < 400


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"kind": "nope"}, "known are"),
        ({"kind": "cut", "time": 1}, "time: not known"),
        ({"kind": "cut", "times": 0}, "times is 0"),
        ({"kind": "cut", "times": "often"}, "expected a number"),
        ({"kind": "cut", "share": 2}, "share is 2"),
        ({"kind": "delay", "seconds": -1}, "seconds is -1"),
        ({"kind": "error", "code": "Nope"}, "code 'Nope'"),
        ({"kind": "header_case", "case": "odd"}, "case is 'odd'"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(fault: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Faults().add(**fault)


def test_every_kind_can_be_armed_whole() -> None:
    faults = Faults()
    for kind in KINDS:
        faults.add(Fault(kind=kind))
    assert [one["kind"] for one in faults.armed()] == list(KINDS)


# --- over HTTP --------------------------------------------------------------------------------------------------------
def control(mns: MnsStandin, method: str, path: str, body: str = "", kind: str = "application/json") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(mns.endpoint.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body.encode(), {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_faults_are_armed_shown_and_cleared_over_http(mns: MnsStandin, queue: Any) -> None:
    status, armed = control(mns, "POST", "/-/faults", '{"kind": "throttle", "times": null}')
    assert (status, armed["kind"], armed["times"]) == (201, "throttle", None)
    assert refusal(queue.receive_message, 0).type == "QpsLimitExceeded"
    assert control(mns, "GET", "/-/faults")[1]["faults"][0]["struck"] == 1
    assert control(mns, "DELETE", "/-/faults") == (200, {"faults": []})
    assert refusal(queue.receive_message, 0).type == "MessageNotExist"


def test_messages_are_put_in_and_looked_at_over_http(mns: MnsStandin) -> None:
    assert control(mns, "POST", "/-/messages?queue=recordings", '{"课": 1}')[0] == 201
    lines = '{"n": 1}\n{"n": 2}\n'
    assert control(mns, "POST", "/-/messages?queue=recordings", lines, "application/x-ndjson")[0] == 201
    _, answer = control(mns, "GET", "/-/messages?queue=recordings")
    assert [one["body"] for one in answer["messages"]] == ['{"课": 1}', '{"n": 1}', '{"n": 2}']
    assert control(mns, "GET", "/-/counters")[1]["queues"]["recordings"]["sent"] == 3


def test_control_requests_that_make_no_sense_say_why(mns: MnsStandin) -> None:
    for method, path, body, status, problem in (
        ("POST", "/-/faults", "[]", 400, "expected a JSON object"),
        ("POST", "/-/faults", "{", 400, "Expecting"),
        ("POST", "/-/faults", '{"kind": "nope"}', 400, "known are"),
        ("GET", "/-/messages", "", 400, "queue=<name>"),
        ("GET", "/-/messages?queue=gone", "", 400, "QueueNotExist"),
        ("POST", "/-/messages?queue=recordings", "\x00", 400, "XML can't carry"),
        ("GET", "/-/nothing", "", 404, "known are"),
    ):
        got, answer = control(mns, method, path, body)
        assert (got, problem in answer["error"]) == (status, True), answer
