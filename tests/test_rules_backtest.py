"""A backtest finds exactly the calls that a worker would have planned, and writes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from histories import Live, calls, configured, counts, planned, settings_of, tried, without_ids
from sqlalchemy import delete, select
from terminal import asked, asked_json

from handlers import tables
from handlers.moments import from_text
from handlers.rules.matching import version_of
from standin.callbacks.faults import Faults, arrivals
from standin.callbacks.world import COUNTERPARTS, World

if TYPE_CHECKING:
    from pathlib import Path

    from handlers.database import Database
    from handlers.events import Incoming
    from handlers.keeping.keeper import Keeper
    from handlers.settings import Settings

RULES = """rules:
  - name: each-file
    when: [recording.created, recording.changed, recording.available]
    if: recording.duration_ms > 0 && task.recording_count < 4
    do:
      - http.post: {to: captioning, body: {file: "${recording.id}", of: "${task.id}", n: "${task.recording_count}"}}
  - name: first-of-room
    when: task.started
    once_per: room
    for: 1h
    do: {http.post: {to: captioning, body: "${event.room_id}"}}
  - name: shorter
    when: segment.created
    if: segment.duration_ms > 1000 && task.segment_count < 100
    once_per: task
    max_age: none
    do:
      - volcengine.update_segment: {Duration: 20, Identifier: "${task.id}-short", Handle: true}
      - http.post: {to: captioning, body: "${segment.id} ${task.run}"}
  - name: same-name
    when: segment.created
    max_age: none
    limits: {task: 1000/1d}
    do: {volcengine.update_segment: {Identifier: "${event.room_id}"}}
  - name: too-late
    when: [task.stopped, task.failed]
    max_age: none
    do: {volcengine.update_record: {TargetStreams: {StreamList: []}}}
  - name: young
    when: recording.available
    max_age: 2m
    do: {http.post: {to: captioning}}
  - name: broken-value
    when: recording.created
    do: {http.post: {to: captioning, body: "${recording.key.size() + recording.size_bytes / task.segment_count}"}}
  - name: looks
    when: [stream.changed, unknown, upload.progressed, push.started, push.stopped]
    mode: shadow
    do: {http.post: {to: captioning, body: "${event.kind} ${event.word}"}}
"""


@pytest.fixture
def settings(environ: dict[str, str], tmp_path: Path) -> Settings:
    return settings_of(configured(environ, tmp_path, RULES))


def days(**faults: float) -> list[Incoming]:
    """Return the callbacks of a world in the order of their arrival, some of them minutes after their event."""
    world = World(seed=5, tasks=18, hours=3, queue=False)
    ways = [way for way in arrivals(world, COUNTERPARTS, Faults(**faults)) if not way.is_lost]
    received, at = [], 0
    for number, way in enumerate(ways):
        at = max(at + 1, way.notice.at + number % 7 * 40_000)
        received.append(way.callback.incoming(at))
    return received


@pytest.mark.parametrize("faults", [{}, {"duplicate": 0.2, "reorder": 0.3, "late": 0.1}], ids=["smooth", "rough"])
def test_a_backtest_finds_exactly_the_calls_that_were_planned_live(
    database: Database, settings: Settings, keeper: Keeper, faults: dict[str, float]
) -> None:
    history = days(**faults)
    Live(database, settings, keeper).live(history)
    live = planned(database)
    before = counts(database)
    with tried(database, settings, 0, history[-1].received_at + 1) as done:
        found = calls(done)
    assert {call["rule"] for call in live} == _names(RULES)
    assert {call["state"] for call in live} >= {"planned", "refused", "cancelled", "shadow"}
    assert sorted(map(str, without_ids(found))) == sorted(map(str, without_ids(live)))
    assert counts(database) == before


def _received(database: Database, call: dict[str, Any]) -> int:
    with database.read() as connection:
        query = select(tables.deliveries.c.received_at).where(tables.deliveries.c.id == call["delivery"])
        return int(connection.execute(query).scalar_one())


def _names(text: str) -> set[str]:
    return {line.split(": ")[1] for line in text.splitlines() if line.startswith("  - name: ")}


_ONE = """rules:
  - name: stopped
    when: task.stopped
    if: task.type == "record"
    do: {http.post: {to: captioning, body: "${task.id} ${event.reason == null}"}}
