"""How far the inbox lags behind: what waits, what is in quarantine, since when, and what pollers have set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from handlers.tables import KEPT, QUARANTINED, deliveries, inbox, refusals

if TYPE_CHECKING:
    from sqlalchemy import Connection


#: a count ends here: a look must stay quick whatever has piled up
MOST_COUNTED = 100_000
#: bytes of one account's messages that may be set aside; what is over them stays in its queue
MOST_SET_ASIDE = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """What pollers have set aside of one account: refused, deleted from its queue, and not released."""

    vendor: str
    account: str
    count: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The inbox at one moment."""

    waiting: int
    quarantined: int
    #: milliseconds; 0 where nothing waits
    oldest_waiting_ms: int
    set_aside: tuple[SetAside, ...] = ()


def backlog(connection: Connection, *, now: int) -> Backlog:
    """Look at the inbox; `now` in milliseconds UTC."""
    oldest = select(func.min(inbox.c.delivery)).where(inbox.c.state == KEPT).scalar_subquery()
    received_at = connection.execute(select(deliveries.c.received_at).where(deliveries.c.id == oldest)).scalar()
    return Backlog(
        waiting=_count(connection, KEPT),
        quarantined=_count(connection, QUARANTINED),
        oldest_waiting_ms=0 if received_at is None else max(now - received_at, 0),
        set_aside=_set_aside(connection),
    )


def _set_aside(connection: Connection) -> tuple[SetAside, ...]:
    place = (refusals.c.vendor, refusals.c.account)
    sizes = (func.count().label("count"), func.sum(refusals.c.size_bytes).label("size_bytes"))
    query = select(*place, *sizes).where(refusals.c.set_aside.is_not(None)).group_by(*place).order_by(*place)
    return tuple(
        SetAside(vendor=row["vendor"], account=row["account"], count=row["count"], size_bytes=int(row["size_bytes"]))
        for row in connection.execute(query).mappings()
    )


def _count(connection: Connection, state: str) -> int:
    some = select(inbox.c.delivery).where(inbox.c.state == state).limit(MOST_COUNTED).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()
