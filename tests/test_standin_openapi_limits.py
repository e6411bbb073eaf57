"""Limits and lanes of the stand-ins: no second holds more calls than the limit, no call below it is refused."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standin_callers import aliyun, huawei, send, volcengine, volcengine_request

from standin.openapi import Credential, OpenApiStandin
from standin.openapi.limits import SECOND, Limiter, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IDS = {"AppId": "a", "RoomId": "r", "TaskId": "t"}

#: gaps between calls in nanoseconds, with many that lie just around a second or its parts
gaps = st.lists(
    st.one_of(
        st.integers(0, 3 * SECOND),
        st.sampled_from([0, 1, SECOND - 1, SECOND, SECOND + 1, SECOND // 2, SECOND // 2 + 1]),
    ),
    max_size=200,
)


def verdicts(limit: int, times: Sequence[int]) -> list[Verdict]:
    limiter = Limiter({"UpdateRecord": limit}, clock=iter(times).__next__)
    return [limiter.admit("account", "UpdateRecord") for _ in times]


def most_in_a_second(times: Sequence[int]) -> int:
    """Return the largest number of the times, which are in order, that lie within [t, t + 1 s) for any t."""
    return max((sum(start <= at < start + SECOND for at in times) for start in times), default=0)


@settings(deadline=None)
@given(limit=st.integers(1, 8), waits=gaps)
def test_no_second_holds_more_calls_than_the_limit(limit: int, waits: list[int]) -> None:
    found = verdicts(limit, list(itertools.accumulate(waits)))
    assert most_in_a_second([verdict.at for verdict in found if verdict.within]) <= limit


@settings(deadline=None)
@given(limit=st.integers(1, 8), waits=gaps)
def test_no_call_below_the_limit_is_refused(limit: int, waits: list[int]) -> None:
    let_in: list[int] = []
    for verdict in verdicts(limit, list(itertools.accumulate(waits))):
        if verdict.within:
            let_in.append(verdict.at)
        else:
            assert sum(verdict.at - SECOND < at <= verdict.at for at in let_in) == limit


def test_the_window_slides_and_does_not_begin_anew_with_each_second() -> None:
    half = SECOND // 2
    found = verdicts(2, [half, half + 1, SECOND, SECOND + half - 1, SECOND + half, SECOND + half + 1])
    assert [verdict.within for verdict in found] == [True, True, False, False, True, True]


def test_accounts_and_actions_are_counted_apart() -> None:
    limiter = Limiter({"UpdateRecord": 1, "UpdateSegment": 1}, clock=lambda: 0)
    assert limiter.admit("one", "UpdateRecord").within
    assert limiter.admit("one", "UpdateSegment").within
    assert limiter.admit("two", "UpdateRecord").within
    assert not limiter.admit("one", "UpdateRecord").within
    assert all(limiter.admit("one", "StopRecord").within for _ in range(1000)), "no limit, never over it"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_no_limit(limit: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        OpenApiStandin(vendor="volcengine", credentials={}, limits={"UpdateRecord": limit})


def test_the_documented_limits_stand_unless_told_otherwise() -> None:
    api = OpenApiStandin(vendor="volcengine", credentials={}, limits={"UpdateRecord": 10, "StartRecord": None})
    assert api.limits["UpdateRecord"] == 10
    assert "StartRecord" not in api.limits
    documented = OpenApiStandin(vendor="volcengine", credentials={}).limits
    assert (documented["UpdateRecord"], documented["UpdateSegment"]) == (60, 150)
    assert documented["UpdatePushMixedStreamToCDN"] == 150


@pytest.fixture
def api() -> Iterator[OpenApiStandin]:
    """Stand in with a clock that doesn't move, so that all calls fall into one second."""
    limits = {"UpdateSegment": 20, "UpdateRecord": 1}
    same = Credential(secret="SK", account="main")
    with OpenApiStandin(
        vendor="volcengine", credentials={"AK": same, "AK2": same}, limits=limits, clock=lambda: 1
    ) as standing:
        for type_ in ("segment", "record"):
            standing.tasks.add(type=type_, app_id="a", room_id="r", task_id="t")
        yield standing