"""


def written(tmp_path: Path, text: str, name: str = "rules.yaml") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_subjects_are_those_of_the_live_catalogue_and_what_it_lacks_says_so(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    settings = settings_of(configured(environ, tmp_path, _ONE))
    history = days()
    Live(database, settings, keeper, has_rules=False).live(history)
    with database.read() as connection:
        tasks = set(connection.execute(select(tables.tasks.c.id)).scalars())
    with tried(database, settings, 0, history[-1].received_at + 1) as done:
        found = calls(done)
    assert found
    assert {call["subject"] for call in found} <= tasks

    with database.write() as connection:
        for table in (tables.tasks, tables.marks, tables.recordings, tables.identifiers):
            connection.execute(delete(table))
    with tried(database, settings, 0, history[-1].received_at + 1) as done:
        made_up = calls(done)
        assert all(call["made_up"] for call in done.every_call())
    assert [call["delivery"] for call in made_up] == [call["delivery"] for call in found]
    assert all(call["subject"].startswith("tsk_made-up-") for call in made_up)


def test_what_was_received_before_the_window_is_folded_and_not_asked_about(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    counting = _ONE.replace("${event.reason == null}", "${task.recording_count}").replace(
        "task.stopped", "recording.created"
    )
    settings = settings_of(configured(environ, tmp_path, counting))
    history = days()
    Live(database, settings, keeper).live(history)
    live = planned(database)
    middle = history[len(history) // 2].received_at
    with tried(database, settings, middle, history[-1].received_at + 1) as done:
        found = calls(done)
        assert done.found.deliveries["processed"] == sum(one.received_at >= middle for one in history)
    assert 0 < len(found) < len(live)
    received = {one.received_at for one in history if one.received_at >= middle}
    assert sorted(map(str, found)) == sorted(str(call) for call in live if _received(database, call) in received)


def test_age_is_judged_by_when_a_delivery_was_received(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    young = _ONE.replace("do:", "max_age: 70s\n    do:")
    settings = settings_of(configured(environ, tmp_path, young))
    history = days()
    Live(database, settings, keeper, has_rules=False).live(history)
    with tried(database, settings, 0, history[-1].received_at + 1) as done:
        (rule,) = done.found.rules
    assert rule.unmatched["age"] > 0
    assert rule.matched > 0


def test_limits_hold_in_the_order_of_time(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    settings = settings_of(configured(environ, tmp_path, _ONE.replace("do:", "limits: {rule: 2/1h}\n    do:")))
    history = days()
    Live(database, settings, keeper, has_rules=False).live(history)
    with tried(database, settings, 0, history[-1].received_at + 1) as done:
        every = list(done.every_call())
    made = [from_text(call["at"]) for call in every if call["state"] == "planned"]
    refused = [from_text(call["at"]) for call in every if call["state"] == "refused"]
    assert refused
    for at in made:
        assert sum(at - 3_600_000 <= other < at for other in made) < 2
    for at in refused:
        assert sum(at - 3_600_000 <= other <= at for other in made) == 2


def test_a_disabled_rule_is_tried_where_it_is_named(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    settings = settings_of(configured(environ, tmp_path, _ONE.replace("when:", "enabled: false\n    when:")))
    history = days()
    Live(database, settings, keeper).live(history)
    with tried(database, settings, 0, history[-1].received_at + 1) as done:
        assert done.found.rules[0].matched == 0
    with tried(database, settings, 0, history[-1].received_at + 1, "stopped") as done:
        assert done.found.rules[0].matched > 0


def test_a_large_family_of_segments_gives_the_same_calls_page_by_page(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.backtest.scratch._PAGE", 3)
    rule = 'rules: [{name: a, when: segment.created, do: {http.post: {to: captioning, body: "${task.segment_count}"}}}]'
    settings = settings_of(configured(environ, tmp_path, rule))
    history = days(duplicate=0.3)
    Live(database, settings, keeper).live(history)
    live = planned(database)
    with tried(database, settings, 0, history[-1].received_at + 1) as done:
        found = calls(done)
    assert len(live) > 20
    assert sorted(map(str, found)) == sorted(map(str, live))


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def lived(database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper) -> dict[str, str]:
    """Return the environment of a Reelhook that has lived through a history without rules, and has `stopped` now."""
    configured_environ = configured(environ, tmp_path, _ONE)
    Live(database, settings_of(configured_environ), keeper, has_rules=False).live(days())
    return configured_environ


_SINCE = ("--since", "2026-03-01", "--until", "2026-03-31")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_command_shows_matches_calls_and_their_pace(lived: dict[str, str]) -> None:
    document = asked_json("rules", "backtest", *_SINCE, "--json", environ=lived)
    (rule,) = document["rules"]
    assert rule["matched"] == rule["calls"] + rule["left_out"]
    assert rule["calls"] > 3
    assert len(document["calls"]) == min(20, rule["calls"])
    assert document["paces"][0]["calls"] == rule["calls"]
    assert document["events"] > rule["matched"]
    done = asked("rules", "backtest", *_SINCE, "--show", "2", environ=lived)
    assert done.returncode == 0
    assert f"stopped: {rule['matched']} matches, {rule['calls']} calls" in done.stdout
    assert "The first 2 calls:" in done.stdout


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_call_is_a_line_of_json(lived: dict[str, str]) -> None:
    document = asked_json("rules", "backtest", *_SINCE, "--json", environ=lived)
    done = asked("rules", "backtest", *_SINCE, "--all-calls", environ=lived)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == document["rules"][0]["calls"]
    assert lines[0] == document["calls"][0]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_draft_is_compared_with_the_rules_in_force(lived: dict[str, str], tmp_path: Path) -> None:
    text = _ONE.replace("${event.reason == null}", "again") + _ONE.removeprefix("rules:\n").replace(
        "stopped\n", "too\n", 1
    )
    draft = written(tmp_path, text, "draft.yaml")
    found = asked_json("rules", "backtest", *_SINCE, "--file", str(draft), "--json", environ=lived)["differences"]
    calls_in_force = asked_json("rules", "backtest", *_SINCE, "--json", environ=lived)["rules"][0]["calls"]
    assert (found["only_here"], found["only_there"], found["changed"]) == (calls_in_force, 0, calls_in_force)
    assert {call["rule"] for call in found["here"]} == {"too"}
    pair = found["pairs"][0]
    assert pair["before"]["parameters"]["body"].removesuffix(" true") + " again" == pair["after"]["parameters"]["body"]

    empty = written(tmp_path, "rules: []\n", "draft.yaml")
    found = asked_json("rules", "backtest", *_SINCE, "--file", str(empty), "--json", environ=lived)["differences"]
    assert (found["only_here"], found["only_there"], found["changed"]) == (0, calls_in_force, 0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_broken_draft_is_shown_as_by_rules_check(lived: dict[str, str], tmp_path: Path) -> None:
    draft = written(tmp_path, _ONE.replace("task.stopped", "task.stoped"), "draft.yaml")
    checked = asked("rules", "check", str(draft), environ=lived)
    done = asked("rules", "backtest", *_SINCE, "--file", str(draft), environ=lived)
    assert (done.returncode, done.stdout) == (1, checked.stdout)
    assert "draft.yaml:3:11: unknown change" in done.stdout


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rule", "nobody"), "rules.yaml has no rule nobody; it has stopped"),
        (("--until", "2026-01-01"), "--until is not after --since"),
        (("--since", "yesterday"), "expected a time"),
    ],
)
def test_wrong_usage_ends_with_2(lived: dict[str, str], arguments: tuple[str, ...], said: str) -> None:
    done = asked("rules", "backtest", *_SINCE, *arguments, environ=lived)
    assert done.returncode == 2
    assert said in done.stderr


def test_quarantined_deliveries_are_counted_and_left_out(lived: dict[str, str], database: Database) -> None:
    whole = asked_json("rules", "backtest", *_SINCE, "--json", environ=lived)
    with database.write() as connection:
        first = connection.execute(select(tables.marks.c.delivery).limit(1)).scalar_one()
        connection.execute(tables.inbox.update().where(tables.inbox.c.delivery == first).values(state="quarantined"))
    less = asked_json("rules", "backtest", *_SINCE, "--json", environ=lived)
    assert less["deliveries"]["quarantined"] == 1
    assert less["deliveries"]["processed"] == whole["deliveries"]["processed"] - 1


def test_deliveries_of_other_accounts_and_vendors_are_left_out(lived: dict[str, str]) -> None:
    whole = asked_json("rules", "backtest", *_SINCE, "--json", environ=lived)
    parts = [
        asked_json("rules", "backtest", *_SINCE, "--json", option, name, environ=lived)
        for option, name in (("--vendor", "volcengine"), ("--account", "clinic"), ("--account", "lessons"))
    ]
    assert sum(part["rules"][0]["calls"] for part in parts) == whole["rules"][0]["calls"]
    assert sum(part["deliveries"]["processed"] for part in parts) == whole["deliveries"]["processed"]


def test_what_a_replay_brought_in_is_asked_about_and_counted(lived: dict[str, str], database: Database) -> None:
    whole = asked_json("rules", "backtest", *_SINCE, "--json", environ=lived)
    with database.write() as connection:
        connection.execute(tables.inbox.update().values(is_silent=True))
    silent = asked_json("rules", "backtest", *_SINCE, "--json", environ=lived)
    assert silent["rules"] == whole["rules"]
    assert silent["deliveries"]["silent"] == whole["deliveries"]["processed"]
    text = asked("rules", "backtest", *_SINCE, environ=lived).stdout
    assert f"{silent['deliveries']['silent']} of them came by import or replay" in text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_rules_in_force_every_call_is_the_drafts_own(
    lived: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").unlink()
    draft = written(tmp_path, _ONE, "draft.yaml")
    lived = {name: value for name, value in lived.items() if name != "REELHOOK_RULES"}
    document = asked_json("rules", "backtest", *_SINCE, "--file", str(draft), "--json", environ=lived)
    assert document["differences"]["only_here"] == document["rules"][0]["calls"] > 0
    done = asked("rules", "backtest", *_SINCE, "--file", str(draft), environ=lived)
    assert "Against the rules in force, of which there are none:" in done.stdout
    alone = asked("rules", "backtest", *_SINCE, environ=lived)
    assert alone.returncode == 1
    assert "rules.yaml: no rules; name a file by --file or REELHOOK_RULES" in alone.stderr


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("now", ["rules: nothing\n", "", None])
def test_a_draft_is_compared_with_the_rules_in_force_last_where_the_file_does_not_tell_them(
    database: Database, lived: dict[str, str], tmp_path: Path, now: str | None
) -> None:
    draft = str(written(tmp_path, _ONE, "draft.yaml"))
    path = tmp_path / "rules.yaml"
    was = path.read_text()
    as_it_was = asked_json("rules", "backtest", *_SINCE, "--file", draft, "--json", environ=lived)
    path.unlink() if now is None else path.write_text(now)

    before = asked_json("rules", "backtest", *_SINCE, "--file", draft, "--json", environ=lived)
    if now is None or not now:
        assert before["differences"]["version"] == "", "there never were any"
    else:
        assert before["differences"] is None
        assert before["notes"][0].startswith("rules.yaml is broken, and no rules of before are known")

    with database.write() as connection:
        told = {"version": version_of(was), "text": was, "noted_at": 1}
        connection.execute(tables.rule_texts.insert().values(told))
    after = asked_json("rules", "backtest", *_SINCE, "--file", draft, "--json", environ=lived)
    assert after["differences"] == as_it_was["differences"]
    why = "is broken" if now else "has no rules"
    note = f"Compared with the rules that were in force last, version {version_of(was)}: rules.yaml {why}."
    assert after["notes"][0] == note


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_text_of_a_vendor_does_not_steer_the_terminal(lived: dict[str, str], tmp_path: Path) -> None:
    draft = written(tmp_path, _ONE.replace("${event.reason == null}", "\\u001b[2J"), "draft.yaml")
    done = asked("rules", "backtest", *_SINCE, "--file", str(draft), environ=lived)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "\\u001b[2J" in done.stdout
