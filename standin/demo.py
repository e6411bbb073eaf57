"""What `reelhook demo` shows: all three vendors in one catalogue, within a minute, without any configuration.

1. An MNS stand-in with a queue and a Reelhook of its own start in a fresh folder, on free ports.
2. A scenario is played to it, callback by callback, and what the catalogue says is told as it changes.
3. The catalogue is compared with what it must hold; with --once, that is all.
4. The reader is told where to look. All of it goes on until Ctrl-C, and leaves nothing behind.
"""

from __future__ import annotations

import secrets
import shlex
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from standin.callbacks.callback import VENDORS, Counterpart
from standin.callbacks.checking import Api, settle
from standin.callbacks.errors import NotSent, NotStarted
from standin.callbacks.expected import expect
from standin.callbacks.faults import Arrival, Faults, arrivals, told
from standin.callbacks.scenario import Played, Post, play, shortened, status_of
from standin.callbacks.sending import Answer, HttpSender, QueuePlace, QueueSender
from standin.callbacks.world import World
from standin.children import running, said

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

_ACCOUNTS = {"volcengine": "classroom", "huawei": "clinic", "aliyun": "lessons"}
_QUEUE = "recordings"
_ACCESS_KEY = "demo"
_FAULTS = Faults(duplicate=0.15, reorder=0.1, bad_signature=0.1)
#: names of tasks, and hours that they are spread over
_TASKS = 6
_HOURS = 3.0
#: seconds between two looks at the catalogue
_LOOK = 1.0
_CONFIG = """\
# Made by `reelhook demo`; each secret is a file beside this one.
[accounts.classroom]
vendor = "volcengine"
callback_secrets = ["file:volcengine.secret"]

[accounts.clinic]
vendor = "huawei"
callback_secrets = ["file:huawei.secret"]

[accounts.lessons]
vendor = "aliyun"
url_tokens = ["file:aliyun.secret"]

[queues.lessons]
kind = "mns"
account = "lessons"
endpoint = "{endpoint}"
queue = "recordings"
access_key_id = "file:access-key-id.secret"
secret_access_key = "file:queue.secret"
wait_seconds = 1
"""


class _Stop(BaseException):
    """Somebody asks the demo to end."""


@dataclass(frozen=True, kw_only=True)
class House:
    """The folder of one demo, with its secrets."""

    folder: Path
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def build(cls, folder: Path) -> House:
        """Make the secrets; each is a file that its owner alone may read."""
        names = (*VENDORS, "queue", "api")
        made = {name: secrets.token_urlsafe(32) for name in names} | {"access-key-id": _ACCESS_KEY}
        for name, value in made.items():
            path = folder / f"{name}.secret"
            path.touch(mode=0o600)
            path.write_text(value)
        return cls(folder=folder, secrets=made)

    @property
    def environment(self) -> dict[str, str]:
        """What the demo's Reelhook, and any command about it, is told."""
        return {"REELHOOK_DATA": str(self.folder / "data"), "REELHOOK_CONFIG": str(self.folder / "reelhook.toml")}

    def counterparts(self) -> dict[str, Counterpart]:
        """Return the accounts as their vendors know them."""
        known = {}
        for vendor, account in _ACCOUNTS.items():
            key = "token" if vendor == "aliyun" else "secret"
            known[vendor] = Counterpart(vendor=vendor, account=account, **{key: self.secrets[vendor]})
        return known


def run(*, data: Path | None, seed: int, seconds: float, once: bool) -> int:
    """Show it; return the exit code: 0 where the catalogue was right, whoever ended it."""
    code = 0
    try:
        with ExitStack() as stack:
            stack.enter_context(_stoppable())
            folder = stack.enter_context(_folder(data))
            house = House.build(folder)
            endpoint, url = _start(stack, house)
            code = _show(house, endpoint, url, seed=seed, seconds=seconds)
            if not once:
                _point(house, url)
                click.echo("It all goes on until Ctrl-C.")
                while True:
                    time.sleep(3600)
            if data is not None:
                click.echo(f"What was received is still there: {_look(house)}")
    except _Stop:
        click.echo("Stopped.")
    return code


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end what is within; once, so that the end itself is not disturbed."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise _Stop

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    """Lend a folder: a fresh one that goes with us, or the one that was asked for, which stays."""
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
        if any(data.iterdir()):
            raise click.UsageError(f"--data {data} is not empty; expected a folder that is empty or not there yet")
        data.chmod(0o700)
        yield data.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="reelhook-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(stack: ExitStack, house: House) -> tuple[str, str]:
    """Start the programs; return the queue's endpoint and Reelhook's address."""
    click.echo(f"Starting an MNS stand-in and a Reelhook of its own in {house.folder} ...")
    log = house.folder / "mns.log"
    keys = ("--access-key-id", _ACCESS_KEY, "--access-key-secret", house.secrets["queue"])
    mns = stack.enter_context(running("standin", "mns", "--queue", _QUEUE, *keys, environ={}, log=log))
    endpoint = said(mns, log, r"(http://[0-9.:]+)\n")
    (house.folder / "reelhook.toml").write_text(_CONFIG.format(endpoint=endpoint))
    log = house.folder / "reelhook.log"
    environ = house.environment | {
        "PORT": "0",
        "REELHOOK_API_TOKENS": f"file:{house.folder}/api.secret",
        "REELHOOK_LOG": "text",
    }
    serve = stack.enter_context(running("serve", "--host", "127.0.0.1", environ=environ, log=log))
    url = said(serve, log, r"listen on (http://127\.0\.0\.1:[0-9]+)")
    _wait_for(url)
    click.echo(f"Reelhook listens on {url}, and polls the queue {_QUEUE} at {endpoint}.")
    return endpoint, url


