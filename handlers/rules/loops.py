"""Finds rules that would feed themselves: their call brings about a change that one of them waits for."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from handlers.settings.values import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handlers.rules.model import Known, Rule
    from handlers.rules.problems import Findings


def find_loops(rules: Sequence[Rule], known: Known, findings: Findings) -> None:
    """Note every rule that begins a circle in which nothing holds any rule back."""
    free = [rule for rule in rules if rule.enabled and not _is_held_back(rule)]
    feeds = {rule.name: _feeds(rule, known) for rule in free}
    told: set[frozenset[str]] = set()
    for rule in free:
        circle = _circle(rule, free, feeds)
        if circle and (members := frozenset(one.name for one in circle)) not in told:
            told.add(members)
            findings.error(rule.place, _sentence(circle, feeds))


def _is_held_back(rule: Rule) -> bool:
    return rule.once_per.scope != "subject" or rule.limits.task is not None or rule.limits.rule is not None


def _feeds(rule: Rule, known: Known) -> frozenset[str]:
    return frozenset().union(*(known.operations[step].feeds for step in rule.steps))


def _circle(start: Rule, free: Sequence[Rule], feeds: dict[str, frozenset[str]]) -> tuple[Rule, ...]:
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


def _fed(rule: Rule, free: Sequence[Rule], feeds: dict[str, frozenset[str]]) -> Iterator[Rule]:
    for other in free:
        if feeds[rule.name].intersection(other.when) and _may_meet(rule, other):
            yield other


def _may_meet(rule: Rule, other: Rule) -> bool:
    """Tell whether a change that one brings about can reach the other: it is of the same vendor and account."""
    if None not in (rule.vendor, other.vendor) and rule.vendor != other.vendor:
        return False
    return rule.accounts is None or other.accounts is None or bool(rule.accounts & other.accounts)


def _sentence(circle: tuple[Rule, ...], feeds: dict[str, frozenset[str]]) -> str:
    names = [rule.name for rule in (*circle, circle[0])]
    brought = [listed(sorted(feeds[one.name].intersection(other.when))) for one, other in _pairs(circle)]
    how = "; ".join(f"{name} brings about {what}" for name, what in zip(names, brought, strict=False))
    mend = "add `once_per: task` (or room, account), or `limits: {task: 5/1h}`"
    if len(circle) == 1:
        return f"the rule would feed itself, for its call brings about {brought[0]}: {mend}"
    return f"the rules would feed each other without end, {' -> '.join(names)}: {how}; {mend} to one of them"


def _pairs(circle: tuple[Rule, ...]) -> Iterator[tuple[Rule, Rule]]:
    yield from zip(circle, (*circle[1:], circle[0]), strict=True)
