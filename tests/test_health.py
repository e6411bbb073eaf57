"""Health, figures and logs: right with several web processes, and wherever the workers run."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from callbacks import file_created
from conftest import API_TOKEN, TOKEN, new_database
from program import Answer, Program, request, running, wait_until
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

OLD_TOKEN = "an-old-token-for-lessons-9876543210"
#: one account for each test, so that all can share the servers
ACCOUNTS = ("counted", "worked", "aged", "rotated", "followed", "lost")
_CONFIG = "".join(
    f'[accounts.{name}]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN", "env:LESSONS_OLD"]\n'
    for name in ACCOUNTS
)


@dataclass
class Machines:
    """One PostgreSQL database, and any number of machines, each with a data folder of its own."""

    database_url: str
    folder: Path

    def run(self, machine: str, *arguments: str, config_text: str = _CONFIG) -> AbstractContextManager[Program]:
        config = self.folder / f"{machine}.toml"
        config.write_text(config_text)
        environ = {
            "DATABASE_URL": self.database_url,
            "REELHOOK_DATA": str(self.folder / machine),
            "REELHOOK_CONFIG": str(config),
            "REELHOOK_API_TOKENS": API_TOKEN,
            "LESSONS_TOKEN": TOKEN,
            "LESSONS_OLD": OLD_TOKEN,
            "WEB_CONCURRENCY": "2",
        }
        return running(environ, *arguments, log=self.folder / f"{machine}.log")


@pytest.fixture(scope="module")
def machines(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with new_database(postgres_server) as url:
        yield Machines(url, tmp_path_factory.mktemp("machines"))


@pytest.fixture(scope="module")
def web(machines: Machines) -> Iterator[Program]:
    with machines.run("web", "web") as program:
        program.ready()
        yield program


@dataclass
class Figures:
    """What /metrics shows, by name and labels."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def get(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, frozenset(labels.items())))

    def value(self, name: str, **labels: str) -> float:
        """Return a figure that counts from 0, whether it has begun to or not."""
        return self.get(name, **labels) or 0.0


def figures(program: Program) -> Figures:
    text = request("GET", f"{program.url}/metrics").body.decode()
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples), "no figure stands there twice"
    return Figures(found)


def post(program: Program, account: str, body: bytes, token: str = TOKEN) -> Answer:
    return request("POST", f"{program.url}/callbacks/aliyun/{account}?token={token}", body)


def ready(program: Program) -> dict[str, Any]:
    return dict(request("GET", f"{program.url}/readyz").json())


