"""Which rules are in force, by the word of the workers that go by them, and what became of each."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from handlers.moments import to_text
from handlers.tables import actions, rule_books, rule_figures, switches
from handlers.tables.rules import GONE_AFTER_MS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping

    from handlers.questions.items import Item

#: what workers say of a rule
_TOLD: Final = (
    "name",
    "when",
    "operations",
    "accounts",
    "enabled",
    "mode",
    "once_per",
    "for_ms",
    "max_age_ms",
    "limits",
    "batch",
)
#: why a rule that waits for a change asks for nothing
UNMATCHED: Final = ("account", "vendor", "age", "condition", "failed")
RULE: Final = (
    *_TOLD,
    "version",
    "workers",
    "stopped",
    "matched",
    "matched_at",
    "unmatched",
    "failed_at",
    "failure",
)
#: of a rule's actions, the states of the newest so many are counted
MOST_ACTIONS: Final = 1000


@dataclass(frozen=True, kw_only=True)
class InForce:
    """How the rules stand, by the word of all workers that live."""

    #: of the rules by which most workers go; None: there are none
    version: str | None
    #: what is wrong with the file, as `rules.yaml:3:5: ...`; the rules that were in force stay so
    problems: tuple[str, ...]
    #: each as an item
    workers: Sequence[Item]
    #: each as an item: those of the version first, in the order of the file
    rules: Sequence[Item]

    @property
    def is_current(self) -> bool:
        """No worker says that its file is broken: they go by what stands in it."""
        return all(worker["is_current"] for worker in self.workers)

    def count(self) -> int:
        """Return how many rules are in force, of the version by which most workers go."""
        return sum(rule["version"] == self.version for rule in self.rules)


def rules_in_force(connection: Connection, *, now: int) -> InForce:
    """Return what the workers say that were heard of lately; `now` in milliseconds UTC."""
    heard = _workers(connection, now)
    told = _told(connection, heard)
    going = Counter(row["version"] for row in heard)
    versions = [version for version, _ in going.most_common() if version in told]
    found: dict[str, Item] = {}
    workers: Counter[str] = Counter()
    for version in versions:
        for rule in told[version]:
            found.setdefault(rule["name"], {name: rule.get(name) for name in _TOLD} | {"version": version})
            workers[rule["name"]] += going[version]
    figures, stopped = _figures(connection, found), _stopped(connection)
    return InForce(
        version=(versions[0] or None) if versions else None,
        problems=tuple(dict.fromkeys(text for row in heard for text in json.loads(row["problems"]))),
        workers=[_worker(row) for row in heard],
        rules=[
            told_of | {"workers": workers[name], "stopped": bool(stopped & {"", name})} | _became(figures.get(name))
            for name, told_of in found.items()
        ],
    )


def list_rules(connection: Connection, *, now: int) -> Item:
    """Return all rules in force, and how the file stands to them."""
    seen = rules_in_force(connection, now=now)
    return {
        "items": seen.rules,
        "next": None,
        "version": seen.version,
        "is_current": seen.is_current,
        "problems": list(seen.problems),
        "workers": seen.workers,
    }


def show_rule(connection: Connection, name: str, *, now: int) -> Item | None:
    """Return one rule with the states of its newest actions; None where none of that name is in force."""
    found = next((rule for rule in rules_in_force(connection, now=now).rules if rule["name"] == name), None)
    return None if found is None else found | {"actions": _states(connection, name)}


def _workers(connection: Connection, now: int) -> Sequence[RowMapping]:
    """Return the workers that live, the one that was heard last first; without their rules, which may be many."""
    columns = [column for column in rule_books.c if column is not rule_books.c.rules]
    query = select(*columns).where(rule_books.c.noted_at > now - GONE_AFTER_MS)
    return connection.execute(query.order_by(rule_books.c.noted_at.desc(), rule_books.c.worker)).mappings().all()


def _told(connection: Connection, heard: Sequence[RowMapping]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return the rules of each version, as one of those who go by it says them."""
    one = {row["version"]: row["worker"] for row in heard}
    versions = {worker: version for version, worker in one.items()}
    query = select(rule_books.c.worker, rule_books.c.rules).where(rule_books.c.worker.in_(versions))
    return {versions[row.worker]: json.loads(row.rules) for row in connection.execute(query)} if one else {}


def _worker(row: RowMapping) -> Item:
    return {
        "worker": row["worker"],
        "host": row["host"],
        "version": row["version"] or None,
        "is_current": not json.loads(row["problems"]),
        "noted_at": to_text(row["noted_at"]),
    }


def _figures(connection: Connection, names: Collection[str]) -> Mapping[str, RowMapping]:
    query = select(rule_figures).where(rule_figures.c.rule.in_(names))
    return {row["rule"]: row for row in connection.execute(query).mappings()} if names else {}


def _stopped(connection: Connection) -> set[str]:
    """Return the names of the rules that are stopped by hand, and "" where everything is."""
    query = select(switches.c.name).where(switches.c.kind.in_(("all", "rule")))
    return set(connection.execute(query).scalars())


def _became(row: RowMapping | None) -> Item:
    return {
        "matched": 0 if row is None else row["matched"],
        "matched_at": None if row is None else to_text(row["matched_at"]),
        "unmatched": {name: 0 if row is None else row[name] for name in UNMATCHED},
        "failed_at": None if row is None else to_text(row["failed_at"]),
        "failure": None if row is None else row["failure"],
    }


def _states(connection: Connection, rule: str) -> Mapping[str, int]:
    """Count the newest actions of a rule by state: an index knows them by rule, and no state is looked for."""
    newest = select(actions.c.state).where(actions.c.rule == rule).order_by(actions.c.id.desc()).limit(MOST_ACTIONS)
    some = newest.subquery()
    query = select(some.c.state, func.count().label("number")).group_by(some.c.state).order_by(some.c.state)
    return {row.state: row.number for row in connection.execute(query)}
