"""The spool: what it holds outlives any crash, is drained once and in order, and its own damage stops nothing else."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from callbacks import file_created
from conftest import API_TOKEN, TOKEN
from program import request, running, wait_until
from sqlalchemy import func, select, text

from handlers import tables
from handlers.clock import now_ms
from handlers.database import Database
from handlers.doctor.examination import examine, retry_spool
from handlers.errors import DatabaseAway, StoreUnavailable
from handlers.events import Delivery
from handlers.ids import new_id
from handlers.keeping.deliveries import Entry
from handlers.keeping.keeper import Keeper
from handlers.keeping.spool import Spool
from handlers.observation import observe
from handlers.vendor import seen_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.settings import Settings

#: nobody listens there
NOWHERE = "postgresql+psycopg://postgres@127.0.0.1:1/postgres"


def entry(number: int | None = None, *, key: str | None = None, **changed: Any) -> Entry:
    body = file_created(number)
    told: dict[str, Any] = {
        "id": new_id("dlv"),
        "account": "lessons",
        "vendor": "aliyun",
        "door": "http",
        "received_at": now_ms(),
        "headers": {"content-type": "application/json"},
        "body": body,
    }
    return Entry(delivery=Delivery(**(told | changed)), keys=(seen_key("message", key or str(body)),))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool.db")
    yield opened
    opened.close()


@contextmanager
def at_work(database: Database, spool: Spool | None) -> Iterator[Keeper]:
    keeper = Keeper(database, spool)
    keeper.start()
    yield keeper
    keeper.close()


def kept(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(tables.deliveries.c.id).order_by(tables.deliveries.c.id)).scalars())


def repeats(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.sum(tables.seen.c.repeats))).scalar_one() or 0)


def test_what_is_put_comes_back_whole_and_in_order(spool: Spool) -> None:
    put = [entry(number) for number in range(5)]
    spool.put([(one, None) for one in put])
    assert [one for _, one in spool.waiting(10)] == put
    assert [one for _, one in spool.waiting(2)] == put[:2]
    spool.remove([number for number, _ in spool.waiting(2)])
    assert [one for _, one in spool.waiting(10)] == put[2:]


def test_large_bodies_come_few_at_a_time_and_none_is_passed_over(spool: Spool) -> None:
    put = [entry(body=bytes(1024 * 1024)) for _ in range(12)]
    spool.put([(one, None) for one in put])
    found = []
    while waiting := spool.waiting(64):
        assert sum(len(one.delivery.body) for _, one in waiting) <= 6 * 1024 * 1024
        found += [one.delivery.id for _, one in waiting]
        spool.remove([number for number, _ in waiting])
    assert found == [one.delivery.id for one in put]


def test_numbers_are_never_given_twice(spool: Spool) -> None:
    """A crashed drain's late removal must not take what came after it."""
    spool.put([(entry(), None)])
    ((first, _),) = spool.waiting(1)
    spool.remove([first])
    spool.put([(entry(), None)])
    ((second, _),) = spool.waiting(1)
    assert second > first


def test_its_depth_tells_what_waits_and_what_was_refused(spool: Spool) -> None:
    assert spool.depth() == (0, 0)
    assert not spool.path.exists(), "a look makes no file"
    spool.put([(entry(), None), (entry(), "too long"), (entry(), None)])
    assert spool.depth() == (2, 1)
    assert len(spool.waiting(10)) == 2
    assert spool.retry() == 1
    assert spool.depth() == (3, 0)
    assert len(spool.waiting(10)) == 3


def test_its_files_are_their_owners_alone(spool: Spool) -> None:
    before = os.umask(0)
    try:
        spool.put([(entry(), None)])
        with spool.drained_by_one():
            files = sorted(spool.path.parent.glob("spool.db*"))
    finally:
        os.umask(before)
    assert len(files) >= 4
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files} == {
        path.name: "0o600" for path in files
    }


def test_only_one_at_a_time_may_drain(spool: Spool) -> None:
    other = Spool(spool.path)
    with spool.drained_by_one(), pytest.raises(DatabaseAway), other.drained_by_one():
        pytest.fail("two drain at once")
    with other.drained_by_one():
        pass


_CRASH = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from test_spool import entry
    from handlers.database import Database
    from handlers.keeping.keeper import Keeper
    from handlers.keeping.spool import Spool

    database, spool = Database(sys.argv[1]), Spool(Path(sys.argv[2]))

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def crash(after: str, *arguments: str) -> list[str]:
    """Run the code in a process that kills itself at its end; return the lines that it had printed."""
    program = textwrap.dedent(_CRASH).format(tests=str(Path(__file__).parent)) + textwrap.dedent(after)
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.split()


