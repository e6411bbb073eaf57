"""`reelhook actions ...`: what became of the calls that rules asked for, and what a person does about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from handlers.errors import ReelhookError, WrongRequest
from webhook.commands.asking import goes_on, json_option, preview_option, tell, yes_option
from webhook.commands.filtering import Moment, filter_options, to_filters
from webhook.commands.lists import Noun, dumped, group_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from handlers.actions.choosing import Retried
    from handlers.database import Database

#: most actions that one command retries
_MOST = 1_000_000
_ACTIONS = Noun(
    many="actions",
    one="action",
    prefix="act",
    help="The calls that rules asked for.",
    advice="`reelhook rules check` shows what rules.yaml makes of an event.",
)
_KINDS = ("rule", "operation", "account", "destination")

actions = group_of(_ACTIONS)


class Since(Moment):
    """A time, or how long ago it is: `30d`, `12h`, `15m`."""

    name = "time or duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 (click's signature)
        """Return milliseconds since 1970 UTC."""
        from handlers.clock import now_ms
        from handlers.settings.values import read_duration

        try:
            return now_ms() - read_duration(value)
        except (TypeError, ValueError):
            return super().convert(value, param, ctx)


def _switch(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each kind of thing that can be stopped."""
    about = {
        "rule": "This rule.",
        "operation": "This operation, such as http.post.",
        "account": "This account; as vendor/name where several vendors have one.",
        "destination": "This destination.",
    }
    command = click.option("--all", "everything", is_flag=True, help="Every call.")(command)
    for kind in reversed(_KINDS):
        command = click.option(f"--{kind}", metavar=kind.upper(), help=about[kind])(command)
    return command


@actions.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@json_option
def retry(ids: Sequence[str], *, as_json: bool) -> None:
    """Make calls again: at once, and by their whole schedule.

    An action can be retried that is dead, cancelled, or waiting for its next try, unless it is about a run that is
    over, or the step before it is not done. It is made whatever its rule's max_age; where a newer call sets all that it
    would, it ends superseded instead.
    """
    from handlers.actions import retry
    from handlers.catalogue.endings import over_for_good
    from handlers.inbox.consequences import covers

    def retry_one(database: Database, one: str) -> str:
        if (why := retry(database, one, over=over_for_good, covers=covers)) is None:
            return "retried"
        click.echo(f"{one} is not made again, and ends superseded: {why}", err=True)
        return "superseded"

    _each(ids, ("retried", "superseded"), retry_one, as_json=as_json)


@actions.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@json_option
def cancel(ids: Sequence[str], *, as_json: bool) -> None:
    """Cancel calls that are not made yet, and the steps after them.

    A call that is under way can't be cancelled.
    """
    from handlers.actions import cancel

    def cancel_one(database: Database, one: str) -> str:
        cancel(database, one)
        return "cancelled"

    _each(ids, ("cancelled",), cancel_one, as_json=as_json)


@actions.command("retry-all")
@filter_options("actions")
@preview_option
@yes_option
@json_option
def retry_all(*, preview: bool, yes: bool, as_json: bool, **values: Any) -> None:  # noqa: ANN401 (click hands over the options by name)
    """Make the calls again that the filters let through.

    Without --state the dead ones are meant; `cancelled` and `again` are the other states that can be retried. Says how
    many there are and asks before it begins. Left out, and counted apart, is what is about a run that is over, and a
    step where the one before it is not done; what a newer call makes superfluous ends superseded.
    """
    from handlers.actions import preview_retry, retry_matching
    from handlers.catalogue.endings import over_for_good, over_now
    from handlers.inbox.consequences import covers
    from webhook.commands.at_hand import load_settings, opened

    filters = to_filters(values)
    with opened(load_settings()) as database:
        with database.read() as connection:
            seen = preview_retry(connection, filters, over=over_now, covers=covers)
        _tell_not_retried(seen, as_json=as_json)
        found, apart = (seen.count, seen.more), {"left_out": seen.left_out, "superseded": seen.superseded}
        if goes_on(found, "action", "actions", "Retry", "", preview=preview, yes=yes, as_json=as_json, **apart):
            done = retry_matching(database, filters, over=over_for_good, over_now=over_now, covers=covers, most=_MOST)
            numbers = {"retried": done.count, "left_out": done.left_out, "superseded": done.superseded}
            tell(numbers, as_json=as_json, text=_said_of(numbers, "retried", "superseded"))


