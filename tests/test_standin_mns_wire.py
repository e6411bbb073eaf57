"""What the vendor's client can't send to the MNS stand-in: missing and wrong headers, strange XML, strange HTTP."""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import socket
import ssl
import subprocess
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mns.mns_exception import MNSClientNetworkException
from mns_client import KEYS, client, refusal

from standin.mns import MnsStandin, wire
from standin.mns.errors import MnsError
from standin.mns.signature import sign

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MESSAGES = "/queues/recordings/messages"


@pytest.fixture
def mns() -> Iterator[MnsStandin]:
    with MnsStandin(access_keys=KEYS) as standin:
        standin.create_queue("recordings")
        yield standin


def ask(
    mns: MnsStandin, method: str, target: str, body: bytes = b"", changed: Mapping[str, str | None] | None = None
) -> tuple[int, str, Mapping[str, str]]:
    """Send a request that is right but for what is `changed` before it is signed; return status, code and headers."""
    headers: dict[str, str | None] = {
        "date": formatdate(usegmt=True),
        "x-mns-version": "2015-06-06",
        "content-type": "text/xml;charset=UTF-8" if body else None,
        "content-md5": md5(body) if body else None,
        **(changed or {}),
    }
    sent = {name: value for name, value in headers.items() if value is not None}
    if "authorization" not in headers:
        sent["authorization"] = f"MNS ak:{sign(KEYS['ak'], method=method, target=target, headers=sent)}"
    connection = http.client.HTTPConnection(mns.endpoint.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, target, body, sent)
        answer = connection.getresponse()
        code = re.search(r"<Code>(.*)</Code>", answer.read().decode())
        return answer.status, code[1] if code else "", dict(answer.getheaders())
    finally:
        connection.close()


