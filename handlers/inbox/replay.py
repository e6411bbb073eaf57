"""Which deliveries are processed once more: chosen by filter, put back into the state in which a worker takes them.

Rules are asked about what they change only where that is wanted: what they tell may have happened long ago.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from handlers import tables
from handlers.errors import WrongRequest
from handlers.questions import CAP, matching, total
from handlers.questions.filters import DELIVERIES, Filters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from handlers.database import Database

#: deliveries in one transaction; few, because keeping waits meanwhile on SQLite
_CHUNK = 200
_AGAIN = (tables.QUARANTINED, tables.PROCESSED)


def preview_replay(connection: Connection, filters: Filters, *, cap: int = CAP) -> tuple[int, bool]:
    """Count what replay() would take, up to `cap`; tell whether there is more. Raise WrongRequest as replay() does."""
    return total(connection, DELIVERIES, _narrowed(filters), cap=cap)


def replay(database: Database, filters: Filters, *, fire: bool = False) -> int:
    """Have every matching delivery processed again, oldest first; return how many.

    With `fire`, rules are asked about what that changes: of what was processed before, nothing. Without a state the
    quarantined ones are meant. What arrives meanwhile is left alone. Raises WrongRequest for
    filters that deliveries don't have, and for the state `kept`: those wait for a worker already.
    """
    chosen = matching(DELIVERIES, _narrowed(filters))
    with database.read() as connection:
        # By the table's own word: another machine's clock, which makes its ids, may be ahead.
        greatest = connection.execute(select(func.max(tables.inbox.c.delivery))).scalar()
    chosen = chosen.where(tables.inbox.c.delivery <= greatest)
    count = 0
    last = ""
    while True:
        query = chosen.where(tables.inbox.c.delivery > last).order_by(tables.inbox.c.delivery).limit(_CHUNK)
        with database.write() as connection:
            ids = list(connection.execute(query).scalars())
            count += _put_back(connection, ids, fire=fire)
        if len(ids) < _CHUNK:
            return count
        last = ids[-1]


def replay_one(database: Database, delivery: str, *, fire: bool = False) -> int | None:
    """Have one delivery processed again, with `fire` as replay() has it; return how many that were.

    0: it waits already. None: there is no such delivery.
    """
    if "\0" in delivery:
        return None
    known = select(tables.inbox.c.delivery).where(tables.inbox.c.delivery == delivery)
    with database.write() as connection:
        if connection.execute(known).scalar() is None:
            return None
        return _put_back(connection, [delivery], fire=fire)


def _narrowed(filters: Filters) -> Filters:
    waiting = [state for state in filters.state if state == tables.KEPT]
    if waiting:
        raise WrongRequest({"state": f"is {waiting[0]!r}, which waits for a worker already; expected {_AGAIN}"})
    return filters if filters.state else replace(filters, state=(tables.QUARANTINED,))


def _put_back(connection: Connection, deliveries: Sequence[str], *, fire: bool) -> int:
    inbox = tables.inbox
    chosen = (inbox.c.delivery.in_(deliveries), inbox.c.state.in_(_AGAIN))
    afresh = {"state": tables.KEPT, "tries": 0, "reason": None, "processed_at": None, "is_silent": not fire}
    return connection.execute(update(inbox).where(*chosen).values(afresh)).rowcount if deliveries else 0
