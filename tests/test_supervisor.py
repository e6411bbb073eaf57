"""Real processes under the supervisor: started, restarted, stopped, and never left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from webhook.supervisor import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

#: `python -c SUPERVISOR '{"name": [argv]}' '{settings}'`
SUPERVISOR = """
import json, sys
from webhook.logs import configure_logging
from webhook.supervisor import Backoff, Child, supervise
configure_logging("text")
settings = json.loads(sys.argv[2])
backoff = Backoff(**settings.pop("backoff", {}))
children = [Child(name=name, argv=argv, environment={"CHILD": name}) for name, argv in json.loads(sys.argv[1]).items()]
sys.exit(supervise(children, backoff=backoff, **settings))
"""
#: notes its process id in a file, then does what follows
NOTE = "import os, signal, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()} {time.monotonic()}\\n');"
OBEDIENT = NOTE + "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('ready', flush=True); time.sleep(60)"
SLOW_TO_STOP = NOTE + "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), print('finished'), sys.exit(0))); "
SLOW_TO_STOP += "print('ready', flush=True); time.sleep(60)"
STUBBORN = NOTE + "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


class Supervised:
    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.folder = folder

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def starts(self, name: str) -> list[tuple[int, float]]:
        """Return process id and moment of each start of a child."""
        note = self.folder / name
        lines = note.read_text().splitlines() if note.exists() else []
        return [(int(pid), float(moment)) for pid, moment in (line.split() for line in lines)]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def supervised(folder: Path, children: Mapping[str, str], **settings: object) -> Iterator[Supervised]:
    """Run children, given as Python programs by name."""
    commands: dict[str, Sequence[str]] = {
        name: [sys.executable, "-c", program, str(folder / name)] for name, program in children.items()
    }
    command = [sys.executable, "-c", SUPERVISOR, json.dumps(commands), json.dumps(settings)]
    root = Path(__file__).parent.parent
    with (folder / "log").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=root, start_new_session=True)
        try:
            yield Supervised(process, folder)
        finally:
            # Its session is its own, so that this ends whatever a failing test has left of it.
            for number in (signal.SIGTERM, signal.SIGKILL):
                if process.poll() is None:
                    os.killpg(process.pid, number)
                    time.sleep(0.2)
            process.wait()


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_children_in_order_and_the_status_is_0(tmp_path: Path, number: signal.Signals) -> None:
    with supervised(tmp_path, {"web": OBEDIENT, "worker": SLOW_TO_STOP}) as run:
        eventually(lambda: run.log().count("ready") == 2)
        assert run.stop(number) == 0
        assert "finished" in run.log()
        assert not [pid for name in ("web", "worker") for pid, _ in run.starts(name) if alive(pid)]


def test_children_share_our_group_our_output_and_get_their_environment(tmp_path: Path) -> None:
    # One write each: unbuffered prints of two children would run into one another.
    program = "import os, time; os.write(1, f'{os.environ[\"CHILD\"]} {os.getpgrp()}\\n'.encode()); time.sleep(60)"
    with supervised(tmp_path, {"web": program, "worker": program}) as run:
        eventually(lambda: f"web {run.process.pid}\n" in run.log() and f"worker {run.process.pid}\n" in run.log())


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_kill_9_of_the_supervisor_ends_its_children(tmp_path: Path) -> None:
    with supervised(tmp_path, {"web": OBEDIENT, "worker": "import time; time.sleep(60)", "poller": OBEDIENT}) as run:
        eventually(lambda: run.log().count("ready") == 2)
        pids = [int(pid) for pid in re.findall(r"started as process (\d+)", run.log())]
        assert len(pids) == 3
        assert all(alive(pid) for pid in pids)
        run.process.kill()
        run.process.wait()
        eventually(lambda: not any(alive(pid) for pid in pids))


def test_a_child_that_ends_is_started_again_later_and_later_and_the_others_stay(tmp_path: Path) -> None:
    backoff = {"first": 0.1, "longest": 0.4, "settled": 60}
    with supervised(tmp_path, {"web": OBEDIENT, "worker": NOTE + "sys.exit(1)"}, backoff=backoff) as run:
        eventually(lambda: len(run.starts("worker")) >= 6)
        pauses = [float(text) for text in re.findall(r"starting it again in ([\d.]+) s", run.log())]
        assert pauses[:5] == [0.1, 0.2, 0.4, 0.4, 0.4]
        moments = [moment for _, moment in run.starts("worker")]
        assert moments[5] - moments[0] >= 1.5
        assert len(run.starts("web")) == 1
        assert run.stop() == 0


def test_a_child_that_was_killed_is_started_again(tmp_path: Path) -> None:
    with supervised(tmp_path, {"web": OBEDIENT}, backoff={"first": 0.05}) as run:
        eventually(lambda: "ready" in run.log())
        os.kill(run.starts("web")[0][0], signal.SIGKILL)
        eventually(lambda: run.log().count("ready") == 2)
        assert "was ended by SIGKILL" in run.log()
        assert run.stop() == 0


def test_after_living_for_a_while_a_child_is_started_again_at_once(tmp_path: Path) -> None:
    backoff = {"first": 0.1, "longest": 30, "settled": 0.2}
    with supervised(tmp_path, {"web": NOTE + "time.sleep(0.4)"}, backoff=backoff) as run:
        eventually(lambda: len(run.starts("web")) >= 4)
        assert set(re.findall(r"starting it again in ([\d.]+) s", run.log())) == {"0.1"}


def test_a_child_that_says_wrong_usage_ends_everything_with_status_2(tmp_path: Path) -> None:
    with supervised(tmp_path, {"web": OBEDIENT, "worker": NOTE + "time.sleep(0.5); sys.exit(2)"}) as run:
        assert run.process.wait(30) == 2
        assert len(run.starts("worker")) == 1
        assert not alive(run.starts("web")[0][0])
        assert "worker can't run with these settings" in run.log()


def test_wrong_settings_end_nothing_once_the_child_was_well(tmp_path: Path) -> None:
    # Well at first; its settings are refused at the second and third start, and mended before the fourth.
    program = NOTE + "lives = len(open(sys.argv[1]).readlines());"
    program += "time.sleep(0.6 if lives == 1 else 60 if lives == 4 else 0); sys.exit(1 if lives == 1 else 2)"
    backoff = {"first": 0.1, "longest": 0.2, "settled": 0.5}
    with supervised(tmp_path, {"web": OBEDIENT, "worker": program}, backoff=backoff) as run:
        eventually(lambda: len(run.starts("worker")) == 4)
        assert run.log().count("ended with status 2: the settings are refused now") == 2
        assert len(run.starts("web")) == 1
        assert alive(run.starts("web")[0][0])
        assert run.stop() == 0


def test_a_signal_during_back_off_ends_it_without_another_start(tmp_path: Path) -> None:
    with supervised(tmp_path, {"web": NOTE + "sys.exit(1)"}, backoff={"first": 600, "longest": 600}) as run:
        eventually(lambda: "starting it again" in run.log())
        assert run.stop() == 0
        assert len(run.starts("web")) == 1


def test_a_child_that_does_not_stop_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    with supervised(tmp_path, {"web": STUBBORN, "worker": OBEDIENT}, grace=0.5) as run:
        eventually(lambda: run.log().count("ready") == 2)
        assert run.stop() == 1
        assert not alive(run.starts("web")[0][0])
        assert "web (process" in run.log()
        assert "did not end within 0.5 s" in run.log()


def test_a_program_that_is_not_there_is_tried_again_and_said_so() -> None:
    command = [sys.executable, "-c", SUPERVISOR, json.dumps({"web": ["/no/such/program"]}), "{}"]
    root = Path(__file__).parent.parent
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=root, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
        assert process.wait(30) == 0
    assert "web could not be started" in line
    assert "/no/such/program" in line


def test_the_pause_doubles_up_to_its_longest_for_ever() -> None:
    pauses = [Backoff().pause(failures) for failures in range(1, 9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert Backoff().pause(10_000) == 30
