"""A worker that begins while the file of rules is broken: nothing is processed without rules that it should meet."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from callbacks import file_created, incoming
from conftest import TOKEN
from program import wait_until
from rules_acting import environ_with_rules, inbox_states, planned, settings_of
from sqlalchemy import func, select

from handlers import tables, worker
from handlers.clock import now_ms
from handlers.inbox import rule_notes
from handlers.questions.rules import rules_in_force
from handlers.rules.matching import version_of
from handlers.vendors import VENDORS
from handlers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.database import Database
    from handlers.inbox import Inbox
    from handlers.settings import Settings

RULES = "rules:\n- {name: tell, when: recording.available, mode: shadow, do: {http.post: {to: captioning}}}\n"
BROKEN = RULES.replace("recording.available", "recording.avaliable")


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ_with_rules(environ, RULES)


@contextmanager
def working(database: Database, settings: Settings) -> Iterator[None]:
    """Let a worker run in a thread until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=Worker(database, settings, VENDORS).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def test_without_rules_of_before_deliveries_wait_until_the_file_is_mended(
    inbox: Inbox, database: Database, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.rules.write_text(BROKEN)
    inbox.accept(incoming(file_created(1), token=TOKEN))
    with working(database, settings):
        wait_until(lambda: "deliveries wait for its mending" in caplog.text, what="a word on the broken file")
        wait_until(lambda: _said_by_workers(database) == 1, what="the worker's note")
        assert inbox_states(database) == [("kept", None)]
        settings.rules.write_text(RULES)
        wait_until(lambda: inbox_states(database) == [("processed", None)], what="a processed delivery")
    assert [action["rule"] for action in planned(database)] == ["tell"]


def test_the_rules_that_were_in_force_before_the_restart_stay_in_force(
    inbox: Inbox, database: Database, settings: Settings, environ: dict[str, str]
) -> None:
    with working(database, settings):
        wait_until(lambda: _said_by_workers(database) == 1, what="the worker's note")
    settings.rules.write_text(BROKEN)
    inbox.accept(incoming(file_created(1), token=TOKEN))
    with working(database, settings_of(environ)):
        wait_until(lambda: inbox_states(database) == [("processed", None)], what="a processed delivery")
    assert [action["rule"] for action in planned(database)] == ["tell"]


def test_rules_of_before_that_are_wrong_by_now_are_fetched_once_and_deliveries_wait(
    inbox: Inbox,
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.rules.write_text(BROKEN)
    wrong = RULES.replace("captioning", "no-longer-there")
    with database.write() as connection:
        row = {"version": version_of(wrong), "text": wrong, "noted_at": now_ms()}
        connection.execute(tables.rule_texts.insert(), [row])
    inbox.accept(incoming(file_created(1), token=TOKEN))
    asked, fetched = Mock(wraps=rule_notes.last_version), Mock(wraps=rule_notes.last_text)
    monkeypatch.setattr(worker, "last_version", asked)
    monkeypatch.setattr(worker, "last_text", fetched)
    monkeypatch.setattr(worker, "_REFRESH_EVERY", 0)
    monkeypatch.setattr(worker, "_REST_WHILE_AWAY", 0.01)
    with working(database, settings):
        wait_until(lambda: asked.call_count > 2, what="several looks at the rules of before")
    assert fetched.call_count == 1
    assert inbox_states(database) == [("kept", None)]
    assert "deliveries wait for its mending" in caplog.text


@pytest.mark.parametrize("is_named", [True, False])
def test_the_rules_of_a_file_that_was_deleted_stay_in_force_after_a_restart_and_it_is_said(
    inbox: Inbox, database: Database, settings: Settings, caplog: pytest.LogCaptureFixture, *, is_named: bool
) -> None:
    with working(database, settings):
        wait_until(lambda: _said_by_workers(database) == 1, what="the worker's note")
    settings.rules.unlink()
    inbox.accept(incoming(file_created(1), token=TOKEN))
    with working(database, replace(settings, rules_named=is_named)):
        wait_until(lambda: inbox_states(database) == [("processed", None)], what="a processed delivery")
        wait_until(lambda: _said_by_workers(database) == 1, what="the worker's note")
        with database.read() as connection:
            seen = rules_in_force(connection, now=now_ms())
    assert [action["rule"] for action in planned(database)] == ["tell"]
    assert "the rules that were in force stay in force" in caplog.text
    assert (seen.count(), seen.is_current, "rules: []" in seen.problems[0]) == (1, False, True)


def test_without_a_file_and_without_past_rules_all_is_fine(
    inbox: Inbox, database: Database, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.rules.unlink()
    inbox.accept(incoming(file_created(1), token=TOKEN))
    with working(database, replace(settings, rules_named=False)):
        wait_until(lambda: inbox_states(database) == [("processed", None)], what="a processed delivery")
    assert planned(database) == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_no_rules_that_were_said_to_be_none_stay_so_after_a_restart(
    inbox: Inbox, database: Database, settings: Settings
) -> None:
    for text in (RULES, "rules: []\n"):
        settings.rules.write_text(text)
        with working(database, settings):
            wait_until(lambda: _said_by_workers(database) == 1, what="the worker's note")
    settings.rules.unlink()
    inbox.accept(incoming(file_created(1), token=TOKEN))
    with working(database, replace(settings, rules_named=False)):
        wait_until(lambda: inbox_states(database) == [("processed", None)], what="a processed delivery")
    assert planned(database) == []


def test_a_file_that_is_named_and_not_there_lets_deliveries_wait_until_it_comes(
    inbox: Inbox, database: Database, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    Path(environ["REELHOOK_RULES"]).unlink()
    settings = settings_of(environ)
    inbox.accept(incoming(file_created(1), token=TOKEN))
    with working(database, settings):
        wait_until(lambda: "REELHOOK_RULES names it" in caplog.text, what="a word on the missing file")
        assert "deliveries wait for its mending" in caplog.text
        assert inbox_states(database) == [("kept", None)]
        settings.rules.write_text(RULES)
        wait_until(lambda: inbox_states(database) == [("processed", None)], what="a processed delivery")
    assert [action["rule"] for action in planned(database)] == ["tell"]


def _said_by_workers(database: Database) -> int:

    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.rule_books)).scalar_one())
