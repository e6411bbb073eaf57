"""Whether the queues that are configured can be reached, with what they say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.doctor.findings import Finding, fail, ok
from handlers.errors import QueueAway
from handlers.queues import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.settings import Queue, Settings

#: seconds for one answer
_PATIENCE = 5.0


def examine_queues(settings: Settings) -> Iterator[Finding]:
    """Ask each queue for its attributes; nothing is received."""
    for queue in settings.queues.values():
        yield _examine(queue)


def _examine(queue: Queue) -> Finding:
    check = f"queues.{queue.name}"
    try:
        connected = connect(queue, patience=_PATIENCE)
        try:
            return ok(check, f"{queue.kind} {queue.queue} answers: {connected.look()}")
        finally:
            connected.close()
    except QueueAway as exc:
        does = exc.does or "look at its `endpoint` and at the network on the way"
        return fail(check, str(exc).removesuffix(f"; {exc.does}"), does)
