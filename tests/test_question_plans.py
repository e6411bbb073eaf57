"""How the engines read the lists: through an index, never through every row."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from rows import FIRST, LISTS, MINUTE, fill, fill_segments, recording_row
from sqlalchemy import event, insert, text

from handlers import questions, tables
from handlers.ids import new_id
from handlers.questions.filters import ACTIONS, DELIVERIES, RECORDINGS, REFUSALS, SEGMENTS, TASKS, Filters, Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from handlers.database import Database


MANY = 30_000
#: later than any row is made
LATE = 10_000_000_000_000
#: what the engines may do for a list, and for a total up to a cap: a fraction of what reading every row takes
STEPS, STEPS_OF_TOTAL, ROWS = 120_000, 170_000, 5000
SELECTIVE = [
    (RECORDINGS, Filters()),
    (RECORDINGS, Filters(room_id=("room-000007",))),
    (RECORDINGS, Filters(room_id=("room-000007", "room-000009"))),
    (RECORDINGS, Filters(task_id=("task-000007",))),
    (RECORDINGS, Filters(app_id=("rare",))),
    (RECORDINGS, Filters(user_id=("user-7",))),
    (RECORDINGS, Filters(q="room-000007")),
    (RECORDINGS, Filters(q="record/000007")),
    (RECORDINGS, Filters(q="r")),
    (RECORDINGS, Filters(q="nothing")),
    (RECORDINGS, Filters(started_after=FIRST, started_before=FIRST + 10 * MINUTE)),
    (RECORDINGS, Filters(updated_after=FIRST)),
    (RECORDINGS, Filters(updated_after=FIRST + (MANY - 5) * MINUTE)),
    (RECORDINGS, Filters(account=("lessons",), room_id=("room-000007",))),
    (RECORDINGS, Filters(account=("lessons",), task_id=("task-000007",), state=("available",))),
    (RECORDINGS, Filters(account=("lessons",), app_id=("usual",), user_id=("user-7",), room_id=("room-000007",))),
    (RECORDINGS, Filters(account=("lessons",), q="room-000007")),
    (RECORDINGS, Filters(app_id=("usual",), started_after=FIRST, started_before=FIRST + 10 * MINUTE)),
    (SEGMENTS, Filters()),
    (SEGMENTS, Filters(account=("lessons",))),
    (SEGMENTS, Filters(room_id=("room-000007",))),
    (SEGMENTS, Filters(user_id=("user-7",))),
    (SEGMENTS, Filters(task_id=("task-000007",))),
    (SEGMENTS, Filters(task_id=("task-000007",), account=("lessons",))),
    (SEGMENTS, Filters(task_id=("task-000007",), room_id=("room-000003",), user_id=("user-7",))),
    (SEGMENTS, Filters(app_id=("rare",))),
    (SEGMENTS, Filters(app_id=("rare",), vendor=("aliyun",), account=("lessons",))),
    (SEGMENTS, Filters(app_id=("usual",))),
    (SEGMENTS, Filters(q="room-000007")),
    (SEGMENTS, Filters(q="task-000007", account=("lessons",))),
    (SEGMENTS, Filters(q="nothing")),
    (SEGMENTS, Filters(started_after=FIRST, started_before=FIRST + 10 * MINUTE)),
    (SEGMENTS, Filters(received_after=FIRST + (MANY - 5) * MINUTE)),
    (SEGMENTS, Filters(received_after=LATE)),
    (TASKS, Filters(room_id=("room-000007",))),
    (TASKS, Filters(account=("lessons",), room_id=("room-000007",), type=("segment",))),
    (TASKS, Filters(q="task-000007")),
    (TASKS, Filters(q="nothing")),
    (DELIVERIES, Filters()),
    (DELIVERIES, Filters(account=("rare",))),
    (DELIVERIES, Filters(state=("quarantined",))),
    (DELIVERIES, Filters(state=("quarantined",), account=("lessons",))),
    (DELIVERIES, Filters(state=("quarantined", "kept"))),
    (DELIVERIES, Filters(reason=("app id",))),
    (DELIVERIES, Filters(received_after=FIRST, received_before=FIRST + 10)),
    (DELIVERIES, Filters(room_id=("room-000007",))),
    (DELIVERIES, Filters(room_id=("room-000007",), state=("quarantined",))),
    (DELIVERIES, Filters(task_id=("task-000007",), received_after=FIRST)),
    (DELIVERIES, Filters(user_id=("user-7",), app_id=("rare",))),
    (DELIVERIES, Filters(task_id=("task-000007",), account=("lessons",))),
    (DELIVERIES, Filters(room_id=("room-000007",), type=("record",))),
    (DELIVERIES, Filters(room_id=("room-000007",), type=("segment",))),
    (DELIVERIES, Filters(q="room-000007")),
    (REFUSALS, Filters(account=("rare",), reason=("bad_token",))),
    (ACTIONS, Filters()),
    (ACTIONS, Filters(rule=("rare",))),
    (ACTIONS, Filters(rule=("usual",), destination=("rare",))),
    (ACTIONS, Filters(operation=("http.post",), account=("classroom",), destination=("rare",))),
    (ACTIONS, Filters(account=("rare",))),
    (ACTIONS, Filters(rule=("rare",), state=("done",))),
    (ACTIONS, Filters(state=("dead",))),
    (ACTIONS, Filters(state=("dead",), rule=("usual",), account=("classroom",))),
    (ACTIONS, Filters(state=("dead", "again"), operation=("http.post",))),
    (ACTIONS, Filters(state=("refused",))),
    (ACTIONS, Filters(task=("tsk_7",), rule=("usual",))),
    (ACTIONS, Filters(recording=("rec_7",), state=("done",))),
    (ACTIONS, Filters(room_id=("room-000007",))),
    (ACTIONS, Filters(task_id=("task-000007",), rule=("usual",), state=("done",))),
    (ACTIONS, Filters(created_after=LATE)),
    (ACTIONS, Filters(rule=("usual",), created_after=LATE)),
    (ACTIONS, Filters(rule=("usual",), created_before=FIRST)),
]


def fill_everything(database: Database) -> None:
    fill(database, MANY)
    fill_segments(database, MANY)
    task_columns = {column.name for column in tables.tasks.c}
    tasks = [
        {name: value for name, value in recording_row(number * 2).items() if name in task_columns}
        | {"id": new_id("tsk"), "run": 1, "state": "stopped"}
        for number in range(MANY)
    ]
    deliveries = [
        {
            "id": new_id("dlv"),
            "account": "rare" if number % 500 == 0 else "lessons",
            "vendor": "aliyun",
            "door": "http",
            "received_at": FIRST + number,
            "seen_key": f"message:{number}",
            "headers": b"{}",
            "body": b"{}",
        }
        for number in range(MANY)
    ]
    states = [
        {"delivery": row["id"], "state": state, "reason": "app id x" if state == "quarantined" else None}
        for number, row in enumerate(deliveries)
        for state in ["quarantined" if number % 1000 == 7 else "processed"]
    ]
    refusals = [
        {key: value for key, value in row.items() if key != "seen_key"}
        | {"id": new_id("rfs"), "reason": "bad_token", "detail": "", "size_bytes": 1}
        for row in deliveries
    ]
    with database.write() as connection:
        connection.execute(insert(tables.tasks), tasks)
        connection.execute(insert(tables.deliveries), deliveries)
        connection.execute(insert(tables.inbox), states)
        connection.execute(insert(tables.refusals), refusals)
        connection.execute(insert(tables.actions), [action_row(n, str(task["id"])) for n, task in enumerate(tasks)])
        connection.execute(insert(tables.marks), [mark_row(*pair) for pair in zip(tasks, deliveries, strict=True)])


def action_row(number: int, task: str) -> dict[str, Any]:
    """Return the n-th of many actions, of which few are another rule's, account's or destination's, or dead."""
    told: dict[str, Any] = dict.fromkeys(("turn", "channel"), "")
    told |= {"subject": f"rec_{number}", "recording": f"rec_{number}", "change": "recording.available"}
    told |= dict.fromkeys(("generation", "renewal", "step", "position", "at", "created_at", "due_at"), 0)
    is_rare = number % 500 == 7
    return told | {
        "id": new_id("act"),
        "rule": "rare" if is_rare else "usual",
        "operation": "http.post",
        "vendor": "aliyun",
        "account": "rare" if is_rare else "classroom",
        "destination": "rare" if is_rare else "captioning",
        "delivery": "dlv_1",
        "task": task,
        "mode": "live",
        "state": "dead" if number % 1000 == 9 else "done",
        "stage": "over",
        "is_repeatable": True,
        "needs_run": False,
        "schedule": "{}",
    }


