"""`reelhook rebuild`: the catalogue made again from the kept deliveries."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from handlers.rebuild import Rebuilt


@click.command()
@click.option("--resolve", is_flag=True, help="Look up anew, in today's settings, where files lie.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def rebuild(*, resolve: bool, yes: bool, as_json: bool) -> None:
    """Make the catalogue again from the kept deliveries.

    Safe beside a running server, and at any moment it can be ended and started again. Ids stay as they are. What was
    told by deliveries that are no longer kept stays as it is. Rules don't fire.
    """
    from handlers.rebuild import rebuild as make_again
    from handlers.vendors import VENDORS
    from webhook.commands.at_hand import load_settings, opened
    from webhook.progress import progress_bar

    settings = load_settings()
    with opened(settings) as database:
        if not yes:
            _ask(settings.shown_database_url)
        with progress_bar("rebuilding") as advance:
            done = make_again(database, settings, VENDORS, advance, resolve=resolve)
    click.echo(json.dumps(asdict(done)) if as_json else _sentence(done))


def _ask(where: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is here to be asked; add --yes")
    click.confirm(f"Rebuild the catalogue in {where}?", abort=True, err=True)


def _sentence(done: Rebuilt) -> str:
    text = f"{done.deliveries} deliveries read, {done.families} tasks rebuilt, {done.rows_changed} rows changed."
    if done.unreadable:
        text += f" {done.unreadable} deliveries can't be read any more; what they had said stays."
    return text
