"""When the tables are brought up to date: at start or by hand, by one process at a time."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from handlers.errors import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from handlers.database import Database

#: seconds that one migration may take, and that a second starter waits for the first
MIGRATION_PATIENCE = 600.0
#: the advisory lock's number: "reel" in ASCII
_LOCK = 0x7265656C


def upgrade(database: Database) -> tuple[str | None, str]:
    """Apply what is missing and return the revision before and after; safe with several starters at once.

    Where nothing is missing nothing is locked, so that a writer that hangs keeps no door shut.
    Raises DatabaseAway when the database can't be reached.
    """
    with database.read() as connection:
        if is_ready(connection):
            at = _current(connection) or newest()
            return at, at
    with database.write(patience=MIGRATION_PATIENCE, lock_patience=MIGRATION_PATIENCE) as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        before = _current(connection)
        if before != newest() and not _is_newer(before):
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return before, _current(connection) or newest()


def current(database: Database) -> str | None:
    """Return the revision that the database is at; None is an empty database."""
    with database.read() as connection:
        return _current(connection)


def newest() -> str:
    """Return the revision that this version of Reelhook needs."""
    return _known()[0]


def is_ready(connection: Connection) -> bool:
    """Tell whether the database has what this version needs; a newer version's tables do as well."""
    revision = _current(connection)
    return revision == newest() or _is_newer(revision)


def require(database: Database) -> None:
    """Raise SettingsError where migrations are missing, saying how to apply them."""
    with database.read() as connection:
        ready, revision = is_ready(connection), _current(connection)
    if not ready:
        at = revision or "empty"
        raise SettingsError(
            [f"the database is at revision {at}, this version needs {newest()}: run `reelhook migrate`"]
        )


def _is_newer(revision: str | None) -> bool:
    """Tell a revision that this version does not know: a later version ran here and left it usable."""
    return revision is not None and revision not in _known()


@cache
def _known() -> tuple[str, ...]:
    """Return every revision of this version, the newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "handlers:migrations")
    config.set_main_option("path_separator", "os")
    return config
