"""Which actions are repeated: chosen by filter and by a condition over what is kept of each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from handlers import actions
from handlers.errors import WrongRequest
from handlers.questions import matching
from handlers.questions.filters import ACTIONS
from handlers.rules.change import ACTION
from handlers.rules.expressions import Expression, NotAnExpression, Scope
from handlers.rules.problems import NoValue
from handlers.rules.views import told_change
from handlers.tables import actions as table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

    from handlers.database import Database
    from handlers.questions.filters import Filters

#: rows that are looked at in one transaction
_CHUNK: Final = 500
#: actions that are planned in one transaction, unless one change has more steps
_PORTION: Final = 32


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The actions that are meant, and those of which the condition could not be told."""

    #: the steps of one change stand together
    changes: Sequence[Sequence[str]]
    #: how many the condition had no value for, and why the first had none
    failed: int = 0
    failure: str | None = None

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
    for row in _rows(database, filters):
        try:
            is_meant = condition is None or _is_true(condition, row)
        except NoValue as exc:
            failures.append(str(exc))
            continue
        if is_meant:
            changes[row["rule"], row["subject"], row["change"]].append(row["id"])
    return Chosen(changes=tuple(changes.values()), failed=len(failures), failure=failures[0] if failures else None)


def rerun(database: Database, chosen: Chosen, *, now: int) -> int:
    """Repeat the actions as a new generation, oldest first; return how many. `now` in milliseconds UTC."""
    return sum(actions.rerun(database, portion, now=now) for portion in _portions(chosen.changes))


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
