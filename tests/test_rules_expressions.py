"""Expressions: typed and checked when they are read, and without a value rather than wrong when they are evaluated."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from rule_operations import AT, RECORDING, SEGMENT, TASK, change, rules_of

from handlers.events import KINDS
from handlers.rules import Change
from handlers.rules.change import FIELDS, VARIABLES
from handlers.rules.expressions import Expression, NotAnExpression, Scope
from handlers.rules.problems import NoValue

_FOREVER = "[0,1,2,3,4,5,6,7,8,9]"


def value(text: str, told: Change | None = None) -> Any:
    told = told or change("recording.available")
    return Expression(text, told.name).evaluate(Scope(told))


def wrong(text: str, name: str = "recording.available") -> str:
    with pytest.raises(NotAnExpression) as caught:
        Expression(text, name)
    return str(caught.value)


def without(text: str, told: Change | None = None) -> str:
    with pytest.raises(NoValue) as caught:
        value(text, told)
    return str(caught.value)


def test_every_field_of_every_view_is_known_for_every_change_that_has_it() -> None:
    for name in KINDS:
        for view in VARIABLES[name]:
            for field in FIELDS.get(view, ()):
                Expression(f"{view}.{field} == {view}.{field}", name)


def test_what_a_change_has_not_is_unknown_there() -> None:
    for name in KINDS:
        for view in ("recording", "segment"):
            if view not in VARIABLES[name]:
                assert f"{name} has no {view}" in wrong(f"{view}.id == ''", name)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("task.started_at", "time"),
        ("task.recorded_ms", "integer"),
        ("recording.mixed", "boolean"),
        ("recording.format", "text"),
        ("recording.streams", "list"),
        ("recording.media", "map"),
        ("recording.media.width", "any"),
        ("recording", "recording"),
        ("task.started_at - task.started_at", "duration"),
        ("1.5", "number"),
        ("null", "null"),
        ("account", "text"),
    ],
)
def test_the_kind_of_an_expression_is_known_when_it_is_read(text: str, kind: str) -> None:
    assert Expression(text, "recording.available").kind == kind


def test_an_absent_time_is_null_and_never_1970() -> None:
    assert value("recording.ended_at") is None
    assert value("recording.ended_at == null") is True
    assert value("has(recording.ended_at)") is False
    assert value("recording.ended_at != null && recording.ended_at > task.started_at") is False
    assert "null" in without("recording.ended_at > timestamp('1960-01-01T00:00:00Z')")
    assert "null" in without("recording.ended_at.getFullYear()")
    assert value("recording.?ended_at.hasValue()") is False
    assert value("[recording.ended_at]") == [None]


@pytest.mark.parametrize(
    "text",
    [
        "[recording].map(one, one.ended_at)[0]",
        "cel.bind(one, recording, one.ended_at)",
        "[recording].exists(one, one.ended_at < timestamp('1980-01-01T00:00:00Z'))",
    ],
)
def test_an_absent_time_is_not_1970_behind_another_name_either(text: str) -> None:
    assert "a time is absent" in without(text)


def test_a_time_that_is_there_is_one_behind_any_name() -> None:
    assert value("recording.started_at") == "2023-11-14T22:13:20.123Z"
    assert value("[recording].map(one, one.started_at)") == ["2023-11-14T22:13:20.123Z"]
    assert value("recording . started_at == task.started_at") is True
    assert value('"task.ended_at" + r"task.ended_at" // task.ended_at') == "task.ended_attask.ended_at"
    assert value("event.at == timestamp('2023-11-14T22:13:20.123Z')") is True


@pytest.mark.parametrize(
    "field", [name for name, kind in FIELDS["recording"].items() if kind not in {"streams", "media", "texts"}]
)
def test_null_compares_as_null(field: str) -> None:
    told = change("recording.available", recording={})
    assert value(f"recording.{field} == null", told) is True
    assert value(f"has(recording.{field})", told) is False


def test_integers_beyond_2_to_the_53_stay_what_they_are() -> None:
    assert value("recording.size_bytes") == 2**62 + 1
    assert value("task.recorded_ms + 1") == 2**53 + 2
    assert value("recording.media.width") == 2**60 + 1
    assert value('{"a": [recording.size_bytes]}') == {"a": [2**62 + 1]}
    assert value("recording.media") == {"width": 2**60 + 1, "video_codec": "h264"}


def test_text_of_any_script_stays_what_it_is() -> None:
    assert value("recording.key") == "课/é.m3u8"
    assert value("recording.key.startsWith('课')") is True
    assert value("size(recording.key)") == 8


def test_a_whole_view_is_what_the_api_shows() -> None:
    shown = value("recording")
    assert list(shown) == list(FIELDS["recording"])
    assert shown["started_at"] == "2023-11-14T22:13:20.123Z"
    assert shown["ended_at"] is None
    assert shown["size_bytes"] == RECORDING["size_bytes"]
    assert shown["streams"] == RECORDING["streams"]
    assert value("recording.streams[0]") == {"user_id": "u1", "source": "camera"}


def test_other_values_are_as_json_holds_them() -> None:
    assert value('duration("90s")') == 90_000
    assert value('b"abc"') == "YWJj"
    assert value('{1: "a"}') == {"1": "a"}
    assert "inf" in without("1.0 / 0.0")
    assert "optional" in without("recording.media.?nothing")
    assert value("recording.media.?nothing.orValue(7)") == 7
    assert "JSON has not" in without("type(1)")


def test_an_expression_that_would_run_for_ever_ends_by_its_budget() -> None:
    text = "true"
    for name in "abcdefg":
        text = f"{_FOREVER}.all({name}, {text})"
    assert "takes too long" in without(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("recording.size_bytes / 0", "divide by zero"),
        ("recording.streams[3].user_id", "index"),
        ("recording.media.height > 3", 'there is no "height"'),
        ("recording.vid.startsWith('a')", "null"),
        ("recording.size_bytes * recording.size_bytes", "overflow"),
        ("int(recording.key)", "cannot convert string to int"),
        ("recording.key.matches('[')", ""),
    ],
)
def test_what_fails_at_run_time_says_why(text: str, reason: str) -> None:
    assert reason in without(text)


def test_a_change_that_holds_what_no_expression_can_has_no_values() -> None:
    for broken in ({"size_bytes": 2**70}, {"key": 5}, {"key": "\ud800"}, {"mixed": "yes"}, {"started_at": 2**80}):
        told = change("recording.available", recording=RECORDING | broken)
        with pytest.raises(NoValue, match="the change holds a value that no expression can"):
            Scope(told)


def test_the_names_of_what_is_missing_are_told_with_what_is_known() -> None:
    assert "did you mean recording?" in wrong("recordng.id == ''")
    assert "did you mean duration_ms?" in wrong("recording.duration > 1")
    assert "known: user_id, source" in wrong("recording.streams[0].name == ''")
    assert "did you mean startsWith?" in wrong("recording.key.startWith('a')")
    assert 'a span is written duration("90s")' in wrong("task.started_at > 5")


def test_a_view_can_not_be_made_anew() -> None:
    assert "write a map" in wrong("reelhook.Task{id: 'x'}")
    assert value("'reelhook.Task' + account") == "reelhook.Taskclassroom"


def test_threads_may_share_expressions() -> None:
    rules = rules_of(
        "rules:\n- name: a\n  when: recording.available\n  if: recording.size_bytes % 7 == task.run % 7\n"
        "  do: {http.post: {to: captioning, body: '${recording.size_bytes}'}}\n"
    )
    failures: list[str] = []

    def ask(first: int) -> None:
        for number in range(first, first + 1500):
            told = change(
                "recording.available", recording=RECORDING | {"size_bytes": number}, task=TASK | {"run": number + first}
            )
            asked = rules.asked(told).asked
            expected = [number] if first % 7 == 0 else []
            if [(one.parameters or {})["body"] for one in asked] != expected:
                failures.append(f"{number}: {asked}")

    threads = [threading.Thread(target=ask, args=(first,)) for first in (0, 7, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_account_and_the_unknown_event_can_be_asked_for() -> None:
    told = Change(
        name="unknown",
        subject="dlv_1",
        vendor="huawei",
        account="clinic",
        at=AT,
        delivery="dlv_1",
        event={"word": "NEW"},
    )
    assert value("account == 'clinic' && event.word == 'NEW' && task.id == null", told) is True


def test_a_segment_is_seen_with_its_task() -> None:
    assert value("segment.duration_ms > 60000 && task.segment_count <= 3", change()) is True
    assert value("segment.size_bytes", change()) == SEGMENT["size_bytes"]
