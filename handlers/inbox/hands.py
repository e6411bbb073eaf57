"""Which delivery kills a worker: what each has in hand is written down before it is touched.

When a worker is gone, what it had in hand is suspect: it is then processed one by one, and what is alone in hand
at a death has one more try counted, so that after three tries the culprit stands by itself and its neighbours
are through.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import case, delete, insert, select, update

from handlers.ids import new_id
from handlers.tables import KEPT, hands, inbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from handlers.database import Database

#: tries after which a delivery that ended its worker is quarantined
MOST_TRIES = 3
#: milliseconds after which a hand on another machine counts as dead
LEASE_MS = 30_000


class Hand:
    """What one worker process holds."""

    def __init__(self, database: Database) -> None:
        """Name the worker; nothing is in hand yet."""
        self._database = database
        self.worker = new_id("wrk")
        self._host = _host()

    def take(self, deliveries: Sequence[str], *, now: int) -> None:
        """Write down what is about to be processed; `now` in milliseconds UTC."""
        held = {"since": now, "deliveries": json.dumps(list(deliveries))}
        with self._database.write() as connection:
            if not self._database.is_sqlite:
                # Losing this row with the whole server loses no delivery, so it need not wait for the disk.
                connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            # The row may be there or not: its first commit may have gone through unheard, others may have adopted it.
            if connection.execute(update(hands).where(hands.c.worker == self.worker).values(held)).rowcount == 0:
                owner = {"worker": self.worker, "host": self._host, "pid": os.getpid()}
                connection.execute(insert(hands), [owner | held])

    def put_down(self) -> None:
        """Say that this worker ends in order."""
        with self._database.write() as connection:
            connection.execute(delete(hands).where(hands.c.worker == self.worker))

    def adopt(self, *, now: int) -> int:
        """Count a try for what dead workers had in hand; return how many deliveries are suspect."""
        with self._database.read() as connection:
            rows = connection.execute(select(hands)).all()
        found = [row for row in rows if self._is_dead(row.worker, row.host, row.pid, now - row.since)]
        suspects = 0
        for row in found:
            with self._database.write() as connection:
                if connection.execute(delete(hands).where(hands.c.worker == row.worker)).rowcount == 1:
                    suspects += _count_try(connection, json.loads(row.deliveries))
        return suspects

    def _is_dead(self, worker: str, host: str, pid: int, age_ms: int) -> bool:
        if worker == self.worker:
            return False
        return age_ms > LEASE_MS or (host == self._host and not _is_alive(pid))


def _count_try(connection: Connection, deliveries: Sequence[str]) -> int:
    """Count one more try for a delivery that was in hand alone; of several, make suspects that are tried alone.

    Several workers may die with the same batch in hand: were each death counted, its innocents would be condemned.
    """
    was_alone = len(deliveries) == 1
    tries = inbox.c.tries + 1 if was_alone else case((inbox.c.tries == 0, 1), else_=inbox.c.tries)
    held = inbox.c.delivery.in_(deliveries)
    return connection.execute(update(inbox).where(held, inbox.c.state == KEPT).values(tries=tries)).rowcount


def _host() -> str:
    """Name where a process id means one process: the machine, its boot, and the container's own numbering."""
    named = [socket.gethostname()]
    with suppress(OSError):
        named.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        named.append(Path("/proc/self/ns/pid").readlink().name)
    return " ".join(named)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()
