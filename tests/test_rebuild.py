"""Rebuilding: the catalogue is made again from the kept deliveries, with the same rows and ids."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from callbacks import file_created, incoming
from conftest import TOKEN
from sqlalchemy import delete, select, update

from handlers import tables
from handlers.clock import now_ms
from handlers.inbox import Inbox
from handlers.inbox.processing import Processor
from handlers.inbox.replay import replay
from handlers.questions.filters import Filters
from handlers.rebuild import Rebuild, rebuild
from handlers.secrets import Secret
from handlers.settings import Account, load
from handlers.vendors import VENDORS
from standin.callbacks import volcengine
from standin.callbacks.callback import Counterpart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from handlers.database import Database
    from handlers.events import Delivery, Event
    from handlers.keeping.keeper import Keeper
    from handlers.settings import Settings

_CATALOGUE = (
    tables.tasks,
    tables.recordings,
    tables.recording_streams,
    tables.sightings,
    tables.marks,
    tables.events,
)


def snapshot(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return every row of the catalogue, ids and times of writing included."""
    with database.read() as connection:
        return {
            table.name: sorted(
                (dict(row) for row in connection.execute(select(table)).mappings()),
                key=lambda row: json.dumps(row, sort_keys=True, default=str),
            )
            for table in _CATALOGUE
        }


@pytest.fixture
def filled(inbox: Inbox, database: Database, settings: Settings) -> Database:
    """Return a database with some tasks, one of them seen twice, and something in quarantine."""
    for number in range(40):
        inbox.accept(incoming(file_created(number, TaskId=f"task-{number % 7}"), token=TOKEN))
    inbox.accept(incoming(file_created(3, TaskId="task-3", MsgId="another", Duration=5), token=TOKEN))
    inbox.accept(incoming(file_created(Event="RecordPaused"), token=TOKEN))
    inbox.accept(incoming(b"garbage", token=TOKEN))
    work(database, settings)
    return database


def work(database: Database, settings: Settings) -> None:
    processor = Processor(database, settings, VENDORS)
    while processor.process():
        pass


def test_promise_5_a_rebuild_gives_identical_rows(filled: Database, settings: Settings) -> None:
    before = snapshot(filled)
    assert len(before["recordings"]) == 40
    report = rebuild(filled, settings, VENDORS)
    assert snapshot(filled) == before
    assert (report.deliveries, report.families, report.rows_changed) == (43, 7, 0)


def test_promise_5_a_rebuild_mends_what_was_damaged_and_keeps_the_ids(filled: Database, settings: Settings) -> None:
    before = snapshot(filled)
    with filled.write() as connection:
        connection.execute(update(tables.recordings).values(duration_ms=1, state="announced"))
        connection.execute(update(tables.tasks).values(recording_count=99))
    assert rebuild(filled, settings, VENDORS).rows_changed == 47
    after = snapshot(filled)
    for table in _CATALOGUE:
        for row in (*before[table.name], *after[table.name]):
            row.pop("updated_at", None)
    assert after == before


def test_promise_5_a_rebuild_from_nothing_finds_every_recording(filled: Database, settings: Settings) -> None:
    before = {row["locator"] for row in snapshot(filled)["recordings"]}
    with filled.write() as connection:
        for table in _CATALOGUE:
            connection.execute(delete(table))
    rebuild(filled, settings, VENDORS)
    assert {row["locator"] for row in snapshot(filled)["recordings"]} == before


