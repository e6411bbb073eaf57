"""What `reelhook rules check` tells of destinations: a call that can never work there, and what this machine lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from terminal import asked

from handlers.destinations import unfit_for
from handlers.secrets import Secret
from handlers.settings import CeleryDestination, SqsDestination

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
[destinations.tasks]
kind = "celery"
broker = "env:BROKER"

[destinations.own]
kind = "python"
entry_point = "thumbnails"

[destinations.ordered]
kind = "sqs"
region = "eu-west-1"
url = "https://sqs.eu-west-1.amazonaws.com/1/jobs.fifo"
"""
RULES = """rules:
  - name: hand-over
    when: recording.available
    do: {%s}
"""


@pytest.mark.parametrize(
    ("step", "code", "said"),
    [
        ("celery.send: {to: tasks}", 1, "celery.send: [destinations.tasks]: task: is not set, and the rule names none"),
        ("celery.send: {to: tasks, task: lessons.caption}", 0, "mine.yaml is in order: 1 rule, 0 tests"),
        ("celery.send: {to: tasks, task: '${recording.format}'}", 0, "mine.yaml is in order: 1 rule, 0 tests"),
        ("sqs.send: {to: ordered, delay_seconds: 5}", 1, "delay_seconds: SQS refuses it for a FIFO queue"),
        ("sqs.send: {to: ordered}", 0, "mine.yaml is in order: 1 rule, 0 tests"),
        ("python.call: {to: own}", 0, "warning: python.call: [destinations.own]: entry_point: no installed"),
    ],
)
def test_what_a_destination_can_not_take_is_told_by_rules_check(
    tmp_path: Path, step: str, code: int, said: str
) -> None:
    (tmp_path / "reelhook.toml").write_text(CONFIG)
    (tmp_path / "mine.yaml").write_text(RULES % step)
    environ = {"REELHOOK_DATA": str(tmp_path / "var"), "REELHOOK_CONFIG": str(tmp_path / "reelhook.toml")}
    done = asked("rules", "check", str(tmp_path / "mine.yaml"), environ=environ | {"BROKER": "memory://"})
    assert (done.returncode, said in done.stdout) == (code, True), done.stdout
    assert ("mine.yaml:2:11: " in done.stdout) == ("in order: " not in said), "a fault has the place of its rule"


def test_what_is_given_decides_whether_a_destination_is_fit() -> None:
    tasks = CeleryDestination(name="tasks", kind="celery", broker=Secret.literal("memory://"), task="lessons.caption")
    assert list(unfit_for("celery.send", tasks, ())) == []
    url = "https://sqs.eu-west-1.amazonaws.com/1/jobs"
    queue = SqsDestination(name="jobs", kind="sqs", region="eu-west-1", url=url)
    assert list(unfit_for("sqs.send", queue, ("delay_seconds",))) == []
    assert list(unfit_for("python.call", queue, ())) == [], "of another kind: the rules themselves are told wrong"
