"""What is measured: a server with its own database, and a worker beside it that can work and rest."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.busy_worker import GO, REST
from bench.children import free_port, started, wait_until_ready

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from bench.places import Place

DURABLE = "durable"
NOOP = "no-op"
CORE = "Core"
_PRODUCT = ("webhook", "web", "--host", "127.0.0.1")
#: variant -> the module that serves it; any other name is the product's
_SERVERS: Mapping[str, tuple[str, ...]] = {NOOP: ("bench.noop_server",), CORE: ("bench.core_server",)}


@dataclass(frozen=True, kw_only=True)
class Crew:
    """A worker process."""

    process: subprocess.Popen[str]

    def _tell(self, word: str) -> None:
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the worker was started without pipes")
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        if self.process.stdout.readline().strip() != word:
            raise RuntimeError("the worker of the benchmark ended; see its log in the data folder")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let the worker work while the block runs, and finish what it has in hand."""
        self._tell(GO)
        try:
            yield
        finally:
            if self.process.poll() is None:
                self._tell(REST)


@dataclass(frozen=True, kw_only=True)
class Station:
    """A server that answers callbacks, and its worker, which rests at first."""

    name: str
    place: Place
    port: int
    crew: Crew


@contextmanager
def worker(place: Place) -> Iterator[Crew]:
    """Start a worker; it rests."""
    log = place.folder / "worker.log"
    with started(("bench.busy_worker",), environ=place.environ(), log=log, talks=True) as process:
        yield Crew(process=process)


@contextmanager
def stations(places: Mapping[str, Place]) -> Iterator[list[Station]]:
    """Start server and worker of each variant; the servers answer when this returns."""
    with ExitStack() as stack:
        found = []
        for name, place in places.items():
            port, log = free_port(), place.folder / "web.log"
            crew = stack.enter_context(worker(place))
            server = stack.enter_context(started(_SERVERS.get(name, _PRODUCT), environ=place.environ(port), log=log))
            wait_until_ready(server, f"http://127.0.0.1:{port}/livez", log)
            found.append(Station(name=name, place=place, port=port, crew=crew))
        yield found
