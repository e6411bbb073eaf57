"""`reelhook call`: a call by hand, made by a real worker to the stand-ins, and everything for which none is made."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from calling import FIXTURES, KEY, SECRET, fields, golden, wrong
from planning import rows, states
from program import wait_until
from rows import task_row
from terminal import asked, typed

from handlers import tables
from handlers.actions import go, stop
from handlers.by_hand import RULE
from handlers.clock import now_ms
from handlers.database import Database
from handlers.settings import load
from handlers.vendors import VENDORS
from handlers.worker import Worker
from standin.openapi import OpenApiStandin

if TYPE_CHECKING:
    from collections.abc import Iterator

UPDATE = "volcengine.update_segment"
IDS = {"AppId": "app", "RoomId": "room", "TaskId": "slices"}
WHOLE = tuple(f"--set={name}={value}" for name, value in (IDS | {"Duration": 20}).items())
#: what isn't to be expected of such a call
SAID = """every update of Duration ends the slice that is being cut and begins a new one, a repeated call too
whether what is left out keeps its value isn't documented: give Identifier, Handle and Duration together
"""
PUSH: dict[str, Any] = golden("volcengine.update_push_mixed_stream_to_cdn")["parameters"]
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
CONFIG = """
[accounts.classroom]
vendor = "volcengine"
callback_secrets = ["env:VOLC_SECRET"]
access_key_id = "env:MY_AK"
secret_access_key = "env:MY_SK"
endpoint = "{volcengine}"

[accounts.lessons]
vendor = "aliyun"
url_tokens = ["env:LESSONS_TOKEN"]
access_key_id = "env:MY_AK"
secret_access_key = "env:MY_SK"
endpoint = "{aliyun}"
"""
CLINIC = """
[accounts.clinic]
vendor = "huawei"
project_id = "p-1"
callback_secrets = ["env:VOLC_SECRET"]
access_key_id = "env:MY_AK"
secret_access_key = "env:MY_SK"
"""
SAMPLES = sorted(path for path in (FIXTURES.parent / "samples").glob("*.*") if path.suffix != ".md")
ANOTHER = '\n[accounts.other]\nvendor = "volcengine"\ncallback_secrets = ["env:VOLC_SECRET"]\n'


@pytest.fixture
def volcengine() -> Iterator[OpenApiStandin]:
    with OpenApiStandin(vendor="volcengine", credentials={KEY: SECRET}) as api:
        api.tasks.add(type="segment", app_id="app", room_id="room", task_id="slices")
        api.tasks.add(type="push", app_id="app", room_id="room", task_id="slices")
        yield api


@pytest.fixture
def aliyun() -> Iterator[OpenApiStandin]:
    with OpenApiStandin(vendor="aliyun", credentials={KEY: SECRET}) as api:
        yield api


@pytest.fixture
def config(tmp_path: Path, volcengine: OpenApiStandin, aliyun: OpenApiStandin) -> Path:
    path = tmp_path / "reelhook.toml"
    path.write_text(CONFIG.format(volcengine=volcengine.endpoint, aliyun=aliyun.endpoint))
    return path


@pytest.fixture
def environ(config: Path, environ: dict[str, str]) -> dict[str, str]:
    assert environ["REELHOOK_CONFIG"] == str(config)
    own = {"VOLC_SECRET": "volc-secret-of-a-test", "MY_AK": KEY, "MY_SK": SECRET}
    return environ | own


@pytest.fixture
def alone(config: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which there is no database."""
    assert config.exists()
    own = {"VOLC_SECRET": "volc-secret-of-a-test", "MY_AK": KEY, "MY_SK": SECRET, "LESSONS_TOKEN": "t" * 32}
    return own | {"REELHOOK_DATA": str(tmp_path / "none"), "REELHOOK_CONFIG": str(config)}


@contextmanager
def working(environ: dict[str, str]) -> Iterator[None]:
    """Let a worker work."""
    settings = load(environ, vendors=tuple(VENDORS))
    database = Database(settings.database_url)
    stopping = threading.Event()
    worker = threading.Thread(target=Worker(database, settings, VENDORS).run, args=(stopping,))
    worker.start()
    try:
        yield
    finally:
        stopping.set()
        worker.join()
        database.close()


