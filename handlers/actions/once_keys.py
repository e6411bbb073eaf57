"""Which change a once-key lets through: the first that is really planned, until the key has run out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from handlers.actions.many import as_rows, many
from handlers.rows import fetch
from handlers.tables import once_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from handlers.actions.planned import Planned

#: stands for the renewal of a shadow, which is beside what is live and no renewal at all
OF_A_SHADOW: Final = -1
_TAKE: Final = """
    INSERT INTO once_keys (rule, once_key, expires_at, renewal)
    SELECT r.rule, r.once_key, r.expires_at, r.renewal FROM {rows} WHERE true
    ON CONFLICT (rule, once_key) DO UPDATE SET expires_at = excluded.expires_at, renewal = excluded.renewal"""


class OnceKeys:
    """The once-keys of a list of actions; nobody else may take them meanwhile."""

    def __init__(self, connection: Connection, planned: Sequence[Planned], now: int) -> None:
        """Read which are taken; `now` in milliseconds UTC."""
        self._connection = connection
        self._now = now
        wanted = [(one.rule, one.once.key) for one in planned if one.once is not None and is_held(one)]
        found = fetch(connection, once_keys, ("rule", "once_key"), wanted) if wanted else ()
        self._taken: dict[tuple[str, str], dict[str, Any]] = {(row["rule"], row["once_key"]): row for row in found}
        self._new: dict[tuple[str, str], dict[str, Any]] = {}

    def renewal(self, one: Planned) -> int | None:
        """Return how often the key had run out before the change, by which it is known; None: another has the key."""
        if one.once is None or not is_held(one):
            return OF_A_SHADOW if one.mode == "shadow" else 0
        key = (one.rule, one.once.key)
        if key in self._new:
            return None
        if key not in self._taken:
            return 0
        row = self._taken[key]
        is_over = row["expires_at"] is not None and row["expires_at"] <= self._now
        return int(row["renewal"]) + 1 if is_over else None

    def take(self, one: Planned) -> None:
        """Let the change have its key."""
        if one.once is not None and is_held(one):
            row = {"rule": one.rule, "once_key": one.once.key, "expires_at": one.once.expires_at}
            self._new[one.rule, one.once.key] = row | {"renewal": self.renewal(one)}

    def keep(self) -> None:
        """Write down which keys were taken."""
        if self._new:
            query = many(self._connection, _TAKE, rule="text", once_key="text", expires_at="bigint", renewal="bigint")
            self._connection.execute(query, as_rows(list(self._new.values())))


def is_held(one: Planned) -> bool:
    """Tell whether a once-key counts for it: for no shadow, and for no repetition."""
    return one.mode != "shadow" and not one.generation
