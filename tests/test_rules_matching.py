"""What a change asks for: complete calls, refusals with their reason, and why a rule asks for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rule_operations import AT, RECORDING, TASK, change, rules_of

from handlers.destinations import OPERATIONS
from handlers.events import KINDS
from handlers.rules import Batch, Change, Limit, Limits, Retry
from handlers.rules.expressions import Expression, Scope
from handlers.rules.known import known_of, vendor_operations
from handlers.rules.rule_file import read_rules
from handlers.settings import load
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from pathlib import Path

    from handlers.rules import Asked, Rules

SHORT = """rules:
  - name: short-slices-for-long-lessons
    when: segment.created               # a change, or a list of changes
    if: segment.duration_ms > 60000 && task.segment_count <= 3       # CEL
    once_per: task
    mode: live
    do:
      - volcengine.update_segment:
          Duration: 20
          Identifier: ${task.id + "-short"}
          Handle: true
"""


_WITH_IF = "rules:\n- name: a\n  when: task.stopped\n  if: >-\n    {}\n  do: {{http.post: {{to: captioning}}}}\n"


def posting(body: str, when: str = "recording.available", more: str = "") -> Rules:
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    return rules_of(
        f"rules:\n- name: a\n  when: {when}\n{more}  do:\n  - http.post:\n      to: captioning\n      body:\n{lines}\n"
    )


def only(rules: Rules, told: Change, **more: Any) -> Asked:
    answer = rules.asked(told, **more)
    assert len(answer.asked) == 1, answer
    return answer.asked[0]


def why_not(rules: Rules, told: Change, now: int | None = None) -> tuple[str, str]:
    answer = rules.asked(told, now=now)
    assert not answer.asked
    return answer.unmatched[0].reason, answer.unmatched[0].detail


def test_a_change_asks_for_the_call_with_everything_that_it_needs() -> None:
    asked = only(rules_of(SHORT), change())
    assert asked.parameters == {
        "AppId": "app1",
        "RoomId": "room1",
        "TaskId": "lesson-1",
        "Duration": 20,
        "Identifier": "tsk_1-short",
        "Handle": True,
    }
    assert (asked.rule, asked.step, asked.operation) == (
        "short-slices-for-long-lessons",
        0,
        "volcengine.update_segment",
    )
    assert (asked.refused, asked.destination, asked.lane, asked.mode) == (None, None, "lesson-1", "live")
    assert (asked.once.scope, asked.once.key, asked.once.for_ms) == ("task", '["tsk_1"]', None)
    assert asked.max_age_ms == 600_000


def test_integers_stay_numbers_and_times_are_rfc_3339_however_deep() -> None:
    rules = posting(
        "size: ${recording.size_bytes}\nparts:\n- from: ${recording.started_at}\n  to: ${recording.ended_at}\n"
        "  of: ${recording}\ntext: ${task.run}/${recording.started_at}/${recording.mixed}\n"
        "fixed: [1, 2.5, true, null]\n"
        "price: $${task.run}"
    )
    body = (only(rules, change("recording.available")).parameters or {})["body"]
    assert body["size"] == 2**62 + 1
    assert body["parts"][0]["from"] == "2023-11-14T22:13:20.123Z"
    assert body["parts"][0]["to"] is None
    assert body["parts"][0]["of"]["media"]["width"] == 2**60 + 1
    assert body["text"] == "0/2023-11-14T22:13:20.123Z/true"
    assert body["fixed"] == [1, 2.5, True, None]
    assert body["price"] == "${task.run}"


def test_braces_and_quotes_inside_an_expression_do_not_end_it() -> None:
    rules = posting("""a: >-\n  ${{"x": "}"}.x + '}' + "\\"}" + r'}'}!""")
    body = (only(rules, change("recording.available")).parameters or {})["body"]
    assert body["a"] == '}}"}}!'


def test_a_value_that_turns_out_wrong_at_run_time_is_a_refusal_with_its_reason() -> None:
    rules = rules_of(SHORT.replace("Duration: 20", "Duration: ${segment.duration_ms}"))
    asked = only(rules, change())
    assert asked.parameters is None
    assert asked.refused is not None
    assert "Duration" in asked.refused
    assert "1 to 600" in asked.refused


def test_null_within_text_is_a_refusal() -> None:
    asked = only(posting("a: x-${recording.vid}"), change("recording.available"))
    assert (asked.parameters, asked.destination) == (None, "captioning")
    assert asked.refused == "body: ${recording.vid} within text is null; expected text, a number or a time"


