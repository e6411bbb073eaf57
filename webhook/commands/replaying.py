"""`reelhook replay` and `reelhook release`: what was quarantined or turned away gets another chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from handlers.errors import NotReleasable, ReelhookError
from webhook.commands.asking import goes_on, json_option, preview_option, tell, yes_option
from webhook.commands.filtering import filter_options, is_filtered, to_filters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handlers.database import Database
    from handlers.settings import Settings

#: most refusals that one command releases
_MOST = 1_000_000


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@filter_options("deliveries")
@click.option("--fire", is_flag=True, help="Ask the rules about what that changes, as if it had just come.")
@preview_option
@yes_option
@json_option
def replay(
    ids: Sequence[str],
    *,
    fire: bool,
    preview: bool,
    yes: bool,
    as_json: bool,
    **values: Any,  # noqa: ANN401 (click hands over the options by name)
) -> None:
    """Have deliveries processed again: those named, or those that the filters let through.

    Without --state the quarantined ones are meant. Says how many there are and asks before it begins; nobody is asked
    about deliveries that are named. Rules don't fire without --fire; what was processed before changes nothing, and
    fires none in any case: `reelhook rules run` applies a rule to that.
    """
    from handlers.inbox.replay import preview_replay
    from handlers.inbox.replay import replay as replay_matching
    from webhook.commands.at_hand import load_settings, opened

    _expect_either(ids, values, preview=preview)
    with opened(load_settings()) as database:
        if ids:
            tell({"replayed": _replay_named(database, ids, fire=fire)}, as_json=as_json)
            return
        filters = to_filters(values)
        with database.read() as connection:
            found = preview_replay(connection, filters)
        if goes_on(found, "delivery", "deliveries", "Process", "again", preview=preview, yes=yes, as_json=as_json):
            tell({"replayed": replay_matching(database, filters, fire=fire)}, as_json=as_json)


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@filter_options("refusals")
@preview_option
@yes_option
@json_option
def release(ids: Sequence[str], *, preview: bool, yes: bool, as_json: bool, **values: Any) -> None:  # noqa: ANN401 (click hands over the options by name)
    """Keep refused deliveries after all: those named, or those that the filters let through.

    You vouch for them: whoever sent them could not prove to be the vendor. Only what was kept whole and not released
    before can be released. Says how many there are and asks before it begins, unless they are named.
    """
    from handlers.inbox.releasing import preview_release, release_matching
    from handlers.vendors import VENDORS
    from webhook.commands.at_hand import load_settings, opened

    _expect_either(ids, values, preview=preview)
    settings = load_settings()
    with opened(settings) as database:
        if ids:
            tell({"released": _release_named(database, settings, ids)}, as_json=as_json)
            return
        filters = to_filters(values)
        with database.read() as connection:
            found = preview_release(connection, filters)
        if goes_on(found, "refusal", "refusals", "Release", "", preview=preview, yes=yes, as_json=as_json):
            done = release_matching(database, settings, VENDORS, filters, most=_MOST)
            tell({"released": done.count}, as_json=as_json)
            _fail(list(done.failed.values()))


def _expect_either(ids: Sequence[str], values: Mapping[str, Any], *, preview: bool) -> None:
    if ids and (preview or is_filtered(values)):
        raise click.UsageError("either ids or filters: ids are taken as they are, without a filter and a preview")


def _replay_named(database: Database, ids: Sequence[str], *, fire: bool) -> int:
    from handlers.inbox.replay import replay_one

    found = {one: replay_one(database, one, fire=fire) for one in ids}
    done = sum(count for count in found.values() if count is not None)
    missing = [one for one, count in found.items() if count is None]
    if missing:
        raise ReelhookError(f"replayed {done}; there is no delivery {', '.join(missing)}")
    return done


def _release_named(database: Database, settings: Settings, ids: Sequence[str]) -> int:
    from handlers.inbox.refusals import release as release_one
    from handlers.vendors import VENDORS

    problems = []
    for one in ids:
        try:
            release_one(database, settings, VENDORS, one)
        except NotReleasable as exc:
            problems.append(str(exc))
    _fail(problems, done=len(ids) - len(problems))
    return len(ids)


def _fail(problems: Sequence[str], done: int | None = None) -> None:
    if problems:
        raise ReelhookError("\n  ".join([*([] if done is None else [f"released {done}"]), *problems]))
