"""Which ids the rows of a history bear: those of the live catalogue, found by natural key; else made-up ones.

Rules build subjects, identifiers and bodies from ids, so that what history asks for must bear the ids that live
actions bear. An id that is made up says so in its text, and is the same whenever the same history is gone through.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from handlers.backtest.scratch import name_of
from handlers.runs import run_of, starts_of

if TYPE_CHECKING:
    from handlers.catalogue.effects import Effect
    from handlers.catalogue.families import Family

#: stands in every id that no row of the live catalogue has
MADE_UP: Final = "made-up"


def is_made_up(text: object) -> bool:
    """Tell whether an id is none of the live catalogue's."""
    return isinstance(text, str) and f"_{MADE_UP}-" in text


class Identities:
    """The ids of one family's rows."""

    def __init__(self, live: Family) -> None:
        """Take the family as the live catalogue has it."""
        self.live = live
        self._starts = starts_of(live.marks, list(live.slices.identifiers.values()))
        self._tasks: dict[str, str] = {}

    def give(self, effect: Effect) -> None:
        """Let what an effect shows bear the live ids."""
        if effect.task is not None:
            effect.task["id"] = self.task(effect.task, effect.event.at)
        for kind, row in (("rec", effect.recording), ("seg", effect.segment)):
            if row is not None:
                row["id"] = self._of_file(kind, row)
                row["task"] = effect.task["id"] if effect.task is not None else None

    def over(self, told: dict[str, str]) -> dict[str, str]:
        """Return tasks that are over under their live ids, as far as any was shown."""
        return {self._tasks[task]: why for task, why in told.items() if task in self._tasks}

    def task(self, row: dict[str, Any], at: int) -> str:
        """Return the live id of a run: of the one with its start, else of the one in which the time falls."""
        if row["id"] not in self._tasks:
            self._tasks[row["id"]] = self._found(row, at) or self._made_up("tsk", str(row["run"]))
        return self._tasks[row["id"]]

    def _found(self, row: dict[str, Any], at: int) -> str | None:
        taken = set(self._tasks.values())
        tasks = {run: one for run, one in self.live.tasks.items() if one["id"] not in taken}
        same = [one["id"] for one in tasks.values() if one["started_at"] == row["started_at"] is not None]
        if same:
            return str(same[0])
        time = at if row["started_at"] is None else row["started_at"]
        here = tasks.get(run_of(self._starts, time))
        return None if here is None else str(here["id"])

    def _of_file(self, kind: str, row: dict[str, Any]) -> str:
        locator = row["locator"]
        if kind == "rec":
            file = self.live.files.get(locator)
            return self._made_up(kind, locator) if file is None else file.id
        stored = self.live.slices.stored.get((row["identifier"], locator))
        return self._made_up(kind, row["identifier"], locator) if stored is None else str(stored["id"])

    def _made_up(self, kind: str, *names: str) -> str:
        told = "\0".join((name_of(self.live.key), *names))
        return f"{kind}_{MADE_UP}-{hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}"
