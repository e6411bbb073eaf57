"""Any order, with what three vendors really tell: whole worlds of mixed deliveries, through their readers."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from folding import fold, rows, told_times, wipe
from histories import ACCOUNTS, SECRETS
from hypothesis import HealthCheck, given
from hypothesis import settings as options
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from handlers import catalogue, tables
from handlers.events import Delivery
from handlers.ids import new_id
from handlers.inbox import Inbox
from handlers.inbox.processing import Processor
from handlers.reading import meaning
from handlers.rebuild import Rebuild, rebuild
from handlers.rebuild.segments import SegmentFamily
from handlers.settings import Settings, load
from handlers.vendors import VENDORS
from standin.callbacks import volcengine
from standin.callbacks.world import COUNTERPARTS, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from handlers.database import Database
    from handlers.events import Incoming
    from handlers.keeping.keeper import Keeper

_RECEIVED = 1_780_000_000_000
_MONDAY = 1_773_014_400_000  # 2026-03-09T00:00:00Z
_DAY, _HOUR, _MINUTE = 86_400_000, 3_600_000, 60_000


@pytest.fixture
def settings(environ: dict[str, str], tmp_path: Path) -> Settings:
    """Return the settings of a Reelhook that knows the world's accounts."""
    (tmp_path / "reelhook.toml").write_text(ACCOUNTS)
    return load(environ | SECRETS, vendors=tuple(VENDORS))


@pytest.fixture
def inbox(settings: Settings, keeper: Keeper) -> Inbox:
    return Inbox(settings, VENDORS, keeper)


def told_of(world: World, settings: Settings) -> list[list[catalogue.Told]]:
    """Read every delivery of the world, each under an id of its own."""
    result = []
    for number, callback in enumerate(world.deliveries()):
        delivery = Delivery(
            id=new_id("dlv"),
            account=callback.account,
            vendor=callback.vendor,
            door=callback.door,
            received_at=_RECEIVED + number,
            headers=callback.headers,
            body=callback.body,
        )
        events = meaning(delivery, settings, VENDORS)
        result.append([catalogue.Told(delivery=delivery, position=n, event=event) for n, event in enumerate(events)])
    return result


