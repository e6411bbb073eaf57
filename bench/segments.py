"""How long a RecordStopped takes to be seen while segments come in by the thousand: nobody may wait for segments."""

from __future__ import annotations

import http.client
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from bench import report
from bench.bodies import SEGMENT_PATH, record_stopped
from bench.children import started
from handlers import tables

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.stations import Station

RATE = 1_000
GOAL = report.at_most(1_000)
_LOOK = 0.004
_PAUSE = 0.05
_GIVE_UP = 30.0


@dataclass(kw_only=True)
class Waits:
    """Milliseconds from the answer of a RecordStopped until its recording can be read, and the load beside it."""

    waits: list[float] = field(default_factory=list)
    sent: int = 0
    seconds: float = 0.0
    #: segments in the catalogue when the last was sent
    folded: int = 0


def measure(station: Station, plan: Plan) -> Waits:
    """Send segments at the rate, and one RecordStopped after the other."""
    found = Waits(seconds=plan.delay_seconds)
    argv = ("bench.slicing", str(station.port), str(plan.delay_seconds), str(RATE))
    log = station.place.folder / "slicing.log"
    with station.crew.at_work(), started(argv, environ=station.place.environ(), log=log, talks=True) as sender:
        _probe(station, found.waits, until=time.monotonic() + plan.delay_seconds)
        said, _ = sender.communicate(timeout=_GIVE_UP)
        found.sent = int(said or 0)
        with station.place.opened() as database, database.read() as connection:
            found.folded = connection.execute(select(func.count()).select_from(tables.segments)).scalar_one()
    return found


def _probe(station: Station, waits: list[float], *, until: float) -> None:
    client = http.client.HTTPConnection("127.0.0.1", station.port, timeout=10)
    with station.place.opened() as database:
        while time.monotonic() < until:
            task = f"probe-{uuid.uuid4().hex}"
            client.request("POST", SEGMENT_PATH, record_stopped(task))
            client.getresponse().read()
            answered = time.perf_counter()
            query = select(tables.recordings.c.id).where(tables.recordings.c.task_id == task)
            while (waited := time.perf_counter() - answered) < _GIVE_UP:
                with database.read() as connection:
                    if connection.execute(query).first() is not None:
                        break
                time.sleep(_LOOK)
            waits.append(waited * 1000)
            time.sleep(_PAUSE)
    client.close()


def tell(found: Waits) -> None:
    """Print what was met."""
    if not found.waits or not found.sent:
        raise RuntimeError("nothing came through in time")
    waits = sorted(found.waits)
    figure = f"p50 {waits[len(waits) // 2]:,.0f} ms, longest {waits[-1]:,.0f} ms"
    load = f"beside {found.sent / found.seconds:,.0f} segments/s; {GOAL.verdict(waits[-1])}"
    report.row(f"ack to catalogue, {len(waits):,} RecordStopped", figure, load)
    report.row("segments in the catalogue at the end", f"{found.folded / found.sent:.2f} of those answered")
