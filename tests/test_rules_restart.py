"""A worker that begins while the file of rules is broken: nothing is processed without rules that it should meet."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from callbacks import file_created, incoming
from conftest import TOKEN
from program import wait_until
from rules_acting import environ_with_rules, inbox_states, planned, settings_of
from sqlalchemy import func, select

from handlers import tables
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


def _said_by_workers(database: Database) -> int:

    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.rule_books)).scalar_one())