def parts(told: Sequence[list[catalogue.Told]], chance: random.Random) -> Iterator[list[list[catalogue.Told]]]:
    """Yield the deliveries in another order, some of them twice, in batches of which each holds a delivery once."""
    again = [*told, *chance.sample(told, len(told) // 4)]
    chance.shuffle(again)
    while again:
        size = chance.randrange(1, 20)
        batch, again = again[:size], again[size:]
        yield list({one[0].delivery.id: one for one in batch}.values())


@given(seed=st.integers(1, 10_000), chance=st.randoms(use_true_random=False))
@options(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_promise_4_any_order_of_a_world_of_three_vendors_gives_equal_rows(
    database: Database, settings: Settings, seed: int, chance: random.Random
) -> None:
    told = told_of(World(seed=seed, tasks=14, hours=3), settings)
    wipe(database)
    first = fold(database, [[delivery] for delivery in told])
    expected = rows(database)
    assert {task["vendor"] for task in expected["tasks"]} == set(VENDORS)
    wipe(database)
    second = fold(database, parts(told, chance))
    assert rows(database) == expected
    for changes in (first, second):
        assert told_times(changes, "recording.created") == len(expected["recordings"])
        assert told_times(changes, "segment.created") == len(expected["segments"])


# --- a week of automatic recording ------------------------------------------------------------------------------------


def from_volcengine(word: str, at: int, **data: Any) -> Incoming:
    """Return a callback of the user whom the vendor records and segments each day: the TaskId is the UserId."""
    data = {"AppId": "app", "BusinessId": "", "RoomId": "room", "TaskId": "teacher", **data}
    outer = volcengine.envelope(word, data, at=at, event_id=f"{word}-{at}")
    return volcengine.callback(outer, COUNTERPARTS["volcengine"]).incoming(_RECEIVED)


def a_day(number: int) -> Iterator[Incoming]:
    """Yield what is told of one day: a lesson of an hour in two files, and 90 slices."""
    start = _MONDAY + number * _DAY + 8 * _HOUR
    stop = start + _HOUR
    yield from_volcengine("RecordStarted", start, Code=0, ErrorMessage="")
    files = [
        {
            "ObjectKey": f"{number}/{part}.mp4",
            # The first file's first picture is older than the word that the recording has started.
            "StartTime": start - 900 + part * 30 * _MINUTE,
            "Duration": 30 * _MINUTE,
            "Size": 1000 + number,
            "StreamList": [{"UserId": "teacher", "StreamType": 0}],
        }
        for part in (0, 1)
    ]
    early = [{name: value for name, value in files[0].items() if name not in {"Duration", "Size"}}]
    yield from_volcengine("RecordSyncUploadStarted", start + 40_000, Code=0, ErrorMessage="", RecordFileList=early)
    yield from_volcengine("RecordStopped", stop, Code=0, ErrorMessage="", RecordFileList=files)
    if number != 6:
        yield from_volcengine("RecordUploadDone", stop + 90_000, Code=0, ErrorMessage="")
    for slot in range(30):
        at = start + slot * 2 * _MINUTE
        data = [
            {
                "Stream": {"UserId": user, "StreamType": 0},
                "ObjectKey": f"{number}-{user}-{slot}.wav",
                "SampleRate": "44100",
                "BitsPerSample": "16",
                "Channels": "2",
                "Size": 256_044,
                "TimeStamp": at,
                "Duration": 20_000,
            }
            for user in ("teacher", "pupil", "mixed")
        ]
        # In the middle of the lesson an update gives the running task another identifier.
        identifier = f"day-{number}" if slot < 15 else f"day-{number}-later"
        yield from_volcengine("SegmentRealTimeData", at + 20_000, Bucket="slices", Identifier=identifier, Data=data)


def settle(database: Database, settings: Settings) -> Processor:
    processor = Processor(database, settings, VENDORS)
    while processor.process():
        pass
    return processor


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_week_of_automatic_recording_and_segmenting_is_fourteen_tasks_in_any_order(
    inbox: Inbox, database: Database, settings: Settings, seed: int
) -> None:
    chance = random.Random(seed)
    told = [incoming for number in range(7) for incoming in a_day(number)]
    chance.shuffle(told)
    processor = Processor(database, settings, VENDORS)
    for incoming in told:
        inbox.accept(incoming)
        if chance.random() < 0.1:
            processor.process()
    settle(database, settings)
    with database.read() as connection:
        tasks = connection.execute(select(tables.tasks).order_by(tables.tasks.c.run)).mappings().all()
        files = connection.execute(select(tables.recordings)).mappings().all()
        slices = connection.execute(select(tables.segments)).mappings().all()
    records = [task for task in tasks if task["type"] == "record"]
    segments = [task for task in tasks if task["type"] == "segment"]
    assert len(records) == len(segments) == 7
    for number, (record, segment) in enumerate(zip(records, segments, strict=True)):
        start = _MONDAY + number * _DAY + 8 * _HOUR
        assert (record["run"], record["state"], record["recording_count"]) == (number + 1, "stopped", 2)
        assert (record["started_at"], record["ended_at"]) == (start, start + _HOUR)
        assert record["upload"] == ("done" if number != 6 else "uploading")
        own = {file["key"]: file["state"] for file in files if file["task"] == record["id"]}
        state = "available" if number != 6 else "announced"
        assert own == {f"{number}/{part}.mp4": state for part in (0, 1)}
        assert (segment["run"], segment["state"], segment["segment_count"]) == (number + 1, "unknown", 90)
        assert segment["started_at"] == start
        keys = {row["key"] for row in slices if row["task"] == segment["id"]}
        assert keys == {f"{number}-{user}-{slot}.wav" for user in ("teacher", "pupil", "mixed") for slot in range(30)}


@pytest.mark.parametrize("first", ["RecordStopped", "RecordUploadDone"])
def test_a_recording_becomes_available_once_whichever_word_comes_first(
    inbox: Inbox, database: Database, settings: Settings, first: str
) -> None:
    day = list(a_day(0))
    stopped, done = (next(one for one in day if word.encode() in one.body) for word in ("RecordStopped", "UploadDone"))
    processor = Processor(database, settings, VENDORS)
    for incoming in (stopped, done) if first == "RecordStopped" else (done, stopped):
        inbox.accept(incoming)
        while processor.process():
            pass
    with database.read() as connection:
        changes = [json.loads(text) for text in connection.execute(select(tables.events.c.changes)).scalars()]
        states = connection.execute(select(tables.recordings.c.state)).scalars().all()
    assert states == ["available", "available"]
    told = [change for names in changes for change in names]
    # One word, UploadDone, can make both files available, and is one event that tells it.
    assert told.count("recording.available") == (1 if first == "RecordStopped" else 2)


@pytest.mark.parametrize("seed", range(6))
def test_an_upload_that_is_over_after_the_next_start_is_the_earlier_runs(
    inbox: Inbox, database: Database, settings: Settings, seed: int
) -> None:
    files = [
        {"ObjectKey": f"{run}.mp4", "StartTime": _MONDAY + run * _HOUR, "Duration": 50 * _MINUTE, "StreamList": []}
        for run in (1, 2)
    ]
    told = [
        from_volcengine("RecordStarted", _MONDAY + _HOUR, Code=0),
        from_volcengine("RecordStopped", _MONDAY + _HOUR + 50 * _MINUTE, Code=0, RecordFileList=files[:1]),
        from_volcengine("RecordUploadStarted", _MONDAY + _HOUR + 50 * _MINUTE + 1, Code=0),
        from_volcengine("RecordStarted", _MONDAY + 2 * _HOUR, Code=0),
        from_volcengine("RecordUploadProcessing", _MONDAY + 2 * _HOUR + 1, Code=0, Progress=9000),
        from_volcengine("RecordUploadDone", _MONDAY + 2 * _HOUR + _MINUTE, Code=0),
        from_volcengine("RecordStopped", _MONDAY + 2 * _HOUR + 50 * _MINUTE, Code=0, RecordFileList=files[1:]),
    ]
    random.Random(seed).shuffle(told)
    for incoming in told:
        inbox.accept(incoming)
        settle(database, settings)
    with database.read() as connection:
        uploads = connection.execute(select(tables.tasks.c.upload).order_by(tables.tasks.c.run)).scalars().all()
        recordings = connection.execute(select(tables.recordings)).mappings().all()
    assert uploads == ["done", None]
    assert {row["key"]: row["state"] for row in recordings} == {"1.mp4": "available", "2.mp4": "announced"}


# --- segments wait, and are rebuilt -----------------------------------------------------------------------------------


def test_what_else_waits_is_seen_before_a_crowd_of_segments(
    inbox: Inbox, database: Database, settings: Settings
) -> None:
    slices = [one for number in range(4) for one in a_day(number) if b"SegmentRealTimeData" in one.body]
    for incoming in slices:
        inbox.accept(incoming)
    stopped = next(one for one in a_day(5) if b"RecordStopped" in one.body)
    receipt = inbox.accept(stopped)
    Processor(database, settings, VENDORS).process()
    with database.read() as connection:
        rows_of_inbox = connection.execute(select(tables.inbox)).mappings().all()
        states = {row["delivery"]: row["state"] for row in rows_of_inbox}
    assert states.pop(receipt.accepted.delivery) == "processed"
    waiting = [delivery for delivery, state in states.items() if state == "kept"]
    assert len(slices) - 64 <= len(waiting) < len(slices)


@pytest.fixture
def filled(inbox: Inbox, database: Database, settings: Settings) -> Database:
    """Return a database that holds a small world and two days of segments."""
    for callback in World(seed=11, tasks=14, hours=3, queue=False).deliveries():
        inbox.accept(callback.incoming(_RECEIVED))
    for incoming in [*a_day(0), *a_day(1)]:
        inbox.accept(incoming)
    settle(database, settings)
    return database


def snapshot(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return every row of the catalogue, with its ids and when it was written."""
    every = (tables.tasks, tables.recordings, tables.sightings, tables.marks, tables.identifiers, tables.segments)
    with database.read() as connection:
        return {
            table.name: sorted(
                (dict(row) for row in connection.execute(select(table)).mappings()),
                key=lambda row: json.dumps(row, sort_keys=True, default=str),
            )
            for table in every
        }


def test_promise_5_a_rebuild_of_three_vendors_gives_identical_rows(filled: Database, settings: Settings) -> None:
    before = snapshot(filled)
    assert len(before["segments"]) > 180
    assert rebuild(filled, settings, VENDORS).rows_changed == 0
    assert snapshot(filled) == before


def test_promise_5_a_rebuild_mends_segments_and_drops_what_nothing_tells_of(
    filled: Database, settings: Settings
) -> None:
    before = snapshot(filled)
    with filled.write() as connection:
        one = dict(connection.execute(select(tables.segments).limit(1)).mappings().one())
        connection.execute(update(tables.segments).where(tables.segments.c.id == one["id"]).values(size_bytes=1, at=0))
        connection.execute(insert(tables.segments), [one | {"id": "seg_ghost", "locator": "nowhere"}])
        connection.execute(update(tables.identifiers).values(segment_count=7, first_at=1))
    assert rebuild(filled, settings, VENDORS).rows_changed > 0
    after = snapshot(filled)
    for rows_of in (before, after):
        for row in rows_of["tasks"]:
            row["updated_at"] = 0
    assert after == before


def test_promise_5_segments_are_found_again_from_nothing(filled: Database, settings: Settings) -> None:
    before = rows(filled)
    with filled.write() as connection:
        for table in (tables.segments, tables.identifiers, tables.marks):
            connection.execute(delete(table))
    rebuild(filled, settings, VENDORS)
    after = rows(filled)
    assert after == before


def test_promise_5_what_is_older_than_the_oldest_kept_delivery_stays_of_segments_too(
    filled: Database, settings: Settings
) -> None:
    before = rows(filled)
    with filled.write() as connection:
        gone = connection.execute(select(tables.segments.c.delivery).limit(40)).scalars().all()
        connection.execute(delete(tables.deliveries).where(tables.deliveries.c.id.in_(gone)))
    rebuild(filled, settings, VENDORS)
    assert rows(filled) == before


def test_promise_5_a_segment_that_is_told_while_the_rebuild_looks_for_what_is_gone_stays(
    filled: Database, inbox: Inbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ghost that old deliveries don't tell of any more is told by a live one between the look and the sweep."""
    with filled.write() as connection:
        one = dict(
            connection.execute(select(tables.segments).where(tables.segments.c.bucket == "slices")).mappings().first()
            or {}
        )
        ghost = one | {"id": "seg_ghost", "locator": "slices/ghost.wav", "key": "ghost.wav"}
        connection.execute(insert(tables.segments), [ghost])
        connection.execute(
            update(tables.identifiers)
            .where(tables.identifiers.c.identifier == one["identifier"])
            .values(segment_count=tables.identifiers.c.segment_count + 1)
        )
    data = {"Stream": {"UserId": "teacher", "StreamType": 0}, "ObjectKey": "ghost.wav", "Size": 1, "Duration": 20_000}
    at = one["started_at"]
    live = from_volcengine(
        "SegmentRealTimeData",
        one["at"] + 1,
        Bucket="slices",
        Identifier=one["identifier"],
        Data=[data | {"TimeStamp": at, "SampleRate": "44100", "BitsPerSample": "16", "Channels": "2"}],
    )
    look = SegmentFamily._look
    told: list[object] = []

    def interrupted(self: SegmentFamily, connection: Connection) -> Any:
        found = look(self, connection)
        if found[0] and not told:
            told.append(inbox.accept(live))
            settle(filled, settings)
        return found

    monkeypatch.setattr(SegmentFamily, "_look", interrupted)
    rebuild(filled, settings, VENDORS)
    assert told
    with filled.read() as connection:
        known = connection.execute(select(tables.segments.c.id).where(tables.segments.c.key == "ghost.wav")).scalars()
        assert known.all() == ["seg_ghost"]
    assert rebuild(filled, settings, VENDORS).rows_changed == 0


def test_promise_5_a_rebuild_drops_the_events_that_a_delivery_tells_no_more(
    filled: Database, settings: Settings
) -> None:
    with filled.read() as connection:
        before = connection.execute(select(tables.events)).mappings().all()
    with filled.write() as connection:
        connection.execute(insert(tables.events), [dict(before[0]) | {"position": 9}])
    assert rebuild(filled, settings, VENDORS).rows_changed == 1
    with filled.read() as connection:
        assert connection.execute(select(tables.events)).mappings().all() == before


def test_a_rebuild_on_sqlite_works_out_before_it_writes_for_keeping_waits_meanwhile(
    filled: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not filled.is_sqlite:
        pytest.skip("a server has locks instead")
    work_out = Rebuild._work_out
    done = []

    def beside_a_writer(self: Rebuild, *given: Any) -> Any:
        with filled.write(lock_patience=0.5):
            done.append(True)
        return work_out(self, *given)

    monkeypatch.setattr(Rebuild, "_work_out", beside_a_writer)
    assert rebuild(filled, settings, VENDORS).rows_changed == 0
    assert done
