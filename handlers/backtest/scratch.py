"""What is noted on disk while history is gone through: it does not fit into memory, and is wanted in other orders."""

from __future__ import annotations

import pickle
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from handlers.events import TaskKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from handlers.actions import Planned
    from handlers.catalogue.slices import Name
    from handlers.events import Delivery, Event

_PAGE = 500
_MOST_NUMBERS = 10_000
_PRAGMAS = ("journal_mode=OFF", "synchronous=OFF", "cache_size=-65536", "temp_store=FILE")
_TABLES = (
    "CREATE TABLE deliveries (id TEXT PRIMARY KEY, told BLOB) WITHOUT ROWID",
    "CREATE TABLE families (family INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    """CREATE TABLE speaks (family INTEGER, received_at INTEGER, delivery TEXT, is_asked INTEGER,
    PRIMARY KEY (family, received_at, delivery)) WITHOUT ROWID""",
    """CREATE TABLE slices (family INTEGER, identifier TEXT, locator TEXT,
    PRIMARY KEY (family, identifier, locator)) WITHOUT ROWID""",
    "CREATE TABLE asked (received_at INTEGER, delivery TEXT, family TEXT, side INTEGER, planned BLOB)",
)
_SEPARATOR = "\0"

# What is pickled here is ours, in a folder of our own that lives as long as the process (S301).


class Spoken(NamedTuple):
    """One delivery of a family: when it was received, what it told, and whether rules are asked about that."""

    received_at: int
    is_asked: bool
    delivery: Delivery
    events: Sequence[Event]


class Wanted(NamedTuple):
    """What the changes of one delivery ask for, not planned yet."""

    received_at: int
    #: times in these, such as when they expire, count from the plan
    planned: Sequence[Planned]
    #: tasks that were over then, with the reason
    over: dict[str, str]
    families: Sequence[TaskKey]


class Scratch:
    """The notes of one going through."""

    def __init__(self, folder: Path) -> None:
        self._file = sqlite3.connect(folder / "history.db", isolation_level=None)
        for pragma in _PRAGMAS:
            self._file.execute(f"PRAGMA {pragma}")
        for statement in _TABLES:
            self._file.execute(statement)
        self._file.execute("BEGIN")
        #: how many deliveries are to be folded, once for each of their families
        self.spoken = 0
        self.asked = 0
        #: of some families that were noted, their numbers
        self._numbers: dict[TaskKey, int] = {}

    def note(
        self, delivery: Delivery, events: Sequence[Event], families: Collection[TaskKey], *, is_asked: bool
    ) -> None:
        """Note what a delivery tells of these families."""
        if not families:
            return
        slim = replace(delivery, body=b"", headers={})
        told = pickle.dumps((slim, events), pickle.HIGHEST_PROTOCOL)
        self._file.execute("INSERT OR IGNORE INTO deliveries VALUES (?, ?)", (delivery.id, told))
        for key in families:
            row = (self._number(key), delivery.received_at, delivery.id, is_asked)
            self.spoken += self._file.execute("INSERT OR IGNORE INTO speaks VALUES (?, ?, ?, ?)", row).rowcount

    def knows(self, key: TaskKey) -> bool:
        """Tell whether anything was noted of a family."""
        return self._file.execute("SELECT 1 FROM families WHERE name = ?", (name_of(key),)).fetchone() is not None

    def families(self, most: int) -> Iterator[list[TaskKey]]:
        """Yield the families in the order in which they were noted, `most` at once."""
        last = 0
        query = "SELECT family, name FROM families WHERE family > ? ORDER BY family LIMIT ?"
        while rows := self._file.execute(query, (last, most)).fetchall():
            yield [_key_of(name) for _, name in rows]
            last = rows[-1][0]

    def told(self, key: TaskKey) -> Iterator[list[Spoken]]:
        """Yield what was noted of a family in the order of its arrival, in pages."""
        family = self._number(key)
        last = (-1, "")
        query = (
            "SELECT s.received_at, s.delivery, s.is_asked, d.told FROM speaks AS s JOIN deliveries AS d"
            " ON d.id = s.delivery WHERE s.family = ? AND (s.received_at, s.delivery) > (?, ?)"
            " ORDER BY s.received_at, s.delivery LIMIT ?"
        )
        while rows := self._file.execute(query, (family, *last, _PAGE)).fetchall():
            yield [Spoken(at, bool(is_asked), *pickle.loads(told)) for at, _, is_asked, told in rows]  # noqa: S301 - ours
            if len(rows) < _PAGE:
                return
            last = rows[-1][:2]

    def note_slice(self, key: TaskKey, name: Name) -> bool:
        """Note that a segment of a family was told of; tell whether that is new."""
        row = (self._number(key), *name)
        return bool(self._file.execute("INSERT OR IGNORE INTO slices VALUES (?, ?, ?)", row).rowcount)

    def forget_slices(self, key: TaskKey) -> None:
        """Be done with the segments of a family."""
        self._file.execute("DELETE FROM slices WHERE family = ?", (self._number(key),))

    def ask(self, side: int, delivery: Delivery, key: TaskKey | None, planned: Sequence[Planned], over: object) -> None:
        """Note what one side's rules ask for after a delivery, about one of its families or none."""
        # A function that belongs to its operation and may not be picklable: whoever reads puts it in again.
        plain = [one if one.precondition is None else replace(one, precondition=None) for one in planned]
        blob = pickle.dumps((plain, over), pickle.HIGHEST_PROTOCOL)
        family = "" if key is None else name_of(key)
        row = (delivery.received_at, delivery.id, family, side, blob)
        self._file.execute("INSERT INTO asked VALUES (?, ?, ?, ?, ?)", row)
        self.asked += 1

    def wanted(self, side: int) -> Iterator[Wanted]:
        """Yield what one side's rules ask for, delivery by delivery in the order of their arrival."""
        self._file.execute("CREATE INDEX IF NOT EXISTS in_time ON asked (side, received_at, delivery, family)")
        query = (
            "SELECT received_at, delivery, family, planned FROM asked WHERE side = ?"
            " ORDER BY received_at, delivery, family, rowid"
        )
        name, found = None, Wanted(0, [], {}, [])
        for received_at, delivery, family, blob in self._file.execute(query, (side,)):
            planned, over = pickle.loads(blob)  # noqa: S301 - ours
            if name is not None and name != delivery:
                yield _in_order(found)
            if name != delivery:
                name, found = delivery, Wanted(received_at, [], {}, [])
            families = [*found.families, _key_of(family)] if family else found.families
            found = Wanted(received_at, [*found.planned, *planned], found.over | over, families)
        if name is not None:
            yield _in_order(found)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _number(self, key: TaskKey) -> int:
        if (number := self._numbers.get(key)) is None:
            name = name_of(key)
            self._file.execute("INSERT OR IGNORE INTO families (name) VALUES (?)", (name,))
            number = int(self._file.execute("SELECT family FROM families WHERE name = ?", (name,)).fetchone()[0])
            if len(self._numbers) >= _MOST_NUMBERS:
                self._numbers.clear()
            self._numbers[key] = number
        return number


def _in_order(wanted: Wanted) -> Wanted:
    """Return what a delivery asks for in the order of its events, whichever families they are of."""
    return wanted._replace(planned=sorted(wanted.planned, key=lambda one: (one.at, one.position)))


def name_of(key: TaskKey) -> str:
    """Return a family's name as text; such texts sort as the families do."""
    return _SEPARATOR.join((key.vendor, key.app_id, key.room_id, key.type, key.task_id))


def _key_of(name: str) -> TaskKey:
    vendor, app_id, room_id, kind, task_id = name.split(_SEPARATOR)
    return TaskKey(vendor=vendor, app_id=app_id, room_id=room_id, type=kind, task_id=task_id)  # type: ignore[arg-type] # it was a task's type
