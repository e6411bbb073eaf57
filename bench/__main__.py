"""`python -m bench`: what the command line asks for, in which order it is measured, and that it always ends with 0."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import delay, folding, ingest, memory, places, report, scale
from bench.load import generator
from bench.plan import FULL, QUICK, Plan
from bench.stations import CORE, DURABLE, NOOP, stations

_NAMES = (DURABLE, NOOP, CORE)
_PARTS = ("ingest", "fold", "delay", "memory")


def main() -> int:
    """Measure what was asked for; print it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asked = _arguments()
    plan = QUICK if asked.quick else FULL
    began = time.monotonic()
    print(f"Load by {generator()}; {os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}.")
    print("Each figure is the median of interleaved rounds, with its range; a worker runs beside every server.")
    print("Compare ratios, not rates: machines differ, and so does one machine from minute to minute.")
    for engine in asked.engine or (places.SQLITE, places.POSTGRESQL):
        why = places.why_no_postgres() if engine == places.POSTGRESQL else None
        if why:
            report.title(engine)
            print(f"  not measured: {why}")
            continue
        with tempfile.TemporaryDirectory(prefix="reelhook-bench-") as folder:
            if asked.scale:
                scale.run(engine, asked.scale, Path(folder), plan)
            else:
                _run(engine, Path(folder), plan, asked.only or _PARTS)
    print(f"\nTook {time.monotonic() - began:,.0f} s.")
    return 0


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


def _run(engine: str, root: Path, plan: Plan, parts: tuple[str, ...]) -> None:
    with places.made(engine, (*_NAMES, "fold", "rest"), root) as made:
        if "ingest" in parts or "delay" in parts:
            with stations({name: made[name] for name in _NAMES}) as found:
                if "ingest" in parts:
                    processes = found[0].place.settings().web_concurrency
                    report.title(f"{engine}: ingest beside a busy worker, {processes} web process(es)")
                    ingest.tell(engine, ingest.measure(found, plan), _NAMES)
                if "delay" in parts:
                    report.title(f"{engine}: from answer to catalogue")
                    delay.tell(delay.measure(found[0], plan))
        if "fold" in parts:
            report.title(f"{engine}: folding")
            folding.tell(folding.measure(made["fold"], plan))
        if "memory" in parts:
            report.title(f"{engine}: memory")
            memory.tell(*memory.measure(made["rest"]))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
