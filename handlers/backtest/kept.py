"""Which kept deliveries are gone through: those received in a span of time, and what came before about theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, or_, select

from handlers import tables
from handlers.inbox.processing import fitting
from handlers.keeping.deliveries import to_delivery
from handlers.rows import fetch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement, RowMapping, Select

    from handlers.database import Database
    from handlers.events import Delivery, TaskKey

_PAGE: Final = 1000
_NAME: Final = ("vendor", "app_id", "room_id", "type", "task_id")


@dataclass(frozen=True, kw_only=True)
class Window:
    """The deliveries that rules are asked about; times are milliseconds UTC."""

    #: received at this time or later, and before that one
    since: int
    until: int
    #: empty: of any
    vendors: Sequence[str] = ()
    accounts: Sequence[str] = ()

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what a row of deliveries must fulfil."""
        row = tables.deliveries.c
        told = [row.received_at >= self.since, row.received_at < self.until]
        told += [row.vendor.in_(self.vendors)] if self.vendors else []
        return told + ([row.account.in_(self.accounts)] if self.accounts else [])


class Kept:
    """The kept deliveries, as one window sees them."""

    def __init__(self, database: Database, window: Window) -> None:
        """Take where they are kept."""
        self._database = database
        self._window = window

    def total(self) -> int:
        """Count the deliveries that are asked about."""
        return self.counts().get(tables.PROCESSED, 0)

    def counts(self) -> dict[str, int]:
        """Count the deliveries of the window by their state: `processed`, `quarantined`, `kept` (not processed yet)."""
        query = _joined(select(tables.inbox.c.state, func.count()), *self._window.conditions())
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query.group_by(tables.inbox.c.state))}

    def silent(self) -> int:
        """Count those of the window about which no rule was asked, because a replay or an import brought them."""
        query = _joined(select(func.count()), *self._window.conditions(), _processed(), tables.inbox.c.is_silent)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def asked(self) -> Iterator[Delivery]:
        """Yield the processed deliveries of the window in the order of their arrival."""
        yield from self._between(self._window.conditions())

    def others(self, first: int | None) -> Iterator[Delivery]:
        """Yield those that are no part of the window and were received from `first` on, before its end."""
        if first is None:
            return
        row, window = tables.deliveries.c, self._window
        earlier = [row.received_at >= first, row.received_at < min(window.since, window.until)]
        yield from self._between(earlier)
        left_out = [row.vendor.not_in(window.vendors)] if window.vendors else []
        left_out += [row.account.not_in(window.accounts)] if window.accounts else []
        if left_out:
            yield from self._between([row.received_at >= window.since, row.received_at < window.until, or_(*left_out)])

    def first_of(self, families: Iterable[Sequence[TaskKey]]) -> int | None:
        """Return when the first delivery that the catalogue knows of any of these families was received.

        None: the window holds every delivery. What left nothing in the catalogue leaves nothing in a family either.
        """
        with self._database.read() as connection:
            oldest = connection.execute(select(func.min(tables.deliveries.c.received_at))).scalar()
        is_all = not (self._window.vendors or self._window.accounts)
        if oldest is None or (oldest >= self._window.since and is_all):
            return None
        found = [first for keys in families if (first := self._first(keys)) is not None]
        return min(found, default=None)

    def _first(self, keys: Sequence[TaskKey]) -> int | None:
        names = [(key.vendor, key.app_id, key.room_id, key.type, key.task_id) for key in keys]
        recordings, segments, deliveries = tables.recordings.c, tables.segments.c, tables.deliveries.c
        with self._database.read() as connection:
            tasks = [row["id"] for row in fetch(connection, tables.tasks, _NAME, names)]
            told = [row["delivery"] for row in fetch(connection, tables.marks, _NAME, names)]
            queries = [
                select(func.min(recordings.first_seen_at)).where(recordings.task.in_(tasks)),
                select(func.min(segments.first_seen_at)).where(segments.task.in_(tasks)),
            ]
            queries += [
                select(func.min(deliveries.received_at)).where(deliveries.id.in_(told[start : start + _PAGE]))
                for start in range(0, len(told), _PAGE)
            ]
            firsts = [connection.execute(query).scalar() for query in queries] if tasks else []
        return min((first for first in firsts if first is not None), default=None)

    def _between(self, conditions: Sequence[ColumnElement[bool]]) -> Iterator[Delivery]:
        row = tables.deliveries.c
        last_at, last = -1, ""
        while True:
            query = _joined(
                select(row.id, row.received_at, func.length(row.body).label("size")),
                *conditions,
                _processed(),
                row.received_at >= last_at,
                or_(row.received_at > last_at, row.id > last),
            )
            query = query.order_by(row.received_at, row.id).limit(_PAGE)
            with self._database.read() as connection:
                page = connection.execute(query).mappings().all()
            if not page:
                return
            last_at, last = page[-1]["received_at"], page[-1]["id"]
            yield from self._loaded(page)

    def _loaded(self, left: Sequence[RowMapping]) -> Iterator[Delivery]:
        """Yield the deliveries of a page, no more bodies in memory at once than fit."""
        row = tables.deliveries.c
        while left:
            some = [one["id"] for one in fitting(left)]
            left = left[len(some) :]
            query = select(tables.deliveries).where(row.id.in_(some)).order_by(row.received_at, row.id)
            with self._database.read() as connection:
                loaded = [to_delivery(one) for one in connection.execute(query).mappings()]
            yield from loaded


def _processed() -> ColumnElement[bool]:
    return tables.inbox.c.state == tables.PROCESSED


def _joined(query: Select[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
    deliveries, inbox = tables.deliveries, tables.inbox
    return query.select_from(deliveries.join(inbox, inbox.c.delivery == deliveries.c.id)).where(*conditions)
