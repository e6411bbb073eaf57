"""How the catalogue is made again from the kept deliveries, beside a server that goes on working.

1. Read every processed delivery, and note in a scratch file which families it speaks of.
2. Family by family, under the family's lock: load what is stored, drop what those deliveries had said, put in what
   they say now, and write only what differs. Ids stay, because rows are found by their natural keys. A family of
   segments may be large: it is read twice, and rebuilt page by page.

What is told by deliveries that are no longer kept, that are quarantined or can't be read now, or that were settled
after the first step, stays as it is.
Rules don't fire. It can be ended at any moment and started again.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from handlers import catalogue, tables
from handlers.clock import now_ms
from handlers.errors import UnreadableDelivery
from handlers.inbox.processing import fitting
from handlers.keeping.deliveries import to_delivery
from handlers.reading import meaning
from handlers.rebuild.scratch import Scratch
from handlers.rebuild.segments import SegmentFamily
from handlers.rows import delete, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.catalogue.families import Family
    from handlers.database import Database
    from handlers.events import Delivery, TaskKey
    from handlers.settings import Settings
    from handlers.vendor import Vendor

_PAGE = 500
#: families in one transaction: on SQLite keeping waits meanwhile
_FAMILIES = 16


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What a rebuild met."""

    #: settled ones; those in quarantine are left alone, but count
    deliveries: int
    #: deliveries that were read before and can't be read now: what they had said stays
    unreadable: int
    families: int
    #: rows of tasks, recordings, streams, sightings and marks that were written or deleted
    rows_changed: int


