"""`reelhook serve` from nothing: one command, a callback, its recording; and an end without leftovers."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from callbacks import file_created
from conftest import API_TOKEN, TOKEN
from program import Program, free_port, request, running, wait_until
from terminal import told, typed

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class Started:
    """A server that was started with nothing configured."""

    program: Program
    environ: dict[str, str]

    def says(self) -> str:
        return self.program.log.read_text()

    def line(self, begins: str) -> str:
        return next(line.strip() for line in self.says().splitlines() if line.strip().startswith(begins))

    def pid(self, name: str) -> int:
        """Return the process that was started last under this name."""
        return int(re.findall(rf"{name} started as process (\d+)", self.says())[-1])

    def recordings(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = told("recordings", "list", "--json", environ=self.environ)["items"]
        return items

    def post(self, body: bytes) -> None:
        """Post a callback until somebody takes it, as a vendor tries again."""
        accounts = told("accounts", "--json", environ=self.environ)
        account = next(one for one in accounts if one["vendor"] == "aliyun")

        def is_taken() -> bool:
            try:
                return request("POST", account["callback_url"], body).status == 200
            except OSError:
                return False

        wait_until(is_taken, what="a server that takes the callback")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """Start `reelhook serve` with a fresh data folder and no configuration."""
    environ = {"REELHOOK_DATA": str(tmp_path / "data"), "REELHOOK_CONFIG": ""}
    with running(environ, "serve", log=tmp_path / "log") as program:
        program.ready()
        yield Started(program=program, environ=environ | {"PORT": str(program.port)})


def test_the_printed_curl_line_makes_a_recording(started: Started) -> None:
    curl = shlex.split(started.line("curl -d"))
    assert curl[:2] == ["curl", "-d"]
    body, url = curl[2:]
    answer = request("POST", url, body.encode())
    assert answer.status == 200, answer.body

    asking = shlex.split(started.line("curl -H"))
    name, value = asking[2].split(": ")

    def items() -> Any:
        answered = request("GET", asking[3], headers={name: value})
        assert answered.status == 200, answered.body
        return answered.json()["items"]

    wait_until(items, patience=10, what="the recording in the API")
    (item,) = items()
    assert (item["room_id"], item["task_id"], item["state"]) == ("record-004", "task-005", "available")
    assert item["duration_ms"] == 1_792_257
    assert started.recordings() == [item]
    assert told("recordings", "show", item["id"], "--json", environ=started.environ)["sightings"][0]["door"] == "http"


def test_secrets_are_printed_at_the_first_start_only(started: Started, tmp_path: Path) -> None:
    secrets = json.loads((tmp_path / "data" / "secrets.json").read_text())
    for secret in secrets.values():
        assert secret in started.says()
    assert started.program.stop() == 0
    started.program.log.write_text("")
    started.program.start()
    started.program.ready()
    wait_until(lambda: "reelhook accounts" in started.says(), what="where the secrets are shown")
    for secret in secrets.values():
        assert secret not in started.says()
        assert secret in typed("accounts", environ=started.environ).stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_and_leaves_no_process(started: Started, number: signal.Signals) -> None:
    process = started.program.process
    assert process is not None
    assert started.pid("web") != started.pid("worker")
    process.send_signal(number)
    assert process.wait(timeout=40) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert "Traceback" not in started.says()


@pytest.mark.parametrize("name", ["web", "worker"])
def test_a_child_that_is_killed_is_started_again_and_the_work_goes_on(started: Started, name: str) -> None:
    before = started.pid(name)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: started.pid(name) != before, what=f"another {name}")
    started.post(file_created(1))
    wait_until(started.recordings, what="the recording of a callback that came after the kill")


def test_killing_the_supervisor_leaves_no_process(started: Started) -> None:
    process = started.program.process
    assert process is not None
    process.kill()
    process.wait()

    def is_empty() -> bool:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(is_empty, patience=60, what="the end of web and worker after their supervisor was killed")


def test_bad_settings_end_it_with_2_before_anything_is_started(tmp_path: Path) -> None:
    done = typed("serve", environ={"REELHOOK_DATA": str(tmp_path / "data"), "PORT": "high", "REELHOOK_SPOOLS": "x"})
    assert done.returncode == 2
    assert (done.stdout, done.stderr.count("\n")) == ("", 3)
    assert not (tmp_path / "data").exists()


def test_a_port_in_use_is_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        environ = {"REELHOOK_DATA": str(tmp_path / "data"), "PORT": str(port)}
        done = typed("serve", "--host", "127.0.0.1", environ=environ)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr


def test_a_database_without_tables_ends_it_where_migrations_are_never_applied(tmp_path: Path) -> None:
    environ = {"REELHOOK_DATA": str(tmp_path / "data"), "REELHOOK_MIGRATE": "never", "PORT": str(free_port())}
    for command in ("serve", "web", "work"):
        done = typed(command, environ=environ)
        assert (done.returncode, "reelhook migrate" in done.stderr) == (2, True)


def test_port_0_takes_a_free_port_and_prints_it(tmp_path: Path) -> None:
    environ = {"REELHOOK_DATA": str(tmp_path / "data")}
    with running(environ, "serve", log=tmp_path / "log") as program:
        program.kill()
        program.log.unlink()
        program.environ["PORT"] = "0"
        program.start()
        wait_until(lambda: "listen on http://127.0.0.1:" in program.log.read_text(), what="the address")
        program.port = int(re.findall(r"listen on http://127\.0\.0\.1:(\d+)", program.log.read_text())[0])
        program.ready()
        assert program.stop() == 0


@pytest.mark.parametrize(("options", "address"), [((), "0.0.0.0"), (("--host", "127.0.0.1"), "127.0.0.1")])  # noqa: S104 (a name)
def test_a_platform_that_sets_the_port_reaches_every_address(
    tmp_path: Path, options: tuple[str, ...], address: str
) -> None:
    with running({"REELHOOK_DATA": str(tmp_path / "data")}, "serve", *options, log=tmp_path / "log") as program:
        program.ready()
        assert f"Listening at: http://{address}:{program.port}" in program.log.read_text()


def test_a_server_that_is_away_does_not_keep_it_from_taking_callbacks(tmp_path: Path) -> None:
    config = tmp_path / "reelhook.toml"
    config.write_text('[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN"]\n')
    environ = {
        "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere",
        "REELHOOK_DATA": str(tmp_path / "data"),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
        "WEB_CONCURRENCY": "1",
    }
    with running(environ, "serve", log=tmp_path / "log") as program:
        program.ready()
        answer = request("POST", f"{program.url}/callbacks/aliyun/lessons?token={TOKEN}", file_created(1))
        assert answer.status == 200
        assert program.stop() == 0
    text = (tmp_path / "log").read_text()
    assert "callbacks are kept in" in text
    assert TOKEN not in text
    assert API_TOKEN not in text


def test_a_folder_of_our_name_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """The children must be this program, whatever lies where the command is typed."""
    (tmp_path / "webhook").mkdir()
    (tmp_path / "webhook" / "__init__.py").write_text("raise SystemExit('somebody else')")
    environ = {"REELHOOK_DATA": str(tmp_path / "data"), "PORT": str(free_port())}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_installed(), "serve"], cwd=tmp_path, env=os.environ | environ, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: "Listening at" in log.read_text() or process.poll() is not None, what="a web process")
    finally:
        process.terminate()
        process.wait(timeout=40)
    assert "somebody else" not in log.read_text()
    assert "Listening at" in log.read_text()


def _installed() -> list[str]:
    program = Path(sys.executable).with_name("reelhook")
    if not program.exists():
        pytest.skip("the program `reelhook` is not installed beside this Python")
    return [str(program)]
