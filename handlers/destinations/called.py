"""The process in which a function of the user's own package is called, and what that function may raise.

The function is registered as an entry point of the group `reelhook.calls`. It gets the change as a CloudEvent, and
arguments by name where the rule gives any. What it returns is kept as text; GiveUp ends the action, TryAgain says when
to call again, and any other exception means the same at the usual time.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: where packages register their functions
GROUP: Final = "reelhook.calls"
_LONGEST_TEXT = 1000


class GiveUp(Exception):
    """No further call is wanted; the message says why."""


class TryAgain(Exception):
    """A later call is wanted."""

    def __init__(self, message: str = "", *, after: float | None = None) -> None:
        """Take why, and the seconds to wait at the least; None: the usual time."""
        self.after = after
        super().__init__(message)


def main() -> None:
    """Answer each line of a connection with what a function did, until it is closed; argv tells both."""
    name, number = sys.argv[1], int(sys.argv[2])
    threading.Thread(target=_end_with, args=(number,), daemon=True).start()
    with socket.socket(fileno=number) as line, line.makefile("rwb") as asked:
        for question in asked:
            answer = json.dumps(_answer(name, json.loads(question))).encode()
            asked.write(answer + b"\n")
            asked.flush()


def _end_with(number: int) -> None:
    """End this process and what it has started as soon as nobody is at the other end, wherever the function stands."""
    watch = select.poll()
    watch.register(number, select.POLLHUP)
    watch.poll()
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)


def _answer(name: str, question: dict[str, Any]) -> dict[str, Any]:
    try:
        value = _function(name)(question["event"], **(question["arguments"] or {}))
    except GiveUp as exc:
        return {"verdict": "give_up", "detail": _text(exc)}
    except TryAgain as exc:
        after = None if exc.after is None else int(exc.after * 1000)
        return {"verdict": "again", "detail": _text(exc), "after_ms": after, "raised": "TryAgain"}
    except Exception as exc:  # noqa: BLE001 - the boundary to code that isn't ours: it is told, and tried again
        raised = type(exc).__name__
        return {"verdict": "again", "detail": f"{raised}: {_text(exc)}", "raised": raised}
    return {"verdict": "done", "detail": "" if value is None else _text(value)}


def _function(name: str) -> Callable[..., object]:
    (found, *_) = entry_points(group=GROUP, name=name)
    function: Callable[..., object] = found.load()
    return function


def _text(value: object) -> str:
    return str(value)[:_LONGEST_TEXT]
