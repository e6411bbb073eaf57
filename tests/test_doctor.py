"""The doctor: what endangers a promise is found, with what to do about it, and nothing is changed by looking."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from callbacks import file_created, incoming
from conftest import API_TOKEN, TOKEN
from program import free_port
from sqlalchemy import update
from terminal import typed

from handlers import tables
from handlers.clock import now_ms
from handlers.doctor import premises
from handlers.events import Delivery
from handlers.keeping.deliveries import Entry
from handlers.keeping.spool import Spool

if TYPE_CHECKING:
    from handlers.database import Database
    from handlers.inbox import Inbox

ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ONLY_POSTGRES = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def examined(environ: dict[str, str], *, code: int, options: tuple[str, ...] = ()) -> dict[str, list[dict[str, Any]]]:
    """Run the doctor, and return its findings by what was looked at."""
    done = typed("doctor", "--json", *options, environ=environ)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(done.stdout):
        assert set(one) == {"check", "level", "says", "do"}
        assert one["level"] in {"ok", "warn", "fail"}
        assert one["do"] or one["level"] == "ok", one
        found.setdefault(one["check"], []).append(one)
    return found


def level(found: dict[str, list[dict[str, Any]]], check: str) -> str:
    (one,) = found[check]
    return str(one["level"])


@pytest.mark.usefixtures("database")
def test_an_installation_in_order_fails_nothing(environ: dict[str, str]) -> None:
    found = examined(environ, code=0)
    for check in ("settings", "secrets", "clock", "data", "database", "database.version", "migrations", "spool"):
        assert level(found, check) == "ok", found[check]
    for check in ("worker", "quarantine", "clock.deliveries"):
        assert level(found, check) == "ok", found[check]
    if environ["DATABASE_URL"].startswith("sqlite"):
        assert level(found, "database.journal_mode") == level(found, "database.synchronous") == "ok"
    else:
        for check in ("synchronous_commit", "fsync", "full_page_writes", "encoding", "primary"):
            assert level(found, f"database.{check}") == "ok", found[f"database.{check}"]
        assert level(found, "clock.database") == "ok"


def test_before_the_first_start_the_doctor_makes_nothing(tmp_path: Path) -> None:
    found = examined({"REELHOOK_DATA": str(tmp_path / "data")}, code=0)
    assert "first start" in found["database"][0]["says"]
    assert not (tmp_path / "data").exists()


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
def test_people_read_findings_and_what_to_do(environ: dict[str, str]) -> None:
    done = typed("doctor", environ=environ)
    assert done.returncode == 0
    assert "-> set REELHOOK_PUBLIC_URL" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("0 to mend, ")


def test_every_mistake_in_the_settings_is_a_finding(tmp_path: Path) -> None:
    environ = {"REELHOOK_DATA": str(tmp_path / "data"), "PORT": "high", "REELHOOK_LOG": "loud"}
    found = examined(environ, code=1)
    assert [one["says"].split(":")[0] for one in found["settings"]] == ["PORT", "REELHOOK_LOG"]


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
def test_weak_secrets_and_open_doors_are_warned_of(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short-one")
    (tmp_path / "token").chmod(0o644)
    (tmp_path / "reelhook.toml").write_text(
        '[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["file:token", "env:LESSONS_TOKEN"]\n'
    )
    (tmp_path / "data").chmod(0o755)
    changed = {
        "REELHOOK_API_TOKENS": "guess-me",
        "REELHOOK_PUBLIC_URL": "http://hooks.example.com",
        "REELHOOK_TRUSTED_PROXIES": "*",
    }
    found = examined(environ | changed, code=0)
    assert [one["level"] for one in found["secrets.strength"]] == ["warn", "warn"]
    for check in ("secrets.file", "data.mode", "public_url", "trusted_proxies"):
        assert level(found, check) == "warn", found[check]
    text = json.dumps(found)
    assert "short-one" not in text
    assert "guess-me" not in text
    assert TOKEN not in text


@ONLY_SQLITE
def test_a_database_without_tables_fails(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "data" / "reelhook.db").touch()
    found = examined(environ, code=1)
    assert level(found, "migrations") == "fail"
    assert "reelhook migrate" in found["migrations"][0]["do"]


@ONLY_SQLITE
def test_a_file_that_is_no_database_fails(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "data" / "reelhook.db").write_bytes(b"this is no database" * 100)
    assert level(examined(environ, code=1), "database") == "fail"


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
def test_a_server_that_is_away_fails_without_its_password(environ: dict[str, str]) -> None:
    away = environ | {"DATABASE_URL": f"postgresql://postgres:hidden@127.0.0.1:{free_port()}/nowhere"}
    found = examined(away, code=1)
    assert level(found, "database") == "fail"
    assert "hidden" not in json.dumps(found)
    assert level(found, "spool") == "ok"


def test_a_folder_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (only,) = premises.examine_folder(tmp_path / "file" / "data", name="REELHOOK_DATA", holds_sqlite=True)
    assert (only.check, only.level) == ("data", "fail")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="/proc is where not even root can write")
def test_a_folder_that_can_not_be_written_fails() -> None:
    (only,) = premises.examine_folder(Path("/proc/data"), name="REELHOOK_DATA", holds_sqlite=True)
    assert (only.check, only.level) == ("data", "fail")


@ONLY_POSTGRES
@pytest.mark.usefixtures("database")
def test_a_server_that_only_reads_is_found(environ: dict[str, str]) -> None:
    name = environ["DATABASE_URL"].rsplit("/", 1)[1]
    with psycopg.connect(environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    assert level(examined(environ, code=1), "database.read_only") == "fail"


@ONLY_POSTGRES
def test_a_database_of_another_encoding_fails(environ: dict[str, str]) -> None:
    name = environ["DATABASE_URL"].rsplit("/", 1)[1] + "_ascii"
    with psycopg.connect(environ["DATABASE_URL"], autocommit=True) as connection:
        how = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        connection.execute(f"CREATE DATABASE {name} {how}".encode())
    try:
        found = examined(environ | {"DATABASE_URL": environ["DATABASE_URL"] + "_ascii"}, code=1)
        assert level(found, "database.encoding") == "fail"
    finally:
        with psycopg.connect(environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_deliveries_that_nobody_processes_fail(inbox: Inbox, database: Database, environ: dict[str, str]) -> None:
    inbox.accept(incoming(file_created(), token=TOKEN))
    assert level(examined(environ, code=0), "worker") == "ok"
    inbox.accept(incoming(b"garbage", token=TOKEN))
    with database.write() as connection:
        connection.execute(update(tables.deliveries).values(received_at=now_ms() - 300_000))
    found = examined(environ, code=1)
    assert level(found, "worker") == "fail"
    assert "reelhook work" in found["worker"][0]["do"]
    assert level(found, "quarantine") == "warn"


@ONLY_SQLITE
def test_a_delivery_from_the_future_tells_of_a_wrong_clock(
    inbox: Inbox, database: Database, environ: dict[str, str]
) -> None:
    inbox.accept(incoming(file_created(), token=TOKEN))
    with database.write() as connection:
        connection.execute(update(tables.deliveries).values(received_at=now_ms() + 3_600_000))
    assert level(examined(environ, code=0), "clock.deliveries") == "warn"


def _entry(number: int) -> Entry:
    delivery = Delivery(
        id=f"dlv_{number}",
        account="lessons",
        vendor="aliyun",
        door="http",
        received_at=now_ms(),
        headers={},
        body=b"{}",
    )
    return Entry(delivery=delivery, keys=(f"key:{number}",))


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
def test_what_the_spool_holds_is_told_and_can_be_put_back_in_line(environ: dict[str, str], tmp_path: Path) -> None:
    spool = Spool(tmp_path / "data" / "spool.db")
    entries = [_entry(number) for number in range(3)]
    spool.put([(entries[0], None), (entries[1], "refused"), (entries[2], "refused")])
    found = examined(environ, code=0)
    assert (level(found, "spool"), level(found, "spool.refused")) == ("warn", "warn")
    assert "--retry-spool" in found["spool.refused"][0]["do"]
    again = examined(environ, code=0, options=("--retry-spool",))
    assert "spool.refused" not in again
    assert spool.depth() == (3, 0)
    spool.close()


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
def test_a_damaged_spool_fails(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "data" / "spool.db").write_bytes(b"this is no database" * 100)
    assert level(examined(environ, code=1), "spool") == "fail"


@ONLY_POSTGRES
@pytest.mark.usefixtures("database")
def test_a_spool_that_is_off_beside_a_server_is_warned_of(environ: dict[str, str]) -> None:
    assert level(examined(environ | {"REELHOOK_SPOOL": "off"}, code=0), "spool") == "warn"


@pytest.mark.parametrize(
    ("free", "expected"), [(10, "fail"), (premises.LEAST_FREE, "warn"), (premises.LOW_FREE, "ok")], ids=str
)
def test_a_disk_that_runs_full_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, expected: str
) -> None:
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    found = {one.check: one for one in premises.examine_folder(tmp_path, name="REELHOOK_DATA", holds_sqlite=True)}
    assert found["data.disk"].level == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ext4", "ok"),
        ("nfs4", "fail"),
        ("cifs", "fail"),
        ("fuse.sshfs", "warn"),
        ("tmpfs", "warn"),
        ("overlay", "warn"),
    ],
)
def test_a_file_system_that_does_not_hold_its_promises_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, expected: str
) -> None:
    mounts = tmp_path / "mountinfo"
    root = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"
    mounts.write_text(f"{root}\n30 22 0:5 / {tmp_path.parent} rw - {kind} server:/x rw\n")
    monkeypatch.setattr(premises, "_MOUNTS", mounts)
    assert premises.file_system(tmp_path) == kind
    found = {one.check: one for one in premises.examine_folder(tmp_path, name="REELHOOK_DATA", holds_sqlite=True)}
    assert found["data.file_system"].level == expected
    monkeypatch.setattr(premises, "_MOUNTS", tmp_path / "missing")
    assert premises.file_system(tmp_path) is None


def test_api_token_is_not_among_the_findings(environ: dict[str, str]) -> None:
    assert API_TOKEN not in typed("doctor", environ=environ).stdout
