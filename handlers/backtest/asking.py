"""What a version of the rules says to a history: how often each rule matched, why not, and its calls.

Times in what is asked for count from the plan, which comes later: until then nobody knows when that is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

from handlers.inbox.consequences import Planner, change_of
from handlers.rules import RuleBook, Rules
from handlers.rules.known import known_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from handlers.actions import Planned
    from handlers.backtest.history import Happening
    from handlers.rules import Known, Rule
    from handlers.settings import Settings

#: planned at this time, whatever expires does so that long after
_FROM_NOW: Final = 0


@dataclass(kw_only=True)
class Heard:
    """What one rule said to all changes that it waits for."""

    matched: int = 0
    #: by the reason for which it asked for nothing
    unmatched: Counter[str] = field(default_factory=Counter)
    #: why its condition last had no value
    failure: str | None = None
    #: calls that it asked for, before once_per, limits and names had their say
    asked: int = 0


class Asking:
    """One version of the rules, as it is asked about a history."""

    def __init__(self, settings: Settings, path: Path, rules: Rules) -> None:
        """Take the settings, the file of the rules, and those of them that are asked."""
        self.rules = rules
        self._planner = Planner(settings, RuleBook(path, known_of(settings)))
        self.heard: dict[str, Heard] = defaultdict(Heard)
        for rule in rules.all:
            self.heard[rule.name] = Heard()
        #: calls a second that each limiter allows, by quota and API
        self.limits: dict[tuple[str, str], float] = {}

    def ask(self, happening: Happening, *, now: int | None, keeps_told: bool) -> list[Planned]:
        """Return the calls that a happening asks for.

        `now`, in milliseconds UTC, is what an event's age is judged by; None: none is too old. What
        destinations are told is left out unless `keeps_told`.
        """
        planned: list[Planned] = []
        for effect in happening.effects:
            if not self.rules.wait_for(effect.name):
                continue
            change = change_of(effect)
            answer = self.rules.asked(change, now=now)
            for one in answer.unmatched:
                heard = self.heard[one.rule]
                heard.unmatched[one.reason] += 1
                heard.failure = one.detail if one.reason == "failed" else heard.failure
            for name in dict.fromkeys(asked.rule for asked in answer.asked):
                self.heard[name].matched += 1
            for asked in answer.asked:
                self.heard[asked.rule].asked += 1
                call = self._planner.planned(change, asked, self.rules.version, now=_FROM_NOW, tells=keeps_told)
                if call.quota is not None and call.limit is not None:
                    self.limits[call.quota, call.api or ""] = call.limit
                planned.append(call)
        return planned


def planned_at(planned: Sequence[Planned], now: int, known: Known) -> list[Planned]:
    """Return what was asked for as it is to be planned at a time, milliseconds UTC."""
    return [_planned_at(one, now, known) for one in planned]


def _planned_at(one: Planned, now: int, known: Known) -> Planned:
    changed: dict[str, Any] = {}
    if one.expires_at is not None:
        changed["expires_at"] = one.expires_at + now
    if one.once is not None and one.once.expires_at is not None:
        changed["once"] = replace(one.once, expires_at=one.once.expires_at + now)
    if one.lane is not None and known.vendor_of(one.operation) is not None:
        changed["precondition"] = cast("Any", known.operations[one.operation]).precondition
    return replace(one, **changed) if changed else one


def chosen(rules: Rules, known: Known, names: Sequence[str]) -> Rules:
    """Return those of the rules that are named, enabled whatever the file says; all as they are where none is named."""
    if not names:
        return rules
    some: Mapping[str, Rule] = {rule.name: rule for rule in rules.all if rule.name in names}
    return Rules([replace(rule, enabled=True) for rule in some.values()], known, version=rules.version)
