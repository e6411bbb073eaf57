"""Decides when a request has arrived whole: head found, body counted, nothing interpreted.

The server's loop adds bytes as they come; once the request is whole (or never will be), gunicorn's own parser reads it
from here, so that no thread ever waits for a client. What a request means stays gunicorn's decision: this module only
finds its end (RFC 9112 sections 6 and 7), and what it can't follow it passes on as it is, to be refused there.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from gunicorn.http.errors import NoMoreData

if TYPE_CHECKING:
    from collections.abc import Sequence

CRLF = b"\r\n"
END_OF_HEAD = b"\r\n\r\n"

#: bytes; request line and header fields together, and as much again for the trailers of a chunked body
HEAD_LIMIT = 65_536
#: bytes; the line that announces a chunk
CHUNK_LINE_LIMIT = 8_190
#: bytes; what the chunks' lines may take beside a quarter of the body: a body in chunks of one byte is an attack, for
#: each of them costs the parser more than it costs the sender
FRAMING_LIMIT = 65_536
#: bytes; in what pieces a chunked body is given out: the parser copies what it holds at every chunk
PIECE = 8_192
#: a chunk's size in hexadecimal digits; more than these is no size
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
BARE_NEWLINE = re.compile(rb"(?<!\r)\n")


class Stage(Enum):
    """How far a request has come."""

    HEAD = "its head isn't whole yet"
    BODY = "its head is whole, its body isn't"
    WHOLE = "nothing is missing"
    MALFORMED = "its end can't be found"
    LONG_HEAD = "its head is over the limit"
    TOO_LARGE = "its body is over the limit"


class BrokenOff(NoMoreData):
    """The request ends here, but it isn't whole. Raised instead of an end of file, which a reader might believe."""

    def __init__(self, came: int, *, too_large: bool) -> None:
        """Carry how many bytes of the body came, and whether it was cut because it is over the limit."""
        super().__init__()
        self.came = came
        self.too_large = too_large

    def __str__(self) -> str:
        """Say it without quoting the request, which holds secrets."""
        return f"the request broke off after {self.came} bytes of its body"