def add_task(database: Database, **changed: Any) -> str:
    names = {"vendor": "volcengine", "account": "classroom", "app_id": "app", "room_id": "room", "task_id": "slices"}
    row = task_row(1, **(names | {"state": "running", "business_id": "school"} | changed))
    with database.write() as connection:
        connection.execute(tables.tasks.insert(), [row])
    return str(row["id"])


# --- made by a worker -------------------------------------------------------------------------------------------------


def test_a_call_is_made_by_the_worker_and_what_became_of_it_is_told(
    environ: dict[str, str], database: Database, volcengine: OpenApiStandin
) -> None:
    with working(environ):
        done = asked("call", UPDATE, "--account", "classroom", *WHOLE, environ=environ)
    (row,) = rows(database)
    assert done.returncode == 0, done
    assert done.stderr == f"{SAID}{row['id']} is planned\n"
    assert done.stdout.splitlines()[0] == f"{row['id']} {UPDATE}"
    (made,) = volcengine.calls
    assert fields(done) == {"state": "done", "request id": made.request_id, "attempts": "1"} | {
        name: value for name, value in fields(done).items() if name == "detail"
    }
    assert (made.action, made.worked, made.body) == ("UpdateSegment", True, IDS | {"Duration": 20})
    assert (row["rule"], row["change"], row["task"], row["generation"]) == (RULE, "call", None, 0)


def test_it_goes_through_the_lane_and_below_the_limit_of_its_task(
    environ: dict[str, str], database: Database, config: Path
) -> None:
    config.write_text(config.read_text().replace('vendor = "volcengine"', 'vendor = "volcengine"\nquota = "main"', 1))
    assert asked("call", UPDATE, *WHOLE, "--no-wait", environ=environ).returncode == 0
    (row,) = rows(database)
    assert row["lane"] == "volcengine/segment/app/room/slices"
    assert (row["quota"], row["api"]) == ("volcengine/main", "UpdateSegment")
    assert row["interval_us"] == pytest.approx(1_000_000 / 150, rel=0.1)
    assert (row["stage"], bool(row["is_head"]), row["expires_at"]) == ("ready", True, None)


def test_a_call_that_the_vendor_refuses_ends_with_1_and_the_vendors_words(
    environ: dict[str, str], database: Database, volcengine: OpenApiStandin
) -> None:
    volcengine.tasks.stop(app_id="app", room_id="room", task_id="slices", type="segment")
    with working(environ):
        done = asked("call", UPDATE, *WHOLE, environ=environ)
    assert (done.returncode, states(database)) == (1, ["dead"])
    told = fields(done)
    assert (told["state"], told["attempts"]) == ("dead", "1")
    assert told["code"] == volcengine.calls[-1].code
    assert told["request id"] == volcengine.calls[-1].request_id
    assert "no segment task 'slices' runs" in told["detail"]
    assert "reason" not in told


def test_two_calls_of_one_task_are_made_one_after_the_other(
    environ: dict[str, str], database: Database, volcengine: OpenApiStandin
) -> None:
    first = asked("call", UPDATE, *WHOLE, "--no-wait", environ=environ)
    # It sets less than the first, which is therefore not superfluous.
    second = asked("call", UPDATE, *WHOLE[:3], "--set=Handle=true", "--no-wait", environ=environ)
    planned = [row["id"] for row in rows(database)]
    assert [first.stdout.strip(), second.stdout.strip()] == planned
    assert [row["stage"] for row in rows(database)] == ["ready", "waiting"]
    volcengine.faults.add("trickle", seconds=0.3, times=1)
    with working(environ):
        wait_until(lambda: states(database) == ["done", "done"], what="both calls")
    assert [made.body for made in volcengine.calls] == [IDS | {"Duration": 20}, IDS | {"Handle": True}]
    assert [made.overlap for made in volcengine.calls] == [False, False]


