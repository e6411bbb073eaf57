"""What rules in force lead to: which actions are planned when deliveries are processed, and which are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from callbacks import file_created, incoming
from conftest import TOKEN
from rules_acting import (
    environ_with_rules,
    file,
    inbox_states,
    one,
    planned,
    processor,
    said,
    settings_of,
    settings_with_rules,
    slices,
    work,
)
from sqlalchemy import select
from test_doctor import ONLY_SQLITE

from handlers import tables
from handlers.clock import now_ms
from handlers.inbox.replay import replay
from handlers.inbox.terms import Terms
from handlers.questions.filters import Filters

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.database import Database
    from handlers.inbox import Inbox
    from handlers.settings import Settings

HAND_OVER = """
rules:
  - name: hand-to-captioning
    when: recording.available
    if: recording.format == "m3u8"
    do: [http.post: {to: captioning}]
"""
SHORTER = """
rules:
  - name: short-slices
    when: segment.created
    if: segment.duration_ms > 60000 && task.segment_count <= 3
    limits: {task: 60/1h}
    do:
      - volcengine.update_segment: {Duration: 20}
"""


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment of three accounts, so far without rules."""
    return environ_with_rules(environ, "rules: []\n")


@pytest.fixture
def ruled(environ: dict[str, str]) -> Callable[[str], Settings]:
    """Return what puts rules in force."""
    return lambda rules: settings_with_rules(environ, rules)


def test_an_action_stands_with_its_fact_and_tells_of_it(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    inbox.accept(incoming(file_created(1), token=TOKEN))
    work(database, ruled(HAND_OVER))
    action = one(database)
    with database.read() as connection:
        recording = connection.execute(select(tables.recordings)).mappings().one()
        delivery = connection.execute(select(tables.deliveries.c.id)).scalar_one()
    assert (action["rule"], action["change"], action["operation"]) == (
        "hand-to-captioning",
        "recording.available",
        "http.post",
    )
    assert (action["subject"], action["recording"], action["task"]) == (
        recording["id"],
        recording["id"],
        recording["task"],
    )
    assert (action["state"], action["destination"], action["delivery"]) == ("planned", "captioning", delivery)
    assert len(action["rules_version"]) == 16
    told = json.loads(action["told"])
    assert told["recording"]["key"] == recording["key"]
    assert told["recording"]["started_at"] == "2020-09-02T10:23:54.000Z"
    assert told["task"]["id"] == recording["task"]
    assert told["task"]["recording_count"] == 1
    assert told["event"]["word"] == "FileCreated"
    assert inbox_states(database) == [("processed", None)]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_rule_sees_the_task_as_of_its_event_however_the_events_are_batched(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings], *, at_once: bool
) -> None:
    settings, now = ruled(SHORTER), now_ms()
    for first in (1, 4, 7):
        data = slices(first, first + 1, first + 2, at=now)
        inbox.accept(said("SegmentRealTimeData", at=now + first, Data=data))
        if not at_once:
            work(database, settings)
    work(database, settings)
    actions = planned(database)
    assert len(actions) == 3
    with database.read() as connection:
        keys = {row.id: row.key for row in connection.execute(select(tables.segments))}
    assert [keys[action["recording"]] for action in actions] == ["slices/1.wav", "slices/2.wav", "slices/3.wav"]
    assert actions[0]["parameters"]["Duration"] == 20
    assert actions[0]["parameters"]["RoomId"] == "room_1203"
    assert actions[0]["lane"] == actions[1]["lane"]
    assert actions[0]["interval_us"] == round(1e6 / (0.96 * 150))


