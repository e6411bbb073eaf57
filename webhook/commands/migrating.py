"""`reelhook migrate`: bring the tables up to date by hand."""

from __future__ import annotations

import click


@click.command()
def migrate() -> None:
    """Bring the database's tables up to date.

    Safe while Reelhook runs, and with several of these at once. With REELHOOK_MIGRATE=auto, the default, every start
    does the same.
    """
    from handlers.database import Database
    from handlers.migrate import upgrade
    from webhook.commands.at_hand import load_settings

    settings = load_settings(create=True)
    database = Database(settings.database_url, pool_size=1)
    try:
        before, after = upgrade(database)
    finally:
        database.close()
    where = settings.shown_database_url
    if before == after:
        click.echo(f"{where} is up to date (revision {after})")
    else:
        click.echo(f"{where} brought from {before or 'empty'} to revision {after}")
