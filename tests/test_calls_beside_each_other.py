"""Calls of several counterparts at a time: accounts that share a limit stay below it, and who is dead delays nobody."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from acting import APP, House, a_slice, configuration, environment, rule, serving, standins, told
from conftest import new_database
from program import wait_until
from receivers import says, speaker
from sqlalchemy import func, select

from handlers import tables
from handlers.actions import go, stop
from handlers.clock import now_ms
from standin.openapi import Credential

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE = 120.0
_SHORTER = {"volcengine.update_segment": {"Duration": 20}}
#: the vendor's limit, and what each account may use of it: two that didn't share it would be far above together. The
#: room between them is for a busy machine, on which calls arrive closer to each other than they were made
_LIMIT, _OWN_LIMIT = 150, 100
#: how two accounts share a limit -> their names
_SHARING = {"by their access key": ("classroom", "evening"), "by the name of a quota": ("morning", "night")}
RULES = (
    *(
        {
            **rule(names[0], "segment.created", _SHORTER, once_per="task", accounts=list(names)),
            "if": 'event.room_id != "dead"',
        }
        for names in _SHARING.values()
    ),
    {**rule("dead", "segment.created", {"http.post": {"to": "dead"}}), "if": 'event.room_id == "dead"'},
)
_LEAVES_ROOM = f"limits = {{ update_segment = {_OWN_LIMIT} }}\n"
#: access keys of one vendor account -> their secrets; each is the variable that holds it, too
_KEYS = {"FIRST_AK": "FIRST_SK", "SECOND_AK": "SECOND_SK"}
_OTHERS = "\n".join(
    f'[accounts.{name}]\nvendor = "volcengine"\ncallback_secrets = ["env:VOLC_SIGNING"]\nquota = "volc-main"\n'
    f'access_key_id = "env:{key}"\nsecret_access_key = "env:{secret}"\nendpoint = "ENDPOINT"\n{_LEAVES_ROOM}'
    for name, (key, secret) in zip(("morning", "night"), _KEYS.items(), strict=True)
)


@contextmanager
def at_work(folder: Path, url: str) -> Iterator[House]:
    """Run a Reelhook whose destination `dead` takes every connection and never says a word."""
    more = {key: Credential(secret=secret, account="volc-main") for key, secret in _KEYS.items()}
    with standins(more, volcengine={"UpdateSegment": _LIMIT}) as apis, speaker(says(closes=False)) as dead:
        destination = f'[destinations.dead]\nkind = "http"\nurl = "{dead}"\nallow_private = ["127.0.0.0/8"]\n'
        others = _OTHERS.replace("ENDPOINT", apis["volcengine"].endpoint)
        config = configuration(apis, others + destination, classroom=_LEAVES_ROOM, evening=_LEAVES_ROOM)
        environ = environment(folder, url, config, told(*RULES))
        environ |= {name: name for pair in _KEYS.items() for name in pair}
        with serving(folder, environ, apis) as house:
            yield house


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run it on each engine in turn."""
    folder = tmp_path_factory.mktemp("house")
    if request.param == "sqlite":
        with at_work(folder, f"sqlite:///{folder}/data/reelhook.db") as one:
            yield one
    else:
        with new_database(request.getfixturevalue("postgres_server")) as url, at_work(folder, url) as one:
            yield one


def tell(house: House, task: str, account: str) -> None:
    """Let a task run at the vendor, and tell of a slice of it."""
    house.apis["volcengine"].tasks.add(app_id=APP, room_id=task, task_id=task, type="segment")
    house.tell(a_slice(task, account=account))


@pytest.mark.parametrize("sharing", _SHARING)
def test_two_accounts_of_one_vendor_account_stay_below_its_limit_together(house: House, sharing: str) -> None:
    names = _SHARING[sharing]
    house.apis["volcengine"].forget_calls()
    stop(house.database, "all", now=now_ms())
    for number in range(200):
        tell(house, f"{names[0]}-{number}", names[number % 2])
    wait_until(lambda: len(house.actions(names[0])) == 200, patience=_PATIENCE, what="200 planned calls")
    go(house.database, "all")
    actions = house.ended(names[0], 200)
    calls = house.apis["volcengine"].calls
    assert {row["state"] for row in actions} == {"done"}
    assert {row["account"] for row in actions} == set(names)
    assert len({row["quota"] for row in actions}) == 1
    assert len(calls) == 200
    assert {call.account for call in calls} == {"volc-main" if "quota" in sharing else "VOLC-AK"}
    assert [call.number for call in calls if call.within_limit is not True] == []


def test_a_dead_destination_with_hundreds_waiting_delays_no_call_of_a_vendor(house: House) -> None:
    before = {row["id"] for row in house.actions("classroom")}
    for number in range(300):
        house.tell(a_slice("dead", f"dead-{number}"))
    wait_until(lambda: begun(house, "dead") > 0, patience=_PATIENCE, what="a hand-over that nobody answers")
    for number in range(40):
        tell(house, f"live-{number}", "classroom")
    called = [row for row in house.ended("classroom", len(before) + 40) if row["id"] not in before]
    waiting = [row for row in house.actions("dead") if row["stage"] != "over"]
    assert [row["state"] for row in called] == ["done"] * 40
    assert len(waiting) == 300
    assert len([row for row in waiting if row["attempts"] == 0]) > 200, "they are still to come, and no call waited"


def begun(house: House, name: str) -> int:
    """Return how many attempts the actions of a rule have."""
    of_rule = tables.attempts.join(tables.actions, tables.attempts.c.action == tables.actions.c.id)
    query = select(func.count()).select_from(of_rule).where(tables.actions.c.rule == name)
    with house.database.read() as connection:
        return int(connection.execute(query).scalar_one())
