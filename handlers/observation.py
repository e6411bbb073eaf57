"""What can be told of a running Reelhook from the outside: its database, its migrations, its spool, its backlog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from handlers import meters
from handlers.backlog import Backlog, backlog
from handlers.errors import DatabaseAway
from handlers.migrate import is_ready

if TYPE_CHECKING:
    from handlers.database import Database
    from handlers.spool import Spool

#: seconds that a look may take: who asks for health must get an answer while the database is silent
PATIENCE = 2.0


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One look."""

    #: None while the database is away
    backlog: Backlog | None
    #: None while the database is away
    is_migrated: bool | None
    #: deliveries that wait and that the database refuses; None if there is no spool, or it can't be read
    spool: tuple[int, int] | None
    #: name, label and value of what the workers counted
    totals: tuple[tuple[str, str, int], ...] = ()


def observe(database: Database, spool: Spool | None, *, now: int) -> Observation:
    """Look at everything, within a few seconds, whatever is broken; `now` in milliseconds UTC."""
    depth = _depth(spool)
    try:
        migrated = is_ready(database)
        with database.read(patience=PATIENCE) as connection:
            seen = backlog(connection, now=now)
            totals = tuple(meters.totals(connection))
    except DatabaseAway:
        return Observation(backlog=None, is_migrated=None, spool=depth)
    except SQLAlchemyError:  # the tables aren't there
        return Observation(backlog=None, is_migrated=False, spool=depth)
    return Observation(backlog=seen, is_migrated=migrated, spool=depth, totals=totals)


def _depth(spool: Spool | None) -> tuple[int, int] | None:
    try:
        return None if spool is None else spool.depth()
    except (DatabaseAway, SQLAlchemyError):
        return None
