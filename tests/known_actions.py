"""What a model of actions knows of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Known:
    """What the model knows of an action."""

    lane: str | None
    order: tuple[int, int, int]
    is_repeatable: bool
    rule: str
    due_at: int
    is_batched: bool = False
    #: the task whose run must go on for it
    task: str | None = None
    #: that ended while it was in hand
    is_over: bool = False
    state: str = "planned"
    tries: int = 0
    #: in hand: its token, when its lease ends, and whether its call has begun
    token: int | None = None
    lease_until: int = 0
    is_begun: bool = False
    #: the action that must be done before it; whether it still waits for that, or was cancelled because of it
    after: str | None = None
    is_held: bool = False
    is_dropped: bool = False
    #: its consumer said how it went
    has_result: bool = False


def key(one: Any) -> str:
    """Return the name of an action in the model: what it is about, and for the steps after it which."""
    subject, step = (one["subject"], one["step"]) if isinstance(one, Mapping) else (one.subject, one.step)
    return f"{subject}/{step}" if step else str(subject)
