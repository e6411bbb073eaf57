"""`reelhook demo`: from nothing to three vendors in one catalogue, as a real process, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from program import request, wait_until
from terminal import PROGRAM, clean, typed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Demo:
    """One running demo, with a folder for temporary files, a home and a working folder of its own."""

    def __init__(self, place: Path, *arguments: str) -> None:
        self.place = place
        self.folders = {name: place / name for name in ("tmp", "home", "here")}
        for folder in self.folders.values():
            folder.mkdir(parents=True)
        self.output = place / "output"
        own = {"TMPDIR": str(self.folders["tmp"]), "HOME": str(self.folders["home"])}
        # What another Reelhook is told must not matter.
        other = {"PORT": "high", "DATABASE_URL": "nonsense", "REELHOOK_DATA": str(place / "other"), "REELHOOK_LOG": "?"}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*PROGRAM, "demo", *arguments],
                env=clean(other) | own,
                cwd=self.folders["here"],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def says(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> None:
        def is_told() -> bool:
            assert self.process.poll() is None or text in self.says(), self.says()
            return text in self.says()

        wait_until(is_told, patience=120, what=f"{text!r} of {self.says()[-3000:]}")

    def end(self) -> int:
        return self.process.wait(timeout=120)

    def left(self) -> list[str]:
        """Return what it has written that is still there."""
        return [str(path) for folder in self.folders.values() for path in folder.iterdir()]


def mentions(folder: Path) -> list[str]:
    """Return the command lines and environments of living processes that name the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in told and process.name != str(os.getpid()):
            found.append(told.decode(errors="replace")[:300])
    return found


@pytest.fixture
def demos() -> Iterator[list[Demo]]:
    started: list[Demo] = []
    yield started
    for demo in started:
        if demo.process.poll() is None:
            demo.process.terminate()
            demo.process.wait(timeout=60)


def test_two_demos_at_once_are_right_and_leave_nothing(tmp_path: Path, demos: list[Demo]) -> None:
    demos.extend(Demo(tmp_path / name, "--once", "--seconds", "6") for name in ("one", "two"))
    for demo in demos:
        assert demo.end() == 0, demo.says()
        said = demo.says()
        for vendor in ("volcengine", "huawei", "aliyun"):
            assert re.search(rf"^{vendor} +http .* 200 kept$", said, re.MULTILINE), said
            assert re.search(rf"^{vendor} +[1-9]\d* tasks, [1-9]\d* recordings", said, re.MULTILINE), said
        assert re.search(r"^aliyun +mns .* sent into the queue$", said, re.MULTILINE), said
        assert re.search(r"^    catalogue: [0-9]+ tasks", said, re.MULTILINE), said
        assert "200 repeat" in said
        assert "401 for it is forged" in said
        assert "The catalogue holds exactly what happened" in said
        assert not re.search("Look at it|curl|REELHOOK_DATA", said), "all of that is gone"
        assert demo.left() == []
        assert mentions(demo.place) == []


def test_where_it_says_to_look_there_is_the_catalogue_until_ctrl_c(tmp_path: Path, demos: list[Demo]) -> None:
    demo = Demo(tmp_path / "one", "--seconds", "2")
    demos.append(demo)
    demo.wait_for("It all goes on until Ctrl-C.")
    program, _, header, url = shlex.split(_line(demo, "curl -H"))
    name, _, value = header.partition(": ")
    items = json.loads(request("GET", url, headers={name: value}).body)["items"]
    assert {item["vendor"] for item in items} == {"volcengine", "huawei", "aliyun"}
    *settings, program, noun, verb = shlex.split(_line(demo, "REELHOOK_DATA="))
    assert Path(program).name == "reelhook"
    environ = dict(setting.split("=", 1) for setting in settings)
    done = typed(noun, verb, "--json", environ=environ, cwd=tmp_path)
    assert {item["id"] for item in json.loads(done.stdout)["items"]} == {item["id"] for item in items}
    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 0, demo.says()
    assert demo.says().endswith("Stopped.\n")
    assert demo.left() == []
    assert mentions(demo.place) == []


def _line(demo: Demo, begins: str) -> str:
    return next(line.strip() for line in demo.says().splitlines() if line.strip().startswith(begins))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_in_the_middle_ends_everything(
    tmp_path: Path, demos: list[Demo], ending: signal.Signals
) -> None:
    demo = Demo(tmp_path / "one", "--seconds", "60")
    demos.append(demo)
    demo.wait_for("200 kept")
    demo.process.send_signal(ending)
    assert demo.end() == 0, demo.says()
    assert "Traceback" not in demo.says()
    assert demo.left() == []
    assert mentions(demo.place) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux tells children of their parent's death")
def test_what_it_started_ends_with_it_even_if_it_is_killed(tmp_path: Path, demos: list[Demo]) -> None:
    demo = Demo(tmp_path / "one", "--seconds", "60", "--data", str(tmp_path / "kept"))
    demos.append(demo)
    demo.wait_for("200 kept")
    assert mentions(demo.place)
    demo.process.kill()
    demo.end()
    wait_until(lambda: mentions(demo.place) == [], what="the end of everything that it started")


def test_a_folder_of_ones_own_stays_and_holds_everything(tmp_path: Path, demos: list[Demo]) -> None:
    kept = tmp_path / "kept"
    demo = Demo(tmp_path / "one", "--once", "--seconds", "1", "--data", str(kept))
    demos.append(demo)
    assert demo.end() == 0, demo.says()
    assert demo.left() == []
    assert {path.name for path in kept.iterdir()} >= {"data", "reelhook.toml", "reelhook.log", "mns.log", "api.secret"}
    assert kept.stat().st_mode & 0o077 == 0
    assert (kept / "api.secret").stat().st_mode & 0o077 == 0
    again = typed("demo", "--once", "--data", str(kept), environ={})
    assert again.returncode == 2
    assert "is not empty" in again.stderr
