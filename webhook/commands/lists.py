"""`reelhook recordings|segments|tasks|deliveries|refusals list|show`, and the same of actions: the API's questions."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from handlers.errors import ReelhookError
from webhook.commands.asking import goes_on, json_option, preview_option, tell, yes_option
from webhook.commands.filtering import filter_options, is_filtered, to_filters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from handlers.database import Database
    from handlers.questions import Listing
    from handlers.questions.items import Item

_JSON_LIST = 'Print JSON as the API does: {"items": [...], "next": "cursor or null"}.'
_JSON_ITEM = "Print JSON as the API does."
DEFAULT_LIMIT, MOST = 50, 1000


@dataclass(frozen=True, kw_only=True)
class Noun:
    """One kind of row, as commands speak of it."""

    many: str
    one: str
    #: what an id begins with
    prefix: str
    help: str
    #: what to do where there is none at all
    advice: str


_FIRST = "`reelhook accounts` shows the callback URL to give to the vendor, and a callback to try."
_RECORDINGS = Noun(
    many="recordings",
    one="recording",
    prefix="rec",
    help="The recorded files.",
    advice="`reelhook deliveries list` shows what came in; " + _FIRST,
)
_SEGMENTS = Noun(
    many="segments",
    one="segment",
    prefix="seg",
    help="The audio slices.",
    advice="`reelhook deliveries list` shows what came in; " + _FIRST,
)
_TASKS = Noun(
    many="tasks",
    one="task",
    prefix="tsk",
    help="The runs of the vendors' recording, segment and push jobs.",
    advice="`reelhook deliveries list` shows what came in; " + _FIRST,
)
_DELIVERIES = Noun(many="deliveries", one="delivery", prefix="dlv", help="What arrived and was kept.", advice=_FIRST)
_REFUSALS = Noun(
    many="refusals",
    one="refusal",
    prefix="rfs",
    help="What arrived and was turned away.",
    advice="Nothing that arrived was turned away, or what was is no longer kept.",
)


def group_of(noun: Noun) -> click.Group:
    """Return the commands of one noun: list and show."""
    group = click.Group(noun.many, help=f"{noun.help} Times are UTC.")

    @group.command(
        "list", help=f"List {noun.many}, newest first. A filter given several times means any of its values."
    )
    @filter_options(noun.many)
    @click.option(
        "--limit", type=click.IntRange(1, MOST), default=DEFAULT_LIMIT, show_default=True, help="Rows at the most."
    )
    @click.option("--cursor", metavar="CURSOR", help="Go on where an earlier list ended.")
    @click.option("--all", "every", is_flag=True, help="Go on to the end, whatever --limit says.")
    @click.option("--json", "as_json", is_flag=True, help=_JSON_LIST)
    def list_some(**values: Any) -> None:  # noqa: ANN401 (click hands over the options by name)
        _list(noun, values)

    @group.command("show", help=f"Show one {noun.one}.")
    @click.argument("item_id", metavar="ID")
    @click.option("--json", "as_json", is_flag=True, help=_JSON_ITEM)
    def show_one(item_id: str, *, as_json: bool) -> None:
        _show(noun, item_id, as_json=as_json)

    return group


def _list(noun: Noun, values: Mapping[str, Any]) -> None:
    from webhook.commands.at_hand import load_settings, opened

    with opened(load_settings()) as database:
        pages = _pages(noun, database, values)
        if values["as_json"]:
            _print_json(pages, every=values["every"])
        else:
            _print_table(noun, pages, filtered=is_filtered(values))


def _pages(noun: Noun, database: Database, values: Mapping[str, Any]) -> Iterator[Listing]:
    from handlers import questions
    from handlers.questions.filters import Page

    ask: Callable[..., Listing] = getattr(questions, f"list_{noun.many}")
    filters = to_filters(values)
    page = Page(limit=MOST if values["every"] else values["limit"], cursor=values["cursor"])
    while True:
        with database.read() as connection:
            listing = ask(connection, filters, page)
        yield listing
        if not values["every"] or listing.next is None:
            return
        page = Page(limit=MOST, cursor=listing.next)


def _print_table(noun: Noun, pages: Iterable[Listing], *, filtered: bool) -> None:
    from webhook.columns import print_list

    rows = 0
    for listing in pages:
        rows += len(listing.items)
        if listing.items:
            print_list(noun.many, listing.items)
    if rows == 0:
        none = f"No {noun.one} matches." if filtered else f"No {noun.many} yet. {noun.advice}"
        click.echo(none)
    elif listing.next is not None:
        click.echo(f"There are more: add --cursor {listing.next}, or --all.", err=True)


def _print_json(pages: Iterable[Listing], *, every: bool) -> None:
    """Print one object, piece by piece: --all may be more than memory holds."""
    if not every:
        (listing,) = pages
        click.echo(dumped({"items": listing.items, "next": listing.next}))
        return
    click.echo('{"items": [', nl=False)
    separator = "\n"
    for listing in pages:
        for item in listing.items:
            click.echo(separator + dumped(item, indent=None), nl=False)
            separator = ",\n"
    click.echo('\n], "next": null}')


def _show(noun: Noun, item_id: str, *, as_json: bool) -> None:
    from handlers import questions
    from webhook.columns import print_item
    from webhook.commands.at_hand import load_settings, opened

    ask: Callable[..., Item | None] = getattr(questions, f"show_{noun.one}")
    with opened(load_settings()) as database, database.read() as connection:
        item = ask(connection, item_id)
    if item is None:
        hint = "" if item_id.startswith(f"{noun.prefix}_") else f"; their ids begin with {noun.prefix}_"
        raise ReelhookError(f"there is no {noun.one} {item_id}{hint}")
    if as_json:
        click.echo(dumped(item))
    else:
        print_item(item)


def dumped(value: object, indent: int | None = 2) -> str:
    """Return JSON as it is printed."""
    # A terminal of another encoding could not show what stands in a name; JSON has its own way to write it.
    is_unicode = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    return json.dumps(value, indent=indent, ensure_ascii=not is_unicode)


recordings = group_of(_RECORDINGS)
segments = group_of(_SEGMENTS)
tasks = group_of(_TASKS)
deliveries = group_of(_DELIVERIES)
refusals = group_of(_REFUSALS)


@refusals.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@filter_options("refusals")
@preview_option
@yes_option
@json_option
def discard(ids: Sequence[str], *, preview: bool, yes: bool, as_json: bool, **values: Any) -> None:  # noqa: ANN401 (click hands over the options by name)
    """Delete refusals for good: those named, or those that the filters let through.

    For what was rightly refused: messages of a queue that were set aside take room until they are released or
    discarded, and there is no other copy of them. Says how many there are and asks before it begins, unless they are
    named.
    """
    from handlers.inbox.releasing import discard as discard_named
    from handlers.inbox.releasing import discard_matching, preview_discard
    from webhook.commands.at_hand import load_settings, opened

    if bool(ids) is (preview or is_filtered(values)):
        raise click.UsageError(
            "either ids or a filter: ids are taken as they are, and nothing is discarded without one"
        )
    with opened(load_settings()) as database:
        if ids:
            tell({"discarded": discard_named(database, ids)}, as_json=as_json)
            return
        filters = to_filters(values)
        with database.read() as connection:
            found = preview_discard(connection, filters)
        if goes_on(found, "refusal", "refusals", "Delete", "for good", preview=preview, yes=yes, as_json=as_json):
            tell({"discarded": discard_matching(database, filters)}, as_json=as_json)
