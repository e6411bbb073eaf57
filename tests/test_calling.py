"""How one call is made: its signature is of the moment at which it leaves, and what can't be called is never begun."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from acting import APP, configuration, environment, standins
from planning import call, claim, plan, post
from receivers import TOLD, Receiver, receiver

from handlers.calling import Caller
from handlers.clock import now_ms
from handlers.errors import SettingsError, WrongRequest
from handlers.settings import Secret
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from handlers.actions import Claimed, Performed
    from handlers.database import Database
    from handlers.settings import Settings
    from standin.openapi import OpenApiStandin

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
_TASK = {"AppId": APP, "RoomId": "room", "TaskId": "task", "Duration": 20}


class Clock:
    """A time of day that a test moves."""

    def __init__(self) -> None:
        self.now = now_ms()

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def apis() -> Iterator[Mapping[str, OpenApiStandin]]:
    with standins() as running:
        yield running


@pytest.fixture
def captioning() -> Iterator[Receiver]:
    with receiver() as receiving:
        yield receiving


@pytest.fixture
def environ(
    database_url: str, tmp_path: Path, apis: Mapping[str, OpenApiStandin], captioning: Receiver
) -> dict[str, str]:
    """Return the environment of four accounts and a destination, in place of the usual one."""
    destination = (
        f'[destinations.captioning]\nkind = "http"\nurl = "{captioning.url}"\nsecret = "env:CAPTIONING"\n'
        'allow_private = ["127.0.0.0/8"]\n'
    )
    return environment(tmp_path, database_url, configuration(apis, destination), "")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def caller(database: Database, settings: Settings, clock: Clock) -> Iterator[Caller]:
    one = Caller(database, settings, VENDORS, clock=clock)
    yield one
    one.close()


def taken(database: Database, *planned: Any) -> Claimed:
    """Plan actions and take the only call of them in hand."""
    plan(database, *planned)
    (claimed,) = claim(database)
    return claimed


def performed(caller: Caller, claimed: Claimed, clock: Clock, *, waits_ms: int = 0) -> tuple[Performed, str]:
    """Make the call, which waits so long for its slot; return what became of it, and the request as it was shown."""
    shown: list[str] = []

    def start(request: str) -> None:
        shown.append(request)
        clock.now += waits_ms

    return caller.perform(claimed, start), shown[0]


@pytest.mark.parametrize("waits_ms", [0, 1_800_000])
def test_a_call_that_waited_for_its_slot_is_signed_anew(
    database: Database, caller: Caller, clock: Clock, apis: Mapping[str, OpenApiStandin], waits_ms: int
) -> None:
    apis["volcengine"].tasks.add(app_id=APP, room_id="room", task_id="task", type="segment")
    clock.now -= waits_ms
    claimed = taken(database, call(parameters=_TASK))
    done, shown = performed(caller, claimed, clock, waits_ms=waits_ms)
    assert (done.outcome.verdict, done.outcome.detail) == ("done", "ok"), "the vendor takes no signature that is old"
    assert "Authorization: HMAC-SHA256 (hidden)" in shown


def test_a_hand_over_that_waited_for_its_slot_tells_the_time_at_which_it_leaves(
    database: Database, caller: Caller, clock: Clock, captioning: Receiver
) -> None:
    before = clock.now // 1000
    claimed = taken(database, post(told=TOLD))
    done, _ = performed(caller, claimed, clock, waits_ms=600_000)
    assert done.outcome.verdict == "done"
    (came,) = captioning.got
    assert int(came.headers["webhook-timestamp"]) == before + 600


def test_a_batch_is_handed_over_in_one_request_under_a_name_of_its_own(
    database: Database, caller: Caller, clock: Clock, captioning: Receiver
) -> None:
    claimed = taken(database, *(post(number, told=TOLD, batch_max=3, batch_within_ms=60_000) for number in range(3)))
    done, _ = performed(caller, claimed, clock)
    assert done.outcome.verdict == "done"
    (came,) = captioning.got
    assert [event["id"] for event in json.loads(came.body)] == [one.id for one in claimed.members]
    assert len(claimed.members) == 3
    assert came.headers["webhook-id"].startswith("bat_")


def _with_another_key(settings: Settings, token: str | None) -> Settings:
    accounts = dict(settings.accounts)
    told = {"access_key_id": Secret.literal("AKOVER"), "security_token": token and Secret.literal(token)}
    accounts["volcengine", "classroom"] = accounts["volcengine", "classroom"].model_copy(update=told)
    return replace(settings, accounts=accounts)


@on_sqlite
@pytest.mark.parametrize(("token", "verdict"), [(None, "give_up"), ("t0ken", "again")])
def test_a_refused_key_is_tried_again_where_it_is_a_temporary_one(
    database: Database, settings: Settings, clock: Clock, token: str | None, verdict: str
) -> None:
    caller = Caller(database, _with_another_key(settings, token), VENDORS, clock=clock)
    refused, _ = performed(caller, taken(database, call(parameters=_TASK)), clock)
    caller.close()
    assert (refused.outcome.verdict, refused.outcome.code) == (verdict, "InvalidAccessKey")
    assert ("the next try takes it as it is then" in refused.outcome.meaning) is (token is not None)


@on_sqlite
@pytest.mark.parametrize("changed", [{"Duration": 20}, {"Handle": True}])
def test_what_a_repeat_of_an_unclear_call_does_is_told_as_it_is(
    database: Database,
    caller: Caller,
    clock: Clock,
    apis: Mapping[str, OpenApiStandin],
    changed: Mapping[str, Any],
) -> None:
    apis["volcengine"].tasks.add(app_id=APP, room_id="room", task_id="task", type="segment")
    apis["volcengine"].faults.add("nothing", times=1)
    ids = {name: value for name, value in _TASK.items() if name != "Duration"}
    lost, _ = performed(caller, taken(database, call(parameters={**ids, **changed})), clock)
    said = "ends the slice that is being cut, and begins one more" if "Duration" in changed else "does no harm"
    assert lost.outcome.is_unclear
    assert lost.outcome.meaning.endswith(f"it may have had its effect, and a repeat {said}")


def test_what_can_not_be_called_any_more_is_never_begun(
    database: Database, settings: Settings, clock: Clock, captioning: Receiver
) -> None:
    claimed = taken(database, call(parameters=_TASK))
    handed = taken(database, post(1, told=TOLD))
    forwarded = taken(database, post(2, told=TOLD, operation="http.forward"))
    strange = taken(database, call(3, operation="volcengine.of_another_version", lane="another", parameters=_TASK))
    bare = replace(settings, accounts={}, destinations={})
    for known, one, error, words in (
        (bare, claimed, SettingsError, "accounts.classroom"),
        (bare, handed, SettingsError, "destinations.captioning"),
        (settings, forwarded, WrongRequest, "not kept any more"),
        (settings, strange, WrongRequest, "of_another_version"),
    ):
        begun: list[str] = []
        caller = Caller(database, known, VENDORS, clock=clock)
        with pytest.raises(error, match=words):
            caller.perform(one, begun.append)
        caller.close()
        assert begun == []
    assert captioning.got == []
