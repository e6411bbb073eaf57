"""What of callbacks is not as documented: counted by vendor, word and field, shown in the figures and by the doctor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from callbacks import file_created, incoming
from conftest import TOKEN
from counterparts import COUNTERPARTS, FIXTURES, read
from sqlalchemy import select
from terminal import typed

from handlers import drift, meters, tables
from handlers.inbox.processing import Processor
from handlers.meters import DRIFT, MOST_DRIFT, Meters
from handlers.observation import observe
from handlers.vendors import VENDORS
from webhook.figures import Figures

if TYPE_CHECKING:
    from handlers.database import Database
    from handlers.inbox import Inbox
    from handlers.settings import Settings


def counted(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return {label: value for name, label, value in meters.totals(connection) if name == DRIFT}


def found(environ: dict[str, str]) -> dict[str, str]:
    (one,) = [one for one in json.loads(typed("doctor", "--json", environ=environ).stdout) if one["check"] == "drift"]
    return dict(one)


def test_drift_is_counted_and_shown_and_costs_nothing(
    database: Database, settings: Settings, inbox: Inbox, environ: dict[str, str]
) -> None:
    assert found(environ)["level"] == "ok"
    for number, changed in enumerate(({"Codec": "x", "MsgId": "m"}, {"Codec": "y", "Duration": "long"})):
        body = json.dumps(json.loads(file_created(number)) | changed).encode()
        inbox.accept(incoming(body, token=TOKEN))
    inbox.accept(incoming(b'{"Event": "RecordPaused", "Codec": 1}', token=TOKEN))
    inbox.accept(incoming(b'{"Event": "FileCreated", "Codec": 1}', token=TOKEN))
    processor = Processor(database, settings, VENDORS)
    processor.process()
    processor.meters.flush(database, at_once=True)
    assert counted(database) == {"aliyun/FileCreated/unknown/Codec": 2, "aliyun/FileCreated/wrong/Duration": 1}
    with database.read() as connection:
        assert len(connection.execute(select(tables.recordings)).all()) == 2
    shown = Figures().render(observe(database, None, now=0)).decode()
    labels = '{event="FileCreated",field="Codec",vendor="aliyun",what="unknown"}'
    assert f"reelhook_drift_total{labels} 2.0" in shown
    told = found(environ)
    assert told["level"] == "warn"
    assert "aliyun/FileCreated/wrong/Duration" in told["says"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_more_names_are_told_apart_than_a_page_holds(database: Database) -> None:
    for half in range(2):
        counts = Meters()
        for number in range(MOST_DRIFT):
            counts.add(DRIFT, f"aliyun/FileCreated/unknown/a{half}-{number}")
        counts.add(DRIFT, "aliyun/FileCreated/unknown/a0-0")
        counts.flush(database, at_once=True)
    told = counted(database)
    assert told.pop(f"aliyun/FileCreated/unknown/{drift.NO_NAME}") == MOST_DRIFT
    assert len(told) == MOST_DRIFT
    assert told["aliyun/FileCreated/unknown/a0-0"] == 3


@pytest.mark.parametrize(
    ("vendor", "name"),
    [
        ("aliyun", "FileCreated"),
        ("aliyun", "Live-TaskStopped"),
        ("huawei", "RECORD_FILE_COMPLETE"),
        ("huawei", "RECORD_FILE_COMPLETE-url-only"),
        ("huawei", "RECORD_NEW_FILE_START"),
        ("huawei", "CLOUD_RECORD_OVER"),
        ("volcengine", "RecordStarted"),
        ("volcengine", "RecordUploadProcessing"),
        ("volcengine", "RecordAudioStreamStateChanged"),
        ("volcengine", "SegmentRealTimeData"),
        ("volcengine", "TranscodeStarted"),
    ],
)
def test_every_vendors_event_tells_of_a_further_field(vendor: str, name: str) -> None:
    body = (FIXTURES / vendor / f"{name}.json").read_bytes()
    told = json.loads(COUNTERPARTS[vendor].content(body)) | {"Further": 1}
    with drift.noting() as noted:
        read(vendor, COUNTERPARTS[vendor].wrap(json.dumps(told).encode(), like=body))
    assert noted == {("unknown", "Further")}


def test_who_does_not_ask_is_told_nothing() -> None:
    drift.note("unknown", ["Codec"])
    with drift.noting() as outer:
        with drift.noting() as inner:
            drift.note("wrong", ["Size"])
        drift.note("unknown", ["x" * 65, "a b", "\ud800"])
    assert inner == {("wrong", "Size")}
    assert outer == {("unknown", drift.NO_NAME)}
    assert not drift.is_asked()
