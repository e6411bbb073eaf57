"""The scenario mode: one seed one world, an oracle of its own, and a check that is green only where all is right."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import API_TOKEN
from program import Program, free_port, running, wait_until
from receiver import receiving
from terminal import PROGRAM, asked, clean, typed

from handlers.errors import RefusedDelivery
from handlers.secrets import Secret
from handlers.settings import Account
from handlers.vendors import VENDORS
from standin.callbacks import forging
from standin.callbacks.checking import Api, compare
from standin.callbacks.expected import Expectation, expect
from standin.callbacks.faults import Faults, arrivals, told
from standin.callbacks.plan import File, Notice, Slice, Task
from standin.callbacks.scenario import Post, play
from standin.callbacks.sending import HttpSender
from standin.callbacks.world import COUNTERPARTS, World
from standin.mns import MnsStandin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EVERY_FAULT = Faults(duplicate=0.2, reorder=0.3, late=0.1, drop=0.1, bad_signature=0.2)
FAULTS = ("--duplicate", "0.2", "--reorder", "0.3", "--late", "0.1", "--drop", "0.1", "--bad-signature", "0.2")
CONFIG = """
[accounts.classroom]
vendor = "volcengine"
callback_secrets = ["env:VOLC_SECRET"]
[accounts.clinic]
vendor = "huawei"
callback_secrets = ["env:HW_SECRET"]
[accounts.lessons]
vendor = "aliyun"
url_tokens = ["env:ALI_TOKEN"]
[queues.lessons]
kind = "mns"
account = "lessons"
endpoint = "{endpoint}"
queue = "recordings"
access_key_id = "env:MNS_AK"
secret_access_key = "env:MNS_SK"
wait_seconds = 1
"""


@dataclass(frozen=True, kw_only=True)
class House:
    """A Reelhook that runs, and what a command needs to find it."""

    program: Program
    environ: dict[str, str]

    def scenario(self, *arguments: str) -> Any:
        """Play a scenario with the command, as a real process, as fast as it goes."""
        return typed("standin", "callbacks", "scenario", "--rate", "0", "--check", *arguments, environ=self.environ)


@pytest.fixture
def surroundings(database_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the environment of a Reelhook with an account for each vendor, and a queue at an MNS stand-in."""
    (tmp_path / "data").mkdir()
    with MnsStandin(access_keys={"ak": "sk"}) as mns:
        mns.create_queue("recordings")
        (tmp_path / "reelhook.toml").write_text(CONFIG.format(endpoint=mns.endpoint))
        yield {
            "DATABASE_URL": database_url,
            "REELHOOK_DATA": str(tmp_path / "data"),
            "REELHOOK_CONFIG": str(tmp_path / "reelhook.toml"),
            "REELHOOK_API_TOKENS": API_TOKEN,
            "VOLC_SECRET": "a-volcengine-secret-that-is-made-up",
            "HW_SECRET": "a-huawei-secret-that-is-made-up-too",
            "ALI_TOKEN": "an-aliyun-token-that-is-made-up-too",
            "MNS_AK": "ak",
            "MNS_SK": "sk",
        }


@pytest.fixture
def house(surroundings: dict[str, str], tmp_path: Path) -> Iterator[House]:
    """Run `reelhook serve`, on each engine in turn."""
    with running(surroundings, "serve", log=tmp_path / "log") as program:
        program.ready()
        yield House(program=program, environ=surroundings | {"PORT": str(program.port)})


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_with_every_fault_and_through_both_doors_the_catalogue_is_right(house: House) -> None:
    for seed in ("7", "8"):
        done = house.scenario("--tasks", "36", *FAULTS, "--queue", "lessons", "--seed", seed)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout[-1500:] + done.stderr
        assert "The catalogue holds exactly that." in done.stdout
        assert "mns aliyun FileCreated" in done.stdout
        assert "(forged): 401" in done.stdout
        assert "lost on its way" in done.stdout
        assert ": 200" in done.stdout


@on_sqlite
def test_the_same_seed_again_changes_nothing(house: House) -> None:
    assert house.scenario("--tasks", "9", "--seed", "3").returncode == 0
    done = house.scenario("--tasks", "9", "--seed", "3")
    assert done.returncode == 0, done
    assert '"status":"kept"' not in done.stdout
    assert '"status":"repeat"' in done.stdout


