"""What a worker hands over with: the sender of all threads, and each thread's own clients of queues and brokers."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from handlers.destinations.sending import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class Closable(Protocol):
    """A client that holds a connection."""

    def close(self) -> None:
        """Close its connection."""


ClientT = TypeVar("ClientT", bound=Closable)


class Means:
    """The connections of one worker; any number of threads may use them at once."""

    def __init__(self, sender: Sender | None = None) -> None:
        """Take the sender that vendors' calls use too, or make one."""
        self.sender = sender or Sender()
        self._own = threading.local()
        self._lock = threading.Lock()
        self._every: list[Closable] = []

    def client(self, destination: str, key: Hashable, make: Callable[[], ClientT]) -> ClientT:
        """Return this thread's client for the destination, made anew where `key`, what it was made of, has changed."""
        kept = self._kept()
        if destination in kept and kept[destination][0] == key:
            client: ClientT = kept[destination][1]
            return client
        self.forget(destination)
        made = make()
        kept[destination] = (key, made)
        with self._lock:
            self._every.append(made)
        return made

    def forget(self, destination: str) -> None:
        """Close this thread's client, after a failure that may have left its connection in any state."""
        _, client = self._kept().pop(destination, (None, None))
        if client is not None:
            with self._lock:
                self._every.remove(client)
            with suppress(Exception):
                client.close()

    def close(self) -> None:
        """Close everything; no thread may be using it."""
        with self._lock:
            every, self._every = self._every, []
        self._own = threading.local()
        for client in every:
            with suppress(Exception):
                client.close()
        self.sender.close()

    def _kept(self) -> dict[str, tuple[Hashable, Any]]:
        if not hasattr(self._own, "kept"):
            self._own.kept = {}
        kept: dict[str, tuple[Hashable, Any]] = self._own.kept
        return kept
