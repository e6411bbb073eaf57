"""How many actions came to which end in a transaction: noted by whoever ends them, counted once that is committed.

They end in many places: by their answer, with their run, by a newer call, too late, with a lost worker. So the notes
go with the connection, and whoever opened the transaction hands them on.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from handlers.actions.figures import SETTLED
from handlers.errors import DatabaseAway
from handlers.meters import Meters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Connection

    from handlers.database import Database

    #: operation and end -> how many
    Endings = Counter[tuple[str, str]]
    #: takes what came to an end, once that is committed
    Count = Callable[[Endings], None]

#: beside the states: of those that are cancelled, those whose max_age was over before they were made
EXPIRED: Final = "expired"
#: their reason
NOT_IN_TIME: Final = "it was not made in time: its max_age is over"
_NOTES: Final = "reelhook_endings"


def note(connection: Connection, end: str, operations: Iterable[str]) -> None:
    """Note that an action of each of the operations came to such an end in this transaction."""
    noted(connection).update((operation, end) for operation in operations)


def noted(connection: Connection) -> Endings:
    """Return what was noted with a connection, which may be closed by now."""
    found: Endings | None = connection.get_execution_options().get(_NOTES)
    if found is None:
        found = Counter()
        connection.execution_options(**{_NOTES: found})
    return found


def nobody_counts(_found: Endings) -> None:
    """Count nothing."""


def add_to(meters: Meters, found: Endings) -> None:
    """Add the endings to the figures of a process."""
    for (operation, end), number in found.items():
        meters.add(f"{SETTLED}{end}", operation, number)


def count_at_once(database: Database, found: Endings) -> None:
    """Add the endings to the figures of all processes, where nobody does that by and by."""
    meters = Meters()
    add_to(meters, found)
    with suppress(DatabaseAway):  # what was done counts for more than its count
        meters.flush(database, at_once=True)
