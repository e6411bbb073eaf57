"""A worker process that makes the calls of planned actions: `python calling_worker.py DATABASE_URL PORT`."""

from __future__ import annotations

import http.client
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from handlers.actions import Dispatcher, Performed
from handlers.database import Database
from handlers.operation import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.actions import Claimed

_warm = threading.local()


def perform(claimed: Claimed, start: Callable[[str], None]) -> Performed:
    """Call the vendor over this thread's own connection."""
    if not hasattr(_warm, "connection"):
        _warm.connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]), timeout=20)
        _warm.connection.connect()
    path = f"/{claimed.api}/{claimed.task}/{claimed.parameters['number']}"
    start(f"POST {path}")
    _warm.connection.request("POST", path, headers={"X-Made-At": repr(time.monotonic())})
    answer = _warm.connection.getresponse()
    answer.read()
    return Performed(outcome=Outcome(verdict="done" if answer.status == 200 else "give_up", detail=str(answer.status)))


def main() -> None:
    """Say who this is, and work until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: threading.Thread(target=stop.set).start())
    database = Database(sys.argv[1])
    dispatcher = Dispatcher(database, perform)
    print(dispatcher.holder, flush=True)  # noqa: T201 - its parent reads it
    dispatcher.run(stop)
    database.close()


if __name__ == "__main__":
    main()
