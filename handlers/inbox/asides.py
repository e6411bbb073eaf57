"""Where pulled messages go that can't be believed and would come for ever: among the refusals, whole, never pushed out.

Their queue is told to delete them, so this may be the only copy. They have bytes of their own for each account, and
where those are used up a message stays in its queue.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select

from handlers import tables
from handlers.questions.backlog import MOST_SET_ASIDE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.database import Database

#: seconds for which an account is known to be full: what stays in its queue comes again and again
_FULL = 10.0


class Asides:
    """Who sets aside, for all threads of a process."""

    def __init__(self, database: Database, *, budget: int = MOST_SET_ASIDE) -> None:
        """Take where to write, and the bytes for each account; several writers at once may go over them by a batch."""
        self._database = database
        self._budget = budget
        #: vendor and account -> time.monotonic() until which nobody looks for room
        self._full: dict[tuple[str, str], float] = {}

    def put(self, rows: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Write rows of refusals in one transaction; tell for each whether it lies there now, or did before.

        `set_aside` names the message. Raises DatabaseAway where nothing could be written.
        """
        now = time.monotonic()
        places = {place for row in rows if self._full.get(place := (row["vendor"], row["account"]), 0.0) <= now}
        if not places:
            return [False] * len(rows)
        with self._database.read() as connection:
            used = {place: _used(connection, *place) for place in sorted(places)}
        with self._database.write() as connection:
            return [self._put(connection, row, used) for row in rows]

    def _put(self, connection: Connection, row: Mapping[str, Any], used: dict[tuple[str, str], int]) -> bool:
        place = (row["vendor"], row["account"])
        if place not in used:
            return False
        if _lies(connection, row):
            return True
        if used[place] + row["size_bytes"] > self._budget:
            self._full[place] = time.monotonic() + _FULL
            return False
        used[place] += row["size_bytes"]
        connection.execute(insert(tables.refusals), [dict(row)])
        return True


def _used(connection: Connection, vendor: str, account: str) -> int:
    refusals = tables.refusals
    size = select(func.coalesce(func.sum(refusals.c.size_bytes), 0))
    mine = (refusals.c.vendor == vendor, refusals.c.account == account, refusals.c.set_aside.is_not(None))
    return int(connection.execute(size.where(*mine)).scalar_one())


def _lies(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Tell whether the message was set aside before: deleting it may have failed."""
    refusals = tables.refusals
    same = [refusals.c[name] == row[name] for name in ("vendor", "account", "set_aside")]
    return connection.execute(select(refusals.c.id).where(*same).limit(1)).first() is not None
