"""How kept deliveries become catalogue rows: in batches, each its own transaction, apart from the keeping.

1. Look at the oldest kept deliveries and write down that they are in hand.
2. Read them; what can't be read is quarantined with the reason.
3. Fold the events and mark the deliveries processed, in one transaction. On SQLite, where keeping waits for whoever
   writes, the folding is worked out before that transaction, and again in it if the catalogue changed meanwhile.
4. If that fails, do each alone, so that a bug costs only the delivery that meets it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from handlers import catalogue, meters, tables
from handlers.clock import now_ms
from handlers.deliveries import to_delivery
from handlers.errors import DatabaseAway, UnreadableDelivery
from handlers.fields import storable
from handlers.hands import MOST_TRIES, Hand
from handlers.meters import Meters
from handlers.reading import meaning
from handlers.rows import fetch, update

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.database import Database
    from handlers.events import Delivery, Event
    from handlers.settings import Settings
    from handlers.vendor import Vendor

_log = logging.getLogger(__name__)

#: most deliveries in hand
_MOST = 256
#: most of them in one transaction; on SQLite few, because keeping waits meanwhile (design §4)
_AT_ONCE_ON_SQLITE = 32


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A kept delivery and how often a worker died with it in hand."""

    delivery: Delivery
    tries: int


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """A delivery, and either what it means or why that can't be told."""

    delivery: Delivery
    events: Sequence[Event] = ()
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Settlement:
    """What settling some deliveries comes to, worked out and not written yet."""

    judged: Sequence[_Judged]
    folded: catalogue.Folded
    now: int

    def write(self, connection: Connection) -> None:
        """Write the catalogue, and that the deliveries are done with."""
        self.folded.write(connection)
        _mark(connection, self.judged, self.now)


