"""Decides whether the body of a request is whole: only a whole one is a delivery.

A WSGI server may hand over a body that is shorter than its Content-Length as if it were complete, and raises its own
exceptions at a broken chunked one; from here on there are only bytes, IncompleteDelivery and TooLarge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gunicorn.http.errors import ParseException

from handlers.errors import IncompleteDelivery, TooLarge
from webhook.reception import BrokenOff

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, WSGIEnvironment

#: bytes asked for at once
PIECE = 65_536


def read_body(environ: WSGIEnvironment, limit: int) -> bytes:
    """Return the whole body of a request.

    Args:
        environ: of the request; its `wsgi.input` is read to the end of the body, and not beyond.
        limit: bytes; a longer body is not read at all if it announces its length, and not further than this otherwise.

    Raises:
        IncompleteDelivery: the body is shorter than announced, broken, or did not come in time. The message says how
            many bytes came and how many were announced.
        TooLarge: the body is longer than `limit`.

    """
    announced = _announced(environ)
    if announced is not None and announced > limit:
        raise _too_large(f"{announced} bytes were announced", limit)
    body = bytearray()
    try:
        _fill(body, environ["wsgi.input"], announced if announced is not None else limit + 1)
    except BrokenOff as error:
        if error.too_large:
            raise _too_large(f"more than {error.came} bytes came", limit) from error
        raise _incomplete(error.came, announced) from error
    except (ParseException, OSError) as error:
        raise _incomplete(len(body), announced) from error
    if len(body) > limit:
        raise _too_large(f"more than {limit} bytes came", limit)
    if announced is not None and len(body) < announced:
        raise _incomplete(len(body), announced)
    return bytes(body)


def _announced(environ: WSGIEnvironment) -> int | None:
    """Return the announced length in bytes, or None where only the end of the input tells it."""
    text = environ.get("CONTENT_LENGTH") or ""
    if text.isascii() and text.isdigit():
        return int(text[:40])
    if text:
        raise IncompleteDelivery(f"the Content-Length is {text[:40]!r}; expected the number of bytes of the body")
    # Without a length there is no body, unless it comes in chunks. The server has decoded them; asking it for a body
    # that it doesn't end itself would wait for ever.
    return None if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() else 0


def _fill(body: bytearray, stream: InputStream, size: int) -> None:
    """Read from `stream` until `body` has `size` bytes, or the stream ends."""
    while len(body) < size:
        piece = stream.read(min(PIECE, size - len(body)))
        if not piece:
            return
        body += piece


def _incomplete(came: int, announced: int | None) -> IncompleteDelivery:
    if announced is None:
        return IncompleteDelivery(f"the chunked body broke off or is malformed: {came} bytes came before that")
    return IncompleteDelivery(f"the body is incomplete: {came} bytes came, {announced} were announced")


def _too_large(what: str, limit: int) -> TooLarge:
    return TooLarge(f"the body is too large: {what}, at most {limit} are taken (REELHOOK_MAX_BODY)")
