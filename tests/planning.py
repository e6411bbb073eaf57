"""Actions for the tests: planned like a rule's, claimed, settled, and read back."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from conftest import new_database
from rows import task_row
from sqlalchemy import insert, select

from handlers import actions, tables
from handlers.actions.reviving import revive
from handlers.clock import now_ms
from handlers.database import Database
from handlers.migrate import upgrade
from handlers.operation import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest
    from sqlalchemy import Connection, RowMapping

    from handlers.actions import Claimed, Planned
    from handlers.actions.overtaking import Covers

AT = 1_700_000_000_000
DONE = Outcome(verdict="done", request_id="req-1")
AGAIN = Outcome(verdict="again", code="InternalError", detail="try later")
GIVE_UP = Outcome(verdict="give_up", code="InvalidParameter", detail="Duration is wrong")
UNCLEAR = Outcome(verdict="again", detail="no answer in 15 s", is_unclear=True)


def call(number: int = 0, **changed: Any) -> Planned:
    """Return a vendor's call on the n-th segment, in the lane of the only task unless changed."""
    told: dict[str, Any] = {
        "rule": "short-slices",
        "subject": f"seg_{number}",
        "change": "segment.created",
        "operation": "volcengine.update_segment",
        "vendor": "volcengine",
        "account": "classroom",
        "lane": "volcengine/app/room/task",
        "parameters": {"Duration": 20, "number": number},
        "at": AT + number,
        "delivery": f"dlv_{number:05d}",
        "task": "tsk_1",
        "recording": f"seg_{number}",
        "is_repeatable": True,
        "needs_run": True,
    }
    return actions.Planned(**told | changed)


def post(number: int = 0, **changed: Any) -> Planned:
    """Return a hand-over of the n-th recording to a destination."""
    told: dict[str, Any] = {
        "operation": "http.post",
        "destination": "captioning",
        "lane": None,
        "needs_run": False,
        "parameters": {"to": "captioning"},
    }
    return call(number, **told | changed)


def plan(database: Database, *planned: Planned, now: int | None = None, **more: Any) -> None:
    """Plan in a transaction of its own."""
    with database.write() as connection:
        actions.plan(connection, planned, now=now_ms() if now is None else now, **more)


def know_task(database: Database, **changed: Any) -> None:
    """Let the catalogue know the only task, running unless changed."""
    with database.write() as connection:
        connection.execute(insert(tables.tasks), [task_row(0, id="tsk_1", state="running") | changed])


def none_over(_connection: Connection, _tasks: Collection[str]) -> Mapping[str, str]:
    """Tell of no task that its run is over."""
    return {}


def retry_some(database: Database, ids: Sequence[str], *, covers: Covers | None = None, now: int | None = None) -> int:
    """Retry those of the actions that can be; return how many are made again."""
    return len(revive(database, ids, over=none_over, covers=covers, now=now).retried)


def rows(database: Database) -> Sequence[RowMapping]:
    """Return all actions, in the order that they were planned in."""
    with database.read() as connection:
        return connection.execute(select(tables.actions).order_by(tables.actions.c.id)).mappings().all()


def states(database: Database) -> list[str]:
    """Return the states of all actions, in the order that they were planned in."""
    return [row["state"] for row in rows(database)]


def claim(database: Database, most: int = 32, **more: Any) -> Sequence[Claimed]:
    """Claim for a worker of the test."""
    return actions.claim(database, "wrk_test", most, **more)


def numbers(claimed: Sequence[Claimed]) -> list[int]:
    """Return which calls these are."""
    return [int(one.subject.removeprefix("seg_")) for one in claimed]


def make(database: Database, claimed: Claimed, outcome: Outcome = DONE, **more: Any) -> str | None:
    """Begin a call and settle it with an outcome; return the state of the action."""
    assert actions.begin(database, [actions.Begin(claimed=claimed, request="POST /")]) == [True]
    return settle(database, claimed, outcome, **more)


def settle(database: Database, claimed: Claimed, outcome: Outcome = DONE, **more: Any) -> str | None:
    """Settle one call; return the state of the action, None where it came too late."""
    return actions.settle(database, [actions.Settle(claimed=claimed, outcome=outcome, answer="{}")], **more)[0]


def attempts(database: Database, action: str) -> Sequence[Mapping[str, Any]]:
    """Return the attempts of an action."""
    with database.read() as connection:
        return [dict(row) for row in actions.attempts_of(connection, action)]


def let_lapse(database: Database) -> None:
    """Let every lease be over."""
    with database.write() as connection:
        connection.execute(tables.actions.update().where(tables.actions.c.stage == "claimed").values(lease_until=1))


def make_due(database: Database) -> None:
    """Let nothing wait for its next try any more."""
    with database.write() as connection:
        connection.execute(tables.actions.update().values(due_at=0))


@contextmanager
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Database]:
    """Make a database on the engine that the request names, for many tests one after the other."""
    with ExitStack() as stack:
        url = f"sqlite:///{folder}/reelhook.db"
        if request.param == "postgresql":
            url = stack.enter_context(new_database(request.getfixturevalue("postgres_server")))
        database = Database(url.replace("postgresql://", "postgresql+psycopg://"))
        stack.callback(database.close)
        upgrade(database)
        yield database


def emptied(database: Database) -> Database:
    """Return the database without any action."""
    with database.write() as connection:
        for table in (
            *(tables.actions, tables.attempts, tables.quotas, tables.sequences, tables.once_keys, tables.switches),
            *(tables.meters, tables.name_givers, tables.identifiers),
        ):
            connection.execute(table.delete())
    return database
