"""No statement that runs with every call searches through all the actions, however many there are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from planning import AGAIN, DONE, call, claim, emptied, make, make_due, opened, plan, post, retry_some, rows
from sqlalchemy import event, text, update

from handlers import actions, tables
from handlers.actions import Bound, Named, Once
from handlers.actions.in_hand import Room
from handlers.actions.quotas import Limiter
from handlers.clock import now_ms
from handlers.events import TaskKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.actions import Planned
    from handlers.database import Database


_RETRIED = (tables.actions.c.subject.in_(("seg_7000", "seg_7001")),)


@pytest.fixture(scope="module", params=["sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("plans")) as database:
        yield database


def _deciding(number: int) -> Planned:
    """Return a call that a once-key, limits, a name, and the start of its task have to let through."""
    task = TaskKey(vendor="volcengine", app_id="app", room_id="room", type="segment", task_id="task")
    return call(
        number,
        lane="lane 1",
        once=Once(key=f"{number}"),
        bounds=(Bound(scope="task", most=9, within_ms=60_000), Bound(scope="rule", most=9_999, within_ms=60_000)),
        named=Named(kind="volcengine.Identifier", value="lesson", task=task),
        starts=True,
        precondition=lambda _: None,
        covers="x",
    )


def test_no_statement_of_a_call_reads_all_actions(engine: Database) -> None:
    """On SQLite, which tells its plans in words, with what it has learned of many rows without steps."""
    database = emptied(engine)
    for start in range(0, 2_000, 100):
        plan(
            database,
            *(call(number, lane=f"lane {number % 10}", task=f"tsk_{number}") for number in range(start, start + 100)),
        )
    batch = {"batch_max": 2, "batch_within_ms": 60_000}
    plan(database, *(post(number, **batch) for number in range(6_000, 6_100)))
    with database.write() as connection:
        connection.execute(text("ANALYZE"))
    ran: dict[str, object] = {}

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        ran.setdefault(statement, parameters)

    event.listen(database.engine, "before_cursor_execute", note)
    plan(database, post(5_000), call(5_000, step=1), call(5_001, covers="x"), covers=lambda *_: False)
    plan(database, *(_deciding(number) for number in (5_002, 5_003)), covers=lambda *_: True)
    together = claim(database, 2, room=Room(64, {Limiter("", ""): 8}, quick=()))
    assert [len(one.members) for one in together if one.others is not None] == [2]
    assert actions.begin(database, [actions.Begin(claimed=one) for one in together]) == [True, True]
    for outcome in (AGAIN, DONE):
        for one in claim(database, 4):
            make(database, one, outcome)
        make_due(database)
    actions.renew(database, claim(database, 2))
    actions.take_up_lost(database, clock=lambda _: (now_ms() + 60_000) * 1000)
    actions.give_back(database, claim(database, 2))
    plan(database, over={"tsk_9": "over"})
    plan(
        database, *(call(number, lane="lane 1", covers="x", step=step) for number in (7_000, 7_001) for step in (0, 1))
    )
    with database.write() as connection:
        connection.execute(update(tables.actions).where(*_RETRIED).values(state="dead", stage="over", is_head=False))
    ids = [row["id"] for row in rows(database) if row["subject"] in {"seg_7000", "seg_7001"}]
    assert retry_some(database, ids, covers=lambda *_: True) == 3
    event.remove(database.engine, "before_cursor_execute", note)
    assert len(ran) > 35
    gathered = set()
    with database.read() as connection:
        for statement, parameters in ran.items():
            if (
                not re.search("actions|attempts|name_givers|identifiers|once_keys", statement)
                or re.search("SET due_at=|SET state=", statement)
                or "ORDER BY actions.id" in statement
            ):
                continue  # the last are the test's own
            explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type] # as they came
            steps = [step[3] for step in explained]
            scans = [step for step in steps if re.match(r"SCAN (actions|[twhgi])\b(?! USING)", step)]
            assert scans == [], statement
            if "tries = 0 AND batch_max IS NOT NULL" in statement or "AS gathered" in statement:
                assert any("actions_gathered" in step for step in steps), statement
                gathered.add(statement)
    assert len(gathered) == 2
