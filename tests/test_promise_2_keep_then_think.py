"""Promise 2: whatever a delivery does to its reader, it is kept, its neighbours are through, and replay mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from callbacks import SAMPLE, file_created, incoming
from conftest import TOKEN
from deadly_worker import DEADLY
from program import request, running, wait_until
from sqlalchemy import event, func, select, update

from handlers import catalogue, tables
from handlers.clock import now_ms
from handlers.errors import DatabaseAway
from handlers.inbox import Inbox, processing
from handlers.inbox.hands import LEASE_MS, MOST_TRIES, Hand
from handlers.inbox.processing import Processor
from handlers.inbox.replay import replay, replay_one
from handlers.keeping.deliveries import to_delivery
from handlers.questions.filters import Filters
from handlers.reading import meaning
from handlers.vendors import VENDORS
from handlers.write_lock import WriteLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from handlers.database import Database
    from handlers.events import Delivery, Event
    from handlers.keeping.keeper import Keeper
    from handlers.settings import Settings

_BUG = b"the-bug"
_WRONG: tuple[Any, ...] = ([], {"a": 1}, True)
_DOOR = f"/callbacks/aliyun/lessons?token={quote(TOKEN)}"


def _buggy(delivery: Delivery) -> Sequence[Event]:
    if _BUG in delivery.body:
        raise RuntimeError("a bug that \0 nobody foresaw")
    return VENDORS["aliyun"].read(delivery)


_BUGGY = {"aliyun": replace(VENDORS["aliyun"], read=_buggy)}


def _accept(inbox: Inbox, *bodies: bytes) -> list[str]:
    return [inbox.accept(incoming(body, token=TOKEN)).accepted.delivery for body in bodies]


def _with(word: bytes) -> bytes:
    """Return a good callback that holds the word."""
    return file_created(ChannelId=word.decode())


def _states(database: Database) -> dict[str, tuple[str, str | None]]:
    """Return state and reason of each delivery."""
    with database.read() as connection:
        rows = connection.execute(select(tables.inbox.c.delivery, tables.inbox.c.state, tables.inbox.c.reason))
        return {row.delivery: (row.state, row.reason) for row in rows}


def _execute(database: Database, statement: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(statement)


def _catch_up(processor: Processor) -> None:
    while processor.process():
        pass


def _recordings(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.recordings)).scalar_one())


def test_a_bug_in_reading_quarantines_only_the_delivery_that_meets_it(
    settings: Settings, database: Database, keeper: Keeper
) -> None:
    bodies = [file_created() for _ in range(20)] + [_with(_BUG)] + [file_created() for _ in range(20)]
    ids = _accept(Inbox(settings, _BUGGY, keeper), *bodies)
    _catch_up(Processor(database, settings, _BUGGY))
    states = _states(database)
    state, reason = states.pop(ids[20])
    assert state == tables.QUARANTINED
    assert reason is not None
    assert "RuntimeError: a bug that \\0 nobody foresaw" in reason
    assert set(states.values()) == {(tables.PROCESSED, None)}
    assert _recordings(database) == 40


@pytest.mark.parametrize("how", ["by filter", "by id"])
def test_replay_processes_it_once_the_bug_is_mended(
    how: str, settings: Settings, database: Database, keeper: Keeper
) -> None:
    ids = _accept(Inbox(settings, _BUGGY, keeper), _with(_BUG), file_created())
    _catch_up(Processor(database, settings, _BUGGY))
    assert _states(database)[ids[0]][0] == tables.QUARANTINED
    assert (replay(database, Filters()) if how == "by filter" else replay_one(database, ids[0])) == 1
    _catch_up(Processor(database, settings, VENDORS))
    assert set(_states(database).values()) == {(tables.PROCESSED, None)}
    assert _recordings(database) == 2


def test_a_bug_in_folding_quarantines_only_the_delivery_that_meets_it(
    settings: Settings, database: Database, keeper: Keeper
) -> None:
    """The database refuses one recording in the middle of a batch's transaction: that is what such a bug looks like."""
    bad = file_created(Url="http://rtc-record.oss-cn-shanghai.aliyuncs.com/the-bad-file.m3u8")
    ids = _accept(Inbox(settings, VENDORS, keeper), file_created(), bad, file_created(), file_created())
    with database.write() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql(
                "CREATE TRIGGER refuse BEFORE INSERT ON recordings WHEN NEW.key = 'the-bad-file.m3u8' "
                "BEGIN SELECT RAISE(ABORT, 'no such file here'); END"
            )
        else:
            connection.exec_driver_sql(
                "ALTER TABLE recordings ADD CONSTRAINT refuse CHECK (key IS DISTINCT FROM 'the-bad-file.m3u8')"
            )
    _catch_up(Processor(database, settings, VENDORS))
    states = _states(database)
    state, reason = states.pop(ids[1])
    assert state == tables.QUARANTINED
    assert reason is not None
    assert "IntegrityError" in reason
    assert set(states.values()) == {(tables.PROCESSED, None)}
    assert _recordings(database) == 3

    with database.write() as connection:
        drop = "DROP TRIGGER refuse" if database.is_sqlite else "ALTER TABLE recordings DROP CONSTRAINT refuse"
        connection.exec_driver_sql(drop)
    assert replay(database, Filters()) == 1
    _catch_up(Processor(database, settings, VENDORS))
    assert set(_states(database).values()) == {(tables.PROCESSED, None)}
    assert _recordings(database) == 4


