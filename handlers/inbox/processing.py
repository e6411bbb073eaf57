"""How kept deliveries become catalogue rows: in batches, each its own transaction, apart from the keeping.

1. Look at the oldest kept deliveries, no more than fit into memory, and write down that they are in hand. Deliveries
   of nothing but segments come after the others, and few at once, so that thousands of them delay nothing else.
2. Load and read them; what can't be read is quarantined with the reason.
3. Fold the events, except of families that another process has locked, and mark the deliveries processed, in one
   transaction. On SQLite, where keeping waits for whoever writes, the folding is worked out before that transaction,
   and again in it if the catalogue changed meanwhile.
4. If that fails, do each alone, so that a bug costs only the delivery that meets it. Where the database is at fault,
   nobody is condemned: it counts as away.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from handlers import catalogue, drift, meters, tables
from handlers.actions.endings import add_to, noted
from handlers.actions.figures import PLANNED
from handlers.clock import now_ms
from handlers.database import refuses_row
from handlers.errors import DatabaseAway, UnreadableDelivery
from handlers.fields import storable
from handlers.inbox.consequences import Consequences
from handlers.inbox.hands import MOST_TRIES, Hand
from handlers.keeping.deliveries import to_delivery
from handlers.meters import Meters
from handlers.reading import is_all_segments, meaning
from handlers.rows import fetch, update

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping, TextClause

    from handlers.database import Database
    from handlers.events import Delivery, Event
    from handlers.inbox.consequences import Planner
    from handlers.settings import Settings
    from handlers.vendor import Vendor

_log = logging.getLogger(__name__)

#: most deliveries in hand
_MOST = 256
#: most bytes of their bodies, except that one delivery is always taken
MOST_BYTES = 8 * 1024 * 1024
#: most deliveries of nothing but segments in hand: what arrives meanwhile waits for them
_MOST_BULK = 64
#: most of them, and bytes of their bodies, in one transaction; on SQLite few, because keeping waits meanwhile
_AT_ONCE_ON_SQLITE = 32
_BYTES_AT_ONCE_ON_SQLITE = 32 * 1024


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A kept delivery, not loaded yet, and how often a worker died with it in hand."""

    id: str
    vendor: str
    account: str
    tries: int
    size: int
    is_bulk: bool
    is_silent: bool

    def condemned(self, reason: str) -> _Judged:
        return _Judged(id=self.id, vendor=self.vendor, account=self.account, reason=reason)


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """A delivery, and either what it means or why that can't be told; what is condemned unread is not loaded."""

    id: str
    vendor: str
    account: str
    delivery: Delivery | None = None
    events: Sequence[Event] = ()
    reason: str | None = None
    #: rules are not asked about it
    is_silent: bool = False
    #: what of it is not as documented
    drift: Collection[tuple[drift.What, str]] = ()


@dataclass(frozen=True, kw_only=True)
class _Settlement:
    """What settling some deliveries comes to, worked out and not written yet."""

    judged: Sequence[_Judged]
    folded: catalogue.Folded
    consequences: Consequences
    now: int
    #: how many are left as they are, because another process has their families locked
    busy: int

    def write(self, connection: Connection) -> Counter[str]:
        """Write the catalogue, what follows from it, and that the deliveries are done with.

        Returns by operation how many calls were added that are to be made.
        """
        self.folded.write(connection)
        planned = self.consequences.write(connection)
        _mark(connection, self.judged, self.now)
        return planned