@actions.command()
@click.option("--rule", required=True, metavar="RULE", help="That this rule asked for.")
@click.option(
    "--since",
    required=True,
    type=Since(),
    metavar="TIME",
    help="Planned at this time or later, or so long ago at the most: 30d, 12h, 15m.",
)
@click.option("--until", type=Since(), metavar="TIME", help="Planned before this time, or longer ago than this.")
@click.option("--if", "condition", metavar="CEL", help="For which this is true: see docs/actions.md.")
@click.option(
    "--state",
    type=click.Choice(("done", "dead")),
    multiple=True,
    default=("done",),
    show_default=True,
    help="That ended so.",
)
@preview_option
@yes_option
@json_option
def rerun(*, preview: bool, yes: bool, as_json: bool, condition: str | None, **values: Any) -> None:  # noqa: ANN401 (click hands over the options by name)
    """Repeat calls that were done, as a new generation that is linked to the old.

    With the same parameters, for when what they led to was lost or wrong. Of a call that was repeated before, only the
    last is repeated. Says how many there are and asks before it begins. What is about a run that is over is left out
    with the steps after it, and counted apart.
    """
    from handlers.questions.filters import Filters
    from handlers.rerunning import choose, read_condition
    from handlers.rerunning import rerun as repeat
    from webhook.commands.at_hand import load_settings, opened

    checked = None if condition is None else read_condition(condition)
    span = {"created_after": values["since"], "created_before": values["until"]}
    with opened(load_settings()) as database:
        chosen = choose(database, Filters(rule=(values["rule"],), state=values["state"], **span), checked)
        if chosen.failed:
            many = "1 action" if chosen.failed == 1 else f"{chosen.failed} actions"
            click.echo(f"For {many} the condition has no value, and they are left out: {chosen.failure}", err=True)
        _tell_left_out(chosen.too_late, as_json=as_json)
        found, apart = (chosen.count, False), {"left_out": chosen.too_late}
        if goes_on(found, "action", "actions", "Repeat", "", preview=preview, yes=yes, as_json=as_json, **apart):
            done = repeat(database, chosen)
            tell({"repeated": done} | (apart if as_json else {}), as_json=as_json)


@actions.command()
@click.argument("action", metavar="ID")
@click.argument("outcome", metavar="done|failed", type=click.Choice(("done", "failed")))
@click.option("--detail", default="", metavar="TEXT", help="What a person should know of it.")
def result(action: str, outcome: Any, *, detail: str) -> None:  # noqa: ANN401 (click.Choice says which texts)
    """Say what became of a hand-over that was done, for a consumer that finishes later.

    One that failed is dead, and can be retried.
    """
    from handlers.actions import record_result

    def record(database: Database, one: str) -> str:
        record_result(database, one, outcome, detail=detail)
        return "noted"

    _each([action], ("noted",), record, as_json=False)


@actions.command()
@_switch
@json_option
def stop(*, as_json: bool, **values: Any) -> None:  # noqa: ANN401 (click hands over the options by name)
    """Stop calls, on every machine, within a second.

    Those under way are finished; what waits keeps its place until it may go on.
    """
    from handlers.actions import stop as stop_one
    from handlers.clock import now_ms
    from webhook.commands.at_hand import load_settings, opened
    from webhook.switching import is_known, whole_name

    kind, name = _meant(values)
    settings = load_settings()
    with opened(settings) as database:
        name = whole_name(settings, kind, name)
        stop_one(database, kind, name, now=now_ms())
        known = is_known(database, kind, name)
    tell({"stopped": {"kind": kind, "name": name}}, as_json=as_json, text=f"Stopped: {_said(kind, name)}.")
    if not known:
        click.echo(f"No action was ever planned of {_said(kind, name)}; look at how the name is written.", err=True)


