"""What the product is measured against: the same door, kept the plain way.

SQLAlchemy Core, one transaction for each request on a connection from the pool, and no lock that threads share: on
SQLite they meet in its own busy time-out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flask import Flask
from sqlalchemy import create_engine, event, insert
from sqlalchemy.exc import IntegrityError

from bench.noop_server import serve
from handlers import tables
from handlers.database import Database
from handlers.inbox import Inbox
from handlers.inbox.refusals import Refusals
from handlers.keeping.deliveries import Accepted, pack_headers
from handlers.vendors import VENDORS
from webhook.callbacks import callbacks_blueprint
from webhook.figures import Figures

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Engine

    from handlers.keeping.deliveries import Entry
    from handlers.keeping.keeper import Keeper
    from handlers.settings import Settings

#: connections: one for each thread of the server
_POOL = 32
#: seconds that SQLite's busy handler waits
_BUSY = 30


class CoreKeeper:
    """Keeps each entry by itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, entry: Entry) -> Accepted:
        """Insert the entry's rows and commit."""
        delivery = entry.delivery
        row = {
            "id": delivery.id,
            "account": delivery.account,
            "vendor": delivery.vendor,
            "door": delivery.door,
            "received_at": delivery.received_at,
            "seen_key": entry.keys[0],
            "headers": pack_headers(delivery.headers),
            "body": delivery.body,
        }
        keys = [{"account": delivery.account, "seen_key": key, "delivery": delivery.id} for key in entry.keys]
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(tables.seen), keys)
                connection.execute(insert(tables.deliveries), row)
                connection.execute(
                    insert(tables.inbox), {"delivery": delivery.id, "state": entry.state, "reason": entry.reason}
                )
        except IntegrityError:
            return Accepted(delivery=delivery.id, is_repeat=True)
        return Accepted(delivery=delivery.id)


def make_app(settings: Settings) -> Flask:
    """Return an application with the product's own door in front of plain keeping."""
    app = Flask(__name__)
    keeper = cast("Keeper", CoreKeeper(_engine(settings.database_url)))
    refusals = Refusals(Database(settings.database_url), VENDORS)
    inbox = Inbox(settings, VENDORS, keeper)
    app.register_blueprint(callbacks_blueprint(settings, VENDORS, inbox, refusals, Figures()))

    @app.get("/livez")
    def livez() -> str:
        return "ok"

    return app


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_size=_POOL)
    engine = create_engine(url, pool_size=_POOL, connect_args={"timeout": _BUSY})

    @event.listens_for(engine, "connect")
    def prepare(raw: sqlite3.Connection, _record: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536"):
            raw.execute(f"PRAGMA {pragma}")

    return engine


if __name__ == "__main__":
    serve(make_app)
