"""Which requests share a transaction: those that wait at the same time, without any artificial delay.

The first to arrive leads: it flushes its own item, then each leader hands over to the first of those that came
meanwhile. There is no thread to hand items to, and a lone request waits for nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Ticket(Generic[Item, Result]):
    """One waiting item and what becomes of it."""

    __slots__ = ("done", "error", "item", "result", "turn")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.turn = threading.Lock()
        self.turn.acquire()
        self.done = False
        self.result: Result | None = None
        self.error: Exception | None = None


class GroupCommit(Generic[Item, Result]):
    """A flush that the threads of a process share."""

    def __init__(self, flush: Callable[[Sequence[Item]], Sequence[Result | Exception]], *, most: int) -> None:
        """Take what flushes a group, giving each item its own result or error in order; `most` bounds a group."""
        self._flush = flush
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[_Ticket[Item, Result]] = deque()
        self._is_led = False

    def submit(self, item: Item) -> Result:
        """Flush the item together with those that wait; return its result or raise its error."""
        ticket: _Ticket[Item, Result] = _Ticket(item)
        with self._lock:
            self._waiting.append(ticket)
            leads = not self._is_led
            self._is_led = True
        if not leads:
            ticket.turn.acquire()
        if not ticket.done:
            self._lead()
        if ticket.error is not None:
            raise ticket.error
        return ticket.result  # type: ignore[return-value] # a ticket without an error has its result

    def _lead(self) -> None:
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        try:
            results = self._flush([ticket.item for ticket in group])
            if len(results) != len(group):
                raise RuntimeError(f"a flush gave {len(results)} results for {len(group)} items")  # noqa: TRY301 - it is caught for all
        except Exception as exc:  # noqa: BLE001 - each waiting thread must get it, not only the leader
            results = [exc] * len(group)
        with self._lock:
            if self._waiting:
                self._waiting[0].turn.release()
            else:
                self._is_led = False
        for ticket, result in zip(group, results, strict=True):
            if isinstance(result, Exception):
                ticket.error = result
            else:
                ticket.result = result
            ticket.done = True
            ticket.turn.release()
