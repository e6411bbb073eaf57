"""How a request leaves this machine: to real sockets that answer well, badly, slowly and not at all."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from mns_pushes import DAY, MNS, STRANGER, certificate, pem
from receivers import LOOPBACK, receiver, says, speaker

from handlers.clock import now_ms
from handlers.destinations import sending, unanswered
from handlers.destinations.dialling import NoAnswer
from handlers.destinations.sending import ANYWHERE, MOST_BYTES, Sender, host_shown
from handlers.operation import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HUSH = "hush-hush-0123456789"


@pytest.fixture
def sender() -> Iterator[Sender]:
    made = Sender()
    yield made
    made.close()


def send(sender: Sender, url: str, *, timeout_ms: int = 5_000, allowed: Any = LOOPBACK, **told: Any) -> Response:
    headers = {"Content-Type": "application/json"}
    request = Request(**{"method": "POST", "url": url, "headers": headers, "body": b"{}", **told})
    return sender.send(request, timeout_ms=timeout_ms, allowed=allowed)


def failure(sender: Sender, url: str, **told: Any) -> NoAnswer:
    with pytest.raises(NoAnswer) as caught:
        send(sender, url, **told)
    return caught.value


def test_a_request_arrives_as_it_is_and_its_answer_comes_back_whole(sender: Sender) -> None:
    with receiver(status=202, headers={"X-Request-Id": "r-1"}, body=b"taken") as there:
        answer = send(sender, f"{there.url}/hooks?key=a%2Fb", body=b'{"a":1}')
    assert (answer.status, answer.headers["x-request-id"], answer.body) == (202, "r-1", b"taken")
    (got,) = there.got
    assert (got.path, got.body, got.headers["user-agent"]) == ("/hooks?key=a%2Fb", b'{"a":1}', "reelhook")


def test_a_header_that_the_request_sets_is_not_set_twice(sender: Sender) -> None:
    with receiver() as there:
        send(sender, there.url, headers={"Host": "signed.example", "user-agent": "mine"})
    assert (there.got[0].headers["host"], there.got[0].headers["user-agent"]) == ("signed.example", "mine")


def test_a_connection_stays_open_from_one_request_to_the_next(sender: Sender) -> None:
    with receiver() as there:
        for _ in range(3):
            send(sender, there.url)
    assert len({got.peer for got in there.got}) == 1


def test_a_connection_that_was_idle_for_long_is_not_used_again(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as there:
        send(sender, there.url)
        monkeypatch.setattr(sending, "_LONGEST_IDLE", 0.0)
        send(sender, there.url)
    assert len({got.peer for got in there.got}) == 2


def test_a_connection_that_the_other_side_has_closed_is_opened_anew(sender: Sender) -> None:
    with receiver(headers={"Connection": "close"}) as there:
        for _ in range(3):
            assert send(sender, there.url).status == 200


def test_many_threads_send_at_once_and_each_gets_its_own_answer(sender: Sender) -> None:
    with receiver(body=b"ok") as there, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: send(sender, f"{there.url}/{number}").body, range(200)))
    assert answers == [b"ok"] * 200
    assert sorted(int(got.path[1:]) for got in there.got) == list(range(200))


def test_a_warm_connection_is_not_lent_to_a_request_that_may_not_go_there(sender: Sender) -> None:
    with receiver() as there:
        send(sender, there.url)
        assert failure(sender, there.url, allowed=()).reason == "forbidden"
    assert len(there.got) == 1


def test_a_redirect_is_an_answer_and_is_not_followed(sender: Sender) -> None:
    with receiver() as inner, receiver(status=307, headers={"Location": inner.url}) as there:
        assert send(sender, there.url, allowed=[ip_network("127.0.0.1/32")]).status == 307
    assert inner.got == []


def test_a_proxy_of_the_environment_is_not_used(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with receiver() as there:
        assert send(sender, there.url).status == 200


# --- where a request may go ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"])
def test_nothing_reaches_this_machine_in_whatever_way_its_address_is_written(sender: Sender, host: str) -> None:
    with receiver() as there:
        failed = failure(sender, f"http://{host}:{there.port}/{HUSH}", allowed=())
    assert (failed.reason, failed.was_sent, there.got) == ("forbidden", False, [])
    assert "allow_private" in str(failed)
    assert HUSH not in str(failed)


def test_no_connection_is_opened_to_an_address_that_may_not_be_called(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        assert failure(sender, f"http://127.0.0.1:{listener.getsockname()[1]}", allowed=()).reason == "forbidden"
        with pytest.raises(TimeoutError):
            listener.accept()


def test_the_address_at_the_other_end_is_checked_before_anything_is_sent(sender: Sender) -> None:
    # Linux connects 0.0.0.0 to 127.0.0.1: what was let in is not what is reached.
    with receiver() as there:
        failed = failure(sender, f"http://0.0.0.0:{there.port}", allowed=[ip_network("0.0.0.0/32")])
    assert (failed.reason, failed.was_sent, there.got) == ("forbidden", False, [])


def test_a_name_that_changes_its_address_between_check_and_call_leads_nowhere_else(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    resolve = socket.getaddrinfo

    def name_server(_host: str, port: int, **told: Any) -> Any:
        asked.append(port)
        return resolve("127.0.0.1" if len(asked) == 1 else "127.0.0.2", port, **told)

    with receiver() as there:
        monkeypatch.setattr(socket, "getaddrinfo", name_server)
        send(sender, f"http://rebound.example:{there.port}", allowed=[ip_network("127.0.0.1/32")])
    assert len(asked) == 1


def test_the_operators_own_endpoint_may_be_anywhere(sender: Sender) -> None:
    with receiver() as there:
        assert send(sender, there.url, allowed=ANYWHERE).status == 200


def test_of_a_names_addresses_those_that_may_be_called_are(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def name_server(_host: str, port: int, **told: Any) -> Any:
        return [*resolve("127.0.0.9", port, **told), *resolve("127.0.0.1", port, **told)]

    with receiver() as there:
        monkeypatch.setattr(socket, "getaddrinfo", name_server)
        send(sender, f"http://both.example:{there.port}", allowed=[ip_network("127.0.0.1/32")])
    assert len(there.got) == 1


# --- what goes wrong -------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize(
    ("speak", "reason"),
    [
        (says(), "broken"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Le"), "broken"),
        (says(b"HTTP/1.1 200 OK\r\nServer: s\r\n"), "broken"),
        (says(HEAD, b"half"), "broken"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal"), "broken"),
        (says(b"\x15\x03\x01 this is no HTTP\r\n\r\n"), "broken"),
        (says(closes=False), "timeout"),
        (says(HEAD, b"half", closes=False), "timeout"),
    ],
    ids=[
        "nothing",
        "half a header",
        "no end of headers",
        "half a body",
        "half a chunk",
        "no HTTP",
        "silence",
        "silence half-way",
    ],
)
def test_an_answer_that_never_comes_whole_leaves_open_what_was_done(
    sender: Sender, speak: Callable[[socket.socket], None], reason: str
) -> None:
    with speaker(speak) as url:
        failed = failure(sender, f"{url}/{HUSH}", timeout_ms=400)
    outcome = unanswered(failed)
    assert (failed.reason, failed.was_sent) == (reason, True)
    assert (outcome.verdict, outcome.is_unclear) == ("again", True)
    assert HUSH not in outcome.detail


@pytest.mark.parametrize("part", [b"H", b"x"], ids=["headers", "body"])
def test_an_answer_that_drips_takes_no_longer_than_any_other(sender: Sender, part: bytes) -> None:
    parts = [part] * 200 if part == b"H" else [HEAD, *[b"x"] * 90]
    with speaker(says(*parts, pause=0.05)) as url:
        begun = time.monotonic()
        failed = failure(sender, url, timeout_ms=500)
        took = time.monotonic() - begun
    assert failed.reason == "timeout"
    assert took < 4  # 10 and 4.5 seconds of dripping; each single wait is short


def test_a_receiver_that_reads_nothing_takes_no_longer_than_any_other(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        failed = failure(sender, url, timeout_ms=400, body=b"x" * 50_000_000)
    assert (failed.reason, failed.was_sent) == ("timeout", True)


def test_a_long_answer_is_cut_and_its_connection_not_used_again(sender: Sender) -> None:
    with receiver(body=b"x" * (3 * MOST_BYTES)) as there:
        assert len(send(sender, there.url).body) == MOST_BYTES
        there.body = b"short"
        assert send(sender, there.url).body == b"short"
    assert len({got.peer for got in there.got}) == 2


def test_an_endless_answer_is_cut(sender: Sender) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    with speaker(endless) as url:
        assert len(send(sender, url).body) == MOST_BYTES


def test_a_refused_connection_says_that_nothing_was_sent(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    failed = failure(sender, f"http://127.0.0.1:{port}/{HUSH}")
    outcome = unanswered(failed)
    assert (failed.reason, outcome.verdict, outcome.is_unclear) == ("unreachable", "again", False)
    assert outcome.detail == f"127.0.0.1:{port} takes no connection: connection refused"


def test_a_connection_that_nobody_takes_says_that_nothing_was_sent(sender: Sender) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.settimeout(0)
            one.connect_ex(listener.getsockname())
        failed = failure(sender, f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_ms=400)
        for one in waiting:
            one.close()
    assert failed.reason in {"unreachable", "timeout"}
    assert not unanswered(failed).is_unclear


def test_a_name_without_an_address_says_that_nothing_was_sent(sender: Sender) -> None:
    failed = failure(sender, f"http://there-is-no.invalid/{HUSH}")
    assert (failed.reason, unanswered(failed).verdict, unanswered(failed).is_unclear) == (
        "unknown_host",
        "again",
        False,
    )


def test_a_name_server_that_is_silent_takes_no_longer_than_the_attempt(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers.wait())
    failed = failure(sender, "http://slow.example/", timeout_ms=200)
    answers.set()
    assert failed.reason == "unknown_host"


@pytest.mark.parametrize("told", [{"headers": {"X": "课"}}, {"headers": {"X": "a\r\nb: c"}}, {"url": "http://[::1/"}])
def test_a_request_that_http_cannot_carry_is_given_up(sender: Sender, told: dict[str, Any]) -> None:
    with receiver() as there:
        failed = failure(sender, **{"url": there.url, **told})
    assert (failed.reason, unanswered(failed).verdict, there.got) == ("unsendable", "give_up", [])


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a CA's certificate, and a server's (for localhost) with its key."""
    folder = tmp_path_factory.mktemp("tls")
    span: Any = {"begins": now_ms() - DAY, "ends": now_ms() + DAY}
    ca = certificate(MNS, ca=True, **span)
    own = certificate(STRANGER, issuer=(ca, MNS), **span)
    plain = serialization.NoEncryption()
    key = STRANGER.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "ca.pem").write_bytes(pem(ca))
    (folder / "server.pem").write_bytes(key + pem(own))
    return folder


