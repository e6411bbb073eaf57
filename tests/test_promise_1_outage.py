"""Promise 1 while the database server is away: stopped, refusing, frozen, or behind a network that swallows all."""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import psycopg
import pytest
from black_hole import BlackHole
from conftest import API_TOKEN, TOKEN
from load import Load, post
from program import PrivatePostgres, Program, private_postgres, request, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: seconds: every vendor waits longer for its answer
ANSWERED = 3.0
#: seconds in which health must be told, whatever the database does
HEALTHY = 3.0


@pytest.fixture(scope="module")
def server() -> Iterator[PrivatePostgres]:
    with private_postgres() as running_server:
        yield running_server


@dataclass
class House:
    """A database of one test's own on the private server, and the environment that names it."""

    server: PrivatePostgres
    name: str
    environ: dict[str, str]
    folder: Path
    loads: int = 0

    @contextmanager
    def running(self, *arguments: str, **changed: str) -> Iterator[Program]:
        """Run the program on it, and wait until it answers."""
        log = self.folder / f"{arguments[0]}-{uuid.uuid4().hex[:6]}.log"
        with running(self.environ | changed, *arguments, log=log) as program:
            program.ready()
            yield program

    def next_numbers(self) -> int:
        """Return where the numbers of one more load begin, so that loads can be told apart."""
        self.loads += 1
        return self.loads * 1_000_000

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        url = self.server.url.rsplit("/", 1)[0]
        with closing(psycopg.connect(f"{url}/{self.name}", autocommit=True)) as connection:
            return list(connection.execute(query.encode()))

    def count(self, query: str) -> int:
        return int(self.rows(query)[0][0])

    def end_sessions(self) -> None:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        with closing(psycopg.connect(self.server.url, autocommit=True)) as connection:
            connection.execute(query, (self.name,))

    def migrate(self) -> None:
        with running(self.environ, "migrate", log=self.folder / "migrate.log") as program:
            assert program.process is not None
            assert program.process.wait(timeout=30) == 0


@pytest.fixture
def house(server: PrivatePostgres, tmp_path: Path) -> House:
    return _new_house(server, tmp_path)


