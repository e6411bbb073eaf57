"""What counts as a whole body; the same over real sockets stands in test_server.py."""

from __future__ import annotations

import io
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser

from handlers.errors import IncompleteDelivery, RefusedDelivery, TooLarge
from webhook.body import read_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed.wsgi import WSGIEnvironment

    FromGunicorn = Callable[[bytes], WSGIEnvironment]

LIMIT = 100


def announced(body: bytes, length: object) -> WSGIEnvironment:
    return {"CONTENT_LENGTH": str(length), "wsgi.input": io.BytesIO(body)}


@pytest.fixture
def from_gunicorn() -> Iterator[FromGunicorn]:
    """Send bytes through a real socket, end it, and let gunicorn's own reader stand at the other side."""
    with ExitStack() as stack:

        def send(sent: bytes) -> WSGIEnvironment:
            client, server = socket.socketpair()
            stack.enter_context(server)
            with client:
                client.sendall(sent)
            request = next(RequestParser(Config(), server, ("127.0.0.1", 1)))
            environ: dict[str, Any] = {"wsgi.input": request.body}
            for name, value in request.headers:
                environ["CONTENT_LENGTH" if name == "CONTENT-LENGTH" else "HTTP_" + name.replace("-", "_")] = value
            return environ

        yield send


def chunked(rest: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + rest


def test_a_whole_body_is_returned_and_nothing_beyond_it_is_read() -> None:
    environ = announced(b"body and more", 4)
    assert read_body(environ, LIMIT) == b"body"
    assert environ["wsgi.input"].read() == b" and more"


def test_a_body_of_just_the_limit_is_whole_and_one_byte_more_is_too_large() -> None:
    assert read_body(announced(b"x" * LIMIT, LIMIT), LIMIT) == b"x" * LIMIT
    with pytest.raises(TooLarge, match="101 bytes were announced, at most 100"):
        read_body(announced(b"x" * 101, 101), LIMIT)


def test_a_body_that_announces_too_much_is_not_read_at_all() -> None:
    environ = announced(b"x" * 500, 500)
    with pytest.raises(TooLarge):
        read_body(environ, LIMIT)
    assert environ["wsgi.input"].tell() == 0


@pytest.mark.parametrize("environ", [{}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}])
def test_without_a_length_there_is_no_body(environ: dict[str, Any]) -> None:
    stream = io.BytesIO(b"the next request")
    assert read_body({**environ, "wsgi.input": stream}, LIMIT) == b""
    assert stream.tell() == 0


@pytest.mark.parametrize("length", ["-1", "1.5", "four", "²", "+4", "0x4"])
def test_a_length_that_is_none_is_said_to_be_none(length: str) -> None:
    with pytest.raises(IncompleteDelivery, match="expected the number of bytes"):
        read_body(announced(b"body", length), LIMIT)


def test_a_short_body_says_how_much_came_and_how_much_was_announced(from_gunicorn: FromGunicorn) -> None:
    for environ in (announced(b"four", 9), from_gunicorn(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nfour")):
        with pytest.raises(IncompleteDelivery, match="4 bytes came, 9 were announced"):
            read_body(environ, LIMIT)


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"4\r\nfo", id="half-a-chunk"),
        pytest.param(b"4\r\nfour\r\n", id="no-last-chunk"),
        pytest.param(b"4\r\nfour\r\n0\r\n", id="no-end"),
        pytest.param(b"4\r\nfourth\r\n0\r\n\r\n", id="longer-than-it-says"),
        pytest.param(b"z\r\nfour\r\n0\r\n\r\n", id="no-size"),
        pytest.param(b"4;=\r\nfour\r\n0\r\n\r\n", id="bad-extension"),
        pytest.param(b"4\r\nfour\r\n0\r\nno field\r\n\r\n", id="bad-trailer"),
    ],
)
def test_whatever_gunicorn_raises_at_a_broken_chunked_body_is_an_incomplete_delivery(
    from_gunicorn: FromGunicorn, rest: bytes
) -> None:
    with pytest.raises(IncompleteDelivery, match="chunked body broke off or is malformed"):
        read_body(from_gunicorn(chunked(rest)), LIMIT)


def test_a_chunked_body_is_counted_while_it_is_read(from_gunicorn: FromGunicorn) -> None:
    assert read_body(from_gunicorn(chunked(b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n")), LIMIT) == b"x" * 100
    with pytest.raises(TooLarge, match="more than 100 bytes came"):
        read_body(from_gunicorn(chunked(b"64\r\n" + b"x" * 100 + b"\r\n1\r\nx\r\n0\r\n\r\n")), LIMIT)


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), TimeoutError("timed out")])
def test_a_connection_that_fails_while_it_is_read_is_an_incomplete_delivery(error: OSError) -> None:
    class Failing(io.RawIOBase):
        def read(self, _: int = -1) -> bytes:
            raise error

    with pytest.raises(IncompleteDelivery, match="0 bytes came, 9 were announced"):
        read_body({"CONTENT_LENGTH": "9", "wsgi.input": Failing()}, LIMIT)


def test_both_refusals_tell_the_sender_their_status() -> None:
    for error, status, reason in ((IncompleteDelivery, 400, "incomplete"), (TooLarge, 413, "too_large")):
        assert issubclass(error, RefusedDelivery)
        assert (error.status, error.reason) == (status, reason)