def test_a_newer_call_that_sets_all_that_the_older_would_supersedes_it(
    environ: dict[str, str], database: Database
) -> None:
    for duration in (20, 30):
        asked("call", UPDATE, *WHOLE[:3], f"--set=Duration={duration}", "--no-wait", environ=environ)
    assert states(database) == ["superseded", "planned"]


def test_the_task_of_the_catalogue_names_the_call_and_its_account(
    environ: dict[str, str], database: Database, volcengine: OpenApiStandin, config: Path
) -> None:
    config.write_text(config.read_text() + ANOTHER)
    task = add_task(database)
    with working(environ):
        done = asked("call", UPDATE, "--task", task, "--set", "Duration=20", environ=environ)
    assert done.returncode == 0, done
    assert volcengine.calls[-1].body == IDS | {"BusinessId": "school", "Duration": 20}
    (row,) = rows(database)
    assert (row["task"], row["account"], bool(row["needs_run"])) == (task, "classroom", True)


@on_sqlite
def test_a_task_that_is_over_is_called_all_the_same_and_said_to_be(environ: dict[str, str], database: Database) -> None:
    task = add_task(database)
    add_task(database, id="tsk_next", run=2)
    done = asked("call", UPDATE, "--task", task, "--set", "Duration=20", "--no-wait", environ=environ)
    assert done.returncode == 0
    assert "the run is over (run 2 of its task has begun): the vendor may refuse the call, or it could" in done.stderr


def test_a_number_that_must_grow_is_set_with_each_attempt(
    environ: dict[str, str], database: Database, volcengine: OpenApiStandin
) -> None:
    push = ("call", "volcengine.update_push_mixed_stream_to_cdn", *WHOLE[:3], "--set=IsUpdatePartialParam=true")
    values = ("--json-parameters", "-")
    before = now_ms() // 1000
    told = json.dumps({name: value for name, value in PUSH.items() if name not in {*IDS, "SequenceNumber"}})
    with working(environ):
        done = [typed(*push, *values, environ=environ, answer=told) for _ in range(2)]
    assert [one.returncode for one in done] == [0, 0], done
    first, second = (made.body["SequenceNumber"] for made in volcengine.calls)
    assert before <= first < second
    assert states(database) == ["done", "done"]
    given = asked(*push, "--set=SequenceNumber=7", environ=environ)
    assert "SequenceNumber: is set for each attempt, greater than the last one's; leave it out" in wrong(given)


@pytest.mark.usefixtures("database")
def test_a_new_task_gets_a_name_of_its_own_which_is_told(environ: dict[str, str], aliyun: OpenApiStandin) -> None:
    start = ("call", "aliyun.start_record_task", "--set=AppId=app1", "--set=ChannelId=room")
    with working(environ):
        done = [asked(*start, "--set=TemplateId=tpl", environ=environ) for _ in range(2)]
        named = asked(*start, "--set=TemplateId=tpl", "--set=TaskId=mine", environ=environ)
    assert [one.returncode for one in (*done, named)] == [0, 0, 0], done
    names = [one.stderr.splitlines()[0].rpartition(" ")[2] for one in done]
    assert done[0].stderr.splitlines()[0] == f"TaskId is not given: the new task is {names[0]}"
    assert "TaskId is not given" not in named.stderr
    assert [task.key.task_id for task in aliyun.tasks.all()] == [*names, "mine"]
    assert names[0] != names[1]


def test_an_update_of_a_task_that_was_started_by_hand_knows_how(environ: dict[str, str], database: Database) -> None:
    ids = ("--set=AppId=app1", "--set=ChannelId=room", "--set=TaskId=mine", "--set=TemplateId=tpl")
    single = ("--set=MixMode=0", "--no-wait")
    assert asked("call", "aliyun.start_record_task", *ids, *single, environ=environ).returncode == 0
    done = asked("call", "aliyun.update_record_task", *ids, environ=environ)
    assert (done.returncode, states(database)) == (1, ["planned", "refused"])
    assert (fields(done)["state"], "MixMode 0" in fields(done)["reason"]) == ("refused", True)


