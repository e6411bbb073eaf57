"""What goes wrong on demand: which call it meets, how often, and what then happens to the call and its answer."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: kind -> whether the call's work is done all the same, unless the fault says otherwise
KINDS = {
    "delay": True,  # the work takes `seconds`; the task is busy meanwhile
    "hang": False,  # no answer ever; ends when the caller goes away or the stand-in closes
    "cut-before": False,  # the connection is closed, nothing was done
    "cut-after": True,  # the work is done, then the connection is closed
    "html-502": False,  # a proxy's page
    "nothing": True,  # HTTP 200 with an empty body
    "half": True,  # the first half of the answer, then the connection is closed
    "error": False,  # the vendor's error `code` under `status`, 200 unless given
    "429": False,  # HTTP 429 in the vendor's form
    "throttled": False,  # the vendor's own words for too many calls
    "5xx": False,  # the vendor's own words for its failure, under `status`, 500 unless given
    "trickle": True,  # the answer byte by byte over `seconds`
}
#: the longest delay, in seconds
LONGEST = 300.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault. Raises ValueError for an unknown kind, and for seconds out of 0..300."""

    kind: str
    #: only calls of this action, of this task id; any, where None
    action: str | None = None
    task_id: str | None = None
    #: how many calls it meets (None: without end), after `skip` that it lets pass
    times: int | None = 1
    skip: int = 0
    #: it ends so many seconds after it was added, however many calls it met
    lasts: float | None = None
    #: delay and trickle: how long
    seconds: float = 1.0
    #: error, 5xx: what is answered
    status: int | None = None
    code: str | None = None
    #: whether the work is done all the same; None: as the kind has it
    worked: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(KINDS)}")
        if not 0 <= self.seconds <= LONGEST:
            raise ValueError(f"a fault's seconds are 0 to {LONGEST:.0f}, not {self.seconds}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"a fault's times are 1 or more, or none for without end, not {self.times}")

    def does_work(self) -> bool:
        """Say whether the call that meets the fault does its work."""
        return KINDS[self.kind] if self.worked is None else self.worked

    def meets(self, action: str | None, task_id: str | None) -> bool:
        """Say whether the fault is for such a call."""
        return self.action in {None, action} and self.task_id in {None, task_id}

    def as_json(self) -> dict[str, Any]:
        """Return the fault as JSON values."""
        return asdict(self)


@dataclass(kw_only=True)
class _Waiting:
    fault: Fault
    skip: int
    times: int | None
    until: float | None


class Faults:
    """The faults that wait for calls, the one added first before the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    def add(self, kind: str | Fault, **fields: Any) -> Fault:  # noqa: ANN401 - fields of Fault
        """Let a fault wait: a Fault, or its kind and fields. With `lasts` it is without end until then."""
        fault = kind if isinstance(kind, Fault) else Fault(kind=kind, **fields)
        until = None if fault.lasts is None else self._clock() + fault.lasts
        times = fault.times if fault.lasts is None else None
        with self._lock:
            self._waiting.append(_Waiting(fault=fault, skip=fault.skip, times=times, until=until))
        return fault

    def take(self, action: str | None, task_id: str | None) -> Fault | None:
        """Return the fault that meets such a call, and count it."""
        with self._lock:
            now = self._clock()
            self._waiting = [waiting for waiting in self._waiting if waiting.until is None or now < waiting.until]
            for waiting in self._waiting:
                if waiting.fault.meets(action, task_id):
                    if waiting.skip:
                        waiting.skip -= 1
                        continue
                    self._count(waiting)
                    return waiting.fault
            return None

    def all(self) -> tuple[Fault, ...]:
        """Return the faults that still wait."""
        with self._lock:
            return tuple(waiting.fault for waiting in self._waiting)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._waiting.clear()

    def _count(self, waiting: _Waiting) -> None:
        if waiting.times is not None:
            waiting.times -= 1
            if not waiting.times:
                self._waiting.remove(waiting)


def read_fault(text: str) -> Fault:
    """Read KIND or KIND:NAME=VALUE,NAME=VALUE, as the command line has it. Raises ValueError saying what is wrong."""
    kind, _, rest = text.partition(":")
    fields: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        name, equals, value = pair.partition("=")
        if name not in _READERS or not equals:
            raise ValueError(f"{pair!r} is no NAME=VALUE of a fault; there are {', '.join(_READERS)}")
        fields[name] = _READERS[name](value)
    return Fault(kind=kind, **fields)


def _times(text: str) -> int | None:
    return None if text == "none" else int(text)


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(f"worked is true or false, not {text!r}")
    return text == "true"


_READERS: dict[str, Callable[[str], Any]] = {
    "action": str,
    "task_id": str,
    "times": _times,
    "skip": int,
    "lasts": float,
    "seconds": float,
    "status": int,
    "code": str,
    "worked": _flag,
}
