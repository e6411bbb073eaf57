"""What was told of a run: its marks and identifiers with the task, and the deliveries that told of them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from rows import FIRST, MINUTE, fill_segments, ids
from sqlalchemy import delete, insert, select

from handlers import catalogue, questions, tables
from handlers.events import Delivery, Event, Segment, TaskKey, Upload
from handlers.ids import new_id
from handlers.moments import to_text
from handlers.questions import items
from handlers.questions.filters import DELIVERIES, TASKS, Filters, Page
from handlers.runs import Identifier, Mark, parted, starts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.database import Database

HOUR = 60 * MINUTE
KEY = TaskKey(vendor="huawei", app_id="app", room_id="room", type="record", task_id="job")
SLICES = TaskKey(vendor="aliyun", app_id="app", room_id="room", type="segment", task_id="slices")


def keep(database: Database, *events: Event, **changed: Any) -> str:
    """Keep and fold a delivery that says this; return its id."""
    told: dict[str, Any] = {"id": new_id("dlv"), "account": "lessons", "vendor": "aliyun", "door": "http"}
    told |= {"received_at": FIRST, "headers": {}, "body": b"{}"}
    delivery = Delivery(**told)
    row = told | {"headers": b"{}", "seen_key": delivery.id}
    state = {"delivery": delivery.id, "state": "processed"} | changed
    with database.write() as connection:
        connection.execute(insert(tables.deliveries), [row])
        connection.execute(insert(tables.inbox), [state])
        several = [catalogue.Told(delivery=delivery, position=n, event=one) for n, one in enumerate(events)]
        catalogue.fold(connection, several, now=FIRST)
    return delivery.id


def mark(at: int, kind: str, key: TaskKey = KEY, **told: Any) -> Event:
    return Event(kind=kind, word="Word", at=at, task=key, **told)


def slice_(at: int, identifier: str | None, number: int = 0) -> Event:
    cut = Segment(locator=f"{identifier}/{number}", identifier=identifier, started_at=at, duration_ms=MINUTE)
    return Event(kind="segment.created", word="Slice", at=at, task=SLICES, segment=cut)


def shown(database: Database) -> list[Any]:
    """Return the tasks as shown, by run."""
    with database.read() as connection:
        names = connection.execute(select(tables.tasks.c.id).order_by(tables.tasks.c.run)).scalars().all()
        return [questions.show_task(connection, name) for name in names]


def test_a_task_shows_what_was_told_of_its_run_in_order(database: Database) -> None:
    told = [
        mark(FIRST + 9, "upload.progressed", upload=Upload(state="uploading", progress=2550)),
        mark(FIRST + 20, "task.stopped", state="stopped", reason="IdleTimeOut"),
        mark(FIRST, "task.started", state="running", begins=True),
        mark(FIRST + 30, "upload.progressed", upload=Upload(state="done")),
    ]
    deliveries = [keep(database, one) for one in told]
    (task,) = shown(database)
    assert tuple(task) == (*items.TASK, "marks", "identifiers", "actions")
    assert [one["delivery"] for one in task["marks"]] == [deliveries[number] for number in (2, 0, 1, 3)]
    assert tuple(task["marks"][0]) == items.MARK
    assert task["marks"][1] == {
        "at": to_text(FIRST + 9),
        "kind": "upload.progressed",
        "state": None,
        "begins": False,
        "upload": "uploading",
        "progress": 2550,
        "reason": None,
        "delivery": deliveries[0],
    }
    assert task["marks"][2]["reason"] == "IdleTimeOut"
    assert (task["upload"], task["identifiers"]) == ("done", [])


def test_each_run_shows_its_own_marks(database: Database) -> None:
    for at in (FIRST, FIRST + HOUR):
        keep(database, mark(at, "task.started", state="running", begins=True))
        keep(database, mark(at + MINUTE, "task.stopped", state="stopped"))
    keep(database, mark(FIRST - 1, "task.failed", state="failed"))
    keep(database, mark(FIRST + HOUR - 1, "upload.failed", upload=Upload(state="failed")))
    keep(database, mark(FIRST, "task.stopped", named("another"), state="stopped"))
    first, second = (task["marks"] for task in shown(database) if task["task_id"] == KEY.task_id)
    assert [one["kind"] for one in first] == ["task.failed", "task.started", "task.stopped", "upload.failed"]
    assert [one["kind"] for one in second] == ["task.started", "task.stopped"]


def named(task_id: str) -> TaskKey:
    return TaskKey(vendor=KEY.vendor, app_id=KEY.app_id, room_id=KEY.room_id, type=KEY.type, task_id=task_id)


def test_a_segment_task_shows_what_its_identifiers_span(database: Database) -> None:
    for number, identifier in enumerate(("one", "one", None, "later")):
        keep(database, slice_(FIRST + number * MINUTE + (number == 3) * HOUR, identifier, number))
    first, second = shown(database)
    assert first["identifiers"] == [
        {
            "identifier": "one",
            "first_at": to_text(FIRST),
            "last_at": to_text(FIRST + 2 * MINUTE),
            "segment_count": 2,
        },
        {
            "identifier": None,
            "first_at": to_text(FIRST + 2 * MINUTE),
            "last_at": to_text(FIRST + 3 * MINUTE),
            "segment_count": 1,
        },
    ]
    assert [one["identifier"] for one in second["identifiers"]] == ["later"]
    assert first["marks"] == second["marks"] == []


times = st.integers(0, 300).map(lambda minutes: FIRST + minutes * MINUTE)
drawn_marks = st.builds(
    mark,
    times,
    st.sampled_from(["task.started", "task.stopped", "upload.progressed"]),
    st.sampled_from([KEY, SLICES]),
    state=st.sampled_from([None, "running", "stopped"]),
    begins=st.booleans(),
    upload=st.sampled_from([None, Upload(state="done")]),
)
drawn_slices = st.builds(slice_, times, st.sampled_from([None, "one", "two", "three"]), st.integers(0, 3))


@bounded(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(drawn_marks | drawn_slices, min_size=1, max_size=12))
def test_runs_show_their_marks_as_the_catalogue_divides_them(database: Database, told: Sequence[Event]) -> None:
    with database.write() as connection:
        for table in (tables.tasks, tables.marks, tables.identifiers, tables.segments, tables.events):
            connection.execute(delete(table))
    keep(database, *told)
    expected = divided(database)
    for task in shown(database):
        runs = expected[task["task_id"]]
        assert [(one["at"], one["kind"]) for one in task["marks"]] == sorted(runs[task["run"]])
        del runs[task["run"]]
    assert not any(marks for runs in expected.values() for marks in runs.values())


def divided(database: Database) -> dict[str, dict[int, list[tuple[str | None, str]]]]:
    """Return time and kind of every mark by task id and run, as the catalogue's own rules say."""
    found: dict[str, dict[int, list[tuple[str | None, str]]]] = defaultdict(lambda: defaultdict(list))
    with database.read() as connection:
        marks = connection.execute(select(tables.marks)).mappings().all()
        spans = connection.execute(select(tables.identifiers)).mappings().all()
    for key in (KEY, SLICES):
        own = [row for row in marks if row["task_id"] == key.task_id]
        known = [Mark(**{name: row[name] for name in Mark.__dataclass_fields__}) for row in own]
        names = [name for name in Identifier.__dataclass_fields__ if name != "name"]
        heard = [
            Identifier(name=row["identifier"], **{name: row[name] for name in names})
            for row in spans
            if row["task_id"] == key.task_id
        ]
        for run, told in parted(known, starts_of(known, heard)).items():
            found[key.task_id][run] += [(to_text(one.at), one.kind) for one in told]
    return found