# --- not made ---------------------------------------------------------------------------------------------------------


def test_where_no_worker_takes_it_up_the_call_stays_planned_and_that_is_said(
    environ: dict[str, str], database: Database, volcengine: OpenApiStandin
) -> None:
    done = asked("call", UPDATE, *WHOLE, "--wait", "200ms", environ=environ)
    assert (done.returncode, states(database)) == (1, ["planned"])
    (action,) = (row["id"] for row in rows(database))
    assert fields(done)["state"] == "planned"
    assert "no worker took the call up within 0.2 s" in done.stderr
    assert "`reelhook work`" in done.stderr
    assert f"`reelhook actions show {action}`" in done.stderr
    cancelled = asked("actions", "cancel", action, environ=environ)
    assert (cancelled.returncode, states(database)) == (0, ["cancelled"]), cancelled
    assert volcengine.calls == ()


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("operation", UPDATE, f"the operation {UPDATE} is stopped by hand"),
        ("account", "volcengine/classroom", "the account volcengine/classroom is stopped by hand"),
        ("all", "", "everything is stopped by hand"),
    ],
)
@on_sqlite
def test_what_is_stopped_by_hand_is_said_while_it_waits(  # noqa: PLR0913, PLR0917 - a row of the table
    kind: str, name: str, said: str, environ: dict[str, str], database: Database, volcengine: OpenApiStandin
) -> None:
    stop(database, kind, name, now=now_ms())
    stop(database, "operation", "volcengine.update_record", now=now_ms())
    with working(environ):
        done = asked("call", UPDATE, *WHOLE, "--wait", "1500ms", environ=environ)
        assert done.returncode == 1
        assert [line for line in done.stderr.splitlines() if "waiting" in line] == [f"waiting: {said}"]
        assert volcengine.calls == ()
        go(database, kind, name)
        wait_until(lambda: states(database) == ["done"], what="the call that may go on")


def test_a_limit_that_is_spoken_for_and_a_lane_are_said_too(environ: dict[str, str], database: Database) -> None:
    asked("call", UPDATE, *WHOLE, "--no-wait", environ=environ)
    (row,) = rows(database)
    until = (now_ms() + 60_000) * 1000
    with database.write() as connection:
        limit = {"quota": row["quota"], "api": row["api"], "next_at": 0, "blocked_until": until}
        connection.execute(tables.quotas.insert(), [limit])
    more = ("--set=Handle=true", "--wait", "200ms")
    done = asked("call", UPDATE, *WHOLE[:3], *more, environ=environ)
    assert "the limit of UpdateSegment is spoken for, or the vendor asked for a rest: " in done.stderr
    assert "an earlier call of the same task comes first" in done.stderr


@on_sqlite
def test_a_call_that_is_tried_again_goes_on_after_the_wait(
    environ: dict[str, str], database: Database, volcengine: OpenApiStandin
) -> None:
    volcengine.faults.add("5xx", status=503, times=1)
    volcengine.faults.add("nothing", times=1)
    with working(environ):
        done = asked("call", UPDATE, *WHOLE, "--wait", "50s", environ=environ)
    assert (done.returncode, fields(done)["attempts"]) == (0, "3")
    assert states(database) == ["done"]


# --- dry run ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_signed_request_without_a_secret_and_sends_nothing(
    alone: dict[str, str], volcengine: OpenApiStandin
) -> None:
    done = asked("call", UPDATE, *WHOLE, "--dry-run", environ=alone)
    assert (done.returncode, done.stderr) == (0, SAID)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"POST {volcengine.endpoint}/?Action=UpdateSegment")
    (signed,) = (line for line in lines if line.startswith("Authorization: "))
    assert signed.startswith(f"Authorization: HMAC-SHA256 Credential={KEY}/")
    assert (
        "/cn-north-1/rtc/request, SignedHeaders=content-type;host;x-content-sha256;x-date, Signature=(hidden)" in signed
    )
    assert json.loads(lines[-1]) == IDS | {"Duration": 20}
    assert SECRET not in done.stdout
    assert volcengine.calls == ()
    assert not Path(alone["REELHOOK_DATA"]).exists()


