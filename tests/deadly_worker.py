"""A worker process that dies by SIGKILL while it reads a delivery whose body says so: `python deadly_worker.py`."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from handlers.database import Database
from handlers.settings import load
from handlers.vendors import VENDORS
from handlers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.events import Delivery, Event

#: what a deadly body holds
DEADLY = b"deadly"


def _read(delivery: Delivery) -> Sequence[Event]:
    if DEADLY in delivery.body:
        os.kill(os.getpid(), signal.SIGKILL)
    return VENDORS["aliyun"].read(delivery)


def main() -> None:
    """Work until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: threading.Thread(target=stop.set).start())
    settings = load(os.environ, vendors=tuple(VENDORS))
    database = Database(settings.database_url)
    Worker(database, settings, {"aliyun": replace(VENDORS["aliyun"], read=_read)}).run(stop)
    database.close()


if __name__ == "__main__":
    main()
