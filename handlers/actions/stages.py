"""The words for how far an action is: states for people, stages for whoever looks for the next call."""

from __future__ import annotations

from typing import Final

PLANNED: Final = "planned"
SHADOW: Final = "shadow"
RUNNING: Final = "running"
DONE: Final = "done"
AGAIN: Final = "again"
DEAD: Final = "dead"
SUPERSEDED: Final = "superseded"
CANCELLED: Final = "cancelled"
REFUSED: Final = "refused"
STATES: Final = (PLANNED, SHADOW, RUNNING, DONE, AGAIN, DEAD, SUPERSEDED, CANCELLED, REFUSED)

#: the step before it is not done yet; it is in no lane so far
HELD: Final = "held"
#: another of its lane comes first
WAITING: Final = "waiting"
READY: Final = "ready"
CLAIMED: Final = "claimed"
OVER: Final = "over"
