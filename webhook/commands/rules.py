"""`reelhook rules ...`: what can be known of the rules before anything happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from webhook.commands.rules_listing import add_listing
from webhook.commands.rules_trying import add_trying

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handlers.rules import Known, Problem
    from handlers.rules.rule_file import RuleFile
    from handlers.settings import Settings


@click.group()
def rules() -> None:
    """Check what rules.yaml makes Reelhook do, try it on what was received, and look at what it did."""


add_listing(rules)
add_trying(rules)


@rules.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help='Print {"file", "version", "rules", "problems"}.')
@click.pass_context
def check(context: click.Context, file: Path | None, *, as_json: bool) -> None:
    """Check a file of rules: everything that can be known without an event; run its `tests:`.

    FILE is by default the one that would be used: REELHOOK_RULES, else ./rules.yaml. It ends with 1 where anything
    is wrong or a test fails; warnings alone are no failure.
    """
    from handlers.rules.known import known_of
    from webhook.commands.at_hand import load_settings

    settings = load_settings()
    path = file or settings.rules
    if settings.rules_named and not path.exists():
        raise click.UsageError(f"REELHOOK_RULES: there is no file {path}")
    if not path.exists():
        click.echo(_json(path, None, ()) if as_json else f"there is no {path}: no rules")
        return
    known = known_of(settings)
    read = read_file(path, known)
    unfit = list(_unfit(read, settings))
    errors = sorted([*read.errors, *(one for one in unfit if one.level == "error")])
    warnings = sorted([*read.warnings, *(one for one in unfit if one.level == "warning")])
    found = (*errors, *_failed(read, known), *warnings)
    click.echo(_json(path, read, found) if as_json else "\n".join(told_lines(path, read, found)))
    if any(one.level == "error" for one in found):
        context.exit(1)


def read_file(path: Path, known: Known) -> RuleFile:
    """Read a file of rules, whatever is wrong in it; raise ReelhookError where it can't be read at all."""
    from handlers.errors import ReelhookError
    from handlers.rules.rule_file import read_rules

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as exc:
        raise ReelhookError(f"{path} can't be read: {exc}; expected a text in UTF-8") from exc
    return read_rules(text, known)


def _unfit(read: RuleFile, settings: Settings) -> Iterator[Problem]:
    """Yield what keeps calls from their destinations: an error, or a warning where it is this machine's."""
    from handlers.destinations import OPERATIONS, unfit_for
    from handlers.rules import Problem

    for rule in read.rules:
        steps = {
            (operation, to, frozenset(name for name, value in given.items() if value is not None))
            for case in rule.cases.values()
            for operation, given in zip(rule.steps, case.parameters, strict=True)
            if operation in OPERATIONS and isinstance(to := given.get("to"), str) and to in settings.destinations
        }
        for operation, to, given in sorted(steps, key=lambda step: (step[0], step[1], sorted(step[2]))):
            for is_everywhere, reason in unfit_for(operation, settings.destinations[to], given):
                text = f"{operation}: {reason}"
                level: Literal["error", "warning"] = "error" if is_everywhere else "warning"
                yield Problem(line=rule.place.line, column=rule.place.column, text=text, level=level)


def _failed(read: RuleFile, known: Known) -> Sequence[Problem]:
    from handlers.rules import Rules
    from handlers.rules.samples import run_samples

    return run_samples(Rules(read.rules, known), known)


def told_lines(path: Path, read: RuleFile, found: Sequence[Problem]) -> list[str]:
    """Return what was found in a file, a line each, and the sum of it."""
    wrong = sum(one.level == "error" for one in found)
    tests = sum(len(rule.samples) for rule in read.rules)
    said = f"{_counted(wrong, 'problem')} in {path.name}" if wrong else f"{path.name} is in order"
    told = "" if read.errors else f": {_counted(len(read.rules), 'rule')}, {_counted(tests, 'test')}"
    return [*(one.shown(path.name) for one in found), f"{said}{told}"]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _json(path: Path, read: RuleFile | None, found: Sequence[Problem]) -> str:
    problems = [{"line": one.line, "column": one.column, "level": one.level, "text": one.text} for one in found]
    told = {
        "file": str(path),
        "version": read.version if read is not None else None,
        "rules": [rule.name for rule in read.rules] if read is not None else [],
        "problems": problems,
    }
    return json.dumps(told, indent=2, ensure_ascii=False)