class Rebuild:
    """One rebuild."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        vendors: Mapping[str, Vendor],
        progress: Callable[[int, int], None],
        *,
        resolve: bool,
    ) -> None:
        """Take what is rebuilt, under which settings, and who is told how much of how much is done."""
        self._resolve = resolve
        self._database = database
        self._settings = settings
        self._vendors = vendors
        self._progress = progress
        self._changed = 0

    def run(self) -> Rebuilt:
        """Rebuild everything; raise DatabaseAway if the database goes away meanwhile."""
        with tempfile.TemporaryDirectory(prefix="reelhook-") as folder, closing(Scratch(Path(folder))) as scratch:
            unreadable = self._sort(scratch)
            self._add_stored_families(scratch)
            deliveries, families = scratch.counts()
            done = 0
            for keys in scratch.families(_FAMILIES):
                self._changed += self._rebuild(scratch, [key for key in keys if key.type != "segment"])
                self._changed += sum(self._rebuild_segments(scratch, key) for key in keys if key.type == "segment")
                done += len(keys)
                self._progress(families + done, 2 * families)
        deliveries += self._quarantined()
        return Rebuilt(deliveries=deliveries, unreadable=unreadable, families=families, rows_changed=self._changed)

    def _sort(self, scratch: Scratch) -> int:
        """Note the families of every processed delivery; return how many can't be read now."""
        with self._database.read() as connection:
            total = connection.execute(select(func.count()).select_from(tables.inbox)).scalar_one()
        unreadable = done = 0
        for page in (some for ids in self._processed() for some in self._loaded(ids)):
            positions: dict[str, set[int]] = {}
            for delivery in page:
                try:
                    told = meaning(delivery, self._settings, self._vendors)
                except UnreadableDelivery:
                    unreadable += 1
                    continue
                families = {event.task for event in told if event.task is not None and event.kind != "unknown"}
                scratch.note(delivery.id, families)
                positions[delivery.id] = {place for place, event in enumerate(told) if event.segment is None}
            scratch.commit()
            self._changed += self._drop_events(positions)
            done += len(page)
            self._progress(done, 2 * max(total, 1))
        return unreadable

    def _drop_events(self, positions: Mapping[str, set[int]]) -> int:
        """Drop the events that deliveries told once and tell no more; return how many those were."""
        with self._database.read() as connection:
            stored = fetch(connection, tables.events, ("delivery",), [(delivery,) for delivery in positions])
            gone = [
                {"delivery": row["delivery"], "position": row["position"]}
                for row in stored
                if row["position"] not in positions[row["delivery"]]
            ]
        if gone:
            with self._database.write() as connection:
                delete(connection, tables.events, gone)
        return len(gone)

    def _quarantined(self) -> int:
        query = select(func.count()).select_from(tables.inbox).where(tables.inbox.c.state == tables.QUARANTINED)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def _processed(self) -> Iterator[Sequence[str]]:
        """Yield the ids of the processed deliveries, oldest first, in pages.

        What is quarantined may have been read before, and may be replayed meanwhile: it is not read again.
        """
        deliveries, inbox = tables.deliveries, tables.inbox
        last = ""
        while True:
            query = (
                select(deliveries.c.id)
                .join_from(deliveries, inbox, inbox.c.delivery == deliveries.c.id)
                .where(deliveries.c.id > last, inbox.c.state == tables.PROCESSED)
                .order_by(deliveries.c.id)
                .limit(_PAGE)
            )
            with self._database.read() as connection:
                page = connection.execute(query).scalars().all()
            if not page:
                return
            yield page
            last = page[-1]

    def _loaded(self, ids: Sequence[str]) -> Iterator[list[Delivery]]:
        """Yield the deliveries, as many at once as fit into memory."""
        deliveries = tables.deliveries
        named = select(deliveries.c.id, func.length(deliveries.c.body).label("size")).where(deliveries.c.id.in_(ids))
        with self._database.read() as connection:
            left = connection.execute(named.order_by(deliveries.c.id)).mappings().all()
        while left:
            some = [row["id"] for row in fitting(left)]
            left = left[len(some) :]
            query = select(deliveries).where(deliveries.c.id.in_(some)).order_by(deliveries.c.id)
            with self._database.read() as connection:
                loaded = [to_delivery(row) for row in connection.execute(query).mappings()]
            yield loaded

    def _add_stored_families(self, scratch: Scratch) -> None:
        tasks = tables.tasks
        last = ""
        while True:
            with self._database.read() as connection:
                query = select(tasks).where(tasks.c.id > last).order_by(tasks.c.id).limit(_PAGE)
                page = connection.execute(query).mappings().all()
            if not page:
                return
            for row in page:
                scratch.add_family(catalogue.key_of(row))
            last = page[-1]["id"]

    def _rebuild(self, scratch: Scratch, keys: Sequence[TaskKey]) -> int:
        """Rebuild some families in one transaction; return how many rows differ."""
        told = [one for page in self._told(scratch, keys) for one in page]
        before = families = None
        if self._database.is_sqlite:  # where keeping waits for whoever writes
            with self._database.read() as connection:
                before = catalogue.generation(connection)
                families = self._work_out(connection, scratch, keys, told)
        with self._database.write() as connection:
            catalogue.lock(connection, keys)
            if families is None or catalogue.generation(connection) != before:
                families = self._work_out(connection, scratch, keys, told)
            changed = catalogue.write(connection, families.values(), now=now_ms())
            return changed + catalogue.correct_events(connection, told, families)

    def _work_out(
        self, connection: Connection, scratch: Scratch, keys: Sequence[TaskKey], told: Sequence[catalogue.Told]
    ) -> dict[TaskKey, Family]:
        """Return the families as they shall be."""
        families = catalogue.load(connection, dict.fromkeys(keys))
        for family in families.values():
            _forget(family, scratch)
        for one in sorted(told, key=lambda t: t.order):
            catalogue.put_again(families, one, afresh=self._resolve)
        for family in families.values():
            for file in family.files.values():
                file.settle()
            family.settle()
        return families

    def _rebuild_segments(self, scratch: Scratch, key: TaskKey) -> int:
        """Rebuild a family of segments, in a transaction for each page of deliveries; return how many rows differ."""
        family = SegmentFamily(self._database, scratch, key, afresh=self._resolve)
        for told in self._told(scratch, [key]):
            family.hear(told)
        return family.sweep() + sum(family.tell(told) for told in self._told(scratch, [key]))

    def _told(self, scratch: Scratch, keys: Sequence[TaskKey]) -> Iterator[list[catalogue.Told]]:
        """Read the deliveries of these families again, in pages; they are immutable, so no lock is needed."""
        wanted = set(keys)
        for deliveries in (some for ids in scratch.deliveries(keys) for some in self._loaded(ids)):
            yield [
                # Without its body, which nobody needs any more: a family may have many.
                catalogue.Told(delivery=replace(delivery, body=b""), position=position, event=event)
                for delivery in deliveries
                for position, event in enumerate(meaning(delivery, self._settings, self._vendors))
                if event.task in wanted and event.kind != "unknown"
            ]


def _forget(family: Family, scratch: Scratch) -> None:
    """Drop what the deliveries that are read again had said."""
    for file in family.files.values():
        known = {sighting.delivery for sighting in file.sightings.values()}
        again = scratch.noted(known)
        file.sightings = {place: told for place, told in file.sightings.items() if told.delivery not in again}
    again = scratch.noted({mark.delivery for mark in family.marks})
    family.marks = {mark for mark in family.marks if mark.delivery not in again}


def rebuild(
    database: Database,
    settings: Settings,
    vendors: Mapping[str, Vendor],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    resolve: bool = False,
) -> Rebuilt:
    """Make the catalogue again from the kept deliveries; see the module.

    `resolve` looks up anew, in the settings of today, where files lie whose deliveries do not tell.
    """
    return Rebuild(database, settings, vendors, progress, resolve=resolve).run()
