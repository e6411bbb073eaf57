"""Which certificate speaks for MNS: where it may lie, how it is fetched, and what is remembered of it."""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from mns_pushes import ACCOUNT, ADDRESS, DAY, NOW, Push, certificate, fill, pem, reading

from handlers.errors import BadSignature, CannotVerify
from handlers.vendors.aliyun import topic
from handlers.vendors.aliyun.certificates import MOST_BYTES, PATIENCE, PAUSE, Certificates, fetch_https

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from handlers.events import Incoming
    from handlers.vendor import Verified


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def verify(store: Path, asked: list[str]) -> Callable[[Incoming], Verified]:
    verifier = topic.Pushes(Certificates(reading(store, asked))).verify
    return lambda incoming: verifier(incoming, ACCOUNT)


# --- where it may lie -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/x509.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com@evil.example/x509.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com.evil.example/x509.pem",
        "https://evil.example/https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509.pem",
        "https://evil.example#mnstest.oss-cn-hangzhou.aliyuncs.com/x509.pem",
        "https://evil.example?.aliyuncs.com/x509.pem",
        "https://user:password@mnstest.oss-cn-hangzhou.aliyuncs.com/x509.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com:8443/x509.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com:443/x509.pem",
        "https://mns-cert.oss-cn-x.evil.example/x509.pem",
        "https://mns-cert.oss-cn-evil.example/.aliyuncs.com/x509.pem",
        "https://mns-cert.oss-cn-.aliyuncs.com/x509.pem",
        "https://mns-cert.oss-cn-x@evil.aliyuncs.com/x509.pem",
        "https://mns-cert.oss-cn-x.evil.aliyuncs.com/x509.pem",
        "https://mns-cert.oss-cn-evil.example:80.aliyuncs.com/x509.pem",
        "https://mnstest.oss-cn-hangzhou-aliyuncs.com/x509.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs-com/x509.pem",
        "https://mnstest-oss-cn-hangzhou.aliyuncs.com/x509.pem",
        "https://mns-cert-oss-cn-hangzhou.aliyuncs.com/x509.pem",
        "https://mns-cert.oss-us-west-1.aliyuncs.com/x509.pem",
        "https://mnstest.oss-cn-shanghai.aliyuncs.com/x509.pem",
        "https://evil.oss-cn-hangzhou.aliyuncs.com/x509.pem",
        "https://evilmnstest.oss-cn-hangzhou.aliyuncs.com/x509.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/../evil/x509.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509.pem?x=1",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509.pem#x",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509.pem\n",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509.pem\r\nHost: evil.example",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com",
        "https://MNSTEST.oss-cn-hangzhou.aliyuncs.com/x509.pem",
        "https:\\\\mnstest.oss-cn-hangzhou.aliyuncs.com/x509.pem",
        "ftp://mnstest.oss-cn-hangzhou.aliyuncs.com/x509.pem",
        "file:///etc/passwd",
        "//mnstest.oss-cn-hangzhou.aliyuncs.com/x509.pem",
        "",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/" + "x" * 5000,
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/тест.pem",
    ],
)
def test_a_certificate_from_anywhere_else_is_not_even_fetched(verify: Any, asked: list[str], address: str) -> None:
    with pytest.raises(BadSignature, match="x-mns-signing-cert-url"):
        verify(Push(address=address).signed())
    assert asked == []


@pytest.mark.parametrize(
    "address",
    [
        "http://mnstest.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate.pem",
        "https://mns-cert.oss-cn-shanghai.aliyuncs.com/x509_public_certificate.pem",
        "http://mns-cert.oss-cn-shanghai-internal.aliyuncs.com/a/x509_public_certificate.pem",
    ],
)
def test_the_vendors_own_addresses_are_asked_over_https_whatever_they_say(
    verify: Any, asked: list[str], address: str
) -> None:
    assert verify(Push(address=address).signed()).keys
    assert asked == [address.replace("http://", "https://")]


