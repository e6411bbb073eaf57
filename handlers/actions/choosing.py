"""Which actions are retried together: chosen by filter, oldest first, as many at once as a request can wait for.

What is about a run that is over is left out, and counted, so that people know of it.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from handlers.actions.stages import DEAD
from handlers.actions.verbs import RETRIABLE, retry_some, tasks_of
from handlers.errors import WrongRequest
from handlers.questions import CAP, matching
from handlers.questions.filters import ACTIONS, Filters
from handlers.tables import actions

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from handlers.actions.verbs import Over
    from handlers.database import Database

#: actions that one call retries
MOST_AT_ONCE: Final = 1000
#: actions that are looked at in one transaction
_CHUNK: Final = 500


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What became, or would become, of the actions that a filter chose."""

    count: int
    #: there are more than one call takes: call again
    more: bool
    #: of those that were looked at, the ones about runs that are over
    left_out: int


def preview_retry(connection: Connection, filters: Filters, *, over: Over, cap: int = CAP) -> Retried:
    """Count what retry_matching() would take, up to `cap`. Raise WrongRequest as that."""
    ids, left_out = _chosen(lambda: nullcontext(connection), filters, over, cap)
    return Retried(count=min(len(ids), cap), more=len(ids) > cap, left_out=left_out)


def retry_matching(database: Database, filters: Filters, *, over: Over, now: int, most: int = MOST_AT_ONCE) -> Retried:
    """Make the calls of every matching action again; without a state those that are dead. `now` in milliseconds UTC.

    Raises WrongRequest for filters that actions don't have, and for a state from which nothing is retried.
    """
    ids, left_out = _chosen(database.read, filters, over, most)
    done = retry_some(database, ids[:most], over=over, now=now)
    return Retried(count=done, more=len(ids) > most, left_out=left_out)


def _chosen(
    opened: Callable[[], AbstractContextManager[Connection]], filters: Filters, over: Over, most: int
) -> tuple[list[str], int]:
    """Return what can be retried, at most a chunk more than `most`, and how many were left out on the way."""
    narrowed = _narrowed(filters)
    query = matching(ACTIONS, narrowed).order_by(actions.c.id).limit(_CHUNK)
    ids: list[str] = []
    last, left_out = "", 0
    while len(ids) <= most:
        with opened() as connection:
            some = list(connection.execute(query.where(actions.c.id > last)).scalars())
            late = _late(connection, some, over)
        ids += (action for action in some if action not in late)
        left_out += len(late)
        if len(some) < _CHUNK:
            break
        last = some[-1]
    return ids, left_out


def _late(connection: Connection, some: list[str], over: Over) -> set[str]:
    """Return those of the actions that are about runs that are over."""
    query = select(actions.c.id, actions.c.task, actions.c.needs_run).where(actions.c.id.in_(some))
    rows = [dict(row) for row in connection.execute(query).mappings()]
    ended = over(connection, tasks_of(rows))
    return {row["id"] for row in rows if row["needs_run"] and row["task"] in ended}


def _narrowed(filters: Filters) -> Filters:
    wrong = [state for state in filters.state if state not in RETRIABLE]
    if wrong:
        known = ", ".join(sorted(RETRIABLE))
        raise WrongRequest({"state": f"is {wrong[0]!r}, from which nothing is retried; expected {known}"})
    return filters if filters.state else replace(filters, state=(DEAD,))
