"""celery.send with real brokers and a real worker process, python.call with a real package."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from program import wait_until
from receivers import ACTION, handover

from handlers.destinations import OPERATIONS, Means, hand_over, unfit_for
from handlers.secrets import Secret
from handlers.settings import CeleryDestination, PythonDestination, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.operation import Outcome

# By its name: what kombu exports has no types.
kombu: Any = importlib.import_module("kombu")

BROKERS = {
    "rabbitmq": os.environ.get("REELHOOK_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//"),
    "redis": os.environ.get("REELHOOK_TEST_REDIS", "redis://127.0.0.1:6379/9"),
}
HUSH = "hush-hush-password"


@pytest.fixture
def means() -> Iterator[Means]:
    made = Means()
    yield made
    made.close()


# --- Celery ----------------------------------------------------------------------------------------------------------


def _answers(url: str) -> bool:
    try:
        with kombu.Connection(url, connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
    except (OSError, kombu.exceptions.OperationalError):
        return False
    return True


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> str:
    url = BROKERS[request.param]
    if not _answers(url):
        pytest.skip(f"no {request.param} answers; set REELHOOK_TEST_{request.param.upper()} to the URL of one")
    return url


@pytest.fixture
def queue(broker: str) -> Iterator[str]:
    """Return the name of a queue of this test's own, and delete it afterwards."""
    name = f"reelhook-test-{uuid.uuid4().hex[:12]}"
    yield name
    with kombu.Connection(broker) as connection:
        connection.default_channel.queue_delete(name)


TASKS = """
import json, os
from celery import Celery

app = Celery("theirs", broker=os.environ["BROKER"])
app.conf.worker_enable_remote_control = False

@app.task(name="lessons.caption", bind=True)
def caption(self, *args, **kwargs):
    with open(os.environ["GOT"], "a") as got:
        got.write(json.dumps({"id": self.request.id, "args": args, "kwargs": kwargs}) + "\\n")
"""


@pytest.fixture
def worker(broker: str, queue: str, tmp_path: Path) -> Iterator[Path]:
    """Run the user's own worker on the queue; return the file that its task writes to."""
    (tmp_path / "theirs.py").write_text(TASKS)
    got = tmp_path / "got.jsonl"
    got.touch()
    options = ["worker", "--pool=solo", f"--queues={queue}", "--without-gossip", "--without-mingle"]
    command = [sys.executable, "-m", "celery", "-A", "theirs", *options, "--without-heartbeat", "--loglevel=warning"]
    environ = {**os.environ, "BROKER": broker, "GOT": str(got)}
    log = (tmp_path / "worker.log").open("w")
    process = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=log, stderr=subprocess.STDOUT)
    yield got
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    log.close()


def lines_of(file: Path, count: int) -> list[Any]:
    """Wait until the file has this many lines, and return them."""
    until = time.monotonic() + 60
    while len(lines := file.read_text().splitlines()) < count and time.monotonic() < until:
        time.sleep(0.1)
    return [json.loads(line) for line in lines]


def test_destinations_of_celery_and_python_are_read_from_the_settings(tmp_path: Path) -> None:
    (tmp_path / "reelhook.toml").write_text(
        '[destinations.tasks]\nkind = "celery"\nbroker = "env:BROKER"\n'
        '[destinations.own]\nkind = "python"\nentry_point = "thumbnails"\ntimeout = "1m"\n'
    )
    environ = {"BROKER": BROKERS["redis"], "REELHOOK_DATA": str(tmp_path)}
    environ["REELHOOK_CONFIG"] = str(tmp_path / "reelhook.toml")
    tasks, own = load(environ, vendors=["aliyun"], create=False).destinations.values()
    assert isinstance(tasks, CeleryDestination)
    assert (tasks.broker.reveal(), tasks.queue, tasks.task) == (BROKERS["redis"], "celery", None)
    assert isinstance(own, PythonDestination)
    assert (own.entry_point, own.timeout) == ("thumbnails", 60_000)


