"""How the runs of a family stand, kept up event by event: a file or a slice costs the same however many there are.

Only where something moves from one run to another must the family be worked out as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handlers.runs import Files, parted, run_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from handlers.runs import Identifier, Mark, Span


@dataclass(kw_only=True)
class Standing:
    """What the rows of a family's tasks were last worked out from."""

    starts: Sequence[int]
    #: by run
    marks: Mapping[int, Sequence[Mark]]
    files: defaultdict[int, Files] = field(default_factory=lambda: defaultdict(Files))
    heard: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    #: the run of each file, and the business id that it had, by locator
    _run_of_file: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    #: when each identifier was first heard, by its name
    _first_heard: dict[str, int] = field(default_factory=dict)

    def place_file(self, locator: str, span: Span) -> int:
        """Put a file into its run, and return that."""
        run = run_of(self.starts, span.time)
        self.files[run].add(span)
        self._run_of_file[locator] = (run, span.business_id)
        return run

    def place_identifier(self, identifier: Identifier) -> int:
        """Put an identifier into its run, and return that."""
        run = run_of(self.starts, identifier.first_at)
        self.heard[run].append(identifier.name)
        self._first_heard[identifier.name] = identifier.first_at
        return run

    def take_file(self, locator: str, span: Span) -> int | None:
        """Take what is known now of a file that is new or has grown; None: it has to be worked out from all."""
        run = run_of(self.starts, span.time)
        known = self._run_of_file.get(locator)
        if known is None:
            return self.place_file(locator, span)
        if known != (run, span.business_id):
            return None
        self.files[run].grow(span)
        return run

    def take_identifier(self, identifier: Identifier) -> int | None:
        """Take what an identifier spans now; None: another run may begin by that.

        What the last one heard of spans to its end comes before no other.
        """
        if identifier.first_at != self._first_heard.get(identifier.name):
            return None
        if identifier.first_at < max(self._first_heard.values()):
            return None
        return run_of(self.starts, identifier.first_at)

    def take_marks(self, marks: Iterable[Mark]) -> None:
        """Take the marks as they are now; none of them begins a run that was not there."""
        self.marks = parted(marks, self.starts)

    def is_empty(self, run: int) -> bool:
        """Tell a run that nothing speaks of any more."""
        return not (self.marks.get(run) or self.files[run].count or self.heard.get(run))

    def run_of_mark(self, mark: Mark) -> int | None:
        """Return the run that a mark was put into."""
        return next((run for run, some in self.marks.items() if any(one.place == mark.place for one in some)), None)
