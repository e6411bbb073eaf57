"""What rules cost: how long a change is held against a hundred of them, and what folding is slowed down by that."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Final

from bench import backlog, report
from handlers.inbox.consequences import Planner
from handlers.inbox.processing import Processor
from handlers.rules import RuleBook
from handlers.rules.known import known_of
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from bench.places import Place
    from bench.plan import Plan

GOAL: Final = report.at_least(5_000)
_RULES: Final = 100
#: none of the benchmark's tasks has so many files: no rule matches, so that all that is measured is the asking
_RULE: Final = """
  - name: rule-{number}
    when: {change}
    if: recording.format == "m3u8" && task.recording_count > {least} && recording.duration_ms > 60000
    do: [http.post: {{to: nobody}}]
"""
_FIRED: Final = """
  - name: every-file
    when: recording.available
    do: [http.post: {to: nobody}]
"""
#: what is measured -> how many of the hundred wait for the changes that come, and whether one more acts on each
_SETS: Final = {
    "no rules": None,
    f"{_RULES} rules, 1 for this change": (1, False),
    f"{_RULES} rules, all for this change": (_RULES, False),
    "one rule that plans a call for each": (0, True),
}


def measure(place: Place, plan: Plan) -> dict[str, list[float]]:
    """Return the microseconds of one delivery's processing, by the rules in force."""
    config = place.folder / "reelhook.toml"
    config.write_text(config.read_text() + '\n[destinations.nobody]\nkind = "http"\nurl = "https://nobody.invalid/"\n')
    found: dict[str, list[float]] = {name: [] for name in _SETS}
    for _ in range(plan.fold_rounds):
        for name, rules in _SETS.items():
            found[name].append(_processing(place, _text(rules), plan.fold_deliveries // 4))
    return found


def tell(measured: dict[str, list[float]]) -> None:
    """Print them, with what the rules add to each delivery."""
    bare = median(measured["no rules"])
    for name, values in measured.items():
        report.row(f"fold + match, {name}, us/delivery", report.spread(values, 0))
        if name != "no rules":
            report.row("  more than without", f"{median(values) - bare:,.0f} us")
    rate = 1e6 / median(measured[f"{_RULES} rules, all for this change"])
    report.row(f"fold + match with {_RULES} rules, events/s", f"{rate:,.0f}", GOAL.verdict(rate))


def _text(rules: tuple[int, bool] | None) -> str:
    if rules is None:
        return "rules: []\n"
    waiting, acts = rules
    others = _RULES - waiting if waiting else 0
    changes = ["recording.available"] * waiting + ["recording.changed"] * others
    written = [_RULE.format(number=n, change=change, least=1_000 + n) for n, change in enumerate(changes)]
    return "rules:\n" + "".join(written) + (_FIRED if acts else "")


def _processing(place: Place, rules: str, deliveries: int) -> float:
    path = place.folder / "rules.yaml"
    path.write_text(rules)
    settings = replace(place.settings(), rules=path)
    book = RuleBook(path, known_of(settings))
    if book.problems:
        raise RuntimeError("; ".join(book.shown_problems()))
    with place.opened() as database:
        processor = Processor(database, settings, VENDORS, planner=Planner(settings, book))
        backlog.fill(database, deliveries)
        began = time.perf_counter()
        while processor.process():
            pass
        return (time.perf_counter() - began) / deliveries * 1e6
