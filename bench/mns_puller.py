"""What empties a queue of the MNS stand-in: the product's poller, or the bare SDK, which receives and deletes.

It obeys like the busy worker: `go` and `rest` come in line by line, and each is answered with the same word. Its own
arguments are the variant and the stand-in's endpoint, queue and number of threads.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from mns.account import Account
from mns.mns_exception import MNSExceptionBase

import handlers.queues.mns  # noqa: F401 - imported before anything is timed
from bench.busy_worker import GO
from handlers.database import Database
from handlers.settings import load
from handlers.vendors import VENDORS
from webhook.logs import configure_logging
from webhook.poller import Poller

if TYPE_CHECKING:
    from collections.abc import Callable

BARE, POLLER = "bare", "poller"
#: the stand-in's own default access key
ACCESS_KEY, SECRET_KEY = "standin", "standin-secret"
BATCH = 16
#: seconds that one receive waits: it also bounds how long the variant takes to rest
WAIT = 1


def main() -> None:
    """Work between `go` and `rest`."""
    variant, endpoint, queue, threads = sys.argv[1:]
    run = _bare(endpoint, queue, int(threads)) if variant == BARE else _poller()
    stop, thread = threading.Event(), threading.Thread()
    for line in sys.stdin:
        if line.strip() == GO:
            stop = threading.Event()
            thread = threading.Thread(target=run, args=(stop,), daemon=True)
            thread.start()
        else:
            stop.set()
            thread.join()
        print(line.strip(), flush=True)


def _poller() -> Callable[[threading.Event], None]:
    settings = load(os.environ, vendors=tuple(VENDORS))
    configure_logging(settings.log)
    database = Database(settings.database_url, pool_size=16)
    return lambda stop: Poller(database, settings, VENDORS).run(stop)


def _bare(endpoint: str, queue: str, threads: int) -> Callable[[threading.Event], None]:
    def pull(stop: threading.Event) -> None:
        client = Account(endpoint, ACCESS_KEY, SECRET_KEY).get_queue(queue)
        client.set_encoding(False)
        while not stop.is_set():
            with suppress(MNSExceptionBase):  # an empty queue
                received = client.batch_receive_message(BATCH, WAIT)
                client.batch_delete_message([one.receipt_handle for one in received])

    def run(stop: threading.Event) -> None:
        pullers = [threading.Thread(target=pull, args=(stop,)) for _ in range(threads)]
        for puller in pullers:
            puller.start()
        for puller in pullers:
            puller.join()

    return run


if __name__ == "__main__":
    main()
