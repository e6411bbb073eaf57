"""Rules that feed themselves or each other are refused, unless something holds them back that really does."""

from __future__ import annotations

import pytest
from rule_operations import problems_of

from handlers.rules import Known
from handlers.rules.known import every_operation

KNOWN = Known(operations=every_operation(), vendors=("aliyun", "huawei", "volcengine"))
_SHORTER = "rules:\n- name: a\n  when: segment.created\n  %s\n  do:\n  - volcengine.update_segment: {Duration: 20}\n"
_AGAIN = "rules:\n- name: a\n  when: %s\n  %s\n  do:\n  - aliyun.start_record_task: {TemplateId: '1'}\n"
_CIRCLE = """rules:
- {name: stop, when: task.started, do: aliyun.stop_record_task%s}
- {name: begin, when: task.stopped, do: {aliyun.start_record_task: {TemplateId: '1'}}%s}
"""


@pytest.mark.parametrize(
    "brake",
    [
        "once_per: task",
        "once_per: task\n  for: 1m",
        "once_per: room",
        "once_per: account\n  for: 12h",
        "limits: {task: 5/1h}",
        "limits: {task: 1/m}",
        "limits: {rule: 60 / h}",
        "limits: {rule: 1440/1d}",
        "enabled: false",
    ],
)
def test_a_rule_that_feeds_itself_is_taken_with_a_brake(brake: str) -> None:
    assert problems_of(_SHORTER % brake, KNOWN) == []


@pytest.mark.parametrize(
    ("brake", "why"),
    [
        ("mode: live", "add `once_per: task` (or room, account), or `limits: {task: 5/1h}`"),
        ("once_per: subject", "add `once_per: task`"),
        ("once_per: task\n  for: 59999ms", "`for` must be 1m or more"),
        ("once_per: room\n  for: 1ms", "`for` must be 1m or more"),
        ("limits: {rule: 1000000/1ms}", "no more than 60 an hour"),
        ("limits: {task: 61/h}", "no more than 60 an hour"),
        ("limits: {rule: 20000/365d}", "over a day at most"),
    ],
)
def test_what_holds_nothing_back_is_no_brake(brake: str, why: str) -> None:
    problems = problems_of(_SHORTER % brake, KNOWN)
    assert len(problems) == 1
    assert why in problems[0]


@pytest.mark.parametrize("change", ["recording.available", "task.started", "task.stopped", "task.failed"])
@pytest.mark.parametrize("brake", ["once_per: task", "once_per: task\n  for: 12h", "limits: {task: 5/1h}"])
def test_nothing_counted_by_task_holds_back_what_starts_a_task_each_time(change: str, brake: str) -> None:
    problems = problems_of(_AGAIN % (change, brake), KNOWN)
    assert len(problems) == 1
    assert "add `once_per: room` (or account) with `for: 12h`, or `limits: {rule: 5/1h}`" in problems[0]
    assert "each call starts a new task" in problems[0]


@pytest.mark.parametrize(
    "brake",
    ["once_per: room\n  for: 12h", "once_per: account\n  for: 1h", "once_per: room", "limits: {rule: 5/1h}"],
)
def test_what_starts_tasks_is_held_back_by_what_reaches_beyond_a_task(brake: str) -> None:
    assert problems_of(_AGAIN % ("recording.available", brake), KNOWN) == []


def test_one_brake_in_a_circle_of_rules_is_enough() -> None:
    assert "stop -> begin -> stop" in problems_of(_CIRCLE % ("", ""), KNOWN)[0]
    assert problems_of(_CIRCLE % ("", ", once_per: room, for: 12h"), KNOWN) == []
    assert problems_of(_CIRCLE % ("", ", enabled: false"), KNOWN) == []


def test_a_circle_that_starts_tasks_is_not_held_back_by_the_task_of_another_rule() -> None:
    """Each task that it starts would be stopped once, and followed by the next."""
    fed = (
        "rules:\n- {name: stop, when: task.started, do: aliyun.stop_record_task, once_per: task}\n"
        "- {name: begin, when: task.stopped, do: {aliyun.start_record_task: {TemplateId: '1'}}, limits: {task: 1/1h}}\n"
    )
    assert "begin" in problems_of(fed, KNOWN)[0] or "feed itself" in problems_of(fed, KNOWN)[0]


def test_rules_of_other_accounts_do_not_feed_each_other() -> None:
    problems = problems_of(_CIRCLE % (", accounts: [lessons]", ", accounts: [evening], limits: {rule: 5/1h}"), KNOWN)
    assert problems == []
    apart = problems_of(_CIRCLE % (", accounts: [lessons]", ", accounts: [evening]"), KNOWN)
    assert len(apart) == 1
    assert "feed itself" in apart[0]