@actions.command()
@_switch
@json_option
def go(*, as_json: bool, **values: Any) -> None:  # noqa: ANN401 (click hands over the options by name)
    """Let calls go on that were stopped.

    `reelhook actions stopped` shows what is.
    """
    from handlers.actions import go as let_go
    from webhook.commands.at_hand import load_settings, opened
    from webhook.switching import whole_name

    kind, name = _meant(values)
    settings = load_settings()
    with opened(settings) as database:
        name = whole_name(settings, kind, name)
        if not let_go(database, kind, name):
            raise ReelhookError(f"{_said(kind, name)}: not stopped; `reelhook actions stopped` shows what is")
    tell({"going": {"kind": kind, "name": name}}, as_json=as_json, text=f"Goes on: {_said(kind, name)}.")


@actions.command()
@click.option("--json", "as_json", is_flag=True, help='Print JSON as the API does: {"items": [...]}.')
def stopped(*, as_json: bool) -> None:
    """List what is stopped by hand."""
    from handlers.questions import acting
    from webhook.columns import print_list
    from webhook.commands.at_hand import load_settings, opened

    with opened(load_settings()) as database, database.read() as connection:
        items = acting.stopped(connection)
    if as_json:
        click.echo(dumped({"items": items}))
    elif items:
        print_list("stopped", items)
    else:
        click.echo("Nothing is stopped.")


def _each(ids: Sequence[str], words: Sequence[str], verb: Callable[[Database, str], str], *, as_json: bool) -> None:
    """Do it to each of the actions; tell of how many what became, one of the words, and why of each nothing could."""
    from webhook.commands.at_hand import load_settings, opened

    numbers, problems = dict.fromkeys(words, 0), []
    with opened(load_settings()) as database:
        for one in ids:
            try:
                _expect_id(one)
                numbers[verb(database, one)] += 1
            except WrongRequest as exc:
                problems.append(f"{one}: {exc.wrong['id']}")
    if problems:
        told = ", ".join(f"{word} {numbers[word]}" for word in words if numbers[word] or word == words[0])
        raise ReelhookError("\n  ".join([told, *problems]))
    tell(numbers, as_json=as_json, text=_said_of(numbers, *words))


def _said_of(numbers: Mapping[str, int], first: str, *others: str) -> str:
    """Say the first number, and those of the others that are not 0."""
    return ", ".join(f"{numbers[word]} {word}" for word in (first, *others) if numbers[word] or word == first)


def _tell_left_out(count: int, *, as_json: bool) -> None:
    """Tell people how many are left out, and why; programs find the number with the others."""
    if count and not as_json:
        some = (
            "1 action is left out, for its run is"
            if count == 1
            else f"{count} actions are left out, for their runs are"
        )
        click.echo(f"{some} over, and a call could reach another run of that name.", err=True)


def _tell_not_retried(seen: Retried, *, as_json: bool) -> None:
    """Tell people of those that are not made again, and why."""
    if as_json:
        return
    if seen.left_out:
        some = "1 action is" if seen.left_out == 1 else f"{seen.left_out} actions are"
        why = "a run is over, so that a call could reach another of that name, or the step before it is not done"
        click.echo(f"{some} left out: {why}.", err=True)
    if seen.superseded:
        some = "1 action ends" if seen.superseded == 1 else f"{seen.superseded} actions end"
        click.echo(f"{some} superseded instead: a newer call sets all that it would.", err=True)


def _expect_id(action: str) -> None:
    if not (action.startswith("act_") and action.isascii() and action.isprintable()):
        raise WrongRequest({"id": "there is no such action; their ids begin with act_"})


def _meant(values: dict[str, Any]) -> tuple[str, str]:
    """Return the kind and the name of what one of the options names."""
    given = [(kind, values[kind]) for kind in _KINDS if values[kind] is not None]
    given += [("all", "")] if values["everything"] else []
    if len(given) != 1:
        wanted = ", ".join(f"--{kind}" for kind in (*_KINDS, "all"))
        raise click.UsageError(f"{len(given) or 'none'} of them came; expected exactly one of {wanted}")
    return given[0]


def _said(kind: str, name: str) -> str:
    return f"{kind} {name}" if name else "every call"
