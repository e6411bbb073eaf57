"""What a full catalogue costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.plan import Plan


def run(engine: str, count: int, root: Path, plan: Plan) -> None:
    """Not yet."""
