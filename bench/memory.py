"""How much memory `reelhook serve` holds at rest: supervisor, web server and worker together."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import report
from bench.children import free_port, started, wait_until_ready

if TYPE_CHECKING:
    from bench.places import Place

GOAL = report.at_most(280)
#: seconds of rest before memory is read
_REST = 3.0


def measure(place: Place) -> tuple[int, float, float]:
    """Return how many processes there are, and the sums of their resident and proportional sets in MB."""
    port, log = free_port(), place.folder / "serve.log"
    with started(("webhook", "serve", "--host", "127.0.0.1"), environ=place.environ(port), log=log) as process:
        wait_until_ready(process, f"http://127.0.0.1:{port}/readyz", log)
        time.sleep(_REST)
        sizes = [_sizes(pid) for pid in _group(process.pid)]
    return len(sizes), sum(rss for rss, _ in sizes) / 1024, sum(pss for _, pss in sizes) / 1024


def _group(leader: int) -> list[int]:
    """Return the processes that were started with this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if os.getsid(int(folder.name)) == leader:
                    found.append(int(folder.name))
            except ProcessLookupError:
                continue
    return found


def _sizes(pid: int) -> tuple[int, int]:
    """Return the resident and the proportional set in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    told = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return told["Rss"], told["Pss"]


def tell(processes: int, rss: float, pss: float) -> None:
    """Print the sums."""
    report.row(f"serve at rest, {processes} processes, sum of RSS, MB", f"{rss:,.0f}", GOAL.verdict(rss))
    report.row("the same, pages that they share counted once (PSS)", f"{pss:,.0f}", GOAL.verdict(pss))