def together(number: int, work: Any) -> None:
    threads = [threading.Thread(target=work, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_eight_threads_never_get_more_through_than_the_limit() -> None:
    with OpenApiStandin(vendor="volcengine", credentials={"AK": "SK"}, limits={"UpdateSegment": 10}) as api:
        hammer_for_a_while(api)
        counted = sorted((call.counted_at, call.number, call) for call in api.calls if call.counted_at)
    let_in = [at for at, _, call in counted if call.within_limit]
    assert most_in_a_second(let_in) == 10
    for at, _, call in counted:
        assert call.code == (None if call.within_limit else "FlowLimitExceeded.QPSOverLimit")
        if not call.within_limit:
            assert sum(at - SECOND < other <= at for other in let_in) == 10


def hammer_for_a_while(api: OpenApiStandin) -> None:
    until = time.monotonic() + 2.2

    def hammer(number: int) -> None:
        task = {**IDS, "TaskId": f"t{number}"}
        while time.monotonic() < until:
            volcengine(api, "UpdateSegment", task)

    for number in range(8):
        api.tasks.add(type="segment", app_id="a", room_id="r", task_id=f"t{number}")
    together(8, hammer)


def test_a_refusal_for_the_limit_comes_with_http_200_at_volcengine(api: OpenApiStandin) -> None:
    replies = [volcengine(api, "UpdateRecord", IDS) for _ in range(3)]
    assert ["Error" in reply.json["ResponseMetadata"] for reply in replies] == [False, True, True]
    assert {reply.status for reply in replies} == {200}
    assert api.calls[-1].worked is False


def test_keys_of_one_account_share_its_limit(api: OpenApiStandin) -> None:
    other = volcengine_request(api, "UpdateRecord", IDS)
    headers = tuple((name, value.replace("=AK/", "=AK2/")) for name, value in other.headers)
    send(api, type(other)(method="POST", path="/", query=other.query, headers=headers, body=other.body))
    assert api.calls[-1].account == "main"
    volcengine(api, "UpdateRecord", IDS)
    assert [call.within_limit for call in api.calls] == [True, False]


def test_what_is_not_authentic_counts_for_no_limit(api: OpenApiStandin) -> None:
    for _ in range(3):
        assert send(api, volcengine_request(api, "UpdateRecord", IDS, secret="wrong")).status == 401
    assert {call.within_limit for call in api.calls} == {None}
    assert volcengine(api, "UpdateRecord", IDS).json["Result"] == "ok"


def test_alibaba_refuses_what_is_over_a_limit_with_http_400() -> None:
    with OpenApiStandin(vendor="aliyun", credentials={"AK": "SK"}, limits={"StartRecordTask": 1}, clock=int) as api:
        replies = [aliyun(api, "StartRecordTask", TaskId=f"t{number}") for number in range(3)]
        codes = [(reply.status, reply.json.get("Code")) for reply in replies]
        assert codes == [(200, None), (400, "Throttling.User"), (400, "Throttling.User")]


def test_huawei_refuses_what_is_over_a_limit_with_http_429() -> None:
    with OpenApiStandin(
        vendor="huawei", credentials={"AK": "SK"}, limits={"ShowIndividualStreamJob": 1}, clock=int
    ) as api:
        api.tasks.add(app_id="a", task_id="j")
        replies = [huawei(api, "GET", "/v2/apps/a/individual-stream-jobs/j") for _ in range(2)]
        codes = [(reply.status, reply.json.get("error_code")) for reply in replies]
        assert codes == [(200, None), (429, "APIGW.0308")]


# --- one call of a task at a time -------------------------------------------------------------------------------------


def while_one_is_at_work(api: OpenApiStandin, first: Any, then: Any) -> Any:
    """Run `then` while `first` is at work, held up by a delay."""
    thread = threading.Thread(target=first)
    thread.start()
    while not api.calls or api.calls[0].overlap is None:
        time.sleep(0.005)
    found = then()
    thread.join()
    return found


def test_two_calls_of_one_task_at_a_time_are_parallel_at_volcengine(api: OpenApiStandin) -> None:
    api.faults.add("delay", seconds=2)
    reply = while_one_is_at_work(
        api, lambda: volcengine(api, "UpdateSegment", IDS), lambda: volcengine(api, "UpdateSegment", IDS)
    )
    assert reply.status == 200
    assert reply.json["ResponseMetadata"]["Error"]["Code"] == "InternalError.Parallel"
    assert [(call.overlap, call.worked) for call in api.calls] == [(False, True), (True, False)]


def test_calls_of_two_tasks_at_a_time_are_not_parallel(api: OpenApiStandin) -> None:
    api.tasks.add(type="segment", app_id="a", room_id="r2", task_id="t")
    api.faults.add("delay", seconds=2)
    reply = while_one_is_at_work(
        api,
        lambda: volcengine(api, "UpdateSegment", IDS),
        lambda: volcengine(api, "UpdateSegment", {**IDS, "RoomId": "r2"}),
    )
    assert reply.json["Result"] == "ok"
    assert not any(call.overlap for call in api.calls)


def test_two_calls_of_one_task_at_a_time_are_only_written_down_at_alibaba() -> None:
    with OpenApiStandin(vendor="aliyun", credentials={"AK": "SK"}) as api:
        api.tasks.add(app_id="a", room_id="c", task_id="t")
        api.faults.add("delay", seconds=2)
        reply = while_one_is_at_work(
            api, lambda: aliyun(api, "UpdateRecordTask"), lambda: aliyun(api, "UpdateRecordTask")
        )
        assert reply.status == 200
        assert [call.overlap for call in api.calls] == [False, True]


def test_a_task_is_free_again_once_its_answer_is_there(api: OpenApiStandin) -> None:
    for _ in range(15):
        assert volcengine(api, "UpdateSegment", IDS).json["Result"] == "ok"
