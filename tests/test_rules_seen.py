"""What is seen of rules: in the API, at a terminal, in the figures and health pages, and in a worker's log."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import planning
import pytest
from api_client import api_over, on_one_engine, problem, wrong
from callbacks import file_created, incoming
from conftest import TOKEN
from flask import Flask
from program import running, wait_until
from prometheus_client.parser import text_string_to_metric_families
from rules_acting import environ_with_rules, said, settings_of
from sqlalchemy import select, update
from terminal import asked, asked_json

from handlers import actions, tables
from handlers.clock import now_ms
from handlers.inbox.consequences import Planner
from handlers.inbox.processing import Processor
from handlers.observation import Observer, observe
from handlers.questions.rules import RULE, UNMATCHED, InForce, rules_in_force
from handlers.rules import RuleBook
from handlers.rules.known import known_of
from handlers.rules.matching import REASONS, version_of
from handlers.tables.rules import GONE_AFTER_MS
from handlers.vendors import VENDORS
from webhook.api.rule_models import RuleList, RuleShown
from webhook.figures import Figures
from webhook.health import health_blueprint
from webhook.welcome import start_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from api_client import Api

    from handlers.database import Database
    from handlers.inbox import Inbox
    from handlers.settings import Settings

RULES = """
rules:
  - name: archive
    when: [recording.available, recording.changed]
    if: recording.format == "m3u8"
    accounts: [lessons]
    limits: {rule: 100/1h}
    do: [http.post: {to: archive}]
  - name: caption
    when: recording.available
    if: recording.media["fps"] > 20
    mode: shadow
    once_per: task
    for: 12h
    do: [http.post: {to: captioning}]
"""
BROKEN = RULES.replace("recording.changed", "recording.chnaged")
ARCHIVE = {
    "name": "archive",
    "when": ["recording.available", "recording.changed"],
    "operations": ["http.post"],
    "accounts": ["lessons"],
    "enabled": True,
    "mode": "live",
    "once_per": "subject",
    "for_ms": None,
    "max_age_ms": None,
    "limits": {"rule": {"most": 100, "within_ms": 3_600_000}, "task": None},
    "batch": None,
    "version": version_of(RULES),
    "workers": 1,
    "stopped": False,
}


@dataclass
class AWorker:
    """What a worker does with rules, step by step."""

    database: Database
    settings: Settings

    def __post_init__(self) -> None:
        self.book = RuleBook(self.settings.rules, known_of(self.settings), ticks=itertools.count().__next__)
        self.planner = Planner(self.settings, self.book)
        self.processor = Processor(self.database, self.settings, VENDORS, planner=self.planner)

    def work(self) -> None:
        """Process what waits, and say what became of the rules."""
        for _ in range(2):  # a change counts once it was seen twice
            self.book.refresh()
        while self.processor.process():
            pass
        self.processor.meters.flush(self.database, at_once=True)
        self.planner.notes.flush(self.database, now=now_ms(), at_once=True)

    def read(self, rules: str) -> None:
        """Read another file, and say so."""
        self.settings.rules.write_text(rules)
        self.work()


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment of accounts and destinations, with two rules."""
    return environ_with_rules(environ, RULES)


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    """Return the settings of that environment."""
    return settings_of(environ)


@pytest.fixture
def worker(database: Database, settings: Settings) -> AWorker:
    """Return a worker that goes by the rules and has said so."""
    working = AWorker(database, settings)
    working.work()
    return working


@pytest.fixture
def api(settings: Settings, database: Database) -> Iterator[Api]:
    """Return the API over the database of this engine."""
    with api_over(settings, database) as client:
        yield client


def seen(database: Database) -> InForce:
    with database.read() as connection:
        return rules_in_force(connection, now=now_ms())


def listed(api: Api) -> Any:
    answer = api.get("/api/v1/rules")
    assert answer.status_code == 200, answer.text
    told = json.loads(answer.text)
    assert RuleList.model_validate(told).model_dump() == told, "it is what the document says"
    return told


