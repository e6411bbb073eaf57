"""Whether the database keeps what was answered: its version, and the settings on which promise 1 rests.

Looked at through Reelhook's own connections, so that what they set themselves counts.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from handlers import migrate, tables
from handlers.clock import now_ms
from handlers.doctor.findings import Finding, fail, ok, warn
from handlers.errors import DatabaseAway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from handlers.database import Database

OLDEST_SQLITE = (3, 35, 0)
OLDEST_POSTGRES = 130000
#: milliseconds by which the database's clock, or the newest delivery, may differ from this machine's
MOST_SKEW_MS = 2_000
_PATIENCE = 5.0
_FULL = 2


def examine_database(database: Database, shown_url: str) -> list[Finding]:
    """Look at the database; nothing is written, and a SQLite file that isn't there is not made."""
    if database.is_sqlite and not Path(database.url.database or "").exists():
        return [ok("database", f"{shown_url} is not there yet; the first start makes it")]
    try:
        with database.read(patience=_PATIENCE) as connection:
            look = _sqlite if database.is_sqlite else _postgres
            found = [ok("database", f"{shown_url} answers"), *look(connection)]
        return [*found, *_migrations(database)]
    except DatabaseAway as exc:
        engine = "that the file can be read and written, and its disk is not full"
        server = "that the server runs, and address, user and password in DATABASE_URL"
        return [fail("database", f"{shown_url}: {exc}", f"check {engine if database.is_sqlite else server}")]
    except SQLAlchemyError as exc:
        what = getattr(exc, "orig", exc)
        return [fail("database", f"{shown_url} refuses a question: {what}", "check the rights of the database's user")]


def _sqlite(connection: Connection) -> Iterator[Finding]:
    version = ".".join(map(str, OLDEST_SQLITE))
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        says = f"SQLite {sqlite3.sqlite_version} is older than {version}"
        yield fail("database.version", says, "run Reelhook with a Python that brings a newer SQLite")
    else:
        yield ok("database.version", f"SQLite {sqlite3.sqlite_version} (needed: {version})")
    journal = str(_one(connection, "PRAGMA journal_mode"))
    if journal == "wal":
        yield ok("database.journal_mode", "journal_mode is WAL")
    else:
        does = "put the data folder on a local disk; SQLite can't use WAL where memory can't be shared"
        yield fail("database.journal_mode", f"journal_mode is {journal}, not WAL: answers wait for readers", does)
    synchronous = int(_one(connection, "PRAGMA synchronous"))
    if synchronous >= _FULL:
        yield ok("database.synchronous", "synchronous is FULL: a commit is on disk")
    else:
        says = f"synchronous is {synchronous}, not FULL: an answered delivery can be lost when the power fails"
        yield fail("database.synchronous", says, "report this: Reelhook sets it on each of its connections")


def _postgres(connection: Connection) -> Iterator[Finding]:
    before = now_ms()
    server_ms = int(_one(connection, "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"))
    yield _skew(server_ms, before, now_ms())
    settings = {row.name: row.setting for row in connection.execute(text("SELECT name, setting FROM pg_settings"))}
    number = int(settings["server_version_num"])
    shown = settings.get("server_version", str(number))
    if number < OLDEST_POSTGRES:
        yield fail("database.version", f"PostgreSQL {shown} is older than 13", "move to a newer PostgreSQL")
    else:
        yield ok("database.version", f"PostgreSQL {shown} (needed: 13)")
    yield from _promises(settings)
    yield from _conditions(settings)
    if _one(connection, "SELECT pg_is_in_recovery()"):
        does = "point DATABASE_URL at the primary"
        yield fail("database.primary", "the server is a standby in recovery: nothing can be written", does)
    else:
        yield ok("database.primary", "the server takes writes")


