"""What is stopped by hand: a rule, an operation, an account, a destination, or everything.

A switch is looked at with every claim, hence takes effect on all machines at once; calls under way are finished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import delete, select, text

from handlers.errors import WrongRequest
from handlers.tables import switches

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from handlers.database import Database

#: an account is named `vendor/name`; `all` has no name
KINDS: Final = ("all", "rule", "operation", "account", "destination")

_STOP: Final = text(
    "INSERT INTO switches (kind, name, stopped_at) VALUES (:kind, :name, :stopped_at) ON CONFLICT DO NOTHING"
)


class Switch(NamedTuple):
    """One thing that is stopped."""

    kind: str
    name: str


def stop(database: Database, kind: str, name: str = "", *, now: int) -> None:
    """Make no further calls of it, on any machine; `now` in milliseconds UTC. Raise WrongRequest for another kind."""
    _check(kind)
    with database.write() as connection:
        connection.execute(_STOP, {"kind": kind, "name": name, "stopped_at": now})


def go(database: Database, kind: str, name: str = "") -> bool:
    """Let its calls go on; return whether it was stopped. Raise WrongRequest for another kind."""
    _check(kind)
    with database.write() as connection:
        gone = delete(switches).where(switches.c.kind == kind, switches.c.name == name)
        return connection.execute(gone).rowcount == 1


def stopped(connection: Connection) -> set[Switch]:
    """Return everything that is stopped."""
    return {Switch(row.kind, row.name) for row in connection.execute(select(switches.c.kind, switches.c.name))}


def is_stopped(found: Collection[Switch], *, rule: str, operation: str, account: str, destination: str | None) -> bool:
    """Tell whether any of the switches is for such an action; the account as `vendor/name`."""
    own = {("all", ""), ("rule", rule), ("operation", operation), ("account", account), ("destination", destination)}
    return bool(own.intersection(found))


def _check(kind: str) -> None:
    if kind not in KINDS:
        raise WrongRequest({"kind": f"is {kind!r}; expected one of {', '.join(KINDS)}"})
