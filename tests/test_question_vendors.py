"""The questions about what a vendor's own callbacks became: segments, a run's marks, and the deliveries that told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rows import FIRST, ids
from sqlalchemy import insert

from handlers import questions, tables
from handlers.ids import new_id
from handlers.inbox.processing import Processor
from handlers.questions.filters import DELIVERIES, SEGMENTS, Filters, Page
from handlers.settings import load
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from handlers.database import Database

_FIXTURES = Path(__file__).parent / "fixtures" / "volcengine"
_WORDS = ("RecordStarted", "RecordUploadProcessing", "RecordStopped", "RecordUploadDone", "SegmentRealTimeData-several")


@pytest.fixture
def told(database: Database, environ: dict[str, str]) -> dict[str, str]:
    """Keep and process callbacks of a recording and of its slices; return their deliveries by fixture."""
    rows = [
        {
            "id": new_id("dlv"),
            "account": "classroom",
            "vendor": "volcengine",
            "door": "http",
            "received_at": FIRST,
            "seen_key": word,
            "headers": b"{}",
            "body": (_FIXTURES / f"{word}.json").read_bytes(),
        }
        for word in _WORDS
    ]
    with database.write() as connection:
        connection.execute(insert(tables.deliveries), rows)
        connection.execute(insert(tables.inbox), [{"delivery": row["id"], "state": "kept"} for row in rows])
    Path(environ["REELHOOK_CONFIG"]).write_text(
        '[accounts.classroom]\nvendor = "volcengine"\ncallback_secrets = ["env:CLASSROOM"]\n'
    )
    settings = load(environ | {"CLASSROOM": "a-secret-of-the-classroom"}, vendors=tuple(VENDORS))
    while Processor(database, settings, VENDORS).process():
        pass
    return {word: str(row["id"]) for word, row in zip(_WORDS, rows, strict=True)}


def test_a_recording_shows_its_upload_and_how_it_came_about(told: dict[str, str], database: Database) -> None:
    with database.read() as connection:
        (task,) = questions.list_tasks(connection, Filters(type=("record",)), Page()).items
        shown = questions.show_task(connection, task["id"])
    assert shown is not None
    assert (task["state"], task["upload"]) == ("stopped", "done")
    assert [one["kind"] for one in shown["marks"]][:1] == ["task.started"]
    assert {one["delivery"] for one in shown["marks"]} == {told[word] for word in _WORDS if word.startswith("Record")}
    assert {one["upload"] for one in shown["marks"]} >= {"uploading", "done"}
    assert set(ids(database, DELIVERIES, Filters(task_id=(task["task_id"],), type=("record",)))) >= {
        told["RecordStarted"],
        told["RecordUploadDone"],
    }


def test_slices_of_one_callback_are_listed_each_and_their_delivery_says_so(
    told: dict[str, str], database: Database
) -> None:
    bulk = told["SegmentRealTimeData-several"]
    with database.read() as connection:
        listed = questions.list_segments(connection, Filters(), Page()).items
        delivery = questions.show_delivery(connection, bulk)
        (task,) = questions.list_tasks(connection, Filters(type=("segment",)), Page()).items
        shown = questions.show_task(connection, task["id"])
    assert delivery is not None
    assert shown is not None
    assert (delivery["state"], delivery["events"], delivery["event_details"]) == ("processed", ["segment.created"], [])
    assert {one["task"] for one in listed} == {task["id"]}
    assert [one["segment_count"] for one in shown["identifiers"]] == [len(listed)] == [3]
    assert {one["identifier"] for one in listed} == {shown["identifiers"][0]["identifier"]}
    assert ids(database, DELIVERIES, Filters(task_id=(task["task_id"],), type=("segment",))) == [bulk]
    assert len(ids(database, SEGMENTS, Filters(q=task["room_id"][:4], app_id=(task["app_id"],)))) == 3
