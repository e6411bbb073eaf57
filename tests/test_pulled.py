"""What becomes of pulled messages that can't be believed: left, then set aside whole, and never lost."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pulling import Pulled, environ_of, mns_queue, refusing
from sqlalchemy import select
from terminal import asked, asked_json

from handlers import meters, tables
from handlers.database import Database
from handlers.doctor.examination import examine
from handlers.inbox import Inbox, asides
from handlers.inbox.pulled import Intake, Places, Source
from handlers.inbox.refusals import Refusals
from handlers.inbox.releasing import discard_matching, release_matching
from handlers.keeping.direct import DirectKeeper
from handlers.keeping.keeper import Keeper
from handlers.keeping.spool import Spool
from handlers.observation import observe
from handlers.questions.filters import Filters
from handlers.queues import Message
from handlers.vendors import VENDORS
from webhook.figures import Figures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_KEY, _OLD_KEY = "a-key-of-the-clinic-0123456789abcdef0123", "the-key-of-the-clinic-before-that-01234"
_ACCOUNTS = '[accounts.clinic]\nvendor = "huawei"\ncallback_secrets = ["env:CLINIC_KEY"]\n'
_WORN = 3


class Clinic:
    """The intake of a queue whose account has the wrong secret, until somebody mends it."""

    def __init__(self, folder: Path, database_url: str) -> None:
        queue = mns_queue("http://127.0.0.1:1", account="clinic", max_receives=_WORN - 1)
        environ = environ_of(folder, database_url, queue, accounts=_ACCOUNTS)
        self.reelhook = Pulled(environ | {"CLINIC_KEY": _OLD_KEY})
        self.mended = Pulled(environ | {"CLINIC_KEY": _KEY})
        self.counted: dict[str, int] = {}
        database, settings = self.reelhook.database, self.reelhook.settings
        self.refusals = Refusals(database, VENDORS)
        inbox = Inbox(settings, VENDORS, Keeper(database, None))
        self.keeper = DirectKeeper(database, patience=5)
        source = Source(
            queue=settings.queues["lessons"], account=settings.accounts["huawei", "clinic"], count=self._count
        )
        self.intake = Intake(source, Places(inbox=inbox, refusals=self.refusals, spool=None), self.keeper)

    def _count(self, name: str, value: int) -> None:
        self.counted[name] = self.counted.get(name, 0) + value

    def mended_inbox(self) -> Inbox:
        return Inbox(self.mended.settings, VENDORS, Keeper(self.reelhook.database, None))

    def let_go(self, *messages: Message) -> list[str]:
        """Return which of the messages may be deleted."""
        good, done = self.intake.check(messages)
        assert good == []
        return [one.id for one in done]

    def set_aside(self) -> list[bytes | None]:
        table = tables.refusals
        rows = self.reelhook.rows(select(table.c.body).where(table.c.set_aside.is_not(None)).order_by(table.c.id))
        return [None if row.body is None else bytes(row.body) for row in rows]

    def release(self) -> int:
        done = release_matching(self.reelhook.database, self.mended.settings, VENDORS, Filters())
        assert not done.failed
        return done.count

    def close(self) -> None:
        self.keeper.close()
        self.reelhook.close()
        self.mended.close()


@pytest.fixture
def clinic(tmp_path: Path, database_url: str) -> Iterator[Clinic]:
    made = Clinic(tmp_path, database_url)
    yield made
    made.close()


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Clinic]:
    """Return one of which the engine does not matter."""
    made = Clinic(tmp_path, f"sqlite:///{tmp_path}/data/reelhook.db")
    yield made
    made.close()


def _completed(number: int, *, padding: int = 0) -> bytes:
    told = {"event_type": 1, "app_id": "clinic-app", "room_id": "room", "task_id": f"task-{number}"}
    return json.dumps(told | {"padding": "x" * padding}).encode()


def _message(number: int, body: bytes, *, receives: int = _WORN, damage: str | None = None) -> Message:
    moment, rand = str(int(time.time())), "a1b2c3d4"
    signature = hmac.new(_KEY.encode(), f"{rand}{moment}".encode() + body, hashlib.sha256).hexdigest()
    signed = {"x-rtc-timestamp": moment, "x-rtc-rand": rand, "x-rtc-signature": signature}
    return Message(handle=f"h{number}", id=f"m{number}", body=body, headers=signed, receives=receives, damage=damage)


def test_what_is_refused_is_left_in_its_queue_until_it_came_too_often(on_sqlite: Clinic) -> None:
    assert on_sqlite.let_go(*(_message(1, _completed(1), receives=receives) for receives in range(1, _WORN))) == []
    assert on_sqlite.let_go(_message(1, _completed(1))) == ["m1"]
    assert on_sqlite.set_aside() == [_completed(1)]
    assert on_sqlite.counted == {meters.QUEUE_REFUSED: 3, meters.QUEUE_SET_ASIDE: 1}
    ((reason, detail),) = on_sqlite.reelhook.rows(select(tables.refusals.c.reason, tables.refusals.c.detail))
    assert reason == "bad_signature"
    assert detail.endswith("it was received 3 times")


def test_what_was_deleted_from_the_queue_is_pushed_out_by_nothing_and_kept_once_the_secret_is_right(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [_completed(number, padding=60_000) for number in range(100)]  # the refusals' own bytes hold 69 of them
    messages = [_message(number, body) for number, body in enumerate(bodies)]
    gone = [one for start in range(0, 100, 16) for one in clinic.let_go(*messages[start : start + 16])]
    assert len(gone) == 100
    monkeypatch.setattr(clinic.refusals, "_budget", 1000)
    clinic.refusals.start()
    assert clinic.let_go(*(_message(200 + number, _completed(number), receives=1) for number in range(10))) == []
    clinic.refusals.close()
    assert clinic.set_aside() == bodies
    assert clinic.release() >= 100
    assert set(bodies) <= set(clinic.reelhook.bodies())
    assert clinic.set_aside() == []


@pytest.mark.parametrize("body", [b"no JSON at all", b"", b"\xff\x00"])
def test_what_can_not_be_read_is_set_aside_whole_and_released_into_quarantine(on_sqlite: Clinic, body: bytes) -> None:
    assert on_sqlite.let_go(_message(1, body)) == ["m1"]
    assert on_sqlite.set_aside() == [body]
    assert on_sqlite.release() == 1
    ((kept, state),) = on_sqlite.reelhook.rows(
        select(tables.deliveries.c.body, tables.inbox.c.state).where(tables.inbox.c.delivery == tables.deliveries.c.id)
    )
    assert (bytes(kept), state) == (body, tables.QUARANTINED)


def test_a_message_whose_delete_failed_is_set_aside_once(clinic: Clinic) -> None:
    message = _message(1, _completed(1))
    assert [clinic.let_go(message) for _ in range(3)] == [["m1"]] * 3
    assert clinic.let_go(message, message) == ["m1", "m1"]
    assert clinic.set_aside() == [_completed(1)]


def test_what_has_no_room_stays_in_the_queue_with_an_alarm_until_there_is_some(
    on_sqlite: Clinic, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asides, "_FULL", 0)
    monkeypatch.setattr(on_sqlite.refusals, "_asides", asides.Asides(on_sqlite.reelhook.database, budget=3000))
    messages = [_message(number, _completed(number, padding=1000)) for number in range(3)]
    assert on_sqlite.let_go(*messages) == ["m0", "m1"]
    assert on_sqlite.let_go(messages[2]) == []
    (said,) = [one.getMessage() for one in caplog.records if "is full" in one.getMessage()]
    assert said.startswith("queue lessons: 1 refused messages stay there until they expire: what account clinic")
    assert on_sqlite.release() == 2
    assert on_sqlite.let_go(messages[2]) == ["m2"]


def test_an_account_that_is_full_is_not_asked_for_room_at_every_receive(
    on_sqlite: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_sqlite.refusals, "_asides", asides.Asides(on_sqlite.reelhook.database, budget=0))
    assert on_sqlite.let_go(_message(1, b"x")) == []
    monkeypatch.delattr(Database, "write")
    monkeypatch.delattr(Database, "read")
    assert on_sqlite.let_go(_message(1, b"x")) == []


def test_while_the_database_is_away_nothing_may_be_deleted(on_sqlite: Clinic) -> None:
    with on_sqlite.reelhook.database.write_lock.held(5):
        assert on_sqlite.let_go(_message(1, _completed(1))) == []
    assert on_sqlite.let_go(_message(1, _completed(1))) == ["m1"]


def test_what_can_not_be_verified_or_is_damaged_is_set_aside_in_the_same_way(
    on_sqlite: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_sqlite.let_go(_message(1, b"<Message/>", damage="it has no MessageBody")) == ["m1"]
    monkeypatch.setattr(Inbox, "check", lambda *_args, **_more: 1 / 0)
    assert on_sqlite.let_go(_message(2, b"x", receives=1), _message(3, _completed(3))) == ["m3"]
    assert on_sqlite.set_aside() == [b"<Message/>", _completed(3)]
    rows = on_sqlite.reelhook.rows(
        select(tables.refusals.c.reason, tables.refusals.c.detail).order_by(tables.refusals.c.id)
    )
    assert rows == [
        ("damaged", "it has no MessageBody; it was received 3 times"),
        (
            "unverified",
            "whether it is authentic can't be told: ZeroDivisionError: division by zero; it was received 3 times",
        ),
    ]


def test_one_that_can_not_be_set_aside_costs_no_other_one(on_sqlite: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    put = asides.Asides.put

    def refuses(self: asides.Asides, rows: list[dict[str, bytes]]) -> list[bool]:
        if any(row["body"] == b"bad" for row in rows):
            raise ValueError("the bad row")
        return put(self, rows)

    monkeypatch.setattr(asides.Asides, "put", refuses)
    assert on_sqlite.let_go(_message(1, b"bad"), _message(2, b"good")) == ["m2"]
    assert on_sqlite.set_aside() == [b"good"]


def test_what_was_rightly_refused_is_discarded_and_makes_room(on_sqlite: Clinic) -> None:
    on_sqlite.let_go(*(_message(number, _completed(number)) for number in range(3)))
    environ = on_sqlite.reelhook.environ
    assert asked("refusals", "discard", environ=environ).returncode == 2
    chosen = ("refusals", "discard", "--door", "mns")
    assert asked_json(*chosen, "--preview", "--json", environ=environ) == {"matching": 3, "more": False}
    assert discard_matching(on_sqlite.reelhook.database, Filters(account=("lessons",))) == 0
    (first, *_) = on_sqlite.reelhook.rows(select(tables.refusals.c.id).order_by(tables.refusals.c.id))
    named = ("refusals", "discard", first.id, "rfs_of_nothing", "--json")
    assert asked_json(*named, environ=environ) == {"discarded": 1}
    assert asked_json(*chosen, "--yes", "--json", environ=environ) == {"discarded": 2}
    assert on_sqlite.set_aside() == []


def test_what_the_database_refuses_goes_to_the_spool_once_however_often_it_comes(
    on_sqlite: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool.db")
    intake = on_sqlite.intake
    monkeypatch.setattr(intake, "_places", replace(intake._places, spool=spool, inbox=on_sqlite.mended_inbox()))
    with refusing(on_sqlite.reelhook.database, _completed(1), headers=False):
        for receives in range(1, _WORN + 3):
            good, _ = intake.check([_message(1, _completed(1), receives=receives)])
            assert bool(intake.keep(good)) is (receives >= _WORN)
    assert spool.depth() == (0, 1)
    spool.close()


def test_the_doctor_and_the_figures_tell_of_what_is_set_aside(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clinic.let_go(_message(1, _completed(1)), _message(2, _completed(2))) == ["m1", "m2"]
    found = {one.check: one for one in examine(clinic.reelhook.environ, tuple(VENDORS))}
    told = found["set_aside.huawei.clinic"]
    assert (told.level, told.says.startswith("2 messages")) == ("warn", True)
    shown = Figures().render(observe(clinic.reelhook.database, None, now=0)).decode()
    assert 'reelhook_refusals_set_aside{account="clinic",vendor="huawei"} 2.0' in shown
    monkeypatch.setattr("handlers.doctor.examination.MOST_SET_ASIDE", 1000)
    found = {one.check: one for one in examine(clinic.reelhook.environ, tuple(VENDORS))}
    assert found["set_aside.huawei.clinic"].level == "fail"
    clinic.release()
    found = {one.check: one for one in examine(clinic.reelhook.environ, tuple(VENDORS))}
    assert "set_aside.huawei.clinic" not in found
