"""A full disk: callbacks get 503 with Retry-After, or the spool's disk takes over; what got 200 is there afterwards."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from callbacks import file_created
from conftest import API_TOKEN, TOKEN
from crowd import Crowd, Ledger
from program import Answer, Program, running, wait_until
from program import request as ask

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOOR = f"/callbacks/aliyun/lessons?token={quote(TOKEN)}"
_MOUNT = 'mount -t tmpfs -o size=8m,mode=0700 tmpfs "$1" && shift && exec "$@"'


def _with_a_disk(folder: Path) -> tuple[str, ...]:
    """Return what a command is given to, so that it has a small disk of its own mounted on the folder."""
    return ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _MOUNT, "sh", str(folder))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return the folder on which a process may have a small disk; skip where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir(mode=0o700)
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare(1) to mount a small disk with")
    tried = subprocess.run([*_with_a_disk(folder), "true"], check=False, capture_output=True, timeout=20)
    if tried.returncode != 0:
        pytest.skip(f"no user namespaces with mounts of their own here: {tried.stderr.decode().strip()}")
    return folder


class _Disk:
    """The small disk, seen from outside of the namespace that has it."""

    def __init__(self, program: Program, folder: Path) -> None:
        assert program.process is not None
        self._folder = Path(f"/proc/{program.process.pid}/root{folder}")

    def fill(self) -> None:
        """Leave not one free byte."""
        with (self._folder / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(b"x" * 4_096)
        assert shutil.disk_usage(self._folder).free == 0

    def free(self) -> None:
        """Make room."""
        (self._folder / "ballast").unlink()


@contextmanager
def _running_on(folder: Path, environ: dict[str, str], log: Path) -> Iterator[tuple[Program, _Disk]]:
    """Run `reelhook serve` with the small disk mounted."""
    with running(environ, "serve", log=log, within=_with_a_disk(folder)) as program:
        program.ready()
        yield program, _Disk(program, folder)
    assert log.read_text().count("started as process") == 2, "a process ended while the disk was full"


def _post(program: Program, ledger: Ledger) -> Answer:
    """Post a callback and write down the answer."""
    body = ledger.new_body()
    answer = ask("POST", program.url + _DOOR, body)
    ledger.answer(body, answer.status, dict(answer.headers), answer.body, 0.0)
    return answer


def _assert_all_there(program: Program, ledger: Ledger) -> None:
    """Ask the API for each answered delivery, and for its recording."""
    authorized = {"Authorization": f"Bearer {API_TOKEN}"}
    ready = f"{program.url}/readyz"
    wait_until(lambda: ask("GET", ready).json()["spool"]["waiting"] == 0, what="a spool that drains")
    for delivery, body in ledger.answered.items():
        answer = ask("GET", f"{program.url}/api/v1/deliveries/{delivery}", headers=authorized)
        assert answer.status == 200, f"{delivery} was answered and is not there: {answer.body!r}"
        assert answer.json()["body"] == body.decode()
    wait_until(lambda: ask("GET", ready).json()["inbox"]["waiting"] == 0, what="an inbox without work")


def test_a_full_disk_gives_503_loses_nothing_that_got_200_and_recovers_by_itself(
    environ_on_sqlite: dict[str, str], disk: Path, tmp_path: Path
) -> None:
    ledger = Ledger()
    environ = environ_on_sqlite | {"REELHOOK_DATA": str(disk), "DATABASE_URL": f"sqlite:///{disk}/reelhook.db"}
    with _running_on(disk, environ, tmp_path / "log") as (program, small):
        for _ in range(20):
            assert _post(program, ledger).status == 200
        small.fill()
        with Crowd(program.port, _DOOR, ledger, clients=8, pause=0.02):
            wait_until(lambda: len(ledger.refused) >= 40, what="refusals on a full disk")
        turned_away = file_created()
        assert ask("POST", program.url + _DOOR, turned_away).status == 503
        assert ask("GET", f"{program.url}/livez").status == 200
        small.free()
        wait_until(lambda: _post(program, ledger).status == 200, what="a kept callback after room was made")
        probe = file_created()
        wait_until(  # what the spool takes first is no repeat of what it holds: the database has to be back
            lambda: ask("POST", program.url + _DOOR, probe).json()["status"] == "repeat", what="the database's answers"
        )
        again = [ask("POST", program.url + _DOOR, turned_away).json()["status"] for _ in range(2)]
        assert again == ["kept", "repeat"], "what got 503 was never there"
        for _ in range(20):
            assert _post(program, ledger).status == 200
        _assert_all_there(program, ledger)
    assert not ledger.unanswered
    for status, headers, content in ledger.refused:
        assert status == 503
        assert int(headers["Retry-After"]) > 0
        assert headers["Content-Type"] == "application/problem+json"
        assert b"not kept" in content


def test_a_spool_on_another_disk_takes_over_while_the_databases_disk_is_full(
    environ_on_sqlite: dict[str, str], disk: Path, tmp_path: Path
) -> None:
    ledger = Ledger()
    environ = environ_on_sqlite | {"DATABASE_URL": f"sqlite:///{disk}/reelhook.db"}
    with _running_on(disk, environ, tmp_path / "log") as (program, small):

        def spooled() -> int:
            return int(ask("GET", f"{program.url}/readyz").json()["spool"]["waiting"])

        for _ in range(20):
            assert _post(program, ledger).status == 200
        small.fill()
        with Crowd(program.port, _DOOR, ledger, clients=8, pause=0.02):
            wait_until(lambda: spooled() > 100, what="a spool that fills")
        small.free()
        wait_until(lambda: spooled() == 0, what="a spool that drains")
        assert _post(program, ledger).status == 200
        _assert_all_there(program, ledger)
    assert not ledger.unanswered
    assert not ledger.refused
    assert ledger.slowest < 3.0


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_full_data_folder_costs_no_callback_while_there_is_another_place_for_it(
    engine: str, environ_on_sqlite: dict[str, str], disk: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Full before the first callback: nothing that comes with it, such as the figures' files, has its room yet."""
    ledger = Ledger()
    environ = environ_on_sqlite | {"REELHOOK_DATA": str(disk)}
    if engine == "sqlite":
        environ |= {"DATABASE_URL": f"sqlite:///{disk}/reelhook.db", "REELHOOK_SPOOL": f"{tmp_path}/spool.db"}
    else:
        environ |= {"DATABASE_URL": str(request.getfixturevalue("postgres_url")), "WEB_CONCURRENCY": "2"}
    with _running_on(disk, environ, tmp_path / "log") as (program, small):
        small.fill()
        for _ in range(20):
            assert _post(program, ledger).status == 200
        small.free()
        _assert_all_there(program, ledger)


@pytest.fixture
def environ_on_sqlite(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a Reelhook with one account; each test says what lies on the small disk."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    config = tmp_path / "reelhook.toml"
    config.write_text('[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN"]\n')
    return {
        "REELHOOK_DATA": str(data),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
    }
