"""Queues as the tests use them: a Reelhook that polls a stand-in, in this process or as one of its own."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from conftest import API_TOKEN, TOKEN
from sqlalchemy import func, select

from handlers import meters, migrate, tables
from handlers.database import Database
from handlers.settings import load
from handlers.vendors import VENDORS
from webhook.poller import Poller

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from handlers.settings import Settings

ACCESS_KEY = "LTAI5tTestTestTestTest"
SECRET_KEY = "a-secret-key-of-the-stand-in"


def environ_of(folder: Path, database_url: str, *queues: Mapping[str, Any], accounts: str = "") -> dict[str, str]:
    """Write a configuration with the account `lessons` and these queues; return the environment that names it."""
    (folder / "data").mkdir(exist_ok=True, mode=0o700)
    text = '[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN"]\n' + accounts
    for queue in queues:
        told = dict(queue)
        text += f"[queues.{told.pop('name', 'lessons')}]\n"
        text += "".join(f"{key} = {value if isinstance(value, int) else repr(value)}\n" for key, value in told.items())
    (folder / "reelhook.toml").write_text(text)
    return {
        "DATABASE_URL": database_url,
        "REELHOOK_DATA": str(folder / "data"),
        "REELHOOK_CONFIG": str(folder / "reelhook.toml"),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
        "QUEUE_AK": ACCESS_KEY,
        "QUEUE_SK": SECRET_KEY,
    }


def mns_queue(endpoint: str, **changed: Any) -> dict[str, Any]:
    """Return the table of a queue of the stand-in."""
    return {
        "kind": "mns",
        "account": "lessons",
        "queue": "recordings",
        "endpoint": endpoint,
        "access_key_id": "env:QUEUE_AK",
        "secret_access_key": "env:QUEUE_SK",
        "wait_seconds": 1,
    } | changed


def sqs_queue(endpoint: str, **changed: Any) -> dict[str, Any]:
    """Return the table of a queue of moto's."""
    return {**mns_queue(endpoint), "kind": "sqs", "region": "eu-west-1"} | changed


class Pulled:
    """A Reelhook whose poller runs in this process, and what its database holds."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = dict(environ)
        self.settings: Settings = load(environ, vendors=tuple(VENDORS))
        self.database = Database(self.settings.database_url)
        migrate.upgrade(self.database)

    @contextmanager
    def polling(self) -> Iterator[threading.Event]:
        """Poll until the block ends, and end in order."""
        stop = threading.Event()
        poller = Poller(self.database, self.settings, VENDORS)
        thread = threading.Thread(target=poller.run, args=(stop,))
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join(40)
        assert not thread.is_alive(), "the poller does not end"

    def rows(self, query: Any) -> list[Any]:
        with self.database.read() as connection:
            return list(connection.execute(query).all())

    def bodies(self) -> list[bytes]:
        return [bytes(row.body) for row in self.rows(select(tables.deliveries.c.body).order_by(tables.deliveries.c.id))]

    def count(self, table: Any = tables.deliveries) -> int:
        return int(self.rows(select(func.count()).select_from(table))[0][0])

    def repeats(self) -> int:
        return int(self.rows(select(func.coalesce(func.sum(tables.seen.c.repeats), 0)))[0][0])

    def figures(self, queue: str = "lessons") -> dict[str, int]:
        with self.database.read() as connection:
            return {name: value for name, label, value in meters.totals(connection) if label == queue}

    def close(self) -> None:
        self.database.close()


@contextmanager
def refusing(database: Database, body: bytes, *, headers: bool) -> Iterator[None]:
    """Let the database refuse a body: always, or only together with headers."""
    if database.is_sqlite:
        more = "AND NEW.headers <> CAST('{}' AS BLOB)" if headers else ""
        when = f"BEFORE INSERT ON deliveries WHEN NEW.body = X'{body.hex()}' {more}"
        make = [f"CREATE TRIGGER refuse {when} BEGIN SELECT RAISE(ABORT, 'the bad row'); END"]
        drop = "DROP TRIGGER refuse"
    else:
        more = "AND NEW.headers <> convert_to('{}', 'UTF8')" if headers else ""
        check = f"IF NEW.body = decode('{body.hex()}', 'hex') {more} THEN RAISE EXCEPTION 'the bad row'; END IF;"
        make = [
            f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {check} RETURN NEW; END $$",
            "CREATE TRIGGER refuse BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION refuse()",
        ]
        drop = "DROP TRIGGER refuse ON deliveries"
    with database.write() as connection:
        for statement in make:
            connection.exec_driver_sql(statement)
    yield
    with database.write() as connection:
        connection.exec_driver_sql(drop)