def figures(database: Database) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = Figures().render(observe(database, None, now=now_ms())).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def figure(database: Database, name: str, /, **labels: str) -> float | None:
    return figures(database).get((f"reelhook_{name}", frozenset(labels.items())))


# --- what became of rules ---------------------------------------------------------------------------------------------


def test_a_rule_is_shown_with_what_it_matched_and_why_it_did_not(worker: AWorker, inbox: Inbox, api: Api) -> None:
    begin = now_ms()
    for number, name in ((1, "a.m3u8"), (2, "a.mp4"), (3, "b.m3u8")):
        url = f"http://rtc-record.oss-cn-shanghai.aliyuncs.com/record/{number}/{name}"
        inbox.accept(incoming(file_created(number, Url=url), token=TOKEN))
    for word in ("RecordStopped", "RecordUploadDone"):
        inbox.accept(said(word))
    worker.work()
    told = listed(api)
    archive, caption = told["items"]
    assert [tuple(item) for item in told["items"]] == [RULE, RULE]
    assert {name: archive[name] for name in ARCHIVE} == ARCHIVE
    assert (archive["matched"], archive["unmatched"]["condition"], archive["failed_at"]) == (2, 1, None)
    assert (archive["unmatched"]["account"], caption["unmatched"]["failed"]) == (1, 4)
    assert archive["matched_at"] is not None
    assert (caption["matched"], caption["matched_at"]) == (0, None)
    assert "fps" in caption["failure"]
    assert (caption["mode"], caption["once_per"], caption["for_ms"]) == ("shadow", "task", 12 * 3_600_000)
    shown = json.loads(api.get("/api/v1/rules/archive").text)
    assert RuleShown.model_validate(shown).model_dump() == shown
    assert shown == archive | {"actions": {"planned": 2}}
    last = figure(worker.database, "rule_last_match_timestamp_seconds", rule="archive")
    assert last is not None
    assert begin / 1000 <= last <= now_ms() / 1000
    assert figure(worker.database, "rule_last_match_timestamp_seconds", rule="caption") is None
    assert figure(worker.database, "rule_matched_total", rule="archive") == 2
    assert figure(worker.database, "rule_unmatched_total", rule="archive", reason="condition") == 1


def test_every_reason_is_counted() -> None:
    assert UNMATCHED == REASONS


def test_the_list_says_who_goes_by_the_rules(worker: AWorker, api: Api) -> None:
    told = listed(api)
    (one,) = told["workers"]
    assert (told["version"], told["is_current"], told["problems"]) == (version_of(RULES), True, [])
    assert (one["version"], one["is_current"]) == (version_of(RULES), True)
    assert one["worker"].startswith("wrk_")
    assert worker.book.version == told["version"]


def test_a_broken_file_is_told_while_the_older_rules_stay_in_force(worker: AWorker, api: Api) -> None:
    worker.read(BROKEN)
    told = listed(api)
    assert (told["version"], told["is_current"], len(told["items"])) == (version_of(RULES), False, 2)
    (problem_told,) = told["problems"]
    assert problem_told.startswith('rules.yaml:4:33: unknown change "recording.chnaged"; did you mean')
    database = worker.database
    shown = [figure(database, name) for name in ("rules_in_force", "rules_file_ok", "rules_problems", "workers")]
    assert shown == [2, 0, 1, 1]
    worker.read(RULES.replace("name: caption", "name: captions"))
    assert [rule["name"] for rule in listed(api)["items"]] == ["archive", "captions"]
    shown = [figure(database, name) for name in ("rules_in_force", "rules_file_ok", "rules_problems", "workers")]
    assert shown == [2, 1, 0, 1]


