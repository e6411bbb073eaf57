"""The poller as a process and in its parts: how it rests, what it runs, how it ends, what doctor and figures say."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from callbacks import file_created
from program import request, running, wait_until
from pulling import ACCESS_KEY, SECRET_KEY, Pulled, environ_of, mns_queue, sqs_queue

from handlers.queues import Message, MessageQueue, connect
from handlers.queues.holding import Holding
from handlers.settings import Queue, Secret
from standin.mns import MnsStandin
from webhook.polling_rests import EmptyPolls, Rests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: seconds for which the queue hides what was received; half of it is what a busy machine may be late
HIDDEN = 6


@pytest.fixture
def mns() -> Iterator[MnsStandin]:
    with MnsStandin(access_keys={ACCESS_KEY: SECRET_KEY}) as running_server:
        running_server.create_queue("recordings", visibility_timeout=HIDDEN)
        yield running_server


@pytest.fixture
def pulled(mns: MnsStandin, tmp_path: Path) -> Iterator[Pulled]:
    url = f"sqlite:///{tmp_path}/data/reelhook.db"
    second = mns_queue(mns.endpoint, name="exams", queue="exams")
    made = Pulled(environ_of(tmp_path, url, mns_queue(mns.endpoint), second))
    yield made
    made.close()


# --- rests ------------------------------------------------------------------------------------------------------------


def test_rests_grow_up_to_the_longest_and_begin_again() -> None:
    rests = Rests(20, chance=lambda: 0.999_999)
    assert [round(rests.next(), 2) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 20, 20]
    rests.reset()
    assert round(rests.next(), 2) == 0.5
    for _ in range(2000):
        assert rests.next() <= 20


def test_rests_are_jittered() -> None:
    chance = random.Random(1)
    found = {Rests(60, chance=chance.random).next() for _ in range(20)}
    assert len(found) == 20
    assert min(found) >= 0.25


@pytest.mark.parametrize(
    ("wait", "took", "rests"),
    [(20, 20.1, False), (20, 16, False), (20, 0.01, True), (20, 10, True), (0, 0.01, True), (0, 3, True)],
)
def test_only_an_empty_answer_that_comes_too_soon_is_rested_after(wait: int, took: float, *, rests: bool) -> None:
    empty = EmptyPolls(wait, chance=lambda: 0.5)
    assert bool(empty.rest(took)) is rests
    assert bool(empty.rest(took)) is rests


# --- holding ----------------------------------------------------------------------------------------------------------


def _queue(mns: MnsStandin) -> Queue:
    secrets = {"access_key_id": Secret.literal(ACCESS_KEY), "secret_access_key": Secret.literal(SECRET_KEY)}
    return Queue.model_validate(mns_queue(mns.endpoint) | {"name": "lessons"} | secrets)


@pytest.fixture
def queue(mns: MnsStandin) -> Iterator[MessageQueue]:
    made = connect(_queue(mns), patience=5)
    yield made
    made.close()


@pytest.fixture
def lost() -> list[int]:
    return []


@pytest.fixture
def holding(mns: MnsStandin, lost: list[int]) -> Iterator[Holding]:
    made = Holding("lessons", lambda: connect(_queue(mns), patience=5), lost.append)
    made.start()
    yield made
    made.close(5)


def _received(mns: MnsStandin, queue: MessageQueue, count: int) -> list[Message]:
    mns.send_all("recordings", [file_created(number).decode() for number in range(count)])
    return queue.receive(1)


def test_what_is_held_is_hidden_anew_with_a_new_handle_each_time(
    mns: MnsStandin, holding: Holding, queue: MessageQueue
) -> None:
    messages = _received(mns, queue, 12)
    assert all(HIDDEN - 2 < one.hidden_for <= HIDDEN for one in messages)
    holding.hold(messages)
    time.sleep(HIDDEN + 0.5)
    assert len(holding.still(messages)) == 12
    assert {one.dequeue_count for one in mns.messages("recordings")} == {1}
    ours = holding.release(messages)
    assert not set(ours) & {one.handle for one in messages}
    assert queue.delete(list(ours)) == {}
    assert mns.messages("recordings") == []


def test_what_can_not_be_hidden_anew_is_let_go(
    mns: MnsStandin, holding: Holding, queue: MessageQueue, lost: list[int]
) -> None:
    messages = _received(mns, queue, 2)
    holding.hold(messages)
    queue.delete([messages[0].handle])
    wait_until(lambda: lost == [1], what="a message let go")
    assert holding.still(messages) == messages[1:]
    mns.faults.add("error", operation="ChangeMessageVisibility", times=None)
    wait_until(lambda: lost == [1, 1], what="the other one let go")
    assert holding.release(messages) == {}


def test_what_is_released_is_hidden_no_more(mns: MnsStandin, holding: Holding, queue: MessageQueue) -> None:
    messages = _received(mns, queue, 3)
    holding.hold(messages)
    assert len(holding.release(messages)) == 3
    time.sleep(HIDDEN / 2 + 0.5)
    assert mns.requests["ChangeMessageVisibility"] == 0


# --- the process ------------------------------------------------------------------------------------------------------


def test_one_process_polls_all_queues_and_ends_in_order(mns: MnsStandin, pulled: Pulled, tmp_path: Path) -> None:
    mns.create_queue("exams")
    mns.send("recordings", file_created(1).decode())
    mns.send("exams", file_created(2).decode())
    with running(pulled.environ, "poll", log=tmp_path / "log") as program:
        wait_until(lambda: pulled.count() == 2, what="a message of each queue")
        assert program.stop() == 0
    assert {queue: pulled.figures(queue)["queue_kept"] for queue in ("lessons", "exams")} == {"lessons": 1, "exams": 1}


def test_a_queue_that_is_away_does_not_stop_the_other(mns: MnsStandin, pulled: Pulled) -> None:
    mns.send("recordings", file_created(1).decode())
    with pulled.polling():
        wait_until(lambda: pulled.figures("exams").get("queue_up") == 0, what="the queue that is not there")
        wait_until(lambda: pulled.count() == 1, what="the message of the other")


def test_two_processes_share_a_queue(mns: MnsStandin, pulled: Pulled, tmp_path: Path) -> None:
    mns.create_queue("exams")
    bodies = [file_created(number) for number in range(600)]
    mns.faults.add("duplicate", times=5)
    with (
        running(pulled.environ, "poll", log=tmp_path / "first") as first,
        running(pulled.environ, "poll", log=tmp_path / "second") as second,
    ):
        wait_until(lambda: mns.service.queue("recordings").waiting == 2, what="both pollers")
        for start in range(0, 600, 50):
            mns.send_all("recordings", [body.decode() for body in bodies[start : start + 50]])
            time.sleep(0.05)
        wait_until(lambda: not mns.messages("recordings"), what="an empty queue")
        assert (first.stop(), second.stop()) == (0, 0)
    assert sorted(pulled.bodies()) == sorted(bodies)


def test_a_poller_waits_for_a_database_whose_tables_are_missing(mns: MnsStandin, tmp_path: Path) -> None:
    environ = environ_of(tmp_path, f"sqlite:///{tmp_path}/data/reelhook.db", mns_queue(mns.endpoint))
    mns.send("recordings", file_created(1).decode())
    with running(environ, "poll", log=tmp_path / "log") as program:
        wait_until(lambda: not mns.messages("recordings"), what="an empty queue")
        assert program.stop() == 0


def test_serve_polls_where_a_queue_is_configured_and_shows_its_figures(mns: MnsStandin, tmp_path: Path) -> None:
    environ = environ_of(tmp_path, f"sqlite:///{tmp_path}/data/reelhook.db", mns_queue(mns.endpoint))
    mns.send("recordings", file_created(1).decode())
    with running(environ, "serve", log=tmp_path / "log") as program:
        program.ready()
        headers = {"Authorization": f"Bearer {environ['REELHOOK_API_TOKENS']}"}

        def found() -> list[Any]:
            answer = request("GET", f"{program.url}/api/v1/recordings", headers=headers)
            return list(answer.json()["items"])

        wait_until(found, what="the recording in the catalogue")

        def figures() -> str:
            return request("GET", f"{program.url}/metrics").body.decode()

        wait_until(lambda: 'reelhook_queue_messages_deleted_total{queue="lessons"} 1.0' in figures(), what="a figure")
        shown = figures()
        assert 'reelhook_queue_up{queue="lessons"} 1.0' in shown
        assert 'reelhook_queue_last_receive_timestamp_seconds{queue="lessons"}' in shown
        assert 'reelhook_queue_oldest_message_age_seconds{queue="lessons"}' in shown
        assert program.stop() == 0
    assert "poller started" in (tmp_path / "log").read_text()


def test_serve_starts_no_poller_without_queues(tmp_path: Path) -> None:
    environ = environ_of(tmp_path, f"sqlite:///{tmp_path}/data/reelhook.db")
    with running(environ, "serve", log=tmp_path / "log") as program:
        program.ready()
        assert program.stop() == 0
    assert "poller started" not in (tmp_path / "log").read_text()


def test_no_body_and_no_handle_stands_in_the_log(
    mns: MnsStandin, pulled: Pulled, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for kind in ("partial_delete", "broken_reply", "html_502", "stall"):
        mns.faults.add(kind, times=1, seconds=0.1, operation="BatchDeleteMessage")
    mns.send("recordings", file_created(1, ChannelId="a-room-that-nobody-may-read").decode())
    with pulled.polling():
        wait_until(lambda: not mns.messages("recordings"), what="an empty queue")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("webhook", "handlers"))]
    assert ours
    assert "a-room-that-nobody-may-read" not in caplog.text
    assert not any("ReceiptHandle" in line or "<Message" in line for line in ours)


# --- doctor -----------------------------------------------------------------------------------------------------------


def _examined(environ: dict[str, str]) -> dict[str, dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-m", "webhook", "doctor", "--json"],
        env={"PATH": "/usr/bin:/bin", "AWS_EC2_METADATA_DISABLED": "true", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return {one["check"]: one for one in json.loads(done.stdout)}


def test_doctor_asks_each_queue_and_says_what_to_mend(mns: MnsStandin, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/data/reelhook.db"
    queues = [
        mns_queue(mns.endpoint, name="well"),
        mns_queue(mns.endpoint, name="missing", queue="nowhere"),
        sqs_queue("http://127.0.0.1:1", name="unreachable"),
    ]
    mns.send("recordings", file_created(1).decode())
    found = _examined(environ_of(tmp_path, url, *queues))
    assert found["queues.well"]["level"] == "ok"
    assert f"1 messages wait, hides what it hands out for {HIDDEN} s" in found["queues.well"]["says"]
    assert found["queues.missing"]["level"] == "fail"
    assert "QueueNotExist" in found["queues.missing"]["says"]
    assert found["queues.missing"]["do"] == "create it, or mend its `queue` or `endpoint`"
    assert found["queues.unreachable"]["level"] == "fail"
    assert "`endpoint`" in found["queues.unreachable"]["do"]
    assert [one.dequeue_count for one in mns.messages("recordings")] == [0]


def test_the_counts_that_are_to_be_retired_may_be_missing(queue: MessageQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    send = vars(queue)["_client"].http.send_request

    def without_counts(sent: Any) -> Any:
        answer = send(sent)
        for name in ("ActiveMessages", "InactiveMessages", "DelayMessages"):
            answer.data = answer.data.replace(f"<{name}>0</{name}>", "")
        return answer

    monkeypatch.setattr(vars(queue)["_client"].http, "send_request", without_counts)
    assert queue.look() == f"how many messages wait is not told, hides what it hands out for {HIDDEN} s"


def test_a_handle_that_changes_while_it_is_released_is_the_new_one(
    mns: MnsStandin, holding: Holding, queue: MessageQueue
) -> None:
    mns.faults.add("delay", operation="ChangeMessageVisibility", seconds=0.6, times=None)
    messages = _received(mns, queue, 1)
    holding.hold(messages)
    wait_until(lambda: bool(vars(holding)["_renewing"]), what="a renewal under way")
    released: list[dict[str, Message]] = []
    thread = threading.Thread(target=lambda: released.append(holding.release(messages)))
    thread.start()
    thread.join(5)
    (handle,) = released[0]
    assert handle != messages[0].handle
    assert queue.delete([handle]) == {}
