"""Which refusals are released together: chosen by filter, oldest first, as many at once as a request can wait for.

What was rightly refused may be discarded instead, which makes room for what pollers set aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from handlers import tables
from handlers.errors import NotReleasable
from handlers.inbox.refusals import release
from handlers.questions import CAP, matching
from handlers.questions.filters import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Select

    from handlers.database import Database
    from handlers.questions.filters import Filters
    from handlers.settings import Settings
    from handlers.vendor import Vendor

#: refusals that one call releases; each is a transaction of its own
MOST_AT_ONCE = 1000
#: refusals that one transaction discards
_CHUNK = 100


@dataclass(frozen=True, kw_only=True)
class Released:
    """What became of the refusals that a filter chose."""

    count: int
    #: why one could not be released, by its id
    failed: Mapping[str, str]
    #: there are more than one call takes: call again
    more: bool


def preview_release(connection: Connection, filters: Filters, *, cap: int = CAP) -> tuple[int, bool]:
    """Count what release_matching() would try, up to `cap`; tell whether there is more."""
    some = _waiting(filters).limit(cap + 1).subquery()
    count = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return min(count, cap), count > cap


def release_matching(
    database: Database,
    settings: Settings,
    vendors: Mapping[str, Vendor],
    filters: Filters,
    *,
    most: int = MOST_AT_ONCE,
) -> Released:
    """Release what was kept whole and not released before; raise WrongRequest for filters that refusals don't have."""
    query = _waiting(filters).order_by(tables.refusals.c.id).limit(most + 1)
    with database.read() as connection:
        ids = list(connection.execute(query).scalars())
    failed = {}
    for refusal in ids[:most]:
        try:
            release(database, settings, vendors, refusal)
        except NotReleasable as exc:
            failed[refusal] = str(exc)
    return Released(count=len(ids[:most]) - len(failed), failed=failed, more=len(ids) > most)


def preview_discard(connection: Connection, filters: Filters, *, cap: int = CAP) -> tuple[int, bool]:
    """Count what discard_matching() would delete, up to `cap`; tell whether there is more."""
    some = matching(REFUSALS, filters).limit(cap + 1).subquery()
    count = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return min(count, cap), count > cap


def discard_matching(database: Database, filters: Filters) -> int:
    """Delete refusals for good, in many short transactions; return how many. Raise WrongRequest as the lists do."""
    with database.read() as connection:
        ids = list(connection.execute(matching(REFUSALS, filters).order_by(tables.refusals.c.id)).scalars())
    return discard(database, ids)


def discard(database: Database, ids: Sequence[str]) -> int:
    """Delete these refusals for good; return how many there were."""
    done = 0
    for start in range(0, len(ids), _CHUNK):
        gone = delete(tables.refusals).where(tables.refusals.c.id.in_(ids[start : start + _CHUNK]))
        with database.write() as connection:
            done += connection.execute(gone).rowcount
    return done


def _waiting(filters: Filters) -> Select[str]:
    refusals = tables.refusals
    return matching(REFUSALS, filters).where(refusals.c.released.is_(None), refusals.c.body.is_not(None))