@on_sqlite
def test_a_dry_run_of_a_task_looks_it_up_and_plans_nothing(environ: dict[str, str], database: Database) -> None:
    task = add_task(database)
    done = asked("call", UPDATE, "--task", task, "--set", "Duration=20", "--dry-run", environ=environ)
    assert json.loads(done.stdout.splitlines()[-1]) == IDS | {"BusinessId": "school", "Duration": 20}
    assert rows(database) == []


def test_a_dry_run_shows_the_number_that_would_be_sent(alone: dict[str, str]) -> None:
    told = PUSH["Layout"]
    push = ("volcengine.update_push_mixed_stream_to_cdn", "--set=IsUpdatePartialParam=true")
    before = now_ms() // 1000
    done = asked("call", *push, *WHOLE[:3], f"--set=Layout={json.dumps(told)}", "--dry-run", environ=alone)
    assert json.loads(done.stdout.splitlines()[-1])["SequenceNumber"] >= before


# --- wrong usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "OPERATION: is not given; known: aliyun.start_record_task, aliyun.update_record_task"),
        (("volcengine.update_segmnt",), "did you mean volcengine.update_segment?; known: aliyun.start_record_task"),
        (("http.post", "--set=to=x"), 'OPERATION: "http.post" is no vendor\'s call'),
        ((UPDATE, *WHOLE, "--account", "clasroom"), "did you mean classroom?; known: classroom"),
        ((UPDATE, *WHOLE, "--account", "lessons"), 'there is no account "lessons" of volcengine; known: classroom'),
        (("huawei.update_individual_stream_job",), "there is no account of huawei; write an [accounts.NAME] table"),
        ((UPDATE, *WHOLE, "--set=Durtion=2"), "Durtion: is unknown here, or can't be changed by this call; there are"),
        ((UPDATE, "--set=Duration=20"), "--task: a task of the catalogue (`reelhook tasks list`) fills in AppId"),
        ((UPDATE, *WHOLE[:3]), "Identifier, Handle and Duration are missing; expected one of them"),
        ((UPDATE, *WHOLE[:3], "--set=Duration=601"), "Duration: is 601; expected a whole number from 1 to 600"),
        ((UPDATE, *WHOLE[:3], '--set=Duration="20"'), 'Duration: is "20"; expected a whole number'),
        ((UPDATE, *WHOLE, "--set=Duration"), "--set Duration: expected Name=value, or Outer.Inner=value"),
        ((UPDATE, *WHOLE, "--set=Duration=30"), "--set Duration=30: Duration is given twice"),
        ((UPDATE, *WHOLE, "--wait", "60"), '--wait: "60" is no duration'),
    ],
)
def test_wrong_usage_ends_with_2_and_names_what_is_known(
    arguments: tuple[str, ...], said: str, alone: dict[str, str]
) -> None:
    assert said in wrong(asked("call", *arguments, environ=alone))


def test_every_parameter_that_is_wrong_is_told_at_once(alone: dict[str, str]) -> None:
    done = asked("call", UPDATE, "--set=Duration=0", "--set=Identifier=a b", "--set=AppId=", environ=alone)
    told = wrong(done)
    assert all(f"  {name}: " in told for name in ("Duration", "Identifier", "AppId", "RoomId", "TaskId"))


def test_an_account_has_to_be_named_where_there_are_several(alone: dict[str, str], config: Path) -> None:
    config.write_text(config.read_text() + ANOTHER)
    told = wrong(asked("call", UPDATE, *WHOLE, environ=alone))
    assert "--account: is not given; volcengine has several: expected one of classroom, other" in told


@on_sqlite
def test_an_account_without_a_key_is_told_before_anything_is_planned(
    environ: dict[str, str], database: Database, config: Path
) -> None:
    config.write_text(config.read_text() + ANOTHER)
    done = asked("call", UPDATE, *WHOLE, "--account", "other", environ=environ)
    assert done.returncode == 2
    assert "[accounts.other]: access_key_id: is not set" in done.stderr
    assert rows(database) == []


