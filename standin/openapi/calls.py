"""The journal: every call that came, when, what it asked, what was found wrong with it, and what it was answered."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from standin.openapi.wire import Asked, Request, TaskKey


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call. What signs it (keys, signatures, tokens) is not here."""

    number: int
    #: when the whole request had arrived, in seconds of the monotonic clock
    arrived: float
    #: the connection that it came through, counted from 1
    connection: int
    method: str
    path: str
    action: str | None
    version: str | None
    task: TaskKey | None
    body: Any
    request_id: str
    #: the vendor account that signed it, None where it is not authentic or was never looked at
    account: str | None = None
    #: when the limit counted it (monotonic, ns), and the verdict; None where it didn't get that far
    counted_at: int | None = None
    within_limit: bool | None = None
    #: whether another call of the same task was at work; None while it hasn't got to its task
    overlap: bool | None = None
    #: the kind of the fault that met it
    fault: str | None = None
    #: what the vendor applied, with what it put right or left out without a word
    applied: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    #: whether the call has done its work, whatever was answered
    worked: bool = False
    #: when the answer was ready (monotonic, s); None while the call is at work
    answered: float | None = None
    status: int | None = None
    #: the vendor's error code
    code: str | None = None
    #: the body of the answer, None where nothing was sent
    answer: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the call as JSON values."""
        return {**asdict(self), "task": self.task and self.task._asdict()}


#: how many calls the journal holds; the oldest make room
MOST = 100_000


class Calls:
    """The journal, from the oldest call to the newest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._last = 0

    def arrive(self, request: Request, asked: Asked) -> int:
        """Write a call down as it comes in, and return its number."""
        with self._lock:
            self._last += 1
            self._calls.pop(self._last - MOST, None)
            self._calls[self._last] = Call(
                number=self._last,
                arrived=time.monotonic(),
                connection=request.connection,
                method=request.method,
                path=request.path,
                action=asked.action,
                version=asked.version,
                task=asked.task,
                body=asked.body,
                request_id=asked.request_id,
            )
            return self._last

    def note(self, number: int, **found: Any) -> None:  # noqa: ANN401 - fields of Call
        """Add to a call what has been found out about it; one that was forgotten meanwhile stays forgotten."""
        with self._lock:
            if number in self._calls:
                self._calls[number] = replace(self._calls[number], **found)

    def all(self) -> tuple[Call, ...]:
        """Return the calls so far."""
        with self._lock:
            return tuple(self._calls.values())

    def clear(self) -> None:
        """Forget the calls so far; the numbers go on."""
        with self._lock:
            self._calls.clear()
