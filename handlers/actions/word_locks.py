"""How two who decide by the same words at once are kept apart: on a server by locks, on SQLite by who writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from handlers.actions.many import as_rows, many

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

#: so many words are locked one by one; a server has room for but a few thousand locks of all sessions together
_MOST_LOCKS: Final = 200
#: whoever locks words one by one shares this one, and whoever would need too many of them has it alone
_ALL: Final = "hashtextextended('what actions are decided by', 0)"
_SHARE: Final = text(f"SELECT pg_advisory_xact_lock_shared({_ALL})")
_TAKE_ALL: Final = text(f"SELECT pg_advisory_xact_lock({_ALL})")
_LOCK: Final = """
    SELECT pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended(r.word, 0) AS key FROM {rows} ORDER BY key) AS wanted"""


def lock_words(connection: Connection, words: Collection[str]) -> None:
    """Keep others from deciding by these until the transaction ends: all at once and in order, before any lane."""
    if not words or connection.dialect.name == "sqlite":
        return
    connection.execute(_SHARE if len(words) <= _MOST_LOCKS else _TAKE_ALL)
    if len(words) <= _MOST_LOCKS:
        connection.execute(many(connection, _LOCK, word="text"), as_rows([{"word": word} for word in words]))