def test_a_call_for_another_sort_of_task_is_refused() -> None:
    rules = rules_of("rules:\n- name: a\n  when: task.started\n  do: {volcengine.update_segment: {Duration: 20}}\n")
    asked = only(rules, change("task.started"))
    assert asked.refused is not None
    assert 'let the rule ask for task.type == "segment"' in asked.refused
    assert only(rules, change("task.started", task=TASK | {"type": "segment"})).refused is None


def test_what_a_call_has_of_its_event_may_be_given() -> None:
    rules = rules_of(
        "rules:\n- name: a\n  when: task.started\n"
        "  do: {volcengine.update_segment: {Duration: 20, TaskId: other, BusinessId: b}}\n"
    )
    parameters = only(rules, change("task.started")).parameters or {}
    assert (parameters["TaskId"], parameters["BusinessId"], parameters["RoomId"]) == ("other", "b", "room1")


def test_a_new_task_is_named_by_rule_and_change_so_that_a_repeat_makes_no_second() -> None:
    rules = rules_of(
        "rules:\n- name: a\n  when: recording.available\n  once_per: room\n"
        "  do: {aliyun.start_record_task: {TemplateId: '1'}}\n"
    )
    first, again, other = (
        (only(rules, change("recording.available", vendor="aliyun", subject=subject)).parameters or {})["TaskId"]
        for subject in ("rec_1", "rec_1", "rec_2")
    )
    assert first == again != other


def test_why_a_rule_asks_for_nothing_is_told() -> None:
    rules = rules_of(SHORT.replace("    mode: live\n", "    accounts: [classroom]\n"))
    assert why_not(rules, change(account="evening")) == ("account", "")
    assert why_not(rules, change(vendor="huawei")) == ("vendor", "")
    assert why_not(rules, change(task=TASK | {"segment_count": 4})) == ("condition", "")
    assert why_not(rules, change(segment={}))[0] == "failed"
    assert why_not(rules, change(), AT + 600_001) == ("age", "the event is 600 s old; max_age is 600 s")
    assert len(rules.asked(change(), now=AT + 600_000).asked) == 1


def test_a_condition_that_is_null_or_runs_for_ever_is_no_match_with_its_reason() -> None:
    null = rules_of(
        "rules:\n- {name: a, when: segment.created, if: segment.mixed, do: {http.post: {to: captioning}}}\n"
    )
    assert why_not(null, change(segment={})) == ("failed", "its value is null; expected true or false")
    loops = "task.run == 0"
    for name in "abcdefg":
        loops = f"[0,1,2,3,4,5,6,7,8,9].all({name}, {loops})"
    rules = rules_of(_WITH_IF.format(loops))
    assert why_not(rules, change("task.stopped"))[1].startswith("it takes too long")


def test_destinations_take_events_of_any_age_unless_told() -> None:
    old = AT + 365 * 86_400_000
    assert only(posting("1"), change("recording.available"), now=old).max_age_ms is None
    assert why_not(posting("1", more="  max_age: 1h\n"), change("recording.available"), old)[0] == "age"
    vendor = rules_of(SHORT.replace("mode: live", "max_age: none"))
    assert only(vendor, change(), now=old).max_age_ms is None


def test_a_rule_that_is_switched_off_is_not_even_asked() -> None:
    rules = rules_of(SHORT.replace("mode: live", "enabled: false"))
    assert rules.asked(change()) == rules.asked(change("task.stopped"))
    assert not rules.wait_for("segment.created")
    assert rules_of(SHORT).wait_for("segment.created")


def test_steps_come_in_their_order_and_rules_in_that_of_the_file() -> None:
    rules = rules_of(
        "rules:\n- name: b\n  when: [task.stopped, task.failed]\n  do:\n  - http.post: {to: captioning}\n"
        "  - sqs.send: {to: jobs}\n- name: a\n  when: task.stopped\n  do: {http.post: {to: archive}}\n"
    )
    asked = rules.asked(change("task.stopped")).asked
    assert [(one.rule, one.step, one.operation, one.destination) for one in asked] == [
        ("b", 0, "http.post", "captioning"),
        ("b", 1, "sqs.send", "jobs"),
        ("a", 0, "http.post", "archive"),
    ]