class Reception:
    """What has come in on one connection and isn't read yet.

    The loop and a thread use it in turns, never both at once: `add` until `stage` says that the request is complete or
    hopeless, then iterating (by gunicorn's parser), then `restart` for what follows on the same connection.
    """

    def __init__(self, max_body: int) -> None:
        """Count bodies up to `max_body` bytes; a longer one is TOO_LARGE as soon as that is known."""
        self.max_body = max_body
        self.held = bytearray()
        self._came = 0
        self.restart()

    def restart(self) -> None:
        """Begin the next request, with what already came after the last one (pipelining)."""
        self.stage = Stage.HEAD
        #: the client waits for "100 Continue" before it sends the body
        self.expects_continue = False
        self._seen = 0  # up to here there is no end of the head
        self._body = 0  # where the body begins
        self._end: int | None = None  # where the request ends, once known
        self._chunk = 0  # where the next chunk's line begins
        self._counted = 0  # bytes of the body in whole chunks
        self._partial = 0  # bytes of the body in the chunk that is coming
        self._read = False
        self._given = memoryview(b"")
        self._advance()

    def add(self, data: bytes) -> None:
        """Take what came."""
        self.held += data
        self._advance()

    @property
    def whole(self) -> bool:
        """Whether the request can be answered and another one may follow it."""
        return self.stage is Stage.WHOLE

    def __iter__(self) -> Reception:
        """Be the source that gunicorn's parser reads from."""
        return self

    def __next__(self) -> bytes:
        """Give out the request, once; raise BrokenOff to whoever wants more than came."""
        if not self._read:
            self._read = True
            self._given = memoryview(self._take())
        if not self._given:
            raise BrokenOff(self._came, too_large=self.stage is Stage.TOO_LARGE)
        most = PIECE if self._chunk else len(self._given)
        piece, self._given = bytes(self._given[:most]), self._given[most:]
        return piece

    def _take(self) -> bytes:
        """Take the request out of what is held."""
        self._came = self._partial + self._counted
        if self._end is not None and not self._chunk:
            self._came = min(len(self.held), self._end) - self._body
        # Of a malformed body only the sound chunks are given out: its reader meets BrokenOff where they end.
        end = self._end if self.whole else self._sound()
        data = bytes(self.held[:end])
        del self.held[:end]
        return data

    def _sound(self) -> int | None:
        return self._chunk if self.stage is Stage.MALFORMED and self._chunk else None

    def _advance(self) -> None:
        if self.stage is Stage.HEAD and self.held:
            self._find_head()
        if self.stage is Stage.BODY:
            if self._end is None:
                self._count_chunks()
            elif len(self.held) >= self._end:
                self.stage = Stage.WHOLE

    def _find_head(self) -> None:
        end = self.held.find(END_OF_HEAD, max(0, self._seen - len(END_OF_HEAD) + 1))
        if (end if end >= 0 else len(self.held)) > HEAD_LIMIT:
            self.stage = Stage.LONG_HEAD
        elif end >= 0:
            self._body = end + len(END_OF_HEAD)
            self._frame(bytes(self.held[:end]))
        elif BARE_NEWLINE.search(self.held, self._seen):
            # A head like that has no end that the parser would accept: let it say so now, not at the deadline.
            self.stage = Stage.MALFORMED
        self._seen = len(self.held)

    def _frame(self, head: bytes) -> None:
        """Find out what tells the length of the body (RFC 9112 section 6.3)."""
        first, *fields = head.removeprefix(CRLF).split(CRLF)
        lengths = _values(fields, b"content-length")
        codings = _values(fields, b"transfer-encoding")
        self.expects_continue = first.endswith(b"HTTP/1.1") and b"100-continue" in _values(fields, b"expect")
        self.stage = Stage.BODY
        if codings:
            self._chunk = self._body
            if lengths or codings != [b"chunked"]:
                self.stage = Stage.MALFORMED
        elif len(lengths) > 1 or not all(length.isdigit() for length in lengths):
            self.stage = Stage.MALFORMED
        else:
            # Cut, because int() raises on thousands of digits; forty are too large in any case.
            length = int(lengths[0][:40]) if lengths else 0
            self._end = self._body + length
            if length > self.max_body:
                self.stage = Stage.TOO_LARGE

    def _count_chunks(self) -> None:
        while self.stage is Stage.BODY:
            line_end = self._find(CRLF, self._chunk, CHUNK_LINE_LIMIT)
            if line_end is None:
                return
            digits = bytes(self.held[self._chunk : line_end]).split(b";", 1)[0].rstrip(b" \t")
            if not CHUNK_SIZE.fullmatch(digits):
                self.stage = Stage.MALFORMED
            elif int(digits, 16) == 0:
                self._find_end(line_end)
                return
            elif not self._take_chunk(line_end + len(CRLF), int(digits, 16)):
                return

    def _take_chunk(self, start: int, size: int) -> bool:
        """Count one chunk of `size` bytes from `start`, if it is there."""
        end = start + size
        self._partial = max(0, min(len(self.held), end) - start)
        framing = start - self._body - self._counted
        if self._counted + size > self.max_body or framing > FRAMING_LIMIT + self._counted // 4:
            self.stage = Stage.TOO_LARGE
        elif len(self.held) >= end + len(CRLF):
            if self.held.startswith(CRLF, end):
                self._counted, self._partial, self._chunk = self._counted + size, 0, end + len(CRLF)
                return True
            self.stage = Stage.MALFORMED
        return False

    def _find_end(self, last_line: int) -> None:
        """Find the end of the trailers, which begin at the end of the last chunk's line."""
        end = self._find(END_OF_HEAD, last_line, HEAD_LIMIT)
        if end is not None:
            self._end = end + len(END_OF_HEAD)
            self.stage = Stage.WHOLE

    def _find(self, what: bytes, start: int, limit: int) -> int | None:
        """Find `what` after `start`; more than `limit` bytes before it are MALFORMED."""
        found = self.held.find(what, start)
        if (found if found >= 0 else len(self.held)) - start > limit:
            self.stage = Stage.MALFORMED
            return None
        return found if found >= 0 else None


def _values(fields: Sequence[bytes], name: bytes) -> list[bytes]:
    """List what the header fields called `name` say, in lower case."""
    pairs = (field.partition(b":") for field in fields)
    return [value.strip(b" \t").lower() for key, _, value in pairs if key.strip(b" \t").lower() == name]
