"""What is processed once more, and what is kept after all: by filter, in chunks, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from callbacks import file_created
from rows import ids, keep_four, refuse
from sqlalchemy import insert, select

from handlers import questions, tables
from handlers.errors import WrongRequest
from handlers.ids import new_id
from handlers.inbox.processing import Processor
from handlers.inbox.releasing import preview_release, release_matching
from handlers.inbox.replay import preview_replay, replay, replay_one
from handlers.questions import items
from handlers.questions.filters import DELIVERIES, Filters, Page
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from handlers.database import Database
    from handlers.inbox import Inbox
    from handlers.settings import Settings


@pytest.fixture
def kept(inbox: Inbox, database: Database, settings: Settings) -> list[str]:
    """Keep and process four deliveries, the last one unreadable, and return their ids, oldest first."""
    return keep_four(inbox, database, settings)


def states_of(database: Database) -> dict[str, tuple[str, int]]:
    inbox = tables.inbox
    with database.read() as connection:
        rows = connection.execute(select(inbox.c.delivery, inbox.c.state, inbox.c.tries)).all()
    return {row[0]: (row[1], row[2]) for row in rows}


def test_a_replay_takes_what_is_in_quarantine_unless_told_otherwise(kept: list[str], database: Database) -> None:
    with database.write() as connection:
        connection.execute(tables.inbox.update().values(tries=3))
    with database.read() as connection:
        assert preview_replay(connection, Filters()) == (1, False)
    assert states_of(database)[kept[3]] == ("quarantined", 3)
    assert replay(database, Filters()) == 1
    states = states_of(database)
    assert states[kept[3]] == ("kept", 0)
    assert [states[delivery] for delivery in kept[:3]] == [("processed", 3)] * 3
    assert replay(database, Filters()) == 0


def test_a_replay_by_filter_leaves_the_others_alone(kept: list[str], database: Database) -> None:
    assert replay(database, Filters(account=("other",))) == 0
    assert replay(database, Filters(state=("quarantined",), reason=("something else",))) == 0
    assert replay(database, Filters(state=("processed",), account=("lessons",))) == 3
    assert [states_of(database)[delivery][0] for delivery in kept] == ["kept", "kept", "kept", "quarantined"]


def test_replaying_what_waits_already_is_refused(database: Database) -> None:
    with pytest.raises(WrongRequest) as caught:
        replay(database, Filters(state=("kept",)))
    assert list(caught.value.wrong) == ["state"]


def test_a_replay_goes_through_more_than_one_chunk(database: Database) -> None:
    deliveries = [new_id("dlv") for _ in range(450)]
    row = {"account": "a", "vendor": "v", "door": "http", "received_at": 1, "headers": b"{}", "body": b""}
    with database.write() as connection:
        told = [row | {"id": delivery, "seen_key": delivery} for delivery in deliveries]
        connection.execute(insert(tables.deliveries), told)
        quarantined = [{"delivery": delivery, "state": "quarantined", "reason": "x"} for delivery in deliveries]
        connection.execute(insert(tables.inbox), quarantined)
    assert replay(database, Filters()) == 450
    assert set(states_of(database).values()) == {("kept", 0)}


def test_one_delivery_can_be_replayed_and_changes_nothing_in_the_catalogue(
    kept: list[str],
    database: Database,
    settings: Settings,
) -> None:
    with database.read() as connection:
        before = questions.list_recordings(connection, Filters(), Page()).items
    assert replay_one(database, kept[0]) == 1
    assert replay_one(database, kept[0]) == 0
    assert replay_one(database, "dlv_nothing") is None
    assert replay_one(database, "\0") is None
    assert Processor(database, settings, VENDORS).process() == 1
    with database.read() as connection:
        assert questions.list_recordings(connection, Filters(), Page()).items == before


def test_refusals_are_listed_shown_and_released_by_filter(
    inbox: Inbox,
    database: Database,
    settings: Settings,
) -> None:
    refuse(database, inbox, [file_created(1), file_created(2), b"garbage"])
    with database.read() as connection:
        listing = questions.list_refusals(connection, Filters(reason=("bad_token",)), Page())
        shown = [questions.show_refusal(connection, item["id"]) for item in listing.items]
        assert preview_release(connection, Filters()) == (2, False)
        assert preview_release(connection, Filters(), cap=1) == (1, True)
    assert [tuple(item) for item in listing.items] == [items.REFUSAL] * 3
    assert [one["body"] if one else ... for one in shown] == [None, file_created(2).decode(), file_created(1).decode()]
    assert release_matching(database, settings, VENDORS, Filters(account=("other",))).count == 0
    first = release_matching(database, settings, VENDORS, Filters(), most=1)
    assert (first.count, first.failed, first.more) == (1, {}, True)
    rest = release_matching(database, settings, VENDORS, Filters())
    assert (rest.count, rest.failed, rest.more) == (1, {}, False)
    with database.read() as connection:
        released = [item["released"] for item in questions.list_refusals(connection, Filters(), Page()).items]
        assert questions.total(connection, DELIVERIES, Filters()) == (2, False)
    assert released[0] is None
    assert ids(database, DELIVERIES, Filters()) == released[1:]
