"""What most tests stand on: a migrated database on each engine, settings with one account, an inbox."""

from __future__ import annotations

import os
import shutil
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
def new_database(server: str, template: str = "template1") -> Iterator[str]:
    """Make a database on the server, and drop it afterwards, whoever is still connected."""
    name = f"reelhook_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    yield server.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def migrated_on_server(postgres_server: str) -> Iterator[str]:
    """Return the name of a migrated, empty database: to copy it is much quicker than to migrate another."""
    with new_database(postgres_server) as url:
        _migrate(url.replace("postgresql://", "postgresql+psycopg://", 1))
        yield url.rsplit("/", 1)[1]


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a migrated, empty database."""
    path = tmp_path_factory.mktemp("migrated") / "reelhook.db"
    _migrate(f"sqlite:///{path}")
    return path


def _migrate(url: str) -> None:
    database = Database(url, pool_size=1)
    upgrade(database)
    database.close()


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, postgres_server: str) -> Iterator[str]:
    """Make a database for one test, and drop it; it is migrated where the test asks for `database`."""
    is_migrated = "database" in request.fixturenames
    template = request.getfixturevalue("migrated_on_server") if is_migrated else "template1"
    with new_database(postgres_server, template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database, on each engine in turn: empty, but migrated where the test asks for `database`."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    path = tmp_path / "data" / "reelhook.db"
    if "database" in request.fixturenames:
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(request.getfixturevalue("migrated_file"), path)
    return f"sqlite:///{path}"


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
