"""What goes wrong on purpose: which fault strikes which request, and how often.

A fault is spent only when it bites: `corrupt_body` waits for a reply with a message in it, `drop_reply` for a reply to
work that was done.
"""

from __future__ import annotations

import dataclasses
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from standin.mns.errors import STATUS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: fault -> what it does
KINDS: Mapping[str, str] = {
    "cut": "close the connection before any work",
    "delay": "wait `seconds` before any work",
    "error": "answer with the error `code` before any work (InternalError unless given)",
    "throttle": "answer QpsLimitExceeded before any work",
    "html_502": "answer 502 with an HTML page, as a proxy does",
    "empty_504": "answer 504 with no body, as a proxy does",
    "empty_at_once": "answer 404 MessageNotExist at once, whatever waitseconds says",
    "short_batch": "hand out `count` messages at most, though more are there",
    "corrupt_body": "change the body of one message, its MD5 stays",
    "duplicate": "hand out messages that stay receivable: they come once more",
    "partial_delete": "refuse to delete `count` messages of a batch",
    "partial_send": "refuse to enqueue `count` messages of a batch",
    "drop_reply": "do the work and close the connection without a word",
    "broken_reply": "do the work and break off in the middle of the reply",
    "stall": "do the work, send half of the reply, and say nothing for `seconds`",
    "header_case": "write the names of the reply's headers in another case: `case` lower, upper or title",
}

CASES = ("lower", "upper", "title")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong; fields that its kind doesn't name have no effect."""

    kind: str
    #: the API's name, as BatchReceiveMessage; None means any
    operation: str | None = None
    #: None means any
    queue: str | None = None
    #: how often it strikes; None means always
    times: int | None = 1
    #: how many requests that it could strike go by first
    after: int = 0
    #: which part of the requests it strikes, 0 to 1, by a seeded chance
    share: float = 1.0
    seconds: float = 1.0
    count: int = 1
    code: str = "InternalError"
    case: str = "upper"

    def __post_init__(self) -> None:
        """Refuse an unknown kind and values that make no sense."""
        _must(self.kind in KINDS, f"kind {self.kind!r} is not known; known are {', '.join(KINDS)}")
        _must(self.code in STATUS, f"code {self.code!r} is not known; known are {', '.join(STATUS)}")
        _must(self.case in CASES, f"case is {self.case!r}, expected one of {', '.join(CASES)}")
        _must(self.times is None or self.times >= 1, f"times is {self.times}, expected 1 or more, or null for always")
        _must(0 < self.share <= 1, f"share is {self.share:g}, expected more than 0, at most 1")
        _must(self.seconds >= 0, f"seconds is {self.seconds:g}, expected 0 or more")
        _must(self.count >= 1 and self.after >= 0, "count is expected to be 1 or more, after 0 or more")


def fault(kind: str, values: Mapping[str, Any]) -> Fault:
    """Make a fault of loosely typed values, as JSON or a command line gives them.

    Raises:
        ValueError: A field is unknown or its value makes no sense; the text says which.
    """
    types = {"times": int, "after": int, "count": int, "share": float, "seconds": float}
    known = {one.name for one in dataclasses.fields(Fault)} - {"kind"}
    _must(
        not set(values) - known,
        f"{', '.join(sorted(set(values) - known))}: not known; known are {', '.join(sorted(known))}",
    )
    read: dict[str, Any] = {}
    for name, value in values.items():
        try:
            always = name == "times" and value in (None, "always")
            read[name] = None if always or value is None else types.get(name, str)(value)
        except (TypeError, ValueError) as exc:
            raise ValueError(f"{name} is {value!r}, expected a number") from exc
    return Fault(kind=kind, **read)


def _must(holds: bool, problem: str) -> None:  # noqa: FBT001 - reads as a sentence where it is called
    if not holds:
        raise ValueError(problem)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: float
    to_pass: int
    chance: random.Random
    struck: int = 0


class Faults:
    """The faults that are armed now. All methods may be called from any thread."""

    def __init__(self, *, seed: int = 0) -> None:
        """Begin with none; `seed` decides which requests a share strikes."""
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self._seed = seed
        self._added = 0

    def add(self, kind: str | Fault, **values: Any) -> Fault:  # noqa: ANN401 - the fields of Fault
        """Arm a fault, given whole or by its kind and fields.

        Raises:
            ValueError: The kind, a field or a value is not known.
        """
        new = kind if isinstance(kind, Fault) else fault(kind, values)
        left = float("inf") if new.times is None else new.times
        with self._lock:
            self._added += 1
            chance = random.Random(f"{self._seed}/{self._added}")
            self._armed.append(_Armed(fault=new, left=left, to_pass=new.after, chance=chance))
        return new

    def clear(self) -> None:
        """Disarm all."""
        with self._lock:
            self._armed.clear()

    def armed(self) -> list[dict[str, Any]]:
        """Return what is armed or spent: each fault's fields, and how often it `struck`."""
        with self._lock:
            return [dataclasses.asdict(one.fault) | {"struck": one.struck} for one in self._armed]

    def strike(self, kind: str, operation: str, queue: str | None) -> Fault | None:
        """Return the fault of this kind that strikes this request now, and count it as struck; None if none does."""
        if not self._armed:
            return None
        with self._lock:
            return next((one.fault for one in self._armed if _strikes(one, kind, operation, queue)), None)


def _strikes(one: _Armed, kind: str, operation: str, queue: str | None) -> bool:
    fault = one.fault
    if (
        fault.kind != kind
        or fault.operation not in (None, operation)
        or fault.queue not in (None, queue)
        or one.left < 1
    ):
        return False
    if one.to_pass:
        one.to_pass -= 1
        return False
    if fault.share < 1 and one.chance.random() >= fault.share:
        return False
    one.left -= 1
    one.struck += 1
    return True
