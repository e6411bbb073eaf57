"""In which order a transaction locks the rows of several actions: always by id, so that no two wait for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from handlers.actions.many import as_rows, many

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

#: to the end of a statement that reads rows `t`; on SQLite whoever writes is alone
_FOR_UPDATE: Final = " ORDER BY t.id FOR UPDATE OF t"
_LOCK: Final = "SELECT t.id FROM {rows} JOIN actions AS t ON t.id = r.id" + _FOR_UPDATE  # noqa: S608 - words of this module only


def locking(connection: Connection, statement: str) -> str:
    """Return a statement that reads rows `t` so that nobody else changes them until the transaction ends."""
    return statement if connection.dialect.name == "sqlite" else statement + _FOR_UPDATE


def lock_rows(connection: Connection, actions: Iterable[str]) -> None:
    """Keep others from changing these actions until the transaction ends; the lanes are locked before."""
    rows = [{"id": action} for action in sorted(set(actions))]
    if rows and connection.dialect.name != "sqlite":
        connection.execute(many(connection, _LOCK, id="text"), as_rows(rows))
