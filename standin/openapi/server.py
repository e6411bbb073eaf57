"""HTTP/1.1 on loopback: a thread per connection, kept alive; answers sent whole, cut, halved or byte by byte."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, cast

from standin.openapi.control import PREFIX, control
from standin.openapi.desk import Sending
from standin.openapi.wire import Answer, Request

if TYPE_CHECKING:
    from standin.openapi.desk import Desk

#: a larger body is refused; the vendors' calls are a few kilobytes
LARGEST_BODY = 1024 * 1024


class Server(ThreadingHTTPServer):
    """The listening socket and its connections. Raises OSError where the port is taken."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, desk: Desk, *, host: str, port: int) -> None:
        self.desk = desk
        self.numbers = itertools.count(1)
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((host, port), _Connection)

    def server_bind(self) -> None:
        """Bind without asking a name server for the host's name, as the parent would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = cast("tuple[str, int]", self.server_address[:2])

    def opened(self, connection: socket.socket) -> None:
        """Remember a connection, so that closing can end it; one that comes while closing is ended at once."""
        with self._lock:
            self._connections.add(connection)
        if self.desk.closing.is_set():
            self.hang_up()

    def ended(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._connections.discard(connection)

    def hang_up(self) -> None:
        """End every connection, whatever it waits for."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a caller who went away; anything else is a fault of ours and shows."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(cast("socket.socket", request), client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "standin"
    sys_version = ""
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.number = next(self.server.numbers)
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.ended(self.connection)
        with contextlib.suppress(ConnectionError):
            super().finish()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the parent's signature
        """Keep quiet: the journal tells more."""

    def _serve(self) -> None:
        request = self._read()
        if request is None:
            self.close_connection = True
            self._send(Sending(answer=Answer(status=413, body=b"")))
        elif request.path.startswith(PREFIX):
            self._send(Sending(answer=control(self.server.desk, request)))
        else:
            self._send(self.server.desk.answer(request))

    def _read(self) -> Request | None:
        """Return the whole request, or None where its length is missing, wrong or too large."""
        length = self.headers.get("Content-Length", "0")
        if (
            "Transfer-Encoding" in self.headers
            or not (length.isascii() and length.isdigit())
            or int(length) > LARGEST_BODY
        ):
            return None
        path, _, query = self.path.partition("?")
        return Request(
            method=self.command,
            path=path,
            query=query,
            headers=tuple(self.headers.items()),
            body=self.rfile.read(int(length)),
            connection=self.number,
        )

    def _send(self, sending: Sending) -> None:
        if sending.manner == "hang":
            self._wait_for_the_end()
        if sending.answer is None or sending.manner == "cut":
            self.close_connection = True
            return
        head, body = self._head(sending.answer), sending.answer.body
        if sending.manner == "half":
            self.close_connection = True
            self.wfile.write(head + body[: len(body) // 2])
        elif sending.manner == "trickle":
            self._trickle(head + body, sending.seconds)
        else:
            self.wfile.write(head + body)

    def _head(self, answer: Answer) -> bytes:
        lines = [f"{self.protocol_version} {answer.status} {self.responses.get(answer.status, ('',))[0]}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        if answer.status != 204:
            lines.append(f"Content-Length: {len(answer.body)}")
        lines += [f"Date: {self.date_time_string()}"]
        if self.close_connection:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _trickle(self, whole: bytes, seconds: float) -> None:
        pause = seconds / len(whole)
        for number in range(len(whole)):
            self.server.desk.closing.wait(pause)
            self.wfile.write(whole[number : number + 1])

    def _wait_for_the_end(self) -> None:
        while not self.server.desk.closing.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.05)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                return
            if readable:  # the caller sends more on a line that will never answer
                self.server.desk.closing.wait(0.05)