# --- deliveries ---


@pytest.mark.parametrize(
    ("filters", "is_found"),
    [
        (Filters(room_id=("room",)), True),
        (Filters(task_id=("job",)), True),
        (Filters(app_id=("app",), type=("record", "push")), True),
        (Filters(business_id=("school",), room_id=("room",)), True),
        (Filters(business_id=("school",)), True),
        (Filters(q="jo"), True),
        (Filters(type=("segment",)), False),
        (Filters(room_id=("room",), task_id=("slices",)), False),
        (Filters(business_id=("another",), room_id=("room",)), False),
        (Filters(room_id=("room",), format=("mp4",)), False),
        (Filters(room_id=("room",), user_id=("teacher",)), False),
        (Filters(room_id=("room",), state=("quarantined",)), False),
        (Filters(room_id=("room",), vendor=("huawei",)), False),
    ],
)
def test_deliveries_are_found_by_a_mark_that_they_told_of(database: Database, filters: Filters, is_found: bool) -> None:  # noqa: FBT001 - pytest passes it
    told = keep(database, mark(FIRST, "task.stopped", state="stopped", business_id="school"))
    assert ids(database, DELIVERIES, filters) == [told] * is_found
    with database.read() as connection:
        assert questions.total(connection, DELIVERIES, filters) == (is_found, False)


