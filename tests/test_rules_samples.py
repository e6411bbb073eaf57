"""A rule's tests prove something: what fails for another reason than the one they mean is told."""

from __future__ import annotations

from rule_operations import KNOWN, problems_of

from handlers.rules import Rules
from handlers.rules.rule_file import read_rules
from handlers.rules.samples import run_samples

_WIDE = """rules:
- name: wide
  when: recording.available
  if: %s
  do: {http.post: {to: captioning}}
  tests:
  - {recording: {media: {width: 5}}, expect: %s}
"""
_FOREVER = "[0,1,2,3,4,5,6,7,8,9]"


def failures(text: str) -> list[str]:
    file = read_rules(text, KNOWN)
    assert not file.errors, file.errors
    return [one.text for one in run_samples(Rules(file.rules, KNOWN), KNOWN)]


def test_no_call_for_want_of_a_value_is_a_failure_unless_the_test_asks_for_it() -> None:
    said = failures(_WIDE % ("recording.media.widht > 1280", "[]"))
    assert len(said) == 1
    assert "the condition has no value" in said[0]
    assert 'there is no "widht"' in said[0]
    assert failures(_WIDE % ("recording.media.width > 1280", "[]")) == []
    assert failures(_WIDE % ("recording.media.widht > 1280", "[{failed: widht}]")) == []


def test_a_failure_that_a_test_asks_for_has_to_happen_and_for_its_reason() -> None:
    assert "and it has one" in failures(_WIDE % ("recording.media.width > 1280", "[{failed: width}]"))[0]
    assert "and it has one" in failures(_WIDE % ("recording.media.width < 1280", "[{failed: width}]"))[0]
    assert 'to fail for "height"' in failures(_WIDE % ("recording.media.widht > 1280", "[{failed: height}]"))[0]


def test_a_condition_over_its_budget_does_not_pass_for_one_that_is_false() -> None:
    text = "task.run < 1"
    for name in "abcdefg":
        text = f"{_FOREVER}.all({name}, {text})"
    said = failures(_WIDE % (f"'{text}'", "[]"))
    assert len(said) == 1
    assert "takes too long" in said[0]


def test_the_vendor_of_a_test_is_that_of_its_account() -> None:
    rule = """rules:
- name: a
  when: task.stopped
  if: %s
  do: {http.post: {to: captioning}}
  tests:
  - {account: clinic, expect: [{http.post: {to: captioning}}]}
"""
    assert failures(rule % 'task.vendor == "huawei" && account == "clinic"') == []


def test_a_test_may_show_what_a_rule_does_with_another_vendor() -> None:
    rule = """rules:
- name: a
  when: segment.created
  once_per: task
  do: {volcengine.update_segment: {Duration: 20}}
  tests:
  - {vendor: huawei, account: clinic, expect: []}
  - {expect: [{volcengine.update_segment: {Duration: 20}}]}
"""
    assert failures(rule) == []


def test_what_a_test_expects_may_be_named_without_parameters() -> None:
    rule = """rules:
- name: a
  when: task.stopped
  do: {http.post: {to: captioning}}
  tests:
  - {expect: [{http.post: %s}]}
"""
    assert "expected not at all" in failures(rule % "")[0]
    assert problems_of(rule % "captioning")[0].endswith('http.post are "captioning"; expected a map')
