"""What stands beside the list of actions: their attempts, those of a task, and what is stopped by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import literal, select

from handlers.questions import items
from handlers.tables import actions, attempts, switches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from handlers.questions.items import Item

#: of a task's actions, the newest so many are shown with it; the list has them all
MOST_OF_TASK: Final = 100


def attempts_of(connection: Connection, action: str) -> list[Item]:
    """Return the attempts of an action, first to last."""
    query = select(attempts).where(attempts.c.action == action).order_by(attempts.c.number)
    return [items.attempt(dict(row)) for row in connection.execute(query).mappings()]


def actions_of(connection: Connection, task: str) -> list[Item]:
    """Return the newest actions of a task, in the order that they were planned in."""
    columns = [actions.c[name] for name in items.ACTION_OF_TASK]
    query = select(*columns).where(actions.c.task == task).order_by(actions.c.id.desc()).limit(MOST_OF_TASK)
    return [items.action_of_task(dict(row)) for row in connection.execute(query).mappings()][::-1]


def stopped(connection: Connection) -> list[Item]:
    """Return everything that is stopped by hand, as items."""
    query = select(switches).order_by(switches.c.kind, switches.c.name)
    return [items.stopped(dict(row)) for row in connection.execute(query).mappings()]


def is_known(connection: Connection, **named: str) -> bool:
    """Tell whether any action was ever planned with these values, such as `rule="archive"`."""
    conditions = [actions.c[name] == value for name, value in named.items()]
    return connection.execute(select(literal(1)).select_from(actions).where(*conditions).limit(1)).first() is not None


def shown(connection: Connection, row: Mapping[str, Any]) -> Item:
    """Return an action with everything that is kept of it."""
    return items.action(row) | items.call(row) | {"attempts": attempts_of(connection, row["id"])}
