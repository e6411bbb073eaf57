"""Decides what a client gets whose request never reached the application.

The answers are fixed texts: they quote nothing of the request, because its query may hold a secret.
"""

from __future__ import annotations

import json
from enum import Enum

from gunicorn.http import errors


class ServerAnswer(Enum):
    """An answer that the server gives itself: status, its name, what was expected."""

    BROKEN_OFF = (400, "Bad Request", "the request ended before its head was whole")
    TOO_SLOW = (408, "Request Timeout", "the request did not arrive in time; send head and body without pauses")
    LONG_LINE = (414, "URI Too Long", "the request line is over 8190 bytes")
    LONG_HEAD = (431, "Request Header Fields Too Large", "the header fields are too many or too long")
    EXPECTATION = (417, "Expectation Failed", "the only expectation known is 100-continue")
    CODING = (501, "Not Implemented", "the only transfer coding known is chunked")
    MALFORMED = (400, "Bad Request", "the request is not well-formed HTTP/1.1")
    CROWDED = (503, "Service Unavailable", "too many unfinished requests; send this one again")
    FAILED = (500, "Internal Server Error", "something unforeseen happened; the log of the server says what")

    def __init__(self, status: int, title: str, detail: str) -> None:
        """Name the parts."""
        self.status = status
        self.title = title
        self.detail = detail

    @property
    def message(self) -> bytes:
        """The whole HTTP answer, after which the connection is closed."""
        problem = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}
        body = json.dumps(problem).encode()
        retry = "Retry-After: 1\r\n" if self is ServerAnswer.CROWDED else ""
        head = (
            f"HTTP/1.1 {self.status} {self.title}\r\n"
            f"Content-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"{retry}Connection: close\r\n\r\n"
        )
        return head.encode() + body


def answer_to(error: BaseException) -> ServerAnswer:
    """Say what an exception means for the client; what isn't gunicorn's word for a bad request is our failure."""
    special = {
        # The first two are bad requests by descent, but our own fault: the application sent a header that is none.
        errors.InvalidResponseHeader: ServerAnswer.FAILED,  # type: ignore[attr-defined] # newer than the stubs
        errors.InvalidResponseHeaderName: ServerAnswer.FAILED,  # type: ignore[attr-defined] # newer than the stubs
        errors.LimitRequestLine: ServerAnswer.LONG_LINE,
        errors.LimitRequestHeaders: ServerAnswer.LONG_HEAD,
        errors.ExpectationFailed: ServerAnswer.EXPECTATION,
        errors.UnsupportedTransferCoding: ServerAnswer.CODING,
        errors.ConfigurationProblem: ServerAnswer.FAILED,
    }
    fallback = ServerAnswer.MALFORMED if isinstance(error, errors.ParseException) else ServerAnswer.FAILED
    return next((answer for kind, answer in special.items() if isinstance(error, kind)), fallback)
