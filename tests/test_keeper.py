"""The keeper: one bad row costs its neighbours nothing, and what the database won't have now waits in the spool."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from callbacks import file_created, incoming
from conftest import TOKEN
from program import wait_until
from sqlalchemy import select, text

from handlers import tables
from handlers.clock import now_ms
from handlers.database import Database
from handlers.errors import StoreUnavailable
from handlers.inbox import Inbox, entry_of
from handlers.keeping.keeper import Keeper
from handlers.keeping.spool import Spool
from handlers.migrate import upgrade
from handlers.observation import observe
from handlers.vendors import VENDORS
from webhook.app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handlers.keeping.deliveries import Accepted, Entry
    from handlers.settings import Settings

_HOW_POSTGRES_REFUSES = {
    "a constraint": "RAISE EXCEPTION 'the bad row' USING ERRCODE = 'check_violation'",
    "a trigger of the user's": "RAISE EXCEPTION 'the bad row'",
}


def _refuse(database: Database, body: bytes, how: str = "a constraint") -> None:
    """Let the database refuse a delivery with this body."""
    with database.write() as connection:
        if database.is_sqlite:
            connection.execute(
                text(
                    f"CREATE TRIGGER refuse BEFORE INSERT ON deliveries WHEN NEW.body = X'{body.hex()}' "
                    "BEGIN SELECT RAISE(ABORT, 'the bad row'); END"
                )
            )
            return
        connection.exec_driver_sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF NEW.body = '\\x{body.hex()}'::bytea THEN {_HOW_POSTGRES_REFUSES[how]}; END IF; RETURN NEW; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION refuse()"
        )


def _stop_refusing(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(
            "DROP TRIGGER refuse" if database.is_sqlite else "DROP TRIGGER refuse ON deliveries",
        )


def _entry(settings: Settings, body: bytes) -> Entry:
    """Return the delivery as the inbox hands it to the keeper."""
    account = settings.account("aliyun", "lessons")
    assert account is not None
    arrived = incoming(body, token=TOKEN)
    vendor = VENDORS["aliyun"]
    return entry_of(arrived, vendor.verify(arrived, account).keys, vendor, account)


def _kept(database: Database) -> list[bytes]:
    with database.read() as connection:
        return [bytes(body) for body in connection.execute(select(tables.deliveries.c.body)).scalars()]


def _accepted(results: Sequence[Accepted | Exception]) -> list[Accepted]:
    assert not [result for result in results if isinstance(result, Exception)]
    return [result for result in results if not isinstance(result, Exception)]


@pytest.fixture
def spool(settings: Settings) -> Iterator[Spool]:
    assert settings.spool is not None
    opened = Spool(settings.spool)
    yield opened
    opened.close()


@pytest.mark.parametrize("how", sorted(_HOW_POSTGRES_REFUSES))
def test_a_row_that_the_database_refuses_costs_its_neighbours_nothing(
    how: str, settings: Settings, database: Database, keeper: Keeper, spool: Spool
) -> None:
    entries = [_entry(settings, file_created()) for _ in range(20)]
    bad = entries[13]
    _refuse(database, bad.delivery.body, how)
    answers = _accepted(keeper._flush(entries))
    assert [answer.delivery for answer in answers] == [entry.delivery.id for entry in entries]
    assert [answer.is_spooled for answer in answers] == [entry is bad for entry in entries]
    assert sorted(_kept(database)) == sorted(entry.delivery.body for entry in entries if entry is not bad)
    assert spool.depth() == (0, 1)
    assert keeper._connection is not None


def test_a_refused_row_is_shown_and_arrives_once_the_cause_is_mended(
    settings: Settings, database: Database, keeper: Keeper, spool: Spool, environ: dict[str, str]
) -> None:
    bad = _entry(settings, file_created())
    _refuse(database, bad.delivery.body)
    keeper._flush([bad, _entry(settings, file_created())])
    assert observe(database, spool, now=now_ms()).spool == (0, 1)
    web = create_app(settings, only="api").test_client()
    assert web.get("/readyz").get_json()["spool"] == {"waiting": 0, "set_aside": 1}
    assert "reelhook_spool_set_aside 1.0" in web.get("/metrics").text
    found = subprocess.run(
        [sys.executable, "-m", "webhook", "doctor", "--json"],
        env=environ,
        cwd=Path(__file__).parent.parent,
        check=False,
        capture_output=True,
        timeout=60,
    )
    refused = [one for one in json.loads(found.stdout) if one["check"] == "spool.refused"]
    assert [one["level"] for one in refused] == ["warn"]
    assert "refused 1 deliver" in refused[0]["says"]

    _stop_refusing(database)
    assert spool.retry() == 1
    wait_until(lambda: spool.depth() == (0, 0), what="an empty spool")
    assert bad.delivery.body in _kept(database)
    assert len(_kept(database)) == 2


def test_the_spool_keeps_why_the_database_refuses_a_row(
    settings: Settings, database: Database, keeper: Keeper, spool: Spool
) -> None:
    bad = _entry(settings, file_created())
    _refuse(database, bad.delivery.body)
    keeper._flush([bad])
    with spool._database.read() as connection:
        row = connection.execute(text("SELECT id, body, problem FROM spooled")).one()
    assert row.id == bad.delivery.id
    assert bytes(row.body) == bad.delivery.body
    assert "the bad row" in row.problem


def test_a_refused_row_in_the_spool_does_not_hold_up_those_behind_it(
    settings: Settings, database: Database, spool: Spool
) -> None:
    entries = [_entry(settings, file_created()) for _ in range(100)]
    _refuse(database, entries[0].delivery.body, "a trigger of the user's")
    spool.put([(entry, None) for entry in entries])
    with _at_work(database, spool):
        wait_until(lambda: spool.depth() == (0, 1), what="a spool with nothing but the refused row")
    assert sorted(_kept(database)) == sorted(entry.delivery.body for entry in entries[1:])


def test_what_waits_in_the_spool_arrives_once_in_its_order_and_unchanged(
    settings: Settings, database: Database, spool: Spool
) -> None:
    entries = [_entry(settings, file_created(number)) for number in range(150)]
    for start in range(0, 150, 10):
        spool.put([(entry, None) for entry in entries[start : start + 10]])
    with _at_work(database, spool), _at_work(database, Spool(spool.path)):
        wait_until(lambda: spool.depth() == (0, 0), what="an empty spool")
    with database.read() as connection:
        rows = connection.execute(select(tables.deliveries).order_by(tables.deliveries.c.id)).mappings().all()
        repeats = set(connection.execute(select(tables.seen.c.repeats)).scalars())
    assert [(row["id"], bytes(row["body"])) for row in rows] == [
        (entry.delivery.id, entry.delivery.body) for entry in entries
    ]
    assert repeats == {0}


def test_a_spooled_delivery_that_was_kept_already_is_not_its_own_repeat(
    settings: Settings, database: Database, keeper: Keeper, spool: Spool
) -> None:
    """A crash after the database's commit and before the spool forgets leaves the delivery in both."""
    entry = _entry(settings, file_created())
    keeper.keep(entry)
    spool.put([(entry, None)])
    wait_until(lambda: spool.depth() == (0, 0), what="an empty spool")
    assert _kept(database) == [entry.delivery.body]
    with database.read() as connection:
        assert connection.execute(select(tables.seen.c.repeats)).scalar() == 0


