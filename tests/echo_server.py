"""A tiny WSGI application under our real server, for the tests to talk to through raw sockets."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

from handlers.errors import RefusedDelivery
from webhook.body import read_body
from webhook.deadlines import RequestLimits
from webhook.logs import configure_logging
from webhook.server import ReelhookServer, gunicorn_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY = 256 * 1024


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with what came, or as the path says."""
    query = parse_qs(environ["QUERY_STRING"])
    status, answer = "200 OK", b""
    match environ["PATH_INFO"]:
        case "/echo":
            try:
                answer = read_body(environ, MAX_BODY)
            except RefusedDelivery as refusal:
                status, answer = f"{refusal.status} {refusal.reason}", str(refusal).encode()
        case "/sleep":
            Path(query["mark"][0]).touch()
            time.sleep(float(query["seconds"][0]))
            answer = b"slept"
        case "/boom":
            raise RuntimeError("planted")
        case "/large":
            answer = b"x" * int(query["bytes"][0])
        case "/gauge":
            from prometheus_client import Gauge  # noqa: PLC0415 (it looks at the environment when it is imported)

            Gauge("planted", "for the test", multiprocess_mode="liveall").set(1)
            answer = str(os.getpid()).encode()
    start_response(status, [("Content-Length", str(len(answer))), ("Content-Type", "text/plain")])
    return [answer]


def make_application() -> WSGIApplication:
    return application


class Client:
    """One raw connection."""

    def __init__(self, port: int, sent: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.send(sent)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def end_of_input(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def answer(self) -> tuple[int, bytes]:
        """Read one answer, and not a byte further."""
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            if not byte:
                raise EOFError(bytes(head))
            head += byte
        self.head = bytes(head)
        status = int(head.split(b" ", 2)[1])
        found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        missing = int(found[1]) if found else 0
        body = bytearray()
        while missing > len(body):
            piece = self.socket.recv(missing - len(body))
            if not piece:
                raise EOFError(bytes(body))
            body += piece
        return status, bytes(body)

    def rest(self) -> bytes:
        """Read until the server closes."""
        pieces = []
        with suppress(ConnectionResetError):
            while piece := self.socket.recv(65536):
                pieces.append(piece)
        return b"".join(pieces)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def post(body: bytes, path: str = "/echo?token=planted-token", *fields: str) -> bytes:
    """Return the bytes of a POST request."""
    head = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes, path: str = "/echo?token=planted-token") -> bytes:
    """Return the bytes of a POST request with these chunks, the last one included only if it is given as b""."""
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


class Server:
    """The echo server in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self.port = self._find_port()

    def _find_port(self) -> int:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            if (found := re.search(r"Listening at: http://127.0.0.1:(\d+)", self.log())) and "Booting" in self.log():
                return int(found[1])
            time.sleep(0.02)
        raise AssertionError(self.log())

    def log(self) -> str:
        """Return what stands on its standard output and error."""
        return self._log.read_text()

    def worker(self) -> int:
        """Return the process id of the youngest worker."""
        return int(re.findall(r"Booting worker with pid: (\d+)", self.log())[-1])

    def client(self, sent: bytes = b"") -> Client:
        return Client(self.port, sent)

    def ask(self, sent: bytes) -> tuple[int, bytes]:
        """Send one request on a connection of its own, return the answer."""
        with self.client(sent) as client:
            return client.answer()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(folder: Path, environment: dict[str, str] | None = None, **settings: Any) -> Iterator[Server]:
    """Run the echo server; `settings` are `limits` (a dict), `options` (over gunicorn's), and gunicorn_options'."""
    log = folder / "server.log"
    command = [sys.executable, __file__, json.dumps(settings)]
    root = Path(__file__).parent.parent
    variables = {**os.environ, "PYTHONPATH": str(root), **(environment or {})}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=variables) as process:
        try:
            yield Server(process, log)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> None:
    """Serve until told to stop."""
    settings = json.loads(sys.argv[1])
    configure_logging(settings.pop("log", "json"))
    limits = RequestLimits(**{"max_body": MAX_BODY, **settings.pop("limits", {})})
    over = settings.pop("options", {})
    options = {**gunicorn_options(host="127.0.0.1", port=0, **{"threads": 4, **settings}), **over}
    ReelhookServer(make_application, options, limits).run()


if __name__ == "__main__":
    main()
