"""Locks on a server: whoever changes several actions locks them in one order, and sees what another has just begun."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from planning import attempts, claim, emptied, let_lapse, make, none_over, opened, plan, post, retry_some, rows, states
from program import wait_until
from sqlalchemy import select, text, update

from handlers import actions, tables
from handlers.actions import lanes
from handlers.actions.unsent import put_back
from handlers.by_hand import Wanted, find_operation, plan_by_hand
from handlers.database import Database, once_more
from handlers.errors import BrokenOff, DatabaseAway
from handlers.settings import load
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from handlers.actions import Claimed

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


@pytest.fixture(scope="module", params=["postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with opened(request, tmp_path_factory.mktemp("locks")) as database:
        yield database


@pytest.fixture
def database(engine: Database) -> Database:
    """Return one database after the other, empty."""
    return emptied(engine)


def waiting(database: Database) -> int:
    """Return how many transactions wait for a lock."""
    with database.read() as connection:
        return int(connection.execute(_WAITING).scalar_one())


def begin(database: Database, held: Sequence[Claimed]) -> object:
    return actions.begin(database, [actions.Begin(claimed=one) for one in held])


def end(database: Database, held: Sequence[Claimed]) -> object:
    with database.write() as connection:
        return lanes.end(connection, [one.id for one in held], now=1, reason="it is over")


def lose(database: Database, held: Sequence[Claimed]) -> object:
    assert held
    return actions.take_up_lost(database)


def again(database: Database, held: Sequence[Claimed]) -> object:
    return retry_some(database, [one.id for one in held], now=1)


@pytest.mark.parametrize("change", [actions.renew, begin, end, actions.give_back, lose, again])
def test_rows_are_locked_in_the_order_of_their_ids(
    database: Database, change: Callable[[Database, Sequence[Claimed]], object]
) -> None:
    plan(database, *(post(number) for number in range(7)))
    held = sorted(claim(database), key=lambda one: one.id, reverse=True)
    ids = [row["id"] for row in rows(database)]
    if change is again:
        actions.give_back(database, held)
        end(database, held)
    if change is lose:
        with database.write() as connection:
            for place, one in enumerate(held):  # the first to lapse has the last id
                lapsed = update(tables.actions).where(tables.actions.c.id == one.id).values(lease_until=place + 1)
                connection.execute(lapsed)
    in_between = select(tables.actions.c.id).where(tables.actions.c.id == ids[3]).with_for_update()
    unlocked = select(tables.actions.c.id).order_by(tables.actions.c.id).with_for_update(skip_locked=True)
    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            connection.execute(in_between)
            done = pool.submit(change, database, held)
            wait_until(lambda: waiting(database) == 1, what="a wait for the row in between")
            with database.write() as another:
                assert list(another.execute(unlocked).scalars()) == ids[4:]
        done.result(20)


def test_a_call_that_begins_while_its_lease_is_taken_up_may_have_been_made(database: Database) -> None:
    plan(database, post(1, is_repeatable=False))
    (taken,) = claim(database)
    let_lapse(database)
    begun = update(tables.actions).values(state="running", is_begun=True, attempts=1, tries=1)
    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            connection.execute(begun.where(tables.actions.c.token == taken.token))
            lost = pool.submit(actions.take_up_lost, database)
            wait_until(lambda: waiting(database) == 1, what="the one that takes it up")
        assert lost.result(20) == 1
    assert states(database) == ["dead"]
    assert "a repeat could do harm" in rows(database)[0]["reason"]


def test_of_two_transactions_that_wait_for_each_other_the_one_that_is_undone_is_made_once_more(
    database: Database,
) -> None:
    plan(database, post(1), post(2))
    ids = [row["id"] for row in rows(database)]
    both_hold_one = threading.Barrier(2)
    tries: list[str] = []

    @once_more
    def take_both(first: str, second: str) -> None:
        with database.write() as connection:
            _lock(connection, first)
            tries.append(first)
            if tries.count(first) == 1:
                both_hold_one.wait(20)
            _lock(connection, second)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(take_both, *ids), pool.submit(take_both, *reversed(ids))]:
            done.result(20)
    assert len(tries) == 3


def _undo_every_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server undo every other transaction that writes, the first included."""
    write, turns = Database.write, itertools.cycle((True, False))

    @contextmanager
    def undoing(self: Database, **patience: float) -> Iterator[Connection]:
        with write(self, **patience) as connection:
            yield connection
            if next(turns):
                raise BrokenOff

    monkeypatch.setattr(Database, "write", undoing)


def test_what_people_do_is_done_once_more_where_the_server_undoes_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(database, *(post(number) for number in range(3)))
    for one in claim(database):
        if one.subject != "seg_2":
            make(database, one)
        else:
            actions.give_back(database, [one])
    first, second, waiting_one = (row["id"] for row in rows(database))
    monkeypatch.setattr("handlers.actions.verbs.MOST_AT_ONCE", 1)
    _undo_every_other(monkeypatch)
    actions.cancel(database, waiting_one)
    assert actions.rerun(database, [first, second], over=none_over) == 2
    actions.record_result(database, first, "failed")
    assert states(database) == ["dead", "done", "cancelled", "planned", "planned"]
    assert [row["generation"] for row in rows(database)] == [0, 0, 0, 1, 1], "each portion is repeated once"


def test_a_call_by_hand_is_planned_once_more_where_the_server_undoes_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "reelhook.toml"
    config.write_text('[accounts.classroom]\nvendor = "volcengine"\ncallback_secrets = ["env:SECRET"]\n')
    environ = {"REELHOOK_CONFIG": str(config), "SECRET": "s" * 32, "REELHOOK_DATA": str(tmp_path)}
    settings = load(environ, vendors=tuple(VENDORS))
    name = "volcengine.update_segment"
    wanted = Wanted(
        name=name, operation=find_operation(name), account=settings.accounts["volcengine", "classroom"], parameters={}
    )
    _undo_every_other(monkeypatch)
    assert [plan_by_hand(database, settings, wanted)] == [row["id"] for row in rows(database)]


def test_what_is_undone_again_and_again_counts_as_a_database_that_is_away() -> None:
    tries: list[int] = []

    @once_more
    def fail() -> None:
        tries.append(1)
        raise BrokenOff

    with pytest.raises(DatabaseAway, match="undid a transaction"):
        fail()
    assert 1 < len(tries) < 10


def test_a_call_that_is_put_back_after_it_went_to_another_is_left_as_it_is(database: Database) -> None:
    plan(database, post(1))
    (late,) = claim(database)
    let_lapse(database)
    actions.take_up_lost(database)
    (taken,) = claim(database)
    begin(database, [taken])
    assert put_back(database, late) == 0
    assert states(database) == ["running"]
    assert put_back(database, taken) == 1
    assert states(database) == ["planned"]
    assert attempts(database, taken.id) == []


def _lock(connection: Connection, action: str) -> Any:
    return connection.execute(select(tables.actions.c.id).where(tables.actions.c.id == action).with_for_update()).all()
