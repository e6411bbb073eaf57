"""What most tests stand on: a migrated database on each engine, settings with one account, an inbox."""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from handlers.database import Database
from handlers.inbox import Inbox
from handlers.keeping.keeper import Keeper
from handlers.keeping.spool import Spool
from handlers.migrate import upgrade
from handlers.settings import Settings, load
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a-token-for-the-lessons-account-0123456789"
API_TOKEN = "an-api-token-0123456789abcdef0123456789"
# Every program that a test starts would compile all it imports anew where the environment forbids to keep it.
if os.environ.get("PYTHONDONTWRITEBYTECODE"):
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""
    os.environ.setdefault("PYTHONPYCACHEPREFIX", f"{tempfile.gettempdir()}/reelhook-test-compiled-{os.geteuid()}")
_SERVER = os.environ.get("REELHOOK_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")


def _postgres_answers() -> bool:
    try:
        psycopg.connect(_SERVER, connect_timeout=3).close()
    except psycopg.Error:
        return False
    return True


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """Return the URL of a server on which databases may be made."""
    if not _postgres_answers():
        pytest.skip("no PostgreSQL answers; set REELHOOK_TEST_POSTGRES to a URL where databases may be made")
    return _SERVER


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """Make a database on the server, and drop it afterwards, whoever is still connected."""
    name = f"reelhook_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield server.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Make a database for one test, and drop it."""
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database, on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data/reelhook.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def environ(database_url: str, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a Reelhook with one Alibaba account, `lessons`."""
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    config = tmp_path / "reelhook.toml"
    if not config.exists():
        config.write_text('[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN"]\n')
    return {
        "DATABASE_URL": database_url,
        "REELHOOK_DATA": str(data),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    """Return the settings of that environment."""
    return load(environ, vendors=tuple(VENDORS))


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """Return a migrated, empty database, on each engine in turn."""
    opened = Database(settings.database_url)
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
def keeper(settings: Settings, database: Database) -> Iterator[Keeper]:
    """Return a keeper at work."""
    spool = Spool(settings.spool) if settings.spool else None
    working = Keeper(database, spool)
    working.start()
    yield working
    working.close()
    if spool:
        spool.close()


@pytest.fixture
def inbox(settings: Settings, keeper: Keeper) -> Inbox:
    """Return an inbox that keeps into the database."""
    return Inbox(settings, VENDORS, keeper)
