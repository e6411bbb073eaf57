"""Promise 9: an authentic delivery is kept and answered with 200, and released once what stood in its way is mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from callbacks import SAMPLE, file_created, incoming
from conftest import API_TOKEN, TOKEN
from program import request, running, wait_until
from sqlalchemy import select

from handlers import tables
from handlers.inbox import Inbox
from handlers.inbox.processing import Processor
from handlers.inbox.replay import preview_replay, replay
from handlers.questions.filters import Filters
from handlers.settings import load
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from pathlib import Path

    from handlers.database import Database
    from handlers.events import Incoming
    from handlers.keeping.keeper import Keeper
    from handlers.settings import Settings

_ACCOUNT = '[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN"]\n'
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}


@pytest.fixture
def config(environ: dict[str, str], tmp_path: Path) -> Path:
    assert environ
    return tmp_path / "reelhook.toml"


def configured(config: Path, environ: dict[str, str], text: str) -> Settings:
    """Return the settings as they are after somebody wrote this into the file, and started again."""
    config.write_text(text)
    return load(environ, vendors=tuple(VENDORS))


def keep(keeper: Keeper, settings: Settings, *bodies: bytes, **changed: Any) -> list[str | None]:
    """Keep the bodies under these settings; return why each was quarantined at the door."""
    inbox = Inbox(settings, VENDORS, keeper)
    came: list[Incoming] = [incoming(body, token=TOKEN, **changed) for body in bodies]
    return [inbox.accept(one).accepted.quarantined for one in came]


def process(database: Database, settings: Settings) -> None:
    processor = Processor(database, settings, VENDORS)
    while processor.process():
        pass


def states(database: Database) -> list[tuple[str, str | None]]:
    with database.read() as connection:
        query = select(tables.inbox.c.state, tables.inbox.c.reason).order_by(tables.inbox.c.delivery)
        return [(row.state, row.reason) for row in connection.execute(query)]


def recorded(database: Database) -> list[str]:
    with database.read() as connection:
        return sorted(connection.execute(select(tables.recordings.c.task_id)).scalars())


def test_an_app_id_that_is_not_listed_waits_in_quarantine_until_it_is(
    keeper: Keeper, database: Database, environ: dict[str, str], config: Path
) -> None:
    strict = configured(config, environ, f'{_ACCOUNT}app_ids = ["another"]\n')
    (reason,) = keep(keeper, strict, file_created(1))
    said = "app id 9q1x is not among app_ids of account lessons"
    assert reason == f"{said}; add it there, restart, then `reelhook replay`"
    keep(keeper, strict, file_created(2, AppId="another"))
    process(database, strict)
    assert states(database) == [("quarantined", reason), ("processed", None)]
    assert recorded(database) == ["task-00000002"]
    with database.read() as connection:
        assert preview_replay(connection, Filters(account=("lessons",))) == (1, False)
    assert replay(database, Filters(account=("lessons",))) == 1
    process(database, strict)
    assert states(database)[0] == ("quarantined", reason), "nothing was mended yet"
    mended = configured(config, environ, f'{_ACCOUNT}app_ids = ["another", "9q1x"]\n')
    assert replay(database, Filters()) == 1
    process(database, mended)
    assert [state for state, _ in states(database)] == ["processed", "processed"]
    assert recorded(database) == ["task-00000001", "task-00000002"]


def test_what_waits_when_its_account_goes_is_quarantined_and_comes_back_with_it(
    keeper: Keeper, database: Database, environ: dict[str, str], config: Path, settings: Settings
) -> None:
    keep(keeper, settings, file_created(1))
    without = configured(config, environ, _ACCOUNT.replace("lessons]", "others]"))
    process(database, without)
    ((state, reason),) = states(database)
    assert state == "quarantined"
    assert reason is not None
    assert "account lessons of vendor aliyun is not configured any more; put it back" in reason
    replay(database, Filters())
    process(database, configured(config, environ, _ACCOUNT))
    assert recorded(database) == ["task-00000001"]


def test_an_event_that_nobody_knows_is_kept_and_told_as_unknown(
    keeper: Keeper, database: Database, settings: Settings
) -> None:
    words = ["RecordFailed", "", "filecreated", None, 7, ..., "录制完成"]
    bodies = [file_created(number, Event=word) for number, word in enumerate(words)]
    assert keep(keeper, settings, *bodies) == [None] * len(words)
    process(database, settings)
    assert states(database) == [("processed", None)] * len(words)
    with database.read() as connection:
        told = connection.execute(select(tables.events.c.kind, tables.events.c.word)).all()
    assert {row.kind for row in told} == {"unknown"}
    assert {row.word for row in told} == {"RecordFailed", "", "filecreated", "7", "录制完成"}
    assert recorded(database) == []


def test_what_cannot_be_read_is_kept_with_the_reason(keeper: Keeper, database: Database, settings: Settings) -> None:
    bodies = [
        b"",
        b"\xff",
        b"{",
        b"[]",
        file_created(1, Url=None),
        file_created(2, TaskId=...),
        file_created(3, StartTime="x"),
    ]
    reasons = keep(keeper, settings, *bodies)
    assert all(reasons)
    process(database, settings)
    assert states(database) == [("quarantined", reason) for reason in reasons]
    with database.read() as connection:
        kept = connection.execute(select(tables.deliveries.c.body).order_by(tables.deliveries.c.id)).scalars()
        assert [bytes(body) for body in kept] == bodies


@pytest.mark.parametrize("year", ["1970", "2001", "2020", "2999"])
def test_an_event_of_any_age_is_kept_and_catalogued(
    keeper: Keeper, database: Database, settings: Settings, year: str
) -> None:
    times = {name: SAMPLE[name].replace("2020", year, 1) for name in ("StartTime", "StopTime")}
    assert keep(keeper, settings, file_created(1, **times)) == [None]
    process(database, settings)
    assert recorded(database) == ["task-00000001"]
    with database.read() as connection:
        task = connection.execute(select(tables.tasks)).mappings().one()
    assert task["recorded_ms"] == 1_792_000


def test_over_http_the_cause_is_told_mended_and_everything_released_in_bulk(tmp_path: Path) -> None:
    config = tmp_path / "reelhook.toml"
    config.write_text(f'{_ACCOUNT}app_ids = ["another"]\n')
    environ = {
        "REELHOOK_DATA": str(tmp_path / "data"),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
    }
    with running(environ, "serve", log=tmp_path / "log") as program:
        program.ready()
        for number in range(5):
            body = file_created(number)
            answer = request("POST", f"{program.url}/callbacks/aliyun/lessons?token={TOKEN}", body)
            assert answer.status == 200
            assert answer.json()["status"] == "quarantined"
            assert "add it there, restart, then `reelhook replay`" in answer.json()["reason"]
        told = request("GET", f"{program.url}/api/v1/deliveries?state=quarantined", headers=BEARER).json()
        assert len(told["items"]) == 5
        assert {item["reason"] for item in told["items"]} == {answer.json()["reason"]}
        config.write_text(f'{_ACCOUNT}app_ids = ["another", "9q1x"]\n')
        program.kill()
        program.start()
        program.ready()
        released = request(
            "POST",
            f"{program.url}/api/v1/deliveries/replay",
            b'{"account": ["lessons"]}',
            headers=BEARER | {"Content-Type": "application/json"},
        )
        assert (released.status, released.json()["count"]) == (200, 5)
        wait_until(
            lambda: len(request("GET", f"{program.url}/api/v1/recordings", headers=BEARER).json()["items"]) == 5,
            what="the recordings",
        )
