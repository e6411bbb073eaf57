"""How a world is played to a Reelhook: every callback in its turn, faults and all, and what was answered."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from standin.callbacks.errors import NotSent
from standin.callbacks.expected import expect
from standin.callbacks.faults import Arrival, Faults, arrivals, told
from standin.callbacks.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from standin.callbacks.expected import Expectation
    from standin.callbacks.sending import Answer, HttpSender, QueueSender

__all__ = [
    "Faults",
    "Played",
    "Post",
    "World",
    "arrivals",
    "describe",
    "expect",
    "name_of",
    "play",
    "status_of",
    "told",
]

#: how what is not authentic may be answered
_REFUSED = (400, 401)
#: seconds until a callback that Reelhook could not take is tried again: longer than vendors do, to outlive a restart
_AGAIN = (0.5, 1.0, 2.0, 4.0, 8.0)
#: problems that a person reads
_MOST = 50


@dataclass(kw_only=True)
class Post:
    """The ways to one Reelhook: its HTTP door, and maybe a queue."""

    http: HttpSender
    queue: QueueSender | None = None

    def close(self) -> None:
        """Close what is open."""
        self.http.close()
        if self.queue is not None:
            self.queue.close()

    def send(self, way: Arrival) -> Answer:
        """Send a callback through its door; raise NotSent where nobody answers."""
        if way.callback.door == "http" or self.queue is None:
            return self.http.send(way.callback)
        return self.queue.send(way.callback)


@dataclass(kw_only=True)
class Played:
    """What came of playing a world."""

    sent: int = 0
    lost: int = 0
    repeats: int = 0
    refused: int = 0
    #: those that were answered: of the others nothing is to be expected
    delivered: list[Arrival] = field(default_factory=list)
    undelivered: int = 0
    #: the last one was not
    is_away: bool = False
    #: what should not have been answered so, one sentence each
    problems: list[str] = field(default_factory=list)

    def note(self, way: Arrival, answer: Answer) -> None:
        """Count one answer, and judge it."""
        self.sent += 1
        self.delivered.append(way)
        status = status_of(answer)
        self.repeats += status == "repeat"
        if way.notice.forged:
            is_refused = answer.status in _REFUSED
            self.refused += is_refused
            if not is_refused:
                self.problems.append(f"{name_of(way)} is forged, and was answered {answer.status} {answer.body}")
        elif not answer.is_success or status == "quarantined":
            self.problems.append(f"{name_of(way)} was answered {answer.status} {answer.body}")


def play(
    ways: Sequence[Arrival],
    post: Post,
    *,
    rate: float = 0.0,
    say: Callable[[Arrival, Answer | None], None] = lambda _way, _answer: None,
) -> Played:
    """Send what arrives, `rate` callbacks a second (0: as fast as they are answered), and return what came of it.

    `say` is told of each: None stands for an answer where the callback was lost on its way.
    """
    played = Played()
    begun = time.monotonic()
    for number, way in enumerate(ways):
        if rate:
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        if way.is_lost:
            played.lost += 1
            say(way, None)
            continue
        answer = _sent(way, post, played)
        if answer is not None:
            played.note(way, answer)
            say(way, answer)
    return played


def _sent(way: Arrival, post: Post, played: Played) -> Answer | None:
    """Send one callback, again where Reelhook is away or busy; None where that was in vain."""
    problem = ""
    # Who was away for the one before is hardly back: a port where nobody listens would take an hour otherwise.
    for pause in (None,) if played.is_away else (*_AGAIN, None):
        try:
            answer = post.send(way)
        except NotSent as exc:
            problem = str(exc)
        else:
            if answer.status < 500:
                played.is_away = False
                return answer
            problem = f"it was answered {answer.status} {answer.body}"
        if pause is not None:
            time.sleep(pause)
    played.problems.append(f"{name_of(way)} was not delivered: {problem}")
    played.undelivered += 1
    played.is_away = True
    return None


def shortened(problems: Sequence[str]) -> Iterator[str]:
    """Yield what a person reads of the problems: the first of them, and how many more there are."""
    yield from problems[:_MOST]
    if len(problems) > _MOST:
        yield f"... and {len(problems) - _MOST} more"


def name_of(way: Arrival) -> str:
    """Return what a callback is, for people."""
    task = way.notice.task
    return f"{task.vendor} {way.notice.word} of {task.room_id}/{task.task_id}"


def status_of(answer: Answer) -> str | None:
    """Return what Reelhook says it did: kept, repeat or quarantined; None where it says nothing of the kind.

    A refusal has a `status` too, which is the number of the answer (RFC 9457).
    """
    try:
        read = json.loads(answer.body)
    except ValueError:
        return None
    said = read.get("status") if isinstance(read, dict) else None
    return said if isinstance(said, str) else None


def describe(expectation: Expectation) -> Iterator[str]:
    """Yield what a right catalogue holds: a line for each run, its files below it, and the sums."""
    for run, facts in sorted(expectation.runs.items()):
        vendor, kind, _, room, task, number = run
        upload = f", upload {facts['upload']}" if facts["upload"] else ""
        counts = [f"{facts['recording_count']} recordings, {facts['recorded_ms'] / 1000:.3f} s recorded"]
        if kind == "segment":
            counts = [f"{facts['segment_count']} segments"]
        yield f"{vendor} {kind} {room}/{task} run {number}: {facts['state']}{upload}, {', '.join(counts)}"
        for name, file in sorted(expectation.files.items()):
            if name[:-1] == run:
                yield f"    {name[-1]}: {file['state']}, {_size(file)}"
    states = [file["state"] for file in expectation.files.values()]
    yield (
        f"in all {len(expectation.runs)} tasks, {len(states)} recordings ({states.count('available')} available, "
        f"{states.count('announced')} announced), {len(expectation.slices)} segments"
    )


def _size(file: dict[str, int | None]) -> str:
    length = file["duration_ms"]
    size = file["size_bytes"]
    return f"{'?' if length is None else f'{length / 1000:.3f}'} s, {'?' if size is None else size} bytes"
