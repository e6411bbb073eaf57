"""No statement that runs with every call searches through all the actions, however many there are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from planning import AGAIN, DONE, call, claim, emptied, make, make_due, opened, plan, post
from sqlalchemy import event, text

from handlers import actions
from handlers.clock import now_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.database import Database


@pytest.fixture(scope="module", params=["sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("plans")) as database:
        yield database


def test_no_statement_of_a_call_reads_all_actions(engine: Database) -> None:
    """On SQLite, which tells its plans in words, with what it has learned of many rows without steps."""
    database = emptied(engine)
    for start in range(0, 2_000, 100):
        plan(
            database,
            *(call(number, lane=f"lane {number % 10}", task=f"tsk_{number}") for number in range(start, start + 100)),
        )
    with database.write() as connection:
        connection.execute(text("ANALYZE"))
    ran: dict[str, object] = {}

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        ran.setdefault(statement, parameters)

    event.listen(database.engine, "before_cursor_execute", note)
    plan(database, post(5_000), call(5_000, step=1), call(5_001, covers="x"), covers=lambda *_: False)
    for outcome in (AGAIN, DONE):
        for one in claim(database, 4):
            make(database, one, outcome)
        make_due(database)
    actions.renew(database, claim(database, 2))
    actions.take_up_lost(database, clock=lambda _: (now_ms() + 60_000) * 1000)
    actions.give_back(database, claim(database, 2))
    with database.write() as connection:
        actions.cancel_for_tasks(connection, ["tsk_9"], reason="over", now=now_ms())
    event.remove(database.engine, "before_cursor_execute", note)
    assert len(ran) > 25
    with database.read() as connection:
        for statement, parameters in ran.items():
            if "actions" not in statement or "SET due_at" in statement:
                continue  # the last is the test's own
            steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type] # as they came
            scans = [step[3] for step in steps if re.match(r"SCAN (actions|[twhg])\b(?! USING)", step[3])]
            assert scans == [], statement
