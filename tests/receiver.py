"""A tiny receiver of callbacks, on loopback: it keeps what comes, byte for byte, and answers as it is told."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from handlers.clock import now_ms
from handlers.events import Incoming

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, kw_only=True)
class Came:
    """One request as it came."""

    target: str
    #: names in lower case
    headers: Mapping[str, str]
    body: bytes

    def incoming(self) -> Incoming:
        """Return it as Reelhook's HTTP door would."""
        parts = urlsplit(self.target)
        _, vendor, account = parts.path.strip("/").split("/")
        token = parse_qs(parts.query).get("token", [None])[0]
        return Incoming(
            vendor=vendor,
            account=account,
            door="http",
            received_at=now_ms(),
            headers=self.headers,
            body=self.body,
            token=token,
        )


@dataclass
class Receiver:
    """What came, and how the next are answered."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    came: list[Came] = field(default_factory=list)


@contextmanager
def receiving(*statuses: int) -> Iterator[Receiver]:
    """Listen on a free port; answer with these statuses in turn, and with 200 after them."""
    receiver = Receiver(statuses=list(statuses))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.came.append(Came(target=self.path, headers=headers, body=body))
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
