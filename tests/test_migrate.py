"""Migrations: safe with several starters, equal to the tables in the code, and safe while the previous version runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from callbacks import file_created, incoming
from conftest import TOKEN
from sqlalchemy import Text, inspect, select, text

from handlers import migrate, tables
from handlers.database import Database
from handlers.errors import SettingsError
from handlers.inbox import Inbox
from handlers.inbox.processing import Processor
from handlers.keeping.keeper import Keeper
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from handlers.settings import Settings

_HOUSE = Path(__file__).parent.parent
_FIRST = "0001"
#: SQLite can't change a table in place, so that a migration there may copy it: the names are of such copies
_COPIES = "_alembic_tmp_"


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def _program(environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "webhook", *arguments],
        env=dict(os.environ) | environ,
        cwd=_HOUSE,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_several_starters_at_once_on_an_empty_database_make_its_tables_once(environ: dict[str, str]) -> None:
    starters = [_program(environ, "migrate") for _ in range(3)]
    outputs = [starter.communicate(timeout=60)[0] for starter in starters]
    assert [starter.returncode for starter in starters] == [0] * 3, outputs
    assert sum("brought from empty" in output for output in outputs) == 1, outputs
    with _opened(environ["DATABASE_URL"]) as database:
        assert migrate.current(database) == migrate.newest()
        with database.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1


def test_the_migrated_tables_are_the_tables_of_the_code(database: Database) -> None:
    """Tables, columns, types, defaults, keys and indexes, as far as the engine can be asked for them."""
    with database.read() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "compare_server_default": True, "target_metadata": tables.metadata},
        )
        assert compare_metadata(context, tables.metadata) == []
        _equal_keys_and_indexes(connection)


def _equal_keys_and_indexes(connection: Connection) -> None:
    """Compare what Alembic leaves out: the order of primary keys, and the conditions of partial indexes."""
    looked = inspect(connection)
    dialect = connection.dialect.name
    for table in tables.metadata.sorted_tables:
        key = looked.get_pk_constraint(table.name)["constrained_columns"]
        assert key == [column.name for column in table.primary_key], table.name
        found = {
            index["name"]: (index["column_names"], bool(index["unique"]), _condition(index, dialect))
            for index in looked.get_indexes(table.name)
        }
        expected = {
            str(index.name): ([column.name for column in index.columns], index.unique, _expected(index, dialect))
            for index in table.indexes
        }
        assert found == expected, table.name


def test_text_is_compared_byte_for_byte_and_narrow_tables_are_their_own_index(database: Database) -> None:
    """These, too, stand in the code and in the migrations, and Alembic compares neither."""
    with database.read() as connection:
        if database.is_sqlite:
            rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
            told: dict[str, str] = {row.name: row.sql for row in rows}
            without = {name for name in tables.metadata.tables if "WITHOUT ROWID" in told[name].upper()}
            assert without == {
                name
                for name, table in tables.metadata.tables.items()
                if table.dialect_options["sqlite"]["with_rowid"] is False
            }
            return
        looked = inspect(connection)
        texts = [
            (f"{name}.{column['name']}", column["type"].collation)
            for name in tables.metadata.tables
            for column in looked.get_columns(name)
            if isinstance(column["type"], Text)
        ]
        assert len(texts) > 50
        assert [name for name, collation in texts if collation != "C"] == []


def _condition(index: Any, dialect: str) -> str | None:
    """Return the reflected condition in the words of the code: PostgreSQL adds parentheses and casts."""
    told = index.get("dialect_options", {}).get(f"{dialect}_where")
    return None if told is None else re.sub(r"[()]|::text", "", str(told))


def _expected(index: Any, dialect: str) -> str | None:
    condition = index.dialect_options[dialect]["where"]
    return None if condition is None else str(condition)


def test_an_index_that_the_code_lacks_is_noticed(database: Database) -> None:
    """Show that the comparison above can fail."""
    with database.write() as connection:
        connection.exec_driver_sql("CREATE INDEX surplus ON deliveries (door)")
        connection.exec_driver_sql("DROP INDEX inbox_kept")
        connection.exec_driver_sql("CREATE INDEX inbox_kept ON inbox (delivery) WHERE state = 'processed'")
    with database.read() as connection:
        context = MigrationContext.configure(connection)
        assert [change[0] for change in compare_metadata(context, tables.metadata)] == ["remove_index"]
        with pytest.raises(AssertionError):
            _equal_keys_and_indexes(connection)


def test_without_migrations_an_old_database_is_refused_with_what_to_do(environ: dict[str, str]) -> None:
    with _opened(environ["DATABASE_URL"]) as database, pytest.raises(SettingsError, match="run `reelhook migrate`"):
        migrate.require(database)
    for arguments in (["web"], ["work"]):
        started = _program(environ | {"REELHOOK_MIGRATE": "never", "PORT": "0"}, *arguments)
        output = started.communicate(timeout=60)[0]
        assert started.returncode == 2, output
        assert f"this version needs {migrate.newest()}: run `reelhook migrate`" in output
    migrated = _program(environ | {"REELHOOK_MIGRATE": "never"}, "migrate")
    assert migrated.communicate(timeout=60)[0]
    with _opened(environ["DATABASE_URL"]) as database:
        migrate.require(database)


def test_a_newer_databases_tables_are_used_as_they_are(
    settings: Settings, database: Database, environ: dict[str, str]
) -> None:
    """The next version has migrated already: this one goes on, keeping and processing, until it is replaced."""
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'the-next-one'"))
        connection.execute(text("ALTER TABLE deliveries ADD COLUMN news TEXT"))
        connection.execute(text("CREATE TABLE more_news (id INTEGER PRIMARY KEY)"))
    migrate.require(database)
    assert migrate.upgrade(database) == ("the-next-one", "the-next-one")
    again = _program(environ, "migrate")
    assert "up to date" in again.communicate(timeout=60)[0]
    assert again.returncode == 0
    keeper = Keeper(database, None)
    keeper.start()
    try:
        Inbox(settings, VENDORS, keeper).accept(incoming(file_created(), token=TOKEN))
    finally:
        keeper.close()
    assert Processor(database, settings, VENDORS).process() == 1
    with database.read() as connection:
        assert connection.execute(select(tables.inbox.c.state)).scalars().all() == [tables.PROCESSED]
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "the-next-one"


# --- the habit: while a deployment goes on, the previous version runs on the tables of the next one -------------------


def _scripts(folder: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    return config


def _shape(connection: Connection) -> dict[str, dict[str, Any]]:
    """Return by table its columns, keys and unique indexes, as the engine tells them."""
    looked = inspect(connection)
    return {
        name: {
            "columns": {column["name"]: column for column in looked.get_columns(name)},
            "key": looked.get_pk_constraint(name)["constrained_columns"],
            "unique": {
                *(tuple(index["column_names"]) for index in looked.get_indexes(name) if index["unique"]),
                *(tuple(unique["column_names"]) for unique in looked.get_unique_constraints(name)),
            },
            "indexes": {index["name"] for index in looked.get_indexes(name)},
            "checks": {str(check["sqltext"]) for check in looked.get_check_constraints(name)},
            "foreign": len(looked.get_foreign_keys(name)),
        }
        for name in looked.get_table_names()
        if name != "alembic_version"
    }


def _breaks(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[str]:
    """Tell what of the change the previous version's statements may stumble over: everything but additions."""
    found = [f"table {name} is gone" for name in sorted(before.keys() - after.keys())]
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        found += [f"{name}.{column} is gone" for column in sorted(old["columns"].keys() - new["columns"].keys())]
        for column, now in new["columns"].items():
            found += _column_breaks(f"{name}.{column}", old["columns"].get(column), now)
        found += [f"index {index} is gone" for index in sorted(old["indexes"] - new["indexes"])]
        if old["key"] != new["key"]:
            found.append(f"{name} has another primary key")
        found += [f"{name} is newly unique by {', '.join(names)}" for names in sorted(new["unique"] - old["unique"])]
        found += [f"{name} has a new check: {check}" for check in sorted(new["checks"] - old["checks"])]
        if new["foreign"] > old["foreign"]:
            found.append(f"{name} has a new foreign key")
    return found


