"""`reelhook rules list|show`: which rules are in force, by the word of the workers, and what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from handlers.errors import ReelhookError

if TYPE_CHECKING:
    from handlers.questions.items import Item

_JSON_LIST = 'Print JSON as the API does: {"items": [...], "version", "is_current", "problems", "workers", "next"}.'


def add_listing(rules: click.Group) -> None:
    """Add both commands to `reelhook rules`."""
    rules.add_command(list_rules)
    rules.add_command(show_rule)


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help=_JSON_LIST)
def list_rules(*, as_json: bool) -> None:
    """List the rules in force, with how often each matched, and last when. Times are UTC.

    They are those that the workers go by, whatever stands in the file of this machine.
    """
    from handlers.clock import now_ms
    from handlers.questions import rules
    from webhook.columns import print_list
    from webhook.commands.at_hand import load_settings, opened
    from webhook.commands.lists import dumped

    with opened(load_settings()) as database, database.read() as connection:
        told = rules.list_rules(connection, now=now_ms())
    if as_json:
        click.echo(dumped(told))
        return
    if told["items"]:
        print_list("rules", told["items"])
    _tell_standing(told)


@click.command("show")
@click.argument("name", metavar="RULE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON as the API does.")
def show_rule(name: str, *, as_json: bool) -> None:
    """Show one rule in force: what became of it, why it did not match, and the states of its newest actions."""
    from handlers.clock import now_ms
    from handlers.questions import rules
    from webhook.columns import print_item
    from webhook.commands.at_hand import load_settings, opened
    from webhook.commands.lists import dumped

    with opened(load_settings()) as database, database.read() as connection:
        item = rules.show_rule(connection, name, now=now_ms())
    if item is None:
        raise ReelhookError(f"there is no rule {name} in force; `reelhook rules list` names those that are")
    if as_json:
        click.echo(dumped(item))
    else:
        print_item(item)


def _tell_standing(told: Item) -> None:
    """Say what the table does not: who goes by these rules, and what is wrong with their file."""
    from webhook.columns import shown

    for problem in told["problems"]:
        click.echo(shown(f"wrong in the file: {problem}").plain, err=True)
    if told["problems"]:
        click.echo("The rules that were in force stay in force until it is mended.", err=True)
    versions = {worker["version"] for worker in told["workers"]}
    if not told["workers"]:
        click.echo("No worker was heard of lately, so that no rule is in force; `reelhook rules check` reads the file.")
    elif not told["items"]:
        click.echo("The workers go by no rules; `reelhook doctor` says where their file would be.")
    elif len(versions) > 1:
        click.echo(f"The workers go by {len(versions)} versions of the rules; see --json.", err=True)
