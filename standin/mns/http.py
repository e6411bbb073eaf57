"""How HTTP/1.1 requests are read off a connection and replies written onto it.

The standard library's handler parses headers as e-mail, which costs more than everything that a queue does; this reads
only what is needed.
"""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, BinaryIO

from standin.mns.call import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LONGEST_LINE = 65_536
_MOST_HEADERS = 100
_LARGEST_BODY = 1 << 20


class UnreadableRequest(Exception):
    """What came is no HTTP request that can be answered by MNS; the connection has to end."""

    def __init__(self, status: int, problem: str) -> None:
        """Take the HTTP status to answer with."""
        super().__init__(problem)
        self.status = status


def read_request(stream: BinaryIO, proceed: Callable[[bytes], object]) -> tuple[Request, bool] | None:
    """Read the next request and whether the connection stays open after it; None once the caller has hung up.

    A caller that asks before it sends a body (Expect, as curl does) is told through `proceed` to go on.

    Raises:
        UnreadableRequest: It is no HTTP/1.x, over the size, or chunked.
    """
    line = stream.readline(_LONGEST_LINE + 1)
    if line in (b"\r\n", b"\n"):  # RFC 9112 section 2.2: an empty line before a request is let pass
        line = stream.readline(_LONGEST_LINE + 1)
    if not line:
        return None
    words = line.decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise UnreadableRequest(400, "The first line is no HTTP/1.x request.")
    headers = _read_headers(stream)
    length = _length(headers)
    if headers.get("expect", "").lower() == "100-continue":
        proceed(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = stream.read(length)
    connection = headers.get("connection", "").lower()
    stays = connection != "close" if words[2] != "HTTP/1.0" else connection == "keep-alive"
    return Request(words[0], words[1], headers, body), stays


def _read_headers(stream: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = stream.readline(_LONGEST_LINE + 1)
        if line in (b"\r\n", b"\n", b""):
            return headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or len(line) > _LONGEST_LINE:
            raise UnreadableRequest(400, "A header line has no colon, or is too long.")
        headers[name.lower()] = value.strip()
    raise UnreadableRequest(431, f"The request has more than {_MOST_HEADERS} headers.")


def _length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise UnreadableRequest(411, "The body is chunked, expected a Content-Length.")
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise UnreadableRequest(400, "Content-Length is no number.")
    if len(text) > 9 or int(text) > _LARGEST_BODY:
        raise UnreadableRequest(413, f"The body is over {_LARGEST_BODY} bytes.")
    return int(text)


def written(status: int, headers: Iterable[tuple[str, str]], body: bytes, *, case: str | None = None) -> bytes:
    """Write a whole reply; `case` (lower, upper, title) changes the names of its headers."""
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}"]
    change = {"lower": str.lower, "upper": str.upper, "title": str.title}.get(case or "", str)
    lines += [f"{change(name)}: {value}" for name, value in headers]
    if status != 204:
        lines.append(f"{change('Content-Length')}: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