def celery(broker: str, **told: Any) -> CeleryDestination:
    usual: dict[str, Any] = {
        "name": "tasks",
        "kind": "celery",
        "broker": Secret.literal(broker),
        "task": "lessons.caption",
    }
    return CeleryDestination(**{**usual, "timeout": 3_000, **told})


def declare(broker: str, queue: str, **arguments: Any) -> None:
    with kombu.Connection(broker) as connection:
        kombu.Queue(queue, durable=True, queue_arguments=arguments, channel=connection.default_channel).queue_declare()


def test_a_task_arrives_in_a_real_worker_by_its_name_with_the_actions_id(
    means: Means, broker: str, queue: str, worker: Path
) -> None:
    deadline = time.monotonic() + 60
    target = celery(broker, queue=queue)
    while (outcome := hand_over("celery.send", handover(), target, means)).verdict == "again":
        assert time.monotonic() < deadline, outcome  # until the worker has made its queue
        time.sleep(0.3)
    told = handover(parameters={"to": "tasks", "args": ["课", 2**53 + 1], "kwargs": {"deep": {"a": None}}})
    assert hand_over("celery.send", told, target, means).verdict == "done"
    first, second = lines_of(worker, 2)
    assert (first["id"], first["args"], list(first["kwargs"])) == (ACTION, [], ["event"])
    assert first["kwargs"]["event"]["data"]["recording"]["key"] == "课/é.m3u8"
    assert second == {"id": ACTION, "args": ["课", 2**53 + 1], "kwargs": {"deep": {"a": None}}}


def test_a_queue_that_its_owner_made_in_his_own_way_is_taken_as_it_is(means: Means, broker: str, queue: str) -> None:
    declare(broker, queue, **{"x-max-priority": 5})
    assert hand_over("celery.send", handover(), celery(broker, queue=queue), means).verdict == "done"
    assert hand_over("celery.send", handover(), celery(broker, queue=queue), means).verdict == "done"
    with (
        kombu.Connection(broker) as connection,
        connection.SimpleQueue(kombu.Queue(queue, queue_arguments={"x-max-priority": 5}, no_declare=True)) as reading,
    ):
        message = reading.get(timeout=5)
        message.ack()
    assert (message.headers["task"], message.headers["id"]) == ("lessons.caption", ACTION)


def test_a_task_is_not_lost_in_a_queue_that_rabbitmq_does_not_have(means: Means) -> None:
    url = BROKERS["rabbitmq"]
    if not _answers(url):
        pytest.skip("no RabbitMQ answers")
    outcome = hand_over("celery.send", handover(), celery(url, queue="reelhook-test-none"), means)
    assert (outcome.verdict, outcome.code, outcome.is_unclear) == ("again", "404", False)
    assert "start a worker of that queue" in outcome.meaning


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_broker_that_is_away_is_tried_again_and_its_password_not_shown(means: Means, scheme: str) -> None:
    url = f"{scheme}://user-{HUSH}:{HUSH}@127.0.0.1:1/0"
    outcome = hand_over("celery.send", handover(), celery(url, queue="x"), means)
    assert outcome.verdict == "again"
    assert HUSH not in repr(outcome)
    assert HUSH not in repr(celery(url))


def test_a_wrong_password_is_tried_again_and_not_shown(means: Means) -> None:
    url = BROKERS["rabbitmq"].replace("guest:guest", f"guest:{HUSH}")
    if not _answers(BROKERS["rabbitmq"]):
        pytest.skip("no RabbitMQ answers")
    outcome = hand_over("celery.send", handover(), celery(url, queue="x"), means)
    assert (outcome.verdict, outcome.is_unclear) == ("again", False)
    assert HUSH not in repr(outcome)


def test_a_broker_address_that_is_none_is_told_without_quoting_it(means: Means) -> None:
    outcome = hand_over("celery.send", handover(), celery(f"nonsense-{HUSH}://x"), means)
    assert outcome.verdict == "again"
    assert HUSH not in repr(outcome)


