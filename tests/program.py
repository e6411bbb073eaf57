"""Reelhook as its users run it: real processes on free ports, and a private PostgreSQL that a test may hurt."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATIENCE = 30.0


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Any, *, patience: float = _PATIENCE, what: str = "the condition") -> None:
    """Wait until the condition holds; fail the test after `patience` seconds, saying what was waited for."""
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"{what} did not come true within {patience:g} s")
        time.sleep(0.02)


@dataclass
class Answer:
    """What an HTTP request got."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        return json.loads(self.body)


def request(
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    patience: float = 15.0,
) -> Answer:
    """Send one HTTP request; any status is an answer. Raises OSError when there is none."""
    sent = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(sent, timeout=patience) as answer:
            return Answer(answer.status, answer.read(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(), dict(error.headers))


@dataclass
class Program:
    """One running `reelhook ...`, the leader of its own process group."""

    environ: dict[str, str]
    arguments: tuple[str, ...]
    log: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None)
    #: the command that the program's own is given to, such as unshare(1)
    within: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; `ready` waits for a web process to answer."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*self.within, sys.executable, "-m", "webhook", *self.arguments],
                env=self.environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).parent.parent,
                start_new_session=True,
            )

    def ready(self) -> None:
        """Wait until /livez answers."""
        wait_until(self._lives, what=f"/livez of {self.arguments}; its log is {self.log.read_text()[-2000:]}")

    def _lives(self) -> bool:
        try:
            return request("GET", f"{self.url}/livez", patience=1).status == 200
        except OSError:
            return False

    def kill(self) -> None:
        """Kill the whole process group with SIGKILL."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end with SIGTERM; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=40)


@contextmanager
def running(environ: Mapping[str, str], *arguments: str, log: Path, within: tuple[str, ...] = ()) -> Iterator[Program]:
    """Run `reelhook ARGUMENTS` on a free port, and end it."""
    port = free_port()
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("REELHOOK_", "DATABASE_URL"))}
    told = plain | dict(environ) | {"PORT": str(port)}
    program = Program(environ=told, arguments=arguments, log=log, port=port, within=within)
    program.start()
    try:
        yield program
    finally:
        program.kill()


@dataclass
class PrivatePostgres:
    """A PostgreSQL server of one test's own, which may be stopped, killed and frozen."""

    folder: Path
    port: int
    programs: Path

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def _run(self, *command: str) -> None:
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        subprocess.run([*as_postgres, *command], check=True, capture_output=True, timeout=60)

    def make(self) -> None:
        """Make the cluster."""
        program = str(self.programs / "initdb")
        self._run(program, "-D", str(self.folder), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=80"
        self._run(
            str(self.programs / "pg_ctl"),
            *("-D", str(self.folder), "-o", options, "-l", str(self.folder / "log"), "-w", "start"),
        )

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: `fast` asks, `immediate` is like a crash."""
        with suppress(subprocess.CalledProcessError):
            self._run(str(self.programs / "pg_ctl"), "-D", str(self.folder), "-m", mode, "-w", "stop")

    def pids(self) -> list[int]:
        """Return the server's processes, the postmaster first."""
        postmaster = int((self.folder / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    def freeze(self) -> None:
        """Stop every process of the server where it stands: a black hole that still holds its connections."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the server go on."""
        for pid in reversed(self.pids()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def private_postgres() -> Iterator[PrivatePostgres]:
    """Run a server of our own; skip where PostgreSQL's programs are not installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not installed and shutil.which("initdb") is None:
        pytest.skip("PostgreSQL's server programs (initdb, pg_ctl) are not installed")
    programs = installed[-1].parent if installed else Path(shutil.which("initdb") or "").parent
    folder = Path(f"/tmp/reelhook-test-postgres-{os.getpid()}-{free_port()}")
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    server = PrivatePostgres(folder=folder, port=free_port(), programs=programs)
    try:
        server.make()
        server.start()
        yield server
    finally:
        with suppress(OSError, ValueError):
            server.thaw()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
