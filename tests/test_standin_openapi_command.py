"""`reelhook standin openapi`: starts, says where it listens, obeys its options, and ends when told to."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from standin_callers import plain, send, volcengine, volcengine_request

from standin.cli import standin
from standin.openapi import KINDS, VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
KEY = ("--access-key-id", "AK", "--secret-access-key", "SK")
IDS = {"AppId": "a", "RoomId": "r", "TaskId": "t"}


@pytest.fixture
def program() -> Iterator[tuple[subprocess.Popen[str], Any]]:
    options = ("--limit", "UpdateSegment=1", "--fault", "5xx:action=StopSegment,status=503", "--shape", "message")
    command = [sys.executable, "-c", "from standin.cli import standin; standin()", "openapi", "volcengine"]
    with subprocess.Popen([*command, *KEY, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        line = running.stdout.readline()
        host = re.fullmatch(r"volcengine on http://(127\.0\.0\.1:\d+)\n", line)
        assert host, line
        yield running, SimpleNamespace(host=host[1])
        running.kill()


def test_the_program_stands_in_until_it_is_told_to_end(program: tuple[subprocess.Popen[str], Any]) -> None:
    running, api = program
    assert (
        plain(api, "POST", "/-/tasks", {"type": "segment", "app_id": "a", "room_id": "r", "task_id": "t"}).status == 201
    )
    assert volcengine(api, "UpdateSegment", IDS).json["Result"] == {"Message": "success"}
    assert send(api, volcengine_request(api, "UpdateSegment", IDS, secret="wrong")).status == 401
    assert volcengine(api, "StopSegment", IDS).status == 503
    assert volcengine(api, "StopSegment", IDS).json["Result"] == {"Message": "success"}
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 0


def run(*arguments: str) -> Any:
    return CliRunner().invoke(standin, ["openapi", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("agora", *KEY), "aliyun"),
        (("volcengine",), "--access-key-id"),
        (("volcengine", *KEY, "--limit", "UpdateSegment"), "ACTION=CALLS"),
        (("volcengine", *KEY, "--limit", "UpdateSegment=0"), "ACTION=CALLS"),
        (("volcengine", *KEY, "--fault", "explode"), "cut-before"),
    ],
)
def test_wrong_options_are_refused_with_what_is_right(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_shape_that_the_vendor_has_not_is_refused() -> None:
    result = run("huawei", *KEY, "--shape", "xml")
    assert result.exit_code == 1
    assert "text, numbers" in result.output


def test_the_page_names_every_vendor_fault_option_and_action() -> None:
    page = (ROOT / "docs" / "standin-openapi.md").read_text(encoding="utf-8")
    options = re.findall(r"--[a-z-]+", run("--help").output)
    assert options
    missing = [word for word in (*VENDORS, *KINDS, *options) if f"`{word}" not in page and word != "--help"]
    assert not missing