def test_a_broken_file_makes_nobody_send_requests_elsewhere(worker: AWorker) -> None:
    worker.read(BROKEN)
    app = Flask(__name__)
    observer = Observer(worker.database, None, now_ms)
    app.register_blueprint(health_blueprint(observer, Figures(), takes_callbacks=True))
    answer = app.test_client().get("/readyz")
    told = json.loads(answer.text)
    assert (answer.status_code, told["status"]) == (200, "ready")
    assert told["rules"] == {"version": version_of(RULES), "in_force": 2, "problems": 1, "workers": 1}
    assert "chnaged" not in answer.text, "the file's text is for those who have a token"


def test_workers_may_differ_for_a_moment(worker: AWorker, database: Database, api: Api) -> None:
    others = [AWorker(database, worker.settings) for _ in range(2)]
    newer = RULES.replace("caption\n", "subtitles\n")
    for other in others:
        other.read(newer)
    told = listed(api)
    assert told["version"] == version_of(newer)
    assert [(rule["name"], rule["workers"]) for rule in told["items"]] == [
        ("archive", 3),
        ("subtitles", 2),
        ("caption", 1),
    ]
    assert [rule["version"] for rule in told["items"]] == [version_of(newer)] * 2 + [version_of(RULES)]
    assert len(told["workers"]) == 3
    assert seen(database).count() == 2


def test_a_worker_that_says_nothing_any_more_counts_no_longer(worker: AWorker, api: Api) -> None:
    with worker.database.write() as connection:
        connection.execute(update(tables.rule_books).values(noted_at=now_ms() - GONE_AFTER_MS))
    told = listed(api)
    assert (told["items"], told["workers"], told["version"]) == ([], [], None)
    problem(api.get("/api/v1/rules/archive"), 404)
    assert figure(worker.database, "rules_in_force") == figure(worker.database, "workers") == 0


def test_a_worker_without_a_file_has_no_rules(worker: AWorker, api: Api) -> None:
    with worker.database.write() as connection:
        connection.execute(tables.rule_books.delete())
    worker.settings.rules.unlink()
    AWorker(worker.database, worker.settings).work()
    told = listed(api)
    assert (told["items"], told["version"], told["is_current"], len(told["workers"])) == ([], None, True, 1)


@pytest.mark.parametrize(("kind", "name"), [("rule", "archive"), ("all", "")])
def test_what_is_stopped_by_hand_is_shown(worker: AWorker, api: Api, kind: str, name: str) -> None:
    actions.stop(worker.database, kind, name, now=now_ms())
    assert [rule["stopped"] for rule in listed(api)["items"]] == [True, kind == "all"]
    assert figure(worker.database, "stopped", kind=kind, name=name) == 1
    actions.go(worker.database, kind, name)
    assert [rule["stopped"] for rule in listed(api)["items"]] == [False, False]
    assert figure(worker.database, "stopped", kind=kind, name=name) is None


@on_one_engine
def test_what_is_asked_wrongly_is_told(api: Api) -> None:
    assert set(wrong(api.get("/api/v1/rules?limit=5"))) == {"limit"}
    for name in ("nothing", "%00", "%F0%9F%8E%AC"):
        assert "there is no rule" in problem(api.get(f"/api/v1/rules/{name}"), 404)["detail"]
    for path in ("rules", "rules/archive"):
        problem(api.get(f"/api/v1/{path}", headers={}), 401)


# --- what became of actions -------------------------------------------------------------------------------------------


def test_the_figures_of_actions_tell_what_waits_and_how_long(worker: AWorker, inbox: Inbox) -> None:
    database = worker.database
    inbox.accept(incoming(file_created(1), token=TOKEN))
    worker.work()
    assert figure(database, "actions_planned_total", operation="http.post") == 1
    assert figure(database, "actions", operation="http.post", state="planned") == 1
    with database.write() as connection:
        connection.execute(update(tables.actions).values(due_since=now_ms() - 60_000))
    actions.stop(database, "operation", "http.post", now=now_ms())
    late = figure(database, "actions_oldest_due_seconds", operation="http.post")
    assert late is not None
    assert late >= 60, "what is stopped waits too"
    actions.go(database, "operation", "http.post")
    (claimed,) = planning.claim(database)
    planning.make(database, claimed, planning.GIVE_UP)
    assert figure(database, "actions", operation="http.post", state="dead") == 1
    assert figure(database, "actions_oldest_due_seconds", operation="http.post") is None


