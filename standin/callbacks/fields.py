"""How one field of an event is changed from the command line: by its name, or its path through lists and objects."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def with_fields(told: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Return the event with each FIELD=VALUE in it; raise click.BadParameter for what names no field.

    A value stays text where the field held text; otherwise it is read as JSON, and is text where it is none.
    """
    changed = deepcopy(dict(told))
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not path or not equals:
            raise click.BadParameter(f"{setting!r}: expected FIELD=VALUE", param_hint="--set")
        holder, name = _place(changed, path, "--set")
        before = holder.get(name) if isinstance(holder, dict) else holder[name]
        value = text if isinstance(before, str) else _value(text)
        holder[name] = value
    return changed


def without_fields(told: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """Return the event without these fields; raise click.BadParameter for what is not there."""
    changed = deepcopy(dict(told))
    for path in paths:
        holder, name = _place(changed, path, "--without")
        if isinstance(holder, dict) and name not in holder:
            raise click.BadParameter(
                f"{path}: the event has no such field; it has {', '.join(holder)}", param_hint="--without"
            )
        del holder[name]
    return changed


def _place(told: Any, path: str, option: str) -> tuple[Any, Any]:  # noqa: ANN401 - any JSON value
    """Return the object or list that holds the field, and its name or number there."""
    *above, last = path.split(".")
    holder = told
    for step in above:
        holder = _below(holder, step, path, option)
    if isinstance(holder, list):
        _below(holder, last, path, option)
        return holder, int(last)
    if not isinstance(holder, dict):
        raise click.BadParameter(f"{path}: nothing has fields there", param_hint=option)
    return holder, last


def _below(holder: Any, step: str, path: str, option: str) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(holder, dict) and step in holder:
        return holder[step]
    if isinstance(holder, list) and step.isdecimal() and int(step) < len(holder):
        return holder[int(step)]
    raise click.BadParameter(f"{path}: {step!r} is not there", param_hint=option)


def _value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text)
    except ValueError:
        return text
