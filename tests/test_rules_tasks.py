"""What rules do once per task, or so often per task, before the catalogue knows the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rules_acting import environ_with_rules, inbox_states, planned, said, settings_with_rules, work

from handlers.clock import now_ms
from handlers.rules.change import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.database import Database
    from handlers.inbox import Inbox
    from handlers.settings import Settings

STREAMS = """
rules:
  - name: streams
    when: stream.changed
    {}
    do: [http.post: {{to: captioning}}]
"""


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment of three accounts, so far without rules."""
    return environ_with_rules(environ, "rules: []\n")


@pytest.fixture
def ruled(environ: dict[str, str]) -> Callable[[str], Settings]:
    """Return what puts rules in force."""
    return lambda rules: settings_with_rules(environ, rules)


def tell_of_streams(inbox: Inbox, database: Database, settings: Settings, *, first: int, **fields: Any) -> None:
    """Let the vendor say three times that a stream of a task changed, and process each time by itself."""
    for number in range(first, first + 3):
        inbox.accept(said("RecordAudioStreamStateChanged", at=now_ms() + number, UserId=f"user-{number}", **fields))
        work(database, settings)


def test_a_task_that_the_catalogue_does_not_know_yet_is_one_task_of_the_vendors_name(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings = ruled(STREAMS.format("once_per: task"))
    tell_of_streams(inbox, database, settings, first=0)
    assert [(row["task"], row["state"]) for row in planned(database)] == [(None, "planned")]
    tell_of_streams(inbox, database, settings, first=10, TaskId="another")
    assert [row["task"] for row in planned(database)] == [None, None]


def test_the_limit_for_a_task_holds_before_the_catalogue_knows_it_and_for_each_by_itself(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings = ruled(STREAMS.format("limits: {task: 2/1h}"))
    tell_of_streams(inbox, database, settings, first=0)
    tell_of_streams(inbox, database, settings, first=10, TaskId="another")
    assert [(row["task"], row["state"]) for row in planned(database)] == [
        (None, "planned"),
        (None, "planned"),
        (None, "refused"),
    ] * 2


def test_the_run_of_a_task_is_told_from_what_came_before_it(
    inbox: Inbox, database: Database, ruled: Callable[[str], Settings]
) -> None:
    settings = ruled(STREAMS.format("once_per: task"))
    tell_of_streams(inbox, database, settings, first=0)
    inbox.accept(said("RecordStarted", at=now_ms() + 5))
    work(database, settings)
    tell_of_streams(inbox, database, settings, first=10)
    assert [row["task"] is None for row in planned(database)] == [True, False]
    assert {state for state, _ in inbox_states(database)} == {"processed"}


def change(**event: Any) -> Change:
    told = {"app_id": "app", "room_id": "room", "task_id": "task", "type": "record"} | event
    return Change(
        name="stream.changed", subject="dlv_1", vendor="volcengine", account="a", at=0, delivery="dlv_1", event=told
    )


def test_a_task_has_one_name_whatever_the_event_names_it_in() -> None:
    assert change().task_name == "volcengine/app/room/record/task"
    assert change(type=None).task_name is None
    assert change(task_id=None).task_name is None, "a whole room is no task"


def test_the_longest_names_of_a_task_fit_into_an_index() -> None:
    long = {"app_id": "课" * 170, "room_id": "课" * 170, "task_id": "课" * 170}
    name, other = change(**long).task_name, change(**long | {"task_id": "课" * 169}).task_name
    assert name is not None
    assert len(name) < 64
    assert name != other