def test_a_destination_without_a_task_needs_one_from_the_rule(means: Means) -> None:
    outcome = hand_over("celery.send", handover(), celery("memory://", task=None), means)
    assert (outcome.verdict, "[destinations.tasks]: task" in outcome.detail) == ("again", True)


def test_without_celery_installed_the_message_says_how_to_install_it(tmp_path: Path) -> None:
    program = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'celery' else find(name, *more)\n"
        "from handlers.destinations import OPERATIONS\n"
        "assert not {'celery', 'kombu'} & set(sys.modules), 'imported although no destination asks for it'\n"
        "print(OPERATIONS['celery.send'].missing(None))\n"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout == (
        "celery.send needs Celery, which is not installed; install it with: pip install 'reelhook[celery]'\n"
    )


# --- a function of the user's own ------------------------------------------------------------------------------------

PACKAGE = """
import os, subprocess, time
from handlers.destinations.called import GiveUp, TryAgain

calls = 0

def answer(event, factor=1):
    global calls
    calls += 1
    print("this goes to the log, not to Reelhook")
    return {"id": event["id"], "key": event["data"]["recording"]["key"], "factor": factor, "calls": calls,
            "process": os.getpid()}

def nothing(event): return None
def gives_up(event): raise GiveUp("there is no such lesson")
def tries_again(event): raise TryAgain("the disk is full", after=90)
def fails(event): return 1 / 0
def hangs(event):
    folder = os.path.dirname(__file__)
    with open(os.path.join(folder, "pid"), "w") as file:
        file.write(str(os.getpid()))
    os.rename(os.path.join(folder, "pid"), os.path.join(folder, "hangs"))
    time.sleep(600)

def starts(event, ends=False):
    folder = os.path.dirname(__file__)
    program = subprocess.Popen(["sleep", "600"])
    with open(os.path.join(folder, "pid"), "w") as file:
        file.write(str(program.pid))
    os.rename(os.path.join(folder, "pid"), os.path.join(folder, "starts"))
    if ends:
        os.kill(os.getpid(), 9)
    program.wait()

def dies(event): os.kill(os.getpid(), 9)
def leaves(event): raise SystemExit(3)
def talks(event): return "x" * 100_000
"""
NAMES = ("answer", "nothing", "gives_up", "tries_again", "fails", "hangs", "starts", "dies", "leaves", "talks")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a package with entry points where Python finds packages, as pip does."""
    info = tmp_path / "lessons-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lessons\nVersion: 1.0\n")
    entries = [f"{name} = lessons:{name}" for name in NAMES]
    (info / "entry_points.txt").write_text("\n".join(["[reelhook.calls]", *entries, "gone = lessons:gone", ""]))
    (tmp_path / "lessons.py").write_text(PACKAGE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return tmp_path


def call(means: Means, name: str, **told: Any) -> Outcome:
    parameters = {"to": "own", **({"arguments": told.pop("arguments")} if "arguments" in told else {})}
    usual: dict[str, Any] = {"name": f"own-{name}", "kind": "python", "entry_point": name, "timeout": 20_000}
    return hand_over("python.call", handover(parameters=parameters), PythonDestination(**{**usual, **told}), means)


@pytest.mark.usefixtures("package")
def test_a_function_of_an_installed_package_gets_the_change_and_its_answer_is_kept(means: Means) -> None:
    outcome = call(means, "answer", arguments={"factor": 3})
    assert outcome.verdict == "done"
    for part in (f"'id': '{ACTION}'", "'key': '课/é.m3u8'", "'factor': 3", "'calls': 1"):
        assert part in outcome.detail
    again = call(means, "answer")
    assert "'calls': 2" in again.detail, "the process stays from one call to the next"
    assert f"'process': {os.getpid()}" not in again.detail


@pytest.mark.usefixtures("package")
def test_what_a_function_raises_is_given_up_or_tried_again(means: Means) -> None:
    given_up, again, failed = (call(means, name) for name in ("gives_up", "tries_again", "fails"))
    assert (given_up.verdict, given_up.detail) == ("give_up", "there is no such lesson")
    assert (again.verdict, again.detail, again.after_ms) == ("again", "the disk is full", 90_000)
    assert (failed.verdict, failed.code, failed.detail) == (
        "again",
        "ZeroDivisionError",
        "ZeroDivisionError: division by zero",
    )


@pytest.mark.usefixtures("package")
def test_a_function_that_takes_too_long_is_ended_and_unclear(means: Means) -> None:
    begun = time.monotonic()
    outcome = call(means, "hangs", timeout=1_500)
    assert time.monotonic() - begun < 60
    assert (outcome.verdict, outcome.is_unclear) == ("again", True)
    assert "did not end within 1500 ms" in outcome.detail
    assert not _children("hangs")


@pytest.mark.parametrize("arguments", [{}, {"ends": True}], ids=["too long", "crashed"])
def test_what_a_function_has_started_ends_with_it(means: Means, package: Path, arguments: dict[str, bool]) -> None:
    outcome = call(means, "starts", timeout=3_000, arguments=arguments)
    assert (outcome.verdict, outcome.is_unclear) == ("again", True)
    wait_until(lambda: _has_ended(int((package / "starts").read_text())))


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("name", "how"), [("dies", "by signal 9"), ("leaves", "with code 3")])
def test_a_function_that_takes_its_process_with_it_takes_nobody_else(means: Means, name: str, how: str) -> None:
    for _ in range(2):
        outcome = call(means, name)
        assert (outcome.verdict, outcome.is_unclear) == ("again", True)
        assert how in outcome.detail


@pytest.mark.usefixtures("package")
def test_an_answer_of_nothing_or_of_too_much_is_done(means: Means) -> None:
    assert (call(means, "nothing").verdict, call(means, "nothing").detail) == ("done", "")
    long = call(means, "talks")
    assert (long.verdict, len(long.detail)) == ("done", 1000)


@pytest.mark.usefixtures("package")
def test_an_entry_point_that_leads_nowhere_is_told(means: Means) -> None:
    outcome = call(means, "gone")
    assert (outcome.verdict, outcome.code) == ("again", "AttributeError")


@pytest.mark.usefixtures("package")
def test_a_name_that_no_package_registers_is_tried_again_and_told_with_those_that_are(means: Means) -> None:
    target = PythonDestination(name="own", kind="python", entry_point="anwser")
    outcome = hand_over("python.call", handover(), target, means)
    assert (outcome.verdict, outcome.is_unclear) == ("again", False), "another machine may have it"
    said = OPERATIONS["python.call"].missing(target)
    assert said is not None
    assert "did you mean answer?" in said
    assert list(unfit_for("python.call", target, ())) == [(False, said)]
    assert "tries_again" in said


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", ["hangs", "starts"])
def test_a_function_ends_with_the_worker_that_is_killed_and_what_it_started(tmp_path: Path, name: str) -> None:
    tests = Path(__file__).parent
    program = (
        "import sys\n"
        "from receivers import handover\n"
        "from handlers.destinations import Means, hand_over\n"
        "from handlers.settings import PythonDestination\n"
        "own = PythonDestination(name='own', kind='python', entry_point=sys.argv[1], timeout=600_000)\n"
        "hand_over('python.call', handover(), own, Means())\n"
    )
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{tests}"}
    worker = subprocess.Popen([sys.executable, "-c", program, name], env=environ)
    try:
        wait_until((tmp_path / name).exists)
        called = int((tmp_path / name).read_text())
    finally:
        worker.kill()
        worker.wait()
    wait_until(lambda: _has_ended(called))


@pytest.mark.usefixtures("package")
def test_no_process_stays_once_the_means_are_closed(means: Means) -> None:
    call(means, "nothing")
    assert _children("nothing")
    means.close()
    assert not _children("nothing")


def _has_ended(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def _children(name: str) -> list[str]:
    """Return the command lines of this process's children that call a function."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (one / "stat").read_text().rpartition(")")[2].split()[1]
            line = (one / "cmdline").read_text().split("\0")
            if parent == str(os.getpid()) and name in line:
                found.append(" ".join(line))
    return found
