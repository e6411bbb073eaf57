"""SQLite's write lock: one thread of one process at a time, free when its holder dies, patient only so long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from callbacks import file_created, incoming
from conftest import TOKEN
from program import wait_until
from sqlalchemy import func, select

from handlers import tables
from handlers.database import LOCK_PATIENCE, Database
from handlers.errors import DatabaseAway
from handlers.inbox import Inbox
from handlers.keeping.keeper import Keeper
from handlers.keeping.spool import Spool
from handlers.migrate import upgrade
from handlers.settings import load
from handlers.vendors import VENDORS
from handlers.write_lock import WriteLock

if TYPE_CHECKING:
    from collections.abc import Iterator

#: seconds within which every answer must come: each vendor waits longer
_ANSWERED_WITHIN = 3.0

_COUNT = """
import sys, threading
from pathlib import Path
from handlers.write_lock import WriteLock

folder = Path(sys.argv[1])
lock, counter = WriteLock(folder / "lock"), folder / "counter"

def count():
    for _ in range(int(sys.argv[2])):
        with lock.held(60):
            counter.write_text(str(int(counter.read_text()) + 1))

threads = [threading.Thread(target=count) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

_HOLD = """
import sys, time
from pathlib import Path
from handlers.write_lock import WriteLock

with WriteLock(Path(sys.argv[1])).held(10):
    print("held", flush=True)
    time.sleep(600)
"""


def _python(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, cwd=Path(__file__).parent.parent, text=True, stdout=subprocess.PIPE)


@contextmanager
def _holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock."""
    process = _python(_HOLD, path)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_one_thread_of_one_process_holds_it_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    processes = [_python(_COUNT, tmp_path, 100) for _ in range(3)]
    for process in processes:
        with process:
            process.communicate(timeout=90)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert (tmp_path / "counter").read_text() == str(3 * 4 * 100)


def test_who_waits_longer_than_its_patience_is_told_that_the_database_is_away(tmp_path: Path) -> None:
    with (
        _holder(tmp_path / "lock"),
        pytest.raises(DatabaseAway, match=r"lock was not free for 0\.2 s"),
        WriteLock(tmp_path / "lock").held(0.2),
    ):
        pytest.fail("two hold the lock")


def test_a_thread_that_waits_for_another_one_of_its_process_has_the_same_patience(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "lock")

    def ask() -> None:
        with lock.held(0.2):
            pytest.fail("two hold the lock")

    with ThreadPoolExecutor(1) as threads, lock.held(1):
        waiting = threads.submit(ask)
        with pytest.raises(DatabaseAway, match=r"not free for 0\.2 s"):
            waiting.result(20)
    with lock.held(1):
        pass


def test_a_killed_holders_lock_is_free(tmp_path: Path) -> None:
    with _holder(tmp_path / "lock") as process:
        process.kill()
        with WriteLock(tmp_path / "lock").held(10):
            pass


def test_a_holder_that_raises_lets_go(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "lock")
    with pytest.raises(ZeroDivisionError), lock.held(1):
        _ = 1 / 0
    with lock.held(0.2), pytest.raises(DatabaseAway), WriteLock(tmp_path / "lock").held(0.05):
        pass


def test_a_folder_that_is_not_there_is_a_database_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway, match="can't be opened"), WriteLock(tmp_path / "none" / "lock").held(1):
        pass


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_takes_and_frees_a_lock_of_its_own(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "lock")
    with lock.held(1):
        pass
    child = os.fork()
    if child == 0:
        # Whatever happens in here, the copy of the test's process must end here.
        try:
            with lock.held(5):
                (tmp_path / "child").write_text("holds")
                time.sleep(600)
        finally:
            os._exit(1)
    try:
        wait_until((tmp_path / "child").exists, what="the child's lock")
        with pytest.raises(DatabaseAway), lock.held(0.2):
            pytest.fail("parent and child hold the lock")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with lock.held(5):
        pass


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_that_is_forked_while_the_lock_is_held_neither_holds_nor_frees_it(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "lock")
    with lock.held(1):
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(1)
        try:
            with pytest.raises(DatabaseAway), WriteLock(tmp_path / "lock").held(0.1):
                pytest.fail("two hold the lock")
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        with pytest.raises(DatabaseAway), WriteLock(tmp_path / "lock").held(0.1):
            pytest.fail("the child's end freed its parent's lock")
    with WriteLock(tmp_path / "lock").held(1):
        pass


@pytest.fixture
def sqlite_environ(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return environ | {"DATABASE_URL": f"sqlite:///{tmp_path}/data/reelhook.db"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_frozen_holder_costs_no_delivery_and_no_answer_its_three_seconds(sqlite_environ: dict[str, str]) -> None:
    """The database is away after LOCK_PATIENCE; from then on the spool answers until the holder goes on."""
    settings = load(sqlite_environ, vendors=tuple(VENDORS))
    assert settings.spool is not None
    database, spool = Database(settings.database_url), Spool(settings.spool)
    upgrade(database)
    keeper = Keeper(database, spool)
    keeper.start()
    inbox = Inbox(settings, VENDORS, keeper)
    bodies: list[bytes] = []
    took: list[float] = []
    stop = threading.Event()

    def post() -> None:
        while not stop.is_set():
            body = file_created()
            before = time.monotonic()
            inbox.accept(incoming(body, token=TOKEN))
            took.append(time.monotonic() - before)
            bodies.append(body)
            time.sleep(0.05)

    try:
        with _holder(Path(f"{database.url.database}.lock")) as holder, ThreadPoolExecutor(4) as threads:
            os.kill(holder.pid, signal.SIGSTOP)
            posting = [threads.submit(post) for _ in range(4)]
            time.sleep(2.2 * LOCK_PATIENCE)
            stop.set()
            for future in posting:
                future.result(20)
            assert spool.depth()[0] == len(bodies)
        assert max(took) < _ANSWERED_WITHIN
        wait_until(lambda: spool.depth() == (0, 0), what="an empty spool")
        with database.read() as connection:
            kept = sorted(connection.execute(select(tables.deliveries.c.body)).scalars())
            repeats = connection.execute(select(func.sum(tables.seen.c.repeats))).scalar()
        assert kept == sorted(bodies)
        assert repeats == 0
    finally:
        keeper.close()
        spool.close()
        database.close()
