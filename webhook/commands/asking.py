"""Decides whether an order about many goes on: it is told how many there are, and somebody has agreed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

preview_option = click.option("--preview", is_flag=True, help="Only say how many there are.")
yes_option = click.option("--yes", is_flag=True, help="Don't ask.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")


def goes_on(  # noqa: PLR0913 (the parts of one sentence, and the options)
    found: tuple[int, bool],
    one: str,
    many: str,
    verb: str,
    again: str,
    *,
    preview: bool,
    yes: bool,
    as_json: bool,
    **apart: int,
) -> bool:
    """Tell how many there are, and ask; return whether to go on.

    `found` is how many, and whether there are more; `apart` are further numbers, which programs see with the preview.
    Of those, `superseded` are changed too, and for good: for them alone it is asked as well.
    Raises click.UsageError where nobody is there to be asked.
    """
    count, is_more = found
    named = f"{count}{' or more' if is_more else ''} {one if count == 1 and not is_more else many}"
    if preview:
        text = f"{named} match{'es' if count == 1 else ''}."
        tell({"matching": count, "more": is_more} | apart, as_json=as_json, text=text)
        return False
    superseded = apart.get("superseded", 0)
    if yes or not (count or superseded):
        return True
    if superseded:
        named += f" (and {superseded} end{'s' if superseded == 1 else ''} superseded)"
    if not sys.stdin.isatty():
        raise click.UsageError(f"{named}: nobody is here to be asked; add --yes, or --preview to look only")
    return click.confirm(" ".join(filter(None, (verb, named, again))) + "?", err=True)


def tell(numbers: Mapping[str, Any], *, as_json: bool, text: str | None = None) -> None:
    """Print what was done: as JSON, as the text, or else as the numbers with their names."""
    click.echo(json.dumps(numbers) if as_json else text or ", ".join(f"{n} {name}" for name, n in numbers.items()))
