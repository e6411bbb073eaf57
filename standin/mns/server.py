"""How connections are served: one thread each, kept alive, faults included, and a stop that leaves nothing behind."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING

from standin.mns import http, signature, wire
from standin.mns.call import Call, Reply, Request, query_of, route
from standin.mns.control import controlled
from standin.mns.errors import MnsError
from standin.mns.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from standin.mns.faults import Fault
    from standin.mns.standin import MnsStandin

_CONTROL = "/-/"
_HTML = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
)


class Server:
    """Listens, and answers for one stand-in."""

    def __init__(self, owner: MnsStandin, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Bind; port 0 takes a free one."""
        self._owner = owner
        self._tls = tls
        self._listener = socket.create_server((host, port), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._stopping = threading.Event()
        self._accepting = threading.Thread(target=self._accept, name="mns-accept", daemon=True)

    def start(self) -> None:
        """Begin to accept connections."""
        self._accepting.start()

    def stop(self) -> None:
        """Close every connection, end every long poll, and wait for the threads."""
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        with self._lock:
            open_ = dict(self._connections)
            for connection in open_:
                with suppress(OSError):
                    # Not the TLS farewell: another thread may be reading.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self._owner.service.wake()
        for thread in open_.values():
            thread.join()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue
            thread = threading.Thread(target=self._serve, args=(connection,), name="mns-connection", daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._encrypted(connection, self._tls)
            _Connection(self._owner, connection, self._stopping).run()
        except OSError:
            pass  # the caller went away, or we stop
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()

    def _encrypted(self, connection: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        """Wrap the connection; it is the wrapping that a stop has to close from now on, the handshake included."""
        with self._lock:
            wrapped = tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            self._connections[wrapped] = self._connections.pop(connection)
        try:
            wrapped.do_handshake()
        except OSError:
            with self._lock:
                self._connections.pop(wrapped, None)
            wrapped.close()
            raise
        return wrapped


class _Hangup(Exception):
    """A fault ends the connection."""


class _Connection:
    """One connection and the requests on it, one after another."""

    def __init__(self, owner: MnsStandin, stream: socket.socket, stopping: threading.Event) -> None:
        self._owner = owner
        self._stream = stream
        self._stopping = stopping

    def run(self) -> None:
        """Answer until the caller or a fault ends it."""
        with self._stream.makefile("rb") as reader:
            while not self._stopping.is_set():
                try:
                    read = http.read_request(reader, self._stream.sendall)
                    if read is None:
                        return
                    self._answer(*read)
                except http.UnreadableRequest as exc:
                    body = f"{exc}\n".encode()
                    self._stream.sendall(http.written(exc.status, [("Connection", "close")], body))
                    return
                except _Hangup:
                    return
                if not read[1]:
                    return

    def _answer(self, request: Request, stays: bool) -> None:  # noqa: FBT001 - as read_request returns it
        path, _, text = request.target.partition("?")
        if path.startswith(_CONTROL):
            status, body = controlled(self._owner, request, path.removeprefix(_CONTROL), query_of(text))
            self._stream.sendall(http.written(status, [("Content-Type", "application/json")], body))
            return
        operation = ""
        strike: Callable[[str], Fault | None] = _no_fault
        try:
            query = query_of(text)
            operation, name, subscription = route(request, path, query)
            strike = self._striker(operation, name)
            call = Call(operation, request, name, subscription, query, strike, self._there)
            reply = self._before(strike) or self._done(call)
        except MnsError as exc:
            reply = self._refusal(exc)
        self._owner.count(operation, reply)
        self._send(reply, strike, stays=stays)

    def _striker(self, operation: str, queue: str) -> Callable[[str], Fault | None]:
        faults = self._owner.faults
        return lambda kind: faults.strike(kind, operation, queue)

    def _done(self, call: Call) -> Reply:
        owner = self._owner
        signature.check(
            method=call.request.method,
            target=call.request.target,
            headers=call.request.headers,
            body=call.request.body,
            access_keys=owner.access_keys,
            security_tokens=owner.security_tokens,
            now_ms=owner.service.clock(),
        )
        call.check_query()
        return OPERATIONS[call.operation](owner.service, call)

    def _refusal(self, exc: MnsError) -> Reply:
        request_id = self._owner.next_request_id()
        body = wire.error(exc.code, exc.message, request_id=request_id, host=self._owner.endpoint)
        return Reply(exc.status, body, (("x-mns-request-id", request_id),), exc.code)

    # --- faults -------------------------------------------------------------------------------------------------------
    def _before(self, strike: Callable[[str], Fault | None]) -> Reply | None:
        """Let the faults strike that keep the work from being done."""
        if fault := strike("delay"):
            self._stopping.wait(fault.seconds)
        if strike("cut"):
            raise _Hangup
        if fault := strike("error"):
            raise MnsError(fault.code, "Refused on purpose.")
        if strike("throttle"):
            raise MnsError("QpsLimitExceeded", "Throttled on purpose.")
        if strike("html_502"):
            return Reply(502, _HTML, (("Content-Type", "text/html"),), "html_502")
        if strike("empty_504"):
            return Reply(504, b"", (), "empty_504")
        return None

    def _send(self, reply: Reply, strike: Callable[[str], Fault | None], *, stays: bool) -> None:
        worked = reply.status < 400
        if worked and strike("drop_reply"):
            raise _Hangup
        fault = strike("header_case")
        data = http.written(
            reply.status, self._headers(reply, stays=stays), reply.body, case=fault.case if fault else None
        )
        if worked and (fault := strike("stall")):
            self._stream.sendall(data[: len(data) // 2])
            self._stopping.wait(fault.seconds)
            raise _Hangup
        if worked and reply.body and strike("broken_reply"):
            self._stream.sendall(data[: -len(reply.body) // 2])
            raise _Hangup
        self._stream.sendall(data)

    def _headers(self, reply: Reply, *, stays: bool) -> list[tuple[str, str]]:
        headers = [("Server", "AliyunMNS"), ("Date", _date(int(time.time()))), ("x-mns-version", signature.VERSION)]
        names = {name for name, _ in reply.headers}
        if "x-mns-request-id" not in names:
            headers.append(("x-mns-request-id", self._owner.next_request_id()))
        if "Content-Type" not in names and reply.body:
            headers.append(("Content-Type", "text/xml;charset=utf-8"))
        headers.append(("Connection", "keep-alive" if stays else "close"))
        return [*headers, *reply.headers]

    def _there(self) -> bool:
        """Say whether the caller is still connected, as far as the socket tells."""
        if self._stopping.is_set():
            return False
        if isinstance(self._stream, ssl.SSLSocket):
            return True
        readable, _, _ = select.select([self._stream], [], [], 0)
        return not readable or bool(self._stream.recv(1, socket.MSG_PEEK))


def _no_fault(_kind: str) -> None:
    return None


_last_date = (0, "")


def _date(second: int) -> str:
    global _last_date  # noqa: PLW0603 - one date serves all replies of a second; a race only formats it twice
    if _last_date[0] != second:
        _last_date = (second, formatdate(second, usegmt=True))
    return _last_date[1]
