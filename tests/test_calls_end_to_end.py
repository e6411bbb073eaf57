"""The whole road of a rule: a signed callback over HTTP, the call that it leads to, and what the other side got."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from acting import (
    APP,
    PATIENCE,
    SECRETS,
    House,
    a_slice,
    configuration,
    environment,
    from_aliyun,
    from_huawei,
    from_volcengine,
    parameters,
    rule,
    serving,
    standins,
    told,
)
from conftest import new_database
from program import wait_until
from receivers import Got, Receiver, receiver
from sqlalchemy import select
from standardwebhooks import Webhook

from handlers.clock import now_ms
from handlers.events import Incoming
from handlers.settings import Settings, load
from handlers.tables import metadata
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from handlers.database import Database
    from standin.callbacks.callback import Callback
    from standin.openapi import Call

_LOOPBACK = 'allow_private = ["127.0.0.0/8"]'
_POST = {"http.post": {"to": "captioning"}}
_SHORTER = {"volcengine.update_segment": {"Duration": 20, "Identifier": "${task.task_id}-short", "Handle": True}}
_PUSH = "volcengine.update_push_mixed_stream_to_cdn"
_ONCE = {"once_per": "room", "for": "12h"}


def _golden(operation: str) -> dict[str, Any]:
    return {operation: parameters(operation)}


RULES = (
    rule("slices", "segment.created", _SHORTER, once_per="task"),
    rule("films", "task.started", _golden("volcengine.update_record")),
    rule("pushes", "push.started", _golden(_PUSH)),
    rule("pushes-again", ["push.started", "push.updated"], _golden(_PUSH), limits={"task": "9/1h"}),
    rule("jobs", "task.started", _golden("huawei.update_individual_stream_job")),
    rule("starts", "recording.available", _golden("aliyun.start_record_task"), **_ONCE),
    rule("starts-again", "recording.available", _golden("aliyun.start_record_task"), **_ONCE),
    rule(
        "changes-and-stops",
        "recording.available",
        _golden("aliyun.update_record_task"),
        {"aliyun.stop_record_task": {}},
        **_ONCE,
    ),
    rule("posts", "recording.available", _POST),
    rule("two-steps", "segment.created", _SHORTER, _POST, once_per="task"),
    rule("no-second-step", "segment.created", _SHORTER, _POST, once_per="task"),
    rule("shadows", "segment.created", _SHORTER, _POST, once_per="task", mode="shadow"),
    rule("once", "segment.created", _POST, once_per="task"),
    *(
        rule(f"forwards-{vendor}", change, {"http.forward": {"to": f"handler-{vendor}"}})
        for vendor, change in (
            ("volcengine", "task.started"),
            ("huawei", "recording.available"),
            ("aliyun", "recording.available"),
        )
    ),
)


@dataclass(kw_only=True)
class Street:
    """Reelhook, and who it calls."""

    house: House
    settings: Settings
    captioning: Receiver
    handler: Receiver

    def calls(self, vendor: str, task: str) -> list[Call]:
        """Return the calls about a task."""
        return [one for one in self.house.apis[vendor].calls if one.task is not None and one.task.task_id == task]

    def posts(self, room: str) -> list[Got]:
        """Return the hand-overs that tell of a room."""
        return [one for one in self.captioning.got if json.loads(one.body)["data"]["event"]["room_id"] == room]


def _destinations(captioning: Receiver, handler: Receiver) -> str:
    handlers = [
        f'[destinations.handler-{vendor}]\nkind = "http"\nurl = "{handler.url}/{vendor}/{SECRETS["RECEIVER"]}"\n'
        f"{_LOOPBACK}\n"
        for vendor in VENDORS
    ]
    captions = f'[destinations.captioning]\nkind = "http"\nurl = "{captioning.url}/hooks"\nsecret = "env:CAPTIONING"\n'
    return "\n".join([captions, 'retries = ["50ms", "50ms", "50ms"]', _LOOPBACK, *handlers])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def street(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """Run everything, on each engine in turn."""
    folder = tmp_path_factory.mktemp("street")
    if request.param == "sqlite":
        yield from _street(folder, f"sqlite:///{folder}/data/reelhook.db")
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        yield from _street(folder, url)


def _street(folder: Path, url: str) -> Iterator[Street]:
    with standins() as apis, receiver() as captioning, receiver() as handler:
        config = configuration(apis, _destinations(captioning, handler))
        environ = environment(folder, url, config, told(*RULES))
        with serving(folder, environ, apis) as house:
            house.write_rules(told(*RULES))
            assert [json.loads(book["problems"]) for book in house.books()] == [[]]
            settings = load(environ, vendors=tuple(VENDORS))
            yield Street(house=house, settings=settings, captioning=captioning, handler=handler)


# --- vendors' calls ---------------------------------------------------------------------------------------------------

#: rule -> whose call it makes, what tells of it, and the API
CALLS: Mapping[str, tuple[str, Callable[[str], Callback], str]] = {
    "slices": ("volcengine", a_slice, "UpdateSegment"),
    "films": ("volcengine", partial(from_volcengine, "RecordStarted"), "UpdateRecord"),
    "pushes": ("volcengine", partial(from_volcengine, "TranscodeStarted"), "UpdatePushMixedStreamToCDN"),
    "jobs": ("huawei", partial(from_huawei, "RECORD_NEW_FILE_START"), "UpdateIndividualStreamJob"),
    "starts": ("aliyun", from_aliyun, "StartRecordTask"),
}
#: whose access key it is -> how its name begins
_KEYS = {"volcengine": "VOLC", "huawei": "HW", "aliyun": "ALI"}
_TYPES = {"UpdateSegment": "segment", "UpdatePushMixedStreamToCDN": "push"}


def run_task(street: Street, vendor: str, name: str, api: str = "") -> None:
    """Let the task run at the vendor that the callback is about."""
    more = {"user_id": "teacher"} if vendor == "huawei" else {}
    street.house.apis[vendor].tasks.add(app_id=APP, room_id=name, task_id=name, type=_TYPES.get(api, "record"), **more)


@pytest.mark.parametrize("name", CALLS)
def test_the_vendor_takes_the_call_that_a_callback_leads_to(street: Street, name: str) -> None:
    vendor, make, api = CALLS[name]
    if name != "starts":
        run_task(street, vendor, name, api)
    street.house.tell(make(name))
    (action,) = street.house.ended(name)
    assert (action["state"], action["reason"]) == ("done", None)
    (call,) = [one for one in street.house.apis[vendor].calls if one.request_id == action["request_id"]]
    assert (call.action, call.worked, call.code, call.account) == (api, True, None, f"{_KEYS[vendor]}-AK")
    (attempt,) = street.house.attempts(action["id"])
    assert "(hidden)" in attempt["request"]
    assert attempt["answer"].startswith("HTTP 200")
    assert (attempt["outcome"], attempt["is_unclear"]) == ("done", False)


#: rule -> what it says, as the API has it
_SAID: Mapping[str, Mapping[str, Any]] = {
    "slices": {"Duration": 20, "Identifier": "slices-short", "Handle": True},
    "films": parameters("volcengine.update_record"),
    "pushes": parameters(_PUSH),
    "jobs": parameters("huawei.update_individual_stream_job"),
}


@pytest.mark.parametrize("name", _SAID)
def test_what_the_rule_says_and_what_the_event_names_is_what_the_vendor_gets(street: Street, name: str) -> None:
    vendor, make, api = CALLS[name]
    run_task(street, vendor, name, api)
    street.house.tell(make(name))
    street.house.ended(name)
    got = dict(street.calls(vendor, name)[0].body)
    if name == "pushes":
        assert got.pop("SequenceNumber") > 0
    # A callback about a push tells no BusinessId; Huawei's ids stand in the path.
    business = {} if name == "pushes" else {"BusinessId": "school"}
    own = {} if vendor == "huawei" else {"AppId": APP, "RoomId": name, "TaskId": name, **business}
    assert got == {**own, **_SAID[name]}


def test_a_task_is_changed_and_then_stopped(street: Street) -> None:
    run_task(street, "aliyun", "changes-and-stops")
    street.house.tell(from_aliyun("changes-and-stops"))
    actions = street.house.ended("changes-and-stops", 2)
    assert [row["state"] for row in actions] == ["done", "done"]
    calls = street.calls("aliyun", "changes-and-stops")
    assert [call.action for call in calls] == ["UpdateRecordTask", "StopRecordTask"]
    assert all(call.worked and call.overlap is False for call in calls)
    assert street.house.apis["aliyun"].tasks.get(app_id=APP, task_id="changes-and-stops").state == "stopped"


def test_the_sequence_number_grows_from_attempt_to_attempt_and_from_call_to_call(street: Street) -> None:
    run_task(street, "volcengine", "pushes-again", "UpdatePushMixedStreamToCDN")
    street.house.apis["volcengine"].faults.add("5xx", task_id="pushes-again", times=1)
    street.house.tell(from_volcengine("TranscodeStarted", "pushes-again"))
    (action,) = street.house.ended("pushes-again")
    assert (action["state"], action["attempts"]) == ("done", 2)
    first = street.calls("volcengine", "pushes-again")
    street.house.tell(from_volcengine("TranscodeUpdated", "pushes-again"))
    street.house.ended("pushes-again", 2)
    numbers = [call.body["SequenceNumber"] for call in street.calls("volcengine", "pushes-again")]
    assert len(first) == 2
    assert len(numbers) == 3
    assert numbers == sorted(set(numbers))


def test_a_start_whose_answer_was_lost_finds_its_own_task_and_is_done(street: Street) -> None:
    api = street.house.apis["aliyun"]
    before = len(api.tasks.all())
    api.faults.add("nothing", action="StartRecordTask", times=1)
    street.house.tell(from_aliyun("starts-again"))
    (action,) = street.house.ended("starts-again")
    assert (action["state"], action["code"], action["attempts"]) == ("done", "TaskExisted", 2)
    lost, found = street.house.attempts(action["id"])
    assert lost["is_unclear"]
    assert "a repeat does no harm" in lost["detail"]
    assert found["code"] == "TaskExisted"
    assert len(api.tasks.all()) == before + 1, "the derived TaskId makes no second"


# --- hand-overs -------------------------------------------------------------------------------------------------------


def test_a_hand_over_is_a_signed_cloudevent_with_one_id_at_every_try(street: Street) -> None:
    street.captioning.status = 503
    street.house.tell(from_aliyun("posts"))
    wait_until(lambda: len(street.posts("posts")) >= 2, patience=PATIENCE, what="a second try")
    street.captioning.status = 200
    (action,) = street.house.ended("posts")
    assert action["state"] == "done"
    came = street.posts("posts")
    assert {one.headers["webhook-id"] for one in came} == {action["id"]}
    assert {one.headers["content-type"] for one in came} == {"application/cloudevents+json"}
    for one in came:
        event = Webhook(SECRETS["CAPTIONING"]).verify(one.body, one.headers)
        assert event["id"] == action["id"]
        assert event["type"] == "reelhook.recording.available.v1"
        assert event["data"]["recording"]["room_id"] == "posts"
        assert event["data"]["task"]["task_id"] == "posts"
    assert len(street.house.attempts(action["id"])) == len(came)


FORWARDS: Mapping[str, Callable[[str], Callback]] = {
    "volcengine": partial(from_volcengine, "RecordStarted"),
    "huawei": partial(from_huawei, "RECORD_FILE_COMPLETE"),
    "aliyun": from_aliyun,
}


@pytest.mark.parametrize("vendor", FORWARDS)
def test_what_is_forwarded_is_byte_for_byte_what_came_and_verifies_as_the_vendors(street: Street, vendor: str) -> None:
    name = f"forwards-{vendor}"
    callback = FORWARDS[vendor](name)
    street.house.tell(callback)
    (action,) = street.house.ended(name)
    assert (action["state"], action["reason"]) == ("done", None)
    (came,) = [one for one in street.handler.got if one.path == f"/{vendor}/{SECRETS['RECEIVER']}"]
    assert came.body == callback.body
    assert came.headers.items() >= callback.headers.items()
    incoming = Incoming(
        vendor=vendor,
        account=callback.account,
        door="http",
        received_at=now_ms(),
        headers=came.headers,
        body=came.body,
        token=callback.token,  # Alibaba signs nothing: what proves it stood in the address, which does not travel
    )
    VENDORS[vendor].verify(incoming, street.settings.accounts[vendor, callback.account])


# --- how rules act ----------------------------------------------------------------------------------------------------


def test_a_step_begins_once_the_one_before_it_is_done(street: Street) -> None:
    run_task(street, "volcengine", "two-steps", "UpdateSegment")
    street.house.apis["volcengine"].faults.add("5xx", task_id="two-steps", times=1)
    street.house.tell(a_slice("two-steps"))
    first, second = street.house.ended("two-steps", 2)
    assert (first["state"], second["state"]) == ("done", "done")
    assert (first["step"], second["step"], second["after"]) == (0, 1, first["id"])
    failed, done = street.house.attempts(first["id"])
    assert (failed["outcome"], done["outcome"]) == ("again", "done")
    (posted,) = street.house.attempts(second["id"])
    assert posted["started_at"] >= done["ended_at"]
    assert len(street.posts("two-steps")) == 1


def test_a_step_after_one_that_is_given_up_never_begins(street: Street) -> None:
    street.house.tell(a_slice("no-second-step"))  # no such task runs at the vendor
    first, second = street.house.ended("no-second-step", 2)
    assert (first["state"], first["code"]) == ("dead", "InvalidParameter.ErrorActiveTaskNotFound")
    assert second["state"] == "cancelled"
    assert first["id"] in second["reason"]
    assert street.house.attempts(second["id"]) == []
    assert street.posts("no-second-step") == []


def test_a_shadow_is_planned_and_shown_and_sends_nothing(street: Street) -> None:
    run_task(street, "volcengine", "shadows", "UpdateSegment")
    street.house.tell(a_slice("shadows"))
    actions = street.house.ended("shadows", 2)
    assert [row["state"] for row in actions] == ["shadow", "shadow"]
    assert json.loads(actions[0]["parameters"])["Identifier"] == "shadows-short"
    # Whatever was planned before it is sent by now: what comes later has been.
    street.house.tell(a_slice("once", "after-the-shadows"))
    street.house.ended("once")
    assert [street.house.attempts(row["id"]) for row in actions] == [[], []]
    assert street.calls("volcengine", "shadows") == []
    assert street.posts("shadows") == []


def test_once_per_task_is_once_for_each_task(street: Street) -> None:
    before = {row["id"] for row in street.house.actions("once")}
    for task in ("once-a", "once-a", "once-b"):
        street.house.tell(a_slice("once", task))
    wait_until(lambda: len(street.house.actions("once")) >= len(before) + 2, patience=PATIENCE, what="two actions")
    wait_until(
        lambda: street.house.inbox_states() == {"processed"}, patience=PATIENCE, what="the end of the deliveries"
    )
    actions = [row for row in street.house.ended("once") if row["id"] not in before]
    assert len({row["task"] for row in actions}) == len(actions) == 2
    assert {row["state"] for row in actions} == {"done"}


def test_an_edited_file_of_rules_acts_within_seconds_and_a_broken_one_changes_nothing(street: Street) -> None:
    street.house.write_rules(told(*RULES, rule("added", "recording.available", _POST)))
    street.house.tell(from_aliyun("added"))
    (action,) = street.house.ended("added")
    assert action["state"] == "done"
    version = action["rules_version"]

    street.house.write_rules("rules: [{name: broken, when: nothing.of.ours}]")
    (book,) = street.house.books()
    assert book["version"] == version
    assert "nothing.of.ours" in book["problems"]
    street.house.tell(from_aliyun("added"))
    actions = street.house.ended("added", 2)
    assert [row["state"] for row in actions] == ["done", "done"]
    assert [row["rules_version"] for row in actions] == [version, version]

    street.house.write_rules(told(*RULES))
    (book,) = street.house.books()
    assert json.loads(book["problems"]) == []


# --- and nothing of it gives a secret away ----------------------------------------------------------------------------


def test_no_secret_of_all_these_calls_stands_in_a_row_in_the_log_or_in_an_answer(street: Street) -> None:
    house = street.house
    for name, (vendor, make, api) in CALLS.items():
        if name != "starts":
            run_task(street, vendor, name, api)
        house.tell(make(name))
        house.ended(name)
    for vendor, forward in FORWARDS.items():
        house.tell(forward(f"forwards-{vendor}"))
        house.ended(f"forwards-{vendor}")
    house.tell(from_aliyun("posts"))
    house.ended("posts")

    ids = [row["id"] for rule_ in RULES for row in house.actions(rule_["name"])]
    seen = {"rows": dump(house.database), "log": house.log(), "answers": house.ask("/api/v1/actions?limit=1000")}
    seen["answers"] += "".join(house.ask(f"/api/v1/actions/{one}") for one in ids)
    signatures = {one.headers["webhook-signature"] for one in street.captioning.got}
    for place, text in seen.items():
        for name, secret in SECRETS.items():
            assert secret not in text, (place, name)
        assert not any(signature in text for signature in signatures), place
        assert not re.search(r"(HMAC-SHA256|ACS3-\w+|SDK-\w+) (Credential|Access)=", text), place
    assert "Authorization: HMAC-SHA256 (hidden)" in seen["rows"]
    assert ids[0] in seen["answers"]
    assert "POST /callbacks/aliyun/lessons" in seen["log"]


def dump(database: Database) -> str:
    """Return every value of every table, as text."""
    with database.read() as connection:
        rows = [row for table in metadata.sorted_tables for row in connection.execute(select(table)).all()]
    return "\n".join(shown(value) for row in rows for value in row)


def shown(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