def md5(body: bytes) -> str:
    """Return Content-MD5 as this vendor wants it: the base64 of the hexadecimal digest."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).hexdigest().encode()).decode()


def message(inside: str) -> bytes:
    return f'<Message xmlns="http://mns.aliyuncs.com/doc/v1/">{inside}</Message>'.encode()


# --- who asks ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"authorization": None}, 400, "MissingAuthorizationHeader"),
        ({"authorization": "Basic YTpi"}, 400, "InvalidAuthorizationHeader"),
        ({"authorization": "MNS ak"}, 400, "InvalidAuthorizationHeader"),
        ({"authorization": "MNS ak:"}, 400, "InvalidAuthorizationHeader"),
        ({"authorization": "MNS nobody:c2ln"}, 403, "InvalidAccessKeyId"),
        ({"authorization": "MNS ak:c2ln"}, 403, "SignatureDoesNotMatch"),
        ({"authorization": "MNS ak:\xe9"}, 403, "SignatureDoesNotMatch"),
        ({"date": None}, 400, "MissingDateHeader"),
        ({"date": "yesterday"}, 400, "InvalidDateHeader"),
        ({"date": "Sat, 21 Nov 2026 12:00:00 +0800"}, 400, "InvalidDateHeader"),
        ({"date": "Thu, 01 Jan 1970 00:00:00 GMT"}, 408, "TimeExpired"),
        ({"x-mns-version": None}, 400, "InvalidArgument"),
        ({"x-mns-version": "2014-07-08"}, 400, "InvalidArgument"),
    ],
)
def test_a_request_that_is_not_rightly_signed_is_refused(
    mns: MnsStandin, changed: Mapping[str, str | None], status: int, code: str
) -> None:
    assert ask(mns, "GET", MESSAGES, changed=changed)[:2] == (status, code)


def test_the_signature_covers_path_query_and_headers(mns: MnsStandin) -> None:
    headers = {"date": formatdate(usegmt=True), "x-mns-version": "2015-06-06"}
    signature = sign(KEYS["ak"], method="GET", target=f"{MESSAGES}?waitseconds=0", headers=headers)
    right = {**headers, "authorization": f"MNS ak:{signature}"}
    assert ask(mns, "GET", f"{MESSAGES}?waitseconds=0", changed=right)[:2] == (404, "MessageNotExist")
    for method, target, more in (
        ("GET", f"{MESSAGES}?waitseconds=1", {}),
        ("GET", f"{MESSAGES}?", {}),
        ("DELETE", f"{MESSAGES}?waitseconds=0", {}),
        ("GET", f"{MESSAGES}?waitseconds=0", {"x-mns-user-request-id": "1"}),
        ("GET", f"{MESSAGES}?waitseconds=0", {"content-type": "text/plain"}),
    ):
        assert ask(mns, method, target, changed={**right, **more})[1] == "SignatureDoesNotMatch"


def test_a_digest_that_is_not_the_bodys_is_refused(mns: MnsStandin) -> None:
    body = message("<MessageBody>a</MessageBody>")
    raw = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    for digest in (md5(b"another"), raw, ""):
        assert ask(mns, "POST", MESSAGES, body, {"content-md5": digest})[:2] == (400, "InvalidDegist")
    assert ask(mns, "POST", MESSAGES, body, {"content-md5": None})[0] == 201
    assert ask(mns, "POST", MESSAGES, body)[0] == 201


def test_every_reply_bears_a_request_id_and_the_version(mns: MnsStandin) -> None:
    seen = set()
    for method, target in (("GET", MESSAGES), ("GET", "/queues"), ("GET", "/nowhere"), ("DELETE", "/queues/none")):
        _, _, headers = ask(mns, method, target)
        assert headers["x-mns-version"] == "2015-06-06"
        seen.add(headers["x-mns-request-id"])
    assert len(seen) == 4


# --- what is asked ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", f"{MESSAGES}?WaitSeconds=0", 400, "InvalidQueryString"),
        ("GET", f"{MESSAGES}?NumOfMessages=1", 400, "InvalidQueryString"),
        ("GET", f"{MESSAGES}?waitseconds=x", 400, "InvalidArgument"),
        ("GET", f"{MESSAGES}?waitseconds=-1", 400, "InvalidArgument"),
        ("GET", f"{MESSAGES}?numOfMessages=1.5", 400, "InvalidArgument"),
        ("GET", f"{MESSAGES}?numOfMessages=", 400, "InvalidArgument"),
        ("DELETE", MESSAGES, 400, "MissingReceiptHandle"),
        ("DELETE", f"{MESSAGES}?ReceiptHandle=", 400, "MissingReceiptHandle"),
        ("DELETE", f"{MESSAGES}?receipthandle=x", 400, "InvalidQueryString"),
        ("PUT", f"{MESSAGES}?VisibilityTimeout=3", 400, "MissingReceiptHandle"),
        ("PUT", f"{MESSAGES}?ReceiptHandle=x", 400, "MissingVisibilityTimeout"),
        ("PATCH", MESSAGES, 400, "InvalidRequestURL"),
        ("GET", "/?AccountMeta=true", 400, "InvalidQueryString"),
        ("GET", "/queue/recordings", 400, "InvalidRequestURL"),
        ("POST", "/queues/recordings", 400, "InvalidRequestURL"),
        ("GET", "/queues/recordings/messages/more", 400, "InvalidRequestURL"),
    ],
)
def test_a_request_that_makes_no_sense_gets_its_code(
    mns: MnsStandin, method: str, target: str, status: int, code: str
) -> None:
    assert ask(mns, method, target)[:2] == (status, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<Message>", "MalformedXML"),
        (b"\xff\xfe", "MalformedXML"),
        (b'{"MessageBody": "a"}', "MalformedXML"),
        (b"<?xml version='1.0' encoding='no-such'?><Message/>", "MalformedXML"),
        (b"<Message><MessageBody>\x01</MessageBody></Message>", "MalformedXML"),
        (b'<!DOCTYPE m [<!ENTITY e "x">]><Message><MessageBody>&e;</MessageBody></Message>', "MalformedXML"),
        (b'<!DOCTYPE m SYSTEM "http://127.0.0.1:9/x"><Message><MessageBody>a</MessageBody></Message>', "MalformedXML"),
        (b"<Message>" + b"<a>" * 50 + b"</a>" * 50 + b"</Message>", "MalformedXML"),
        (b"", "MalformedXML"),
        (b"<Letter/>", "InvalidArgument"),
        (b"<Message/>", "InvalidArgument"),
        (message("<MessageBody/>"), "InvalidArgument"),
        (message("<MessageBody>a</MessageBody><Priority>high</Priority>"), "InvalidArgument"),
        (message("<MessageBody>a</MessageBody><DelaySeconds>-1</DelaySeconds>"), "InvalidArgument"),
    ],
)
def test_a_body_that_can_not_be_read_gets_its_code(mns: MnsStandin, body: bytes, code: str) -> None:
    assert ask(mns, "POST", MESSAGES, body)[:2] == (400, code)
    assert mns.messages("recordings") == []


def test_a_prefix_for_the_namespace_is_as_good(mns: MnsStandin) -> None:
    body = b'<m:Message xmlns:m="http://mns.aliyuncs.com/doc/v1/"><m:MessageBody>a</m:MessageBody></m:Message>'
    assert ask(mns, "POST", MESSAGES, body)[0] == 201
    assert [one.body for one in mns.messages("recordings")] == ["a"]


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
    | st.text("\r\n\t <&>]\"'课")
)
def test_any_text_survives_writing_and_reading(text: str) -> None:
    assert wire.parse(wire.document("Message", wire.lines({"MessageBody": text}))).texts() == {"MessageBody": text}


@given(st.binary(max_size=200))
def test_no_bytes_bring_the_reader_down(document: bytes) -> None:
    try:
        wire.parse(document)
    except MnsError as exc:
        assert exc.code == "MalformedXML"  # noqa: PT017 - reading may succeed as well


# --- HTTP itself ------------------------------------------------------------------------------------------------------
def converse(mns: MnsStandin, sent: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes."""
    host, _, port = mns.endpoint.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        with connection.makefile("rb") as answer:
            return answer.read()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_answered_and_closed(mns: MnsStandin, sent: bytes, status: int) -> None:
    assert converse(mns, sent).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_connection_serves_requests_one_after_another_until_it_is_to_close(mns: MnsStandin) -> None:
    staying, last = b"GET /queues HTTP/1.1\r\n\r\n", b"GET /queues HTTP/1.1\r\nConnection: close\r\n\r\n"
    answers = converse(mns, staying * 3 + last * 2)
    assert answers.count(b"HTTP/1.1 400 Bad Request") == 4
    assert answers.count(b"MissingAuthorizationHeader") == 4