def _column_breaks(name: str, before: Any, now: Any) -> Iterator[str]:
    """Yield what is wrong with a column; the previous version leaves a new one out of its inserts."""
    must_be_given = not now["nullable"] and now["default"] is None and not now.get("computed")
    if before is None:
        if must_be_given:
            yield f"{name} is new and NOT NULL without a default"
        return
    if must_be_given and (before["nullable"] or before["default"] is not None):
        yield f"{name} has become NOT NULL, or lost its default"
    if str(before["type"]) != str(now["type"]):
        yield f"{name} was {before['type']} and is {now['type']}"


def _habit_breaks(database: Database, folder: Path) -> dict[str, list[str]]:
    """Apply the revisions one by one to an empty database; return by revision what is not an addition."""
    config = _scripts(folder)
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    found: dict[str, list[str]] = {}
    before: dict[str, dict[str, Any]] = {}
    for revision in revisions:
        with database.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        with database.read() as connection:
            after = _shape(connection)
        assert not [name for name in after if name.startswith(_COPIES)]
        if revision != _FIRST and (breaks := _breaks(before, after)):
            found[revision] = breaks
        before = after
    return found


def test_every_revision_after_the_first_only_adds(database_url: str) -> None:
    with _opened(database_url) as database:
        Path(database.url.database or "").parent.mkdir(parents=True, exist_ok=True)
        assert _habit_breaks(database, _HOUSE / "handlers" / "migrations") == {}


