"""Promise 1 at the pull doors: a message is deleted only once it is durable, whatever dies, stops or stays away."""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import pytest
from callbacks import file_created
from program import PrivatePostgres, private_postgres, running, wait_until
from pulling import ACCESS_KEY, SECRET_KEY, Pulled, environ_of, mns_queue
from sqlalchemy import select

from handlers import tables
from handlers.inbox.processing import Processor
from handlers.vendors import VENDORS
from standin.mns import MnsStandin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LEFT_OUT = "PostgreSQL is left out: none answers, see REELHOOK_TEST_POSTGRES"
#: messages of one round
_MANY = 60


@dataclass
class Deaths:
    """One engine's rounds: messages come in, and the poller dies when some are kept and not yet deleted."""

    name: str
    pulled: Pulled
    folder: Path
    chance: random.Random
    mns: MnsStandin
    sent: list[bytes] = field(default_factory=list)
    rounds: int = 0
    #: rounds in which the poller died between keeping and deleting
    hit: int = 0

    def run(self, rounds: int) -> None:
        """Die that often, then poll once more until the queue is empty."""
        for _ in range(rounds):
            self._die()
        self.mns.faults.clear()
        with running(self.pulled.environ, "poll", log=self.folder / "log") as program:
            wait_until(lambda: not self.mns.messages("recordings"), what=f"{self.name}: an empty queue", patience=60)
            assert program.stop() == 0

    def _die(self) -> None:
        """Kill the poller as soon as it has kept what it is about to delete; the stand-in holds the deletes up."""
        self.mns.faults.clear()
        self.mns.faults.add("delay", operation="BatchDeleteMessage", seconds=self.chance.uniform(0.3, 1.0), times=None)
        before = self.pulled.count()
        bodies = [file_created(len(self.sent) + number) for number in range(_MANY)]
        self.sent += bodies
        self.mns.send_all("recordings", [body.decode() for body in bodies])
        with running(self.pulled.environ, "poll", log=self.folder / "log") as program:
            wait_until(lambda: self.pulled.count() > before, what=f"{self.name}: a kept message", patience=60)
            time.sleep(self.chance.uniform(0.0, 0.4))
            program.kill()
        self.rounds += 1
        waiting = {one.body.encode() for one in self.mns.messages("recordings")}
        self.hit += bool(waiting & set(self.pulled.bodies()))

    def verify(self) -> None:
        """Fail where something was lost, came twice, or no round met the moment that this is about."""
        kept = Counter(self.pulled.bodies())
        told = f"{self.name}: {self.rounds} rounds, {self.hit} hit, {len(self.sent)} sent, {len(kept)} kept"
        sys.stdout.write(f"{told}\n")
        assert kept == Counter(self.sent), told
        assert self.hit * 2 > self.rounds, told
        assert self.pulled.repeats() > 0, told
        processor = Processor(self.pulled.database, self.pulled.settings, VENDORS)
        while processor.process():
            pass
        urls = Counter(row.url for row in self.pulled.rows(select(tables.recordings.c.url)))
        assert (len(urls), set(urls.values())) == (len(self.sent), {1}), told


@pytest.fixture
def seed() -> int:
    """Return what chance starts from; REELHOOK_TEST_SEED repeats a run."""
    return int(os.environ.get("REELHOOK_TEST_SEED") or random.SystemRandom().randrange(10**9))


@pytest.fixture
def engines(seed: int, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Deaths]]:
    urls = {"SQLite": f"sqlite:///{tmp_path}/SQLite/data/reelhook.db"}
    try:
        urls["PostgreSQL"] = str(request.getfixturevalue("postgres_url"))
    except (pytest.skip.Exception, psycopg.Error):
        sys.stdout.write(f"{_LEFT_OUT}\n")
    made = []
    for name, url in urls.items():
        folder = tmp_path / name
        folder.mkdir()
        mns = MnsStandin(access_keys={ACCESS_KEY: SECRET_KEY}).start()
        mns.create_queue("recordings", visibility_timeout=2)
        pulled = Pulled(environ_of(folder, url, mns_queue(mns.endpoint, threads=2)))
        made.append(Deaths(name=name, pulled=pulled, folder=folder, chance=random.Random(f"{seed} {name}"), mns=mns))
    yield made
    for one in made:
        one.pulled.close()
        one.mns.stop()


def _die_on_both(engines: list[Deaths], rounds: int) -> None:
    with ThreadPoolExecutor(len(engines)) as threads:
        for done in [threads.submit(engine.run, rounds) for engine in engines]:
            done.result()
    for engine in engines:
        engine.verify()
    if len(engines) == 1:
        pytest.skip(f"SQLite kept its promise. {_LEFT_OUT}")


def test_kill_9_between_keeping_and_deleting_loses_nothing_and_keeps_nothing_twice(
    engines: list[Deaths], seed: int
) -> None:
    sys.stdout.write(f"REELHOOK_TEST_SEED={seed}\n")
    _die_on_both(engines, 10)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_kill_9_a_hundred_times_between_keeping_and_deleting(engines: list[Deaths], seed: int) -> None:
    sys.stdout.write(f"REELHOOK_TEST_SEED={seed}\n")
    _die_on_both(engines, 100)


# --- a database that stays away ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[PrivatePostgres]:
    with private_postgres() as running_server:
        yield running_server


@contextmanager
def _frozen(server: PrivatePostgres) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


