"""The server on real sockets: slow clients, odd requests, stopping, and what stands in its log."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest
from echo_server import MAX_BODY, Client, chunked, post, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from echo_server import Server

THREADS = 4
TOKEN = "planted-token"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), threads=THREADS) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("hasty"), threads=THREADS, limits={"deadline": 1.0}) as running:
        yield running


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.02)


# --- slow clients ----------------------------------------------------------------------------------------------------

HALF_HEAD = b"POST /echo?token=planted-token HTTP/1.1\r\nHost: te"
HALF_BODY = post(b"x" * 1000)[:-900]
HALF_CHUNK = chunked(b"x" * 100) + b"64\r\nhalf of"


@pytest.mark.parametrize(
    ("sent", "drip"),
    [
        pytest.param(b"", False, id="idle"),
        pytest.param(HALF_HEAD, False, id="half-head"),
        pytest.param(HALF_BODY, False, id="half-body"),
        pytest.param(HALF_CHUNK, False, id="half-chunk"),
        pytest.param(HALF_HEAD, True, id="dripping-head"),
        pytest.param(HALF_BODY, True, id="dripping-body"),
    ],
)
def test_with_twice_as_many_slow_clients_as_threads_a_good_callback_is_answered_within_the_deadline(
    server: Server,
    sent: bytes,
    drip: bool,  # noqa: FBT001 (parametrised)
) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client(sent)) for _ in range(2 * THREADS)]
        enough = threading.Event()
        if drip:
            dripper = threading.Thread(target=_drip, args=(clients, enough, 1.0))
            dripper.start()
            stack.callback(dripper.join)
            stack.callback(enough.set)
            time.sleep(1.5)
        for _ in range(2 * THREADS):
            begun = time.monotonic()
            assert server.ask(post(b"good")) == (200, b"good")
            assert time.monotonic() - begun < 10


def _drip(clients: list[Client], enough: threading.Event, pause: float) -> None:
    while not enough.wait(pause):
        for client in clients:
            try:
                client.send(b"a")
            except OSError:
                return


def test_slow_clients_of_every_sort_at_once_hold_up_nobody(server: Server) -> None:
    with ExitStack() as stack:
        for sent in (b"", HALF_HEAD, HALF_BODY, HALF_CHUNK):
            for _ in range(4 * THREADS):
                stack.enter_context(server.client(sent))
        begun = time.monotonic()
        assert server.ask(post(b"good")) == (200, b"good")
        assert time.monotonic() - begun < 10


def test_a_silent_client_is_closed_at_the_deadline(hasty: Server) -> None:
    with hasty.client() as client:
        assert client.rest() == b""


def test_half_a_head_gets_408_at_the_deadline(hasty: Server) -> None:
    with hasty.client(HALF_HEAD) as client:
        status, body = client.answer()
    assert (status, json.loads(body)["status"]) == (408, 408)
    assert TOKEN.encode() not in body


@pytest.mark.parametrize("sent", [HALF_BODY, HALF_CHUNK], ids=["length", "chunk"])
def test_half_a_body_is_refused_by_the_application_at_the_deadline(hasty: Server, sent: bytes) -> None:
    with hasty.client(sent) as client:
        status, body = client.answer()
        assert status == 400
        assert b"10" in body
        assert client.rest() == b""


@pytest.mark.parametrize(("sent", "status"), [(HALF_HEAD, 408), (HALF_BODY, 400)], ids=["head", "body"])
def test_dripping_does_not_move_the_deadline(hasty: Server, sent: bytes, status: int) -> None:
    enough = threading.Event()
    with hasty.client(sent) as client:
        dripper = threading.Thread(target=_drip, args=([client], enough, 0.1))
        dripper.start()
        try:
            assert client.answer()[0] == status
        finally:
            enough.set()
            dripper.join()


def test_the_deadline_begins_anew_with_each_request_of_a_connection(hasty: Server) -> None:
    with hasty.client() as client:
        for _ in range(4):
            time.sleep(0.4)
            client.send(post(b"again"))
            assert client.answer() == (200, b"again")


def test_a_client_that_does_not_read_its_answer_holds_no_thread_for_ever(tmp_path: Path) -> None:
    large = post(b"", "/large?bytes=50000000")
    with serving(tmp_path, threads=1, limits={"patience": 1.0}) as server, server.client(large):
        assert server.ask(post(b"good")) == (200, b"good")
        assert "Traceback" not in server.log()


def test_unfinished_bodies_hold_no_more_memory_than_allowed(tmp_path: Path) -> None:
    part = post(b"x" * 200_000)[:-50_000]
    with serving(tmp_path, limits={"held": 400_000}) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.client(part)) for _ in range(3)]
        statuses: list[int] = []
        readers = [threading.Thread(target=lambda c=client: statuses.append(c.answer()[0])) for client in clients]
        for reader in readers:
            reader.start()
        eventually(lambda: 503 in statuses)
        assert server.ask(post(b"good")) == (200, b"good")
        for client in clients:
            client.end_of_input()
        for reader in readers:
            reader.join()
    assert sorted(statuses) == [400, 400, 503]


def test_idle_connections_make_room_for_new_ones(tmp_path: Path) -> None:
    with serving(tmp_path, threads=2, options={"worker_connections": 8}) as server, ExitStack() as stack:
        for _ in range(30):
            client = stack.enter_context(server.client(post(b"one of many")))
            assert client.answer() == (200, b"one of many")


@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY], ids=["silent", "half-head", "half-body"])
def test_who_does_not_finish_makes_room_for_good_callbacks(tmp_path: Path, sent: bytes) -> None:
    # Their deadline is longer than a client of this test waits.
    many = {"worker_connections": 16}
    with serving(tmp_path, options=many, limits={"deadline": 120.0}) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.client(sent)) for _ in range(40)]
        for _ in range(5):
            assert server.ask(post(b"good")) == (200, b"good")
        if sent:
            assert clients[0].answer()[0] == 503


def test_of_those_who_do_not_finish_the_silent_go_first(tmp_path: Path) -> None:
    whole = post(b"slow but sound")
    many = {"worker_connections": 16}
    with serving(tmp_path, options=many, limits={"deadline": 120.0}) as server, ExitStack() as stack:
        slow = stack.enter_context(server.client(whole[:-3]))
        for _ in range(40):
            stack.enter_context(server.client())
        assert server.ask(post(b"good")) == (200, b"good")
        slow.send(whole[-3:])
        assert slow.answer() == (200, b"slow but sound")


# --- odd but sound requests ------------------------------------------------------------------------------------------


def test_a_connection_is_kept_for_the_next_request(server: Server) -> None:
    with server.client() as client:
        for number in range(5):
            client.send(post(b"%d" % number))
            assert client.answer() == (200, b"%d" % number)
            assert b"Connection: keep-alive" in client.head


def test_idle_kept_connections_hold_no_threads(server: Server) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(4 * THREADS)]
        for _ in range(2):
            for client in clients:
                client.send(post(b"kept"))
                assert client.answer() == (200, b"kept")


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with server.client(post(b"first") + chunked(b"sec", b"ond", b"") + post(b"third")[:-2]) as client:
        assert client.answer() == (200, b"first")
        assert client.answer() == (200, b"second")
        client.send(b"rd" + post(b"fourth"))
        assert client.answer() == (200, b"third")
        assert client.answer() == (200, b"fourth")


def test_a_client_that_expects_100_gets_it_once(server: Server) -> None:
    request = post(b"patient", "/echo", "Expect: 100-continue")
    with server.client(request.removesuffix(b"patient")) as client:
        assert client.answer() == (100, b"")
        client.send(b"patient")
        assert client.answer() == (200, b"patient")


def test_a_client_that_expects_100_for_a_body_that_is_too_large_gets_413_at_once(server: Server) -> None:
    request = b"POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
    assert server.ask(request)[0] == 413


def test_a_chunked_body_arrives_however_it_is_cut(server: Server) -> None:
    request = chunked(b"one", b"two" * 5000, b"")[:-2] + b"X-Trailer: yes\r\n\r\n"
    with server.client() as client:
        for begin in range(0, len(request), 501):
            client.send(request[begin : begin + 501])
        assert client.answer() == (200, b"one" + b"two" * 5000)
        client.send(post(b"and on"))
        assert client.answer() == (200, b"and on")


def test_a_body_of_just_the_limit_is_taken(server: Server) -> None:
    body = os.urandom(MAX_BODY)
    assert server.ask(post(body)) == (200, body)
    assert server.ask(chunked(body[:70_000], body[70_000:], b"")) == (200, body)


def test_a_body_that_nobody_reads_does_not_become_the_next_request(server: Server) -> None:
    with server.client(post(b"GET /boom HTTP/1.1\r\n\r\n" * 5000, "/unread")) as client:
        assert client.answer() == (200, b"")
        client.send(post(b"next"))
        assert client.answer() == (200, b"next")


# --- bodies that aren't whole, or too large --------------------------------------------------------------------------


def test_a_body_shorter_than_announced_is_refused_and_said_so(server: Server) -> None:
    with server.client(post(b"twelve bytes")[:-5]) as client:
        client.end_of_input()
        status, body = client.answer()
        assert status == 400
        assert b"7 bytes came, 12 were announced" in body
        assert b"Connection: close" in client.head
        assert client.rest() == b""


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(chunked(b"begun"), id="no-last-chunk"),
        pytest.param(chunked(b"begun") + b"9\r\nhalf", id="half-a-chunk"),
        pytest.param(chunked(b"begun") + b"0\r\n", id="no-end-of-trailers"),
        pytest.param(chunked(b"begun") + b"5", id="half-a-size"),
    ],
)
def test_a_chunked_body_that_breaks_off_is_refused(server: Server, sent: bytes) -> None:
    with server.client(sent) as client:
        client.end_of_input()
        status, body = client.answer()
        assert status == 400
        assert b"chunked body broke off" in body
        assert client.rest() == b""


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"zz\r\nbad size\r\n", id="no-number"),
        pytest.param(b"-5\r\nbegun\r\n", id="negative"),
        pytest.param(b"3\r\nlonger than three\r\n", id="longer-than-announced"),
        pytest.param(b"\r\n", id="no-size"),
        pytest.param(b"5;" + b"e" * 10_000, id="endless-extension"),
    ],
)
def test_a_malformed_chunked_body_is_refused_at_once_and_nothing_follows_it(server: Server, sent: bytes) -> None:
    with server.client(chunked(b"sound") + sent + post(b"smuggled")) as client:
        status, body = client.answer()
        assert status == 400
        assert b"5 bytes came" in body or b"8 bytes came" in body
        assert client.rest() == b""


def test_a_client_that_is_gone_before_its_body_was_whole_is_logged_as_refused(server: Server) -> None:
    with server.client(post(b"x" * 100, "/echo?gone")[:-50]):
        pass
    assert server.ask(post(b"good")) == (200, b"good")


def test_a_body_over_the_limit_is_refused_by_its_announced_length_alone(server: Server) -> None:
    with server.client(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10000000000\r\n\r\n") as client:
        status, body = client.answer()
        assert status == 413
        assert b"10000000000 bytes were announced" in body
        assert str(MAX_BODY).encode() in body
        assert b"Connection: close" in client.head


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 20000000\r\n\r\n", id="length"),
        pytest.param(chunked(), id="chunks"),
    ],
)
def test_who_sends_a_body_over_the_limit_to_its_end_still_gets_the_413(server: Server, head: bytes) -> None:
    filler = (b"100000\r\n" + b"x" * 0x100000 + b"\r\n") * 19 if b"chunked" in head else b"x" * 20_000_000
    with server.client(head + filler) as client:
        assert client.answer()[0] == 413


def test_who_sends_gigabytes_is_cut_off(server: Server) -> None:
    sent = 0
    with (
        server.client(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4000000000\r\n\r\n") as client,
        suppress(ConnectionResetError, BrokenPipeError),
    ):
        while sent < 4_000_000_000:
            client.send(b"x" * 1_000_000)
            sent += 1_000_000
    assert sent < 200_000_000


def test_many_small_chunks_over_the_limit_are_refused(server: Server) -> None:
    with server.client(chunked(*[b"x" * 1000] * (MAX_BODY // 1000 + 2))) as client:
        assert client.answer()[0] == 413


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"GET /echo\n\n", 400, id="bare-newlines"),
        pytest.param(b"GET /echo?token=planted-token HTTP/1.1\r\nno field\r\n\r\n", 400, id="no-field"),
        pytest.param(b"GET /echo?token=planted-token tail HTTP/1.1\r\n\r\n", 400, id="blank-in-query"),
        pytest.param(b"get? /echo?token=planted-token HTTP/1.1\r\n\r\n", 400, id="no-method"),
        pytest.param(post(b"", "/echo?token=planted-token" + "x" * 9000), 414, id="long-line"),
        pytest.param(post(b"", "/echo", "X: " + "x" * 70_000), 431, id="long-head"),
        pytest.param(b"GET /echo?token=planted-token HTTP/1.1\r\nX: " + b"x" * 70_000, 431, id="endless-head"),
        pytest.param(post(b"", "/echo", "Expect: miracles"), 417, id="expectation"),
        pytest.param(post(b"12345", "/echo", "Content-Length: 6"), 400, id="two-lengths"),
        pytest.param(post(b"", "/echo", "Transfer-Encoding: chunked"), 400, id="length-and-chunked"),
        pytest.param(post(b"x", "/echo").replace(b": 1\r", b": \xb2\r"), 400, id="odd-digit"),
        pytest.param(chunked(b"x", b"").replace(b"chunked", b"brotli"), 501, id="coding"),
    ],
)
def test_a_request_that_is_none_is_told_what_is_wrong_and_nothing_is_quoted(
    server: Server,
    sent: bytes,
    status: int,
) -> None:
    with server.client(sent) as client:
        found, body = client.answer()
        assert (found, json.loads(body)["status"]) == (status, status)
        assert TOKEN.encode() not in body
        assert client.rest() == b""


# --- the log ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["json", "text"])
def test_no_query_stands_anywhere_in_the_log(tmp_path: Path, style: str) -> None:
    line = b"/path?token=planted-token"
    requests = [
        post(b"good"),
        post(b"", "/boom?token=planted-token"),
        b"POST %b HTTP/9.9\r\n\r\n" % line,
        b"POST %b with blanks HTTP/1.1\r\n\r\n" % line,
        b"POST %b HTTP/1.1\r\nbroken planted-token field\r\n\r\n" % line,
        b"POST %b HTTP/1.1\r\nAuthorization: x\r\n planted-token\r\n\r\n" % line,
        b"POST %b HTTP/1.1\r\nplanted-token%b\r\n\r\n" % (line, b"@" * 5),
        b"POST %b\xff HTTP/1.1\r\n\r\n" % line,
        b"p:st %b HTTP/1.1\r\n\r\n" % line,
        post(b"", "/echo?token=planted-token", "Expect: planted-token", "Referer: http://x/?token=planted-token"),
        chunked(b"x", b"").replace(b"chunked", b"planted-token"),
        chunked(b"x") + b"planted-token\r\n",
    ]
    with serving(tmp_path, log=style) as server:
        for request in requests:
            server.ask(request)
        for cut in (20, 45, 90):
            with server.client(post(b"x" * 100)[:cut]) as client:
                client.end_of_input()
                client.rest()
        assert server.stop() == 0
        log = server.log()
    assert "planted-token" not in log
    assert "/boom" in log
    assert "RuntimeError: planted" in log


def test_each_request_is_one_line_of_json_with_its_path(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.ask(post(b"good"))
        eventually(lambda: "/echo" in server.log())
        lines = [json.loads(line) for line in server.log().splitlines()]
    (line,) = [line for line in lines if line.get("path")]
    assert line.pop("duration_ms") >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line.pop("timestamp"))
    assert line == {
        "event": "POST /echo 200",
        "logger": "gunicorn.access",
        "level": "info",
        "method": "POST",
        "path": "/echo",
        "status": 200,
        "bytes": 4,
        "remote": "127.0.0.1",
    }


def test_a_bug_in_the_application_gets_500_and_a_traceback_in_the_log(server: Server) -> None:
    status, body = server.ask(post(b"", "/boom?token=planted-token"))
    assert (status, json.loads(body)["status"]) == (500, 500)
    assert "failed to answer POST /boom from 127.0.0.1" in server.log()


# --- the process -----------------------------------------------------------------------------------------------------


def test_sigterm_lets_a_running_request_finish(tmp_path: Path) -> None:
    mark = tmp_path / "running"
    with serving(tmp_path) as server:
        with server.client(post(b"", f"/sleep?seconds=1.5&mark={mark}")) as client:
            eventually(mark.exists)
            server.process.send_signal(signal.SIGTERM)
            assert client.answer() == (200, b"slept")
        assert server.process.wait(30) == 0


def test_who_waits_in_the_backlog_at_sigterm_is_still_answered(tmp_path: Path) -> None:
    with serving(tmp_path) as server, ExitStack() as stack:
        assert server.ask(post(b"up")) == (200, b"up")
        os.kill(server.worker(), signal.SIGSTOP)
        clients = [stack.enter_context(server.client(post(b"waiting"))) for _ in range(10)]
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: "Handling signal: term" in server.log())
        os.kill(server.worker(), signal.SIGCONT)
        assert [client.answer() for client in clients] == [(200, b"waiting")] * 10
        assert server.process.wait(30) == 0


def test_slow_clients_do_not_hold_up_the_stop(tmp_path: Path) -> None:
    with serving(tmp_path, limits={"deadline": 3.0}) as server, ExitStack() as stack:
        for sent in (b"", HALF_HEAD, HALF_BODY):
            stack.enter_context(server.client(sent))
        assert server.ask(post(b"good")) == (200, b"good")
        assert server.stop() == 0


def test_the_environment_configures_nothing_behind_our_back(tmp_path: Path) -> None:
    surprises = {"GUNICORN_CMD_ARGS": "--bind 127.0.0.1:1 --workers 3", "PORT": "1", "WEB_CONCURRENCY": "5"}
    surprises |= {"FORWARDED_ALLOW_IPS": "*", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    with serving(tmp_path, environment=surprises) as server:
        assert server.ask(post(b"here")) == (200, b"here")
        assert server.log().count("Booting worker") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["server.log"]


def test_a_killed_worker_is_replaced_and_its_metrics_are_forgotten(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    with serving(tmp_path, environment={"PROMETHEUS_MULTIPROC_DIR": str(metrics)}) as server:
        status, pid = server.ask(post(b"", "/gauge"))
        assert (status, int(pid)) == (200, server.worker())
        assert list(metrics.glob(f"gauge_liveall_{int(pid)}.db"))
        os.kill(int(pid), signal.SIGKILL)
        eventually(lambda: server.worker() != int(pid))
        assert not list(metrics.glob(f"gauge_liveall_{int(pid)}.db"))
        assert server.ask(post(b"again")) == (200, b"again")