def _wait_for(url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with closing(HttpSender(url)) as sender:
                if sender.get("/livez", {}).is_success:
                    return
        except NotSent:
            pass
        time.sleep(0.1)
    raise NotStarted(f"Reelhook does not answer at {url}")


class _Watch:
    """Tells what the catalogue says, where that has changed."""

    def __init__(self, api: Api, app_ids: Sequence[str]) -> None:
        self._api = api
        self._app_ids = app_ids
        self._before = ""
        self._due = 0.0

    def look(self, *, now: bool = False) -> None:
        if not now and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _LOOK
        there = self._api.catalogue(self._app_ids)
        states = [facts["state"] for facts in there.files.values()]
        runs = [facts["state"] for facts in there.runs.values()]
        line = (
            f"{len(runs)} tasks ({runs.count('running')} running), {len(states)} recordings "
            f"({states.count('available')} available), {len(there.slices)} segments"
        )
        if line != self._before:
            click.echo(f"    catalogue: {line}")
            self._before = line

    def sum_up(self) -> None:
        """Tell what there is of each vendor."""
        there = self._api.catalogue(self._app_ids)
        click.echo()
        for vendor in VENDORS:
            counts = [sum(name[0] == vendor for name in names) for names in (there.runs, there.files, there.slices)]
            click.echo(f"{vendor:<10}  {counts[0]} tasks, {counts[1]} recordings, {counts[2]} segments")


def _show(house: House, endpoint: str, url: str, *, seed: int, seconds: float) -> int:
    """Play the scenario and compare the catalogue with it; return 0 where it is right."""
    world = World(seed=seed, tasks=_TASKS, hours=_HOURS, ends_at=time.time_ns() // 1_000_000)
    ways = arrivals(world, house.counterparts(), _FAULTS)
    place = QueuePlace(
        endpoint=endpoint, queue=_QUEUE, access_key_id=_ACCESS_KEY, secret_access_key=house.secrets["queue"]
    )
    post = Post(http=HttpSender(url), queue=QueueSender(place))
    sender = HttpSender(url)
    api = Api(sender, house.secrets["api"])
    watch = _Watch(api, world.app_ids)

    def say(way: Arrival, answer: Answer | None) -> None:
        click.echo(_line(way, answer))
        watch.look()

    click.echo(f"\n{_HOURS:g} hours at {', '.join(VENDORS)} follow within {seconds:g} seconds.\n")
    with closing(post), closing(sender):
        played = play(ways, post, rate=len(ways) / seconds, say=say)
        differences = settle(api, expect(told(played.delivered)), world.app_ids, patience=60)
        watch.look(now=True)
        watch.sum_up()
    return _judge(played, differences)


def _line(way: Arrival, answer: Answer | None) -> str:
    task, door = way.notice.task, way.callback.door
    came = "lost on its way" if answer is None else f"{answer.status} {status_of(answer) or answer.body}"
    if answer is not None and door == "mns":
        came = "sent into the queue"
    if way.notice.forged and answer is not None:
        came = f"{answer.status} for it is forged"
    return f"{task.vendor:<10}  {door:<4}  {way.notice.word:<31}  {task.room_id}/{task.task_id}: {came}"


def _judge(played: Played, differences: Sequence[str]) -> int:
    click.echo(
        f"{played.sent} callbacks: {played.repeats} came again and changed nothing, "
        f"{played.refused} were forged and refused."
    )
    for problem in shortened([*played.problems, *differences]):
        click.echo(f"WRONG: {problem}", err=True)
    if played.problems or differences:
        return 1
    click.echo("The catalogue holds exactly what happened, from all three vendors and both doors.")
    return 0


def _point(house: House, url: str) -> None:
    """Say where to look."""
    bearer = shlex.quote(f"Authorization: Bearer {house.secrets['api']}")
    click.echo(
        f"""
Look at it:
  curl -H {bearer} {url}/api/v1/recordings
  {_look(house)}
  {url}/docs explains the API; docs/standin.md tells how to send callbacks of your own.
"""
    )


def _look(house: House) -> str:
    environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in house.environment.items())
    return f"{environment} {_program()} recordings list"


def _program() -> str:
    beside = Path(sys.executable).with_name("reelhook")
    return "reelhook" if shutil.which("reelhook") or not beside.exists() else str(beside)
