"""How many events a second a backtest goes through: with a rule that never matches, and with one that always does."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from bench import backlog, report
from handlers.backtest import Source, Version, Window, backtest
from handlers.clock import now_ms
from handlers.inbox.processing import Processor
from handlers.rules import Rules
from handlers.rules.known import known_of
from handlers.rules.rule_file import read_rules
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from bench.places import Place
    from bench.plan import Plan

#: a million events in ten minutes
GOAL: Final = report.at_least(1_000_000 / 600)
_RULE: Final = """rules:
  - name: tried
    when: recording.available
    if: recording.format == "m3u8" && task.recording_count > {least}
    do: {{http.post: {{to: nobody}}}}
"""
_RULES: Final = {"no call": _RULE.format(least=1_000), "a call for each event": _RULE.format(least=0)}


def measure(place: Place, plan: Plan) -> dict[str, list[float]]:
    """Return events per second, by what the rule asks for; the deliveries are in the catalogue already."""
    config = place.folder / "reelhook.toml"
    config.write_text(config.read_text() + '\n[destinations.nobody]\nkind = "http"\nurl = "https://nobody.invalid/"\n')
    settings = place.settings()
    found: dict[str, list[float]] = {name: [] for name in _RULES}
    with place.opened() as database:
        backlog.fill(database, plan.fold_deliveries)
        processor = Processor(database, settings, VENDORS)
        while processor.process():
            pass
        source = Source(database=database, settings=settings, vendors=VENDORS)
        for _ in range(plan.fold_rounds):
            for name, text in _RULES.items():
                path = place.folder / "rules.yaml"
                path.write_text(text)
                known = known_of(settings)
                read = read_rules(text, known)
                version = Version(path=path, rules=Rules(read.rules, known, version=read.version))
                with backtest(source, Window(since=0, until=now_ms()), version) as done:
                    found[name].append(done.found.events / done.found.seconds)
    return found


def tell(measured: dict[str, list[float]]) -> None:
    """Print the rates."""
    for name, rates in measured.items():
        report.row(f"backtest, {name}, events/s", report.spread(rates, 0), GOAL.verdict(median(rates)))
