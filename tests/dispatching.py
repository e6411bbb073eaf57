"""A dispatcher at work, and what it performs, for tests."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from planning import DONE, rows

from handlers.actions import Dispatcher, Performed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handlers.actions import Claimed, Perform
    from handlers.database import Database


@contextmanager
def at_work(database: Database, perform: Perform, **more: float) -> Iterator[Dispatcher]:
    """Run a dispatcher, and stop it."""
    dispatcher = Dispatcher(database, perform, **more)  # type: ignore[arg-type] # threads and patience
    stop = threading.Event()
    thread = threading.Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    try:
        yield dispatcher
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def do(claimed: Claimed, start: Callable[[str], None]) -> Performed:
    """Make any call at once."""
    start(f"POST {claimed.id}")
    return Performed(outcome=DONE, answer="{}")


def in_hand(database: Database) -> int:
    """Count what has been claimed."""
    return [row["stage"] for row in rows(database)].count("claimed")
