"""A steady load of callbacks, each answer written down, so that afterwards every promise can be checked."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from callbacks import file_created
from conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATH = f"/callbacks/aliyun/lessons?token={TOKEN}"
#: one callback in so many is sent a second time, a little later
REPEAT_EVERY = 10


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One callback and its answer."""

    number: int
    is_repeat: bool
    #: seconds from sending to the whole answer
    seconds: float
    #: 0 where there was none
    status: int
    answer: bytes


@dataclass
class Load:
    """Threads that send callbacks, numbered within each thread's own range, until they are told to stop."""

    port: int
    threads: int = 6
    pause: float = 0.02
    first: int = 0
    sent: list[list[Sent]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        for index in range(self.threads):
            mine: list[Sent] = []
            self.sent.append(mine)
            start = self.first + index * 100_000
            self._running.append(threading.Thread(target=self._send, args=(start, mine), daemon=True))
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join(timeout=30)

    def __iter__(self) -> Iterator[Sent]:
        return (one for mine in self.sent for one in mine)

    @property
    def numbers(self) -> set[int]:
        """The callbacks that got their success answer."""
        return {one.number for one in self if one.status == 200}

    @property
    def repeats(self) -> int:
        return sum(one.is_repeat and one.status == 200 for one in self)

    def slowest(self) -> float:
        return max(one.seconds for one in self)

    def failures(self) -> list[Sent]:
        return [one for one in self if one.status != 200]

    def in_order(self) -> Sequence[list[int]]:
        """Return, for each thread, its numbers in the order in which it sent them first."""
        return [[one.number for one in mine if not one.is_repeat] for mine in self.sent]

    def _send(self, start: int, mine: list[Sent]) -> None:
        number = start
        while not self._stop.is_set():
            mine.append(post(self.port, number))
            if number % REPEAT_EVERY == 0:
                time.sleep(self.pause)
                mine.append(post(self.port, number, is_repeat=True))
            number += 1
            time.sleep(self.pause)


def post(port: int, number: int, *, is_repeat: bool = False, **changed: Any) -> Sent:
    """Send the callback with this number on a connection of its own; having no answer is a result too."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    status, answer = 0, b""
    try:
        connection.request("POST", PATH, file_created(number, **changed))
        response = connection.getresponse()
        status, answer = response.status, response.read()
    except OSError as exc:
        answer = repr(exc).encode()
    finally:
        connection.close()
    seconds = time.monotonic() - began
    return Sent(number=number, is_repeat=is_repeat, seconds=seconds, status=status, answer=answer)
