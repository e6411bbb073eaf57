"""How long after its answer a callback's recording can be read in the catalogue, at half of full load.

Two ways: probes of our own, which ask the database every few milliseconds for the task that they told of; and for
every delivery of the load the time from its arrival to the transaction that folds it, as the inbox has it.
"""

from __future__ import annotations

import http.client
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from bench import report
from bench.bodies import FILES_PER_TASK, PATH, file_created
from bench.load import send
from handlers import tables
from handlers.clock import now_ms

if TYPE_CHECKING:
    from bench.places import Place
    from bench.plan import Plan
    from bench.stations import Station

GOAL = report.at_most(1_000)
_CONNECTIONS = 32
_PROBERS = 3
_LOOK = 0.004
_GIVE_UP = 30.0


@dataclass(kw_only=True)
class Delays:
    """Milliseconds, sorted, and the load under which they were met."""

    full: float
    rate: float = 0.0
    probed: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)


def measure(station: Station, plan: Plan) -> Delays:
    """Find the full load that this server takes beside a worker that keeps up, then send half of it."""
    with station.crew.at_work():
        full = send(station.port, connections=64, seconds=3).rate
        _settle(station.place)
        delays = Delays(full=full)
        began, stop = now_ms(), threading.Event()
        probers = [threading.Thread(target=_probe, args=(station, delays.probed, stop)) for _ in range(_PROBERS)]
        for prober in probers:
            prober.start()
        pause_ms = _CONNECTIONS / (full / 2) * 1000
        delays.rate = send(station.port, connections=_CONNECTIONS, seconds=plan.delay_seconds, pause_ms=pause_ms).rate
        stop.set()
        for prober in probers:
            prober.join()
        _settle(station.place)
    delays.kept = _from_inbox(station.place, began)
    delays.probed.sort()
    return delays


def _settle(place: Place) -> None:
    """Wait until nothing waits."""
    query = select(tables.inbox.c.delivery).where(tables.inbox.c.state == tables.KEPT).limit(1)
    until = time.monotonic() + _GIVE_UP * 4
    with place.opened() as database:
        while time.monotonic() < until:
            with database.read() as connection:
                if connection.execute(query).first() is None:
                    return
            time.sleep(0.1)
    raise RuntimeError("the worker does not get through what waits; see worker.log")


def _probe(station: Station, delays: list[float], stop: threading.Event) -> None:
    """Send one callback after another, and see how long each takes to be readable."""
    series, number = uuid.uuid4().hex[:4], 0
    client = http.client.HTTPConnection("127.0.0.1", station.port, timeout=10)
    with station.place.opened() as database:
        while not stop.wait(0.03):
            number += FILES_PER_TASK
            client.request("POST", PATH, file_created(series, number))
            client.getresponse().read()
            answered = time.perf_counter()
            task = f"{series}-task-{number // FILES_PER_TASK:09d}"
            query = select(tables.recordings.c.id).where(tables.recordings.c.task_id == task)
            while (waited := time.perf_counter() - answered) < _GIVE_UP:
                with database.read() as connection:
                    if connection.execute(query).first() is not None:
                        break
                time.sleep(_LOOK)
            delays.append(waited * 1000)
    client.close()


def _from_inbox(place: Place, since: int) -> list[float]:
    inbox, deliveries = tables.inbox, tables.deliveries
    query = (
        select(inbox.c.processed_at - deliveries.c.received_at)
        .join_from(inbox, deliveries, deliveries.c.id == inbox.c.delivery)
        .where(deliveries.c.received_at >= since, inbox.c.processed_at.is_not(None))
    )
    with place.opened() as database, database.read() as connection:
        return sorted(float(value) for value in connection.execute(query).scalars())


def tell(delays: Delays) -> None:
    """Print what was met."""
    load = f"at {delays.rate:,.0f} of {delays.full:,.0f} req/s"
    for name, taken in (("probes", delays.probed), ("inbox table", delays.kept)):
        if not taken:
            raise RuntimeError("nothing came through in time")
        p50, p99 = (taken[int(len(taken) * part)] for part in (0.5, 0.99))
        figure = f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms"
        note = GOAL.verdict(p99) if name == "probes" else ""
        report.row(f"ack to catalogue, {len(taken):,} {name}", figure, f"{load}; {note}".rstrip("; "))
