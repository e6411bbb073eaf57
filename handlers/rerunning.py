"""Which actions are repeated: chosen by filter and by a condition over what is kept of each.

A vendor's call about a run that is over is not: vendors use the names of tasks again, so that it could reach another
run. The steps after it are left out with it, as they would be live.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from handlers import actions
from handlers.actions.verbs import tasks_of, too_late
from handlers.catalogue.endings import over_for_good, over_now
from handlers.errors import WrongRequest
from handlers.questions import matching
from handlers.questions.filters import ACTIONS
from handlers.rules.change import ACTION
from handlers.rules.expressions import Expression, NotAnExpression, Scope
from handlers.rules.problems import NoValue
from handlers.rules.views import told_change
from handlers.tables import actions as table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

    from handlers.database import Database
    from handlers.questions.filters import Filters

#: rows that are looked at in one transaction
_CHUNK: Final = 500
#: actions that are planned in one transaction, unless one change has more steps
_PORTION: Final = 32
#: what has to be known of each action to tell whether it is too late for it
_KEPT: Final = ("id", "rule", "subject", "change", "generation", "renewal", "needs_run", "task")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The actions that are meant, and how many are left out."""

    #: the steps of one change stand together
    changes: Sequence[Sequence[str]]
    #: those that the condition had no value for, and why the first had none
    failed: int = 0
    failure: str | None = None
    #: those about runs that are over, and the steps after them
    too_late: int = 0

    @property
    def count(self) -> int:
        """How many actions are meant."""
        return sum(len(steps) for steps in self.changes)


def read_condition(text: str) -> Expression:
    """Return a condition over `action` and the views of its change; raise WrongRequest with every fault's place."""
    try:
        condition = Expression(text, ACTION)
    except NotAnExpression as exc:
        said = [f"{f'line {one.line} column {one.column}: ' if one.line else ''}{one.text}" for one in exc.faults]
        raise WrongRequest({"if": "; ".join(said)}) from exc
    if condition.kind not in {"boolean", "any"}:
        raise WrongRequest({"if": f"is of type {condition.kind}; expected a condition, which is true or false"})
    return condition


def choose(database: Database, filters: Filters, condition: Expression | None = None) -> Chosen:
    """Return what the filters let through and the condition is true for; of each call its last generation only.

    Raises WrongRequest for filters that actions don't have.
    """
    changes: dict[tuple[str, ...], list[str]] = defaultdict(list)
    failures: list[str] = []
    meant: list[Mapping[str, Any]] = []
    for row in _rows(database, filters):
        try:
            is_meant = condition is None or _is_true(condition, row)
        except NoValue as exc:
            failures.append(str(exc))
            continue
        if is_meant:
            meant.append({name: row[name] for name in _KEPT})
    late = too_late(meant, _over(database, tasks_of(meant)))
    for row in meant:
        if row["id"] not in late:
            changes[row["rule"], row["subject"], row["change"]].append(row["id"])
    failure = failures[0] if failures else None
    return Chosen(changes=tuple(changes.values()), failed=len(failures), failure=failure, too_late=len(late))


def rerun(database: Database, chosen: Chosen, *, now: int | None = None) -> int:
    """Repeat the actions as a new generation, oldest first; return how many.

    `now` in milliseconds UTC, unless given the database's.
    """
    return sum(actions.rerun(database, portion, over=over_for_good, now=now) for portion in _portions(chosen.changes))


def _over(database: Database, tasks: Collection[str]) -> Mapping[str, str]:
    """Return those of the tasks that are over; each chunk is a transaction of its own."""
    over: dict[str, str] = {}
    wanted = sorted(tasks)
    for start in range(0, len(wanted), _CHUNK):
        with database.read() as connection:
            over |= over_now(connection, wanted[start : start + _CHUNK])
    return over


def _is_true(condition: Expression, row: Mapping[str, Any]) -> bool:
    return condition.evaluate(Scope(told_change(row), row)) is True


def _rows(database: Database, filters: Filters) -> Iterator[Mapping[str, Any]]:
    """Yield the rows, oldest first; each chunk is a transaction of its own, so that it keeps nobody from work."""
    chosen = matching(ACTIONS, filters).where(~_is_repeated()).order_by(table.c.id).limit(_CHUNK)
    last = ""
    while True:
        with database.read() as connection:
            rows = _read(connection, list(connection.execute(chosen.where(table.c.id > last)).scalars()))
        yield from rows
        if len(rows) < _CHUNK:
            return
        last = rows[-1]["id"]


def _read(connection: Connection, ids: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    query = select(table).where(table.c.id.in_(ids)).order_by(table.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def _is_repeated() -> ColumnElement[bool]:
    """Tell that a later generation of the same call was planned: what matters is how that ends."""
    later = table.alias("later")
    same = [later.c[name] == table.c[name] for name in ("rule", "subject", "change", "step")]
    return select(later.c.id).where(*same, later.c.generation > table.c.generation).correlate(table).exists()


def _portions(changes: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Yield what is planned together: the steps of one change wait for each other, and are never parted."""
    portion: list[str] = []
    for steps in changes:
        if portion and len(portion) + len(steps) > _PORTION:
            yield portion
            portion = []
        portion += steps
    if portion:
        yield portion
