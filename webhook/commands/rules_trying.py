"""`reelhook rules backtest|run`: rules tried on what was received, and applied to it for real."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from webhook.commands.actions import Since

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handlers.backtest import Source, Version, Window
    from handlers.database import Database
    from handlers.rules import Known
    from handlers.rules.rule_file import RuleFile
    from handlers.settings import Settings

_RULES_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_ABSENT = "has no rules"
_SINCE = "Received at this time or later, or so long ago at the most: 30d, 12h, 15m."


class Rate(click.ParamType[float]):
    """A number of actions in a span: `50/s`, `600/m`."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 (click's signature)
        """Return actions a second."""
        from handlers.settings.values import read_duration

        if isinstance(value, float):
            return value
        most, _, span = value.partition("/")
        try:
            rate = int(most) * 1000 / read_duration(span if span[:1].isdigit() else f"1{span}")
        except ValueError:
            rate = 0.0
        return rate if rate > 0 else self.fail(f"{value!r} came; expected a rate such as 50/s or 600/m", param, ctx)


def add_trying(rules: click.Group) -> None:
    """Add both commands to `reelhook rules`."""
    rules.add_command(backtest)
    rules.add_command(run)


def _windowed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which deliveries are meant."""
    vendor = click.option("--vendor", "vendors", multiple=True, metavar="VENDOR", help="Of this vendor.")
    account = click.option("--account", "accounts", multiple=True, metavar="ACCOUNT", help="Of this account.")
    until = click.option("--until", type=Since(), metavar="TIME", help="Received before this time, or longer ago.")
    since = click.option("--since", type=Since(), required=True, metavar="TIME", help=_SINCE)
    return since(until(vendor(account(command))))


@click.command()
@_windowed
@click.option("--rule", "names", multiple=True, metavar="NAME", help="Only this rule, also where it is disabled.")
@click.option("--file", "draft", type=_RULES_FILE, help="Try this file, and compare it with the one in force.")
@click.option("--show", type=click.IntRange(0, 10_000), default=20, help="Show so many calls; 20 by default.")
@click.option("--all-calls", is_flag=True, help="Print every call, one JSON object on a line, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON document.")
def backtest(
    *,
    names: Sequence[str],
    draft: Path | None,
    show: int,
    all_calls: bool,
    as_json: bool,
    **window: Any,  # noqa: ANN401 (its options)
) -> None:
    """Ask rules about what was received, and show the calls that they would have made; nothing is sent or written.

    Each event is judged as it was when it was received. The rules are those of REELHOOK_RULES, else ./rules.yaml.
    """
    from handlers.backtest import backtest as ask_again
    from webhook.backtest_report import as_document, told
    from webhook.commands.at_hand import load_settings, opened
    from webhook.progress import progress_bar

    settings = load_settings()
    tested = _version(settings, draft or settings.rules, names)
    span = _window(window)
    with opened(settings) as database:
        active, note = (None, None) if draft is None else _active(database, settings, names, draft)
        with (
            progress_bar("asking the rules") as advance,
            ask_again(_source(database, settings), span, tested, active, show=show, progress=advance) as done,
        ):
            if all_calls:
                for call in done.every_call():
                    click.echo(json.dumps(call, ensure_ascii=False))
                return
            document = as_document(done.found, draft or settings.rules)
    if note is not None:
        document["notes"].insert(0, note)
    click.echo(json.dumps(document, indent=2, ensure_ascii=False) if as_json else "\n".join(told(document)))


@click.command()
@click.argument("name")
@_windowed
@click.option("--rate", type=Rate(), default="50/s", help="Plan no more than this; 50/s by default.")
@click.option("--keep-age", is_flag=True, help="Leave out what is older than the rule's max_age.")
@click.option("--show", type=click.IntRange(0, 10_000), default=20, help="Show so many calls; 20 by default.")
@click.option("--preview", is_flag=True, help="Only show what would be planned.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="Print what was planned, or would be, as one JSON document.")
def run(  # noqa: PLR0913 (its options)
    *,
    name: str,
    rate: float,
    keep_age: bool,
    show: int,
    preview: bool,
    yes: bool,
    as_json: bool,
    **window: Any,  # noqa: ANN401 (its options)
) -> None:
    """Apply a rule to what was received, for real: plan what it asks for and has not planned yet.

    NAME is a rule of REELHOOK_RULES, else ./rules.yaml; it may be disabled. Says how many calls that are and asks.
    Workers make the calls, in their lanes and below the limits.
    """
    from handlers.backtest.applying import application
    from handlers.clock import now_ms
    from webhook.backtest_report import applied_document, preview_document, told_applied, told_preview
    from webhook.commands.asking import goes_on
    from webhook.commands.at_hand import load_settings, opened
    from webhook.progress import progress_bar

    settings = load_settings()
    version = _live_rule(settings, name)
    now = now_ms() if keep_age else None
    with ExitStack() as stack:
        source = _source(stack.enter_context(opened(settings)), settings)
        with progress_bar("asking the rule") as advance:
            asked = application(source, _window(window), version, now=now, progress=advance)
            applying = stack.enter_context(asked)
        seen = applying.preview(rate=rate, show=show)
        if preview or not as_json:
            click.echo(json.dumps(preview_document(seen), indent=2) if as_json else "\n".join(told_preview(seen)))
        found = (seen.rule.calls, False)
        if preview or not goes_on(found, "call", "calls", "Plan", "", preview=False, yes=yes, as_json=as_json):
            return
        with progress_bar("planning") as advance:
            applied = applying.apply(rate=rate, progress=advance)
    click.echo(json.dumps(applied_document(applied), indent=2) if as_json else told_applied(applied))


def _source(database: Database, settings: Settings) -> Source:
    from handlers.backtest import Source
    from handlers.vendors import VENDORS

    return Source(database=database, settings=settings, vendors=VENDORS)


def _window(given: dict[str, Any]) -> Window:
    from handlers.backtest import Window
    from handlers.clock import now_ms

    until = now_ms() if given["until"] is None else given["until"]
    if until <= given["since"]:
        raise click.UsageError("--until is not after --since: no delivery is meant")
    return Window(since=given["since"], until=until, vendors=given["vendors"], accounts=given["accounts"])


def _version(settings: Settings, path: Path, names: Sequence[str]) -> Version:
    """Read a file of rules; end with 1 and its problems where it is broken, with 2 where it has no such rule."""
    from handlers.backtest import Version, chosen
    from handlers.errors import ReelhookError
    from handlers.rules import Rules
    from handlers.rules.known import known_of
    from webhook.commands.rules import read_file, told_lines

    if not path.exists():
        raise ReelhookError(f"there is no {path}: no rules; name a file by --file or REELHOOK_RULES")
    known = known_of(settings)
    read = read_file(path, known)
    if read.errors:
        click.echo("\n".join(told_lines(path, read, (*read.errors, *read.warnings))))
        click.get_current_context().exit(1)
    missing = sorted(set(names) - {rule.name for rule in read.rules})
    if missing:
        there = ", ".join(rule.name for rule in read.rules) or "none"
        raise click.UsageError(f"{path.name} has no rule {', '.join(missing)}; it has {there}")
    return Version(path=path, rules=chosen(Rules(read.rules, known, version=read.version), known, names))


def _active(
    database: Database, settings: Settings, names: Sequence[str], draft: Path
) -> tuple[Version | None, str | None]:
    """Return the rules in force, to compare a draft with, and what is to be said of them.

    Where the file does not tell them, they are the last that a worker went by; None: nobody knows them.
    """
    from handlers.backtest import Version, chosen
    from handlers.inbox.rule_notes import last_text
    from handlers.rules import Rules
    from handlers.rules.known import known_of
    from handlers.rules.rule_file import read_rules

    known = known_of(settings)
    read, lacks = _in_file(settings.rules, known)
    note = None
    if read is None:
        text = last_text(database)
        last = None if text is None else read_rules(text, known)
        if (last is None and lacks != _ABSENT) or (last is not None and last.errors):
            return None, f"{settings.rules.name} {lacks}, and no rules of before are known: nothing to compare with."
        if last is None:
            return Version(path=draft, rules=Rules((), known)), None
        what = f"Compared with the rules that were in force last, version {last.version}"
        read, note = last, f"{what}: {settings.rules.name} {lacks}."
    rules = Rules(read.rules, known, version=read.version)
    return Version(path=draft, rules=chosen(rules, known, names)), note


def _in_file(path: Path, known: Known) -> tuple[RuleFile | None, str]:
    """Return the rules of a file; None where they are not to be gone by, and why."""
    from handlers.errors import ReelhookError
    from webhook.commands.rules import read_file

    if not path.exists():
        return None, _ABSENT
    try:
        read = read_file(path, known)
    except ReelhookError:
        return None, "can't be read"
    if read.errors:
        return None, "is broken"
    return (None, _ABSENT) if read.is_blank else (read, "")


def _live_rule(settings: Settings, name: str) -> Version:
    from handlers.errors import ReelhookError

    version = _version(settings, settings.rules, [name])
    if version.rules.all[0].mode == "shadow":
        what = f"the rule {name} is in shadow: nothing of it is ever sent"
        raise ReelhookError(f"{what}; look at it with `reelhook rules backtest --rule {name}`, or make it live first")
    return version
