"""What a stand-in raises on purpose: its command tells it in its own words and ends with 1."""

from __future__ import annotations

from handlers.errors import ReelhookError


class NotSent(ReelhookError):
    """Nobody answered the callback."""


class NotAnswered(ReelhookError):
    """Reelhook's API did not answer as it should."""


class NotStarted(ReelhookError):
    """A program that the demo needs did not start."""
