"""The processes that the benchmark starts: each in a group of its own, ended with it, whatever ends the benchmark."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
#: seconds until a server must answer
_BIRTH = 30.0
#: seconds that a process has to end by itself
_GRACE = 8.0


@contextmanager
def started(
    module: Sequence[str], *, environ: Mapping[str, str], log: Path, talks: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m module...` until the block ends; what it prints goes to the log, or through pipes if it talks."""
    with log.open("a") as written:
        pipe: int | IO[str] = subprocess.PIPE if talks else written
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            env=dict(environ),
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=pipe,
            stderr=written,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End the whole group, in order or else by force."""
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_ready(process: subprocess.Popen[str], url: str, log: Path) -> None:
    """Return once the URL answers with 200; raise RuntimeError with the end of the log if it never does."""
    until = time.monotonic() + _BIRTH
    while time.monotonic() < until and process.poll() is None:
        with suppress(URLError, OSError), urlopen(url, timeout=2):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer; its log ends with:\n{log.read_text()[-400:]}")
