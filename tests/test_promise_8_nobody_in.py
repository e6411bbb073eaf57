"""Promise 8: what is not authentic is refused, visible with its reason, bounded in bytes and rate, and releasable."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from callbacks import file_created, incoming
from conftest import API_TOKEN, TOKEN
from sqlalchemy import func, select

from handlers import tables
from handlers.database import Database
from handlers.errors import BadToken, NotReleasable, RefusedDelivery, TooLarge, UnknownAccount
from handlers.inbox.processing import Processor
from handlers.inbox.refusals import Refusals, release
from handlers.inbox.releasing import preview_release, release_matching
from handlers.questions import list_refusals, show_refusal
from handlers.questions.filters import Filters, Page
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import RowMapping

    from handlers.inbox import Inbox
    from handlers.settings import Settings

OLD_TOKEN = "an-old-token-for-lessons-9876543210"


@contextmanager
def refusing(database: Database, budget: int = 64 * 1024) -> Iterator[Refusals]:
    """Write refusals in the background, and all of them before going on."""
    refusals = Refusals(database, VENDORS, budget=budget)
    refusals.start()
    yield refusals
    refusals.close()


def rows(database: Database) -> list[RowMapping]:
    with database.read() as connection:
        return list(connection.execute(select(tables.refusals).order_by(tables.refusals.c.id)).mappings())


def refuse(database: Database, *bodies: bytes, why: RefusedDelivery | None = None, **changed: Any) -> list[str]:
    """Refuse these bodies, and return the ids of the refusals."""
    with refusing(database, budget=8 * 1024 * 1024) as refusals:
        for body in bodies:
            refusals.record(incoming(body, token="wrong", **changed), why or BadToken())
    return [row["id"] for row in rows(database)]


def test_a_refusal_shows_its_reason_and_what_came_but_no_secret(database: Database) -> None:
    headers = {
        "content-type": "text/plain",
        "authorization": f"Bearer {API_TOKEN}",
        "cookie": f"token={TOKEN}",
        "x-api-key": TOKEN,
        "token": TOKEN,
        "referer": f"https://hooks.example.com/callbacks/aliyun/lessons?token={TOKEN}&x=y",
        "x-original-uri": f"/callbacks/aliyun/lessons?a=b&Token={TOKEN}",
        "x-note": f"the other one is {OLD_TOKEN}.",
    }
    body = file_created(1)
    with refusing(database) as refusals:
        refusals.record(incoming(body, token=OLD_TOKEN, headers=headers), BadToken("the token is wrong; expected so"))
    with database.read() as connection:
        (item,) = list_refusals(connection, Filters(reason=("bad_token",)), Page()).items
        shown = show_refusal(connection, item["id"])
    assert (item["account"], item["vendor"], item["door"]) == ("lessons", "aliyun", "http")
    assert (item["reason"], item["detail"]) == ("bad_token", "the token is wrong; expected so")
    assert shown is not None
    assert shown["body"] == body.decode()
    assert shown["headers"] == {
        "content-type": "text/plain",
        "referer": "https://hooks.example.com/callbacks/aliyun/lessons?token=...&x=y",
        "x-original-uri": "/callbacks/aliyun/lessons?a=b&Token=...",
        "x-note": "the other one is ....",
    }


def test_a_delivery_keeps_no_secret_that_a_proxy_repeats(inbox: Inbox, database: Database) -> None:
    headers = {"x-forwarded-uri": f"/callbacks/aliyun/lessons?token={TOKEN}", "referer": f"https://x/{TOKEN}"}
    inbox.accept(incoming(file_created(), token=TOKEN, headers=headers))
    with database.read() as connection:
        stored = connection.execute(select(tables.deliveries.c.headers)).scalar_one()
    assert TOKEN.encode() not in stored
    assert json.loads(stored) == {"x-forwarded-uri": "/callbacks/aliyun/lessons?token=...", "referer": "https://x/..."}


def test_what_is_not_well_formed_keeps_no_body_and_cannot_be_released(database: Database, settings: Settings) -> None:
    (refusal,) = refuse(database, b"not a callback")
    assert rows(database)[0]["body"] is None
    with pytest.raises(NotReleasable, match="not well-formed"):
        release(database, settings, VENDORS, refusal)


def test_a_long_body_is_kept_without_a_look_at_it_and_read_once_it_is_released(
    database: Database, settings: Settings
) -> None:
    body = b"[" * 20_000
    (refusal,) = refuse(database, body)
    assert rows(database)[0]["body"] == body
    accepted = release(database, settings, VENDORS, refusal)
    assert accepted.quarantined == "the body nests too deep to be read; expected a flat JSON object"


def test_a_flood_stays_within_the_bytes_of_its_account_and_reason(database: Database) -> None:
    budget = 64 * 1024
    with refusing(database, budget) as refusals:
        until = time.monotonic() + 3.2
        number = 0
        while time.monotonic() < until:
            body = file_created(number, Filler="x" * 6000)
            refusals.record(incoming(body, token="wrong"), BadToken())
            refusals.record(incoming(b"", token="wrong", vendor="", account=""), UnknownAccount())
            number += 1
            time.sleep(0.005)
    found = rows(database)
    sizes: dict[tuple[str, str], int] = {}
    for row in found:
        place = (row["account"], row["reason"])
        sizes[place] = sizes.get(place, 0) + row["size_bytes"]
        assert row["size_bytes"] >= len(row["body"] or b"") + len(row["headers"])
    assert set(sizes) == {("lessons", "bad_token"), ("", "unknown_account")}
    assert max(sizes.values()) <= budget
    kept = [int(json.loads(row["body"])["MsgId"].removeprefix("msg-")) for row in found if row["body"]]
    assert kept == sorted(kept)
    assert len(kept) >= 5
    assert kept[0] > 20, "the oldest made room"


def test_a_flood_is_written_at_a_bounded_rate_and_never_waited_for(database: Database) -> None:
    with refusing(database, budget=64 * 1024 * 1024) as refusals:
        for number in range(5000):
            refusals.record(incoming(file_created(number), token="wrong"), BadToken())
        refusals.record(incoming(file_created(), token="wrong"), TooLarge())
    found = rows(database)
    assert 20 <= sum(row["reason"] == "bad_token" for row in found) <= 100
    assert sum(row["reason"] == "too_large" for row in found) == 1, "one flood hides no other reason"


def test_a_flood_of_large_bodies_waits_in_bounded_memory() -> None:
    refusals = Refusals(
        Database("postgresql+psycopg://postgres@127.0.0.1:1/postgres"), VENDORS
    )  # not started: nothing is written
    body = bytes(1024 * 1024)
    for number in range(200):
        refusals.record(incoming(body, token="wrong", account=f"account-{number}"), BadToken())
    waiting = refusals._waiting.qsize()
    assert 1 <= waiting <= 8


def test_refusing_goes_on_when_the_database_comes_back(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE refusals RENAME TO elsewhere")
    with refusing(database) as refusals:
        refusals.record(incoming(file_created(), token="wrong"), BadToken())
        time.sleep(0.6)
        with database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO refusals")
        refusals.record(incoming(file_created(), token="wrong"), TooLarge())
    assert [row["reason"] for row in rows(database)] == ["too_large"]


def test_a_well_formed_refusal_can_be_released_and_is_one_recording_once(
    inbox: Inbox, database: Database, settings: Settings
) -> None:
    (refusal,) = refuse(database, file_created(7))
    accepted = release(database, settings, VENDORS, refusal)
    with pytest.raises(NotReleasable, match=accepted.delivery):
        release(database, settings, VENDORS, refusal)
    again = inbox.accept(incoming(file_created(7), token=TOKEN)).accepted
    assert (again.is_repeat, again.delivery) == (True, accepted.delivery)
    processor = Processor(database, settings, VENDORS)
    while processor.process():
        pass
    with database.read() as connection:
        assert connection.execute(select(tables.recordings.c.task_id)).scalars().all() == ["task-00000007"]
        delivery = connection.execute(select(tables.deliveries)).mappings().one()
    assert bytes(delivery["body"]) == file_created(7)
    assert delivery["received_at"] == rows(database)[0]["received_at"]
    assert rows(database)[0]["released"] == accepted.delivery


def test_releasing_at_once_keeps_one(database: Database, settings: Settings) -> None:
    (refusal,) = refuse(database, file_created(7))
    released, refused = [], []

    def let_go() -> None:
        try:
            released.append(release(database, settings, VENDORS, refusal))
        except NotReleasable:
            refused.append(1)

    threads = [threading.Thread(target=let_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(released), len(refused)) == (1, 7)
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(tables.deliveries)).scalar() == 1


def test_many_are_released_by_filter_with_a_count_first(database: Database, settings: Settings) -> None:
    refuse(database, *[file_created(number) for number in range(5)], b"malformed")
    refuse(database, file_created(9), account="gone")
    lessons = Filters(account=("lessons",))
    with database.read() as connection:
        assert preview_release(connection, lessons) == (5, False)
        assert preview_release(connection, Filters()) == (6, False)
    done = release_matching(database, settings, VENDORS, Filters())
    assert (done.count, done.more) == (5, False)
    assert ["account gone" in why and "add it first" in why for why in done.failed.values()] == [True]
    with database.read() as connection:
        assert preview_release(connection, lessons) == (0, False)
