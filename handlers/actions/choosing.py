"""Which actions are retried together: chosen by filter, oldest first, as many at once as a request can wait for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from handlers.actions.stages import DEAD
from handlers.actions.verbs import RETRIABLE, retry_some
from handlers.errors import WrongRequest
from handlers.questions import CAP, matching, total
from handlers.questions.filters import ACTIONS, Filters
from handlers.tables import actions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from handlers.database import Database

#: actions that one call retries
MOST_AT_ONCE: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What became of the actions that a filter chose."""

    count: int
    #: there are more than one call takes: call again
    more: bool


def preview_retry(connection: Connection, filters: Filters, *, cap: int = CAP) -> tuple[int, bool]:
    """Count what retry_matching() would take, up to `cap`; tell whether there is more. Raise WrongRequest as that."""
    return total(connection, ACTIONS, _narrowed(filters), cap=cap)


def retry_matching(database: Database, filters: Filters, *, now: int, most: int = MOST_AT_ONCE) -> Retried:
    """Make the calls of every matching action again; without a state those that are dead. `now` in milliseconds UTC.

    Raises WrongRequest for filters that actions don't have, and for a state from which nothing is retried.
    """
    query = matching(ACTIONS, _narrowed(filters)).order_by(actions.c.id).limit(most + 1)
    with database.read() as connection:
        ids = list(connection.execute(query).scalars())
    return Retried(count=retry_some(database, ids[:most], now=now), more=len(ids) > most)


def _narrowed(filters: Filters) -> Filters:
    wrong = [state for state in filters.state if state not in RETRIABLE]
    if wrong:
        known = ", ".join(sorted(RETRIABLE))
        raise WrongRequest({"state": f"is {wrong[0]!r}, from which nothing is retried; expected {known}"})
    return filters if filters.state else replace(filters, state=(DEAD,))
