"""How the demo's programs begin and end: in sessions of their own, with it, however it ends."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from standin.callbacks.errors import NotStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

#: prctl(2): the signal that the kernel sends to a process when its parent dies
_PR_SET_PDEATHSIG = 1
#: seconds that a program may take to say where it listens, and to end
_START = 60.0
_GRACE = 40.0
#: what would make another Reelhook of the demo's, or reach it by chance
_OURS = ("REELHOOK_", "STANDIN_", "DATABASE_URL", "PORT", "WEB_CONCURRENCY")


@contextmanager
def running(*arguments: str, environ: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `reelhook ARGUMENTS` within the log's folder, and end it. Nothing of our own settings reaches it."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "webhook", *arguments],
            env=clean_environment() | dict(environ),
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A Ctrl-C is for us alone: we end our children in order.
            start_new_session=True,
            # Nothing of ours runs threads, so that code between fork and exec is safe.
            preexec_fn=_dying_with(os.getpid()),  # noqa: PLW1509 - no threads
        )
    try:
        yield child
    finally:
        _end(child)


def clean_environment() -> dict[str, str]:
    """Return our environment without any setting of Reelhook."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def said(child: subprocess.Popen[bytes], log: Path, pattern: str) -> str:
    """Wait until the program's output holds the pattern, and return its first group; raise NotStarted otherwise."""
    until = time.monotonic() + _START
    while time.monotonic() < until:
        text = log.read_text(errors="replace")
        if found := re.search(pattern, text):
            return found[1]
        if child.poll() is not None:
            break
        time.sleep(0.05)
    raise NotStarted(f"{' '.join(map(str, child.args[2:]))} did not start: {_tail(log)}")  # type: ignore[index] # a list, as above


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-15:]) or "it said nothing"


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the program to end, and kill its whole session where it does not."""
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(timeout=_GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _dying_with(parent: int) -> Callable[[], None]:
    """Return what a child does first: on Linux, ask for SIGTERM at the death of `parent`."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare
