"""`reelhook standin ...`: the stand-ins by name, each imported when it is meant."""

from __future__ import annotations

import importlib
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
def demo() -> None:
    """Start everything with stand-ins, play a scenario, and say where to look."""
