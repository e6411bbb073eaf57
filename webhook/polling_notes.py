"""What pollers tell of themselves: figures that go to the database, and troubles, once as long as they are the same."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING

from handlers import meters
from handlers.clock import now_ms
from handlers.errors import DatabaseAway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.database import Database
    from handlers.queues import Message

_log = logging.getLogger("webhook.poller")


class PollingFigures:
    """What the threads of a process count; one thread writes it to the database."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._notes: dict[tuple[str, str], int] = {}
        self._meters = meters.Meters()

    def add(self, name: str, queue: str, value: int = 1) -> None:
        """Count something of a queue; from any thread."""
        with self._lock:
            self._counts[name, queue] += value

    def note(self, name: str, queue: str, value: int) -> None:
        """Set a figure of a queue that is no count; from any thread."""
        with self._lock:
            self._notes[name, queue] = value

    def flush(self, database: Database, *, at_once: bool = False) -> None:
        """Write what was counted if a second has gone by; where the database is away it waits."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            notes, self._notes = self._notes, {}
        for (name, queue), value in counts.items():
            self._meters.add(name, queue, value)
        for (name, queue), value in notes.items():
            self._meters.note(name, queue, value)
        try:
            self._meters.flush(database, at_once=at_once)
        except DatabaseAway as exc:
            _log.debug("the figures wait for the database: %s", exc)
        except Exception:  # noqa: BLE001 - figures must not end what they tell of
            _log.exception("the figures could not be written")


class QueueNotes:
    """What all threads of one queue tell."""

    def __init__(self, name: str, figures: PollingFigures) -> None:
        """Take the queue's name in the settings, and where its figures go."""
        self._name = name
        self._figures = figures
        self._lock = threading.Lock()
        self._trouble: str | None = None

    def count(self, name: str, value: int) -> None:
        """Count something; see handlers.meters for the names."""
        self._figures.add(name, self._name, value)

    def received(self, messages: Sequence[Message]) -> None:
        """Note a receive that worked, empty or not."""
        now = now_ms()
        self._figures.note(meters.QUEUE_RECEIVED_AT, self._name, now)
        ages = [now - one.enqueued_at for one in messages if one.enqueued_at is not None]
        self._figures.note(meters.QUEUE_OLDEST_MS, self._name, max([*ages, 0]))
        if messages:
            self.count(meters.QUEUE_RECEIVED, len(messages))
        else:
            self.count(meters.QUEUE_EMPTY, 1)
        self.trouble(None)

    def trouble(self, problem: str | None) -> None:
        """Note why nothing can be received, or that it can; log what is new."""
        self._figures.note(meters.QUEUE_UP, self._name, int(problem is None))
        with self._lock:
            before, self._trouble = self._trouble, problem
        if problem == before:
            return
        if problem is None:
            _log.info("queue %s: messages can be received again", self._name)
        else:
            _log.error("queue %s: nothing can be received: %s", self._name, problem)