@pytest.mark.parametrize("name", ["expired.pem", "future.pem"])
def test_a_certificate_that_is_not_valid_at_the_time_is_refused(verify: Any, name: str) -> None:
    with pytest.raises(BadSignature, match="is not valid at the push's Date"):
        verify(Push(address=f"https://mnstest.oss-cn-hangzhou.aliyuncs.com/{name}").signed())


# --- how it is fetched ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["garbage.pem", "broken.pem", "empty.pem", "elliptic.pem", "absent.pem"])
def test_a_certificate_that_cannot_be_had_is_no_refusal(verify: Any, name: str) -> None:
    with pytest.raises(CannotVerify, match=f"{name} could not be fetched"):
        verify(Push(address=f"https://mnstest.oss-cn-hangzhou.aliyuncs.com/{name}").signed())


def test_a_certificate_is_fetched_once_and_remembered(verify: Any, asked: list[str]) -> None:
    for second in range(3):
        assert verify(Push(sent_at=NOW - second * 1000).signed()).keys
    assert asked == [ADDRESS]


def test_many_pushes_at_once_fetch_one_certificate_once(store: Path, asked: list[str]) -> None:
    came = threading.Event()
    read = reading(store, asked)

    def fetch(url: str) -> bytes:
        came.wait()
        return read(url)

    certificates = Certificates(fetch)
    verifier = topic.Pushes(certificates).verify
    accepted: list[Verified] = []
    threads = [threading.Thread(target=lambda: accepted.append(verifier(Push().signed(), ACCOUNT))) for _ in range(20)]
    for thread in threads:
        thread.start()
    while not certificates._awaited:
        time.sleep(0.001)
    came.set()
    for thread in threads:
        thread.join()
    assert len(accepted) == 20
    assert asked == [ADDRESS]


def test_who_waits_for_a_certificate_is_told_when_it_fails() -> None:
    came = threading.Event()

    def fetch(url: str) -> bytes:
        came.wait()
        raise ConnectionRefusedError(url)

    certificates = Certificates(fetch)
    verifier = topic.Pushes(certificates).verify
    failed: list[str] = []

    def run() -> None:
        try:
            verifier(Push().signed(), ACCOUNT)
        except CannotVerify as exc:
            failed.append(str(exc))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    while not certificates._awaited:
        time.sleep(0.001)
    came.set()
    for thread in threads:
        thread.join()
    assert len(failed) == 8
    assert all("ConnectionRefusedError" in one or "just now" in one for one in failed)
    assert certificates._awaited == {}


def test_a_certificate_that_failed_is_asked_for_again_after_a_pause(store: Path) -> None:
    clock = [100.0]
    asked: list[str] = []
    certificates = Certificates(reading(store, asked), clock=lambda: clock[0])
    verifier = topic.Pushes(certificates).verify
    push = Push(address="https://mnstest.oss-cn-hangzhou.aliyuncs.com/later.pem").signed()
    for _ in range(3):
        with pytest.raises(CannotVerify):
            verifier(push, ACCOUNT)
    assert len(asked) == 1
    (store / "later.pem").write_bytes((store / "x509_public_certificate.pem").read_bytes())
    clock[0] += PAUSE - 0.1
    with pytest.raises(CannotVerify, match="just now"):
        verifier(push, ACCOUNT)
    clock[0] += 0.1
    assert verifier(push, ACCOUNT).keys
    assert len(asked) == 2


def test_what_is_remembered_of_certificates_has_bounds(store: Path) -> None:
    asked: list[str] = []
    certificates = Certificates(reading(store, asked), clock=lambda: 0.0)
    verifier = topic.Pushes(certificates).verify
    for number in range(200):
        good = f"https://mnstest.oss-cn-hangzhou.aliyuncs.com/{number}/x509_public_certificate.pem"
        assert verifier(Push(address=good).signed(), ACCOUNT).keys
        with pytest.raises(CannotVerify):
            verifier(Push(address=f"https://mnstest.oss-cn-hangzhou.aliyuncs.com/{number}.pem").signed(), ACCOUNT)
    assert len(certificates._known) == len(certificates._failed) == 64


