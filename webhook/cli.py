"""Decides what `reelhook ...` means: which command lives where, and how an error looks to whoever typed it.

A command is imported when it is named, and imports what it works with when it runs: help is there at once.
Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast

import click

from handlers.errors import DatabaseAway, ReelhookError, SettingsError, WrongRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: every command, and the module of webhook.commands that holds it under the same name
COMMANDS: Mapping[str, str] = {
    "serve": "serving",
    "web": "serving",
    "work": "serving",
    "poll": "serving",
    "migrate": "migrating",
    "accounts": "accounts",
    "recordings": "exporting",
    "segments": "exporting",
    "tasks": "lists",
    "deliveries": "lists",
    "refusals": "lists",
    "actions": "actions",
    "replay": "replaying",
    "release": "replaying",
    "rebuild": "rebuilding",
    "doctor": "doctor",
    "rules": "rules",
    "call": "calling",
    "standin": "standing_in",
    "demo": "standing_in",
}

DONE, FAILED, WRONG_USAGE = 0, 1, 2

EPILOG = """\b
Settings come from the environment and reelhook.toml; docs/configuration.md names them all.
Completion of words by the shell, for bash (or zsh, fish):
  eval "$(_REELHOOK_COMPLETE=bash_source reelhook)"
Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
"""


class Program(click.Group):
    """The commands by name, and the boundary at which foreseen errors become messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Name the commands in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        """Import the one command that is meant."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"webhook.commands.{COMMANDS[cmd_name]}")
        return cast("click.Command", getattr(module, cmd_name))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's signature)
        """Run the command; tell a foreseen error in its own words, without a traceback."""
        try:
            return super().invoke(ctx)
        except SettingsError as exc:
            _tell("the settings can't be used", exc.problems)
            ctx.exit(WRONG_USAGE)
        except WrongRequest as exc:
            wrong = [f"--{name.replace('_', '-')}: {why}" for name, why in exc.wrong.items()]
            _tell("the question can't be answered as it was put", wrong)
            ctx.exit(WRONG_USAGE)
        except DatabaseAway as exc:
            _tell(str(exc), ["Check DATABASE_URL, and that the database runs; `reelhook doctor` looks closer."])
            ctx.exit(FAILED)
        except ReelhookError as exc:
            _tell(str(exc), [])
            ctx.exit(FAILED)


def _tell(what: str, lines: Sequence[str]) -> None:
    click.echo(f"reelhook: {what}", err=True)
    for line in lines:
        click.echo(f"  {line}", err=True)


@click.group(
    cls=Program,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="reelhook", prog_name="reelhook", message="%(prog)s %(version)s")
def program() -> None:
    """Receive the cloud-recording callbacks of RTC vendors: verified, kept, catalogued."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and end the process."""
    program(args=arguments, prog_name="reelhook")
