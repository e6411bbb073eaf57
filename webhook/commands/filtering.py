"""Decides which filters a command takes, as options: those of the API, under the same names.

The words stand here once more, because whoever asks for help shall not wait for the database's libraries; a test
compares them with the handlers' own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.questions.filters import Filters

_IDS = ("vendor", "account", "app_id", "business_id", "room_id", "task_id")
_NAMES = (*_IDS, "type")
_RECEIVED = ("received_after", "received_before")
_CREATED = ("created_after", "created_before")
_OF_CALL = ("rule", "operation", "destination", "mode")
_STARTED = ("started_after", "started_before")
#: kind of row -> the filters that it knows
KNOWN: Mapping[str, tuple[str, ...]] = {
    "recordings": (*_NAMES, "user_id", "format", "state", "door", *_STARTED, *_RECEIVED, "updated_after", "q"),
    "segments": (*_IDS, "user_id", *_STARTED, *_RECEIVED, "q"),
    "tasks": (*_NAMES, "state", *_STARTED, "updated_after", "q"),
    "deliveries": (*_NAMES, "user_id", "format", "state", "door", "reason", *_RECEIVED, "q"),
    "refusals": ("vendor", "account", "door", "reason", *_RECEIVED),
    "actions": ("vendor", "account", "room_id", "task_id", "state", *_OF_CALL, "task", "recording", *_CREATED),
}
#: kind of row -> the states that its rows can have
STATES: Mapping[str, tuple[str, ...]] = {
    "recordings": ("announced", "available", "verified", "missing", "mismatch"),
    "segments": (),
    "tasks": ("unknown", "running", "stopped", "failed"),
    "deliveries": ("kept", "processed", "quarantined"),
    "refusals": (),
    "actions": ("planned", "shadow", "running", "done", "again", "dead", "superseded", "cancelled", "refused"),
}
TYPES = ("record", "segment", "push")
MODES = ("live", "shadow")
DOORS = ("http", "mns", "mns-topic", "sqs", "api", "sweep", "import")

_HELP: Mapping[str, str] = {
    "vendor": "Of this vendor.",
    "account": "Of this account.",
    "app_id": "Of this application at the vendor.",
    "business_id": "Of this business id.",
    "room_id": "Of this room or channel.",
    "task_id": "Of this task, by the vendor's name of it.",
    "user_id": "With this participant's picture or sound.",
    "format": "Of this file format, such as mp4.",
    "reason": "With this reason (of a delivery: what it begins with).",
    "started_after": "Started at this time or later.",
    "started_before": "Started before this time.",
    "received_after": "Received at this time or later.",
    "received_before": "Received before this time.",
    "updated_after": "Changed at this time or later.",
    "q": "Whose room, task or file key begins with this.",
    "rule": "That this rule asked for.",
    "operation": "Of this operation, such as http.post.",
    "destination": "To this destination.",
    "task": "Of the task with this id (tsk_...).",
    "recording": "Of the recording or segment with this id.",
    "created_after": "Planned at this time or later.",
    "created_before": "Planned before this time.",
}
#: the same where a kind of row has less: no index finds the key of a segment
_HELP_OF: Mapping[str, Mapping[str, str]] = {
    "segments": {"user_id": "With this participant's sound alone.", "q": "Whose room or task begins with this."},
    "tasks": {"q": "Whose room or task begins with this."},
}

Command = TypeVar("Command", bound="Callable[..., Any]")


class Moment(click.ParamType[int]):
    """A time: RFC 3339 with its offset, or a date, which begins at 00:00 UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 (click's signature)
        """Return milliseconds since 1970 UTC."""
        if isinstance(value, int):
            return value
        from handlers.moments import from_text

        try:
            return from_text(f"{value}T00:00:00Z" if len(value) == len("2020-09-02") else value)
        except ValueError:
            wanted = "a time with its offset, such as 2020-09-02T10:23:54Z, or a date, such as 2020-09-02"
            self.fail(f"{value!r} came; expected {wanted}", param, ctx)


def filter_options(kind: str, *, format_option: str = "--format") -> Callable[[Command], Command]:
    """Give a command an option for each filter of this kind of row; `format_option` names the one for the format."""

    def decorate(command: Command) -> Command:
        for name in reversed(KNOWN[kind]):
            command = _option(kind, name, format_option)(command)
        return command

    return decorate


def to_filters(values: Mapping[str, Any]) -> Filters:
    """Return the filters among a command's parameters."""
    from dataclasses import fields

    from handlers.questions.filters import Filters

    return Filters(**{one.name: values[one.name] for one in fields(Filters) if one.name in values})


def is_filtered(values: Mapping[str, Any]) -> bool:
    """Tell whether any filter was given."""
    return bool(to_filters(values).given())


def _option(kind: str, name: str, format_option: str) -> Callable[[Command], Command]:
    about = {**_HELP, **_HELP_OF.get(kind, {})}
    flag = format_option if name == "format" else f"--{name.replace('_', '-')}"
    if name.endswith(("_after", "_before")):
        return click.option(flag, name, type=Moment(), metavar="TIME", help=about[name])
    if name == "q":
        return click.option(flag, name, metavar="PREFIX", help=about[name])
    words = {"state": STATES[kind], "type": TYPES, "door": DOORS, "mode": MODES}.get(name)
    if words is not None:
        told = {
            "state": "In this state.",
            "type": "Of this type of task.",
            "door": "That came through this door.",
            "mode": "Of rules in this mode.",
        }
        return click.option(flag, name, type=click.Choice(words), multiple=True, help=told[name])
    return click.option(flag, name, multiple=True, metavar=name.upper(), help=about[name])
