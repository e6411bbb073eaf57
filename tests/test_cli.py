"""The command line: help at once, the API's answers, exit codes, and no traceback for what was foreseen."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from conftest import API_TOKEN, TOKEN
from program import free_port, running, wait_until
from terminal import PROGRAM, told, typed

from handlers import events
from handlers.questions import filters
from webhook.cli import COMMANDS, program
from webhook.commands import filtering

if TYPE_CHECKING:
    from collections.abc import Iterator

#: seconds: help must be there at once
HELP_AT_MOST = 0.5


def every_command(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from every_command(below, *path, name)


TREE = dict(every_command(program))


@pytest.mark.parametrize(
    "path", [path for path in TREE if len(path) != 1 or path[0] not in ("work", "poll")], ids=" ".join
)
def test_help_comes_in_under_half_a_second(path: tuple[str, ...]) -> None:
    taken = []
    for _ in range(8):
        begun = time.monotonic()
        done = typed(*path, "--help", environ={})
        taken.append(time.monotonic() - begun)
        assert done.returncode == 0
        assert done.stdout.startswith("Usage: reelhook")
        if min(taken) < HELP_AT_MOST:
            return
    pytest.fail(f"the fastest of {len(taken)} runs took {min(taken):.2f} s")


def test_help_loads_none_of_the_heavy_libraries() -> None:
    heavy = {"sqlalchemy", "alembic", "flask", "gunicorn", "pydantic", "psycopg", "rich", "structlog"}
    code = (
        "import sys\nfrom webhook.cli import main\n"
        "try: main(['recordings', 'export', '--help'])\n"
        f"except SystemExit: print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([PROGRAM[0], "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_every_command_and_every_option_says_what_it_does() -> None:
    for path, command in TREE.items():
        assert command.help, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (path, parameter.name)


def test_every_command_and_every_option_stands_in_the_documentation() -> None:
    text = (Path(__file__).parent.parent / "docs" / "commands.md").read_text()
    sections = {section.split("`", 1)[0]: section for section in text.split("## `reelhook ")[1:]}
    for path, command in TREE.items():
        if isinstance(command, click.Group):
            continue
        assert " ".join(path) in sections, f"docs/commands.md has no section `reelhook {' '.join(path)}`"
        for parameter in command.params:
            for flag in parameter.opts if isinstance(parameter, click.Option) else ():
                assert f"`{flag}" in sections[" ".join(path)], f"{flag} of `reelhook {' '.join(path)}`"


def test_the_documentation_knows_no_command_that_is_not_there() -> None:
    text = (Path(__file__).parent.parent / "docs" / "commands.md").read_text()
    named = {section.split("`", 1)[0] for section in text.split("## `reelhook ")[1:]}
    assert named <= {" ".join(path) for path in TREE}


def test_the_filters_are_the_handlers_own() -> None:
    assert dict(filtering.KNOWN) == dict(filters.KNOWN)
    assert dict(filtering.STATES) == dict(filters.STATES)
    assert filters.TYPES == filtering.TYPES
    assert events.DOORS == filtering.DOORS
    assert filters.MODES == filtering.MODES


def test_the_version_is_the_packages() -> None:
    done = typed("--version", environ={})
    assert (done.returncode, done.stdout) == (0, "reelhook 0.1.0\n")


# The demo and the stand-ins read no settings at their start, and `rules` alone does nothing.
@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {*filtering.KNOWN, "doctor", "rules", "standin", "demo"}))
def test_every_mistake_in_the_settings_stands_on_a_line_of_its_own(command: str, tmp_path: Path) -> None:
    done = typed(command, environ={"PORT": "high", "REELHOOK_LOG": "loud", "REELHOOK_DATA": str(tmp_path / "data")})
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["reelhook", "PORT", "REELHOOK_LOG"]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", [["recordings", "lst"], ["tasks", "list", "--fromat", "x"], ["nonsense"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    done = typed(*arguments, environ={})
    assert done.returncode == 2
    assert "Error: No such" in done.stderr


def test_a_database_that_is_away_is_told_without_a_traceback(tmp_path: Path) -> None:
    config = tmp_path / "reelhook.toml"
    config.write_text('[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN"]\n')
    environ = {
        "DATABASE_URL": f"postgresql://postgres:hidden@127.0.0.1:{free_port()}/nowhere",
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_DATA": str(tmp_path / "data"),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
    }
    for arguments in (["recordings", "list"], ["migrate"], ["replay", "--yes"], ["rebuild", "--yes"]):
        done = typed(*arguments, environ=environ)
        assert done.returncode == 1, arguments
        assert "DATABASE_URL" in done.stderr
        assert "Traceback" not in done.stderr
        assert "hidden" not in done.stderr


def test_before_the_first_start_a_question_says_what_to_do(tmp_path: Path) -> None:
    done = typed("recordings", "list", environ={"REELHOOK_DATA": str(tmp_path / "data")})
    assert done.returncode == 1
    assert "reelhook serve" in done.stderr
    assert not (tmp_path / "data").exists()


def test_migrate_says_what_it_did(tmp_path: Path) -> None:
    environ = {"REELHOOK_DATA": str(tmp_path / "data")}
    assert "brought from empty to revision" in typed("migrate", environ=environ).stdout
    assert "is up to date" in typed("migrate", environ=environ).stdout
    done = typed("recordings", "list", environ=environ)
    assert (done.returncode, done.stdout.startswith("No recordings yet.")) == (0, True)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_accounts_are_the_public_contract(environ: dict[str, str]) -> None:
    expected = f"https://hooks.example.com/callbacks/aliyun/lessons?token={TOKEN}"
    environ["REELHOOK_PUBLIC_URL"] = "https://hooks.example.com"
    assert told("accounts", "--json", environ=environ) == [
        {"vendor": "aliyun", "account": "lessons", "callback_url": expected}
    ]
    assert expected in typed("accounts", environ=environ).stdout


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_account_with_a_topic_tells_its_url_as_well(environ: dict[str, str]) -> None:
    config = Path(environ["REELHOOK_CONFIG"])
    config.write_text(f'{config.read_text()}topic_owner = "1234567890"\ntopic_name = "recordings"\n')
    (item,) = told("accounts", "--json", environ=environ)
    assert item["topic_url"].endswith(f"/callbacks/aliyun/lessons/mns-topic?token={TOKEN}")
    assert item["topic_url"] in typed("accounts", environ=environ).stdout


def test_accounts_show_the_generated_token_again(tmp_path: Path) -> None:
    environ = {"REELHOOK_DATA": str(tmp_path / "data")}
    first, second = (typed("accounts", environ=environ).stdout for _ in range(2))
    secrets = json.loads((tmp_path / "data" / "secrets.json").read_text())
    assert first == second
    assert secrets["api_token"] in first


def _log_says(log: Path, words: str) -> Any:
    return lambda: words in log.read_text()


def test_poll_without_queues_waits_and_ends_in_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running({"REELHOOK_DATA": str(tmp_path / "data")}, "poll", log=log) as poller:
        wait_until(_log_says(log, "there is nothing to poll"), what="the message of an idle poller")
        assert poller.stop() == 0


def test_the_console_is_announced_for_later(tmp_path: Path) -> None:
    done = typed("web", "--only", "console", environ={"REELHOOK_DATA": str(tmp_path / "data")})
    assert (done.returncode, "later version" in done.stderr) == (2, True)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_in_order(environ: dict[str, str], tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    with running(environ, "work", log=log) as worker:
        assert worker.process is not None
        pid = worker.process.pid
        caught = Path(f"/proc/{pid}/status")

        def is_listening() -> bool:
            mask = next(line.split()[1] for line in caught.read_text().splitlines() if line.startswith("SigCgt"))
            return bool(int(mask, 16) & (1 << (signal.SIGTERM - 1)))

        wait_until(is_listening, what="a worker that takes signals")
        worker.process.send_signal(number)
        assert worker.process.wait(timeout=30) == 0
    assert "Traceback" not in log.read_text()
