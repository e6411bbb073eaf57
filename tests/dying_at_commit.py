"""A worker process that dies by SIGKILL when all of a transaction is written and nothing of it committed.

`python dying_at_commit.py N`: at its N-th transaction that writes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from handlers.database import Database
from handlers.settings import load
from handlers.vendors import VENDORS
from handlers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


class DyingDatabase(Database):
    """A database whose process dies before a commit."""

    left = 0
    lock = threading.Lock()

    @contextmanager
    def write(self, **more: Any) -> Iterator[Connection]:
        with super().write(**more) as connection:
            yield connection
            with self.lock:
                DyingDatabase.left -= 1
                if DyingDatabase.left <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Work until death."""
    DyingDatabase.left = int(sys.argv[1])
    settings = load(os.environ, vendors=tuple(VENDORS))
    Worker(DyingDatabase(settings.database_url), settings, VENDORS).run(threading.Event())


if __name__ == "__main__":
    main()
