"""Where the benchmark's data lies: a private folder and a database for each server, both gone at the end."""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from bench.bodies import ACCOUNT, CLASSROOM, SIGNING_KEY, TOKEN
from handlers import migrate
from handlers.database import Database
from handlers.settings import Settings, load
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SQLITE = "SQLite"
POSTGRESQL = "PostgreSQL"
_SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"
_CONFIG = f"""
[accounts.{ACCOUNT}]
vendor = "aliyun"
url_tokens = ["env:BENCH_TOKEN"]

[accounts.{CLASSROOM}]
vendor = "volcengine"
callback_secrets = ["env:BENCH_SIGNING_KEY"]
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One Reelhook's data folder and database."""

    engine: str
    folder: Path
    database_url: str

    def environ(self, port: int = 0) -> dict[str, str]:
        """Return the environment of a process that works here, free of the caller's own settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("REELHOOK_")}
        own = {
            "DATABASE_URL": self.database_url,
            "REELHOOK_DATA": str(self.folder),
            "REELHOOK_CONFIG": str(self.folder / "reelhook.toml"),
            "REELHOOK_API_TOKENS": "an-api-token-of-the-benchmark-0123456789",
            "BENCH_TOKEN": TOKEN,
            "BENCH_SIGNING_KEY": SIGNING_KEY,
            "PORT": str(port),
        }
        return {name: value for name, value in kept.items() if name != "WEB_CONCURRENCY"} | own

    def settings(self, port: int = 0) -> Settings:
        """Return the settings of that environment."""
        return load(self.environ(port), vendors=tuple(VENDORS))

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """Open the database for the benchmark itself."""
        database = Database(self.database_url, pool_size=1)
        try:
            yield database
        finally:
            database.close()


@contextmanager
def made(engine: str, names: Sequence[str], root: Path) -> Iterator[dict[str, Place]]:
    """Make one place for each name, with empty tables."""
    with ExitStack() as stack:
        places = {}
        for name in names:
            folder = root / f"{engine.lower()}-{name.replace(' ', '-')}"
            folder.mkdir()
            (folder / "reelhook.toml").write_text(_CONFIG)
            url = f"sqlite:///{folder}/reelhook.db"
            if engine == POSTGRESQL:
                url = stack.enter_context(_database_on_server())
            place = Place(engine=engine, folder=folder, database_url=url)
            # As settings write it, with the driver's name.
            places[name] = Place(engine=engine, folder=folder, database_url=place.settings().database_url)
            with places[name].opened() as database:
                migrate.upgrade(database)
        yield places


@contextmanager
def _database_on_server() -> Iterator[str]:
    name = f"reelhook_bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(_server(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield f"{_server().rsplit('/', 1)[0]}/{name}"
    finally:
        with psycopg.connect(_server(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _server() -> str:
    return os.environ.get("REELHOOK_TEST_POSTGRES") or _SERVER


def why_no_postgres() -> str | None:
    """Return why PostgreSQL can't be measured, or None."""
    try:
        psycopg.connect(_server(), connect_timeout=3).close()
    except psycopg.Error as exc:
        return f"no PostgreSQL answers ({str(exc).strip()}); REELHOOK_TEST_POSTGRES names a server to use"
    return None
