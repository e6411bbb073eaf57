"""Which refusals are released together: chosen by filter, oldest first, as many at once as a request can wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from handlers import tables
from handlers.errors import NotReleasable
from handlers.inbox.refusals import release
from handlers.questions import CAP, matching
from handlers.questions.filters import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Select

    from handlers.database import Database
    from handlers.questions.filters import Filters
    from handlers.settings import Settings
    from handlers.vendor import Vendor

#: refusals that one call releases; each is a transaction of its own
MOST_AT_ONCE = 1000


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


def _waiting(filters: Filters) -> Select[str]:
    refusals = tables.refusals
    return matching(REFUSALS, filters).where(refusals.c.released.is_(None), refusals.c.body.is_not(None))
