"""Receivers of what Reelhook sends: one that answers over HTTP as told, one that says exactly these bytes."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from rule_operations import change

from handlers.destinations import Handover
from handlers.destinations.telling import tell
from handlers.settings import HttpDestination

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence

    from handlers.rules import Change

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
ACTION = "act_01jf3q"
TOLD = tell(change("recording.available"))


@dataclass(frozen=True, kw_only=True)
class Got:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    peer: tuple[str, int]


@dataclass(kw_only=True)
class Receiver:
    """A server that keeps what it gets and answers as told."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    got: list[Got] = field(default_factory=list)
    url: str = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def receiver(*, context: ssl.SSLContext | None = None, **told: Any) -> Iterator[Receiver]:
    """Run a receiver on loopback."""
    receiving = Receiver(**told)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiving.got.append(Got(path=self.path, headers=headers, body=body, peer=self.client_address))
            self.send_response(receiving.status)
            for name, value in {"Content-Length": str(len(receiving.body)), **receiving.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(receiving.body)

        do_PUT = do_POST  # noqa: N815 - the name that http.server asks for

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiving.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiving
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def speaker(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a server that, once it has the request's headers, does with the connection what it is told to."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with suppress(OSError):
            got = b""
            while b"\r\n\r\n" not in got:
                part = connection.recv(65_536)
                if not part:
                    return
                got += part
            speak(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for one in (listener, *connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        thread.join()


def says(*parts: bytes, pause: float = 0, closes: bool = True) -> Callable[[socket.socket], None]:
    """Return a way to speak: these parts one after the other, then the end of the connection, or silence."""

    def speak(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        if closes:
            connection.shutdown(socket.SHUT_RDWR)

    return speak


def destination(url: str, *, allow_private: Sequence[Any] = LOOPBACK, **told: Any) -> HttpDestination:
    """Return a destination on this machine."""
    return HttpDestination(
        name="captioning", kind="http", url=url, allow_private=tuple(allow_private), **{"timeout": 5_000, **told}
    )


def handover(about: Change | None = None, **told: Any) -> Handover:
    """Return an action in hand, for a recording that became available unless told otherwise."""
    usual: dict[str, Any] = {"id": ACTION, "parameters": {"to": "captioning"}, "at": int(time.time() * 1000)}
    return Handover(**{"told": TOLD if about is None else tell(about), **usual, **told})
