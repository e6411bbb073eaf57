"""What is wrong in a file of rules, and where: one sentence with its line and column; and what has no value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from handlers.rules.nodes import Place


class NoValue(ValueError):
    """An expression has no value for some change; the message says why."""


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """One thing that is wrong, or that its writer may not expect."""

    #: counted from 1
    line: int
    column: int
    text: str
    #: a warning does not stop the rules
    level: Literal["error", "warning"] = "error"

    def shown(self, file: str) -> str:
        """Return `rules.yaml:3:5: ...` as compilers and editors write it."""
        said = self.text if self.level == "error" else f"warning: {self.text}"
        return f"{file}:{self.line}:{self.column}: {said}"


def _one_line(text: str) -> str:
    """Return the text with everything escaped that would break its line, or steer a terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class Findings:
    """The problems as they are found, so that all are told at once."""

    def __init__(self, words: Mapping[str, Collection[str]] | None = None) -> None:
        """Take the names of the vendors and accounts that there are, as `vendor` and `account`, where it is known."""
        self.words = words or {}
        self._found: dict[Problem, None] = {}
        #: how many expressions were checked, for each change anew
        self.expressions = 0

    def error(self, place: Place, text: str) -> None:
        """Note what stops the rules."""
        self._found[Problem(line=place.line, column=place.column, text=_one_line(text))] = None

    def has_error(self, place: Place) -> bool:
        """Tell whether something is known to be wrong at this very place."""
        return any((one.line, one.column, one.level) == (place.line, place.column, "error") for one in self._found)

    def warn(self, place: Place, text: str) -> None:
        """Note what the writer of the rules may not expect."""
        self._found[Problem(line=place.line, column=place.column, text=_one_line(text), level="warning")] = None

    @property
    def errors(self) -> Sequence[Problem]:
        """All that stops the rules, in the order of the file."""
        return tuple(sorted(one for one in self._found if one.level == "error"))

    @property
    def warnings(self) -> Sequence[Problem]:
        """All that does not, in the order of the file."""
        return tuple(sorted(one for one in self._found if one.level == "warning"))
