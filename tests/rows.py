"""Rows as the tests of the questions need them: many at once, straight into the tables, and read back by list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callbacks import file_created, incoming
from conftest import TOKEN
from sqlalchemy import insert

from handlers import questions, tables
from handlers.ids import first_id, new_id
from handlers.inbox.processing import Processor
from handlers.inbox.refusals import Refusals
from handlers.questions.filters import ACTIONS, DELIVERIES, MOST, RECORDINGS, REFUSALS, SEGMENTS, TASKS, Filters, Page
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handlers.database import Database
    from handlers.inbox import Inbox
    from handlers.settings import Settings

LISTS = {
    RECORDINGS: questions.list_recordings,
    SEGMENTS: questions.list_segments,
    TASKS: questions.list_tasks,
    DELIVERIES: questions.list_deliveries,
    REFUSALS: questions.list_refusals,
    ACTIONS: questions.list_actions,
}
FIRST = 1_600_000_000_000
MINUTE = 60_000


def recording_row(number: int, **changed: Any) -> dict[str, Any]:
    """Return the n-th of many recordings: four in a room, two of a task, one each minute."""
    at = FIRST + number * MINUTE
    return {
        "id": new_id("rec"),
        "task": f"tsk_{number // 2:026d}",
        "locator": f"file-{number}",
        "vendor": "aliyun",
        "account": "lessons",
        "app_id": "rare" if number % 100 == 0 else "usual",
        "room_id": f"room-{number // 4:06d}",
        "type": "record",
        "task_id": f"task-{number // 2:06d}",
        "bucket": "rtc-record",
        "key": f"record/{number:06d}.m3u8",
        "format": "m3u8" if number % 2 else "mp4",
        "state": "available",
        "media": "{}",
        "sightings": 1,
        "started_at": at,
        "first_seen_at": at,
        "updated_at": at,
    } | changed


def fill(database: Database, count: int, start: int = 0) -> list[dict[str, Any]]:
    """Insert recordings as they are, without their deliveries."""
    rows = [recording_row(number) for number in range(start, start + count)]
    with database.write() as connection:
        connection.execute(insert(tables.recordings), rows)
        streams = [{"recording": row["id"], "user_id": f"user-{n % 50}", "source": ""} for n, row in enumerate(rows)]
        connection.execute(insert(tables.recording_streams), streams)
    return rows


def segment_row(number: int, **changed: Any) -> dict[str, Any]:
    """Return the n-th of many segments: ten of a task, twenty in a room, one each minute."""
    at = FIRST + number * MINUTE
    return {
        "id": first_id("seg", at),
        "task": f"tsk_{number // 10:026d}",
        "identifier": f"run-{number // 10}" if number // 10 % 2 else "",
        "locator": f"slice-{number}",
        "vendor": "aliyun",
        "account": "lessons",
        "app_id": "rare" if number < 10 else "usual",
        "room_id": f"room-{number // 20:06d}",
        "task_id": f"task-{number // 10:06d}",
        "bucket": "rtc-record",
        "key": f"slices/{number:06d}.wav",
        "user_id": f"user-{number % 50}",
        "streams": f'[{{"user_id": "user-{number % 50}", "source": null}}]',
        "media": "{}",
        "started_at": at,
        "duration_ms": MINUTE,
        "first_seen_at": at,
        "delivery": f"dlv_{number:026d}",
        "position": 0,
        "at": at,
        "fingerprint": "",
    } | changed


def task_row(number: int, **changed: Any) -> dict[str, Any]:
    """Return the segment task of the n-th ten segments."""
    segment = segment_row(number * 10)
    names = ("vendor", "account", "app_id", "room_id", "task_id", "started_at")
    told = {name: segment[name] for name in names}
    counted = {"run": 1, "state": "unknown", "segment_count": 10, "updated_at": FIRST}
    return told | counted | {"id": segment["task"], "type": "segment"} | changed


def fill_segments(database: Database, count: int) -> list[dict[str, Any]]:
    """Insert segments with their tasks and identifiers, without their deliveries; count is a multiple of ten."""
    rows = [segment_row(number) for number in range(count)]
    jobs = [task_row(number) for number in range(count // 10)]
    names = ("vendor", "account", "app_id", "room_id", "task_id", "task", "identifier")
    spans = [
        {name: row[name] for name in names}
        | {"type": "segment", "first_at": row["at"], "last_at": row["at"] + 10 * MINUTE, "segment_count": 10}
        for row in rows[::10]
    ]
    with database.write() as connection:
        connection.execute(insert(tables.segments), rows)
        connection.execute(insert(tables.tasks), jobs)
        connection.execute(insert(tables.identifiers), spans)
    return rows


def sighting_row(recording: Mapping[str, Any], delivery: str) -> dict[str, Any]:
    """Return what says that the delivery told of the recording."""
    return {
        "recording": recording["id"],
        "delivery": delivery,
        "position": 0,
        "door": "http",
        "account": "lessons",
        "received_at": FIRST,
        "at": FIRST,
        "fingerprint": "",
        "facts": "{}",
    }


def fill_told(database: Database, recordings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Insert a delivery for each recording, one each millisecond, every tenth in quarantine; return their ids."""
    deliveries = [
        {
            "id": new_id("dlv"),
            "account": "lessons",
            "vendor": "aliyun",
            "door": "http",
            "received_at": FIRST + number,
            "seen_key": f"told:{number}",
            "headers": b"{}",
            "body": b"{}",
        }
        for number in range(len(recordings))
    ]
    states = [
        {"delivery": row["id"], "state": "quarantined" if number % 10 == 5 else "processed"}
        for number, row in enumerate(deliveries)
    ]
    told = [str(row["id"]) for row in deliveries]
    sightings = [sighting_row(one, delivery) for one, delivery in zip(recordings, told, strict=True)]
    with database.write() as connection:
        connection.execute(insert(tables.deliveries), deliveries)
        connection.execute(insert(tables.inbox), states)
        connection.execute(insert(tables.sightings), sightings)
    return told


def ids(database: Database, kind: str, filters: Filters, *, limit: int = MOST) -> list[str]:
    """Return the ids of all pages."""
    found: list[str] = []
    cursor = None
    while True:
        with database.read() as connection:
            listing = LISTS[kind](connection, filters, Page(limit=limit, cursor=cursor))
        found += [item["id"] for item in listing.items]
        cursor = listing.next
        if cursor is None:
            return found


def keep_four(inbox: Inbox, database: Database, settings: Settings) -> list[str]:
    """Keep and process four deliveries, the last one unreadable, the first one twice; return their ids."""
    bodies = [file_created(1), file_created(2), file_created(3), b"not \xff json"]
    receipts = [inbox.accept(incoming(body, token=TOKEN)) for body in bodies]
    inbox.accept(incoming(file_created(1), token=TOKEN))
    while Processor(database, settings, VENDORS).process():
        pass
    return [receipt.accepted.delivery for receipt in receipts]


def refuse(database: Database, inbox: Inbox, bodies: list[bytes]) -> None:
    """Send the bodies with a wrong token, and wait until the refusals are written."""
    refusals = Refusals(database, VENDORS)
    refusals.start()
    for body in bodies:
        wrong = incoming(body, token="wrong")
        try:
            inbox.accept(wrong)
        except Exception as exc:  # noqa: BLE001 - whatever it is refused for
            refusals.record(wrong, exc)  # type: ignore[arg-type] # wrong on purpose
    refusals.close()