def test_the_figures_tell_how_far_ahead_a_limit_is_spoken_for(worker: AWorker) -> None:
    row = {"quota": "volcengine/main", "api": "UpdateSegment", "next_at": (now_ms() + 30_000) * 1000}
    with worker.database.write() as connection:
        connection.execute(tables.quotas.insert().values(blocked_until=0, **row))
    ahead = figure(worker.database, "limit_ahead_seconds", quota="volcengine/main", api="UpdateSegment")
    assert ahead is not None
    assert 20 < ahead <= 30


# --- at a terminal ----------------------------------------------------------------------------------------------------


def test_json_at_a_terminal_is_what_the_api_answers(worker: AWorker, api: Api, environ: dict[str, str]) -> None:
    assert asked_json("rules", "list", "--json", environ=environ) == listed(api)
    told = json.loads(api.get("/api/v1/rules/archive").text)
    assert asked_json("rules", "show", "archive", "--json", environ=environ) == told
    assert worker.book.version == told["version"]


@on_one_engine
def test_people_see_a_table_and_what_is_wrong_with_the_file(worker: AWorker, environ: dict[str, str]) -> None:
    worker.read(BROKEN)
    done = asked("rules", "list", environ=environ)
    heading, *rows = done.stdout.splitlines()
    assert heading.split()[:4] == ["RULE", "WHEN", "DOES", "MODE"]
    assert [row.split()[0] for row in rows] == ["archive", "caption"]
    assert "wrong in the file: rules.yaml:4:33: unknown change" in done.stderr
    one = asked("rules", "show", "caption", environ=environ)
    assert (one.returncode, one.stderr) == (0, "")
    assert "shadow" in one.stdout
    assert asked("rules", "show", "nothing", environ=environ).returncode == 1


@on_one_engine
def test_the_first_lines_say_where_the_rules_stand(settings: Settings) -> None:
    (line,) = [line for line in start_lines(settings, host="127.0.0.1") if str(settings.rules) in line]
    assert line.startswith("Rules in ")
    settings.rules.unlink()
    assert f"No rules yet; they would stand in {settings.rules}" in "\n".join(start_lines(settings, host="127.0.0.1"))


@on_one_engine
@pytest.mark.usefixtures("database")
def test_without_a_worker_it_is_said_why_there_is_no_rule(environ: dict[str, str]) -> None:
    done = asked("rules", "list", environ=environ)
    assert done.returncode == 0
    assert done.stdout.startswith("No worker was heard of lately")


@on_one_engine
@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("style", ["json", "text"])
def test_a_worker_says_at_start_and_at_a_change_which_rules_it_goes_by(
    environ: dict[str, str], database: Database, tmp_path: Path, style: str
) -> None:
    log = tmp_path / "log"
    told = {
        RULES: f"rules in force: 2, version {version_of(RULES)}",
        BROKEN: "; the rules that were in force stay in force",
        "rules: []\n": f"rules in force: 0, version {version_of('rules: []' + chr(10))}",
    }
    with running(environ | {"REELHOOK_LOG": style}, "work", log=log) as program:
        for text, expected in told.items():
            (tmp_path / "rules.yaml").write_text(text)
            wait_until(lambda expected=expected: expected in log.read_text(), what=expected)
        assert program.stop() == 0
    lines = [line for line in log.read_text().splitlines() if "in force" in line]
    assert len(lines) == len(told)
    if style == "json":
        assert [json.loads(line)["level"] for line in lines] == ["info", "error", "info"]
    with database.read() as connection:
        assert not connection.execute(select(tables.rule_books)).all(), "it has left"
