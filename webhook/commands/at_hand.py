"""Decides what a command has at hand: the settings, and a database that is up to date."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.errors import ReelhookError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handlers.database import Database
    from handlers.settings import Settings


def load_settings(environ: Mapping[str, str] | None = None, *, create: bool = False) -> Settings:
    """Read the settings; make missing secrets only where `create` says so. Raise SettingsError with every mistake."""
    from handlers.settings import load
    from handlers.vendors import VENDORS

    return load(os.environ if environ is None else environ, vendors=tuple(VENDORS), create=create)


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """Open the database for a question or an order; raise ReelhookError where its tables are not there yet."""
    from handlers import migrate
    from handlers.database import Database

    if not settings.on_server and not Path(settings.database_url.removeprefix("sqlite:///")).exists():
        raise ReelhookError(
            f"there is no database yet at {settings.shown_database_url}: start `reelhook serve` (or run "
            "`reelhook migrate`) first, or set DATABASE_URL or REELHOOK_DATA to where it is"
        )
    database = Database(settings.database_url, pool_size=2)
    try:
        migrate.require(database)
        yield database
    finally:
        database.close()
