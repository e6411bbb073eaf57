"""The inbox: a delivery is kept once, whole, and before anybody thinks about it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from callbacks import SAMPLE, file_created, incoming
from conftest import TOKEN
from sqlalchemy import func, select

from handlers import tables
from handlers.database import Database
from handlers.errors import BadToken
from handlers.inbox import useful_headers
from handlers.inbox.processing import Processor
from handlers.migrate import newest, upgrade
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from handlers.inbox import Inbox
    from handlers.settings import Settings


def test_a_delivery_is_kept_byte_for_byte(inbox: Inbox, database: Database) -> None:
    body = file_created()
    receipt = inbox.accept(incoming(body, token=TOKEN))
    with database.read() as connection:
        row = connection.execute(select(tables.deliveries)).mappings().one()
    assert bytes(row["body"]) == body
    assert row["id"] == receipt.accepted.delivery
    assert not receipt.accepted.is_repeat


def test_a_refused_delivery_is_not_kept(inbox: Inbox, database: Database) -> None:
    with pytest.raises(BadToken):
        inbox.accept(incoming(file_created(), token="wrong"))
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(tables.deliveries)).scalar() == 0


def test_identical_deliveries_at_once_are_one_with_its_repeats_counted(inbox: Inbox, database: Database) -> None:
    body = file_created()
    receipts = []
    threads = [
        threading.Thread(target=lambda: receipts.append(inbox.accept(incoming(body, token=TOKEN)))) for _ in range(64)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 64
    assert sum(not receipt.accepted.is_repeat for receipt in receipts) == 1
    assert len({receipt.accepted.delivery for receipt in receipts}) == 1
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(tables.deliveries)).scalar() == 1
        assert connection.execute(select(tables.seen.c.repeats)).scalar() == 63


def test_a_kept_delivery_becomes_a_recording(inbox: Inbox, database: Database, settings: Settings) -> None:
    inbox.accept(incoming(file_created(1), token=TOKEN))
    inbox.accept(incoming(b"not json", token=TOKEN))
    assert Processor(database, settings, VENDORS).process() == 1
    with database.read() as connection:
        recording = connection.execute(select(tables.recordings)).mappings().one()
        task = connection.execute(select(tables.tasks)).mappings().one()
        counted = select(tables.inbox.c.state, func.count()).group_by(tables.inbox.c.state)
        states = {row[0]: row[1] for row in connection.execute(counted)}
    assert recording["bucket"] == "rtc-record"
    assert recording["region"] == "cn-shanghai"
    assert recording["duration_ms"] == 1_792_257
    assert recording["app_id"] == SAMPLE["AppId"]
    assert recording["state"] == "available"
    assert task["recording_count"] == 1
    assert task["recorded_ms"] == 1_792_000
    assert states == {"processed": 1, "quarantined": 1}


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Cookie",
        "X-Api-Key",
        "X-Amzn-Oidc-Data",
        "X-Goog-Iap-Jwt-Assertion",
        "Cf-Access-Jwt-Assertion",
        "X-Auth-Key",
        "X-Access-Key",
        "X-Session-Id",
        "X-Functions-Key",
        "X-Ms-Client-Principal",
        "X-Forwarded-Client-Cert",
    ],
)
def test_no_header_that_holds_credentials_is_kept(name: str) -> None:
    came = incoming(b"{}", token=TOKEN, headers={name.lower(): "somebody's", "x-request-id": "r1"})
    assert useful_headers(came) == {"x-request-id": "r1"}


def test_what_proves_a_delivery_is_kept_whatever_stands_before_it() -> None:
    padding = {f"x-padding-{number}": "x" * 8000 for number in range(3)}
    came = incoming(b"{}", token=TOKEN, headers={**padding, "x-rtc-timestamp": "1790000000"})
    kept = useful_headers(came, VENDORS["huawei"].proofs)
    assert kept["x-rtc-timestamp"] == "1790000000"
    assert "x-padding-2" not in kept


def test_a_writer_that_hangs_keeps_no_door_shut_where_nothing_is_to_be_migrated(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("a server has no such lock")
    other = Database(database.url.render_as_string())
    with database.write_lock.held(1):
        assert upgrade(other)[0] == newest()
    other.close()
