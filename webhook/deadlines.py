"""Decides how long a client may take: head and body of a request share one deadline, and no thread waits for them.

The loop of the worker process gathers every request itself and gives it to a thread once it is whole, or once it is
clear that it never will be. A connection is in one of four places:

1. receiving (`pending_conns`): new, or in the middle of a request; it has `RequestLimits.deadline` seconds
2. with a thread: the request is whole and being answered, or broken off and being refused by the application
3. idle (`keepalived_conns`): answered and kept alive; the first to go where connections are short
4. lingering: answered for good; what still comes is thrown away for a moment, because closing at once would destroy an
   answer that the client hasn't read yet (RFC 9112 section 9.6)
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from gunicorn.http import RequestParser
from gunicorn.workers.gthread import TConn, ThreadWorker

from webhook.reception import Reception, Stage
from webhook.server_answers import ServerAnswer, answer_to
from webhook.shown_path import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from gunicorn._types import _AddressType
    from gunicorn.http import Request

#: bytes taken from a socket at once
RECEIVE = 65_536
#: seconds and bytes of what still comes after the last answer on a connection
LINGER = 5.0
LINGER_BYTES = 32 * 1024 * 1024
#: seconds that a stopping worker leaves to kept-alive and silent clients, who may be about to speak
LAST_WORD = 2.0
#: accepting failed for now; the client waits in the backlog
NOT_NOW = frozenset(
    {errno.EAGAIN, errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EINTR},
)


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """What one client may cost."""

    #: seconds from the first moment of a request (or connection) to the last byte of its body
    deadline: float = 10.0
    #: seconds that the client may take to read one piece of its answer
    patience: float = 30.0
    #: bytes of one body; nothing above it is read
    max_body: int = 1024 * 1024
    #: bytes of unanswered requests held in memory, all together; above it the largest unfinished one is refused
    held: int = 64 * 1024 * 1024


class Connection(TConn):
    """A client's connection, with what has come in on it."""

    def __init__(
        self, worker: DeadlineThreadWorker, sock: socket.socket, client: _AddressType, server: _AddressType
    ) -> None:
        """Read with gunicorn's parser, but from what the loop has gathered."""
        super().__init__(worker.cfg, sock, client, server)
        self.reception = Reception(worker.limits.max_body)
        self.parser = self.requests = RequestParser(worker.cfg, self.reception, client)
        self.initialized = True  # what gunicorn would still set up is TLS and HTTP/2, a proxy's work here
        #: the queue in which it waits; None while it is with a thread
        self.queue: deque[TConn] | None = None
        #: bytes that count towards RequestLimits.held
        self.weight = 0
        self.discarded = 0


