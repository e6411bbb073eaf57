"""Whether the rules are followed: which ones the workers go by, what is stopped, late or given up."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from handlers.actions.endings import NOT_IN_TIME
from handlers.actions.figures import ended_since
from handlers.actions.stages import REFUSED
from handlers.doctor.findings import Finding, ok, warn
from handlers.rules.matching import version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.actions import Figures
    from handlers.database import Database
    from handlers.questions.rules import InForce
    from handlers.settings import Settings

_A_DAY_MS: Final = 86_400_000
#: milliseconds after which an action that is due should have been sent
_LATE_MS = 60_000


def examine_workers(settings: Settings, seen: InForce) -> Iterator[Finding]:
    """Hold the rules that the workers go by against the file of this machine."""
    version, name = _version(settings), settings.rules.name
    for problem in seen.problems:
        does = f"mend the {name} of that machine; `reelhook rules check` reads it"
        yield warn("rules.workers", f"a worker says of its file: {problem}", does)
    if not seen.workers:
        if version is None:
            yield ok("rules.workers", "no worker was heard of lately")
        else:
            yield warn("rules.workers", "no worker was heard of lately: no rule is in force", "start `reelhook work`")
        return
    others = [worker["host"] for worker in seen.workers if worker["version"] != version]
    if others:
        verb = "goes" if len(others) == 1 else "go"
        says = f"{len(others)} of {len(seen.workers)} workers {verb} by other rules than this machine's {name}"
        does = f"bring the same {name} to every machine; a worker takes a new one within two seconds"
        yield warn("rules.workers", f"{says}: on {', '.join(sorted(set(others)))}", does)
    elif not seen.problems:
        yield ok("rules.workers", f"all workers ({len(seen.workers)}) go by the rules of this machine")


def examine_actions(seen: Figures) -> Iterator[Finding]:
    """Look for what should have been sent, was given up, or is stopped by hand."""
    dead = sum(count for (_, state), count in seen.waiting.items() if state == "dead")
    if dead:
        does = "`reelhook actions list --state dead` tells why; mend the cause, then `reelhook actions retry-all`"
        yield warn("actions", "1 action is dead" if dead == 1 else f"{dead} actions are dead", does)
    else:
        yield ok("actions", "no action is dead")
    for operation, late in seen.oldest_ms.items():
        if late > _LATE_MS:
            does = "see what is stopped, what waits for its limit, and the worker's log"
            yield warn("actions.late", f"a call of {operation} has been due for {late / 1000:.0f} s", does)
    for switch in seen.stopped:
        says = f"{switch.kind} {switch.name}".strip()
        yield warn("actions.stopped", f"stopped by hand: {says}", "`reelhook actions go` once the cause is mended")


def examine_endings(database: Database, *, now: int) -> Iterator[Finding]:
    """Look for calls of the last day that were never made: `now` in milliseconds UTC. Raises DatabaseAway."""
    with database.read() as connection:
        found = ended_since(connection, now - _A_DAY_MS, late=NOT_IN_TIME)
    calm: Counter[str] = Counter()
    for (operation, state, is_late), number in sorted(found.items()):
        calls = f"{number} call{'s' * (number != 1)} of {operation}"
        if is_late:
            does = "see whether workers were down or too slow, and what was stopped; a longer max_age leaves more time"
            yield warn("actions.expired", f"{calls} of the last day came too late: the rule's max_age was over", does)
        elif state == REFUSED:
            does = "`reelhook actions list --state refused` tells why; mend the rule"
            yield warn("actions.refused", f"{calls} that rules asked for in the last day can't be made", does)
        else:
            calm[state] += number
    if calm:
        told = [f"{number} {'was' if number == 1 else 'were'} {state}" for state, number in sorted(calm.items())]
        yield ok("actions.ended", f"of the last day's actions {' and '.join(told)}, as usual")


def _version(settings: Settings) -> str | None:
    """Return the version of the file on this machine; None: there is none that can be read."""
    try:
        return version_of(settings.rules.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError):
        return None