def mark_row(task: dict[str, Any], delivery: dict[str, Any]) -> dict[str, Any]:
    names = ("vendor", "app_id", "room_id", "type", "task_id", "account")
    told = {"at": FIRST, "kind": "task.stopped", "state": "stopped", "delivery": delivery["id"]}
    return {name: task[name] for name in names} | told


def steps_of(database: Database, ask: Callable[[Connection], object]) -> int:
    """Return how many steps of its machine SQLite takes for a question, to a hundred."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 100

    with database.read() as connection:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(step, 100)
        try:
            ask(connection)
        finally:
            driver.set_progress_handler(None, 0)
    return count


def plan_of(database: Database, kind: str, filters: Filters) -> str:
    """Run the list and return how the engine reads it, one step in a line."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if "chosen" in statement:
            asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        with database.read() as connection:
            LISTS[kind](connection, filters, Page())
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    statement, parameters = asked[0]
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF)"
    with database.read() as connection:
        rows = connection.exec_driver_sql(f"{explain} {statement}", parameters).all()
    return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.timeout(120)
def test_no_list_reads_every_row_for_a_filter_that_has_an_index(database: Database) -> None:
    fill_everything(database)
    if not database.is_sqlite:
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    for kind, filters in SELECTIVE:
        plan = plan_of(database, kind, filters)
        asked = {name: getattr(filters, name) for name in filters.given()}
        if database.is_sqlite:
            scans = [line for line in plan.splitlines() if line.startswith("SCAN") and "chosen" not in line]
            wide = ({"q": "r"}, {"updated_after": FIRST}, {"app_id": ("usual",)})
            read_in_order = not asked or asked in wide
            allowed = [f"SCAN {kind} USING"] if read_in_order else ["SCAN inbox USING INDEX inbox_"]
            assert all(scan.startswith(tuple(allowed)) for scan in scans), f"{kind} {asked}:\n{plan}"
            assert not any(scan == f"SCAN {kind}" for scan in scans), f"{kind} {asked}:\n{plan}"
            steps = steps_of(database, partial(LISTS[kind], filters=filters, page=Page()))
            assert steps < STEPS, f"{kind} {asked} takes {steps} steps:\n{plan}"
            steps = steps_of(database, partial(questions.total, kind=kind, filters=filters, cap=2000))
            assert steps < STEPS_OF_TOTAL, f"the total of {kind} {asked} takes {steps} steps"
        else:
            assert f"Seq Scan on {kind}" not in plan, f"{kind} {asked}:\n{plan}"
            assert "Seq Scan on inbox" not in plan, f"{kind} {asked}:\n{plan}"
            removed = [int(count) for count in re.findall(r"Rows Removed by Filter: (\d+)", plan)]
            assert max(removed, default=0) < ROWS, f"{kind} {asked}:\n{plan}"
