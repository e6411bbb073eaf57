"""Which actions are retried together: chosen by filter, oldest first, as many at once as a request can wait for.

What is about a run that is over, or a step that the one before it keeps back, is left out, and counted, so that people
know of it; so is what a newer call makes superfluous.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import or_, select

from handlers.actions.db_time import db_time
from handlers.actions.overtaking import overtaken
from handlers.actions.reviving import MOST_AT_ONCE as PORTION
from handlers.actions.reviving import RETRIABLE, revive, steps_left_out
from handlers.actions.stages import AGAIN, DEAD
from handlers.actions.verbs import tasks_of
from handlers.errors import WrongRequest
from handlers.questions import CAP, matching
from handlers.questions.filters import ACTIONS, Filters
from handlers.tables import actions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from handlers.actions.overtaking import Covers
    from handlers.actions.reviving import Over
    from handlers.database import Database

#: actions that one call retries
MOST_AT_ONCE: Final = 1000
#: actions that are looked at in one transaction
_CHUNK: Final = 500


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What became, or would become, of the actions that a filter chose."""

    #: those that are made again
    count: int
    #: there are more than one call takes: call again
    more: bool
    #: of those that were looked at, the ones that stay as they are: their run is over, or the step before is not done
    left_out: int
    #: those that end so, for a newer call sets all that they would
    superseded: int


def preview_retry(
    connection: Connection, filters: Filters, *, over: Over, covers: Covers | None = None, cap: int = CAP
) -> Retried:
    """Count what retry_matching() would take, up to `cap`. Raise WrongRequest as that."""
    ids: list[str] = []
    held: dict[str, str] = {}
    left_out = 0
    for some, late in _chosen(lambda: nullcontext(connection), filters, over):
        steps, early = steps_left_out(connection, some, coming=set(ids))
        held |= steps
        ids += (action for action in some if action not in early)
        left_out += late + len(early)
        if len(ids) > cap:
            break
    taken = [action for action in ids[:cap] if action not in held]
    superseded = 0 if covers is None else len(overtaken(connection, taken, covers))
    count = min(len(ids), cap) - superseded
    return Retried(count=count, more=len(ids) > cap, left_out=left_out, superseded=superseded)


def retry_matching(  # noqa: PLR0913 - what decides about each, and how many
    database: Database,
    filters: Filters,
    *,
    over: Over,
    over_now: Over,
    covers: Covers | None = None,
    now: int | None = None,
    most: int = MOST_AT_ONCE,
) -> Retried:
    """Make the calls of every matching action again; without a state those that are dead.

    What waits for its next try and is due already is no matter: its call is about to be made. They are chosen by
    `over_now`, which locks nothing, and made again by `over`, few at a time. `now` in milliseconds UTC, unless given
    the database's. Raises WrongRequest for filters that actions don't have, and for a state from
    which nothing is retried.
    """
    numbers: Counter[str] = Counter()
    left, more = most, False
    for ids, late in _chosen(database.read, filters, over_now):
        numbers["left_out"] += late
        start = 0
        while start < len(ids) and left > 0:
            some = ids[start : start + min(left, PORTION)]
            start += len(some)
            done = revive(database, some, over=over, covers=covers, now=now)
            left -= len(done.retried) + len(done.superseded)
            found = {"count": done.retried, "superseded": done.superseded, "left_out": done.left_out}
            numbers.update({name: len(those) for name, those in found.items()})
        if start < len(ids):
            more = True
            break
    return Retried(count=numbers["count"], more=more, left_out=numbers["left_out"], superseded=numbers["superseded"])


def _chosen(
    opened: Callable[[], AbstractContextManager[Connection]], filters: Filters, over: Over
) -> Iterator[tuple[list[str], int]]:
    """Yield what can be retried, a chunk at a time, with how many were left out of each."""
    query = matching(ACTIONS, _narrowed(filters)).order_by(actions.c.id).limit(_CHUNK)
    last = ""
    while True:
        with opened() as connection:
            # What is due needs nobody to hurry it; else it would be chosen again and again.
            is_waiting = or_(actions.c.state != AGAIN, actions.c.due_at > db_time(connection) // 1000)
            some = list(connection.execute(query.where(actions.c.id > last, is_waiting)).scalars())
            late = _late(connection, some, over)
        yield [action for action in some if action not in late], len(late)
        if len(some) < _CHUNK:
            return
        last = some[-1]


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
