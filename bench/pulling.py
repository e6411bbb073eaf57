"""How fast the poller empties an MNS queue, keeping what it receives, against the bare SDK that keeps nothing."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

from bench import report
from bench.bodies import ACCOUNT, file_created
from bench.children import free_port, started, wait_until_ready
from bench.mns_puller import ACCESS_KEY, BARE, POLLER, SECRET_KEY, WAIT
from bench.stations import Crew

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.places import Place
    from bench.plan import Plan

GOAL = report.at_least(0.8)
#: threads of both variants
THREADS = (1, 4)
_QUEUE = "recordings"
_MESSAGES = 6_000
_STUCK = 60.0
#: messages of one request that fills the queue
_AT_ONCE = 200


def measure(place: Place, plan: Plan) -> dict[int, list[tuple[float, float]]]:
    """Return messages per second of the poller and of the bare SDK, by round, for each number of threads."""
    found: dict[int, list[tuple[float, float]]] = {}
    for threads in THREADS:
        with ExitStack() as stack:
            endpoint = _stand_in(stack, place)
            crews = {variant: _crew(stack, place, variant, endpoint, threads) for variant in (POLLER, BARE)}
            for crew in crews.values():
                _rate(crew, endpoint, _MESSAGES // 10)  # connections, caches and statements are warm now
            rounds = range(plan.rounds)
            found[threads] = [tuple(_rate(crews[name], endpoint) for name in (POLLER, BARE)) for _ in rounds]  # type: ignore[misc] # there are two names
    return found


def _stand_in(stack: ExitStack, place: Place) -> str:
    port, log = free_port(), place.folder / "mns.log"
    argv = ("webhook", "standin", "mns", "--port", str(port), "--queue", _QUEUE, "--visibility-timeout", "600")
    process = stack.enter_context(started(argv, environ=place.environ(), log=log))
    endpoint = f"http://127.0.0.1:{port}"
    wait_until_ready(process, f"{endpoint}/-/counters", log)
    return endpoint


def _crew(stack: ExitStack, place: Place, variant: str, endpoint: str, threads: int) -> Crew:
    config = place.folder / f"{variant}-{threads}.toml"
    config.write_text(
        (place.folder / "reelhook.toml").read_text()
        + f'[queues.{_QUEUE}]\nkind = "mns"\naccount = "{ACCOUNT}"\nqueue = "{_QUEUE}"\nendpoint = "{endpoint}"\n'
        + f'access_key_id = "env:BENCH_AK"\nsecret_access_key = "env:BENCH_SK"\nwait_seconds = {WAIT}\n'
        + f"threads = {threads}\n"
    )
    own = {"REELHOOK_CONFIG": str(config), "BENCH_AK": ACCESS_KEY, "BENCH_SK": SECRET_KEY}
    argv = ("bench.mns_puller", variant, endpoint, _QUEUE, str(threads))
    log = place.folder / f"{variant}.log"
    return Crew(process=stack.enter_context(started(argv, environ=place.environ() | own, log=log, talks=True)))


def _rate(crew: Crew, endpoint: str, count: int = _MESSAGES) -> float:
    """Fill the queue, let it be emptied, and return messages per second."""
    _fill(endpoint, count)
    goal = _gone(endpoint) + count
    began = time.perf_counter()
    with crew.at_work():
        while (gone := _gone(endpoint)) < goal:
            if time.perf_counter() - began > _STUCK:
                raise RuntimeError(f"{goal - gone} messages are not deleted; see the logs in the data folder")
            time.sleep(0.02)
        took = time.perf_counter() - began
    return count / took


def _fill(endpoint: str, count: int) -> None:
    series = uuid.uuid4().hex[:4]
    headers = {"Content-Type": "application/x-ndjson"}
    for start in range(0, count, _AT_ONCE):
        lines = b"\n".join(file_created(series, number) for number in range(start, min(start + _AT_ONCE, count)))
        with urlopen(Request(f"{endpoint}/-/messages?queue={_QUEUE}", data=lines, headers=headers)):
            pass


def _gone(endpoint: str) -> int:
    with urlopen(f"{endpoint}/-/counters") as answer:
        return int(json.load(answer)["queues"][_QUEUE].get("deleted", 0))


def tell(found: dict[int, list[tuple[float, float]]]) -> None:
    """Print rates and ratios."""
    for threads, rounds in found.items():
        name = f"{threads} thread{'s' if threads > 1 else ''}"
        report.row(f"poller, {name}, messages/s", report.spread([poller for poller, _ in rounds], 0))
        report.row(f"bare SDK, {name}, messages/s", report.spread([bare for _, bare in rounds], 0))
        ratios: Sequence[float] = [poller / bare for poller, bare in rounds]
        report.row(f"poller ÷ bare SDK, {name}", report.spread(ratios), GOAL.verdict(median(ratios)))
