"""How one rule is applied to history for real: what it would ask for is planned, where it was not planned before.

History is gone through once; then what would be planned can be previewed, and planned. Planning is the live one's, a
few actions in each transaction and no more in a second than is wanted, so that live calls get their turn. A change
about which the rule has planned anything already is left as it is, so that it can be ended and begun again.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from handlers import catalogue, tables
from handlers.actions import plan
from handlers.backtest.asking import Asking, planned_at
from handlers.backtest.findings import RuleFound, first_calls, rules_found
from handlers.backtest.history import History
from handlers.backtest.identities import is_made_up
from handlers.backtest.scratch import Scratch
from handlers.backtest.trial import Trial
from handlers.catalogue.endings import over_now
from handlers.clock import now_ms
from handlers.ids import new_id
from handlers.inbox.consequences import covers
from handlers.rows import fetch
from handlers.rules.known import known_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.actions import Planned
    from handlers.backtest import Version
    from handlers.backtest.history import Source
    from handlers.backtest.kept import Window
    from handlers.backtest.scratch import Wanted

#: actions in one transaction; on SQLite few, because keeping waits meanwhile
_AT_ONCE_ON_SQLITE: Final = 16
_AT_ONCE: Final = 100
_CHANGE: Final = ("rule", "subject", "change")
#: a second's actions are planned in so many portions, so that no window of a second holds many more
_PORTIONS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What would be planned."""

    rule: RuleFound
    #: calls that were planned before, and those about what the catalogue does not hold any more
    known: int
    gone: int
    calls: Sequence[dict[str, Any]]


@dataclass(kw_only=True)
class Applied:
    """What was planned."""

    #: new actions by their state once they were planned: planned, refused, cancelled, superseded
    new: Counter[str] = field(default_factory=Counter)
    #: calls that were planned before, those about what is gone, and those for which another change had the once-key
    known: int = 0
    gone: int = 0
    left_out: int = 0


class Application:
    """One rule, and what it asks for of a history that has been gone through."""

    def __init__(self, source: Source, asking: Asking, scratch: Scratch, folder: Path) -> None:
        """Take what was asked for."""
        self._database = source.database
        self._known = known_of(source.settings)
        self._asking = asking
        self._scratch = scratch
        self._folder = folder

    def preview(self, *, rate: float, show: int, clock: Callable[[], int] = now_ms) -> Preview:
        """Plan for a trial, at `rate` actions a second from now on, and return what came of it; nothing is written."""
        met = Applied()
        with closing(Trial(self._folder, "preview", self._database)) as trial:
            for rule in self._asking.rules.all:
                trial.take_over(rule.name)
            begun, count = clock(), 0
            for wanted in self._scratch.wanted(0):
                with self._database.read() as connection:
                    missed = _missed(connection, wanted.planned, met)
                    over = _over(connection, missed)
                now = begun + int(count / rate * 1000)
                trial.plan(planned_at(missed, now, self._known), over, now=now)
                count += len(missed)
            trial.finish()
            (found,) = rules_found(self._asking, trial, known=met.known + met.gone)
            return Preview(rule=found, known=met.known, gone=met.gone, calls=first_calls(trial, show))

    def apply(
        self,
        *,
        rate: float,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        clock: Callable[[], int] = now_ms,
        ticks: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Applied:
        """Plan for real, at most `rate` actions a second; return what came of it. Raises DatabaseAway."""
        applied = Applied()
        begun, done = ticks(), 0
        for portion in self._portions(rate):
            self._plan(portion, applied, clock())
            done += len(portion)
            progress(done, self._scratch.asked)
            if (wait := begun + applied.new.total() / rate - ticks()) > 0:
                sleep(wait)
        return applied

    def _portions(self, rate: float) -> Iterator[list[Wanted]]:
        at_once = _AT_ONCE_ON_SQLITE if self._database.is_sqlite else _AT_ONCE
        most = max(1, min(at_once, int(rate / _PORTIONS)))
        portion: list[Wanted] = []
        for wanted in self._scratch.wanted(0):
            if portion and sum(len(one.planned) for one in (*portion, wanted)) > most:
                yield portion
                portion = []
            portion.append(wanted)
        if portion:
            yield portion

    def _plan(self, portion: Sequence[Wanted], applied: Applied, now: int) -> None:
        keys = sorted({key for one in portion for key in one.families})
        asked = [call for one in portion for call in one.planned]
        with self._database.write() as connection:
            # Under the families' locks, so that no task ends between our look and our plan.
            catalogue.lock(connection, keys)
            missed = planned_at(_missed(connection, asked, applied), now, self._known)
            first = new_id("act")
            plan(connection, missed, now=now, covers=covers, over=_over(connection, missed))
            new = [row for row in _planned(connection, missed) if row["id"] > first]
        applied.new += Counter(row["state"] for row in new)
        applied.left_out += len(missed) - len(new)


@contextmanager
def application(
    source: Source,
    window: Window,
    version: Version,
    *,
    now: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[Application]:
    """Go through the history of a window with one rule; lend what it asks for. Raises DatabaseAway.

    `now`, in milliseconds UTC, is what max_age is judged by; None: nothing is too old.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reelhook-")))
        scratch = stack.enter_context(closing(Scratch(folder)))
        asking = Asking(source.settings, version.path, version.rules)
        history = History(source, window, version.rules.wait_for, scratch, progress)
        for one in history.happenings():
            planned = asking.ask(one, now=now, keeps_told=True)
            if planned:
                scratch.ask(0, one.delivery, one.family, planned, one.over)
        progress(3 * history.total, 3 * history.total)
        yield Application(source, asking, scratch, folder)


def _missed(connection: Connection, planned: Sequence[Planned], met: Applied) -> list[Planned]:
    """Return the calls about changes of which the rule has planned nothing yet, and that the catalogue knows."""
    here = [one for one in planned if not (is_made_up(one.task) or is_made_up(one.recording))]
    before = {tuple(row[name] for name in _CHANGE) for row in _planned(connection, here) if row["mode"] == "live"}
    missed = [one for one in here if (one.rule, one.subject, one.change) not in before]
    met.gone += len(planned) - len(here)
    met.known += len(here) - len(missed)
    return missed


def _planned(connection: Connection, planned: Sequence[Planned]) -> list[dict[str, Any]]:
    places = [(one.rule, one.subject, one.change) for one in planned]
    return list(fetch(connection, tables.actions, _CHANGE, places))


def _over(connection: Connection, planned: Sequence[Planned]) -> Mapping[str, str]:
    """Return the tasks of these calls that are over now, with the reason."""
    return over_now(connection, {one.task for one in planned if one.needs_run and one.task is not None})
