"""Promise 6: no fact without its action, none without its fact, whatever dies when; and one call for one file."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from callbacks import file_created, incoming
from conftest import TOKEN
from program import wait_until
from pulling import ACCESS_KEY, SECRET_KEY, Pulled, environ_of, mns_queue
from rules_acting import environ_with_rules, file, planned, processor, said, settings_of, settings_with_rules, work
from sqlalchemy import select

from handlers import tables
from handlers.clock import now_ms
from standin.mns import MnsStandin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.database import Database
    from handlers.inbox import Inbox
    from handlers.inbox.processing import Processor
    from handlers.settings import Settings

RULES = """
rules:
  - name: transcode
    when: recording.available
    do:
      - http.post: {to: captioning}
      - http.post: {to: archive}
"""
ONCE = (
    RULES
    + """
  - name: once-a-task
    when: [recording.created, recording.available]
    once_per: task
    do: [http.post: {to: captioning}]
"""
)
_PROGRAM = Path(__file__).with_name("dying_at_commit.py")


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ_with_rules(environ, ONCE)


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("REELHOOK_TEST_SEED", random.randrange(2**32)))
    sys.stdout.write(f"REELHOOK_TEST_SEED={seed}\n")
    return random.Random(seed)


@pytest.fixture
def mns() -> Iterator[MnsStandin]:
    with MnsStandin(access_keys={ACCESS_KEY: SECRET_KEY}) as standin:
        standin.create_queue("recordings", visibility_timeout=1)
        yield standin


def kill_between_fold_and_commit(
    inbox: Inbox, database: Database, environ: dict[str, str], chance: random.Random, *, rounds: int
) -> None:
    """Have workers die with all written and nothing committed; then let one finish, and compare facts and actions."""
    numbers = itertools.count(1)
    for _ in range(rounds):
        for _ in range(chance.randint(1, 6)):
            inbox.accept(incoming(file_created(next(numbers)), token=TOKEN))
            now = now_ms()
            task = f"lesson-{next(numbers)}"
            files = [file(next(numbers), at=now) for _ in range(chance.randint(1, 3))]
            inbox.accept(said("RecordUploadDone", at=now, TaskId=task))
            inbox.accept(said("RecordStopped", at=now - 1, TaskId=task, RecordFileList=files))
        # Nobody is blamed: a delivery that three workers died with would go into quarantine.
        with database.write() as connection:
            connection.execute(tables.inbox.update().values(tries=0))
            connection.execute(tables.hands.delete())
        argv = [sys.executable, str(_PROGRAM), str(chance.randint(1, 4))]
        with subprocess.Popen(argv, env={**os.environ, **environ}) as worker:
            assert worker.wait(60) == -9
        compare(database, is_done=False)
    work(database, settings_of(environ))
    compare(database, is_done=True)


def compare(database: Database, *, is_done: bool) -> None:
    """Compare the files that became available with the actions that a rule asks for: each has its two steps, once."""
    with database.read() as connection:
        events = connection.execute(select(tables.events)).all()
        states = connection.execute(select(tables.recordings.c.id, tables.recordings.c.state)).all()
        tasks = set(connection.execute(select(tables.recordings.c.task)).scalars())
        left = connection.execute(select(tables.inbox.c.state).where(tables.inbox.c.state != "processed")).all()
    available = {row.id for row in states if row.state == "available"}
    told = sum("recording.available" in json.loads(row.changes) for row in events)
    actions = planned(database)
    of_rule = [(row["recording"], row["step"]) for row in actions if row["rule"] == "transcode"]
    assert sorted(of_rule) == sorted((recording, step) for recording in available for step in (0, 1))
    assert told <= len(available)
    of_tasks = [row["task"] for row in actions if row["rule"] == "once-a-task"]
    assert sorted(of_tasks) == sorted(tasks)
    if is_done:
        assert not left
        assert len(available) == len(states) > 0


def test_promise_6_kill_9_between_fold_and_commit_leaves_no_fact_without_its_action_and_none_without_its_fact(
    inbox: Inbox, database: Database, environ: dict[str, str], chance: random.Random
) -> None:
    kill_between_fold_and_commit(inbox, database, environ, chance, rounds=10)


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_promise_6_kill_9_two_hundred_times_between_fold_and_commit(
    inbox: Inbox, database: Database, environ: dict[str, str], chance: random.Random
) -> None:
    kill_between_fold_and_commit(inbox, database, environ, chance, rounds=100)


def test_promise_6_the_same_file_by_http_and_mns_and_under_a_new_message_id_is_one_call(
    mns: MnsStandin, tmp_path: Path, inbox: Inbox, database: Database, settings: Settings
) -> None:
    inbox.accept(incoming(file_created(1), token=TOKEN))
    work(database, settings)
    inbox.accept(incoming(file_created(1), token=TOKEN))
    inbox.accept(incoming(file_created(1, MsgId="another"), token=TOKEN))
    folder = tmp_path / "polling"
    folder.mkdir()
    polled = Pulled(environ_of(folder, settings.database_url, mns_queue(mns.endpoint)))
    with polled.polling():
        mns.send_all("recordings", [file_created(1).decode(), file_created(1, MsgId="a third").decode()])
        wait_until(lambda: not mns.messages("recordings"), what="an empty queue")
    polled.close()
    work(database, settings)
    with database.read() as connection:
        doors = set(connection.execute(select(tables.sightings.c.door)).scalars())
        states = set(connection.execute(select(tables.inbox.c.state)).scalars())
    assert doors == {"http", "mns"}
    assert states == {"processed"}
    assert sorted(action["rule"] for action in planned(database)) == ["once-a-task", "transcode", "transcode"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_promise_6_a_file_that_is_told_of_early_and_again_and_uploaded_is_one_call_in_any_order(
    inbox: Inbox, database: Database, settings: Settings, order: tuple[int, ...]
) -> None:
    now = now_ms()
    told = file(at=now)
    early = {name: value for name, value in told.items() if name not in {"Duration", "Size"}}
    arriving = (
        lambda: said("RecordSyncUploadStarted", at=now - 60_000, RecordFileList=[early]),
        lambda: said("RecordStopped", at=now, RecordFileList=[told]),
        lambda: said("RecordUploadDone", at=now + 5000),
    )
    for number in order:
        for _ in range(2):
            inbox.accept(arriving[number]())
        work(database, settings)
    assert [(action["rule"], action["step"]) for action in planned(database) if action["rule"] == "transcode"] == [
        ("transcode", 0),
        ("transcode", 1),
    ]
    assert len([action for action in planned(database) if action["rule"] == "once-a-task"]) == 1


def test_promise_6_two_workers_with_the_same_deliveries_plan_each_action_once(
    inbox: Inbox, database: Database, settings: Settings
) -> None:
    for number in range(40):
        inbox.accept(incoming(file_created(number), token=TOKEN))
    first, second = processor(database, settings), processor(database, settings)
    with ThreadPoolExecutor(2) as threads:
        for done in (threads.submit(_drain, one) for one in (first, second)):
            done.result()
    assert len(planned(database)) == 40 * 3


def test_promise_6_what_is_planned_stays_planned_when_its_rule_is_changed_or_gone(
    inbox: Inbox, database: Database, environ: dict[str, str], settings: Settings
) -> None:
    inbox.accept(incoming(file_created(1), token=TOKEN))
    work(database, settings)
    before = planned(database)
    inbox.accept(incoming(file_created(1, MsgId="again"), token=TOKEN))
    work(database, settings_with_rules(environ, "rules: []"))
    assert planned(database) == before


def _drain(working: Processor) -> None:
    while working.process():
        pass