class _Restarted:
    """Deadly workers that are started again whenever they die, as a supervisor would."""

    def __init__(self, environ: dict[str, str], workers: int) -> None:
        self._environ = dict(os.environ) | environ
        self._workers: list[subprocess.Popen[bytes]] = [self._start() for _ in range(workers)]
        self.deaths = 0

    def _start(self) -> subprocess.Popen[bytes]:
        program = Path(__file__).parent / "deadly_worker.py"
        path = {"PYTHONPATH": str(program.parent.parent)}
        return subprocess.Popen([sys.executable, str(program)], env=self._environ | path)

    def look(self) -> None:
        """Start those again that are gone."""
        for number, worker in enumerate(self._workers):
            if worker.poll() is not None:
                assert worker.returncode == -9, f"a worker ended with {worker.returncode}"
                self.deaths += 1
                self._workers[number] = self._start()

    def end(self) -> None:
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.wait(20)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_delivery_that_kills_its_worker_is_quarantined_after_three_tries_and_its_neighbours_are_through(
    workers: int, settings: Settings, database: Database, keeper: Keeper, environ: dict[str, str]
) -> None:
    bodies = [file_created() for _ in range(15)] + [_with(DEADLY)] + [file_created() for _ in range(15)]
    ids = _accept(Inbox(settings, VENDORS, keeper), *bodies)
    running_workers = _Restarted(environ, workers)

    def all_through() -> bool:
        running_workers.look()
        return all(state != tables.KEPT for state, _ in _states(database).values())

    try:
        wait_until(all_through, patience=90, what="an inbox without work")
        later = _accept(Inbox(settings, VENDORS, keeper), file_created())
        wait_until(all_through, patience=90, what="what came later")
    finally:
        running_workers.end()
    states = _states(database)
    state, reason = states.pop(ids[15])
    assert state == tables.QUARANTINED
    assert reason is not None
    assert reason.startswith("a worker died ")
    assert set(states.values()) == {(tables.PROCESSED, None)}
    assert states[later[0]]
    assert MOST_TRIES <= running_workers.deaths <= MOST_TRIES * workers
    assert _recordings(database) == 31
    if workers == 1:
        assert f"died {MOST_TRIES} times" in reason


def _die_with(database: Database, deliveries: Sequence[str]) -> None:
    """Leave behind what a worker leaves that dies with these deliveries in hand."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    hand = Hand(database)
    hand.take(deliveries, now=now_ms())
    with database.write() as connection:
        connection.execute(update(tables.hands).where(tables.hands.c.worker == hand.worker).values(pid=gone.pid))


def test_workers_that_die_with_the_same_batch_in_hand_condemn_no_neighbour(
    settings: Settings, database: Database, keeper: Keeper
) -> None:
    """On a server any number of workers may look at the same batch; whoever of it is guilty, most of it is not."""
    ids = _accept(Inbox(settings, VENDORS, keeper), *[file_created() for _ in range(10)])
    for _ in range(MOST_TRIES + 1):
        _die_with(database, ids)
    processor = Processor(database, settings, VENDORS)
    assert processor.hand.adopt(now=now_ms()) > 0
    _catch_up(processor)
    assert set(_states(database).values()) == {(tables.PROCESSED, None)}


def test_a_delivery_that_was_alone_in_hand_at_three_deaths_is_quarantined(
    settings: Settings, database: Database, keeper: Keeper
) -> None:
    ids = _accept(Inbox(settings, VENDORS, keeper), *[file_created() for _ in range(5)])
    for _ in range(MOST_TRIES):
        _die_with(database, ids[2:3])
    processor = Processor(database, settings, VENDORS)
    processor.hand.adopt(now=now_ms())
    _catch_up(processor)
    states = _states(database)
    assert states.pop(ids[2])[0] == tables.QUARANTINED
    assert set(states.values()) == {(tables.PROCESSED, None)}


def test_a_worker_that_was_taken_for_dead_is_watched_again_with_its_next_delivery(
    settings: Settings, database: Database, keeper: Keeper
) -> None:
    """An idle worker's hand outlives its lease; another worker adopts it, and then the idle one goes on."""
    ids = _accept(Inbox(settings, VENDORS, keeper), file_created(), file_created())
    idle, other = Hand(database), Hand(database)
    idle.take(ids[:1], now=now_ms())
    other.adopt(now=now_ms() + LEASE_MS + 1)
    idle.take(ids[1:], now=now_ms())
    with database.read() as connection:
        held = connection.execute(
            select(tables.hands.c.deliveries).where(tables.hands.c.worker == idle.worker)
        ).scalar_one()
    assert json.loads(held) == ids[1:]


