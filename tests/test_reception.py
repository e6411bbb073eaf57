"""Where a request ends: however it is cut, and always where gunicorn's own parser says so."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser
from gunicorn.http.errors import NoMoreData, ParseException
from hypothesis import given
from hypothesis import strategies as st

from webhook.reception import BrokenOff, Reception, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 1000
NOBODY = ("127.0.0.1", 1)

bodies = st.binary(max_size=60)
extensions = st.sampled_from([b"", b";a=b", b" ;a"])
trailers = st.sampled_from([b"", b"X-Sum: 1\r\n", b"A: b\r\nC: d\r\n"])


@st.composite
def with_length(draw: st.DrawFn) -> tuple[bytes, bytes]:
    body = draw(bodies)
    name = draw(st.sampled_from([b"Content-Length", b"content-length"]))
    return b"POST /a?b HTTP/1.1\r\nHost: c\r\n%b: %d\r\n\r\n%b" % (name, len(body), body), body


@st.composite
def in_chunks(draw: st.DrawFn) -> tuple[bytes, bytes]:
    pieces = [piece for piece in draw(st.lists(bodies, max_size=4)) if piece]
    lines = [b"%x%b\r\n%b\r\n" % (len(piece), draw(extensions), piece) for piece in pieces]
    head = b"POST /a HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"
    return head + b"".join(lines) + b"0\r\n" + draw(trailers) + b"\r\n", b"".join(pieces)


requests = st.one_of(with_length(), in_chunks(), st.just((b"GET / HTTP/1.1\r\nHost: c\r\n\r\n", b"")))


def read(parser: RequestParser) -> bytes:
    body = next(parser).body
    assert body is not None
    return body.read()


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


@given(st.lists(requests, min_size=1, max_size=4), st.lists(st.integers(min_value=0), max_size=12))
def test_requests_one_after_another_end_where_gunicorn_ends_them_however_they_are_cut(
    sent: list[tuple[bytes, bytes]],
    places: list[int],
) -> None:
    reception = Reception(LIMIT)
    parser = RequestParser(Config(), reception, NOBODY)
    found = []
    for piece in cut(b"".join(request for request, _ in sent), places):
        reception.add(piece)
        while reception.whole:
            found.append(read(parser))
            finished: object = parser.finish_body()  # type: ignore[func-returns-value] # the stubs are older
            assert finished
            assert parser.unreader.take_buffered() == b""
            reception.restart()
    assert found == [body for _, body in sent]
    assert reception.held == b""


@given(requests, st.integers(min_value=0))
def test_a_part_of_a_request_is_never_whole_and_never_read_as_whole(sent: tuple[bytes, bytes], place: int) -> None:
    request, _ = sent
    reception = Reception(LIMIT)
    reception.add(request[: place % len(request)])
    if reception.stage is not Stage.HEAD:
        assert reception.stage is Stage.BODY
        with pytest.raises((NoMoreData, ParseException)):
            read(RequestParser(Config(), reception, NOBODY))


@given(st.binary(max_size=300))
def test_no_bytes_break_it_and_gunicorn_reads_nothing_beyond_what_is_whole(data: bytes) -> None:
    reception = Reception(LIMIT)
    reception.add(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    try:
        read(RequestParser(Config(), reception, NOBODY))
    except (NoMoreData, ParseException):
        return
    assert reception.stage is Stage.WHOLE


@pytest.mark.parametrize(
    ("data", "stage"),
    [
        (b"", Stage.HEAD),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r", Stage.HEAD),
        (b"POST / HTTP/1.1\nHost: x\n\n", Stage.MALFORMED),
        (b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, Stage.LONG_HEAD),
        (b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n", Stage.BODY),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", Stage.TOO_LARGE),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", Stage.TOO_LARGE),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", Stage.MALFORMED),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", Stage.MALFORMED),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", Stage.MALFORMED),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", Stage.TOO_LARGE),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 9000, Stage.MALFORMED),
    ],
)
def test_a_request_that_will_never_be_whole_is_known_as_soon_as_it_can_be(data: bytes, stage: Stage) -> None:
    reception = Reception(LIMIT)
    reception.add(data)
    assert reception.stage is stage


def test_chunks_so_small_that_their_framing_outweighs_them_are_too_large() -> None:
    reception = Reception(100_000)
    reception.add(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000)
    assert reception.stage is Stage.TOO_LARGE


def test_what_is_cut_off_says_how_much_of_the_body_came_and_quotes_nothing() -> None:
    reception = Reception(LIMIT)
    reception.add(b"POST /?token=planted HTTP/1.1\r\nContent-Length: 9\r\n\r\nfour")
    next(reception)
    with pytest.raises(BrokenOff, match="after 4 bytes of its body") as caught:
        next(reception)
    assert (caught.value.came, caught.value.too_large) == (4, False)
    assert "planted" not in str(caught.value)


def test_only_a_client_of_http_1_1_can_expect_100() -> None:
    for version, expected in ((b"1.1", True), (b"1.0", False)):
        reception = Reception(LIMIT)
        reception.add(b"POST / HTTP/%b\r\nExpect: 100-Continue\r\nContent-Length: 9\r\n\r\n" % version)
        assert reception.expects_continue is expected