_REVISION = '''"""A planted revision."""

import sqlalchemy as sa
from alembic import op

revision = "planted"
down_revision = "{newest}"
branch_labels = None
depends_on = None


def upgrade():
{body}
'''

_GOOD = (
    'op.add_column("deliveries", sa.Column("note", sa.Text(), nullable=True))',
    'op.add_column("deliveries", sa.Column("weight", sa.Integer(), nullable=False, server_default=sa.text("0")))',
    'op.create_table("notes", sa.Column("id", sa.Text(), primary_key=True))',
    'op.create_index("deliveries_door", "deliveries", ["door"])',
)

_BAD = {
    "drops a table": ('op.drop_table("meters")', "table meters is gone"),
    "renames a table": ('op.rename_table("meters", "figures")', "table meters is gone"),
    "drops a column": ('op.drop_column("recordings", "vid")', "recordings.vid is gone"),
    "renames a column": (
        'with op.batch_alter_table("recordings") as batch: batch.alter_column("vid", new_column_name="video")',
        "recordings.vid is gone",
    ),
    "renames in plain SQL": (
        'op.execute("ALTER TABLE recordings RENAME COLUMN vid TO video")',
        "recordings.vid is gone",
    ),
    "adds a column that must be given": (
        'with op.batch_alter_table("meters") as batch: batch.add_column(sa.Column("note", sa.Text(), nullable=False))',
        "meters.note is new and NOT NULL without a default",
    ),
    "lets a column be null no more": (
        'with op.batch_alter_table("recordings") as batch: batch.alter_column("vid", nullable=False)',
        "recordings.vid has become NOT NULL",
    ),
    "takes a default away": (
        'with op.batch_alter_table("inbox") as batch: batch.alter_column("tries", server_default=None)',
        "inbox.tries has become NOT NULL, or lost its default",
    ),
    "changes a type": (
        'with op.batch_alter_table("meters") as batch: batch.alter_column("value", type_=sa.Text())',
        "meters.value was BIGINT and is TEXT",
    ),
    "drops an index": ('op.drop_index("inbox_kept", "inbox")', "index inbox_kept is gone"),
    "makes an old table newly unique": (
        'op.create_index("recordings_only_key", "recordings", ["key"], unique=True)',
        "recordings is newly unique by key",
    ),
}


def _planted(folder: Path, body: str) -> Path:
    """Copy the migrations and plant one more revision."""
    copy = folder / "migrations"
    shutil.copytree(_HOUSE / "handlers" / "migrations", copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = _REVISION.format(newest=migrate.newest(), body=f"    {body}")
    (copy / "versions" / "planted.py").write_text(text)
    return copy


class _Undo(Exception):
    """Raised to leave nothing of a transaction behind."""


def _breaks_of(database: Database, folder: Path) -> list[str]:
    """Apply the planted revision, look what it breaks, and undo it."""
    found: list[str] = []
    config = _scripts(folder)
    with suppress(_Undo), database.write() as connection:
        before = _shape(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "planted")
        found += _breaks(before, _shape(connection))
        raise _Undo
    return found


def test_a_revision_that_breaks_the_habit_is_noticed(database: Database, tmp_path: Path) -> None:
    """Each of these is planted beside our own revisions, and would not go unseen."""
    unseen = {}
    for what, (body, expected) in _BAD.items():
        found = _breaks_of(database, _planted(tmp_path / what, body))
        if not any(expected in one for one in found):
            unseen[what] = found
    assert unseen == {}


def test_a_revision_that_only_adds_is_let_through(database_url: str, tmp_path: Path) -> None:
    with _opened(database_url) as database:
        Path(database.url.database or "").parent.mkdir(parents=True, exist_ok=True)
        assert _habit_breaks(database, _planted(tmp_path, "\n    ".join(_GOOD))) == {}
