"""What two versions of the rules would have done differently: calls of one alone, and calls that are not the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from handlers.backtest.findings import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.backtest.trial import Trial

_SHOWN: Final = (
    "{0}.rule, {0}.created_at AS at, {0}.change, {0}.subject, {0}.step, {0}.operation, {0}.vendor, {0}.account,"
    " {0}.destination, {0}.parameters, {0}.state, {0}.reason, {0}.task, {0}.recording, {0}.delivery"
)
#: two calls are of the same place: the same rule, about the same; a shadow has no renewal of its own
_SAME: Final = (
    "a.rule = b.rule AND a.subject = b.subject AND a.change = b.change AND a.generation = b.generation"
    " AND max(a.renewal, 0) = max(b.renewal, 0) AND a.step = b.step"
)
_DIFFERS: Final = (
    "a.operation IS NOT b.operation OR a.parameters IS NOT b.parameters OR a.destination IS NOT b.destination"
    " OR a.state IS NOT b.state"
)


@dataclass(frozen=True, kw_only=True)
class Differences:
    """What differs from the version in force: how much, and the first of it."""

    #: of the version in force
    version: str
    only_here: int
    only_there: int
    changed: int
    #: calls of the tested version, and of the one in force, that the other does not have
    here: Sequence[dict[str, Any]]
    there: Sequence[dict[str, Any]]
    #: {"before", "after"}: as the version in force has it, and the tested one
    pairs: Sequence[dict[str, Any]]


def differences(tested: Trial, active: Trial, version: str, *, most: int) -> Differences:
    """Compare the calls of two versions over the same history; of each sort the first `most` are returned whole."""
    tested.attach(active, "other")
    here, there = "main.actions AS a", "other.actions AS b"
    alone_here = f"FROM {here} WHERE NOT EXISTS (SELECT 1 FROM {there} WHERE {_SAME})"  # noqa: S608 - the words above
    alone_there = f"FROM {there} WHERE NOT EXISTS (SELECT 1 FROM {here} WHERE {_SAME})"  # noqa: S608 - the words above
    both = f"FROM {here} JOIN {there} ON {_SAME} WHERE ({_DIFFERS})"
    return Differences(
        version=version,
        only_here=_count(tested, alone_here),
        only_there=_count(tested, alone_there),
        changed=_count(tested, both),
        here=_first(tested, "a", alone_here, most),
        there=_first(tested, "b", alone_there, most),
        pairs=_pairs(tested, both, most),
    )


def _count(trial: Trial, what: str) -> int:
    return int(next(trial.rows(f"SELECT count(*) {what}"))[0])


def _first(trial: Trial, name: str, what: str, most: int) -> list[dict[str, Any]]:
    query = f"SELECT {_SHOWN.format(name)} {what} ORDER BY {name}.created_at, {name}.rowid LIMIT {int(most)}"
    return [shown(row) for row in trial.rows(query)]


def _pairs(trial: Trial, what: str, most: int) -> list[dict[str, Any]]:
    end = f"{what} ORDER BY a.created_at, a.rowid LIMIT {int(most)}"
    after = [shown(row) for row in trial.rows(f"SELECT {_SHOWN.format('a')} {end}")]
    before = [shown(row) for row in trial.rows(f"SELECT {_SHOWN.format('b')} {end}")]
    return [{"before": old, "after": new} for old, new in zip(before, after, strict=True)]


def changed_fields(pair: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what differs between the two calls of a pair, by name, as JSON texts: before and after."""
    before, after = pair["before"], pair["after"]
    told = {name: (before[name], after[name]) for name in ("operation", "destination", "state")}
    old, new = before["parameters"] or {}, after["parameters"] or {}
    told |= {name: (old.get(name), new.get(name)) for name in dict.fromkeys((*old, *new))}
    return {name: (_text(was), _text(now)) for name, (was, now) in told.items() if was != now}


def _text(value: object) -> str:
    return "not at all" if value is None else json.dumps(value, ensure_ascii=False)