def _promises(settings: dict[str, str]) -> Iterator[Finding]:
    """Look at what makes a commit outlive a crash."""
    commit = settings["synchronous_commit"]
    if commit in {"on", "remote_apply"}:
        yield ok("database.synchronous_commit", f"synchronous_commit is {commit}: a commit is on disk")
    else:
        says = f"synchronous_commit is {commit}: an answered delivery can be lost when the server crashes"
        yield fail("database.synchronous_commit", says, "take it out of what forces it, such as a connection pooler")
    for name, loss in (
        ("fsync", "a crash of the machine can lose or damage everything"),
        ("full_page_writes", "a crash of the machine can damage pages that were half written"),
    ):
        if settings[name] == "on":
            yield ok(f"database.{name}", f"{name} is on")
        else:
            yield fail(f"database.{name}", f"{name} is off: {loss}", f"set {name} = on in postgresql.conf and restart")


def _conditions(settings: dict[str, str]) -> Iterator[Finding]:
    """Look at what our statements take for granted."""
    if "client_connection_check_interval" in settings:
        says = "client_connection_check_interval is known: a dead client's statement ends"
        yield ok("database.client_connection_check_interval", says)
    else:
        says = (
            "client_connection_check_interval is not known before PostgreSQL 14: a dead client's statement may end late"
        )
        yield warn("database.client_connection_check_interval", says, "move to PostgreSQL 14 or newer when you can")
    if settings["default_transaction_read_only"] == "on":
        does = "ALTER ROLE ... RESET default_transaction_read_only (or of the database, or in postgresql.conf)"
        yield fail("database.read_only", "default_transaction_read_only is on: nothing can be written", does)
    if settings["autovacuum"] == "off":
        says = "autovacuum is off: tables grow, and questions become slow because the planner does not know the tables"
        yield warn("database.autovacuum", says, "set autovacuum = on in postgresql.conf, and run ANALYZE once")
    else:
        yield ok("database.autovacuum", "autovacuum is on")
    encoding = settings["server_encoding"]
    if encoding == "UTF8":
        yield ok("database.encoding", "the database's encoding is UTF8")
    else:
        says = f"the database's encoding is {encoding}: names in other scripts are refused"
        yield fail("database.encoding", says, "create the database anew with ENCODING 'UTF8' TEMPLATE template0")


def _skew(server_ms: int, before: int, after: int) -> Finding:
    """Compare clocks; the answer took some time, anywhere in which the server may have looked at its clock."""
    skew = max(before - server_ms, server_ms - after, 0)
    if skew <= MOST_SKEW_MS:
        return ok("clock.database", "the database's clock and this machine's agree")
    says = f"the database's clock and this machine's differ by {skew / 1000:.1f} s"
    return warn("clock.database", says, "let both machines take their time from NTP")


def _migrations(database: Database) -> Iterator[Finding]:
    at, newest = migrate.current(database), migrate.newest()
    with database.read(patience=_PATIENCE) as connection:
        is_ready = migrate.is_ready(connection)
    if not is_ready:
        says = f"the tables are at revision {at or 'none'}, this version needs {newest}"
        yield fail("migrations", says, "run `reelhook migrate`, or start with REELHOOK_MIGRATE=auto")
        return
    newer = "" if at == newest else ", which a newer version made and this one can use"
    yield ok("migrations", f"the tables are at revision {at}{newer}")
    with database.read(patience=_PATIENCE) as connection:
        yield _newest_delivery(connection)


def _newest_delivery(connection: Connection) -> Finding:
    deliveries = tables.deliveries
    newest = connection.execute(select(func.max(deliveries.c.received_at))).scalar()
    ahead = 0 if newest is None else newest - now_ms()
    if ahead <= MOST_SKEW_MS:
        return ok("clock.deliveries", "no delivery was received in the future")
    says = f"the newest delivery was received {ahead / 1000:.0f} s in the future: a clock was wrong, or is"
    return warn("clock.deliveries", says, "let every machine take its time from NTP")


def _one(connection: Connection, question: str) -> Any:  # noqa: ANN401 (whatever the database answers)
    return connection.exec_driver_sql(question).scalar_one()