@pytest.fixture(scope="module")
def shared(server: PrivatePostgres, tmp_path_factory: pytest.TempPathFactory) -> House:
    return _new_house(server, tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def serve(shared: House) -> Iterator[Program]:
    """Run one program through all outages that need no other settings: it must come back from each by itself."""
    with shared.running("serve") as program:
        yield program
        assert program.process is not None
        assert program.process.poll() is None


def _new_house(server: PrivatePostgres, folder: Path) -> House:
    name = f"reelhook_{uuid.uuid4().hex[:12]}"
    _command(server, f"CREATE DATABASE {name}")
    config = folder / "reelhook.toml"
    config.write_text('[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN"]\n')
    environ = {
        "DATABASE_URL": f"{server.url.rsplit('/', 1)[0]}/{name}",
        "REELHOOK_DATA": str(folder / "data"),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
        "WEB_CONCURRENCY": "2",
    }
    return House(server=server, name=name, environ=environ, folder=folder)


def _command(server: PrivatePostgres, *commands: str) -> None:
    with closing(psycopg.connect(server.url, autocommit=True)) as connection:
        for command in commands:
            connection.execute(command.encode())


@dataclass
class Watch:
    """Asks for health and figures twice a second, and writes down what was told."""

    url: str
    ready: list[dict[str, Any]] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            for page in ("readyz", "metrics"):
                began = time.monotonic()
                answer = request("GET", f"{self.url}/{page}", patience=15)
                self.slowest = max(self.slowest, time.monotonic() - began)
                if page == "readyz":
                    self.ready.append(answer.json() | {"code": answer.status})
                else:
                    self.figures.append(answer.body.decode())


def suffer(
    house: House, program: Program, begin: Callable[[], None], end: Callable[[], None], seconds: float
) -> tuple[Load, Watch]:
    """Let the outage happen under load; return what was sent and what was told of health meanwhile."""
    with Load(program.port, first=house.next_numbers()) as load:
        time.sleep(1)
        begin()
        try:
            with Watch(program.url) as watch:
                time.sleep(seconds)
        finally:
            end()
        # Until the database takes deliveries again, and some more after that.
        wait_until(lambda: _is_drained(program), what="the spool's draining under load")
        time.sleep(0.5)
    settled(house, program, load)
    return load, watch


def _is_drained(program: Program) -> bool:
    told = request("GET", f"{program.url}/readyz").json()
    return bool(told["status"] == "ready" and told["spool"] == {"waiting": 0, "set_aside": 0})


def settled(house: House, program: Program, load: Load) -> None:
    """Wait until everything is in the catalogue; check what promise 1 says of it."""
    assert load.failures() == []
    assert load.slowest() < ANSWERED
    assert len(load.numbers) > 50
    wait_until(lambda: _is_drained(program), what="the spool's draining")
    kept = "SELECT count(*) FROM inbox WHERE state = 'kept'"
    wait_until(lambda: house.count(kept) == 0, what="the worker's going on")
    bodies = house.rows("SELECT convert_from(body, 'UTF8') FROM deliveries ORDER BY id")
    every = [_number(body) for (body,) in bodies]
    numbers = [number for number in every if number >= load.first]
    assert sorted(numbers) == sorted(load.numbers), "each delivery is one row, and none is lost"
    for sent in load.in_order():
        mine = set(sent)
        assert [number for number in numbers if number in mine] == sent, "ids are in the order of arrival"
    assert house.count("SELECT count(*) FROM inbox WHERE state = 'processed'") == len(every)
    assert house.count("SELECT count(*) FROM recordings WHERE state = 'available'") == len(every)
    _repeats_are_counted(house, load)


def _repeats_are_counted(house: House, load: Load) -> None:
    """Check that what was sent twice counts a repeat, and what was sent once, its answer lost or not, counts none.

    A repeat whose own counting was answered by nobody may be counted once more, for it leaves no row.
    """
    query = """
        SELECT convert_from(d.body, 'UTF8'), s.repeats
        FROM deliveries d JOIN seen s ON s.account = d.account AND s.seen_key = d.seen_key
    """
    rows = [(_number(body), repeats) for body, repeats in house.rows(query)]
    counted = {number: repeats for number, repeats in rows if number >= load.first}
    again = {one.number for one in load if one.is_repeat}
    assert {number: repeats for number, repeats in counted.items() if repeats and number not in again} == {}
    assert {number for number in again if counted[number] < 1} == set()
    assert sum(counted.values()) - len(again) <= load.threads


def _number(body: str) -> int:
    return int(json.loads(body)["MsgId"].removeprefix("msg-"))


def shown_away(watch: Watch) -> None:
    """Check that health was told all the time, with the spool's depth, and callbacks were not turned away."""
    assert watch.slowest < HEALTHY
    assert {told["code"] for told in watch.ready} == {200}
    away = [told for told in watch.ready if told["status"] == "spooling"]
    assert away, watch.ready
    assert {told["database"] for told in away} == {"does not answer"}
    assert max(told["spool"]["waiting"] for told in away) > 0
    last = watch.figures[-1]
    assert "reelhook_database_up 0.0" in last
    assert _figure(last, "reelhook_spool_waiting") > 0
    assert "reelhook_inbox_waiting" not in last


def _figure(text: str, name: str) -> float:
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_stopped_and_started_again_costs_no_callback(shared: House, serve: Program, mode: str) -> None:
    _, watch = suffer(shared, serve, lambda: shared.server.stop(mode), shared.server.start, 3)
    shown_away(watch)
    assert _is_drained(serve)


def test_a_server_that_restarts_at_once_costs_no_callback(shared: House, serve: Program) -> None:
    suffer(shared, serve, lambda: shared.server.stop("fast"), shared.server.start, 0)


def test_a_server_frozen_for_thirty_seconds_costs_no_callback(shared: House, serve: Program) -> None:
    load, watch = suffer(shared, serve, shared.server.freeze, shared.server.thaw, 30)
    shown_away(watch)
    assert len(load.numbers) > 1000


@pytest.mark.parametrize("worker", ["beside", pytest.param("behind", marks=pytest.mark.torture)])
def test_a_network_that_swallows_everything_costs_no_callback(house: House, worker: str) -> None:
    """A worker behind the same network finds its connections dead after half a minute, too long for every day."""
    beside = house.environ | {"REELHOOK_MIGRATE": "never"}
    with BlackHole(house.server.port) as network, ExitStack() as stack:
        house.migrate()
        house.environ["DATABASE_URL"] = f"postgresql://postgres@127.0.0.1:{network.port}/{house.name}"
        program = stack.enter_context(house.running("serve" if worker == "behind" else "web"))
        if worker == "beside":
            stack.enter_context(running(beside, "work", log=house.folder / "work.log"))
        _, watch = suffer(house, program, network.swallow, network.forget_and_forward, 6)
        shown_away(watch)


def test_a_server_that_refuses_connections_costs_no_callback(shared: House, serve: Program) -> None:
    def refuse() -> None:
        _command(shared.server, f"ALTER DATABASE {shared.name} ALLOW_CONNECTIONS false")
        shared.end_sessions()

    def take() -> None:
        _command(shared.server, f"ALTER DATABASE {shared.name} ALLOW_CONNECTIONS true")

    _, watch = suffer(shared, serve, refuse, take, 3)
    shown_away(watch)


def test_a_server_whose_connections_are_used_up_costs_no_callback(shared: House, serve: Program) -> None:
    taken: list[psycopg.Connection[Any]] = []

    def use_up() -> None:
        # Ours is a superuser, who finds the reserved places too. Twice, for some may have come back in between.
        for _ in range(2):
            with suppress(psycopg.OperationalError):
                while True:
                    taken.append(psycopg.connect(shared.server.url))
            with suppress(psycopg.OperationalError):
                taken.pop().close()
                shared.end_sessions()

    def give_back() -> None:
        for connection in taken:
            connection.close()

    load, _ = suffer(shared, serve, use_up, give_back, 3)
    assert taken
    assert any(b'"kept"' in one.answer for one in load)


def test_a_password_that_the_server_rejects_costs_no_callback(shared: House, serve: Program) -> None:
    config = shared.server.folder / "pg_hba.conf"
    as_it_was = config.read_text()

    def reject() -> None:
        config.write_text(f"host {shared.name} all 127.0.0.1/32 reject\n{as_it_was}")
        _command(shared.server, "SELECT pg_reload_conf()")
        shared.end_sessions()

    def let_in() -> None:
        config.write_text(as_it_was)
        _command(shared.server, "SELECT pg_reload_conf()")

    _, watch = suffer(shared, serve, reject, let_in, 3)
    shown_away(watch)


@pytest.mark.parametrize("migrate", ["auto", pytest.param("never", marks=pytest.mark.torture)])
def test_started_while_the_server_is_away_everything_is_kept_for_it(house: House, migrate: str) -> None:
    if migrate == "never":
        house.migrate()
    house.server.stop("fast")
    try:
        with house.running("serve", REELHOOK_MIGRATE=migrate) as program:
            sent = [post(program.port, number) for number in range(20)]
            assert {one.status for one in sent} == {200}
            told = request("GET", f"{program.url}/readyz")
            assert told.status == 200
            assert told.json()["spool"] == {"waiting": 20, "set_aside": 0}
            house.server.start()
            wait_until(lambda: _is_drained(program), what="the spool's draining")
            wait_until(lambda: house.count("SELECT count(*) FROM recordings") == 20, what="the catalogue's filling")
    finally:
        house.server.stop()
        house.server.start()
    assert house.count("SELECT count(*) FROM deliveries") == 20


def test_callbacks_wait_for_tables_that_are_not_there_yet(house: House) -> None:
    house.server.stop("fast")
    try:
        with house.running("web", REELHOOK_MIGRATE="never") as program:
            house.server.start()
            wait_until(lambda: "missing" in request("GET", f"{program.url}/readyz").json()["migrations"], what="a look")
            assert post(program.port, 1).status == 200
            told = request("GET", f"{program.url}/readyz")
            assert (told.status, told.json()["status"]) == (200, "spooling")
            assert told.json()["spool"] == {"waiting": 1, "set_aside": 0}
            house.migrate()
            wait_until(lambda: _is_drained(program), what="the spool's draining")
            assert house.count("SELECT count(*) FROM deliveries") == 1
    finally:
        house.server.stop()
        house.server.start()


def test_without_a_spool_an_absent_server_is_told_to_the_vendor(house: House) -> None:
    with house.running("web", REELHOOK_SPOOL="off") as program:
        assert post(program.port, 1).status == 200
        house.server.stop("immediate")
        try:
            answer = request("POST", f"{program.url}/callbacks/aliyun/lessons?token={TOKEN}", b"{}")
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert "not kept" in answer.json()["detail"]
            ready = request("GET", f"{program.url}/readyz")
            assert (ready.status, ready.json()["spool"]) == (503, None)
        finally:
            house.server.start()
        wait_until(lambda: post(program.port, 2).status == 200, what="the door's recovery")
        assert house.count("SELECT count(*) FROM deliveries") == 2
