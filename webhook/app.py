"""What one web process consists of: it opens the stores, wires the doors, and says how errors are answered."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

from handlers.clock import now_ms
from handlers.database import Database
from handlers.inbox import Inbox
from handlers.inbox.refusals import Refusals
from handlers.keeping.keeper import Keeper
from handlers.keeping.spool import Spool
from handlers.observation import Observer
from handlers.vendors import VENDORS
from webhook.api import new_app, register_api
from webhook.callbacks import callbacks_blueprint
from webhook.figures import Figures
from webhook.health import health_blueprint
from webhook.places import bound_questions
from webhook.problems import register_problems

if TYPE_CHECKING:
    from flask import Flask

    from handlers.settings import Settings

#: what a web process may serve; None is all of it
PARTS = ("callbacks", "api")


def create_app(settings: Settings, *, only: str | None = None) -> Flask:
    """Return the WSGI application of one process; call it after the fork, for it opens files and starts threads.

    `only` is one of PARTS. Health pages are always there.
    """
    app = new_app()
    register_problems(app)
    bound_questions(app)
    database = Database(settings.database_url)
    spool = Spool(settings.spool) if settings.spool is not None else None
    figures = Figures()
    if only in {None, "callbacks"}:
        _open_doors(app, settings, database, spool, figures)
    if only in {None, "api"}:
        register_api(app, settings, database, takes_callbacks=only is None)
    observer = Observer(database, spool, now_ms)
    app.register_blueprint(health_blueprint(observer, figures, takes_callbacks=only != "api"))
    atexit.register(database.close)
    return app


def _open_doors(app: Flask, settings: Settings, database: Database, spool: Spool | None, figures: Figures) -> None:
    keeper = Keeper(database, spool)
    keeper.start()
    refusals = Refusals(database, VENDORS)
    refusals.start()
    atexit.register(keeper.close)
    atexit.register(refusals.close)
    inbox = Inbox(settings, VENDORS, keeper)
    app.register_blueprint(callbacks_blueprint(settings, VENDORS, inbox, refusals, figures))
