"""How figures are printed: medians with their ranges, and beside them the goal and whether it is met."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A number to reach."""

    bound: float
    #: the figure must be at least the bound; else below it
    at_least: bool

    def verdict(self, figure: float) -> str:
        """Say what was wanted and whether it came."""
        met = figure >= self.bound if self.at_least else figure <= self.bound
        return f"goal {'>=' if self.at_least else '<='} {self.bound:,g}: {'met' if met else 'MISSED'}"


def at_least(bound: float) -> Goal:
    """Return a goal that is met from the bound up."""
    return Goal(bound=bound, at_least=True)


def at_most(bound: float) -> Goal:
    """Return a goal that is met up to the bound."""
    return Goal(bound=bound, at_least=False)


def spread(figures: Sequence[float], digits: int = 2) -> str:
    """Return the median and, of several rounds, the range."""
    if len(figures) == 1:
        return f"{figures[0]:,.{digits}f}"
    return f"{median(figures):,.{digits}f} ({min(figures):,.{digits}f}..{max(figures):,.{digits}f})"


def title(text: str) -> None:
    """Print the heading of a section."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def row(name: str, figure: str, note: str = "") -> None:
    """Print one figure and what is to be said of it."""
    print(f"  {name:<50} {figure:<30} {note}".rstrip(), flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a head, in columns."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    for line in (head, *rows):
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)), flush=True)