@on_sqlite
def test_a_recording_that_is_not_there_or_wrong_is_told(house: House) -> None:
    assert house.scenario("--tasks", "9", "--quiet").returncode == 0
    path = house.environ["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=10)) as database, database:
        key, other = (row[0] for row in database.execute("SELECT key FROM recordings WHERE key <> '' LIMIT 2"))
        database.execute("DELETE FROM recordings WHERE key = ?", (key,))
        database.execute("UPDATE recordings SET size_bytes = 17 WHERE key = ?", (other,))
    done = house.scenario("--tasks", "9", "--quiet")
    assert done.returncode == 1
    assert f"{key}: is missing" in done.stderr
    assert f"{other}: size_bytes is 17, expected" in done.stderr
    assert "The catalogue holds exactly that." not in done.stdout


@on_sqlite
def test_every_sort_of_difference_is_told(house: House) -> None:
    world = World(seed=7, tasks=9, queue=False)
    assert house.scenario("--tasks", "9", "--quiet").returncode == 0
    expectation = expect(world.notices)
    with closing(HttpSender(house.program.url)) as sender:
        there = Api(sender, API_TOKEN).catalogue(world.app_ids)
        assert Api(sender, API_TOKEN, page=7).catalogue(world.app_ids) == there
    assert compare(expectation, there) == []
    run, file, cut = min(expectation.runs), min(expectation.files), min(expectation.slices)
    without = {name: facts for name, facts in expectation.runs.items() if name != run}
    assert _one(compare(replace(expectation, runs=without), there)).endswith("must not be there")
    wrong = {**expectation.runs, run: expectation.runs[run] | {"state": "odd"}}
    assert "expected 'odd'" in _one(compare(replace(expectation, runs=wrong), there))
    longer = {**expectation.files, file: expectation.files[file] | {"duration_ms": -1}}
    assert "duration_ms is" in _one(compare(replace(expectation, files=longer), there))
    more = {**expectation.files, (*file[:-1], "nobody's"): expectation.files[file]}
    assert _one(compare(replace(expectation, files=more), there)).endswith("nobody's: is missing")
    fewer = {name: facts for name, facts in expectation.slices.items() if name != cut}
    assert _one(compare(replace(expectation, slices=fewer), there)).endswith(f"{cut[-1]}: must not be there")
    later = {**expectation.slices, cut: expectation.slices[cut] | {"started_at": 1}}
    assert _one(compare(replace(expectation, slices=later), there)).endswith("expected 1")


def _one(lines: Sequence[str]) -> str:
    (line,) = lines
    return line


@on_sqlite
def test_without_a_worker_the_check_says_that_deliveries_wait(surroundings: dict[str, str], tmp_path: Path) -> None:
    with running(surroundings, "web", log=tmp_path / "log") as program:
        program.ready()
        there = House(program=program, environ=surroundings | {"PORT": str(program.port)})
        done = there.scenario("--tasks", "3", "--quiet", "--patience", "1")
    assert done.returncode == 1
    assert "deliveries still wait to be processed: is a worker running?" in done.stderr


@on_sqlite
def test_a_wrong_api_token_ends_with_1_and_says_so(house: House) -> None:
    done = house.scenario("--tasks", "1", "--api-token", "a-token-that-is-wrong")
    assert done.returncode == 1
    assert "the API does not take the token" in done.stderr


@on_sqlite
def test_killed_processes_in_the_middle_cost_nothing(house: House, tmp_path: Path) -> None:
    arguments = ("standin", "callbacks", "scenario", "--tasks", "15", "--rate", "25", "--check", *FAULTS)
    with (tmp_path / "played").open("wb") as played:
        begun = subprocess.Popen(
            [*PROGRAM, *arguments], env=clean(house.environ), stdout=played, stderr=subprocess.STDOUT
        )
    try:
        for _ in range(2):
            time.sleep(1)
            wait_until(lambda: None not in map(partial(_last_pid, house), ("web", "worker")), what="web and worker")
            for name in ("web", "worker"):
                pid = _last_pid(house, name)
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
        assert begun.wait(timeout=150) == 0, (tmp_path / "played").read_text()[-3000:]
    finally:
        begun.kill()
        begun.wait()


def _last_pid(house: House, name: str) -> int | None:
    """Return the process that was started last under this name, if it lives."""
    pids = re.findall(rf"{name} started as process (\d+)", house.program.log.read_text())
    return int(pids[-1]) if pids and Path(f"/proc/{pids[-1]}").exists() else None


def test_who_takes_what_is_forged_is_told() -> None:
    with receiving() as receiver:
        done = asked(
            *("standin", "callbacks", "scenario", "--to", receiver.url, "--rate", "0", "--tasks", "20"),
            *("--bad-signature", "1", "--secret", "volcengine=s", "--secret", "huawei=s", "--secret", "aliyun=s"),
            environ={},
        )
    assert done.returncode == 1
    assert "is forged, and was answered 200" in done.stderr
    assert "... and " in done.stderr, "no more than a person reads"


def test_a_reelhook_that_is_busy_is_asked_again() -> None:
    world = World(tasks=1, vendors=("aliyun",), queue=False)
    ways = arrivals(world, COUNTERPARTS, Faults())
    with receiving(503) as receiver, closing(HttpSender(receiver.url)) as sender:
        played = play(ways, Post(http=sender))
    assert played.problems == []
    assert len(receiver.came) == len(ways) + 1
    assert receiver.came[0].body == receiver.came[1].body


def test_one_seed_is_one_world_and_two_seeds_share_nothing() -> None:
    one, again, other = World(seed=7, tasks=30), World(seed=7, tasks=30), World(seed=8, tasks=30)
    assert one.notices == again.notices
    assert one.deliveries() == again.deliveries()
    assert arrivals(one, COUNTERPARTS, EVERY_FAULT) == arrivals(again, COUNTERPARTS, EVERY_FAULT)
    names = [{(notice.task.app_id, notice.task.room_id) for notice in world.notices} for world in (one, other)]
    assert not names[0] & names[1]
    assert all(name.startswith("s7-") for pair in names[0] for name in pair)


def test_every_callback_of_a_world_is_authentic_and_understood() -> None:
    settings = _settings()
    words = set()
    for callback in World(tasks=60).deliveries():
        incoming = callback.incoming(0)
        account = settings[callback.vendor]
        if callback.door == "http":
            VENDORS[callback.vendor].verify(incoming, account)
        words.add((callback.vendor, callback.door, callback.word))
    assert {(vendor, door) for vendor, door, _ in words} == {
        *((vendor, "http") for vendor in VENDORS),
        ("aliyun", "mns"),
    }
    assert {word for vendor, _, word in words if vendor == "volcengine"} >= {
        *("RecordStarted", "RecordStopped", "RecordUploadDone", "RecordUploadBackuped", "RecordSyncUploadStarted"),
        *("SegmentRealTimeData", "TranscodeStarted", "TranscodeStopped", "RecordUploadProcessing"),
    }


def _settings() -> dict[str, Any]:
    """Return the accounts of the world's counterparts, as Reelhook has them."""
    accounts = {}
    for vendor, to in COUNTERPARTS.items():
        key, value = ("url_tokens", to.token) if to.token else ("callback_secrets", to.secret)
        secret = Secret.literal(value or "")
        accounts[vendor] = Account.model_validate({"name": to.account, "vendor": vendor, key: (secret,)})
    return accounts


FORGERIES = [
    pytest.param(vendor, way, id=f"{vendor}{way.__name__}") for vendor, ways in forging._WAYS.items() for way in ways
] + [pytest.param("aliyun", way, id=f"aliyun{way.__name__}") for way in forging._WITH_TOKEN]


@pytest.mark.parametrize(("vendor", "way"), FORGERIES)
def test_what_a_stranger_sends_is_refused(vendor: str, way: Any) -> None:
    account = _settings()[vendor]
    notices = [notice for notice in World(tasks=30).notices if notice.task.vendor == vendor and notice.door == "http"]
    for notice in notices:
        false = way(notice, COUNTERPARTS[vendor])
        with pytest.raises(RefusedDelivery):
            VENDORS[vendor].verify(false.incoming(notice.at), account)


def test_volcengine_tries_three_times_and_the_others_once() -> None:
    world = World(tasks=30)
    ways = arrivals(world, COUNTERPARTS, Faults(drop=1.0))
    tries: dict[str, set[int]] = {}
    for notice in world.notices:
        count = sum(way.notice == notice for way in ways)
        tries.setdefault(notice.task.vendor, set()).add(count)
    assert tries == {"volcengine": {3}, "huawei": {1}, "aliyun": {1}}
    assert told(ways) == []
    assert expect(told(ways)) == Expectation(runs={}, files={}, slices={})


def test_faults_do_what_they_say() -> None:
    world = World(tasks=30)
    plain = arrivals(world, COUNTERPARTS, Faults())
    assert [way.notice for way in plain] == list(world.notices)
    count = len(world.notices)
    assert len(arrivals(world, COUNTERPARTS, Faults(duplicate=1.0))) == 2 * count
    assert [way.notice for way in arrivals(world, COUNTERPARTS, Faults(reorder=1.0))] != list(world.notices)
    false = [way for way in arrivals(world, COUNTERPARTS, Faults(bad_signature=1.0)) if way.notice.forged]
    assert len(false) == sum(notice.door == "http" for notice in world.notices)
    assert expect(told(false)) == Expectation(runs={}, files={}, slices={})


# --- the oracle, against catalogues that were worked out by hand ------------------------------------------------------
LESSON = Task(vendor="volcengine", type="record", app_id="a", room_id="r", task_id="t")
SLICES = replace(LESSON, type="segment")


def _notice(at: int, says: Any, task: Task = LESSON, **more: Any) -> Notice:
    return Notice(number=at, task=task, word="", at=at, says=says, **more)


def _file(key: str, started_at: int, ended_at: int) -> File:
    length = ended_at - started_at
    return File(key=key, format="mp4", started_at=started_at, ended_at=ended_at, duration_ms=length, size_bytes=length)


def test_two_runs_under_one_name_have_each_their_files_and_uploads() -> None:
    a, b, c = _file("a", 1_100, 5_000), _file("b", 4_000, 6_000), _file("c", 100_500, 101_000)
    expectation = expect(
        [
            _notice(1_000, "running", begins=True),
            _notice(6_000, "stopped", files=(a, b)),
            _notice(7_000, "upload", upload="uploading"),
            _notice(8_000, "upload", upload="done"),
            _notice(100_000, "running", begins=True),
            _notice(102_000, "stopped", files=(c,)),
            _notice(103_000, "upload", upload="uploading"),
        ]
    )
    first = expectation.runs["volcengine", "record", "a", "r", "t", 1]
    assert first == {
        "state": "stopped",
        "upload": "done",
        "business_id": None,
        "recording_count": 2,
        "segment_count": 0,
        "recorded_ms": 4_900,
        "started_at": 1_000,
        "ended_at": 6_000,
    }
    second = expectation.runs["volcengine", "record", "a", "r", "t", 2]
    assert (second["state"], second["upload"], second["recorded_ms"]) == ("stopped", "uploading", 500)
    states = {name[-2:]: file["state"] for name, file in expectation.files.items()}
    assert states == {(1, "a"): "available", (1, "b"): "available", (2, "c"): "announced"}


def test_a_start_that_was_lost_makes_one_run_of_two() -> None:
    expectation = expect(
        [_notice(1_000, "running", begins=True), _notice(6_000, "stopped"), _notice(102_000, "stopped")]
    )
    (run,) = expectation.runs.values()
    assert (run["state"], run["ended_at"]) == ("stopped", 102_000)


def _slice(identifier: str, started_at: int) -> Slice:
    return Slice(
        key=f"{identifier}/{started_at}",
        bucket="b",
        identifier=identifier,
        user_id="ann",
        started_at=started_at,
        duration_ms=1,
        size_bytes=1,
    )


def test_slices_begin_a_run_where_a_new_identifier_ends_a_long_silence() -> None:
    minute = 60_000
    cuts = [("a", 0), ("a", 11 * minute), ("b", 12 * minute), ("c", 23 * minute), ("a", 24 * minute)]
    told_of = [_notice(at, "segments", SLICES, slices=(_slice(name, at),)) for name, at in cuts]
    runs = {name[-1]: facts["segment_count"] for name, facts in expect(told_of).runs.items()}
    assert runs == {1: 3, 2: 2}


def test_nothing_is_told_of_what_is_forged() -> None:
    assert expect([_notice(1_000, "running", forged=True)]).runs == {}


def test_of_what_nobody_takes_nothing_is_expected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("standin.callbacks.scenario._AGAIN", (0.0, 0.0))
    done = asked(
        *("standin", "callbacks", "scenario", "--to", f"http://127.0.0.1:{free_port()}", "--rate", "0"),
        *("--secret", "huawei=a-secret", "--tasks", "2"),
        environ={"REELHOOK_DATA": str(tmp_path / "nowhere")},
    )
    assert done.returncode == 1
    assert "0 sent" in done.stdout
    assert "could not be delivered: nothing is expected of them" in done.stdout
    assert "A right catalogue" not in done.stdout
    assert "was not delivered: http://127.0.0.1:" in done.stderr


def test_of_what_some_took_the_rest_is_not_expected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("standin.callbacks.scenario._AGAIN", ())
    with receiving(200, *[503] * 50) as receiver:
        done = asked(
            *("standin", "callbacks", "scenario", "--to", receiver.url, "--rate", "0", "--tasks", "1"),
            *("--secret", "huawei=a-secret"),
            environ={"REELHOOK_DATA": str(tmp_path / "nowhere")},
        )
    assert done.returncode == 1
    assert "1 sent" in done.stdout
    assert "in all 1 tasks, 0 recordings" in done.stdout


def test_the_scenario_needs_no_settings_where_everything_is_given(tmp_path: Path) -> None:
    with receiving() as receiver:
        done = asked(
            *("standin", "callbacks", "scenario", "--to", receiver.url, "--rate", "0", "--tasks", "2"),
            *("--secret", "huawei=a-secret", "--account", "huawei=ward"),
            environ={"REELHOOK_DATA": str(tmp_path / "nowhere")},
        )
    assert done.returncode == 0, done
    assert {came.target for came in receiver.came} == {"/callbacks/huawei/ward"}
    assert "in all 2 tasks" in done.stdout
