"""How fast callbacks become durable, and how slow the slowest answers are, against doing nothing and the plain way."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from bench import backlog, report
from bench.load import Figures, send
from bench.places import SQLITE
from bench.stations import CORE, DURABLE, NOOP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.plan import Plan
    from bench.stations import Station

CONNECTIONS = (1, 16, 64, 256)
#: deliveries that wait before each round, for each of its seconds: no worker gets through them
_ENOUGH = 8_000
OVER_NOOP = report.at_least(0.8)
P99_OVER_NOOP = report.at_most(2.5)
OVER_CORE = {SQLITE: report.at_least(2), "PostgreSQL": report.at_least(1.5)}

Rounds = dict[tuple[str, int], list[Figures]]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The rounds of one engine, by variant and connections, and how much the workers did meanwhile."""

    rounds: Rounds
    #: deliveries folded per second, by variant
    folded: Mapping[str, list[float]]

    def rates(self, name: str, connections: int) -> list[float]:
        """Return answers per second, by round."""
        return [figures.rate for figures in self.rounds[name, connections]]

    def p99s(self, name: str, connections: int) -> list[float]:
        """Return the 99th percentile in milliseconds, by round."""
        return [figures.p99_ms for figures in self.rounds[name, connections]]


def measure(found: Sequence[Station], plan: Plan) -> Measured:
    """Load the stations in turn, round after round, each beside its own busy worker."""
    rounds: Rounds = defaultdict(list)
    folded: dict[str, list[float]] = defaultdict(list)
    for station in found:
        send(station.port, connections=16, seconds=1)
    for _ in range(plan.rounds):
        for connections in CONNECTIONS:
            for station in found:
                figures, rate = beside_a_busy_worker(station, connections, plan.seconds)
                rounds[station.name, connections].append(figures)
                folded[station.name].append(rate)
    return Measured(rounds=rounds, folded=folded)


def beside_a_busy_worker(station: Station, connections: int, seconds: float) -> tuple[Figures, float]:
    """Return what a load meets, and how many deliveries a second the worker folds meanwhile."""
    with station.place.opened() as database:
        wanted = int(_ENOUGH * (seconds + 1))
        if (missing := wanted - backlog.waiting(database)) > wanted // 4:
            backlog.fill(database, missing)
        before = backlog.processed(database)
        with station.crew.at_work():
            figures = send(station.port, connections=connections, seconds=seconds)
        return figures, (backlog.processed(database) - before) / figures.seconds


def tell(engine: str, measured: Measured, names: Sequence[str]) -> None:
    """Print rates, ratios of rates, and ratios of the slowest answers."""
    head = ["connections", *(f"{name} req/s" for name in names), *(f"{name} p99 ms" for name in names)]
    rows = [
        [
            str(connections),
            *(report.spread(measured.rates(name, connections), 0) for name in names),
            *(report.spread(measured.p99s(name, connections), 0) for name in names),
        ]
        for connections in CONNECTIONS
    ]
    report.table(head, rows)
    for name in names:
        report.row(f"worker beside {name}, folds/s", report.spread(measured.folded[name], 0))
    failures = sum(figures.failures for rounds in measured.rounds.values() for figures in rounds)
    report.row("answers that were no success, all together", str(failures))
    for connections in CONNECTIONS:
        _tell_ratio(measured, (DURABLE, NOOP), connections, OVER_NOOP)
    for connections in CONNECTIONS:
        _tell_ratio(measured, (DURABLE, CORE), connections, OVER_CORE[engine])
    for connections in CONNECTIONS:
        figures = _paired(measured.p99s(DURABLE, connections), measured.p99s(NOOP, connections))
        note = P99_OVER_NOOP.verdict(median(figures)) if connections == 64 else ""
        report.row(f"p99 durable ÷ no-op, {connections} connections", report.spread(figures), note)


def _tell_ratio(measured: Measured, names: tuple[str, str], connections: int, goal: report.Goal) -> None:
    figures = _paired(*(measured.rates(name, connections) for name in names))
    report.row(f"{' ÷ '.join(names)}, {connections} connections", report.spread(figures), goal.verdict(median(figures)))


def _paired(upper: Sequence[float], lower: Sequence[float]) -> list[float]:
    """Return the ratio of each round: its two halves ran seconds apart, so they share the machine's mood."""
    return [above / below for above, below in zip(upper, lower, strict=True) if below]
