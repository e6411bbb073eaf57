"""`python -m bench`: what is measured in which order. It ends with 0 whatever the figures, with 1 if one is lacking."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from bench import actions, delay, folding, ingest, matching, memory, places, pulling, report, scale, segments, trying
from bench.load import generator
from bench.plan import FULL, QUICK, Plan
from bench.stations import CORE, DURABLE, NOOP, stations
from handlers.errors import ReelhookError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_NAMES = (DURABLE, NOOP, CORE)
_TITLES = {
    "ingest": "ingest beside a busy worker",
    "fold": "folding",
    "delay": "from answer to catalogue",
    "segments": "a recording beside a thousand segments a second",
    "pull": "pulling from a queue of MNS",
    "match": "asking rules",
    "backtest": "asking rules about what was received",
    "actions": "claiming actions, and calls below a limit",
    "memory": "memory",
}
_PARTS = tuple(_TITLES)
#: load average above which the machine is not ours
_BUSY = 0.7

P = ParamSpec("P")


def main() -> int:
    """Measure what was asked for; print it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asked = _arguments()
    plan = QUICK if asked.quick else FULL
    began = time.monotonic()
    print(f"Load by {generator()}; {os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}.")
    print("Each figure is the median of interleaved rounds, with its range; a worker runs beside every server.")
    print("Compare ratios, not rates: machines differ, and so does one machine from minute to minute.")
    if (busy := os.getloadavg()[0]) > _BUSY:
        print(f"WARNING: this machine does other work (load {busy:.1f}); ratios move with it too.")
    whole = True
    for engine in asked.engine or (places.SQLITE, places.POSTGRESQL):
        why = places.why_no_postgres() if engine == places.POSTGRESQL else None
        if why:
            report.title(engine)
            print(f"  not measured: {why}")
            continue
        with tempfile.TemporaryDirectory(prefix="reelhook-bench-") as folder:
            if asked.scale:
                whole &= _part(
                    f"{engine}: with {asked.scale:,} recordings", scale.run, engine, asked.scale, Path(folder), plan
                )
            else:
                whole &= _run(engine, Path(folder), plan, asked.only or _PARTS)
    print(f"\nTook {time.monotonic() - began:,.0f} s.")
    return 0 if whole else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of everything, about 1.5 minutes")
    parser.add_argument("--engine", action="append", choices=(places.SQLITE, places.POSTGRESQL))
    parser.add_argument("--only", action="append", choices=_PARTS, help="measure this only; may be repeated")
    parser.add_argument(
        "--scale",
        type=int,
        metavar="N",
        help="measure only ingest and catalogue queries, with N recordings (100000, 1000000, ...) there already",
    )
    return parser.parse_args()


def _run(engine: str, root: Path, plan: Plan, parts: Sequence[str]) -> bool:
    """Measure the parts; return whether all could be measured, whatever the figures."""
    measures = {
        "ingest": _ingest,
        "fold": _fold,
        "delay": _delay,
        "segments": _segments,
        "pull": _pull,
        "match": _match,
        "backtest": _backtest,
        "actions": _actions,
        "memory": _memory,
    }
    others = ("fold", "delay", "segments", "pull", "match", "backtest", "actions", "rest")
    with places.made(engine, (*_NAMES, *others), root) as made:
        measured = [_part(f"{engine}: {_TITLES[part]}", measures[part], made, plan) for part in parts]
    return all(measured)


def _part(title: str, measure: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Measure one part; say why where that can't be done, and let the others have their turn."""
    report.title(title)
    try:
        measure(*args, **kwargs)
    except (RuntimeError, OSError, ReelhookError) as exc:
        print(f"  could not be measured: {exc}")
        return False
    return True


def _ingest(made: Mapping[str, places.Place], plan: Plan) -> None:
    with stations({name: made[name] for name in _NAMES}) as found:
        report.row("web processes of each server", str(found[0].place.settings().web_concurrency))
        ingest.tell(found[0].place.engine, ingest.measure(found, plan), _NAMES)


def _fold(made: Mapping[str, places.Place], plan: Plan) -> None:
    folding.tell(folding.measure(made["fold"], plan))


def _delay(made: Mapping[str, places.Place], plan: Plan) -> None:
    with stations({DURABLE: made["delay"]}) as found:
        delay.tell(delay.measure(found[0], plan))


def _segments(made: Mapping[str, places.Place], plan: Plan) -> None:
    with stations({DURABLE: made["segments"]}) as found:
        segments.tell(segments.measure(found[0], plan))


def _pull(made: Mapping[str, places.Place], plan: Plan) -> None:
    pulling.tell(pulling.measure(made["pull"], plan))


def _match(made: Mapping[str, places.Place], plan: Plan) -> None:
    matching.tell(matching.measure(made["match"], plan))


def _backtest(made: Mapping[str, places.Place], plan: Plan) -> None:
    trying.tell(trying.measure(made["backtest"], plan))


def _actions(made: Mapping[str, places.Place], plan: Plan) -> None:
    actions.tell(actions.measure(made["actions"], plan))


def _memory(made: Mapping[str, places.Place], _plan: Plan) -> None:
    memory.tell(*memory.measure(made["rest"]))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
