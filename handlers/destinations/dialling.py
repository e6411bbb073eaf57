"""How a connection comes about: to which of a name's addresses, by when, and that it stops when its time is up.

The address is checked before the connection is opened and again at its other end, so that a name that changes its
address in between leads nowhere else. Whatever is read or written counts against one deadline: an answer that comes
byte by byte takes no longer than any other.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from handlers.destinations.addresses import forbids, read_address
from handlers.errors import ReelhookError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.settings import Network

#: seconds for one address to take a connection
CONNECT_PATIENCE = 5.0

#: why there is no answer: `forbidden`, the address may not be called; `unsendable`, the request is none;
#: `unknown_host`, its name has no address; `unreachable`, nobody takes the connection; `tls`, its certificate or
#: protocol is wrong; `timeout`; `broken`, the connection ended before the answer did
Reason = Literal["forbidden", "unsendable", "unknown_host", "unreachable", "tls", "timeout", "broken"]


class NoAnswer(ReelhookError):
    """The request got no answer."""

    def __init__(self, reason: Reason, message: str, *, was_sent: bool = False) -> None:
        """Carry why, in words without secrets, and whether anything of the request may have got through."""
        self.reason: Reason = reason
        self.was_sent = was_sent
        super().__init__(message)


@dataclass(kw_only=True)
class Attempt:
    """One try as it goes on, known to every socket that its thread uses."""

    #: by time.monotonic()
    deadline: float
    #: private networks that may be called; None: any address, for the operator wrote it
    allowed: Sequence[Network] | None
    was_sent: bool = field(default=False, init=False)
    #: the other side has ended the connection
    has_ended: bool = field(default=False, init=False)

    def left(self) -> float:
        """Return the seconds that are left; raise TimeoutError where there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for this attempt is up")
        return left


class _Running(threading.local):
    attempt: Attempt | None = None


#: the attempt of each thread
RUNNING = _Running()


def _attempt() -> Attempt:
    if RUNNING.attempt is None:
        raise RuntimeError("a connection is used outside of an attempt")
    return RUNNING.attempt


def _noted(size: int) -> int:
    _attempt().has_ended = size == 0
    return size


class PlainSocket(socket.socket):
    """A socket that keeps the deadline of its thread's attempt, and notes that something was sent."""

    def recv_into(self, *arguments: Any, **named: Any) -> int:  # noqa: ANN401 - as socket has it
        """Wait no longer than the attempt may last."""
        self.settimeout(_attempt().left())
        return _noted(super().recv_into(*arguments, **named))

    def sendall(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as socket has it
        """Wait no longer than the attempt may last."""
        self.settimeout(_attempt().left())
        _attempt().was_sent = True
        super().sendall(*arguments, **named)


class TlsSocket(ssl.SSLSocket):
    """The same over TLS; the handshake passes by here without being noted as sent."""

    def recv_into(self, *arguments: Any, **named: Any) -> int:  # noqa: ANN401 - as socket has it
        """Wait no longer than the attempt may last."""
        self.settimeout(_attempt().left())
        return _noted(super().recv_into(*arguments, **named))

    def send(self, *arguments: Any, **named: Any) -> int:  # noqa: ANN401 - as socket has it
        """Wait no longer than the attempt may last; sendall() comes here for each part."""
        self.settimeout(_attempt().left())
        _attempt().was_sent = True
        return super().send(*arguments, **named)


def dial(host: str, port: int) -> socket.socket:
    """Open a connection to the first of the host's addresses that may be called and takes it; raise NoAnswer."""
    attempt = _attempt()
    where = f"{host}:{port}"
    told = _resolve(host, port, attempt)
    kept = {address: _why_not(address, attempt) for _, address in told}
    if all(kept.values()):
        address, what = next(iter(kept.items()))
        raise _forbidden(where, address, str(what))
    refusal: OSError | None = None
    for family, address in told:
        if kept[address]:
            continue
        try:
            return _connected(family, (address, port), attempt, where)
        except OSError as exc:
            refusal = exc
    raise NoAnswer("unreachable", f"{where} takes no connection: {_reason(refusal)}") from refusal


def _resolve(host: str, port: int, attempt: Attempt) -> list[tuple[socket.AddressFamily, str]]:
    """Ask for the host's addresses, on a thread that is left behind: the system's resolver knows no deadline."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as exc:
            answers.put(exc)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        found = answers.get(timeout=attempt.left())
    except queue.Empty:
        raise NoAnswer("unknown_host", f"no name server tells the address of {host} in time") from None
    if isinstance(found, Exception):
        raise NoAnswer("unknown_host", f"the address of {host} can't be found: {_reason(found)}") from found
    return [(family, address[0]) for family, _, _, _, address in found]


def _connected(family: socket.AddressFamily, address: tuple[str, int], attempt: Attempt, where: str) -> socket.socket:
    connection = PlainSocket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(min(CONNECT_PATIENCE, attempt.left()))
        connection.connect(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _check_peer(connection, attempt, where)
        connection.settimeout(attempt.left())
    except BaseException:
        connection.close()
        raise
    return connection


def _check_peer(connection: socket.socket, attempt: Attempt, where: str) -> None:
    peer = str(connection.getpeername()[0])
    if what := _why_not(peer, attempt):
        raise _forbidden(where, peer, what)


def _why_not(address: str, attempt: Attempt) -> str | None:
    return None if attempt.allowed is None else forbids(read_address(address), attempt.allowed)


def _forbidden(where: str, address: str, what: str) -> NoAnswer:
    mend = 'where it is your own, write its network into allow_private, such as ["10.0.0.0/8"]'
    return NoAnswer("forbidden", f"{where} is at {address}, {what}, and is not called; {mend}")


def _reason(exc: BaseException | None) -> str:
    return (getattr(exc, "strerror", None) or str(exc)).lower()
