"""How one family of segments is made again, of which no transaction holds more than a page.

1. Hear every delivery: which slices there are, and what the identifiers span.
2. Sweep: drop what nothing tells of any more, and write what the identifiers span, hence the runs.
3. Tell every delivery: fold its slices in, which finds each one's run as it shall be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, tuple_

from handlers import catalogue, tables
from handlers.catalogue.families import is_mark, mark_of
from handlers.catalogue.slices import Slices, slice_of
from handlers.clock import now_ms
from handlers.rows import delete, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, RowMapping

    from handlers.database import Database
    from handlers.events import TaskKey
    from handlers.rebuild.scratch import Scratch
    from handlers.runs import Identifier, Mark

#: rows that the sweep reads at once
_PAGE = 1000
#: sweeps without the family's lock; one more is made under it, and then nobody can be faster
_FREE_SWEEPS = 3


class SegmentFamily:
    """One family of segments in the course of a rebuild."""

    def __init__(self, database: Database, scratch: Scratch, key: TaskKey, *, afresh: bool) -> None:
        """Take where it is stored and noted; `afresh` lets what the settings say now stand."""
        self._database = database
        self._scratch = scratch
        self._key = key
        self._afresh = afresh
        #: what the deliveries that are read again say of the identifiers
        self._told = Slices()
        self._marks: list[Mark] = []
        scratch.forget_slices()

    def hear(self, told: Sequence[catalogue.Told]) -> None:
        """Note what a page of deliveries tells of."""
        for one in told:
            if is_mark(one.event):
                self._marks.append(mark_of(one.event, one.delivery))
            if one.event.segment is not None:
                heard = slice_of(one.event, one.delivery, one.position)
                self._scratch.note_slice(*heard.name)
                self._told.hear(heard, is_new=False)

    def tell(self, told: Sequence[catalogue.Told]) -> int:
        """Fold a page of what the deliveries say now; return how many rows differ."""
        names = {slice_of(one.event, one.delivery, one.position).name for one in told if one.event.segment is not None}
        with self._database.write() as connection:
            catalogue.lock(connection, [self._key])
            families = catalogue.load(connection, {self._key: ()}, {self._key: names})
            for one in sorted(told, key=lambda one: one.order):
                catalogue.put_again(families, one, afresh=self._afresh)
            families[self._key].settle()
            return catalogue.write(connection, families.values(), now=now_ms())

    def sweep(self) -> int:
        """Drop the segments that nothing tells of any more, and write what the identifiers span; return the rows."""
        for _ in range(_FREE_SWEEPS):
            with self._database.read() as connection:
                before = self._identifiers(connection)
                gone, identifiers = self._look(connection)
            with self._database.write() as connection:
                catalogue.lock(connection, [self._key])
                if self._identifiers(connection) == before and _still_so(connection, gone):
                    return self._write(connection, gone, identifiers)
        with self._database.write() as connection:
            catalogue.lock(connection, [self._key])
            return self._write(connection, *self._look(connection))

    def _identifiers(self, connection: Connection) -> Mapping[str, Identifier]:
        return catalogue.load(connection, {self._key: ()})[self._key].slices.stored_identifiers

    def _look(self, connection: Connection) -> tuple[list[dict[str, Any]], Mapping[str, Identifier]]:
        """Return the segments that are gone, and what the identifiers span without them."""
        gone: list[dict[str, Any]] = []
        slices = Slices(identifiers=dict(self._told.identifiers))
        for page in self._stored(connection):
            again = self._scratch.noted({row["delivery"] for row in page})
            for row in page:
                if row["delivery"] not in again:
                    slices.hear_stored(dict(row))
                elif self._scratch.has_slice(row["identifier"], row["locator"]):
                    slices.count(row["identifier"])
                else:
                    gone.append({"id": row["id"], "delivery": row["delivery"]})
        return gone, slices.identifiers

    def _stored(self, connection: Connection) -> Iterator[Sequence[RowMapping]]:
        segments = tables.segments
        tasks = [row["id"] for row in catalogue.load(connection, {self._key: ()})[self._key].stored.values()]
        for task in tasks:
            last = ("", "")
            query = select(segments).where(segments.c.task == task).limit(_PAGE)
            query = query.order_by(segments.c.identifier, segments.c.locator)
            while page := connection.execute(query.where(_after(last))).mappings().all():
                yield page
                last = (page[-1]["identifier"], page[-1]["locator"])

    def _write(
        self, connection: Connection, gone: Sequence[dict[str, Any]], identifiers: Mapping[str, Identifier]
    ) -> int:
        delete(connection, tables.segments, gone)
        families = catalogue.load(connection, {self._key: ()})
        family = families[self._key]
        stored = family.slices.stored_identifiers
        family.slices.identifiers = {
            name: one.belonging_to(stored[name].task if name in stored else None)
            for name, one in identifiers.items()
            if one.segment_count or name in self._told.identifiers
        }
        again = self._scratch.noted({mark.delivery for mark in family.marks})
        family.marks = {mark for mark in family.marks if mark.delivery not in again}
        for mark in self._marks:
            family.keep_mark(mark)
        family.settle()
        return len(gone) + catalogue.write(connection, families.values(), now=now_ms())


def _still_so(connection: Connection, gone: Sequence[dict[str, Any]]) -> bool:
    """Tell whether nobody has told of any of these segments since they were found to be gone."""
    told_by = {
        row["id"]: row["delivery"]
        for row in fetch(connection, tables.segments, ("id",), [(one["id"],) for one in gone])
    }
    return all(told_by.get(one["id"]) == one["delivery"] for one in gone)


def _after(last: tuple[str, str]) -> ColumnElement[bool]:
    segments = tables.segments
    return tuple_(segments.c.identifier, segments.c.locator) > tuple_(*last)