class Processor:
    """What one worker does with the inbox."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        vendors: Mapping[str, Vendor],
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """Take the database, what knows the accounts, and what knows the vendors."""
        self._database = database
        self._settings = settings
        self._vendors = vendors
        self._clock = clock
        self._at_once = _AT_ONCE_ON_SQLITE if database.is_sqlite else _MOST
        self.hand = Hand(database)
        self.meters = Meters()

    def process(self) -> int:
        """Process one batch of kept deliveries; return how many were waiting, 0 if none.

        Raises DatabaseAway when the database does not answer; nothing is lost by that.
        """
        waiting = self._look()
        suspects = [one for one in waiting if one.tries]
        if suspects:
            self._each_alone(suspects)
        elif waiting:
            self._together(waiting)
        return len(waiting)

    def _look(self) -> list[_Waiting]:
        """Return the oldest kept deliveries, leaving out what another worker is settling."""
        columns = (*tables.deliveries.c, tables.inbox.c.tries)
        query = (
            select(*columns)
            .join_from(tables.inbox, tables.deliveries, tables.deliveries.c.id == tables.inbox.c.delivery)
            .where(tables.inbox.c.state == tables.KEPT)
            .order_by(tables.inbox.c.delivery)
            .limit(_MOST)
            .with_for_update(skip_locked=True, of=tables.inbox)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [_Waiting(delivery=to_delivery(row), tries=row["tries"]) for row in rows]

    def _together(self, waiting: Sequence[_Waiting]) -> None:
        is_held = False
        for start in range(0, len(waiting), self._at_once):
            if not is_held:
                self.hand.take([one.delivery.id for one in waiting[start:]], now=self._clock())
            some = waiting[start : start + self._at_once]
            is_held = self._settle_or_each_alone(some)

    def _settle_or_each_alone(self, waiting: Sequence[_Waiting]) -> bool:
        """Settle the deliveries in one transaction and return True; where that fails, one by one."""
        try:
            self._settle([self._judge(one.delivery) for one in waiting])
        except DatabaseAway:
            raise
        except Exception:  # noqa: BLE001 - a bug costs only the delivery that meets it
            _log.exception("a batch of %d deliveries failed; each is tried alone", len(waiting))
            self._each_alone(waiting)
            return False
        return True

    def _each_alone(self, waiting: Sequence[_Waiting]) -> None:
        for one in waiting:
            delivery = one.delivery
            if one.tries >= MOST_TRIES:
                reason = f"a worker died {one.tries} times with this delivery in hand; mend the cause and replay"
                self._settle([_Judged(delivery=delivery, reason=reason)])
                continue
            self.hand.take([delivery.id], now=self._clock())
            try:
                self._settle([self._judge(delivery)])
            except DatabaseAway:
                raise
            except Exception as exc:  # noqa: BLE001 - the delivery is kept, with the reason
                _log.exception("processing failed", extra={"delivery": delivery.id})
                reason = f"processing failed ({type(exc).__name__}: {exc}); mend the cause and replay"
                self._settle([_Judged(delivery=delivery, reason=storable(reason))])

    def _judge(self, delivery: Delivery) -> _Judged:
        try:
            return _Judged(delivery=delivery, events=meaning(delivery, self._settings, self._vendors))
        except UnreadableDelivery as exc:
            return _Judged(delivery=delivery, reason=storable(str(exc)))

    def _settle(self, judged: Sequence[_Judged]) -> None:
        """Fold what the deliveries mean and mark them, in one transaction."""
        settlement = None
        if self._database.is_sqlite:
            with self._database.read() as connection:
                settlement = self._work_out(connection, judged)
        with self._database.write() as connection:
            # Another worker's settling is a write to the catalogue too: what is current is ours still.
            if settlement is None or not settlement.folded.is_current(connection):
                settlement = self._work_out(connection, judged)
            settlement.write(connection)
        self._count(settlement.judged, settlement.now)

    def _work_out(self, connection: Connection, judged: Sequence[_Judged]) -> _Settlement:
        ours = _still_kept(connection, [one.delivery.id for one in judged])
        judged = [one for one in judged if one.delivery.id in ours]
        told = [
            catalogue.Told(delivery=one.delivery, position=position, event=event)
            for one in judged
            for position, event in enumerate(one.events)
        ]
        now = self._clock()
        return _Settlement(judged=judged, folded=catalogue.work_out(connection, told, now=now), now=now)

    def _count(self, judged: Sequence[_Judged], now: int) -> None:
        processed = [one.delivery.id for one in judged if one.reason is None]
        if processed:
            _log.info("%d deliveries processed", len(processed), extra={"deliveries": processed})
        for one in judged:
            account = one.delivery.account
            if one.reason is not None:
                self.meters.add(meters.QUARANTINED, account)
                _log.warning("delivery quarantined: %s", one.reason, extra={"delivery": one.delivery.id})
                continue
            self.meters.add(meters.PROCESSED, account)
            self.meters.add_delay(now - one.delivery.received_at)
            for event in one.events:
                self.meters.add(meters.EVENTS, event.kind)


def _still_kept(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Claim the deliveries that no other worker has settled or is settling."""
    if connection.dialect.name == "sqlite":  # one worker writes at a time, there is nothing to claim
        rows = fetch(connection, tables.inbox, ("delivery",), [(one,) for one in ids])
        return {row["delivery"] for row in rows if row["state"] == tables.KEPT}
    query = (
        select(tables.inbox.c.delivery)
        .where(tables.inbox.c.delivery.in_(ids), tables.inbox.c.state == tables.KEPT)
        .order_by(tables.inbox.c.delivery)
        .with_for_update(skip_locked=True)
    )
    return set(connection.execute(query).scalars())


def _mark(connection: Connection, judged: Sequence[_Judged], now: int) -> None:
    rows = [
        {
            "delivery": one.delivery.id,
            "state": tables.PROCESSED if one.reason is None else tables.QUARANTINED,
            "reason": one.reason,
            "processed_at": now,
        }
        for one in judged
    ]
    update(connection, tables.inbox, ("state", "reason", "processed_at"), rows, key="delivery")
