"""A crowd of clients that post callbacks as fast as they are answered, and remember which answers they got."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from callbacks import file_created

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

#: seconds after which a client gives an answer up; Alibaba's own patience is 5
_PATIENCE = 20.0
#: seconds between two tries to reach a server that does not listen yet
_KNOCK = 0.1


@dataclass
class Ledger:
    """What was sent and what became of it; several crowds may write into one."""

    #: what got 200: the body by the delivery that the answer names
    answered: dict[str, bytes] = field(default_factory=dict)
    #: what got no answer, so that it may have been kept or not
    unanswered: list[bytes] = field(default_factory=list)
    #: what got another answer than 200: status, headers and body
    refused: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new_body(self) -> bytes:
        """Return a callback that this ledger has not seen."""
        with self._lock:
            self._next += 1
            return file_created(self._next)

    def answer(self, body: bytes, status: int, headers: dict[str, str], answer: bytes, took: float) -> None:
        """Write down one answer."""
        with self._lock:
            self.slowest = max(self.slowest, took)
            if status != http.client.OK:
                self.refused.append((status, headers, answer))
                return
            told: dict[str, Any] = json.loads(answer)
            self.statuses[told["status"]] += 1
            self.answered[told["delivery"]] = body

    def no_answer(self, body: bytes) -> None:
        """Write down that a connection broke before the answer was whole."""
        with self._lock:
            self.unanswered.append(body)


class Crowd:
    """Threads that post at one address while the context lasts."""

    def __init__(self, port: int, path: str, ledger: Ledger, *, clients: int = 4, pause: float = 0.0) -> None:
        """Take where to post; each client rests `pause` seconds after an answer."""
        self._port = port
        self._path = path
        self._ledger = ledger
        self._pause = pause
        self._stop = threading.Event()
        self.answers = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=_PATIENCE + 5)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"

    def _run(self) -> None:
        connection = self._connect()
        while connection is not None and not self._stop.is_set():
            body = self._ledger.new_body()
            try:
                self._post(connection, body)
            except (OSError, http.client.HTTPException):
                self._ledger.no_answer(body)
                connection.close()
                connection = self._connect()
            else:
                self._stop.wait(self._pause)
        if connection is not None:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection | None:
        """Knock until somebody listens; a callback counts as sent only after that."""
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE)
            try:
                connection.connect()
            except OSError:
                connection.close()
                self._stop.wait(_KNOCK)
            else:
                return connection
        return None

    def _post(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        before = time.monotonic()
        connection.request("POST", self._path, body, {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            content = answer.read()
            self._ledger.answer(body, answer.status, dict(answer.getheaders()), content, time.monotonic() - before)
        self.answers += 1


def in_chunks(values: list[str], size: int = 500) -> Iterator[list[str]]:
    """Yield the values, `size` at a time."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def all_at_once(work: list[Callable[[], Any]]) -> list[Any]:
    """Run each in a thread of its own, released at the same moment; return the results in order."""
    barrier = threading.Barrier(len(work))
    results: list[Any] = [None] * len(work)

    def run(number: int) -> None:
        barrier.wait(30)
        results[number] = work[number]()

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results
