"""`reelhook rules check`: what is wrong, what may not be expected, the rules' own tests, and the exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from terminal import asked, typed

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

SHORTER = """rules:
  - name: shorter
    when: segment.created
    if: segment.duration_ms > 60000
    once_per: task
    do:
      - volcengine.update_segment: {Duration: 20}
    tests:
      - segment: {duration_ms: 61000}
        expect: [{volcengine.update_segment: {Duration: 20}}]
      - segment: {duration_ms: 1000}
        expect: []
"""
CONFIG = """
[accounts.classroom]
vendor = "volcengine"
callback_secrets = ["env:VOLC_SECRET"]

[destinations.captioning]
kind = "http"
url = "https://captions.example.com/hooks"
secret = "env:CAPTIONS"
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    config = tmp_path / "reelhook.toml"
    config.write_text(CONFIG)
    return {
        "REELHOOK_DATA": str(tmp_path / "var"),
        "REELHOOK_CONFIG": str(config),
        "VOLC_SECRET": "volc-secret-of-a-test",
        "CAPTIONS": "whsec_" + "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4",
    }


def checked(text: str, tmp_path: Path, environ: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return asked("rules", "check", str(path), *more, environ=environ)


def test_rules_in_order_end_with_0_and_tell_what_may_not_be_expected(tmp_path: Path, environ: dict[str, str]) -> None:
    done = checked(SHORTER, tmp_path, environ)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "mine.yaml is in order: 1 rule, 2 tests"
    assert all(line.startswith("mine.yaml:7:9: warning: volcengine.update_segment: ") for line in lines[:-1])
    assert len(lines) > 1


def test_every_problem_has_its_line_and_the_end_is_1(tmp_path: Path, environ: dict[str, str]) -> None:
    done = checked(SHORTER.replace("Duration: 20", "Duration: 900").replace("61000", "6s"), tmp_path, environ)
    assert done.returncode == 1
    problems = [line for line in done.stdout.splitlines() if "warning" not in line]
    assert problems[0].startswith("mine.yaml:7:47: Duration is 900; expected ")
    assert problems[1] == 'mine.yaml:9:32: segment.duration_ms is "6s"; expected a whole number'
    assert "problems in mine.yaml" in problems[-1]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("61000", "1000", "expected the calls volcengine.update_segment; came none (condition)"),
        (
            "expect: []",
            "expect: [{volcengine.update_segment: {}}]",
            "expected the calls volcengine.update_segment; came",
        ),
        ("segment: {duration_ms: 61000}", "segment: {}", "came none (failed: > on (null, int)"),
        ("{Duration: 20}}]", "{Duration: 30}}]", "update_segment has Duration 20; expected 30"),
        ("{Duration: 20}}]", "{}}]", "update_segment has Duration 20; expected not at all"),
        ("{Duration: 20}}]", "{Duration: 20, Handle: true}}]", "has Handle not at all; expected True"),
        ("{volcengine.update_segment: {Duration: 20}}]", "{refused: range}]", "expected a refusal"),
        ("      - segment: {duration_ms: 61000}", "      - age: 11m\n        segment: {duration_ms: 61000}", "(age: "),
    ],
)
def test_a_test_that_fails_ends_with_1_and_says_what_came(
    before: str, after: str, said: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    assert before in SHORTER
    done = checked(SHORTER.replace(before, after, 1), tmp_path, environ)
    assert done.returncode == 1
    assert said in done.stdout
    assert "mine.yaml:" in done.stdout


def test_json_holds_all_of_it(tmp_path: Path, environ: dict[str, str]) -> None:
    done = checked(SHORTER.replace("segment.duration_ms >", "segment.length >"), tmp_path, environ, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["file"].endswith("mine.yaml")
    assert len(told["version"]) == 16
    assert told["rules"] == []
    first = told["problems"][0]
    assert (first["line"], first["column"], first["level"]) == (4, 16, "error")
    assert "segment has no field length" in first["text"]


def test_configured_accounts_and_destinations_are_those_that_are_known(tmp_path: Path, environ: dict[str, str]) -> None:
    text = "rules:\n- {name: a, when: task.stopped, accounts: %s, do: {http.post: {to: %s}}}\n"
    assert checked(text % ("classroom", "captioning"), tmp_path, environ).returncode == 0
    done = checked(text % ("lessons", "captions"), tmp_path, environ)
    assert 'there is no account "lessons"; configured: classroom' in done.stdout
    assert 'there is no destination "captions"; did you mean captioning?' in done.stdout
    assert "secret-of-a-test" not in done.stdout + done.stderr


def test_without_a_file_there_are_no_rules_and_no_failure(tmp_path: Path, environ: dict[str, str]) -> None:
    done = typed("rules", "check", environ=environ, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"there is no {tmp_path / 'rules.yaml'}: no rules\n"
    told = json.loads(typed("rules", "check", "--json", environ=environ, cwd=tmp_path).stdout)
    assert (told["rules"], told["problems"], told["version"]) == ([], [], None)


def test_the_file_that_would_be_used_is_checked(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "rules.yaml").write_text("rules: [{}]\n")
    assert typed("rules", "check", environ=environ, cwd=tmp_path).returncode == 1
    named = tmp_path / "other.yaml"
    named.write_text(SHORTER)
    done = typed("rules", "check", environ=environ | {"REELHOOK_RULES": str(named)}, cwd=tmp_path)
    assert (done.returncode, "other.yaml is in order" in done.stdout) == (0, True)


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path, environ: dict[str, str]) -> None:
    done = asked("rules", "check", str(tmp_path / "nowhere.yaml"), environ=environ)
    assert done.returncode == 2
    named = asked("rules", "check", environ=environ | {"REELHOOK_RULES": str(tmp_path / "nowhere.yaml")})
    assert (named.returncode, f"there is no file {tmp_path / 'nowhere.yaml'}" in named.stderr) == (2, True)
    assert asked("rules", "check", environ=environ | {"PORT": "high"}).returncode == 2


def test_a_file_that_is_no_text_is_told_without_a_traceback(tmp_path: Path, environ: dict[str, str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    done = asked("rules", "check", str(path), environ=environ)
    assert done.returncode == 1
    assert "expected a text in UTF-8" in done.stderr