def _stay_away(server: PrivatePostgres, folder: Path, *, away: float, visibility: int) -> None:
    """Freeze the server under a poller for some seconds: what it has received must stay its own."""
    with MnsStandin(access_keys={ACCESS_KEY: SECRET_KEY}) as mns:
        mns.create_queue("recordings", visibility_timeout=visibility)
        pulled = Pulled(environ_of(folder, server.url, mns_queue(mns.endpoint, threads=2)))
        bodies = [file_created(number) for number in range(100)]
        with running(pulled.environ, "poll", log=folder / "log") as program:
            mns.send_all("recordings", [body.decode() for body in bodies[:10]])
            wait_until(lambda: not mns.messages("recordings"), what="an empty queue")
            with _frozen(server):
                mns.send_all("recordings", [body.decode() for body in bodies[10:]])
                time.sleep(away)
                received = [one for one in mns.messages("recordings") if one.dequeue_count]
                renewed = mns.answers["ChangeMessageVisibility", ""]
                assert len(mns.messages("recordings")) == 90
            wait_until(lambda: not mns.messages("recordings"), what="an empty queue", patience=60)
            assert program.stop() == 0
        assert Counter(pulled.bodies()) == Counter(bodies)
        # Each was handed out once, and hidden anew ever since.
        assert {one.dequeue_count for one in received} == {1}
        assert renewed >= len(received)
        assert pulled.repeats() == 0
        pulled.close()


def test_messages_stay_ours_while_the_database_is_away_for_longer_than_they_are_hidden(
    server: PrivatePostgres, tmp_path: Path
) -> None:
    _empty(server)
    _stay_away(server, tmp_path, away=6, visibility=3)


@pytest.mark.torture
def test_messages_stay_ours_for_a_minute(server: PrivatePostgres, tmp_path: Path) -> None:
    _empty(server)
    _stay_away(server, tmp_path, away=60, visibility=30)


def _empty(server: PrivatePostgres) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def test_nothing_is_received_while_the_database_is_away(server: PrivatePostgres, tmp_path: Path) -> None:
    _empty(server)
    with MnsStandin(access_keys={ACCESS_KEY: SECRET_KEY}) as mns:
        mns.create_queue("recordings", visibility_timeout=30)
        pulled = Pulled(environ_of(tmp_path, server.url, mns_queue(mns.endpoint)))
        bodies = [file_created(number) for number in range(400)]
        with pulled.polling():
            wait_until(lambda: mns.requests["BatchReceiveMessage"] > 0, what="a first poll")
            server.stop("immediate")
            try:
                mns.send_all("recordings", [body.decode() for body in bodies])
                time.sleep(3)
                polls = mns.requests["BatchReceiveMessage"]
                time.sleep(2)
                received = [one for one in mns.messages("recordings") if one.dequeue_count]
                assert mns.requests["BatchReceiveMessage"] == polls
                assert 0 < len(received) <= 128, "a line holds two transactions' worth"
            finally:
                server.start()
            wait_until(lambda: not mns.messages("recordings"), what="an empty queue")
        assert Counter(pulled.bodies()) == Counter(bodies)
        pulled.close()


def test_a_poller_that_is_stopped_while_the_database_is_away_gives_back_what_it_holds(
    server: PrivatePostgres, tmp_path: Path
) -> None:
    _empty(server)
    with MnsStandin(access_keys={ACCESS_KEY: SECRET_KEY}) as mns:
        mns.create_queue("recordings", visibility_timeout=600)
        pulled = Pulled(environ_of(tmp_path, server.url, mns_queue(mns.endpoint)))
        with running(pulled.environ, "poll", log=tmp_path / "log") as program:
            wait_until(lambda: mns.requests["BatchReceiveMessage"] > 0, what="a first poll")
            with _frozen(server):
                mns.send("recordings", file_created(1).decode())
                wait_until(lambda: mns.messages("recordings")[0].dequeue_count == 1, what="a receive")
                time.sleep(2.5)  # whatever else asks the database hangs by now
                began = time.monotonic()
                assert program.stop() == 0
                assert time.monotonic() - began < 28, "serve kills after 30 seconds"
                wait_until(lambda: mns.messages("recordings")[0].state == "active", what="a message given back")
        with pulled.polling():
            wait_until(lambda: not mns.messages("recordings"), what="an empty queue")
        assert pulled.bodies() == [file_created(1)]
        pulled.close()


def test_a_poller_that_is_stopped_under_load_finishes_what_it_holds(tmp_path: Path, database_url: str) -> None:
    with MnsStandin(access_keys={ACCESS_KEY: SECRET_KEY}) as mns:
        mns.create_queue("recordings", visibility_timeout=600)
        pulled = Pulled(environ_of(tmp_path, database_url, mns_queue(mns.endpoint, threads=3)))
        bodies = [file_created(number) for number in range(1500)]
        mns.send_all("recordings", [body.decode() for body in bodies])
        with running(pulled.environ, "poll", log=tmp_path / "log") as program:
            wait_until(lambda: pulled.count() > 50, what="some kept messages")
            assert program.stop() == 0
        left = mns.messages("recordings")
        assert left, "all were through before the stop; send more"
        # What was handed out is kept and deleted, or can be had by others again.
        wait_until(lambda: all(one.state == "active" for one in mns.messages("recordings")), what="all given back")
        assert len(left) + pulled.count() == len(bodies)
        assert Counter([*pulled.bodies(), *(one.body.encode() for one in left)]) == Counter(bodies)
        pulled.close()