class Processor:
    """What one worker does with the inbox."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        vendors: Mapping[str, Vendor],
        *,
        planner: Planner | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """Take the database, what knows the accounts, what knows the vendors, and who asks the rules, if anybody."""
        self._database = database
        self._settings = settings
        self._vendors = vendors
        self._planner = planner
        self._clock = clock
        self._at_once = _AT_ONCE_ON_SQLITE if database.is_sqlite else _MOST
        self._bytes_at_once = _BYTES_AT_ONCE_ON_SQLITE if database.is_sqlite else MOST_BYTES
        #: where the next look starts, for segments alone and for the others: past what other processes have locked, if
        #: that was all there was
        self._after = {False: "", True: ""}
        self.hand = Hand(database)
        self.meters = Meters()

    def process(self) -> int:
        """Process one batch of kept deliveries; return how many were seen to, by this worker or another.

        0 says that nothing waits but what other processes have locked. Raises DatabaseAway when the database does not
        answer, or is not fit for work; nothing is lost by that.
        """
        with _nobody_condemned():
            waiting, further = self._look()
            suspects = [one for one in waiting if one.tries]
            done = self._each_alone(suspects) if suspects else 0
            # A suspect that has to wait for its family keeps nobody else waiting.
            done = done or self._together([one for one in waiting if not one.tries])
        self._after = {False: "", True: ""} if done else {False: "", True: ""} | further
        return done

    def _look(self) -> tuple[list[_Waiting], dict[bool, str]]:
        """Return the oldest kept deliveries, and where a further look would go on if there are more of them."""
        waiting: list[_Waiting] = []
        further = {}
        for is_bulk, most in ((False, _MOST), (True, _MOST_BULK)):
            some, is_more = self._look_at(is_bulk=is_bulk, most=most) if len(waiting) < _MOST else ([], False)
            waiting += some
            if is_more:
                further[is_bulk] = some[-1].id
        return waiting, further

    def _look_at(self, *, is_bulk: bool, most: int) -> tuple[list[_Waiting], bool]:
        """Return the oldest of one sort, leaving out what another worker is settling; tell whether there are more."""
        deliveries, inbox = tables.deliveries, tables.inbox
        names = (deliveries.c.id, deliveries.c.vendor, deliveries.c.account, inbox.c.tries)
        flags = (inbox.c.is_bulk, inbox.c.is_silent)
        query = (
            select(*names, *flags, func.length(deliveries.c.body).label("size"))
            .join_from(inbox, deliveries, deliveries.c.id == inbox.c.delivery)
            .where(inbox.c.state == tables.KEPT, _sort(is_bulk=is_bulk), inbox.c.delivery > self._after[is_bulk])
            .order_by(inbox.c.delivery)
            .limit(most)
            .with_for_update(skip_locked=True, of=inbox)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        some = fitting(rows)
        is_more = len(rows) == most or len(some) < len(rows)
        return [_Waiting(**row) for row in some], is_more

    def _load(self, ids: Collection[str]) -> list[Delivery]:
        query = select(tables.deliveries).where(tables.deliveries.c.id.in_(ids)).order_by(tables.deliveries.c.id)
        with self._database.read() as connection:
            return [to_delivery(row) for row in connection.execute(query).mappings()]

    def _together(self, waiting: Sequence[_Waiting]) -> int:
        is_held = False
        done = 0
        for start, some in self._portions(waiting):
            if not is_held:
                self.hand.take([one.id for one in waiting[start:]], now=self._clock())
            try:
                done += self._settle(self._judged(some))
                is_held = True
            except DatabaseAway:
                raise
            except Exception:  # noqa: BLE001 - a bug costs only the delivery that meets it
                _log.exception("a batch of %d deliveries failed; each is tried alone", len(some))
                done += self._each_alone(some)
                is_held = False
        return done

    def _portions(self, waiting: Sequence[_Waiting]) -> Iterator[tuple[int, Sequence[_Waiting]]]:
        """Yield what goes into one transaction each, and where it begins."""
        start = size = 0
        for place, one in enumerate(waiting):
            is_full = place - start == self._at_once or size + one.size > self._bytes_at_once
            if place > start and (is_full or one.is_bulk != waiting[start].is_bulk):
                yield start, waiting[start:place]
                start, size = place, 0
            size += one.size
        if waiting:
            yield start, waiting[start:]

    def _each_alone(self, waiting: Sequence[_Waiting]) -> int:
        done = 0
        for one in waiting:
            if one.tries >= MOST_TRIES:
                reason = f"a worker died {one.tries} times with this delivery in hand; mend the cause and replay"
                done += self._settle([one.condemned(reason)])
                continue
            self.hand.take([one.id], now=self._clock())
            try:
                done += self._alone(one)
            except DatabaseAway:
                raise
            except Exception as exc:  # noqa: BLE001 - the delivery is kept, with the reason
                _log.exception("processing failed", extra={"delivery": one.id})
                # SQLAlchemy's own text would hold the statement and its parameters.
                said = exc.orig if isinstance(exc, DBAPIError) else exc
                reason = storable(f"processing failed ({type(exc).__name__}: {said}); mend the cause and replay")
                done += self._settle([one.condemned(reason)])
        return done

    def _alone(self, one: _Waiting) -> int:
        judged = self._judged([one])
        try:
            return self._settle(judged)
        except IntegrityError as exc:
            if not _another_was_first(exc):
                raise
            return self._settle(judged)

    def _judged(self, waiting: Sequence[_Waiting]) -> list[_Judged]:
        silent = {one.id for one in waiting if one.is_silent}
        loaded = self._load([one.id for one in waiting])
        return [self._judge(delivery, is_silent=delivery.id in silent) for delivery in loaded]

    def _judge(self, delivery: Delivery, *, is_silent: bool) -> _Judged:
        with drift.noting() as noted:
            try:
                events, reason = meaning(delivery, self._settings, self._vendors), None
            except UnreadableDelivery as exc:
                events, reason = (), storable(str(exc))
        who = {"id": delivery.id, "vendor": delivery.vendor, "account": delivery.account}
        return _Judged(**who, delivery=delivery, events=events, reason=reason, is_silent=is_silent, drift=noted)

    def _settle(self, judged: Sequence[_Judged]) -> int:
        """Fold what the deliveries mean and mark them, in one transaction; return how many need no more work."""
        settlement = None
        with _nobody_condemned():
            if self._database.is_sqlite:
                with self._database.read() as connection:
                    settlement = self._work_out(connection, judged)
            with self._database.write() as connection:
                # Another worker's settling is a write to the catalogue too: what is current is ours still.
                if settlement is None or not settlement.folded.is_current(connection):
                    settlement = self._work_out(connection, judged)
                planned = settlement.write(connection)
        self._count(settlement.judged, settlement.now)
        self._count_consequences(settlement.consequences, planned)
        add_to(self.meters, noted(connection))
        return len(judged) - settlement.busy

    def _work_out(self, connection: Connection, judged: Sequence[_Judged]) -> _Settlement:
        ours = _still_kept(connection, [one.id for one in judged])
        judged = [one for one in judged if one.id in ours]
        busy = catalogue.lock_free(connection, catalogue.families_of(_told(judged)))
        free = [one for one in judged if not any(catalogue.family_of(event) in busy for event in one.events)]
        now = self._clock()
        rules = None if self._planner is None else self._planner.rules
        silent = {one.id for one in free if one.is_silent}
        wanted = catalogue.nobody_waits if rules is None else rules.wait_for
        folded = catalogue.work_out(connection, _told(free), now=now, wanted=wanted, silent=silent)
        consequences = Consequences(over=folded.over, now=now)
        if self._planner is not None and rules is not None:
            consequences = self._planner.consequences(connection, rules, folded.effects, folded.over)
        left = len(judged) - len(free)
        return _Settlement(judged=free, folded=folded, consequences=consequences, now=now, busy=left)

    def _count(self, judged: Sequence[_Judged], now: int) -> None:
        processed = [one.id for one in judged if one.reason is None]
        if processed:
            _log.info("%d deliveries processed", len(processed), extra={"deliveries": processed})
        for one in judged:
            account = f"{one.vendor}/{one.account}"
            if one.reason is not None or one.delivery is None:
                self.meters.add(meters.QUARANTINED, account)
                _log.warning("delivery quarantined: %s", one.reason, extra={"delivery": one.id})
                continue
            self.meters.add(meters.PROCESSED, account)
            self.meters.add_delay(now - one.delivery.received_at)
            for event in one.events:
                self.meters.add(meters.EVENTS, event.kind)
            first = next(iter(one.events), None)
            if first is not None and first.kind != "unknown":  # a word that we don't know has no fields that we know
                for what, name in one.drift:
                    self.meters.add(meters.DRIFT, f"{one.vendor}/{first.word}/{what}/{name}")

    def _count_consequences(self, consequences: Consequences, planned: Counter[str]) -> None:
        for operation, number in planned.items():
            self.meters.add(PLANNED, operation, number)
        if self._planner is not None:
            self._planner.notes.count(consequences.matched, consequences.unmatched, now=self._clock())


def fitting(rows: Sequence[RowMapping]) -> Sequence[RowMapping]:
    """Return the first of the rows, by their `size` in bytes as many as may be in memory at once, but at least one."""
    total = 0
    for count, row in enumerate(rows):
        total += row["size"]
        if total > MOST_BYTES and count:
            return rows[:count]
    return rows


@contextmanager
def _nobody_condemned() -> Iterator[None]:
    """Take an error that is no delivery's fault (no such table, no right to it, a damaged file) for DatabaseAway."""
    try:
        yield
    except DBAPIError as exc:
        if refuses_row(exc):
            raise
        raise DatabaseAway(f"the database can't be worked with: {str(exc.orig).strip()}") from exc


def _another_was_first(exc: IntegrityError) -> bool:
    """Tell a row that another worker has written meanwhile from one that no try will change."""
    code = getattr(exc.orig, "sqlstate", None) or getattr(exc.orig, "sqlite_errorname", None)
    return code in {"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}


def _sort(*, is_bulk: bool) -> TextClause:
    """Return the condition in the words of the index that serves it: SQLite takes no others for the same."""
    return text("inbox.is_bulk" if is_bulk else "NOT inbox.is_bulk")


def _told(judged: Sequence[_Judged]) -> list[catalogue.Told]:
    return [
        catalogue.Told(delivery=one.delivery, position=position, event=event)
        for one in judged
        if one.delivery is not None
        for position, event in enumerate(one.events)
    ]


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
            "delivery": one.id,
            "state": tables.PROCESSED if one.reason is None else tables.QUARANTINED,
            "reason": one.reason,
            "processed_at": now,
            "is_bulk": is_all_segments(one.events),
        }
        for one in judged
    ]
    update(connection, tables.inbox, ("state", "reason", "processed_at", "is_bulk"), rows, key="delivery")
