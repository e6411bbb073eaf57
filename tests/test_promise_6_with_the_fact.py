"""Promise 6: a fact, what it changed, what follows from it and its settling commit together or not at all, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from callbacks import file_created, incoming
from conftest import TOKEN
from sqlalchemy import func, select, text

from handlers import tables
from handlers.inbox.processing import Processor
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from handlers.database import Database
    from handlers.inbox import Inbox
    from handlers.settings import Settings

_FACTS = (tables.tasks, tables.recordings, tables.sightings, tables.events)
#: what makes the last write of settling fail: the one that says that the delivery is processed
_BREAK = {
    "sqlite": [
        """CREATE TRIGGER breaks BEFORE UPDATE ON inbox WHEN NEW.state = 'processed'
        BEGIN SELECT RAISE(ABORT, 'broken on purpose'); END"""
    ],
    "postgresql": [
        """CREATE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.state = 'processed' THEN RAISE EXCEPTION 'broken on purpose'; END IF; RETURN NEW; END $$""",
        "CREATE TRIGGER breaks BEFORE UPDATE ON inbox FOR EACH ROW EXECUTE FUNCTION breaks()",
    ],
}
_MEND = {"sqlite": "DROP TRIGGER breaks", "postgresql": "DROP TRIGGER breaks ON inbox"}


def counts(database: Database) -> list[int]:
    with database.read() as connection:
        return [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in _FACTS]


def states(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(tables.inbox.c.state)).scalars())


def told(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(tables.events.c.changes)).scalars())


def test_promise_6_what_is_not_settled_has_left_nothing_behind(
    inbox: Inbox, database: Database, settings: Settings
) -> None:
    engine = "sqlite" if database.is_sqlite else "postgresql"
    inbox.accept(incoming(file_created(1), token=TOKEN))
    with database.write() as connection:
        for statement in _BREAK[engine]:
            connection.execute(text(statement))

    Processor(database, settings, VENDORS).process()

    assert counts(database) == [0, 0, 0, 0]
    assert states(database) != ["processed"]


def test_promise_6_a_fact_and_what_it_changed_are_there_together_once(
    inbox: Inbox, database: Database, settings: Settings
) -> None:
    engine = "sqlite" if database.is_sqlite else "postgresql"
    inbox.accept(incoming(file_created(1), token=TOKEN))
    with database.write() as connection:
        for statement in _BREAK[engine]:
            connection.execute(text(statement))
    processor = Processor(database, settings, VENDORS)
    processor.process()
    with database.write() as connection:
        connection.execute(text(_MEND[engine]))
        connection.execute(tables.inbox.update().values(state="kept", tries=0, reason=None))

    processor.process()

    assert counts(database) == [1, 1, 1, 1]
    assert states(database) == ["processed"]
    assert told(database) == ['["recording.created", "recording.available"]']


@pytest.mark.parametrize("times", [2, 3])
def test_promise_6_the_same_file_again_changes_nothing_and_tells_nothing(
    inbox: Inbox, database: Database, settings: Settings, times: int
) -> None:
    for number in range(times):
        inbox.accept(incoming(file_created(1, MsgId=f"message-{number}"), token=TOKEN))
    Processor(database, settings, VENDORS).process()
    assert counts(database) == [1, 1, times, times]
    assert sorted(told(database)) == sorted(['["recording.created", "recording.available"]'] + ["[]"] * (times - 1))
