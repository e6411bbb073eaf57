"""`reelhook doctor`: what is wrong with this installation, and what to do."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.doctor.findings import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help='Print [{"check", "level", "says", "do"}, ...].')
@click.option(
    "--retry-spool", is_flag=True, help="First put the deliveries that the database refused back in the spool's line."
)
def doctor(*, as_json: bool, retry_spool: bool) -> None:
    """Look at settings, machine, database and spool, and say what to do.

    Each finding is ok, warn or fail. Ends with 0 if none fails, else with 1. Nothing is changed, unless by
    --retry-spool.
    """
    from handlers.doctor.examination import examine
    from handlers.vendors import VENDORS

    if retry_spool:
        _retry()
    found = list(examine(os.environ, tuple(VENDORS)))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        _print(found)
    sys.exit(any(one.level == "fail" for one in found))


def _retry() -> None:
    from handlers.doctor.examination import retry_spool
    from webhook.commands.at_hand import load_settings

    count = retry_spool(load_settings())
    click.echo(
        f"{count} deliveries were put back in the spool's line; they go to the database within a second", err=True
    )


def _print(found: Sequence[Finding]) -> None:
    width = max(len(one.check) for one in found)
    for one in found:
        click.echo(f"{click.style(f'{one.level:4}', fg=_COLOURS[one.level])}  {one.check:{width}}  {one.says}")
        if one.do:
            click.echo(f"{'':{width + 8}}-> {one.do}")
    counts = {level: sum(one.level == level for one in found) for level in _COLOURS}
    click.echo(f"\n{counts['fail']} to mend, {counts['warn']} to look at, {counts['ok']} in order.")
