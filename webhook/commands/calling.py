"""`reelhook call`: one call of a vendor's API by hand, through lane and limit, and what became of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import click

from handlers.errors import ReelhookError, WrongRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from io import TextIOWrapper

    from handlers.by_hand import Standing, Wanted
    from handlers.database import Database
    from handlers.questions.items import Item
    from handlers.settings import Settings

#: seconds between two looks at the action, and at what may hold it back
_LOOK_EVERY: Final = 0.1
_ASK_WHY_EVERY: Final = 1.0
_DONE: Final = "done"


@click.command()
@click.argument("operation", required=False)
@click.option("--account", metavar="NAME", help="Whose call it is. Unless told the task's, or the vendor's only one.")
@click.option(
    "--set",
    "written",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter; OUTER.INNER=VALUE for what lies deeper. Values are read as in rules.yaml, lists as JSON, "
    "and as they stand where text is wanted.",
)
@click.option(
    "--json-parameters",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="Parameters as a JSON object; - is standard input. What --set says is set in it.",
)
@click.option("--task", metavar="ID", help="The task of the catalogue that it is about; its parameters follow from it.")
@click.option("--dry-run", is_flag=True, help="Print the signed request with its secrets hidden, and send nothing.")
@click.option("--wait", metavar="DURATION", default="60s", show_default=True, help="How long to wait for the outcome.")
@click.option("--no-wait", is_flag=True, help="Print the action's id at once.")
@click.pass_context
def call(context: click.Context, /, operation: str | None, **options: Any) -> None:  # noqa: ANN401 (click hands over the options by name)
    """Make one call of a vendor's API by hand, such as an update of a task.

    OPERATION is a vendor's call as rules write it; without one, all are named. The call is checked as a rule's is, and
    planned: a running worker makes it, in its turn and below the vendor's limit. Ends with 0 once it is done, and with
    1 where it is not.
    """
    from webhook.commands.at_hand import load_settings

    settings = load_settings()
    try:
        is_done = _call(settings, operation, options)
    except WrongRequest as exc:
        click.echo("reelhook: the call can't be made as it was put", err=True)
        for name, why in exc.wrong.items():
            _say(f"  {name}: {why}")
        context.exit(2)
    context.exit(0 if is_done else 1)


def _call(settings: Settings, operation: str | None, options: Mapping[str, Any]) -> bool:
    from handlers.by_hand import find_operation, names_of_operations, read_object, read_parameters
    from handlers.settings.values import listed
    from webhook.commands.at_hand import opened

    if operation is None:
        raise WrongRequest({"OPERATION": f"is not given; known: {listed(names_of_operations())}"})
    model = find_operation(operation).parameters
    seconds = _seconds(options["wait"])
    text = _text(options["json_parameters"])
    parameters = read_parameters(options["written"], {} if text is None else read_object(text), model)
    # Without a task everything that may be wrong is known without a database, and told before one is opened.
    wanted = None if options["task"] is not None else _want(settings, None, operation, parameters, options)
    if wanted is not None and options["dry_run"]:
        return _show(wanted)
    with opened(settings) as database:
        wanted = wanted or _want(settings, database, operation, parameters, options)
        if options["dry_run"]:
            return _show(wanted)
        return _make(database, settings, wanted, None if options["no_wait"] else seconds)


def _seconds(wait: str) -> float:
    from handlers.settings.values import read_duration

    try:
        return read_duration(wait) / 1000
    except ValueError as exc:
        raise WrongRequest({"--wait": str(exc)}) from exc


def _text(file: TextIOWrapper | None) -> str | None:
    try:
        return None if file is None else file.read()
    except ValueError as exc:
        raise WrongRequest({"--json-parameters": f"can't be read: {exc}; expected UTF-8"}) from exc


def _want(
    settings: Settings,
    database: Database | None,
    operation: str,
    parameters: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Wanted:
    from handlers.by_hand import want
    from handlers.clock import now_ms

    task = None if database is None else _task(database, options["task"])
    wanted = want(settings, operation, parameters, account=options["account"], task=task, at=now_ms())
    if wanted.made is not None:
        _say(f"{wanted.made[0]} is not given: the new task is {wanted.made[1]}")
    for note in wanted.notes:
        _say(note)
    return wanted


def _task(database: Database, task: str) -> Item:
    from handlers.catalogue.endings import over_now
    from handlers.questions import show_task

    found, over = None, {}
    if task.isascii() and task.isprintable():  # nothing else is an id, and some of it no database takes
        with database.read() as connection:
            found = show_task(connection, task)
            over = over_now(connection, [task])
    if found is None:
        raise WrongRequest({"--task": f"there is no task {task}; `reelhook tasks list` shows them"})
    if task in over:
        _say(f"the run is over ({over[task]}): the vendor may refuse the call, or it could reach another of that name")
    return found


def _show(wanted: Wanted) -> bool:
    import secrets

    from handlers.by_hand import shown
    from handlers.clock import now_ms

    click.echo(shown(wanted, at=now_ms(), nonce=secrets.token_hex(16)))
    return True


def _make(database: Database, settings: Settings, wanted: Wanted, seconds: float | None) -> bool:
    """Plan the call and wait so many seconds for its end; return whether it is done, or was not waited for (None)."""
    from handlers.by_hand import hindrances, plan_by_hand

    action = plan_by_hand(database, settings, wanted)
    if seconds is None:
        click.echo(action)
        return True
    _say(f"{action} is planned")
    seen = _followed(database, action, seconds)
    _tell(seen)
    if not seen.is_over:
        raise ReelhookError(_unended(seen, seconds, hindrances(database, seen)))
    return seen.state == _DONE


def _followed(database: Database, action: str, seconds: float) -> Standing:
    """Return the action once it is over, or as it is when the time is up; say meanwhile what holds it back."""
    from handlers.by_hand import hindrances, standing

    until = time.monotonic() + seconds
    ask_at = time.monotonic() + _ASK_WHY_EVERY
    said: set[str] = set()
    while not (seen := standing(database, action)).is_over and time.monotonic() < until:
        if time.monotonic() >= ask_at:
            for why in hindrances(database, seen):
                kind = why.partition(":")[0]  # what follows is a number that changes
                if kind not in said:
                    _say(f"waiting: {why}")
                    said.add(kind)
            ask_at = time.monotonic() + _ASK_WHY_EVERY
        time.sleep(_LOOK_EVERY)
    return seen


def _tell(seen: Standing) -> None:
    """Print what became of the call."""
    from webhook.columns import shown

    lines = {
        "state": seen.state,
        "code": seen.code,
        "request id": seen.request_id,
        "detail": seen.detail,
        "reason": None if _is_said(seen) else seen.reason,
        "attempts": str(seen.attempts),
    }
    click.echo(f"{seen.action} {seen.operation}")
    for name, value in lines.items():
        if value:
            click.echo(f"  {name + ':':12}{shown(value).plain}")


def _is_said(seen: Standing) -> bool:
    """Tell whether the reason is the last attempt's words, and nothing beyond them."""
    return (seen.detail or "").startswith((seen.reason or "").removeprefix(f"{seen.code}: "))


def _unended(seen: Standing, seconds: float, hindered: Sequence[str]) -> str:
    look = f"`reelhook actions show {seen.action}` shows what becomes of it"
    if seen.is_taken_up:
        return f"the call was not over within {seconds:g} s, and goes on; {look}"
    worker = "if none runs, start one by `reelhook work`, or `reelhook serve`"
    why = f" ({'; '.join(hindered)})" if hindered else ""
    end = f"`reelhook actions cancel {seen.action}` ends it"
    return f"no worker took the call up within {seconds:g} s{why}: {worker}. It stays planned; {look}, {end}"


def _say(what: str) -> None:
    """Say on standard error what may hold words of the vendor's, or whatever was typed."""
    from webhook.columns import shown

    click.echo(shown(what).plain, err=True)
