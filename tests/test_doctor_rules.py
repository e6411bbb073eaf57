"""The doctor on rules: whether their file is in order, what they name can be used, and the workers follow them."""

from __future__ import annotations

import itertools
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import planning
import pytest
from rules_acting import environ_with_rules, settings_of
from sqlalchemy import update
from test_doctor import ONLY_SQLITE, examined, level

from handlers import actions, tables
from handlers.actions import cancel
from handlers.by_hand import RULE
from handlers.clock import now_ms
from handlers.doctor.acting import examine_rules
from handlers.doctor.following import examine_endings
from handlers.inbox.rule_notes import RuleNotes
from handlers.rules import RuleBook
from handlers.rules.known import known_of

if TYPE_CHECKING:
    from pathlib import Path

    from handlers.database import Database
    from handlers.doctor.findings import Finding

CAPTION = "rules:\n- {name: caption, when: recording.available, do: {http.post: {to: captioning}}}\n"
SHORTER = """rules:
- name: shorter
  when: segment.created
  once_per: task
  do: {volcengine.update_segment: {Duration: 20}}
  tests:
  - segment: {}
    expect: [{volcengine.update_segment: {Duration: 20}}]
"""


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment of three accounts and two destinations, with one rule."""
    return environ_with_rules(environ, CAPTION)


def configured(environ: dict[str, str], tmp_path: Path, more: str, rules: str) -> dict[str, list[Finding]]:
    """Add to reelhook.toml, write the rules anew, and return what is found, by what was looked at."""
    with (tmp_path / "reelhook.toml").open("a") as file:
        file.write(more)
    (tmp_path / "rules.yaml").write_text(rules)
    found: dict[str, list[Finding]] = {}
    for one in examine_rules(settings_of(environ)):
        assert one.do or one.level == "ok", one
        found.setdefault(one.check, []).append(one)
    return found


def levels(found: dict[str, list[Any]], check: str) -> list[str]:
    return [one.level for one in found.get(check, [])]


@pytest.mark.usefixtures("database")
def test_rules_in_order_are_told_with_their_version_and_what_they_name(environ: dict[str, str]) -> None:
    found = examined(environ, code=0)
    assert level(found, "rules") == level(found, "destinations.captioning") == "ok"
    assert ": 1 rule, version " in found["rules"][0]["says"]
    assert "named by rule caption" in found["destinations.captioning"][0]["says"]
    assert "no rule names it" in found["destinations.archive"][0]["says"]
    assert level(found, "actions") == "ok"


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
def test_without_a_file_there_are_no_rules_and_nothing_fails(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").rename(tmp_path / "elsewhere")
    del environ["REELHOOK_RULES"]
    found = examined(environ, code=0)
    assert level(found, "rules") == level(found, "rules.workers") == "ok"
    assert "nothing is called" in found["rules"][0]["says"]


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
def test_a_file_that_is_named_and_not_there_fails(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").unlink()
    assert "though REELHOOK_RULES names it" in examined(environ, code=1)["rules"][0]["says"]


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
def test_every_problem_of_the_file_fails_with_its_line(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(CAPTION.replace("available", "availible").replace("captioning", "captions"))
    found = examined(environ, code=1)
    assert [one["level"] for one in found["rules"]] == ["fail", "fail"]
    assert found["rules"][0]["says"].startswith('rules.yaml:2:25: unknown change "recording.availible"')
    assert "stay with the rules that they have" in found["rules"][0]["do"]


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
def test_a_file_that_is_no_text_fails(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_bytes(b"\xff\xfe")
    found = examined(environ, code=1)
    assert level(found, "rules") == "fail"
    assert "UTF-8" in found["rules"][0]["do"]
    assert level(found, "destinations.captioning") == "ok"


@ONLY_SQLITE
def test_warnings_and_tests_that_fail_are_warned_of(environ: dict[str, str], tmp_path: Path) -> None:
    found = configured(environ, tmp_path, "", SHORTER.replace("Duration: 20}}]", "Duration: 30}}]"))
    assert levels(found, "rules.tests") == ["warn"]
    assert "update_segment has Duration 20; expected 30" in found["rules.tests"][0].says
    assert set(levels(found, "rules.warnings")) == {"warn"}
    assert levels(found, "rules") == ["ok"]
    assert levels(configured(environ, tmp_path, "", SHORTER), "rules.tests") == []


ENTRY = '\n[destinations.own]\nkind = "python"\nentry_point = "nobody-has-this"\n'


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("keys", "expected"), [("", "fail"), (", mode: shadow", "warn"), (", enabled: false", "ok")], ids=str
)
def test_a_destination_that_this_machine_can_not_use_is_told(
    environ: dict[str, str], tmp_path: Path, keys: str, expected: str
) -> None:
    rules = f"rules:\n- {{name: mine, when: task.stopped, do: {{python.call: {{to: own}}}}{keys}}}\n"
    found = configured(environ, tmp_path, ENTRY, rules)
    assert levels(found, "destinations.own") == [expected]
    if expected != "ok":
        assert "rule mine names it" in found["destinations.own"][0].says
        assert "nobody-has-this" in found["destinations.own"][0].says


@ONLY_SQLITE
def test_a_destination_that_depends_on_the_change_may_be_any_of_its_kind(
    environ: dict[str, str], tmp_path: Path
) -> None:
    rules = "rules:\n- name: mine\n  when: task.stopped\n  do:\n  - python.call: {to: '${task.room_id}'}\n"
    found = configured(environ, tmp_path, ENTRY, rules)
    assert levels(found, "destinations.own") == ["fail"]
    assert "no rule names it" in found["destinations.captioning"][0].says


@ONLY_SQLITE
def test_a_queue_of_celery_needs_celery(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, package=None: None if name == "celery" else find_spec(name, package)
    )
    more = '\n[destinations.jobs]\nkind = "celery"\nbroker = "env:BROKER"\ntask = "app.caption"\n'
    rules = "rules:\n- {name: mine, when: task.stopped, do: {celery.send: {to: jobs}}}\n"
    found = configured(environ | {"BROKER": "redis://:hidden@127.0.0.1/0"}, tmp_path, more, rules)
    assert levels(found, "destinations.jobs") == ["fail"]
    assert "hidden" not in found["destinations.jobs"][0].says


HUAWEI = '\n[accounts.clinic]\nvendor = "huawei"\ncallback_secrets = ["env:CLASSROOM_SECRET"]\n'
OPERATION = "{huawei.update_individual_stream_job: {record_param: {record_rule_id: r-1}}}"


@ONLY_SQLITE
def test_an_account_without_what_signs_its_calls_fails_where_a_rule_calls_its_vendor(
    environ: dict[str, str], tmp_path: Path
) -> None:
    rules = f"rules:\n- {{name: longer, when: task.started, once_per: task, do: {OPERATION}}}\n"
    found = configured(environ, tmp_path, HUAWEI, rules)
    assert levels(found, "accounts.clinic.calls") == ["fail"] * 3
    said = " ".join(one.says for one in found["accounts.clinic.calls"])
    assert all(f"{key} is not set" in said for key in ("access_key_id", "secret_access_key", "project_id"))
    assert "accounts.classroom.calls" not in found, "no rule calls its vendor"
    keys = 'access_key_id = "env:SOME_KEY"\nsecret_access_key = "env:SOME_SECRET"\nproject_id = "p-1"\n'
    assert levels(configured(environ, tmp_path, keys, rules), "accounts.clinic.calls") == ["ok"]


@ONLY_SQLITE
def test_only_the_accounts_that_a_rule_is_for_need_a_key(environ: dict[str, str], tmp_path: Path) -> None:
    more = '\n[accounts.bare]\nvendor = "volcengine"\ncallback_secrets = ["env:CLASSROOM_SECRET"]\n'
    found = configured(environ, tmp_path, more, SHORTER)
    assert levels(found, "accounts.bare.calls") == ["fail", "fail"]
    assert levels(found, "accounts.classroom.calls") == ["ok"]
    limited = SHORTER.replace("once_per", "accounts: [classroom]\n  once_per")
    assert "accounts.bare.calls" not in configured(environ, tmp_path, "", limited)


@ONLY_SQLITE
def test_accounts_that_share_a_quota_and_not_its_limit_are_warned_of(environ: dict[str, str], tmp_path: Path) -> None:
    (found,) = configured(environ, tmp_path, "", CAPTION)["accounts.limits"]
    assert found.level == "warn"
    assert "update_segment" in found.says
    assert "classroom 150, hall 100" in found.says
    path = tmp_path / "reelhook.toml"
    path.write_text(path.read_text().replace("limits =", 'quota = "another"\nlimits ='))
    assert "accounts.limits" not in configured(environ, tmp_path, "", CAPTION)


@ONLY_SQLITE
def test_accounts_with_temporary_keys_that_may_be_one_at_the_vendor_are_warned_of(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("AK-1\n")
    more = (
        '\n[accounts.evening]\nvendor = "volcengine"\ncallback_secrets = ["env:CLASSROOM_SECRET"]\n'
        'access_key_id = "file:key"\nsecret_access_key = "env:SOME_SECRET"\nsecurity_token = "env:SOME_KEY"\n'
    )
    (found,) = configured(environ, tmp_path, more, CAPTION)["accounts.quota"]
    assert found.level == "warn"
    assert found.says.endswith("count their calls apart: classroom, hall | evening")
    assert "accounts.quota" not in configured(environ, tmp_path, 'quota = "evening"\n', CAPTION)


def test_calls_that_were_never_made_are_told(database: Database) -> None:
    late = [planning.call(number, lane=f"{number}", expires_at=now_ms() - 1) for number in range(2)]
    planning.plan(database, *late, planning.post(3, refused="to is missing"), planning.call(4, task="tsk_2"))
    planning.plan(database, planning.post(5, refused="to is missing", mode="shadow"))
    planning.plan(database, planning.post(6, refused="to is missing", rule=RULE))
    planning.plan(database, *(planning.post(number) for number in (7, 8)))
    for row in planning.rows(database)[-2:]:
        cancel(database, row["id"])
    assert planning.numbers(planning.claim(database)) == [4]
    found: dict[str, list[Finding]] = {}
    for one in examine_endings(database, now=now_ms()):
        found.setdefault(one.check, []).append(one)
    assert [levels(found, f"actions.{check}") for check in ("expired", "refused", "ended")] == [
        ["warn"],
        ["warn"],
        ["ok"],
    ]
    assert found["actions.expired"][0].says.startswith(
        "2 calls of volcengine.update_segment of the last day came too late"
    )
    assert found["actions.refused"][0].says.startswith("1 call of http.post that rules asked for")
    assert found["actions.ended"][0].says == "of the last day's actions 2 were cancelled, as usual"
    assert list(examine_endings(database, now=now_ms() + 2 * 86_400_000)) == []


def test_workers_that_go_by_other_rules_are_warned_of(environ: dict[str, str], database: Database) -> None:
    assert "no worker was heard of" in examined(environ, code=0)["rules.workers"][0]["says"]
    settings = settings_of(environ)
    book = RuleBook(settings.rules, known_of(settings), ticks=itertools.count().__next__)
    notes = RuleNotes(book)
    notes.flush(database, now=now_ms(), at_once=True)
    assert level(examined(environ, code=0), "rules.workers") == "ok"
    settings.rules.write_text(CAPTION.replace("caption,", "captions,"))
    (found,) = examined(environ, code=0)["rules.workers"]
    assert found["says"].startswith("1 of 1 workers goes by other rules than this machine's rules.yaml: on ")
    settings.rules.write_text("rules: nothing\n")
    assert [book.refresh() for _ in range(2)] == [False, True]
    notes.flush(database, now=now_ms(), at_once=True)
    assert "a worker says of its file: rules.yaml:1:8" in examined(environ, code=1)["rules.workers"][0]["says"]


def test_dead_late_and_stopped_actions_are_warned_of(environ: dict[str, str], database: Database) -> None:
    planning.plan(database, planning.post(1), planning.post(2))
    planning.make(database, planning.claim(database, 1)[0], planning.GIVE_UP)
    with database.write() as connection:
        due = update(tables.actions).where(tables.actions.c.stage == "ready").values(due_since=now_ms() - 300_000)
        connection.execute(due)
    actions.stop(database, "destination", "captioning", now=now_ms())
    found = examined(environ, code=0)
    assert [level(found, check) for check in ("actions", "actions.late", "actions.stopped")] == ["warn"] * 3
    assert "1 action is dead" in found["actions"][0]["says"]
    assert "http.post has been due for 30" in found["actions.late"][0]["says"]
    assert "destination captioning" in found["actions.stopped"][0]["says"]
