"""What a rebuild notes on disk, because a history does not fit into memory."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from typing import TYPE_CHECKING

from handlers.events import TaskKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: deliveries of one page
_PAGE = 500


class Scratch:
    """Which delivery speaks of which families, on disk: a history does not fit into memory."""

    def __init__(self, folder: Path) -> None:
        self._file = sqlite3.connect(folder / "scratch.db")
        self._file.execute("PRAGMA journal_mode=OFF")
        self._file.execute("PRAGMA synchronous=OFF")
        self._file.execute("CREATE TABLE noted (delivery TEXT PRIMARY KEY) WITHOUT ROWID")
        self._file.execute("CREATE TABLE families (family TEXT PRIMARY KEY) WITHOUT ROWID")
        self._file.execute(
            "CREATE TABLE slices (identifier TEXT, locator TEXT, PRIMARY KEY (identifier, locator)) WITHOUT ROWID"
        )
        self._file.execute(
            "CREATE TABLE speaks (family TEXT, delivery TEXT, PRIMARY KEY (family, delivery)) WITHOUT ROWID"
        )

    def note(self, delivery: str, families: set[TaskKey]) -> None:
        """Note a delivery that is read again, and of which families it speaks."""
        self._file.execute("INSERT OR IGNORE INTO noted VALUES (?)", (delivery,))
        for key in families:
            self.add_family(key)
            self._file.execute("INSERT OR IGNORE INTO speaks VALUES (?, ?)", (_name(key), delivery))

    def add_family(self, key: TaskKey) -> None:
        """Note a family."""
        self._file.execute("INSERT OR IGNORE INTO families VALUES (?)", (_name(key),))

    def commit(self) -> None:
        """Write what was noted."""
        self._file.commit()

    def counts(self) -> tuple[int, int]:
        """Return how many deliveries and families were noted."""
        deliveries = self._file.execute("SELECT count(*) FROM noted").fetchone()[0]
        return deliveries, self._file.execute("SELECT count(*) FROM families").fetchone()[0]

    def families(self, most: int) -> Iterator[list[TaskKey]]:
        """Yield the families in their order, `most` at once."""
        last = ""
        query = "SELECT family FROM families WHERE family > ? ORDER BY family LIMIT ?"
        while names := [row[0] for row in self._file.execute(query, (last, most))]:
            yield sorted(TaskKey(**json.loads(name)) for name in names)
            last = names[-1]

    def deliveries(self, keys: Sequence[TaskKey]) -> Iterator[list[str]]:
        """Yield the ids of the deliveries that speak of any of the families, each once, in pages."""
        marks = ", ".join("?" for _ in keys)
        query = f"SELECT DISTINCT delivery FROM speaks WHERE family IN ({marks}) ORDER BY delivery"  # noqa: S608 - marks only
        ids = [row[0] for row in self._file.execute(query, [_name(key) for key in keys])]
        for start in range(0, len(ids), _PAGE):
            yield ids[start : start + _PAGE]

    def noted(self, deliveries: set[str]) -> set[str]:
        """Return those of the deliveries that are read again."""
        query = "SELECT 1 FROM noted WHERE delivery = ?"
        return {one for one in deliveries if self._file.execute(query, (one,)).fetchone()}

    def note_slice(self, identifier: str, locator: str) -> None:
        """Note that a segment of the family in hand is told of."""
        self._file.execute("INSERT OR IGNORE INTO slices VALUES (?, ?)", (identifier, locator))

    def has_slice(self, identifier: str, locator: str) -> bool:
        """Tell whether a segment of the family in hand is told of."""
        query = "SELECT 1 FROM slices WHERE identifier = ? AND locator = ?"
        return self._file.execute(query, (identifier, locator)).fetchone() is not None

    def forget_slices(self) -> None:
        """Begin with another family."""
        self._file.execute("DELETE FROM slices")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _name(key: TaskKey) -> str:
    return json.dumps(asdict(key))
