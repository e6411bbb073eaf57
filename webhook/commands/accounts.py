"""`reelhook accounts`: what to paste into the vendors' consoles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from handlers.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help='Print [{"vendor", "account", "callback_url"}, ...].')
def accounts(*, as_json: bool) -> None:
    """Show the callback URLs to paste into the vendors' consoles, and the secrets to set there.

    What it prints holds secrets. Secrets that are needed and not configured are made now and kept in the data folder.
    """
    from webhook.commands.at_hand import load_settings

    settings = load_settings(create=True)
    if as_json:
        click.echo(json.dumps(_items(settings), indent=2, ensure_ascii=False))
        return
    from webhook import welcome

    click.echo("\n".join(welcome.account_lines(settings)))


def _items(settings: Settings) -> list[dict[str, str]]:
    from handlers.settings import callback_url

    items = []
    for account in settings.accounts.values():
        item = {"vendor": account.vendor, "account": account.name, "callback_url": callback_url(settings, account)}
        if account.topic_owner is not None:
            item["topic_url"] = callback_url(settings, account, "mns-topic")
        items.append(item)
    return items