def test_only_a_few_certificates_are_fetched_at_one_time(store: Path, asked: list[str]) -> None:
    came = threading.Event()
    read = reading(store, asked)

    def fetch(url: str) -> bytes:
        came.wait()
        return read(url)

    certificates = Certificates(fetch)
    verifier = topic.Pushes(certificates).verify
    addresses = [f"https://mns-cert.oss-cn-{n}.aliyuncs.com/x509_public_certificate.pem" for n in range(5)]
    threads = [threading.Thread(target=verifier, args=(Push(address=one).signed(), ACCOUNT)) for one in addresses[:4]]
    for thread in threads:
        thread.start()
    while len(certificates._awaited) < 4:
        time.sleep(0.001)
    with pytest.raises(CannotVerify, match="too many"):
        verifier(Push(address=addresses[4]).signed(), ACCOUNT)
    came.set()
    for thread in threads:
        thread.join()
    assert verifier(Push(address=addresses[4]).signed(), ACCOUNT).keys


# --- over a real TLS connection ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A server on loopback with a certificate of its own CA."""

    url: str
    ca: Path
    asked: list[str]

    def fetch(self, path: str, patience: float = PATIENCE) -> bytes:
        return fetch_https(self.url + path, context=ssl.create_default_context(cafile=str(self.ca)), patience=patience)


def handler(store: Path, asked: list[str], stop: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/x509_public_certificate.pem")
                self.end_headers()
                return
            if self.path == "/drip":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                while not stop.wait(0.05):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                return
            if self.path == "/silent":
                stop.wait()
                return
            body = b"x" * (MOST_BYTES + 1) if self.path == "/large" else None
            file = store / self.path[1:]
            if body is None and not file.exists():
                self.send_error(404)
                return
            content = file.read_bytes() if body is None else body
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that hang up, which is what they are here for."""


@contextmanager
def serving(store: Path, folder: Path) -> Iterator[Bucket]:
    root = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    host = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    today = int(time.time() * 1000)
    make = partial(certificate, begins=today - DAY, ends=today + DAY)
    authority = make(root, ca=True)
    (folder / "ca.pem").write_bytes(pem(authority))
    (folder / "host.pem").write_bytes(
        pem(make(host, issuer=(authority, root)))
        + host.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    asked: list[str] = []
    stop = threading.Event()
    server = Quiet(("127.0.0.1", 0), handler(store, asked, stop))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "host.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Bucket(url=f"https://localhost:{server.server_port}", ca=folder / "ca.pem", asked=asked)
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def bucket(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with serving(store, tmp_path_factory.mktemp("bucket")) as told:
        yield told


def test_a_certificate_is_fetched_over_tls_and_verifies_a_push(bucket: Bucket) -> None:
    def fetch(url: str) -> bytes:
        return bucket.fetch("/" + url.rpartition("/")[2])

    assert topic.Pushes(Certificates(fetch)).verify(Push().signed(), ACCOUNT).keys


def test_a_host_whose_certificate_nobody_vouches_for_is_not_asked(bucket: Bucket) -> None:
    asked = len(bucket.asked)
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch_https(bucket.url + "/x509_public_certificate.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch_https(
            bucket.url.replace("localhost", "127.0.0.1") + "/x509_public_certificate.pem",
            context=ssl.create_default_context(cafile=str(bucket.ca)),
        )
    assert len(bucket.asked) == asked


@pytest.mark.parametrize("path", ["/moved", "/absent.pem", "/large", "/drip", "/silent"])
def test_a_redirect_an_error_and_what_is_too_large_or_too_slow_are_failures(bucket: Bucket, path: str) -> None:
    with pytest.raises((OSError, HTTPException)):
        bucket.fetch(path, patience=0.3)
    assert bucket.asked[-1] == path


def test_a_host_that_is_away_is_no_refusal() -> None:
    def fetch(_: str) -> bytes:
        return fetch_https("https://localhost:1/x509_public_certificate.pem", patience=1)

    with pytest.raises(CannotVerify, match="could not be fetched: ConnectionRefusedError"):
        topic.Pushes(Certificates(fetch)).verify(Push().signed(), ACCOUNT)
