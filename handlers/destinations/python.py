"""What goes to a function of the user's own package, found by its entry point and called in a process of its own.

The process stays from one call to the next, one for each thread and destination. A call that takes too long is ended
together with it and with all that it has started, which nothing but a process allows; so is one that crashes.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from handlers.destinations.called import GROUP
from handlers.destinations.handover import AnyJson, DestinationOperation, To
from handlers.destinations.outcomes import hide
from handlers.destinations.telling import cloud_event
from handlers.errors import ReelhookError, SettingsError
from handlers.operation import Outcome
from handlers.settings.values import listed, meant

if TYPE_CHECKING:
    from handlers.destinations.handover import Handover
    from handlers.destinations.means import Means
    from handlers.settings import Destination, PythonDestination

_LONGEST_TEXT = 1000
_MOST_BYTES = 1024 * 1024
_LONGEST_WAIT = 86_400_000
#: seconds that a process has to end by itself once its work is over
_GOODBYE = 2.0
_STDERR = 2
_PROGRAM = "from handlers.destinations.called import main; main()"


class Call(To):
    """The parameters of python.call."""

    arguments: dict[str, AnyJson] | None = Field(
        default=None, description="further arguments by name; the first is the change as a CloudEvent"
    )


class _CalledTooLong(ReelhookError):
    """The call did not end in time."""


class _CallCrashed(ReelhookError):
    """The process of the call ended before it answered."""


class _Process:
    """A process that calls one function, again and again."""

    def __init__(self, entry_point: str) -> None:
        """Start it; it imports the user's package at the first call."""
        self._line, theirs = socket.socketpair()
        number = theirs.fileno()
        command = [sys.executable, "-P", "-c", _PROGRAM, entry_point, str(number)]
        try:
            # What the function prints goes to the log, beside the worker's own. Signals of the worker's terminal
            # don't end a call half-way: the process ends when its connection does.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=_STDERR, pass_fds=[number], start_new_session=True
            )
        except BaseException:
            self._line.close()
            raise
        finally:
            theirs.close()

    def call(self, question: bytes, timeout_ms: int) -> dict[str, Any]:
        """Ask, and return the answer; raise _CalledTooLong or _CallCrashed, after which it is to be closed."""
        deadline = time.monotonic() + timeout_ms / 1000
        try:
            self._line.settimeout(timeout_ms / 1000)
            self._line.sendall(question + b"\n")
            return cast("dict[str, Any]", json.loads(self._answer(deadline)))
        except TimeoutError as exc:
            raise _CalledTooLong(f"the call did not end within {timeout_ms} ms, and was ended") from exc
        except (OSError, ValueError) as exc:
            raise _CallCrashed(f"the process of the call ended {self._how()}") from exc

    def _answer(self, deadline: float) -> bytes:
        answer = b""
        while not answer.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._line.settimeout(left)
            part = self._line.recv(65_536)
            if not part or len(answer) > _MOST_BYTES:
                raise ConnectionError
            answer += part
        return answer

    def _how(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GOODBYE)
        code = self._process.returncode
        if code is None:
            return "its connection"
        return f"by signal {-code}" if code < 0 else f"with code {code}"

    def close(self) -> None:
        """End the process, now, and whatever it has started in its session."""
        self._line.close()
        # What the function started outlives a process that has crashed, in the group that bears its number.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()


def _missing(destination: Destination) -> str | None:
    name = cast("PythonDestination", destination).entry_point
    known = sorted({one.name for one in entry_points(group=GROUP)})
    if name in known:
        return None
    told = f"{meant(name, known)}; known here: {listed(known)}"
    return f"[destinations.{destination.name}]: entry_point: no installed package has {name} in {GROUP}{told}"


def _call(handover: Handover, destination: Destination, means: Means) -> Outcome:
    target = cast("PythonDestination", destination)
    if reason := _missing(target):
        raise SettingsError([reason])
    question = {"event": cloud_event(handover.id, handover.told), "arguments": handover.parameters.get("arguments")}
    process = means.client(target.name, target.entry_point, partial(_Process, target.entry_point))
    try:
        answer = process.call(json.dumps(question).encode(), target.timeout)
    except (_CalledTooLong, _CallCrashed) as exc:
        means.forget(target.name)
        return Outcome(verdict="again", detail=str(exc), meaning="it may end the next time", is_unclear=True)
    return _outcome(answer)


def _outcome(answer: dict[str, Any]) -> Outcome:
    detail = hide(str(answer.get("detail") or "")[:_LONGEST_TEXT], ())
    if answer.get("verdict") == "done":
        return Outcome(verdict="done", detail=detail)
    if answer.get("verdict") == "give_up":
        return Outcome(verdict="give_up", detail=detail, meaning="the function wants no other try")
    after = answer.get("after_ms")
    return Outcome(
        verdict="again",
        code=str(answer.get("raised") or "") or None,
        detail=detail,
        meaning="the function failed, and may not the next time",
        after_ms=min(max(int(after), 0), _LONGEST_WAIT) if isinstance(after, int | float) else None,
    )


CALL = DestinationOperation(
    name="call", kind="python", parameters=Call, perform=_call, missing=_missing, takes_batches=False
)