def test_what_was_answered_from_the_spool_outlives_kill_9(database: Database, spool: Spool) -> None:
    after = """
        keeper = Keeper(database, spool)
        for number in range(10):
            print(keeper.keep(entry(number)).delivery, flush=True)
        die()
    """
    answered = crash(after, NOWHERE, str(spool.path))
    assert len(answered) == 10
    with at_work(database, spool):
        wait_until(lambda: len(kept(database)) == 10, what="the draining")
    assert kept(database) == answered, "in their order"
    assert spool.depth() == (0, 0)


def test_a_crash_between_keeping_and_forgetting_makes_neither_repeat_nor_double(
    database: Database, spool: Spool, settings: Settings
) -> None:
    put = [entry(number) for number in range(10)]
    spool.put([(one, None) for one in put])
    after = """
        spool.remove = die
        keeper = Keeper(database, spool)
        keeper.start()
        keeper._thread.join()
    """
    crash(after, settings.database_url, str(spool.path))
    assert kept(database) == [one.delivery.id for one in put], "they were kept"
    assert spool.depth() == (10, 0), "and not forgotten"
    with at_work(database, spool):
        wait_until(lambda: spool.depth() == (0, 0), what="the draining")
    assert kept(database) == [one.delivery.id for one in put]
    assert repeats(database) == 0


def test_two_processes_drain_everything_once(database: Database, spool: Spool) -> None:
    put = [entry(number) for number in range(300)]
    spool.put([(one, None) for one in put])
    with at_work(database, spool), at_work(database, Spool(spool.path)):
        wait_until(lambda: spool.depth() == (0, 0), what="the draining")
    assert kept(database) == [one.delivery.id for one in put]
    assert repeats(database) == 0


def test_what_came_again_meanwhile_is_one_delivery_with_its_repeats_counted(database: Database, spool: Spool) -> None:
    spool.put([(entry(key="same"), None) for _ in range(3)])
    with at_work(database, spool) as keeper:
        keeper.keep(entry(key="same"))
        wait_until(lambda: spool.depth() == (0, 0), what="the draining")
    assert len(kept(database)) == 1
    assert repeats(database) == 3


@contextmanager
def refusing(database: Database, account: str) -> Iterator[None]:
    """Let the database refuse deliveries of one account, as it would refuse a row that it can't hold."""
    if database.is_sqlite:
        raised = "BEGIN SELECT raise(ABORT, 'not this one'); END"
        make = [f"CREATE TRIGGER picky BEFORE INSERT ON deliveries WHEN new.account = '{account}' {raised}"]
        drop = ["DROP TRIGGER picky"]
    else:
        make = [f"ALTER TABLE deliveries ADD CONSTRAINT picky CHECK (account <> '{account}')"]
        drop = ["ALTER TABLE deliveries DROP CONSTRAINT picky"]
    _do(database, make)
    try:
        yield
    finally:
        _do(database, drop)


def _do(database: Database, statements: list[str]) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_a_row_that_the_database_refuses_is_set_aside_and_stops_nobody(database: Database, spool: Spool) -> None:
    put = [entry(number, account="odd" if number == 70 else "lessons") for number in range(150)]
    spool.put([(one, None) for one in put])
    with refusing(database, "odd"), at_work(database, spool):
        wait_until(lambda: spool.depth() == (0, 1), what="the draining")
    assert kept(database) == [one.delivery.id for one in put if one.delivery.account != "odd"]
    with at_work(database, spool):
        time.sleep(0.6)
        assert spool.depth() == (0, 1), "it waits for somebody to ask"
        assert spool.retry() == 1
        wait_until(lambda: spool.depth() == (0, 0), what="the draining")
    assert kept(database) == [one.delivery.id for one in put]


def test_a_row_that_the_database_refuses_costs_its_group_nothing(database: Database, spool: Spool) -> None:
    answers = []
    with refusing(database, "odd"), at_work(database, spool) as keeper:
        burst = [entry(number, account="odd" if number % 8 == 0 else "lessons") for number in range(32)]
        threads = [threading.Thread(target=lambda one=one: answers.append(keeper.keep(one))) for one in burst]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(one.is_spooled for one in answers) == 4
    assert kept(database) == sorted(one.delivery.id for one in burst if one.delivery.account != "odd")
    assert spool.depth() == (0, 4)


def test_what_was_refused_for_a_cause_that_is_mended_can_be_retried_by_the_doctor(
    settings: Settings, database: Database
) -> None:
    assert settings.spool is not None
    spool = Spool(settings.spool)
    spool.put([(entry(), "a reason")])
    with at_work(database, spool):
        assert retry_spool(settings) == 1
        wait_until(lambda: len(kept(database)) == 1, what="the draining")
    spool.close()


def test_tables_that_are_missing_blame_no_delivery(tmp_path: Path, postgres_url: str, spool: Spool) -> None:
    for url in (f"sqlite:///{tmp_path}/empty.db", postgres_url.replace("postgresql:", "postgresql+psycopg:")):
        database = Database(url)
        with at_work(database, spool) as keeper:
            assert keeper.keep(entry()).is_spooled
            time.sleep(0.6)
            assert spool.depth() == (1, 0), url
        spool.remove([number for number, _ in spool.waiting(1)])
        database.close()


