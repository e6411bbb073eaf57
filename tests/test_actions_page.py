"""docs/actions.md against the code: its states, its conditions, its commands and its paths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from handlers.actions.stages import STATES
from handlers.rerunning import read_condition
from webhook.app import create_app
from webhook.cli import program

if TYPE_CHECKING:
    from handlers.settings import Settings

PAGE = (Path(__file__).parent.parent / "docs" / "actions.md").read_text()


def test_every_state_stands_in_the_table_and_no_other() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(STATES)


def conditions() -> list[str]:
    (listed,) = re.findall(r"```cel\n(.*?)```", PAGE, re.DOTALL)
    return [*listed.splitlines(), *re.findall(r"--if '([^']+)'", PAGE)]


@pytest.mark.parametrize("condition", conditions())
def test_every_condition_can_be_used(condition: str) -> None:
    assert read_condition(condition).kind == "boolean"


@pytest.mark.parametrize("line", sorted(set(re.findall(r"reelhook (actions [a-z-]+(?: --[a-z-]+| [^\s`']+)*)", PAGE))))
def test_every_command_and_option_is_there(line: str) -> None:
    group, name, *rest = line.split()
    parent = program.get_command(click.Context(program), group)
    assert isinstance(parent, click.Group)
    command = parent.get_command(click.Context(parent), name)
    assert command is not None, name
    known = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_path_is_one_of_the_api(settings: Settings) -> None:
    paths = create_app(settings).test_client().get("/openapi.json").get_json()["paths"]
    named = re.findall(r"`(GET|POST) (/api/v1/[^`]+)`", PAGE)
    assert len(named) >= 8
    for method, path in named:
        assert method.lower() in paths.get(path, ()), f"{method} {path}"
