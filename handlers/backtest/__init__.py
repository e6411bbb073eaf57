"""What rules would have done: asked about kept deliveries once more, and planned for a trial; nothing is sent or kept.

`history` folds the deliveries beside the catalogue, `asking` lets a version of the rules say what follows, `trial`
plans that in the order of time, and `findings` and `differences` tell what came of it. `applying` does it for real.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers import tables
from handlers.backtest.asking import Asking, chosen, planned_at
from handlers.backtest.differences import Differences, changed_fields, differences
from handlers.backtest.findings import RuleFound, every_call, first_calls, paces_found, rules_found
from handlers.backtest.history import History, Source
from handlers.backtest.kept import Kept, Window
from handlers.backtest.scratch import Scratch
from handlers.backtest.trial import Trial
from handlers.rules.known import known_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from handlers.backtest.pace import Pace
    from handlers.database import Database
    from handlers.rules import Rules
    from handlers.settings import Settings

__all__ = ["Backtest", "Found", "Source", "Version", "Window", "backtest", "changed_fields", "chosen"]


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of the rules, and the file that holds it."""

    path: Path
    rules: Rules


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a backtest found."""

    window: Window
    version: str
    #: deliveries of the window by what became of them: processed, quarantined, kept, unreadable, silent
    deliveries: Mapping[str, int]
    events: int
    seconds: float
    rules: Sequence[RuleFound]
    paces: Sequence[Pace]
    calls: Sequence[dict[str, Any]]
    #: None: nothing was compared
    differences: Differences | None


class Backtest:
    """A backtest that is done, as long as its notes are there."""

    def __init__(self, found: Found, trial: Trial) -> None:
        """Take what was found, and the calls."""
        self.found = found
        self._trial = trial

    def every_call(self) -> Iterator[dict[str, Any]]:
        """Yield every call that would have been planned, in the order of their time."""
        return every_call(self._trial)


@contextmanager
def backtest(  # noqa: PLR0913 - what is asked, about what, and who is told how far it is
    source: Source,
    window: Window,
    tested: Version,
    active: Version | None = None,
    *,
    show: int = 20,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[Backtest]:
    """Try a version of the rules on the deliveries of a window, and compare it with the one in force, if any is given.

    `show` calls are returned whole, and as many of each sort of difference. Raises DatabaseAway.
    """
    began = time.monotonic()
    versions = [tested] if active is None else [tested, active]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reelhook-")))
        scratch = stack.enter_context(closing(Scratch(folder)))
        askings = [Asking(source.settings, one.path, one.rules) for one in versions]
        history = History(source, window, _wanted(versions), scratch, progress)
        _ask(history, askings, scratch)
        trials = [
            stack.enter_context(closing(Trial(folder, f"side-{side}", source.database))) for side in range(len(askings))
        ]
        _plan(
            scratch, trials, source.settings, lambda part: progress(int((2 + part) * history.total), 3 * history.total)
        )
        deliveries = _deliveries(source.database, window, history.count.unreadable)
        found = Found(
            window=window,
            version=tested.rules.version,
            deliveries=deliveries,
            events=history.count.events,
            seconds=time.monotonic() - began,
            rules=rules_found(askings[0], trials[0]),
            paces=paces_found(askings[0], trials[0]),
            calls=first_calls(trials[0], show),
            differences=None if active is None else differences(trials[0], trials[1], active.rules.version, most=show),
        )
        yield Backtest(found, trials[0])


def _wanted(versions: Sequence[Version]) -> Callable[[str], bool]:
    return lambda change: any(one.rules.wait_for(change) for one in versions)


def _ask(history: History, askings: Sequence[Asking], scratch: Scratch) -> None:
    """Ask every version about all that happened; what was received then was as old as it was then."""
    for one in history.happenings():
        received_at = one.delivery.received_at
        for side, asking in enumerate(askings):
            planned = asking.ask(one, now=received_at, keeps_told=False)
            if planned:
                scratch.ask(side, one.delivery, one.family, planned, one.over)


def _plan(scratch: Scratch, trials: Sequence[Trial], settings: Settings, progress: Callable[[float], None]) -> None:
    known = known_of(settings)
    done = 0
    for side, trial in enumerate(trials):
        for wanted in scratch.wanted(side):
            trial.plan(planned_at(wanted.planned, wanted.received_at, known), wanted.over, now=wanted.received_at)
            done += 1
            progress(done / scratch.asked)
        trial.finish()


def _deliveries(database: Database, window: Window, unreadable: int) -> dict[str, int]:
    kept = Kept(database, window)
    counts = kept.counts()
    return {
        "processed": counts.get(tables.PROCESSED, 0),
        "quarantined": counts.get(tables.QUARANTINED, 0),
        "kept": counts.get(tables.KEPT, 0),
        "unreadable": unreadable,
        "silent": kept.silent(),
    }
