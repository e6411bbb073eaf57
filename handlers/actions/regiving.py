"""Whether what is made again by hand may still give its names: another task may have got them meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from handlers.actions.many import as_rows, many
from handlers.actions.names import LANE, Given, belongs, givers, whose, word_of
from handlers.actions.planned import Named
from handlers.actions.word_locks import lock_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.actions.planned import Planned

_OF_ACTIONS: Final = """
    SELECT g.name, g.kind, g.lane, g.task, g.action FROM {rows} JOIN name_givers AS g ON g.action = r.id
    ORDER BY g.action, g.kind"""
#: the steps that a retry brings back with the one before them
_STEPS_AFTER: Final = """
    SELECT t.id, r.first FROM {rows} JOIN actions AS t ON t.after = r.id WHERE t.state = 'cancelled'"""


def taken(connection: Connection, actions: Iterable[str]) -> Mapping[str, str]:
    """Tell which of the actions give a name that is another task's by now, or a step after them does; and whose.

    Nobody else gives these names until the transaction ends. Lanes are locked after this.
    """
    first = _with_steps_after(connection, actions)
    ours = [given for given in _of_actions(connection, first) if given.kind != LANE]
    lock_words(connection, {word_of(given.name, given.kind) for given in ours})
    every = list(givers(connection, ((given.name, given.kind) for given in ours)))
    found: dict[str, str] = {}
    for given in ours:
        others = [has for has in every if (has.name, has.kind) == (given.name, given.kind)]
        if (owner := whose(others, given.lane, given.task)) is not None:
            found |= dict.fromkeys(first[given.action], belongs(given.name, given.kind, owner))
    return found


def with_names(connection: Connection, planned: Sequence[Planned]) -> list[Planned]:
    """Return what repeats actions with the names that those give."""
    given = _of_actions(connection, [one.original for one in planned if one.original is not None])
    found: dict[str, list[Given]] = {}
    for one in given:
        found.setdefault(one.action, []).append(one)
    return [_named(one, found.get(one.original or "", ())) for one in planned]


def _named(one: Planned, given: Iterable[Given]) -> Planned:
    for has in given:
        named = {"starts": True} if has.kind == LANE else {"named": Named(kind=has.kind, value=has.name)}
        one = replace(one, **named)
    return one


def _of_actions(connection: Connection, actions: Iterable[str]) -> Sequence[Given]:
    rows = [{"id": action} for action in actions]
    if not rows:
        return ()
    found = connection.execute(many(connection, _OF_ACTIONS, id="text"), as_rows(rows))
    return [Given(**row._mapping) for row in found]  # noqa: SLF001 - SQLAlchemy's public name for it


def _with_steps_after(connection: Connection, actions: Iterable[str]) -> Mapping[str, set[str]]:
    """Return the actions and the steps after them, each with those of `actions` that bring it back."""
    left = [(action, action) for action in actions]
    found = {action: {action} for action, _ in left}
    while left:
        query = many(connection, _STEPS_AFTER, id="text", first="text")
        steps = connection.execute(query, as_rows([{"id": one, "first": first} for one, first in left]))
        left = [(row.id, row.first) for row in steps]
        for one, first in left:
            found.setdefault(one, set()).add(first)
    return found
