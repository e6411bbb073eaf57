"""Whether a rule has acted too often already: what it planned within a span, in all or for one task, is counted.

What was refused, or ended before any attempt, is no act. What is not told of a task is not counted by tasks.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from handlers.actions.many import as_rows, many
from handlers.ids import first_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from handlers.actions.planned import Bound, Planned

    #: the rule, the task by its words (None: in all), and the bound
    Place = tuple[str, str | None, Bound]

_ACTED: Final = """
    SELECT r.number, (SELECT count(*) FROM (
        SELECT t.id FROM actions AS t WHERE t.rule = r.rule AND t.id >= r.since{task} AND t.step = 0
            AND t.generation = 0 AND t.state NOT IN ('refused', 'shadow')
            AND NOT (t.state = 'cancelled' AND t.attempts = 0) LIMIT :most
    ) AS acted) AS acted FROM {rows}"""
_BY_SCOPE: Final = {
    "rule": _ACTED.replace("{task}", ""),
    "task": _ACTED.replace("{task}", " AND t.bound_key = r.bound_key"),
}


class Bounds:
    """The bounds of the rules that ask for calls, and how often they acted; nobody else may plan for them meanwhile."""

    def __init__(self, connection: Connection, planned: Sequence[Planned], now: int) -> None:
        """Count what was planned before `now`, milliseconds UTC."""
        self._acted = dict(_counted(connection, {place for one in planned for place in _places(one)}, now))

    def why_not(self, one: Planned) -> str | None:
        """Tell which bound is reached."""
        for place in _places(one):
            bound = place[2]
            if self._acted[place] >= bound.most:
                whose = "for its task " if bound.scope == "task" else ""
                return f"the rule's limit {whose}of {bound.most} in {bound.within_ms / 1000:g} s is reached"
        return None

    def count(self, one: Planned) -> None:
        """Count an act that is planned."""
        for place in _places(one):
            self._acted[place] += 1


def bound_key_of(one: Planned) -> str | None:
    """Return the words by which an action is counted for its task; None: it is counted for none."""
    for bound in one.bounds:
        if bound.scope == "task":
            return one.bound_key or one.task
    return None


def _places(one: Planned) -> Sequence[Place]:
    if not one.bounds or one.mode == "shadow" or one.step:
        return ()
    task = one.bound_key or one.task
    return [
        (one.rule, task if bound.scope == "task" else None, bound)
        for bound in one.bounds
        if bound.scope == "rule" or task is not None
    ]


def _counted(connection: Connection, places: set[Place], now: int) -> Iterator[tuple[Place, int]]:
    """Count alike bounds in one statement: SQLite's LIMIT takes a parameter, and no column."""
    alike: defaultdict[tuple[str, int], list[Place]] = defaultdict(list)
    for place in places:
        alike[place[2].scope, place[2].most].append(place)
    for (scope, most), some in alike.items():
        rows = [
            {"number": number, "rule": rule, "bound_key": task, "since": first_id("act", now - bound.within_ms)}
            for number, (rule, task, bound) in enumerate(some)
        ]
        query = many(connection, _BY_SCOPE[scope], number="bigint", rule="text", bound_key="text", since="text")
        for row in connection.execute(query, as_rows(rows) | {"most": most}):
            yield some[row.number], row.acted
