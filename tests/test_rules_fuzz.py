"""Whatever stands in a file, and whatever a change holds, comes to problems, refusals or calls, and to nothing else."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from rule_operations import KNOWN, change, rules_of

from handlers.events import KINDS
from handlers.rules import Answer, Change
from handlers.rules.change import FIELDS
from handlers.rules.matching import REASONS
from handlers.rules.rule_file import RuleFile, read_rules

_FIXTURES = [path.read_text(encoding="utf-8") for path in (Path(__file__).parent / "fixtures" / "rules").glob("*.yaml")]
_WORDS = st.sampled_from(
    [
        *("rules:", "- ", "name", ": ", "when", "segment.created", "if", "do", "tests", "expect", "limits", "batch"),
        *("\n", "  ", "${", "}", "{", "[", "]", '"', "'", "#", "!", "&a ", "*a", "|", ">-", "\t", "?", "%", "@", "---"),
        *(
            "volcengine.update_segment",
            "Duration",
            "task.id",
            "==",
            "...",
            "\\U99999999",
            "\\x",
            "\ufeff",
            "\x00",
            "\x85",
        ),
        *(
            "\u2028",
            "课",
            "😀",
            "<<",
            "!!python/object:x",
            "1e999",
            "0x",
            "~",
            "\r",
            "\r\n",
            "`",
            ",",
            "-",
            "? ",
            ":\n",
        ),
        "%YAML 1.1\n---\n",
    ]
)
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def _read(text: str) -> None:
    file = read_rules(text, KNOWN)
    assert isinstance(file, RuleFile)
    assert not (file.errors and file.rules)
    lines = text.count("\n") + text.count("\r") + 1
    for problem in (*file.errors, *file.warnings):
        assert 1 <= problem.line <= lines
        assert problem.column >= 1
        assert problem.text.strip()
        assert problem.text.isprintable()


@given(st.text())
@settings(max_examples=400, deadline=None)
def test_any_text_is_rules_or_problems(text: str) -> None:
    _read(text)


@given(st.lists(_WORDS, max_size=40))
@settings(max_examples=800, deadline=None)
@example(["{", "*a"])
@example(['"', "\\U99999999", '"'])
def test_any_pieces_of_yaml_are_rules_or_problems(pieces: list[str]) -> None:
    _read("".join(pieces))


@given(st.sampled_from(_FIXTURES), st.integers(0, 2000), st.integers(0, 12), st.lists(_WORDS, max_size=3))
@settings(max_examples=800, deadline=None)
def test_a_file_that_was_cut_or_mixed_up_is_rules_or_problems(text: str, at: int, much: int, pieces: list[str]) -> None:
    at %= len(text) + 1
    _read(text[:at] + "".join(pieces) + text[at + much :])


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_condition_is_an_expression_or_a_problem(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    do = f"{{http.post: {{to: captioning, body: {quoted}}}}}"
    _read(f"rules:\n- name: a\n  when: task.stopped\n  if: {quoted}\n  do: {do}\n")


_POOL = rules_of(
    f"""rules:
- name: conditions
  when: [{", ".join(KINDS)}]
  if: event.code > 3 || task.started_at < timestamp("2026-01-01T00:00:00Z") || event.reason.startsWith("x")
  once_per: room
  do:
  - http.post:
      to: ${{event.word}}
      body: {{event: "${{event}}", task: "${{task}}", text: "a${{event.at}}b${{task.run}}", account: "${{account}}"}}
- name: calls
  when: [segment.created, task.started, unknown]
  once_per: room
  do: {{volcengine.update_segment: {{Duration: "${{task.run}}", Identifier: "${{task.id}}"}}}}
- name: files
  when: [recording.created, recording.changed, recording.available]
  if: >-
    recording.media.width > 3 || recording.streams.exists(s, s.source == "screen") || size(recording.flags) > 0
  do: {{http.post: {{to: captioning, body: "${{recording}}"}}}}
- name: slices
  when: segment.created
  do: {{http.post: {{to: captioning, body: ["${{segment}}", "${{segment.media}}", "x${{segment.mixed}}"]}}}}
- name: always
  when: [{", ".join(KINDS)}]
  do: {{http.post: {{to: captioning}}}}
"""
)
_views = {view: st.dictionaries(st.sampled_from(sorted(fields)), _ANY) for view, fields in FIELDS.items()}


_changes = st.builds(
    Change,
    name=st.sampled_from(KINDS),
    subject=st.text(max_size=5),
    vendor=st.sampled_from(["volcengine", "huawei", ""]),
    account=st.text(max_size=5),
    at=st.integers(),
    delivery=st.text(max_size=5),
    event=_views["event"],
    **{view: st.none() | _views[view] for view in ("task", "recording", "segment")},
)


@given(_changes)
@settings(max_examples=300, deadline=None)
def test_no_change_of_any_content_makes_any_rule_raise(told: Change) -> None:
    answer = _POOL.asked(told, now=0)
    assert isinstance(answer, Answer)
    assert all((one.parameters is None) != (one.refused is None) for one in answer.asked)
    assert all(one.reason in REASONS for one in answer.unmatched)
    assert "always" in {one.rule for one in answer.asked}


def test_a_change_of_a_million_characters_is_no_harder() -> None:
    told = change("task.stopped", event={"word": "课" * 1_000_000, "code": 4, "at": 5})
    asked = [one for one in _POOL.asked(told).asked if one.rule == "conditions"]
    assert asked[0].destination is None
    assert asked[0].refused, "no destination has such a name"