def test_a_database_that_goes_away_during_processing_loses_nothing_and_condemns_nothing(
    settings: Settings, database: Database, keeper: Keeper
) -> None:
    _accept(Inbox(settings, VENDORS, keeper), *[file_created() for _ in range(300)])
    processor = Processor(database, settings, VENDORS)
    stop = threading.Event()
    trouble = threading.Thread(target=_trouble, args=(database, stop), daemon=True)
    trouble.start()
    away = 0
    try:
        while away < 2:
            try:
                if processor.process() == 0:
                    replay(database, Filters(state=(tables.PROCESSED,)))
            except DatabaseAway:
                away += 1
    finally:
        stop.set()
        trouble.join(20)
    _catch_up(processor)
    assert set(_states(database).values()) == {(tables.PROCESSED, None)}
    assert _recordings(database) == 300
    with database.read() as connection:
        assert connection.execute(select(func.max(tables.inbox.c.tries))).scalar() == 0


def test_a_database_that_is_not_fit_for_work_condemns_nothing(
    settings: Settings, database: Database, keeper: Keeper
) -> None:
    _accept(Inbox(settings, VENDORS, keeper), file_created(), file_created())
    processor = Processor(database, settings, VENDORS)
    _execute(database, "ALTER TABLE events RENAME TO elsewhere")
    for _ in range(2):
        with pytest.raises(DatabaseAway, match="events"):
            processor.process()
    _execute(database, "ALTER TABLE elsewhere RENAME TO events")
    _catch_up(processor)
    assert set(_states(database).values()) == {(tables.PROCESSED, None)}


