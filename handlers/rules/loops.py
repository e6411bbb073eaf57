"""Finds rules that would feed themselves: their call brings about a change that one of them waits for.

Each of these holds a rule back, if it is no faster than once a minute:

- `once_per: task`, or a limit per task: as long as no rule of the circle starts a new task each time, for then each
  task has its first time;
- `once_per: room` or `account`, or a limit for the rule in all: in every circle.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from handlers.rules.model import derived_name
from handlers.settings.values import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from handlers.rules.model import Known, Limit, Rule
    from handlers.rules.problems import Findings

_HOUR: Final = 3_600_000
#: milliseconds: the least span after which `once_per` may begin anew
LEAST_SPAN: Final = 60_000
#: calls an hour: the most that a limit may allow
MOST_AN_HOUR: Final = 60
#: milliseconds of which a limit may spend all its calls at once
_LONGEST: Final = 24 * _HOUR


def find_loops(rules: Sequence[Rule], known: Known, findings: Findings) -> None:
    """Note every rule that begins a circle in which nothing holds any rule back."""
    enabled = [rule for rule in rules if rule.enabled]
    feeds = {rule.name: _feeds(rule, known) for rule in enabled}
    starting = {rule.name for rule in enabled if _starts_tasks(rule, known)}
    told: set[frozenset[str]] = set()
    for rule in enabled:
        # A circle with a rule that starts tasks is found from there, for some brakes don't count in it.
        is_held_back = _is_held_back_everywhere if rule.name in starting else _is_held_back
        free = [one for one in enabled if not is_held_back(one)]
        circle = () if is_held_back(rule) else _circle(rule, free, feeds)
        if circle and (members := frozenset(one.name for one in circle)) not in told:
            told.add(members)
            findings.error(rule.place, _sentence(circle, feeds, starting))


def _is_held_back(rule: Rule) -> bool:
    per_task = rule.once_per.scope == "task" and _is_slow(rule)
    return per_task or _is_low(rule.limits.task) or _is_held_back_everywhere(rule)


def _is_held_back_everywhere(rule: Rule) -> bool:
    return (rule.once_per.scope in {"room", "account"} and _is_slow(rule)) or _is_low(rule.limits.rule)


def _is_slow(rule: Rule) -> bool:
    return rule.once_per.for_ms is None or rule.once_per.for_ms >= LEAST_SPAN


def _is_low(limit: Limit | None) -> bool:
    return limit is not None and limit.most * _HOUR <= MOST_AN_HOUR * min(limit.within_ms, _LONGEST)


def _starts_tasks(rule: Rule, known: Known) -> bool:
    return any(derived_name(known.operations[step]) is not None for step in rule.steps)


def _feeds(rule: Rule, known: Known) -> frozenset[str]:
    return frozenset().union(*(known.operations[step].feeds for step in rule.steps))


def _circle(start: Rule, free: Sequence[Rule], feeds: Mapping[str, frozenset[str]]) -> tuple[Rule, ...]:
    """Return the shortest way from a rule back to itself; empty: there is none."""
    waiting: deque[tuple[Rule, ...]] = deque([(start,)])
    seen: set[str] = set()
    while waiting:
        path = waiting.popleft()
        for rule in _fed(path[-1], free, feeds):
            if rule is start:
                return path
            if rule.name not in seen:
                seen.add(rule.name)
                waiting.append((*path, rule))
    return ()


def _fed(rule: Rule, free: Sequence[Rule], feeds: Mapping[str, frozenset[str]]) -> Iterator[Rule]:
    for other in free:
        if feeds[rule.name].intersection(other.when) and _may_meet(rule, other):
            yield other


def _may_meet(rule: Rule, other: Rule) -> bool:
    """Tell whether a change that one brings about can reach the other: it is of the same vendor and account."""
    if None not in (rule.vendor, other.vendor) and rule.vendor != other.vendor:
        return False
    return rule.accounts is None or other.accounts is None or bool(rule.accounts & other.accounts)


def _sentence(circle: tuple[Rule, ...], feeds: Mapping[str, frozenset[str]], starting: set[str]) -> str:
    names = [rule.name for rule in (*circle, circle[0])]
    brought = [listed(sorted(feeds[one.name].intersection(other.when))) for one, other in _pairs(circle)]
    how = "; ".join(f"{name} brings about {what}" for name, what in zip(names, brought, strict=False))
    mend = _mend(circle, starting)
    if len(circle) == 1:
        return f"the rule would feed itself, for its call brings about {brought[0]}: {mend}"
    return f"the rules would feed each other without end, {' -> '.join(names)}: {how}; to one of them {mend}"


def _mend(circle: tuple[Rule, ...], starting: set[str]) -> str:
    """Say what would hold the circle back, and why what stands there does not."""
    starts = any(one.name in starting for one in circle)
    mend = "add `once_per: task` (or room, account), or `limits: {task: 5/1h}`"
    if starts:
        what = "each call starts a new task, so that nothing counted by task holds it back"
        mend = f"add `once_per: room` (or account) with `for: 12h`, or `limits: {{rule: 5/1h}}`; {what}"
    brakes: tuple[tuple[Callable[[Rule], bool], str], ...] = (
        (lambda one: not _is_slow(one), "`for` must be 1m or more to hold it back"),
        (
            lambda one: any(limit and not _is_low(limit) for limit in (one.limits.rule, one.limits.task)),
            f"a limit must allow no more than {MOST_AN_HOUR} an hour to hold it back, over a day at most",
        ),
    )
    return "; ".join([mend, *(said for is_nominal, said in brakes if any(map(is_nominal, circle)))])


def _pairs(circle: tuple[Rule, ...]) -> Iterator[tuple[Rule, Rule]]:
    yield from zip(circle, (*circle[1:], circle[0]), strict=True)