def _no_database(path: Path) -> None:
    path.write_bytes(b"this is no database " * 1000)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _other_tables(path: Path) -> None:
    path.unlink()
    other = Database(f"sqlite:///{path}")
    with other.write() as connection:
        connection.execute(text("CREATE TABLE spooled (number INTEGER PRIMARY KEY, something TEXT)"))
        connection.execute(text("INSERT INTO spooled VALUES (1, 'x')"))
    other.close()


DAMAGES = {"no database": _no_database, "cut short": _cut_short, "other tables": _other_tables, "a folder": _a_folder}


def damaged(path: Path, damage: str) -> Spool:
    """Return the spool of a new process that finds its file damaged."""
    before = Spool(path)
    before.put([(entry(), None) for _ in range(20)])
    before.close()
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    DAMAGES[damage](path)
    return Spool(path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_spool_is_told_and_does_not_stop_the_database(
    database: Database, settings: Settings, damage: str
) -> None:
    assert settings.spool is not None
    spool = damaged(settings.spool, damage)
    with at_work(database, spool) as keeper:
        told = keeper.keep(entry())
        time.sleep(0.6)
        assert not told.is_spooled
        assert kept(database) == [told.delivery]
        seen = observe(database, spool, now=now_ms())
        assert seen.backlog is not None
        assert seen.spool is None
        assert "spool.db can't be used" in (seen.spool_problem or "")
    spool.close()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_spool_is_unavailable_and_moved_away_it_is_made_anew(tmp_path: Path, damage: str) -> None:
    spool = damaged(tmp_path / "spool.db", damage)
    with at_work(Database(NOWHERE), spool) as keeper:
        with pytest.raises(StoreUnavailable):
            keeper.keep(entry())
        for path in tmp_path.glob("spool.db*"):
            with suppress(FileNotFoundError):  # the log goes when its last reader does
                path.rename(tmp_path / f"old-{path.name}")
        assert keeper.keep(entry()).is_spooled
        assert spool.depth() == (1, 0)
    spool.close()


def test_a_spool_that_is_moved_away_while_in_use_is_let_go(spool: Spool) -> None:
    spool.put([(entry(), None)])
    for path in spool.path.parent.glob("spool.db*"):
        path.rename(path.with_name(f"old-{path.name}"))
    Spool(spool.path).put([(entry(), None), (entry(), None)])
    spool.put([(entry(), None)])
    assert spool.depth() == (3, 0)
    assert Spool(spool.path.with_name("old-spool.db")).depth() == (1, 0)


def test_the_doctor_and_readyz_tell_of_a_damaged_spool(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "spool.db").write_bytes(b"this is no database " * 1000)
    config = tmp_path / "reelhook.toml"
    config.write_text('[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN"]\n')
    environ = {
        "REELHOOK_DATA": str(tmp_path / "data"),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
    }
    with running(environ, "web", log=tmp_path / "web.log") as program:
        program.ready()
        answer = request("POST", f"{program.url}/callbacks/aliyun/lessons?token={TOKEN}", file_created())
        assert answer.status == 200
        ready = request("GET", f"{program.url}/readyz")
        assert (ready.status, ready.json()["status"]) == (200, "ready")
        assert "move spool.db" in ready.json()["spool"]["problem"]
        figures = request("GET", f"{program.url}/metrics").body.decode()
        assert "reelhook_spool_up 0.0" in figures
        time.sleep(1)
        log = (tmp_path / "web.log").read_text()
        assert 1 <= log.count("file is not a database") <= 8, "told, and not again and again"
    found = {one.check: one for one in examine(environ, ("aliyun",))}
    assert found["spool"].level == "fail"
    assert "file is not a database" in found["spool"].says


_PUT = """
import sys, threading
from pathlib import Path
from handlers.events import Delivery
from handlers.keeping.deliveries import Entry
from handlers.keeping.spool import Spool

spool = Spool(Path(sys.argv[1]))
told = {"account": "a", "vendor": "v", "door": "http", "received_at": 1, "headers": {}, "body": b"x"}
entry = Entry(delivery=Delivery(id=sys.argv[2], **told), keys=(sys.argv[2],))
looker = threading.Thread(target=spool.waiting, args=(1,))
print("ready", flush=True)
sys.stdin.readline()
looker.start()
spool.put([(entry, None)])
looker.join()
spool.close()
"""


def test_processes_that_need_a_new_spool_in_the_same_moment_all_get_it(tmp_path: Path) -> None:
    names = [f"dlv_{number}" for number in range(6)]
    for turn in range(5):
        path = tmp_path / f"spool-{turn}.db"
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", _PUT, str(path), name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name in names
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        assert [writer.communicate(timeout=60)[1] for writer in writers] == [""] * len(names)
        assert sorted(entry.delivery.id for _, entry in Spool(path).waiting(10)) == names