def test_a_delivery_that_finds_another_worker_first_is_tried_once_more(
    settings: Settings, database: Database, keeper: Keeper
) -> None:
    _accept(Inbox(settings, VENDORS, keeper), file_created())
    tries = []

    def come_first(connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("INSERT INTO recordings "):
            tries.append(statement)
            if len(tries) < 3:
                connection.exec_driver_sql("INSERT INTO meters (name, label, value) VALUES ('a', '', 1), ('a', '', 1)")

    event.listen(database.engine, "before_cursor_execute", come_first)
    _catch_up(Processor(database, settings, VENDORS))
    assert len(tries) == 3
    assert set(_states(database).values()) == {(tables.PROCESSED, None)}


def test_a_batch_takes_no_more_bytes_than_fit_but_at_least_one_delivery(
    settings: Settings, database: Database, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [file_created() for _ in range(5)]
    _accept(Inbox(settings, VENDORS, keeper), *bodies)
    processor = Processor(database, settings, VENDORS)
    monkeypatch.setattr(processing, "MOST_BYTES", 2 * len(bodies[0]))
    assert processor.process() == 2
    monkeypatch.setattr(processing, "MOST_BYTES", 1)
    assert processor.process() == 1
    _catch_up(processor)
    assert _recordings(database) == 5


def test_what_the_database_refuses_is_quarantined_without_statement_and_parameters(
    settings: Settings, database: Database, keeper: Keeper
) -> None:
    _accept(Inbox(settings, VENDORS, keeper), _with(b"a-name-that-nobody-shall-read"))

    def refuse(connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("INSERT INTO recordings "):
            connection.exec_driver_sql("INSERT INTO meters (name, label, value) VALUES ('a', 'shown', NULL)")

    event.listen(database.engine, "before_cursor_execute", refuse)
    _catch_up(Processor(database, settings, VENDORS))
    ((state, reason),) = _states(database).values()
    assert state == tables.QUARANTINED
    assert reason is not None
    assert "IntegrityError" in reason
    assert "INSERT" not in reason
    assert "sqlalche.me" not in reason


def test_a_family_that_another_machine_has_locked_keeps_no_other_waiting(
    settings: Settings, database: Database, keeper: Keeper
) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no locks of families")
    ids = _accept(Inbox(settings, VENDORS, keeper), file_created(1), file_created(2), file_created(3))
    with database.read() as connection:
        row = connection.execute(select(tables.deliveries).where(tables.deliveries.c.id == ids[0])).mappings().one()
    family = catalogue.family_of(meaning(to_delivery(row), settings, VENDORS)[0])
    assert family is not None
    processor = Processor(database, settings, VENDORS)
    with database.write() as other:
        catalogue.lock(other, [family])
        assert processor.process() == 2
        assert [_states(database)[one][0] for one in ids] == [tables.KEPT, tables.PROCESSED, tables.PROCESSED]
        assert processor.process() == 0
    _catch_up(processor)
    assert set(_states(database).values()) == {(tables.PROCESSED, None)}


def _trouble(database: Database, stop: threading.Event) -> None:
    """Take the database away again and again: SQLite by its write lock, a server by ending its connections."""
    if database.is_sqlite:
        lock = WriteLock(Path(f"{database.url.database}.lock"))
        while not stop.wait(0.01):
            with suppress(DatabaseAway), lock.held(5):
                stop.wait(2.5)
        return
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        while not stop.wait(0.02):
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
            )


def _unreadable() -> Iterator[tuple[str, bytes]]:
    yield "an empty body", b""
    yield "white space", b" \r\n"
    yield "no JSON", b"FileCreated, we promise"
    yield "half of it", file_created()[:-20]
    yield "no UTF-8", b'{"Event": "\xff\xfe"}'
    for value in ([], "text", 5, 1.5, True, None, [SAMPLE]):
        yield f"a JSON {type(value).__name__}", json.dumps(value).encode()
    yield "an array that nests too deep", b"[" * 10_000 + b"]" * 10_000
    yield "an object that nests too deep", b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    yield "a number that is too long", b'{"Duration": ' + b"9" * 10_000 + b"}"
    for name in ("AppId", "ChannelId", "TaskId", "Url", "StartTime", "Event"):
        for wrong in _WRONG:
            yield f"{name} is {wrong}", file_created(None, **{name: wrong})
    for name in ("AppId", "ChannelId", "TaskId", "Url"):
        yield f"no {name}", file_created(None, **{name: ...})
        yield f"{name} holds a NUL", file_created(None, **{name: f"{SAMPLE[name]}\0"})
        yield f"{name} holds half a surrogate pair", file_created(None, **{name: f"{SAMPLE[name]}\ud800"})
    for time in ("2020-02-30T10:00:00Z", "2020-13-01T10:00:00Z", "2020-09-02T25:00:00Z", "yesterday"):
        yield f"StartTime is {time}", file_created(StartTime=time)
    yield "a body of one MiB", b"x" * 1_048_576


def test_every_kind_of_unreadable_body_is_kept_quarantined_counted_and_stops_nobody(
    environ: dict[str, str], database: Database, tmp_path: Path
) -> None:
    bad = dict(_unreadable())
    good = [file_created() for _ in range(3)]
    with running(environ, "serve", log=tmp_path / "log") as program:
        program.ready()
        told: dict[str, dict[str, Any]] = {}
        for what, body in bad.items():
            answer = request("POST", program.url + _DOOR, body)
            assert answer.status == 200, what
            told[what] = answer.json()
        for body in good:
            assert request("POST", program.url + _DOOR, body).json()["status"] == "kept"
        wait_until(lambda: _recordings(database) == len(good), what="the good ones' recordings")
        wait_until(lambda: _kept_count(database) == 0, what="an inbox without work")
        figures = request("GET", f"{program.url}/metrics").body.decode()
        ready = request("GET", f"{program.url}/readyz").json()
    assert {what: answer["status"] for what, answer in told.items()} == dict.fromkeys(bad, "quarantined")
    assert not [what for what, answer in told.items() if not answer["reason"]]
    assert ready["inbox"]["quarantined"] == len(bad)
    assert f"reelhook_inbox_quarantined {len(bad)}.0" in figures
    counted = f'reelhook_deliveries_quarantined_at_door_total{{account="lessons",vendor="aliyun"}} {len(bad)}.0'
    assert counted in figures
    with database.read() as connection:
        kept = select(tables.deliveries.c.id, tables.deliveries.c.body)
        bodies = {row.id: bytes(row.body) for row in connection.execute(kept)}
    assert {what: bodies[answer["delivery"]] for what, answer in told.items()} == bad


def _kept_count(database: Database) -> int:
    return sum(state == tables.KEPT for state, _ in _states(database).values())