def lines(log: Path) -> list[dict[str, Any]]:
    """Return the log's lines, each of which must be JSON."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_the_figures_of_two_web_processes_are_one_and_outlive_either(machines: Machines, web: Program) -> None:
    before = figures(web)
    for number in range(40):
        assert post(web, "counted", file_created(number)).status == 200
    for number in range(10):
        assert post(web, "counted", file_created(number)).json()["status"] == "repeat"
    for number in range(7):
        assert post(web, "counted", f"garbage {number}".encode()).json()["status"] == "quarantined"
    for _ in range(5):
        assert post(web, "counted", b"{}", token="wrong").status == 401
    assert request("POST", f"{web.url}/callbacks/aliyun/nobody", b"{}").status == 404

    def check() -> None:
        shown = figures(web)
        assert shown.get("reelhook_deliveries_accepted_total", vendor="aliyun", account="counted") == 47
        assert shown.get("reelhook_deliveries_repeated_total", vendor="aliyun", account="counted") == 10
        assert shown.get("reelhook_deliveries_quarantined_at_door_total", vendor="aliyun", account="counted") == 7
        assert (
            shown.get("reelhook_deliveries_refused_total", vendor="aliyun", account="counted", reason="bad_token") == 5
        )
        unknown = {"vendor": "", "account": "", "reason": "unknown_account"}
        assert shown.get("reelhook_deliveries_refused_total", **unknown) == 1
        for name, more in (("reelhook_inbox_waiting", 40), ("reelhook_inbox_quarantined", 7)):
            assert shown.value(name) - before.value(name) == more
        assert shown.get("reelhook_database_up") == 1
        assert shown.get("reelhook_spool_up") == 1
        assert shown.get("reelhook_spool_waiting") == 0

    for _ in range(6):  # whichever process answers
        check()
    started = _started(machines)
    os.kill(started[-1], signal.SIGKILL)
    wait_until(lambda: len(_started(machines)) > len(started), what="its successor")
    wait_until(lambda: _answers(web), what="an answer")
    check()


def _started(machines: Machines) -> list[int]:
    events = [line["event"] for line in lines(machines.folder / "web.log")]
    return [int(event.rsplit(" ", 1)[-1]) for event in events if "Booting worker" in event]


def _answers(program: Program) -> bool:
    try:
        return request("GET", f"{program.url}/livez", patience=2).status == 200
    except OSError:
        return False


def test_the_workers_figures_are_shown_by_a_web_process_on_another_machine(machines: Machines, web: Program) -> None:
    before = figures(web)
    others = int(before.value("reelhook_inbox_waiting"))  # of the tests before this one: every one a recording
    for number in range(20):
        body = file_created(number, Event="FileCreated" if number % 4 else "Novelty")
        assert post(web, "worked", body).status == 200
    with machines.run("of-the-figures", "work") as worker:
        wait_until(
            lambda: figures(web).value("reelhook_deliveries_processed_total", vendor="aliyun", account="worked") == 20
        )
        assert worker.stop() == 0
    shown = figures(web)
    for name, labels, more in (
        ("reelhook_events_total", {"kind": "recording.available"}, 15 + others),
        ("reelhook_events_total", {"kind": "unknown"}, 5),
        ("reelhook_ack_to_catalogue_seconds_count", {}, 20 + others),
    ):
        assert shown.value(name, **labels) - before.value(name, **labels) == more
    assert shown.get("reelhook_inbox_waiting") == 0
    assert shown.get("reelhook_inbox_oldest_waiting_seconds") == 0
    classes = [
        (float(dict(labels)["le"]), value)
        for (name, labels), value in shown.samples.items()
        if name == "reelhook_ack_to_catalogue_seconds_bucket"
    ]
    counts = [value for _, value in sorted(classes)]
    assert len(counts) > 5
    assert counts == sorted(counts)
    assert counts[-1] == shown.value("reelhook_ack_to_catalogue_seconds_count")
    assert shown.value("reelhook_ack_to_catalogue_seconds_sum") > 0
    # A repeat comes to no worker, and so changes none of its figures.
    post(web, "worked", file_created(1))
    assert figures(web).value("reelhook_deliveries_processed_total", vendor="aliyun", account="worked") == 20


def test_the_age_of_the_oldest_waiting_delivery_grows_while_nobody_works(machines: Machines, web: Program) -> None:
    before = ready(web)["inbox"]["waiting"]
    post(web, "aged", file_created(1))
    time.sleep(1.1)
    post(web, "aged", file_created(2))
    assert 1 <= figures(web).value("reelhook_inbox_oldest_waiting_seconds") <= 120
    told = ready(web)
    assert told["status"] == "ready"
    assert told["inbox"]["waiting"] == before + 2
    assert told["inbox"]["oldest_waiting_ms"] >= 1100
    with machines.run("of-the-age", "work"):
        wait_until(lambda: ready(web)["inbox"]["waiting"] == 0, what="the worker's work")
    assert ready(web)["inbox"]["oldest_waiting_ms"] == 0


def test_the_last_match_of_each_secret_tells_when_the_old_one_is_no_longer_used(web: Program) -> None:
    name = "reelhook_secret_last_match_timestamp_seconds"
    assert figures(web).get(name, vendor="aliyun", account="rotated", secret="1") is None
    begin = time.time()
    for number in range(8):  # several, so that both processes have one
        post(web, "rotated", file_created(number), token=OLD_TOKEN)
    old = figures(web).get(name, vendor="aliyun", account="rotated", secret="2") or 0
    assert begin - 1 <= old <= time.time()
    time.sleep(0.05)
    for number in range(8):
        post(web, "rotated", file_created(number))
    for _ in range(4):
        shown = figures(web)
        assert shown.get(name, vendor="aliyun", account="rotated", secret="2") == old, "it stands still"
        assert (shown.value(name, vendor="aliyun", account="rotated", secret="1")) > old


def test_one_id_can_be_followed_from_the_answer_to_the_catalogue(machines: Machines, web: Program) -> None:
    answered = [post(web, "followed", file_created(number)).json()["delivery"] for number in range(3)]
    repeat = post(web, "followed", file_created(0)).json()["delivery"]
    odd = post(web, "followed", b"garbage").json()["delivery"]
    post(web, "followed", b"{}", token="wrong")
    with machines.run("of-the-road", "work") as worker:
        wait_until(lambda: ready(web)["inbox"]["waiting"] == 0, what="the worker's work")
        assert worker.stop() == 0
    requests = [line for line in lines(machines.folder / "web.log") if line.get("path") == "/callbacks/aliyun/followed"]
    assert [line.get("delivery") for line in requests] == [*answered, repeat, odd, None]
    assert [line["status"] for line in requests] == [200] * 5 + [401]
    for line in requests:
        assert {"method", "path", "bytes", "duration_ms", "remote", "timestamp", "level"} <= set(line)
    batches = [line["deliveries"] for line in lines(machines.folder / "of-the-road.log") if "deliveries" in line]
    assert sorted(one for batch in batches for one in batch if one in answered) == sorted(answered)


def test_a_reason_for_quarantine_is_logged_with_the_delivery_it_is_about(machines: Machines, web: Program) -> None:
    delivery = post(web, "lost", file_created(1)).json()["delivery"]
    before = ready(web)["inbox"]["quarantined"]
    with machines.run("of-the-lost", "work", config_text=_CONFIG.replace("lost]", "others]")) as worker:
        wait_until(lambda: ready(web)["inbox"]["quarantined"] == before + 1, what="the worker's work")
        wait_until(
            lambda: figures(web).value("reelhook_deliveries_quarantined_total", vendor="aliyun", account="lost") == 1
        )
        assert worker.stop() == 0
    (line,) = [line for line in lines(machines.folder / "of-the-lost.log") if "quarantined" in line["event"]]
    assert line["delivery"] == delivery
    assert line["level"] == "warning"


def test_health_pages_need_no_token_and_name_what_they_looked_at(web: Program) -> None:
    live = request("GET", f"{web.url}/livez")
    assert (live.status, live.json()) == (200, {"status": "alive"})
    told = request("GET", f"{web.url}/readyz")
    assert told.status == 200
    inbox, rules = told.json()["inbox"], told.json()["rules"]
    assert set(inbox) == {"waiting", "oldest_waiting_ms", "quarantined"}
    assert set(rules) == {"version", "in_force", "problems", "workers"}
    assert told.json() == {
        "status": "ready",
        "database": "answers",
        "migrations": "applied",
        "spool": {"waiting": 0, "set_aside": 0},
        "inbox": inbox,
        "rules": rules,
    }
    shown = request("GET", f"{web.url}/metrics")
    assert shown.headers["Content-Type"].startswith("text/plain; version=")