@pytest.fixture
def tls(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem")
    return context


def test_a_request_goes_over_tls_that_is_verified(authority: Path, tls: ssl.SSLContext) -> None:
    sender = Sender(ca=authority / "ca.pem")
    with receiver(context=tls, body=b"ok") as there:
        for _ in range(2):
            assert send(sender, f"https://localhost:{there.port}/").body == b"ok"
    assert len({got.peer for got in there.got}) == 1
    sender.close()


def test_a_certificate_that_nobody_trusted_issued_stops_the_request(sender: Sender, tls: ssl.SSLContext) -> None:
    with receiver(context=tls) as there:
        failed = failure(sender, f"https://localhost:{there.port}/{HUSH}")
    outcome = unanswered(failed)
    assert (failed.reason, outcome.verdict, outcome.is_unclear, there.got) == ("tls", "again", False, [])
    assert "unable to get local issuer certificate" in outcome.detail
    assert HUSH not in outcome.detail


def test_a_certificate_for_another_name_stops_the_request(authority: Path, tls: ssl.SSLContext) -> None:
    sender = Sender(ca=authority / "ca.pem")
    with receiver(context=tls) as there:
        failed = failure(sender, f"https://127.0.0.1:{there.port}/")
    assert (failed.reason, failed.was_sent, there.got) == ("tls", False, [])
    sender.close()


def test_a_tls_handshake_that_is_never_answered_ends_in_time(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        failed = failure(sender, f"https://127.0.0.1:{listener.getsockname()[1]}", timeout_ms=300)
    assert (failed.reason, failed.was_sent) == ("timeout", False)


def test_an_answer_that_drips_over_tls_takes_no_longer_than_any_other(authority: Path, tls: ssl.SSLContext) -> None:
    sender = Sender(ca=authority / "ca.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            plain, _ = listener.accept()
            with tls.wrap_socket(plain, server_side=True) as connection:
                try:
                    for _ in range(200):
                        connection.sendall(b"H")
                        time.sleep(0.05)
                except OSError:
                    return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        begun = time.monotonic()
        failed = failure(sender, f"https://localhost:{listener.getsockname()[1]}", timeout_ms=600)
        assert time.monotonic() - begun < 5
        sender.close()
        thread.join()
    assert (failed.reason, failed.was_sent) == ("timeout", True)


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_of_an_address_only_its_host_is_shown() -> None:
    assert host_shown(f"https://user:{HUSH}@hooks.example:8443/{HUSH}?key={HUSH}") == "hooks.example:8443"
    assert host_shown("http://[::1") == "an address that can't be read"


def test_no_log_line_holds_the_address_of_a_request(sender: Sender, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receiver(status=503) as there, speaker(says(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n")) as strange:
        for url in (there.url, strange):
            send(sender, f"{url}/{HUSH}?key={HUSH}")
    assert HUSH not in caplog.text