def test_a_database_without_tables_is_away_and_gets_everything_once_they_are_there(settings: Settings) -> None:
    """A server that was away at the start is migrated later; what came meanwhile has no problem of its own."""
    assert settings.spool is not None
    database, spool = Database(settings.database_url), Spool(settings.spool)
    try:
        with _at_work(database, spool) as keeper:
            bodies = [file_created() for _ in range(30)]
            for body in bodies:
                assert keeper.keep(_entry(settings, body)).is_spooled
            assert spool.depth() == (30, 0)
            upgrade(database)
            wait_until(lambda: spool.depth() == (0, 0), what="an empty spool")
        assert sorted(_kept(database)) == sorted(bodies)
    finally:
        spool.close()
        database.close()


def test_without_a_spool_a_database_that_is_away_means_that_nothing_is_answered(settings: Settings) -> None:
    database = Database(settings.database_url)
    try:
        with _at_work(database, None) as keeper, pytest.raises(StoreUnavailable, match="not kept"):
            keeper.keep(_entry(settings, file_created()))
    finally:
        database.close()


def test_requests_at_once_get_each_its_own_answer_with_a_bad_row_among_them(
    settings: Settings, database: Database, keeper: Keeper, spool: Spool
) -> None:
    bad = file_created()
    twice = file_created()
    _refuse(database, bad)
    bodies = [file_created() for _ in range(60)] + [bad, twice, twice, b"no JSON at all"]
    inbox = Inbox(settings, VENDORS, keeper)
    with ThreadPoolExecutor(len(bodies)) as threads:
        receipts = list(threads.map(lambda body: inbox.accept(incoming(body, token=TOKEN)).accepted, bodies))
    with database.read() as connection:
        kept = {row.id: bytes(row.body) for row in connection.execute(select(tables.deliveries))}
    for body, accepted in zip(bodies, receipts, strict=True):
        assert accepted.is_spooled == (body == bad)
        assert body == bad or kept[accepted.delivery] == body
        assert (accepted.quarantined is not None) == (body == b"no JSON at all")
    assert sorted(accepted.is_repeat for accepted in receipts) == [False] * 63 + [True]
    assert spool.depth() == (0, 1)


@contextmanager
def _at_work(database: Database, spool: Spool | None) -> Iterator[Keeper]:
    keeper = Keeper(database, spool)
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.close()


def test_a_server_that_isolates_otherwise_gets_our_transactions_as_they_must_be(
    database: Database, settings: Settings
) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one isolation")
    name = database.url.database
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    fresh = Database(settings.database_url)
    with fresh.read() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
    fresh.close()


def test_a_sqlite_file_that_was_moved_away_takes_no_answered_delivery_with_it(
    inbox: Inbox, keeper: Keeper, database: Database
) -> None:
    if not database.is_sqlite:
        pytest.skip("a server's files are its own")
    inbox.accept(incoming(file_created(), token=TOKEN))
    for path in Path(database.url.database or "").parent.glob("reelhook.db*"):
        path.rename(path.with_name(f"moved-{path.name}"))
    wait_until(lambda: keeper._connection is None or not database.has_moved(), what="the keeper to see it")
    receipt = inbox.accept(incoming(file_created(), token=TOKEN))
    assert receipt.accepted.is_spooled