def test_a_delivery_that_told_of_a_name_with_several_runs_is_found_once(database: Database) -> None:
    told = [keep(database, mark(FIRST + n * HOUR, "task.started", state="running", begins=True)) for n in range(3)]
    assert ids(database, DELIVERIES, Filters(room_id=("room",))) == told[::-1]
    assert ids(database, DELIVERIES, Filters(task_id=("job",)), limit=1) == told[::-1]


@pytest.mark.parametrize(
    ("filters", "is_found"),
    [
        (Filters(room_id=("room",)), True),
        (Filters(task_id=("slices",), type=("segment",)), True),
        (Filters(app_id=("app",), type=("segment", "push")), True),
        (Filters(app_id=("app",)), False),
        (Filters(business_id=("school",)), False),
        (Filters(business_id=("school",), type=("segment",)), False),
        (Filters(q="sli", account=("lessons",)), True),
        (Filters(type=("record",)), False),
        (Filters(task_id=("slices",), format=("wav",)), False),
        (Filters(user_id=("teacher",)), False),
    ],
)
def test_deliveries_are_found_by_a_segment_that_they_told_of(
    database: Database,
    filters: Filters,
    is_found: bool,  # noqa: FBT001 - pytest passes it
) -> None:
    told = keep(database, slice_(FIRST, "one"), is_bulk=True)
    assert ids(database, DELIVERIES, filters) == [told] * is_found


def test_a_processed_delivery_of_segments_says_so_although_no_event_is_kept(database: Database) -> None:
    bulk = keep(database, slice_(FIRST, "one"), is_bulk=True)
    waiting = keep(database, is_bulk=True, state="kept")
    of_marks = keep(database, mark(FIRST, "task.stopped", state="stopped"))
    with database.read() as connection:
        told = {name: questions.show_delivery(connection, name) for name in (bulk, waiting, of_marks)}
    events = {name: one and one["events"] for name, one in told.items()}
    assert events == {bulk: ["segment.created"], waiting: [], of_marks: ["task.stopped"]}
    details = told[of_marks]
    assert details is not None
    assert [(one["kind"], one["word"], one["recording"]) for one in details["event_details"]] == [
        ("task.stopped", "Word", None)
    ]


def test_the_list_of_tasks_tells_types_states_and_uploads(database: Database) -> None:
    keep(database, mark(FIRST, "upload.progressed", upload=Upload(state="backed_up")))
    fill_segments(database, 10)
    with database.read() as connection:
        listed = questions.list_tasks(connection, Filters(type=("record",)), Page()).items
    assert [(one["type"], one["state"], one["upload"]) for one in listed] == [("record", "unknown", "backed_up")]
    assert len(ids(database, TASKS, Filters(type=("segment",)))) == 1
    assert ids(database, TASKS, Filters(type=("push",))) == []
    assert len(ids(database, TASKS, Filters(type=("segment", "record"), state=("unknown",)))) == 2
