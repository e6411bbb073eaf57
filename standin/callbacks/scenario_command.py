"""`reelhook standin callbacks scenario`: hours at the vendors in seconds, and whether the catalogue is right then."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from standin.callbacks.callback import VENDORS
from standin.callbacks.checking import Api, settle
from standin.callbacks.expected import expect
from standin.callbacks.faults import Arrival, Faults, arrivals, told
from standin.callbacks.scenario import Played, Post, describe, name_of, play, shortened
from standin.callbacks.sending import Answer, HttpSender, QueueSender
from standin.callbacks.target import Reelhook
from standin.callbacks.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from standin.callbacks.callback import Counterpart
    from standin.callbacks.expected import Expectation

_CHANCE = click.FloatRange(0, 1)


def _by_vendor(_context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Read VENDOR=VALUE, once for each vendor."""
    told: dict[str, str] = {}
    for value in values:
        vendor, equals, text = value.partition("=")
        if vendor not in VENDORS or not equals or not text:
            raise click.BadParameter(
                f"expected VENDOR={parameter.metavar or 'VALUE'}, with one of {', '.join(VENDORS)}"
            )
        told[vendor] = text
    return told


def _vendors(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    names = tuple(dict.fromkeys((value or "").replace(",", " ").split()))
    wrong = [name for name in names if name not in VENDORS]
    if wrong:
        raise click.BadParameter(f"{wrong[0]}: expected some of {', '.join(VENDORS)}, separated by commas")
    return names


@click.command()
@click.option("--to", metavar="URL", help="Where Reelhook is.  [default: this machine, at the port of the settings]")
@click.option(
    "--vendors", callback=_vendors, metavar="VENDORS", help="Separated by commas.  [default: all that have an account]"
)
@click.option(
    "--account",
    "accounts",
    callback=_by_vendor,
    multiple=True,
    metavar="VENDOR=NAME",
    help="A vendor's account.  [default: its first]",
)
@click.option(
    "--secret",
    "given_secrets",
    callback=_by_vendor,
    multiple=True,
    metavar="VENDOR=SECRET",
    help="A vendor's secret, or token.  [default: that of the settings]",
)
@click.option(
    "--tasks", type=click.IntRange(1), default=20, show_default=True, help="Names of tasks, over all vendors."
)
@click.option(
    "--hours",
    type=click.FloatRange(0.1, 10_000),
    default=6.0,
    show_default=True,
    help="Hours that they are spread over.",
)
@click.option(
    "--rate", type=click.FloatRange(0), default=50.0, show_default=True, help="Callbacks a second; 0: no limit."
)
@click.option("--duplicate", type=_CHANCE, default=0.0, help="Chance that a callback comes twice.")
@click.option("--reorder", type=_CHANCE, default=0.0, help="Chance that it comes in another place.")
@click.option("--late", type=_CHANCE, default=0.0, help="Chance that it comes after all others.")
@click.option("--drop", type=_CHANCE, default=0.0, help="Chance that one try of it is lost; some vendors try again.")
@click.option("--bad-signature", type=_CHANCE, default=0.0, help="Chance that a stranger sends one like it.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=7,
    show_default=True,
    help="The same makes the same scenario; all ids begin with it.",
)
@click.option(
    "--queue", metavar="NAME", help="MNS queue that half of Alibaba's tasks use: one of [queues.NAME] or any other."
)
@click.option("--queue-endpoint", metavar="URL", help="Endpoint of a queue that is not in the settings.")
@click.option(
    "--access-key-id", metavar="KEY", envvar="STANDIN_ACCESS_KEY_ID", help="Its access key; also STANDIN_ACCESS_KEY_ID."
)
@click.option(
    "--secret-access-key",
    metavar="SECRET",
    envvar="STANDIN_SECRET_ACCESS_KEY",
    help="The other half of it; also STANDIN_SECRET_ACCESS_KEY.",
)
@click.option("--check", is_flag=True, help="Wait for the catalogue, and compare it with what it must hold.")
@click.option(
    "--api-token",
    metavar="TOKEN",
    envvar="STANDIN_API_TOKEN",
    help="For --check; also STANDIN_API_TOKEN.  [default: that of the settings]",
)
@click.option(
    "--patience", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds that --check waits at most."
)
@click.option("--quiet", is_flag=True, help="Name no single callback and no single task.")
def scenario(**options: Any) -> None:  # noqa: ANN401 - click hands over the options by name
    """Play hours of rooms, tasks and files in seconds, with faults, and say what a catalogue must hold after it.

    Ends with 1 where an answer was wrong, or, with --check, where the catalogue differs.
    """
    reelhook = Reelhook(os.environ, options["to"])
    counterparts = _counterparts(reelhook, options)
    post = _post(reelhook, options)
    # Before anything is sent: who is not let in need not wait for it.
    token = reelhook.api_token(options["api_token"]) if options["check"] else None
    world = World(
        seed=options["seed"],
        tasks=options["tasks"],
        hours=options["hours"],
        vendors=tuple(counterparts),
        queue=post.queue is not None,
    )
    faults = Faults(**{name: options[name] for name in ("duplicate", "reorder", "late", "drop", "bad_signature")})
    ways = arrivals(world, counterparts, faults)
    click.echo(
        f"{len(world.notices)} callbacks of {options['tasks']} tasks at {', '.join(counterparts)} go to {reelhook.url}"
    )
    with closing(post):
        played = play(ways, post, rate=options["rate"], say=_say(quiet=options["quiet"]))
    expectation = expect(told(played.delivered))
    _tell(played, expectation, quiet=options["quiet"])
    problems = list(played.problems)
    if token is not None:
        problems += _differences(reelhook, token, expectation, world.app_ids, options["patience"])
    for problem in shortened(problems):
        click.echo(f"WRONG: {problem}", err=True)
    if problems:
        sys.exit(1)
    if token is not None:
        click.echo("The catalogue holds exactly that.")


def _counterparts(reelhook: Reelhook, options: Mapping[str, Any]) -> dict[str, Counterpart]:
    """Return the account of each vendor that is played; raise click.UsageError where one is missing."""
    vendors = options["vendors"] or tuple(options["given_secrets"]) or _known(reelhook)
    return {
        vendor: reelhook.target(
            vendor, account=options["accounts"].get(vendor), secret=options["given_secrets"].get(vendor)
        ).counterpart
        for vendor in vendors
    }


def _known(reelhook: Reelhook) -> tuple[str, ...]:
    known = tuple(vendor for vendor in VENDORS if any(of == vendor for of, _ in reelhook.settings.accounts))
    if not known:
        raise click.UsageError("the settings have no account of a known vendor")
    return known


def _post(reelhook: Reelhook, options: Mapping[str, Any]) -> Post:
    place = None
    if options["queue"]:
        place = reelhook.queue(
            options["queue"], options["queue_endpoint"], options["access_key_id"], options["secret_access_key"]
        )
    return Post(http=HttpSender(reelhook.url), queue=None if place is None else QueueSender(place))


def _say(*, quiet: bool) -> Callable[[Arrival, Answer | None], None]:
    def say(way: Arrival, answer: Answer | None) -> None:
        if not quiet:
            told = "lost on its way" if answer is None else f"{answer.status} {answer.body}"
            forged = " (forged)" if way.notice.forged else ""
            click.echo(f"{way.callback.door} {name_of(way)}{forged}: {told}")

    return say


def _tell(played: Played, expectation: Expectation, *, quiet: bool) -> None:
    click.echo(
        f"{played.sent} sent, of which {played.repeats} were repeats and {played.refused} were refused; "
        f"{played.lost} lost on their way"
    )
    if played.undelivered:
        click.echo(f"{played.undelivered} could not be delivered: nothing is expected of them")
    if not played.delivered:
        return
    lines = list(describe(expectation))
    click.echo("A right catalogue holds now:")
    for line in lines[-1:] if quiet else lines:
        click.echo(f"  {line}")


def _differences(
    reelhook: Reelhook, token: str, expectation: Expectation, app_ids: Sequence[str], patience: float
) -> list[str]:
    with closing(HttpSender(reelhook.url)) as sender:
        return settle(Api(sender, token), expectation, app_ids, patience=patience)
