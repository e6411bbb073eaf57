"""`reelhook standin ...`: the stand-ins by name, each imported when it is meant."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

#: each stand-in's command -> the module that defines it as `command`
COMMANDS: Mapping[str, str] = {
    "mns": "standin.mns.command",
    "callbacks": "standin.callbacks.command",
    "openapi": "standin.openapi.command",
}


class _Standins(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        return cast("click.Command", importlib.import_module(COMMANDS[cmd_name]).command)


@click.group(cls=_Standins)
def standin() -> None:
    """Imitate a vendor: its queue, its callbacks, its API; nothing leaves this machine."""


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where everything is written: an empty folder, which stays.  [default: a fresh one that goes with the demo]",
)
@click.option("--seconds", type=click.FloatRange(1, 3600), default=35.0, show_default=True, help="How long it plays.")
@click.option(
    "--seed", type=click.IntRange(0), default=4, show_default=True, help="Another one plays another scenario."
)
@click.option("--once", is_flag=True, help="End after the scenario: with 0 where the catalogue is right, else with 1.")
def demo(data: Path | None, *, seconds: float, seed: int, once: bool) -> None:
    """Show all three vendors in one catalogue: everything starts by itself, with stand-ins.

    It needs no configuration, uses free ports, writes into its own folder only, and ends with Ctrl-C.
    """
    from standin.demo import run  # noqa: PLC0415 - help is there at once

    sys.exit(run(data=data, seed=seed, seconds=seconds, once=once))
