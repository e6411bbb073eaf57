"""Who sends the load: wrk where it is installed, else a generator of our own, which costs more of the machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

from bench.bodies import PATH
from bench.children import ROOT

_SCRIPT = Path(__file__).with_name("callbacks.lua")
#: seconds that one answer may take before it counts as a failure
PATIENCE = 10


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one load met."""

    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    #: answers that were not 2xx or 3xx, or did not come
    failures: int

    @property
    def rate(self) -> float:
        """Return answers per second."""
        return self.answers / self.seconds


def generator() -> str:
    """Return the name of what sends the load."""
    return "wrk" if shutil.which("wrk") else "a Python load generator (wrk is not installed: apt-get install wrk)"


def send(port: int, *, connections: int, seconds: float, pause_ms: float = 0) -> Figures:
    """Send unique callbacks over kept-alive connections, as fast as they are answered or with pauses in between.

    Raises RuntimeError with what the generator said where it did not work.
    """
    series = uuid.uuid4().hex[:4]
    if shutil.which("wrk"):
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", f"--timeout={PATIENCE}s"]
        argv += ["-s", str(_SCRIPT), f"http://127.0.0.1:{port}", "--", PATH, series, str(pause_ms)]
    else:
        argv = [sys.executable, "-m", "bench.python_load", str(port), str(connections), str(seconds)]
        argv += [PATH, series, str(pause_ms)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=seconds + 60, cwd=ROOT)
    told = [line.removeprefix("FIGURES ") for line in done.stdout.splitlines() if line.startswith("FIGURES ")]
    if done.returncode or not told:
        raise RuntimeError(f"the load generator failed: {done.stdout[-500:]} {done.stderr[-500:]}")
    return Figures(**json.loads(told[0]))
