"""The threads that make calls: as many as there are calls under way, each free for the next when it is done."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Senders:
    """Threads that are made as they are needed; none of them keeps the process from ending."""

    def __init__(self) -> None:
        """Start without any."""
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Do a job, which raises nothing, in a thread that has nothing else to do.

        Raises RuntimeError where none is idle and no other can be started; the job is not done then.
        """
        with self._lock:
            is_new = self._idle == 0
            if not is_new:
                self._idle -= 1
        if is_new:
            threading.Thread(target=self._work, args=(job,), name="sender", daemon=True).start()
        else:
            self._jobs.put(job)

    def close(self) -> None:
        """Let the idle threads end."""
        with self._lock:
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._jobs.put(None)

    def _work(self, first: Callable[[], None]) -> None:
        job: Callable[[], None] | None = first
        while job is not None:
            job()
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