class DeadlineThreadWorker(ThreadWorker):
    """gunicorn's threaded worker, in which only whole requests take a thread."""

    _accepting: bool

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Take the limits from the application that runs us (`webhook.server.ReelhookServer`)."""
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # gunicorn's own arguments, passed through
        self.limits: RequestLimits = getattr(self.app, "limits", RequestLimits())
        self.lingering_conns: deque[TConn] = deque()
        self.held = 0

    # --- coming in, on the loop ------------------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        """Take one connection; where that was the last one to spare, give up another."""
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno not in NOT_NOW:
                raise
            return
        self.nr_conns += 1
        self._park(Connection(self, sock, client, listener.getsockname()), self.pending_conns, self.limits.deadline)
        self._make_room()

    def _make_room(self) -> None:
        """Keep a place free for who comes next: silence, or half of a request, must not keep good callbacks out."""
        while self.nr_conns >= self.worker_connections:
            conn = self._first_to_go()
            if conn is None:
                return
            if conn.queue is self.pending_conns and conn.reception.held:
                with suppress(OSError):
                    conn.sock.send(ServerAnswer.CROWDED.message)
            self._drop(conn)

    def _first_to_go(self) -> Connection | None:
        """Return the connection that is worth least, the oldest of its sort; None where all are at work."""
        waiting = self._receiving()[:-1]  # not the newest: it has had no time to speak
        silent = (conn for conn in waiting if not conn.reception.held)
        heads = (conn for conn in waiting if conn.reception.held and conn.reception.stage is Stage.HEAD)
        bodies = (conn for conn in waiting if conn.reception.stage is Stage.BODY)
        quiet = filter(_is_quiet, chain(silent, heads, _ours(self.lingering_conns), bodies))
        return next(chain(_ours(self.keepalived_conns), quiet), None)

    def set_accept_enabled(self, enabled: bool | None) -> None:  # noqa: FBT001 (gunicorn's signature)
        """On stopping, take who waits in the backlog already, and nobody after: closing a backlog resets them all."""
        if self.alive or enabled:
            super().set_accept_enabled(enabled)
            return
        if self._accepting:
            for listener in self.sockets:
                before = -1
                while before < self.nr_conns < self.worker_connections:
                    before = self.nr_conns
                    self.accept(listener)
        super().set_accept_enabled(enabled)
        for listener in self.sockets:
            listener.close()

    def _on_bytes(self, conn: Connection, _: object) -> None:
        if conn.queue is None:  # given up earlier in this turn of the loop
            return
        try:
            data = conn.sock.recv(RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(conn)
            return
        if not data:
            self._give_up(conn, ServerAnswer.BROKEN_OFF)
            return
        conn.reception.add(data)
        self._weigh(conn)
        self._place(conn)
        self._shed()

    def _place(self, conn: Connection) -> None:
        """Put the connection where the stage of its request belongs."""
        reception = conn.reception
        if reception.stage is Stage.LONG_HEAD:
            self._refuse(conn, ServerAnswer.LONG_HEAD)
        elif reception.stage not in {Stage.HEAD, Stage.BODY}:
            self._submit(conn)
        else:
            if conn.queue is not self.pending_conns:
                self._unpark(conn)
                self._park(conn, self.pending_conns, self.limits.deadline)
            if reception.expects_continue and reception.stage is Stage.BODY:
                reception.expects_continue = False
                with suppress(OSError):
                    conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _give_up(self, conn: Connection, answer: ServerAnswer) -> None:
        """Nothing more will come: the application refuses half a body, we half a head, and silence needs no answer."""
        if conn.reception.stage is Stage.BODY:
            self._submit(conn)
        elif conn.reception.held:
            self._refuse(conn, answer)
        else:
            self._drop(conn)

    def _shed(self) -> None:
        """Keep the memory that unfinished requests hold within its limit."""
        while self.held > self.limits.held:
            largest = max(self._receiving(), key=lambda conn: conn.weight, default=None)
            if largest is None or largest.weight <= RECEIVE:
                return
            self._refuse(largest, ServerAnswer.CROWDED)

    # --- with a thread ---------------------------------------------------------------------------------------------

    def _submit(self, conn: Connection) -> None:
        self._unpark(conn)
        future = self.tpool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self._finish, conn, done))

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Answer a request; nothing may follow one that wasn't whole, nor one whose answer nobody reads."""
        if isinstance(conn, Connection) and not conn.reception.whole:
            req.force_close()
        # The loop has sent it where it was needed; a second one would be an answer too many.
        req._expected_100_continue = False  # type: ignore[attr-defined] # noqa: SLF001 (gunicorn offers no other way)
        conn.sock.settimeout(self.limits.patience)
        try:
            return super().handle_request(req, conn)
        except TimeoutError as error:
            raise BrokenPipeError(errno.EPIPE, "the client did not read its answer in time") from error

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:  # noqa: FBT001 (gunicorn's signature)
        """Tell whether another request may follow: what the application left unread is in memory, so skip all of it."""
        return keepalive and bool(conn.requests.finish_body())  # type: ignore[func-returns-value] # it returns a bool

    def handle_error(self, req: Request | None, client: socket.socket, addr: object, exc: BaseException) -> None:
        """Answer and log a failure without quoting the request: its query may hold a secret."""
        answer = answer_to(exc)
        who = addr[0] if isinstance(addr, tuple) and addr else "-"
        if answer is ServerAnswer.FAILED:
            what = f"{req.method} {shown_path(req.path or '')}" if req is not None else "a request"
            self.log.error("failed to answer %s from %s", what, who, exc_info=exc)
        else:
            self.log.warning("refused a request from %s: %s (%s)", who, answer.detail, type(exc).__name__)
        with suppress(OSError):
            client.settimeout(self.limits.patience)
            client.sendall(answer.message)

    def _finish(self, conn: Connection, done: Future[bool]) -> None:
        """Go on, on the loop, after a thread is through with a connection."""
        keep = not done.cancelled() and done.exception() is None and done.result()
        # What gunicorn's parser left over would be the beginning of another request to it, but isn't one to us: the two
        # disagree about where a request ends, which nobody may use.
        if not keep or conn.requests.unreader.take_buffered():
            self._linger(conn)
            return
        conn.reception.restart()
        self._weigh(conn)
        if conn.reception.held:
            self._place(conn)
        else:
            self._park(conn, self.keepalived_conns, self.cfg.keepalive if self.alive else LAST_WORD)

    # --- going out, on the loop ------------------------------------------------------------------------------------

    def _refuse(self, conn: Connection, answer: ServerAnswer) -> None:
        self._unpark(conn)
        with suppress(OSError):
            conn.sock.send(answer.message)
        self._linger(conn)

    def _linger(self, conn: Connection) -> None:
        conn.reception.held.clear()
        self._weigh(conn)
        try:
            conn.sock.setblocking(False)  # noqa: FBT003 (the standard library's signature)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
        else:
            self._park(conn, self.lingering_conns, LINGER if self.alive else LAST_WORD, self._discard)

    def _discard(self, conn: Connection, _: object) -> None:
        if conn.queue is None:  # given up earlier in this turn of the loop
            return
        try:
            data = conn.sock.recv(RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        conn.discarded += len(data)
        if not data or conn.discarded > LINGER_BYTES:
            self._drop(conn)

    def _drop(self, conn: TConn) -> None:
        if isinstance(conn, Connection):
            self._unpark(conn)
            conn.reception.held.clear()
            self._weigh(conn)
        self.nr_conns -= 1
        conn.close()

    # --- waiting ---------------------------------------------------------------------------------------------------

    def _park(
        self,
        conn: Connection,
        queue: deque[TConn],
        seconds: float,
        react: Callable[[Connection, object], None] | None = None,
    ) -> None:
        """Let a connection wait in the poller; everyone in one queue waits equally long, so that it stays sorted."""
        conn.sock.setblocking(False)  # noqa: FBT003 (the standard library's signature)
        conn.timeout = time.monotonic() + seconds
        conn.queue = queue
        queue.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(react or self._on_bytes, conn))

    def _unpark(self, conn: Connection) -> None:
        if conn.queue is not None:
            conn.queue.remove(conn)
            conn.queue = None
            with suppress(OSError, KeyError, ValueError):
                self.poller.unregister(conn.sock)

    def _weigh(self, conn: Connection) -> None:
        self.held += len(conn.reception.held) - conn.weight
        conn.weight = len(conn.reception.held)

    def _receiving(self) -> list[Connection]:
        return list(_ours(self.pending_conns))

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 (gunicorn's signature)
        """Close who was idle for too long."""
        for conn in list(self.keepalived_conns):
            if not force and (conn.timeout or 0) > time.monotonic():
                break
            self._drop(conn)

    def murder_pending(self) -> None:
        """Give up who is over the deadline; gunicorn calls this after every turn of its loop."""
        now = time.monotonic()
        for conn in self._receiving():
            if (conn.timeout or 0) > now:
                break
            self._give_up(conn, ServerAnswer.TOO_SLOW)
        while self.lingering_conns and (self.lingering_conns[0].timeout or 0) <= now:
            self._drop(self.lingering_conns[0])
        if self.alive:
            self._make_room()  # who was at work when the last place was taken may be idle by now

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Wake up for the next deadline too."""
        queues = (self.pending_conns, self.lingering_conns, self.keepalived_conns)
        nearest = min((queue[0].timeout or 0 for queue in queues if queue), default=time.monotonic() + 1.0)
        super().wait_for_and_dispatch_events(max(0.0, min(timeout or 1.0, nearest - time.monotonic())))

    def _cap_keepalive(self, deadline: float) -> None:
        """Leave a stopping worker's idle and silent clients until `deadline`; gunicorn calls this once on stopping."""
        silent = [conn for conn in self._receiving() if not conn.reception.held]
        for conn in (*self.keepalived_conns, *silent):
            conn.timeout = min(conn.timeout or 0, deadline)
        in_order = sorted(self.pending_conns, key=lambda conn: conn.timeout or 0)
        self.pending_conns.clear()
        self.pending_conns.extend(in_order)


def _ours(queue: deque[TConn]) -> Iterator[Connection]:
    """Go through a queue, the oldest first."""
    return (conn for conn in queue if isinstance(conn, Connection))


def _is_quiet(conn: Connection) -> bool:
    """Tell that nothing has come which the loop hasn't read yet."""
    try:
        conn.sock.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return True
    except OSError:
        pass  # the loop will meet it too
    return False
