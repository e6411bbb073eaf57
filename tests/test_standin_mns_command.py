"""`reelhook standin mns` as its users run it: a real process."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mns.account import Account
from mns.mns_exception import MNSServerException
from mns.queue import Message

from standin.mns import KINDS
from standin.mns.command import command

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-m", "webhook", "standin", "mns"]
OPTIONS = ["--access-key-id", "ak", "--access-key-secret", "sk", "--queue", "recordings", "--queue", "more"]


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; yield the process and the endpoint that it prints."""
    process = subprocess.Popen(
        [*COMMAND, *OPTIONS, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def connected(endpoint: str) -> Any:
    queue = Account(endpoint, "ak", "sk").get_queue("recordings")
    queue.set_encoding(False)
    return queue


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_interrupted_and_ends_with_0(number: signal.Signals) -> None:
    with running("--visibility-timeout", "77") as (process, endpoint):
        queue = connected(endpoint)
        queue.send_message(Message("a"))
        received = queue.receive_message(0)
        assert received.next_visible_time - received.enqueue_time >= 77_000
        process.send_signal(number)
        assert process.wait(30) == 0
        queue.mns_client.close_connection()


def test_a_fault_of_the_command_line_strikes() -> None:
    with running("--fault", "error:code=AccessDenied,operation=SendMessage,times=always") as (_, endpoint):
        queue = connected(endpoint)
        for _ in range(3):
            with pytest.raises(MNSServerException, match="AccessDenied"):
                queue.send_message(Message("a"))
        queue.mns_client.close_connection()


def test_faults_are_armed_while_it_runs() -> None:
    with running() as (_, endpoint):
        connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=30)
        connection.request("POST", "/-/faults", json.dumps({"kind": "throttle"}))
        assert connection.getresponse().status == 201
        connection.close()
        queue = connected(endpoint)
        with pytest.raises(MNSServerException, match="QpsLimitExceeded"):
            queue.send_message(Message("a"))
        queue.mns_client.close_connection()


@pytest.mark.parametrize(
    "options",
    [
        ["--fault", "nope"],
        ["--fault", "cut:times=often"],
        ["--fault", "cut:time=1"],
        ["--visibility-timeout", "0"],
        ["--port", "70000"],
        ["--queue", "a_b"],
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(options: list[str]) -> None:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr


def test_a_port_that_is_taken_is_said_so() -> None:
    with running() as (_, endpoint):
        port = endpoint.rpartition(":")[2]
        done = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
        assert port in done.stderr


def test_every_option_and_every_fault_is_documented() -> None:
    page = (Path(__file__).parent.parent / "docs" / "standin.md").read_text()
    section = page.partition("\n## MNS\n")[2].partition("\n## ")[0]
    options = [option for parameter in command.params for option in parameter.opts]
    assert [name for name in [*options, *(f"| `{kind}` |" for kind in KINDS)] if name not in section] == []
