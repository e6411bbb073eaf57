"""What a backtest found: of each rule, of each limit, call by call, and against the version in force."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from handlers.backtest.identities import is_made_up
from handlers.backtest.pace import Pace, paces
from handlers.moments import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from handlers.backtest.asking import Asking, Heard
    from handlers.backtest.trial import Trial
    from handlers.rules import Rule

_CALL: Final = (
    "rule, created_at AS at, change, subject, step, operation, vendor, account, destination, parameters, state, reason,"
    " task, recording, delivery"
)
_CALLS: Final = f"SELECT {_CALL} FROM actions ORDER BY created_at, rowid"  # noqa: S608 - names only
_FIRST: Final = f"SELECT {_CALL} FROM actions WHERE state IN ('planned', 'shadow') ORDER BY created_at, rowid"  # noqa: S608 - names only
_PACED: Final = (
    "SELECT created_at AS at, quota, api, interval_us, destination, operation FROM actions WHERE state = 'planned'"
    " ORDER BY created_at, rowid"
)
_STATES: Final = "SELECT rule, state, count(*) AS calls FROM actions GROUP BY rule, state"
_REASONS: Final = (
    "SELECT rule, state, reason, count(*) AS calls FROM actions WHERE state NOT IN ('planned', 'shadow')"
    " GROUP BY rule, state, reason ORDER BY rule, calls DESC"
)
#: reasons of one rule that are told
_MOST_REASONS: Final = 10


@dataclass(frozen=True, kw_only=True)
class RuleFound:
    """What one rule would have done."""

    name: str
    mode: str
    enabled: bool
    matched: int
    #: by the reason for which it asked for nothing: account, vendor, age, condition, failed
    unmatched: Mapping[str, int]
    #: why its condition last had no value
    failure: str | None
    #: calls that would have been made, and those that a shadow only shows
    calls: int
    shadow: int
    #: calls that would have been planned and not made: refused, cancelled, superseded
    ended: Mapping[str, int]
    #: of these the reasons, the most frequent first: {"state", "reason", "calls"}
    reasons: Sequence[Mapping[str, Any]]
    #: calls that were asked for and not planned: another change had the once-key, or the same was planned before
    left_out: int


def rules_found(asking: Asking, trial: Trial, *, known: int = 0) -> list[RuleFound]:
    """Return what every rule of a version would have done; `known` calls were not tried, being planned already."""
    states: dict[str, dict[str, int]] = {}
    for row in trial.rows(_STATES):
        states.setdefault(row.rule, {})[row.state] = row.calls
    reasons: dict[str, list[dict[str, Any]]] = {}
    for row in trial.rows(_REASONS):
        told = {"state": row.state, "reason": row.reason, "calls": row.calls}
        reasons.setdefault(row.rule, []).append(told)
    return [
        _rule_found(rule, asking.heard[rule.name], states.get(rule.name, {}), reasons.get(rule.name, ()), known)
        for rule in asking.rules.all
    ]


def _rule_found(
    rule: Rule, heard: Heard, states: Mapping[str, int], reasons: Sequence[Mapping[str, Any]], known: int
) -> RuleFound:
    return RuleFound(
        name=rule.name,
        mode=rule.mode,
        enabled=rule.enabled,
        matched=heard.matched,
        unmatched=dict(heard.unmatched),
        failure=heard.failure,
        calls=states.get("planned", 0),
        shadow=states.get("shadow", 0),
        ended={state: count for state, count in states.items() if state not in {"planned", "shadow"}},
        reasons=reasons[:_MOST_REASONS],
        left_out=heard.asked - known - sum(states.values()),
    )


def paces_found(asking: Asking, trial: Trial) -> list[Pace]:
    """Return how fast the calls would have come."""
    return paces(trial.rows(_PACED), asking.limits)


def every_call(trial: Trial) -> Iterator[dict[str, Any]]:
    """Yield every call that would have been planned, refused ones too, in the order of their time."""
    for row in trial.rows(_CALLS):
        yield shown(row)


def first_calls(trial: Trial, most: int) -> list[dict[str, Any]]:
    """Return the first calls that would have been made, or shown by a shadow."""
    return [shown(row) for row in trial.rows(f"{_FIRST} LIMIT {int(most)}")]


def shown(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of calls
    """Return a call as it is shown."""
    told = dict(row._mapping)  # noqa: SLF001 - public, whatever its name
    told["at"] = to_text(told["at"])
    told["parameters"] = None if told["parameters"] is None else json.loads(told["parameters"])
    told["made_up"] = any(is_made_up(told[name]) for name in ("task", "recording"))
    return told
