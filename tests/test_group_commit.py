"""Group commit: requests that wait at the same time share a flush, and each gets its own result."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.keeping.group_commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _Refused(Exception):
    """What a flush has against one item."""


def _together(work: Sequence[Callable[[], object]]) -> list[object]:
    """Run each in a thread of its own; return what each returned or raised."""

    def caught(one: Callable[[], object]) -> object:
        try:
            return one()
        except Exception as exc:  # noqa: BLE001 - the test looks at it
            return exc

    with ThreadPoolExecutor(len(work)) as threads:
        return list(threads.map(caught, work, timeout=60))


def test_a_lone_item_is_flushed_at_once_by_the_thread_that_brings_it() -> None:
    flushed: list[tuple[int, list[int]]] = []

    def flush(items: Sequence[int]) -> list[int]:
        flushed.append((threading.get_ident(), list(items)))
        return [item * 2 for item in items]

    group = GroupCommit(flush, most=8)
    assert [group.submit(item) for item in range(5)] == [0, 2, 4, 6, 8]
    assert flushed == [(threading.get_ident(), [item]) for item in range(5)]


def test_items_that_come_during_a_flush_share_the_next_one() -> None:
    began, go = threading.Event(), threading.Event()
    groups: list[list[int]] = []

    def flush(items: Sequence[int]) -> list[int]:
        groups.append(list(items))
        began.set()
        assert go.wait(20)
        return [item * 2 for item in items]

    group = GroupCommit(flush, most=8)
    with ThreadPoolExecutor(21) as threads:
        first = threads.submit(group.submit, 0)
        assert began.wait(20)
        rest = [threads.submit(group.submit, item) for item in range(1, 21)]
        while len(group._waiting) < 20:
            time.sleep(0.001)
        go.set()
        assert first.result(20) == 0
        assert [future.result(20) for future in rest] == [item * 2 for item in range(1, 21)]
    assert [len(each) for each in groups] == [1, 8, 8, 4]


def test_each_item_gets_its_own_result_or_its_own_error() -> None:
    def flush(items: Sequence[int]) -> list[str | Exception]:
        time.sleep(0.002)
        return [_Refused(str(item)) if item % 3 == 0 else f"kept {item}" for item in items]

    group = GroupCommit(flush, most=16)
    got = _together([lambda item=item: group.submit(item) for item in range(60)])  # type: ignore[misc] # a default binds the loop variable
    for item, result in enumerate(got):
        if item % 3 == 0:
            assert isinstance(result, _Refused)
            assert str(result) == str(item)
        else:
            assert result == f"kept {item}"


def test_what_a_flush_raises_reaches_every_thread_that_waits_for_it_and_the_next_group_goes_on() -> None:
    began, go = threading.Event(), threading.Event()

    def flush(items: Sequence[int]) -> list[int]:
        if 0 in items:
            began.set()
            assert go.wait(20)
        elif any(item < 10 for item in items):
            raise _Refused("all of them")
        return list(items)

    group = GroupCommit(flush, most=9)
    with ThreadPoolExecutor(19) as threads:
        first = threads.submit(group.submit, 0)
        assert began.wait(20)
        failing = [threads.submit(group.submit, item) for item in range(1, 10)]
        while len(group._waiting) < 9:
            time.sleep(0.001)
        passing = [threads.submit(group.submit, item) for item in range(10, 19)]
        while len(group._waiting) < 18:
            time.sleep(0.001)
        go.set()
        assert first.result(20) == 0
        for future in failing:
            with pytest.raises(_Refused, match="all of them"):
                future.result(20)
        assert [future.result(20) for future in passing] == list(range(10, 19))


def test_a_flush_that_gives_too_few_results_leaves_nobody_waiting() -> None:
    began, go = threading.Event(), threading.Event()

    def flush(items: Sequence[int]) -> list[int]:
        began.set()
        assert go.wait(20)
        return list(items)[1:]

    group = GroupCommit(flush, most=8)
    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(group.submit, 0)]
        assert began.wait(20)
        futures += [threads.submit(group.submit, item) for item in range(1, 4)]
        while len(group._waiting) < 3:
            time.sleep(0.001)
        go.set()
        for future in futures:
            with pytest.raises(RuntimeError, match="results for"):
                future.result(20)


@settings(max_examples=60, deadline=None)
@given(
    clients=st.lists(
        st.lists(st.sampled_from(["kept", "refused"]), min_size=1, max_size=6),
        min_size=1,
        max_size=12,
    ),
    most=st.integers(1, 8),
    flushes=st.lists(st.sampled_from(["at once", "slow", "fails"]), max_size=12),
)
def test_whatever_the_interleaving_every_item_is_flushed_exactly_once_in_groups_within_the_bound(
    clients: list[list[str]], most: int, flushes: list[str]
) -> None:
    """Each client sends its items one after the other; each flush takes the next of the listed ways."""
    groups: list[list[tuple[int, int]]] = []
    failed: set[tuple[int, int]] = set()
    at_work = threading.Lock()

    def flush(items: Sequence[tuple[int, int]]) -> list[tuple[int, int] | Exception]:
        assert at_work.acquire(blocking=False), "two flushes at once"
        try:
            groups.append(list(items))
            way = flushes[len(groups) - 1] if len(groups) <= len(flushes) else "at once"
            if way == "slow":
                time.sleep(0.001)
            if way == "fails":
                failed.update(items)
                raise _Refused
            return [_Refused() if clients[client][turn] == "refused" else (client, turn) for client, turn in items]
        finally:
            at_work.release()

    group = GroupCommit(flush, most=most)

    def run(client: int) -> list[object]:
        got: list[object] = []
        for turn in range(len(clients[client])):
            try:
                got.append(group.submit((client, turn)))
            except _Refused as exc:
                got.append(exc)
        return got

    results = _together([lambda client=client: run(client) for client in range(len(clients))])  # type: ignore[misc] # a default binds the loop variable
    every = [(client, turn) for client, turns in enumerate(clients) for turn in range(len(turns))]
    flushed = [item for each in groups for item in each]
    assert sorted(flushed) == every
    assert all(1 <= len(each) <= most for each in groups)
    for client, turn in every:
        got = results[client][turn]  # type: ignore[index] # a list of lists
        wrong = (client, turn) in failed or clients[client][turn] == "refused"
        assert isinstance(got, _Refused) if wrong else got == (client, turn)
