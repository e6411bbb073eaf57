"""What can be seen of an expression without a change is told; what may be meant is left alone."""

from __future__ import annotations

import pytest
from rule_operations import problems_of

from handlers.events import KINDS
from handlers.questions import filters
from handlers.rules import words
from handlers.rules.change import FIELDS
from handlers.rules.expressions import Expression, NotAnExpression

_IF = "rules:\n- name: a\n  when: recording.available\n  if: >-\n    %s\n  do: {http.post: {to: captioning}}\n"


@pytest.mark.parametrize(
    "condition",
    [
        'task.state == "stopped"',
        'task.state == "stop" + "ped"',
        '"is " + task.state == "is stoped"',
        'task.state.upperAscii() == "STOPPED"',
        '"STOPPED" == task.state.upperAscii()',
        'task.state in ["stopped", "failed"]',
        'task.state in ["stop" + "ped"]',
        "recording.key == \"task.state == 'stoped'\"",
        'recording.format == "any"',
        'recording.media.state == "any"',
        'recording.streams.exists(s, s.source == "screen")',
        'recording.flags.exists(account, account == "any")',
        'account == "classroom" || task.vendor == "huawei"',
        'recording.key.matches("^a[0-9]+$") // matches("a[")',
        'event.at.getHours("Asia/Shanghai") > 20 && event.at.getHours("+08:00") > 20',
        'event.at > timestamp("2026-01-01T00:00:00Z") - duration("1h30m")',
        "recording.size_bytes / 1000 > 0 && recording.size_bytes % 10 == 0",
        "recording.size_bytes > 9223372036854775807",
        'recording.?key.orValue("none") == "none"',
        'recording.key == "a and b, or c is not = d # e 10m “f” ＞ $g"',
        'recording.key.contains("len(now)")',
    ],
)
def test_what_may_be_meant_is_left_alone(condition: str) -> None:
    assert problems_of(_IF % condition) == []


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ('"stoped" == task.state', "5:5: task.state is never"),
        ("task.state != 'stoped'", "did you mean stopped?"),
        ('recording.key == "a" && task.upload == "dne"', "did you mean done?"),
        ('event.kind == "recording.avaliable"', "did you mean recording.available?"),
        ('recording.size_bytes % 0 == 1 || recording.key.matches("[")', "divides by 0"),
        ('has(task.reason) && int("a") == 1', '"a" has no meaning here; expected a whole number'),
        ('task.upload != ""', 'task.upload is never ""; known: uploading, '),
        ('task.upload != ""', "; what is absent is null: write == null or != null, or has(...)"),
        ('event.type == ""', "; what is absent is null: "),
        ('recording.streams.exists(s, s.source == "")', "; what is absent is null: "),
        ('task.upload in ["", "done"]', "; what is absent is null: "),
        ("[1, 2][3] == 1", "it never has a value: "),
    ],
)
def test_what_can_never_work_is_told(condition: str, said: str) -> None:
    problems = problems_of(_IF % condition)
    assert problems
    assert said in problems[0]


@pytest.mark.parametrize(
    ("text", "cures"),
    [
        ("not has(task.reason) and task.run = 1", ["write == to", "write && for and", "write ! for not"]),
        ("task.key like 'a'", ["write a call"]),
        ("task.type == ‘record’", ["write a text"]),
        ("task.type == 「record」", ["write a text"]),
        ("task.run（）", ["write ("]),
        ("task.run > 0 # is it, and not the first", ["no comment"]),
    ],
)
def test_every_habit_of_another_language_is_told_with_its_cure(text: str, cures: list[str]) -> None:
    with pytest.raises(NotAnExpression) as caught:
        Expression(text, "recording.available")
    assert [cure for cure in cures if not any(cure in fault.text for fault in caught.value.faults)] == []
    assert len(caught.value.faults) == len(cures)
    assert all(fault.line == 1 and fault.column for fault in caught.value.faults)


def test_the_words_that_a_field_can_hold_are_those_of_the_catalogue() -> None:
    assert filters.STATES[filters.TASKS] == words.words_of("task", "state", {})
    assert filters.STATES[filters.RECORDINGS] == words.words_of("recording", "state", {})
    assert filters.TYPES == words.TYPES
    assert words.words_of("event", "kind", {}) == KINDS
    assert all(field in FIELDS[view] for view, field in words._WORDS)
