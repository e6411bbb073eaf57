"""Decides how the processes of `reelhook serve` live and die together.

Every child runs in our process group, writes to our standard output and error, and gets SIGTERM when we die, however
we die. One that ends is started again, later and later; one that says that it was called wrongly ends them all, unless
it has run well before: then somebody has edited the settings since, and what runs with the old ones goes on.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

#: exit statuses: of a stop that was asked for, of a stop that had to kill, of wrong usage or settings
DONE, FAILED, WRONG_USAGE = 0, 1, 2
#: prctl(2): the signal that the kernel sends to a process when its parent dies
PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Child:
    """One process to keep running."""

    #: what the log calls it
    name: str
    #: the command line, program first
    argv: Sequence[str]
    #: variables that differ from our own environment
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before a child is started again, in seconds: doubled at each failure in a row."""

    first: float = 0.5
    longest: float = 30.0
    #: a child that lived this long was well: the next failure is a first one again, and no status ends the others
    settled: float = 60.0

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after `failures` (1 or more) in a row."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 30))


@dataclass(kw_only=True)
class _Life:
    """A child's present state: running, or waiting for `due`."""

    child: Child
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    due: float = 0.0
    #: it has lived past Backoff.settled at least once: the settings of our start were good
    was_well: bool = False


def supervise(children: Sequence[Child], *, grace: float = 30.0, backoff: Backoff | None = None) -> int:
    """Keep all children running until SIGTERM or SIGINT, then end them; return our exit status.

    Call it from the main thread. A child that ends, with whatever status, is started again; only status 2 (wrong usage
    or settings) of one that was never well ends everything. On stopping, children get SIGTERM (never SIGINT, which a
    terminal has already sent to the whole group), and SIGKILL where they are still there after `grace` seconds.

    Returns:
        0 after a clean stop, 1 if a child had to be killed, 2 if a child that was never well ended with 2.

    """
    lives = [_Life(child=child) for child in children]
    with _signals() as wait:
        status = _run(lives, backoff or Backoff(), wait)
        stopped = _stop(lives, grace, wait)
    return status or stopped


def _run(lives: Sequence[_Life], backoff: Backoff, wait: Callable[[float], bool]) -> int:
    """Start and restart until a signal or a wrong usage ends it; return the status that it ends with."""
    while True:
        for life in lives:
            if life.process is None and life.due <= time.monotonic():
                _start(life, backoff)
            if life.process is not None and life.process.poll() is not None:
                if _is_hopeless(life, backoff):
                    log.error("%s can't run with these settings; stopping everything", life.child.name)
                    return WRONG_USAGE
                _bury(life, backoff)
        pauses = [life.due - time.monotonic() for life in lives if life.process is None]
        # A child's end wakes us up; the second only guards against a signal that the system lost.
        if wait(max(0.0, min(pauses, default=1.0))):
            return DONE


def _is_hopeless(life: _Life, backoff: Backoff) -> bool:
    """Tell of a child that ended whether it never can run: it was called wrongly, and never was well."""
    life.was_well = life.was_well or time.monotonic() - life.started >= backoff.settled
    return life.process is not None and life.process.returncode == WRONG_USAGE and not life.was_well


def _start(life: _Life, backoff: Backoff) -> None:
    life.started = time.monotonic()
    environment = {**os.environ, **(life.child.environment or {})}
    try:
        # Nothing of ours runs threads, so that code between fork and exec is safe.
        life.process = subprocess.Popen(life.child.argv, env=environment, preexec_fn=_dying_with(os.getpid()))  # noqa: PLW1509 - no threads
    except (OSError, subprocess.SubprocessError) as error:
        log.error("%s could not be started: %s", life.child.name, error)  # noqa: TRY400 (the message says it all)
        _back_off(life, backoff)
    else:
        log.info("%s started as process %s", life.child.name, life.process.pid)


def _bury(life: _Life, backoff: Backoff) -> None:
    """Note the end of a child, and when it will be started again."""
    process, life.process = life.process, None
    if process is not None:
        _back_off(life, backoff)
        pause = life.due - time.monotonic()
        how = _how_it_ended(process.returncode)
        if process.returncode == WRONG_USAGE:
            how += ": the settings are refused now; mend them, what else runs goes on with the old ones"
        log.error("%s (process %s) %s; starting it again in %.1f s", life.child.name, process.pid, how, pause)


def _back_off(life: _Life, backoff: Backoff) -> None:
    now = time.monotonic()
    life.failures = 1 if now - life.started >= backoff.settled else life.failures + 1
    life.due = now + backoff.pause(life.failures)


def _how_it_ended(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with status {returncode}"
    try:
        return f"was ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was ended by signal {-returncode}"


def _stop(lives: Sequence[_Life], grace: float, wait: Callable[[float], bool]) -> int:
    """End all children; return 0 if they ended by themselves, 1 if one had to be killed."""
    running = {life.child.name: life.process for life in lives if life.process is not None}
    for process in running.values():
        process.terminate()
    deadline = time.monotonic() + grace
    while any(process.poll() is None for process in running.values()) and time.monotonic() < deadline:
        wait(min(1.0, max(0.0, deadline - time.monotonic())))
    stubborn = {name: process for name, process in running.items() if process.poll() is None}
    for name, process in stubborn.items():
        log.error("%s (process %s) did not end within %g s and is killed", name, process.pid, grace)
        process.kill()
        process.wait()
    return FAILED if stubborn else DONE


@contextmanager
def _signals() -> Iterator[Callable[[float], bool]]:
    """Lend a function that waits for a child's end or a signal, and tells whether we are asked to stop.

    A signal's number arrives as a byte on a socket, so that none is lost between looking and waiting.
    """
    stops = (signal.SIGTERM, signal.SIGINT)
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)  # noqa: FBT003 (the standard library's signature)
        writer.setblocking(False)  # noqa: FBT003 (the standard library's signature)

        def wait(seconds: float) -> bool:
            select.select([reader], [], [], seconds)
            with suppress(BlockingIOError):
                return not set(stops).isdisjoint(reader.recv(4096))
            return False

        # The byte on the socket is all we need of a signal; the handler is there so that Python writes it.
        before = {number: signal.signal(number, _ignore) for number in (*stops, signal.SIGCHLD)}
        before_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield wait
        finally:
            signal.set_wakeup_fd(before_fd)
            for number, handler in before.items():
                signal.signal(number, handler)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; the wake-up socket has the number."""


def _dying_with(parent: int) -> Callable[[], None]:
    """Return what a child does first: on Linux, ask for SIGTERM at the death of `parent`."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare
