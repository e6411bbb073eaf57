"""How a request leaves this machine: over warm connections, to addresses that may be called, within its time.

Redirects are not followed, proxies of the environment not used, certificates always verified.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, SSLError
from urllib3.exceptions import TimeoutError as Late

from handlers.clock import now_ms
from handlers.destinations.dialling import RUNNING, Attempt, NoAnswer, TlsSocket, dial
from handlers.operation import Response

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from urllib3.response import BaseHTTPResponse

    from handlers.operation import Request
    from handlers.settings import Network

__all__ = ["ANYWHERE", "MOST_BYTES", "NoAnswer", "Sender", "host_shown"]

#: any address may be called: for an endpoint that the operator wrote as the vendor's own
ANYWHERE: Final = None
#: bytes of an answer that are read; the rest is cut off
MOST_BYTES = 1024 * 1024
#: connections to one host that stay open
_WARM = 64
#: seconds: what stands between may have forgotten a connection that is idle for longer, and say nothing
_LONGEST_IDLE = 30.0
#: hosts whose connections stay open
_HOSTS = 64
_AGENT = "reelhook"
_PART = 65_536

# Its lines quote whole addresses, which may hold a receiver's secret.
for _name in ("urllib3", "urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class _Plain(HTTPConnection):
    """A connection that is dialled our way, and not used again once it has been idle for long."""

    used_at = 0.0

    def _new_conn(self) -> socket.socket:
        return dial(self._dns_host, self.port)

    def request(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as the client has it
        self.used_at = time.monotonic()
        super().request(*arguments, **named)

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self.used_at < _LONGEST_IDLE


class _Tls(_Plain, HTTPSConnection):
    """The same over TLS."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


class Sender:
    """Sends requests for any number of threads, each host's connections kept open from one to the next."""

    def __init__(self, *, ca: Path | None = None) -> None:
        """Trust the system's certificate authorities, or those of the file `ca` instead."""
        self._tls = ssl.create_default_context(cafile=ca)
        self._tls.sslsocket_class = TlsSocket
        self._lock = threading.Lock()
        # By the networks that may be called: a connection that one request may use is not lent to one that may not.
        self._pools: dict[frozenset[Network] | None, urllib3.PoolManager] = {}

    def send(self, request: Request, *, timeout_ms: int, allowed: Sequence[Network] | None) -> Response:
        """Send the request once and return the answer, whatever it is, its body at most MOST_BYTES long.

        `timeout_ms` is for everything together, from the name's resolution to the answer's last byte. `allowed` are
        the private networks that may be called, ANYWHERE for the operator's own word. Raises NoAnswer.
        """
        attempt = Attempt(deadline=time.monotonic() + timeout_ms / 1000, allowed=allowed)
        where = host_shown(request.url)
        RUNNING.attempt = attempt
        try:
            with _told(where, attempt, timeout_ms):
                return _response(self._sent(request, attempt), attempt)
        finally:
            RUNNING.attempt = None

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.clear()

    def _sent(self, request: Request, attempt: Attempt) -> BaseHTTPResponse:
        names = {name.lower() for name in request.headers}
        agent = {} if "user-agent" in names else {"User-Agent": _AGENT}
        return self._pool(attempt.allowed).urlopen(
            request.method,
            request.url,
            body=request.body or None,
            headers={**request.headers, **agent},
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=urllib3.Timeout(None),  # the sockets keep the attempt's own deadline
        )

    def _pool(self, allowed: Sequence[Network] | None) -> urllib3.PoolManager:
        key = None if allowed is None else frozenset(allowed)
        with self._lock:
            if key not in self._pools:
                pool = urllib3.PoolManager(_HOSTS, maxsize=_WARM, ssl_context=self._tls)
                pool.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
                self._pools[key] = pool
            return self._pools[key]


def host_shown(url: str) -> str:
    """Return what may be shown of an address: its host. Its path and query may hold a secret."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return "an address that can't be read"


def _response(answer: BaseHTTPResponse, attempt: Attempt) -> Response:
    """Read the answer; raise HTTPException where the connection ended in the midst of it."""
    try:
        if attempt.has_ended:
            raise HTTPException("the connection ended within the headers")  # noqa: TRY301 - as what the client raises
        body = b""
        while len(body) <= MOST_BYTES and (part := answer.read(_PART, decode_content=False)):
            body += part
    except BaseException:
        answer.close()
        raise
    if len(body) > MOST_BYTES:
        answer.close()
    else:
        answer.release_conn()
    headers = {name.lower(): value for name, value in answer.headers.itermerged()}
    return Response(status=answer.status, headers=headers, body=body[:MOST_BYTES], at=now_ms())


@contextmanager
def _told(where: str, attempt: Attempt, timeout_ms: int) -> Iterator[None]:
    """Turn whatever the client raises into NoAnswer, without the address's path and query."""
    try:
        yield
    except NoAnswer as exc:
        exc.was_sent = attempt.was_sent
        raise
    except (SSLError, ssl.SSLError) as exc:
        text = f"{where} can't be trusted: {_tls_reason(exc)}"
        raise NoAnswer("broken" if attempt.was_sent else "tls", text, was_sent=attempt.was_sent) from exc
    except (HTTPException, OSError, HTTPError, ValueError) as exc:
        failure = _failure(exc, where, attempt, timeout_ms)
        # The client quotes an address that it can't read.
        raise failure from None if failure.reason == "unsendable" else exc


def _failure(exc: Exception, where: str, attempt: Attempt, timeout_ms: int) -> NoAnswer:
    if any(isinstance(one, TimeoutError | Late) for one in (exc, *exc.args)):
        sent = "after the request was sent" if attempt.was_sent else "before anything was sent"
        return NoAnswer("timeout", f"{where} did not answer within {timeout_ms} ms, {sent}", was_sent=attempt.was_sent)
    if isinstance(exc, ValueError) and not attempt.was_sent:
        text = f"the request to {where} is none that HTTP can carry ({type(exc).__name__})"
        return NoAnswer("unsendable", text)
    text = f"{where} broke off the connection before its answer was whole ({_kind(exc)})"
    return NoAnswer("broken", text, was_sent=attempt.was_sent)


def _tls_reason(exc: BaseException) -> str:
    inner = exc.args[0] if exc.args and isinstance(exc.args[0], ssl.SSLError) else exc
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {inner.verify_message}"
    return str(getattr(inner, "reason", None) or type(inner).__name__).lower().replace("_", " ")


def _kind(exc: BaseException) -> str:
    """Name the innermost thing that went wrong; texts are left out, for some of them quote what was received."""
    inner = next((part for part in exc.args if isinstance(part, BaseException)), None)
    return type(inner or exc).__name__