def test_what_a_rule_says_of_limits_batches_and_tries_is_handed_on() -> None:
    more = (
        "  limits: {rule: 20/1h, task: 5 / m}\n  batch: {max: 100, within: 10s}\n  mode: shadow\n"
        "  retry: {tries: 4, within: 1h, delays: [5s, 1m]}\n  once_per: room\n  for: 12h\n"
    )
    asked = only(posting("1", more=more), change("recording.available"))
    assert asked.limits == Limits(rule=Limit(most=20, within_ms=3_600_000), task=Limit(most=5, within_ms=60_000))
    assert asked.batch == Batch(most=100, within_ms=10_000)
    assert asked.retry == Retry(tries=4, within_ms=3_600_000, delays_ms=(5_000, 60_000))
    assert (asked.mode, asked.once.scope, asked.once.for_ms) == ("shadow", "room", 43_200_000)
    assert only(posting("1", more="  retry: off\n"), change("recording.available")).retry == Retry(tries=1)


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ("subject", '["rec_1"]'),
        ("task", '["tsk_1"]'),
        ("room", '["volcengine", "app1", "room1"]'),
        ("account", '["volcengine", "classroom"]'),
    ],
)
def test_what_a_rule_acts_once_for_is_named(scope: str, key: str) -> None:
    rules = posting("1", more=f"  once_per: {scope}\n")
    assert only(rules, change("recording.available")).once.key == key


def test_without_a_task_once_per_task_is_once_per_subject() -> None:
    rules = posting("1", when="unknown", more="  once_per: room\n")
    told = Change(name="unknown", subject="dlv_9", vendor="huawei", account="clinic", at=AT, delivery="dlv_9")
    assert only(rules, told).once.key == '["dlv_9/0"]'


def test_a_change_that_no_expression_can_hold_is_no_match_and_a_refusal() -> None:
    told = change("recording.available", recording=RECORDING | {"size_bytes": 2**80})
    assert why_not(posting("1", more="  if: recording.size_bytes == 0\n"), told)[0] == "failed"
    assert why_not(posting("1", more="  if: recording == null\n"), told)[0] == "failed"
    assert only(posting("1", more="  if: task.run != -1\n"), told).refused is None
    assert "no expression can" in (only(posting("a: ${task.run}"), told).refused or "")
    assert only(posting("1"), told).refused is None


@pytest.mark.parametrize(
    "condition",
    [
        'recording.format == "m3u8"',
        "recording . duration_ms > 60000",
        '[recording].exists(one, one.format == "m3u8")',
        'cel.bind(told, recording, told.key != null && task.id != "")',
        'has(recording.media.width) || recording.streams.exists(one, one.user_id == "teacher")',
        'recording != null && event.word != ""',
        '"task.id" != recording.key // recording.url',
        "recording.ended_at == null || recording.ended_at - recording.started_at > duration('1s')",
    ],
)
def test_a_condition_has_one_value_however_little_of_the_change_it_is_shown(condition: str) -> None:
    expression = Expression(condition, "recording.available")
    told = change("recording.available")
    assert expression.evaluate(Scope(told, named=expression.named)) is expression.evaluate(Scope(told)) is True


def test_every_change_can_be_waited_for() -> None:
    rules = posting("1", when=f"[{', '.join(KINDS)}]")
    for name in KINDS:
        assert only(rules, change(name)).rule == "a"


def test_the_version_tells_one_file_from_another() -> None:
    first, same, other = (rules_of(text).version for text in (SHORT, SHORT, SHORT + "\n"))
    assert first == same != other


def test_the_vendors_own_operations_are_known_with_what_is_configured(tmp_path: Path) -> None:
    settings = load({"REELHOOK_DATA": str(tmp_path)}, vendors=tuple(VENDORS), create=False)
    known = known_of(settings)
    assert set(known.operations) == {*vendor_operations(), *OPERATIONS}
    assert known.accounts is not None
    assert ("volcengine", "default") in known.accounts
    assert known.destinations == {}
    file = read_rules(SHORT, known)
    assert not file.errors
    asked = rules_of(SHORT, known).asked(change(account="default")).asked
    assert [one.refused for one in asked] == [None]


def test_a_task_that_aliyun_starts_gets_a_name_that_it_takes(tmp_path: Path) -> None:
    settings = load({"REELHOOK_DATA": str(tmp_path)}, vendors=tuple(VENDORS), create=False)
    text = (
        "rules:\n- name: a\n  when: recording.available\n  once_per: room\n  for: 1h\n"
        "  do:\n  - aliyun.start_record_task:\n"
        "      TemplateId: 'tmpl-1'\n      SourceType: 0\n      MediaEncode: 30\n"
    )
    known = known_of(settings)
    wrong = [one.text for one in read_rules(text, known).errors]
    assert not [one for one in wrong if one.startswith("TaskId")]