def test_a_caller_that_asks_before_sending_a_body_is_told_to_go_on(mns: MnsStandin) -> None:
    head = (
        b"POST /-/messages?queue=recordings HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\nConnection: close"
    )
    answer = converse(mns, head + b"\r\n\r\na")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n")
    assert [one.body for one in mns.messages("recordings")] == ["a"]


def test_a_caller_that_breaks_off_does_no_harm(mns: MnsStandin) -> None:
    host, _, port = mns.endpoint.removeprefix("http://").partition(":")
    for part in (b"", b"GET", b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc"):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(part)
    assert ask(mns, "GET", MESSAGES)[1] == "MessageNotExist"


def test_it_can_be_an_https_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with MnsStandin(access_keys=KEYS, tls=tls) as mns, client(mns) as account:
        mns.create_queue("recordings")
        mns.send("recordings", "a")
        queue: Any = account.get_queue("recordings")
        queue.set_encoding(False)
        assert queue.receive_message(0).message_body == "a"
        assert refusal(queue.receive_message, 1).type == "MessageNotExist"
        host, _, port = mns.endpoint.removeprefix("https://").partition(":")
        silent = socket.create_connection((host, int(port)))  # never shakes hands
        started = time.monotonic()
        mns.stop()
        assert time.monotonic() - started < 10
        silent.close()
        with pytest.raises(MNSClientNetworkException):
            queue.receive_message(0)