def test_accounts_with_one_access_key_share_a_quota_and_each_keeps_its_own_limit(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    now = now_ms()
    inbox.accept(said("SegmentRealTimeData", at=now, Data=slices(1, at=now)))
    inbox.accept(said("SegmentRealTimeData", at=now, account="hall", RoomId="another", Data=slices(2, at=now)))
    work(database, ruled(SHORTER))
    first, second = planned(database)
    assert first["quota"] == second["quota"]
    assert "AK-0123456789" not in first["quota"]
    assert sorted([first["interval_us"], second["interval_us"]]) == [round(1e6 / 144), round(1e6 / 96)]
    assert first["lane"] != second["lane"]


@ONLY_SQLITE
@pytest.mark.parametrize("token", ["", 'security_token = "env:SOME_SECRET"'])
def test_a_rotated_key_goes_on_below_the_limit_of_those_before_it(environ: dict[str, str], token: str) -> None:
    """A worker that starts after a rotation shares the limit of one that started before."""
    config = Path(environ["REELHOOK_CONFIG"])
    key = config.with_name("key")
    key.write_text("AK-BEFORE")
    environ = environ_with_rules(environ, SHORTER) | {"ROTATED": "AK-BEFORE"}
    kind = "env:ROTATED" if token else "file:key"
    config.write_text(
        config.read_text().replace('access_key_id = "env:SOME_KEY"', f'access_key_id = "{kind}"\n{token}')
    )
    before = Terms(settings_of(environ))
    quota = before.quota("volcengine", "classroom")
    key.write_text("AK-AFTER-IT")
    after = Terms(settings_of(environ | {"ROTATED": "AK-AFTER-IT"}))
    assert after.quota("volcengine", "classroom") == after.quota("volcengine", "hall") == quota
    assert after.quota("aliyun", "lessons") != quota
    config.write_text(config.read_text().replace("[accounts.hall]", '[accounts.hall]\nquota = "own"'))
    assert Terms(settings_of(environ)).quota("volcengine", "hall") == "volcengine/own"


def test_a_change_that_may_happen_again_is_acted_on_each_time_and_a_repeat_is_not(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings = ruled("rules:\n  - {name: grew, when: recording.changed, do: [http.post: {to: captioning}]}\n")
    now = now_ms()
    for minutes in (1, 2, 2, 3):
        files = [file(at=now) | {"Duration": minutes * 60_000}]
        inbox.accept(said("RecordStopped", at=now + minutes, RecordFileList=files))
        work(database, settings)
    actions = planned(database)
    assert len(actions) == 2
    assert len({action["recording"] for action in actions}) == 1
    assert len({action["subject"] for action in actions}) == 2


def test_what_is_replayed_fires_no_rule_unless_it_is_wanted(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings = ruled(HAND_OVER)
    for number in (1, 2):
        inbox.accept(incoming(file_created(number), token=TOKEN))
    with database.write() as connection:
        connection.execute(tables.inbox.update().values(state=tables.QUARANTINED, reason="a bug"))
    with database.read() as connection:
        first, second = connection.execute(select(tables.inbox.c.delivery).order_by(tables.inbox.c.delivery)).scalars()

    def only(delivery: str) -> None:
        with database.write() as connection:
            others = tables.inbox.c.delivery != delivery
            connection.execute(tables.inbox.update().where(others).values(state=tables.PROCESSED))

    only(first)
    assert replay(database, Filters()) == 1
    work(database, settings)
    assert planned(database) == []
    with database.write() as connection:
        chosen = tables.inbox.c.delivery == second
        connection.execute(tables.inbox.update().where(chosen).values(state=tables.QUARANTINED))
    assert replay(database, Filters(), fire=True) == 1
    work(database, settings)
    assert one(database)["delivery"] == second


def test_calls_that_wait_for_a_task_are_cancelled_when_it_stops_and_what_is_no_part_of_it_goes_on(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings = ruled(
        """
rules:
  - name: one-big-picture
    when: task.started
    do:
      - volcengine.update_record:
          Layout: {LayoutMode: 2}
  - name: tell
    when: task.started
    do: [http.post: {to: captioning}]
"""
    )
    now = now_ms()
    inbox.accept(said("RecordStarted", at=now))
    work(database, settings)
    assert {action["operation"]: action["state"] for action in planned(database)} == {
        "volcengine.update_record": "planned",
        "http.post": "planned",
    }
    inbox.accept(said("RecordStopped", at=now + 1000, RecordFileList=[]))
    work(database, settings)
    states = {action["operation"]: (action["state"], action["reason"]) for action in planned(database)}
    assert states == {
        "volcengine.update_record": ("cancelled", "its task has stopped"),
        "http.post": ("planned", None),
    }


@pytest.mark.parametrize("at_once", [True, False])
def test_a_call_for_a_task_that_is_over_when_it_is_planned_is_cancelled_with_the_reason(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings], *, at_once: bool
) -> None:
    step = "volcengine.update_record: {Layout: {LayoutMode: 2}}"
    rule = f"rules:\n  - {{name: late, when: task.started, max_age: none, do: [{step}]}}\n"
    settings, now = ruled(rule), now_ms()
    inbox.accept(said("RecordStopped", at=now, RecordFileList=[]))
    if not at_once:
        work(database, settings)
    inbox.accept(said("RecordStarted", at=now - 1000))
    work(database, settings)
    assert [(action["state"], action["reason"]) for action in planned(database)] == [
        ("cancelled", "its task has stopped")
    ]


def test_a_runaway_is_stopped_by_the_limit_for_its_task_and_shows(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings, now = ruled(SHORTER.replace("60/1h", "2/1h").replace(" && task.segment_count <= 3", "")), now_ms()
    inbox.accept(said("SegmentRealTimeData", at=now, Data=slices(*range(1, 6), at=now)))
    work(database, settings)
    states = [action["state"] for action in planned(database)]
    assert states.count("refused") == 3
    assert any("limit for its task" in (action["reason"] or "") for action in planned(database))


def test_what_a_rule_started_in_a_way_that_takes_no_update_gets_none(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings = ruled(
        """
rules:
  - name: record-on
    when: recording.available
    accounts: [lessons]
    once_per: account
    max_age: none
    do:
      - aliyun.start_record_task: {TemplateId: single, MixMode: 0, SourceType: camera}
  - name: bigger
    when: recording.available
    accounts: [lessons]
    max_age: none
    do:
      - aliyun.update_record_task: {TemplateId: single, SubSpecUsers: [teacher]}
"""
    )
    inbox.accept(incoming(file_created(1), token=TOKEN))
    work(database, settings)
    started, updated = planned(database)
    assert (started["state"], updated["state"]) == ("planned", "planned")
    inbox.accept(incoming(file_created(2, TaskId=started["parameters"]["TaskId"]), token=TOKEN))
    work(database, settings)
    (refused,) = [action for action in planned(database) if action["state"] == "refused"]
    assert refused["operation"] == "aliyun.update_record_task"
    assert "started with MixMode 0" in refused["reason"]


def test_a_name_of_two_tasks_is_refused_with_the_one_that_has_it(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    rule = SHORTER.replace("{Duration: 20}", "{Identifier: '${task.app_id}'}").replace("segment_count <= 3", "run == 1")
    settings, now = ruled(rule), now_ms()
    for room in ("first", "second"):
        inbox.accept(said("SegmentRealTimeData", at=now, RoomId=room, Identifier=f"of-{room}", Data=slices(1, at=now)))
        work(database, settings)
    first, second = planned(database)
    assert first["state"] == "planned"
    assert second["state"] == "refused"
    assert second["reason"].startswith("Identifier '")
    assert "/first/" in second["reason"]


def test_a_name_that_another_tasks_slices_bear_is_refused(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    rule = SHORTER.replace("{Duration: 20}", "{Identifier: '${task.room_id}'}")
    settings, now = ruled(rule), now_ms()
    inbox.accept(said("SegmentRealTimeData", at=now, RoomId="elder", Identifier="room-x", Data=slices(1, at=now)))
    inbox.accept(said("SegmentRealTimeData", at=now, RoomId="room-x", Identifier="own", Data=slices(2, at=now)))
    work(database, settings)
    (refused,) = [action for action in planned(database) if action["state"] == "refused"]
    assert "belongs to task slices_1203 in room elder" in refused["reason"]


def test_what_is_wrong_only_at_run_time_is_refused_and_the_delivery_stays_processed(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings, now = ruled(SHORTER.replace("Duration: 20", "Duration: '${segment.duration_ms}'")), now_ms()
    inbox.accept(said("SegmentRealTimeData", at=now, Data=slices(1, at=now)))
    work(database, settings)
    action = one(database)
    assert (action["state"], action["parameters"]) == ("refused", None)
    assert "Duration" in action["reason"]
    assert "1 to 600" in action["reason"]
    assert inbox_states(database) == [("processed", None)]


def test_a_shadow_is_planned_and_shown_and_never_due(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings = ruled(HAND_OVER.replace("    do:", "    mode: shadow\n    do:"))
    inbox.accept(incoming(file_created(1), token=TOKEN))
    work(database, settings)
    assert (one(database)["state"], one(database)["stage"]) == ("shadow", "over")


def test_an_ordered_destination_has_one_lane_and_its_own_rate(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    for number in (1, 2):
        inbox.accept(incoming(file_created(number), token=TOKEN))
    work(database, ruled(HAND_OVER.replace("captioning}", "archive}")))
    actions = planned(database)
    assert {action["lane"] for action in actions} == {"destination/archive"}
    assert {action["quota"] for action in actions} == {"destination/archive"}
    assert sorted(action["stage"] for action in actions) == ["ready", "waiting"]


def test_events_older_than_max_age_ask_for_nothing_and_are_counted(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings, now = ruled(SHORTER), now_ms()
    inbox.accept(said("SegmentRealTimeData", at=now - 3_600_000, Data=slices(1, at=now - 3_600_000)))
    working = work(database, settings)
    assert planned(database) == []
    assert figures(working, database)["short-slices"] | {"failure": None} == _counted(age=1)


def test_why_a_rule_matched_and_did_not_is_counted_with_the_last_failure(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    rules = """
rules:
  - {name: all-files, when: recording.available, do: [http.post: {to: captioning}]}
  - {name: others, when: recording.available, accounts: [classroom], do: [http.post: {to: captioning}]}
  - {name: big, when: recording.available, if: recording.size_bytes > 10, do: [http.post: {to: captioning}]}
  - {name: mp4, when: recording.available, if: 'recording.format == "mp4"', do: [http.post: {to: captioning}]}
"""
    inbox.accept(incoming(file_created(1), token=TOKEN))
    inbox.accept(incoming(file_created(2), token=TOKEN))
    working = work(database, ruled(rules))
    found = figures(working, database)
    assert found["all-files"]["matched"] == 2
    assert found["all-files"]["matched_at"] > 0
    assert found["others"]["account"] == 2
    assert found["mp4"]["condition"] == 2
    assert (found["big"]["failed"], found["big"]["matched"]) == (2, 0)
    assert "size_bytes" in found["big"]["failure"] or "null" in found["big"]["failure"]


def test_a_delivery_that_a_rule_knows_nothing_of_costs_no_action(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings = ruled("rules:\n  - {name: strange, when: unknown, do: [http.post: {to: captioning}]}\n")
    inbox.accept(incoming(file_created(1), token=TOKEN))
    inbox.accept(incoming(file_created(2, Event="RecordPaused"), token=TOKEN))
    work(database, settings)
    action = one(database)
    told = json.loads(action["told"])
    assert (told["change"], told["event"]["word"], told["task"]) == ("unknown", "RecordPaused", None)
    assert action["subject"] == f"{action['delivery']}/0"


def figures(working: Any, database: Database) -> dict[str, dict[str, Any]]:
    """Write down what was counted; return it by rule."""
    working._planner.notes.flush(database, now=now_ms(), at_once=True)
    with database.read() as connection:
        rows = connection.execute(select(tables.rule_figures)).mappings()
        return {row["rule"]: dict(row) for row in rows}


def _counted(**numbers: int) -> dict[str, Any]:
    names = ("matched", "account", "vendor", "age", "condition", "failed")
    last = {"rule": "short-slices", "matched_at": None, "failed_at": None, "failure": None}
    return {name: numbers.get(name, 0) for name in names} | last


def test_processors_without_rules_ask_none(inbox: Inbox, database: Database, ruled: Callable[[str], Settings]) -> None:
    settings = ruled("rules: []\n")
    inbox.accept(incoming(file_created(1), token=TOKEN))
    assert processor(database, settings).process() == 1
    assert planned(database) == []