@pytest.mark.parametrize(
    ("operation", "changed", "said"),
    [
        (UPDATE, {"type": "record"}, "is a record task; volcengine.update_segment is for segment tasks"),
        ("aliyun.stop_record_task", {}, "is a task of volcengine; aliyun.stop_record_task needs one of aliyun"),
    ],
)
@on_sqlite
def test_a_task_of_another_kind_is_wrong_usage(
    operation: str, changed: dict[str, str], said: str, environ: dict[str, str], database: Database
) -> None:
    task = add_task(database, **changed)
    assert said in wrong(asked("call", operation, "--task", task, "--set=Duration=20", environ=environ))


@pytest.mark.parametrize(("typed_id", "shown_id"), [("tsk_none", "tsk_none"), ("\udcff", "\\udcff"), ("", "")])
@pytest.mark.usefixtures("database")
def test_a_task_that_is_not_there_is_told_whatever_was_typed(
    typed_id: str, shown_id: str, environ: dict[str, str]
) -> None:
    missing = asked("call", UPDATE, "--task", typed_id, "--set=Duration=20", environ=environ)
    assert f"--task: there is no task {shown_id}; `reelhook tasks list` shows them" in wrong(missing)


def test_without_a_database_a_call_says_what_to_start(alone: dict[str, str]) -> None:
    done = asked("call", UPDATE, *WHOLE, environ=alone)
    assert done.returncode == 1
    assert "start `reelhook serve`" in done.stderr


# --- the sample of each page ---


@pytest.mark.parametrize("sample", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_the_sample_request_of_a_page_is_taken_as_it_is_printed(
    sample: Path, alone: dict[str, str], config: Path
) -> None:
    config.write_text(config.read_text() + CLINIC)
    printed = sample.read_text()
    if sample.suffix == ".txt":
        query = "".join(printed.split()).partition("?")[2].split("&")
        wanted = dict(one.split("=") for one in query if not one.startswith("Action="))
    else:
        wanted = json.loads(printed)
    # The job that the call is about stands in the address of its sample.
    ids = {"app_id": 1, "job_id": 1} if sample.stem.startswith("huawei.") else {}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (wanted | ids).items()}
    given = [f"--set={name}={text}" for name, text in texts.items()]
    done = asked("call", sample.stem, *given, "--dry-run", environ=alone)
    assert done.returncode == 0, done
    first, *_, last = done.stdout.splitlines()
    if sample.suffix == ".txt":
        assert dict(parse_qsl(first.partition("?")[2])) == wanted
    elif ids:
        assert first.endswith("/v2/apps/1/individual-stream-jobs/1")
    else:
        unsent = {"MaxIdleTime", "TargetStreams"} if sample.stem == UPDATE else set()
        assert json.loads(last).items() >= {name: wanted[name] for name in wanted.keys() - unsent}.items()
        assert json.loads(last).keys().isdisjoint(unsent)
        assert all(f"{name} is no parameter of this call: it is not sent" in done.stderr for name in unsent)


def test_what_the_api_takes_a_parameter_for_that_rules_must_say_is_told(alone: dict[str, str]) -> None:
    done = asked("call", "volcengine.update_push_mixed_stream_to_cdn", *WHOLE[:3], "--dry-run", environ=alone)
    assert done.returncode == 0, done
    assert "IsUpdatePartialParam is not given: the API takes it for false; there is true (only what" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["IsUpdatePartialParam"] is False


def test_an_id_of_digits_is_typed_as_it_is(alone: dict[str, str]) -> None:
    ids = [f"--set={name}=1001" for name in IDS]
    done = asked("call", UPDATE, *ids, "--set=Duration=20", "--dry-run", environ=alone)
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(IDS, "1001") | {"Duration": 20}
    listed = ("aliyun.start_record_task", *ids, "--set=TemplateId=1", "--set=SubSpecUsers=[1001]")
    assert 'SubSpecUsers[0]: is the number 1001; expected text, so write "1001" in quotes' in wrong(
        asked("call", *listed, "--set=ChannelId=1", environ=alone)
    )
