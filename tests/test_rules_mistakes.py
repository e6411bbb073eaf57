"""Every mistake that a file of rules can hold is told with its place, and with what to write instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rule_operations import KNOWN, OPERATIONS, change, problems_of

from handlers import settings
from handlers.rules import Known
from handlers.rules.known import known_of
from handlers.rules.nodes import MOST_TEXT
from handlers.rules.rule_file import read_rules
from handlers.vendors import VENDORS

_FOLDER = Path(__file__).parent / "fixtures" / "rules"
MISTAKES = sorted(_FOLDER.glob("*.yaml"))
_SHORTER = "rules:\n- name: a\n  when: segment.created\n  %s\n  do:\n  - volcengine.update_segment: {Duration: 20}\n"
_EXPECTED = re.compile(r"# ([0-9]+:[0-9]+: .*)")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """Know what `rules check` does, with the settings that stand beside the mistakes."""
    environ = {
        "REELHOOK_CONFIG": str(_FOLDER / "reelhook.toml"),
        "REELHOOK_DATA": str(tmp_path_factory.mktemp("data")),
        "SECRET": "some-secret-of-a-test",
    }
    return known_of(settings.load(environ, vendors=tuple(VENDORS), create=False))


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_each_mistake_is_told_at_its_place_in_its_words(path: Path, known: Known) -> None:
    text = path.read_text(encoding="utf-8")
    expected = [match[1] for line in text.splitlines() if (match := _EXPECTED.fullmatch(line))]
    assert expected, f"{path.name} says in no comment what is expected"
    file = read_rules(text, known)
    told = file.warnings if expected[0].split(": ")[1] == "warning" else file.errors
    assert [one.shown("rules.yaml") for one in told] == [f"rules.yaml:{one}" for one in expected]


def test_no_two_fixtures_show_the_same() -> None:
    texts = [_EXPECTED.sub("", path.read_text(encoding="utf-8")).strip() for path in MISTAKES]
    assert len(set(texts)) == len(texts) > 160


def test_all_mistakes_are_told_at_once() -> None:
    problems = problems_of(
        """rules:
  - name: Wrong Name
    when: segment.made
    mode: dry
    do:
      - volcengine.update_segment: {Duration: 900}
  - name: b
    when: task.stopped
    if: taks.run > 0
    do: {http.post: {to: nowhere}}
"""
    )
    assert {problem.split(":")[1] for problem in problems} == {"2", "3", "4", "6", "9", "10"}


def test_a_file_that_is_too_large_is_not_read() -> None:
    assert problems_of("#" * (MOST_TEXT + 1)) == [
        f"rules.yaml:1:1: the file has {MOST_TEXT + 1} characters; expected at most {MOST_TEXT}"
    ]


def test_more_rules_than_anybody_writes_are_refused() -> None:
    assert "expected at most 1000" in problems_of("rules:\n" + "  - {}\n" * 1001)[0]


def test_more_expressions_than_anybody_writes_are_refused_before_they_take_minutes() -> None:
    body = "'${1}', " * 5001
    text = f"rules:\n- name: a\n  when: task.stopped\n  do: {{http.post: {{to: captioning, body: [{body}]}}}}\n"
    assert problems_of(text) == [
        "rules.yaml:4:40043: the file comes to more than 5000 expressions, each counted for every change of its rule"
    ]


def test_an_expression_that_is_too_long_is_refused_at_its_line() -> None:
    text = f"rules:\n- name: a\n  when: task.stopped\n  if: task.id == '{'x' * 30_000}'\n  do: http.post\n"
    assert problems_of(text)[0].startswith("rules.yaml:4:7: it has 30")


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing\n", "rules:\n", "rules: []\n", "\ufeffrules: []\r\n", "---\nrules: ~\n"]
)
def test_a_file_without_rules_has_none(text: str) -> None:
    file = read_rules(text, KNOWN)
    assert (file.rules, file.errors, file.warnings) == ((), (), ())


def test_values_follow_the_core_rules_of_yaml_1_2() -> None:
    text = """rules:
- name: a
  when: task.stopped
  do:
    http.post:
      to: captioning
      body: [020, off, yes, 2026-01-02, 0o17, 0x1F, 1e3, .5, null, ~, "020", 1_000, 12:30:45, TRUE, .inf]
"""
    file = read_rules(text, KNOWN)
    assert not file.errors
    body = file.rules[0].cases["task.stopped"].parameters[0]["body"]
    times_and_words = ["off", "yes", "2026-01-02"]
    rest = [15, 31, 1000.0, 0.5, None, None, "020", "1_000", "12:30:45", True, ".inf"]
    assert body == [20, *times_and_words, *rest]


def test_an_alias_repeats_what_stands_at_its_anchor() -> None:
    text = """rules:
- {name: a, when: task.stopped, if: &late task.run > 0, do: &do [{http.post: {to: captioning}}]}
- {name: b, when: task.failed, if: *late, do: *do}
"""
    rules = read_rules(text, KNOWN).rules
    assert [rule.steps for rule in rules] == [("http.post",), ("http.post",)]


def test_windows_lines_are_counted_as_others_are() -> None:
    assert problems_of("rules:\r\n- name: a\r\n  wen: x\r\n")[0].startswith("rules.yaml:2:3: ")
    assert problems_of("rules:\r\n- name: a\r\n  wen: x\r\n")[-1].startswith("rules.yaml:3:3: unknown key")


def test_what_operations_warn_of_stands_at_their_step() -> None:
    file = read_rules(
        _SHORTER % "once_per: task",
        KNOWN,
    )
    assert [one.shown("rules.yaml") for one in file.warnings] == [
        "rules.yaml:6:5: warning: volcengine.update_segment: each change of Duration cuts the slice that is running"
    ]


def test_what_an_operation_warns_of_is_true_of_the_step_or_may_be(known: Known) -> None:
    said = {
        "{Identifier: '${task.id}', Handle: true}": {"an Identifier must", "whether what is left out"},
        "{Identifier: '${task.id}', Handle: true, Duration: 20}": {"an Identifier must", "every update of Duration"},
        "{Handle: true, Duration: '${segment.duration_ms / 1000}'}": {"every update", "whether what is left out"},
    }
    for parameters, begins in said.items():
        file = read_rules((_SHORTER % "once_per: task").replace("{Duration: 20}", parameters), known)
        assert file.errors == ()
        told = [one.text.partition(": ")[2] for one in file.warnings if one.text.startswith("volcengine.update")]
        assert len(told) == len(begins)
        assert all(any(one.startswith(begin) for one in told) for begin in begins)


def test_what_is_taken_and_not_sent_is_warned_of(known: Known) -> None:
    text = _SHORTER % "once_per: task"
    file = read_rules(text.replace("Duration: 20", "Duration: 20, MaxIdleTime: 200"), known)
    assert file.errors == ()
    assert "MaxIdleTime is no parameter of this call: it is not sent" in [one.text for one in file.warnings]
    assert not any("MaxIdleTime" in one.text for one in read_rules(text, known).warnings)


def test_calls_of_a_vendor_without_an_account_are_warned_of() -> None:
    known = Known(operations=OPERATIONS, vendors=KNOWN.vendors, accounts=[("aliyun", "lessons")])
    text = _SHORTER % "once_per: task"
    said = [one.text for one in read_rules(text, known).warnings]
    assert "no account of volcengine is configured, so that this rule never acts" in said


def test_the_sample_changes_of_the_tests_are_changes() -> None:
    assert change().view("segment")["id"] == "seg_1"
