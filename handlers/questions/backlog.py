"""How far the inbox lags behind: what waits, what is in quarantine, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from handlers.tables import KEPT, QUARANTINED, deliveries, inbox

if TYPE_CHECKING:
    from sqlalchemy import Connection


#: a count ends here: a look must stay quick whatever has piled up
MOST_COUNTED = 100_000


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The inbox at one moment."""

    waiting: int
    quarantined: int
    #: milliseconds; 0 where nothing waits
    oldest_waiting_ms: int


def backlog(connection: Connection, *, now: int) -> Backlog:
    """Look at the inbox; `now` in milliseconds UTC."""
    oldest = select(func.min(inbox.c.delivery)).where(inbox.c.state == KEPT).scalar_subquery()
    received_at = connection.execute(select(deliveries.c.received_at).where(deliveries.c.id == oldest)).scalar()
    return Backlog(
        waiting=_count(connection, KEPT),
        quarantined=_count(connection, QUARANTINED),
        oldest_waiting_ms=0 if received_at is None else max(now - received_at, 0),
    )


def _count(connection: Connection, state: str) -> int:
    some = select(inbox.c.delivery).where(inbox.c.state == state).limit(MOST_COUNTED).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()
