"""A worker process as `reelhook work` runs it, but working and resting as it is told: a line in, a line out."""

from __future__ import annotations

import os
import sys
import threading

from handlers.database import Database
from handlers.settings import load
from handlers.vendors import VENDORS
from handlers.worker import Worker
from webhook.logs import configure_logging

GO = "go"
REST = "rest"


def main() -> None:
    """Obey `go` and `rest`; answer each with the same word once it is so."""
    settings = load(os.environ, vendors=tuple(VENDORS))
    configure_logging(settings.log)
    database = Database(settings.database_url)
    stop = threading.Event()
    thread = threading.Thread()
    for line in sys.stdin:
        if line.strip() == GO:
            stop.clear()
            thread = threading.Thread(target=Worker(database, settings, VENDORS).run, args=(stop,), daemon=True)
            thread.start()
        else:
            stop.set()
            thread.join()
        print(line.strip(), flush=True)


if __name__ == "__main__":
    main()