def test_promise_5_what_was_timed_otherwise_before_is_timed_anew_and_not_twice(
    database: Database, settings: Settings, keeper: Keeper
) -> None:
    """Until a push's Timestamp was read, its envelope's whole seconds were its time."""
    secret = "a-secret-of-thirty-two-characters"
    account = Account(name="classroom", vendor="volcengine", callback_secrets=(Secret.literal(secret),))
    settings = replace(settings, accounts={("volcengine", "classroom"): account})
    to = Counterpart(vendor="volcengine", account="classroom", secret=secret)
    inbox = Inbox(settings, VENDORS, keeper)
    now = now_ms() // 1000 * 1000
    words = (("TranscodeStarted", now - 60_000), ("TranscodeStopped", now + 100), ("TranscodeStarted", now + 900))
    for word, at in words:
        data, _ = volcengine.sample(word, at=at, mark="0")
        outer = volcengine.envelope(word, data | {"Timestamp": at}, at=at, event_id=f"evt-{at}")
        inbox.accept(volcengine.callback(outer, to).incoming(now))
    vendor = VENDORS["volcengine"]

    def read_before(delivery: Delivery) -> list[Event]:
        return [replace(event, at=event.at // 1000 * 1000) for event in vendor.read(delivery)]

    Processor(database, settings, {"volcengine": replace(vendor, read=read_before)}).process()
    assert [row["at"] % 1000 for row in snapshot(database)["marks"]] == [0, 0, 0]
    rebuild(database, settings, VENDORS)
    again = snapshot(database)
    assert sorted(row["at"] - now for row in again["marks"]) == [-60_000, 100, 900]
    assert sorted((row["run"], row["state"]) for row in again["tasks"]) == [(1, "stopped"), (2, "running")]


def test_promise_5_what_is_older_than_the_oldest_kept_delivery_is_the_base(
    filled: Database, settings: Settings
) -> None:
    before = snapshot(filled)
    with filled.write() as connection:
        oldest = connection.execute(select(tables.deliveries.c.id).order_by(tables.deliveries.c.id).limit(20))
        pruned = [row[0] for row in oldest]
        connection.execute(delete(tables.deliveries).where(tables.deliveries.c.id.in_(pruned)))
        connection.execute(delete(tables.inbox).where(tables.inbox.c.delivery.in_(pruned)))
    rebuild(filled, settings, VENDORS)
    assert snapshot(filled) == before


def test_promise_5_a_rebuild_beside_a_live_server_loses_nothing(
    filled: Database, inbox: Inbox, settings: Settings
) -> None:
    stop = threading.Event()
    kept = []

    def live() -> None:
        number = 1000
        while not stop.is_set():
            inbox.accept(incoming(file_created(number, TaskId=f"task-{number % 7}"), token=TOKEN))
            work(filled, settings)
            kept.append(number)
            number += 1

    thread = threading.Thread(target=live)
    thread.start()
    for _ in range(3):
        rebuild(filled, settings, VENDORS)
    stop.set()
    thread.join()
    found = snapshot(filled)
    assert len(found["recordings"]) == 40 + len(kept)
    assert sum(task["recording_count"] for task in found["tasks"]) == 40 + len(kept)
    assert rebuild(filled, settings, VENDORS).rows_changed == 0


@pytest.fixture
def without_the_app(environ: dict[str, str], tmp_path: Path) -> Settings:
    """Return settings that by mistake name other app ids than those that call."""
    wrong = tmp_path / "wrong.toml"
    wrong.write_text((tmp_path / "reelhook.toml").read_text() + 'app_ids = ["another"]\n')
    return load(environ | {"REELHOOK_CONFIG": str(wrong)}, vendors=tuple(VENDORS))


def test_a_rebuild_keeps_what_a_delivery_said_before_it_was_quarantined(
    inbox: Inbox, database: Database, settings: Settings, without_the_app: Settings
) -> None:
    inbox.accept(incoming(file_created(1), token=TOKEN))
    work(database, settings)
    before = snapshot(database)
    assert replay(database, Filters(state=(tables.PROCESSED,))) == 1
    work(database, without_the_app)
    assert len(before["recordings"]) == 1
    rebuild(database, settings, VENDORS)
    assert snapshot(database) == before


def test_a_rebuild_keeps_what_is_replayed_out_of_quarantine_meanwhile(
    inbox: Inbox, database: Database, settings: Settings, without_the_app: Settings
) -> None:
    inbox.accept(incoming(file_created(1), token=TOKEN))
    work(database, without_the_app)
    inbox.accept(incoming(file_created(2), token=TOKEN))
    work(database, settings)
    between: list[dict[str, list[dict[str, Any]]]] = []

    def mend(_done: int, _total: int) -> None:
        if not between:
            assert replay(database, Filters()) == 1
            work(database, settings)
            between.append(snapshot(database))

    rebuild(database, settings, VENDORS, mend)
    assert len(between[0]["recordings"]) == 2
    assert snapshot(database) == between[0]


def test_a_storage_found_in_the_settings_is_kept_until_it_is_asked_for_anew(
    inbox: Inbox, database: Database, settings: Settings, environ: dict[str, str], tmp_path: Path
) -> None:
    url = "https://records.example.com/lessons/a.m3u8"
    inbox.accept(incoming(file_created(1, Url=url), token=TOKEN))
    work(database, settings)
    with (tmp_path / "reelhook.toml").open("a") as file:
        file.write('[storages.lessons]\nkind = "oss"\nregion = "cn-shanghai"\nbucket = "records"\n')
    later = load(environ, vendors=tuple(VENDORS))

    rebuild(database, later, VENDORS)
    assert snapshot(database)["recordings"][0]["bucket"] is None
    rebuild(database, later, VENDORS, resolve=True)
    recording = snapshot(database)["recordings"][0]
    assert (recording["storage"], recording["bucket"], recording["key"]) == ("oss", "records", "lessons/a.m3u8")
    assert recording["locator"] == "url:records.example.com/lessons/a.m3u8"


def test_a_rebuild_holds_few_bodies_at_once(
    filled: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(filled)
    monkeypatch.setattr("handlers.inbox.processing.MOST_BYTES", 2_000)
    pages: list[int] = []
    loaded = Rebuild._loaded

    def counted(self: Rebuild, ids: Sequence[str]) -> Iterator[list[Delivery]]:
        for page in loaded(self, ids):
            pages.append(len(page))
            yield page

    monkeypatch.setattr(Rebuild, "_loaded", counted)
    assert rebuild(filled, settings, VENDORS).rows_changed == 0
    assert snapshot(filled) == before
    assert max(pages) < 10
