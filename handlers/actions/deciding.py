"""What of an action's plan depends on other actions: whether its once-key, its bounds and its names let it through.

Everything that counts is read at once, decided in the order of the plan, and written at once. On a server nobody else
decides by the same keys, bounds and names until the transaction ends; on SQLite whoever writes is alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from handlers.actions.bounds import Bounds
from handlers.actions.many import as_rows, many
from handlers.actions.names import Names, given_by, word_of
from handlers.actions.once_keys import OnceKeys, is_held
from handlers.actions.word_locks import lock_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from handlers.actions.planned import Planned

    #: rule, subject, change, generation, renewal and step: what is planned once
    Place = tuple[str, str, str, int, int, int]

_KNOWN: Final = """
    SELECT t.rule, t.subject, t.change, t.generation, t.renewal, t.step FROM {rows} JOIN actions AS t
    ON t.rule = r.rule AND t.subject = r.subject AND t.change = r.change AND t.generation = r.generation"""


class Deciding:
    """What other actions say of a list of actions, until it is planned."""

    def __init__(self, connection: Connection, planned: Sequence[Planned], now: int) -> None:
        """Lock and read what counts; `now` in milliseconds UTC."""
        lock_words(connection, {word for one in planned for word in _words(one)})
        self._once_keys = OnceKeys(connection, planned, now)
        self._bounds = Bounds(connection, planned, now)
        self._names = Names(connection, planned)
        self._known = set(_known(connection, planned))

    def renewal(self, one: Planned) -> int | None:
        """Return under which renewal of its once-key a change is planned; None: another has the key."""
        return self._once_keys.renewal(one)

    def is_new(self, one: Planned, renewal: int) -> bool:
        """Tell whether a call was not planned before; from now on it was."""
        place = (one.rule, one.subject, one.change, one.generation, renewal, one.step)
        is_new = place not in self._known
        self._known.add(place)
        return is_new

    def why_not(self, one: Planned) -> str | None:
        """Tell why a call is refused, by its own plan or by what was planned before it."""
        return one.refused or self._bounds.why_not(one) or self._names.why_not(one)

    def let_through(self, one: Planned, action: str) -> None:
        """Let a call that is really planned have its once-key and its names, and count it."""
        if not one.step:
            self._once_keys.take(one)
        self._bounds.count(one)
        self._names.give(one, action)

    def keep(self) -> None:
        """Write down what was let through."""
        self._once_keys.keep()
        self._names.keep()


def _words(one: Planned) -> Iterator[str]:
    if one.once is not None and is_held(one):
        yield f"once {one.rule} {one.once.key}"
    if one.bounds:
        yield f"bounds {one.rule}"
    for name, kind in given_by(one):
        yield word_of(name, kind)
    if one.generation:
        yield f"again {one.rule} {one.subject} {one.change}"


def _known(connection: Connection, planned: Sequence[Planned]) -> Iterator[Place]:
    """Yield what was planned before about the same changes."""
    changes = dict.fromkeys((one.rule, one.subject, one.change, one.generation) for one in planned)
    columns = ("rule", "subject", "change", "generation")
    rows = [dict(zip(columns, change, strict=True)) for change in changes]
    query = many(connection, _KNOWN, rule="text", subject="text", change="text", generation="bigint")
    for row in connection.execute(query, as_rows(rows)):
        yield row.rule, row.subject, row.change, row.generation, row.renewal, row.step
