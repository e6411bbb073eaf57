"""Calls that meet a bad answer, or none: what their attempts say, what is tried again, and what is never sent."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
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
    parameters,
    rule,
    standins,
    told,
    working,
)
from planning import call, opened, plan
from program import free_port, wait_until
from receivers import Receiver, receiver

from handlers.actions import go, stop
from handlers.clock import now_ms
from handlers.inbox import Inbox
from handlers.keeping.keeper import Keeper
from handlers.settings import load
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import RowMapping

#: milliseconds that a vendor has here
_TIMEOUT_MS = 1_000
_AT_ONCE = {"retry": {"delays": ["20ms"]}}
_ONCE = {"retry": {"tries": 1}}
_SHORTER = {"volcengine.update_segment": {"Duration": 20}}
_FOREVER = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]"
_ENDLESS = "true"
for _name in "abcdefg":
    _ENDLESS = f"{_FOREVER}.all({_name}, {_ENDLESS})"
_FAULTY = 'event.room_id.startsWith("fault-")'
#: destination -> how its receiver answers
_ANSWERS: Mapping[str, dict[str, Any]] = {
    "redirecting": {"status": 307, "headers": {"Location": "http://127.0.0.1:1/inner?secret=of-the-inner-network"}},
    "gone": {"status": 410, "body": b"no more of these"},
    "busy": {"status": 503, "headers": {"Retry-After": "1"}},
    "private": {},
}


#: vendor -> what a repeat of its faulty call does
_REPEATS = {
    "aliyun": "does no harm",
    "huawei": "does no harm",
    "volcengine": "ends the slice that is being cut, and begins one more",
}


def _post(to: str) -> Mapping[str, Any]:
    return {"http.post": {"to": to}}


RULES = (
    {**rule("faulty-slices", "segment.created", _SHORTER, once_per="task", **_AT_ONCE), "if": _FAULTY},
    {
        **rule(
            "faulty-jobs",
            "task.started",
            {"huawei.update_individual_stream_job": parameters("huawei.update_individual_stream_job")},
            **_AT_ONCE,
        ),
        "if": _FAULTY,
    },
    {
        **rule(
            "faulty-channels",
            "recording.available",
            {"aliyun.update_record_task": parameters("aliyun.update_record_task")},
            **_AT_ONCE,
        ),
        "if": _FAULTY,
    },
    *(rule(name, "recording.available", _post(name)) for name in (*_ANSWERS, "nobody")),
    rule(
        "too-long",
        "segment.created",
        {"volcengine.update_segment": {"Duration": "${segment.duration_ms / 1000}"}},
        once_per="task",
    ),
    rule(
        "without-value",
        "segment.created",
        {"http.post": {"to": "gone", "body": {"a": "${1 / (segment.size_bytes - segment.size_bytes)}"}}},
    ),
    {**rule("endless", "segment.created", _post("gone")), "if": f'event.room_id == "endless" && {_ENDLESS}'},
    {**rule("beside-the-endless", "segment.created", _post("gone")), "if": 'event.room_id == "endless"'},
    {**rule("strict", "segment.created", _SHORTER, once_per="task", accounts=["strict"]), "if": "true"},
    {**rule("parrot", "segment.created", _SHORTER, once_per="task", accounts=["parrot"], **_ONCE), "if": "true"},
)


@dataclass(kw_only=True)
class Street:
    """Reelhook with a worker, and who it calls."""

    house: House
    receivers: Mapping[str, Receiver]

    def only(self, name: str) -> RowMapping:
        """Return a rule's only action, once it is over."""
        (action,) = self.house.ended(name)
        return action

    def attempts(self, action: RowMapping) -> list[Mapping[str, Any]]:
        """Return the attempts of an action."""
        return list(self.house.attempts(action["id"]))


def _destinations(receivers: Mapping[str, Receiver]) -> str:
    urls = {name: one.url for name, one in receivers.items() if name in _ANSWERS}
    urls |= {"nobody": f"http://127.0.0.1:{free_port()}"}
    lets_in = {name: "" if name == "private" else 'allow_private = ["127.0.0.0/8"]' for name in urls}
    return "\n".join(
        f'[destinations.{name}]\nkind = "http"\nurl = "{url}/hooks"\nretries = ["20ms", "20ms"]\n{lets_in[name]}\n'
        for name, url in urls.items()
    )


#: an account whose vendor says back whatever it knows
_PARROT = """
[accounts.parrot]
vendor = "volcengine"
callback_secrets = ["env:VOLC_SIGNING"]
access_key_id = "env:AK_volcengine"
secret_access_key = "env:VOLC_SK"
security_token = "env:VOLC_TOKEN"
"""


#: an account whose vendor wants no call for an hour
_STRICT = _PARROT.replace("parrot", "strict") + 'quota = "strict"\n'


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def street(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """Run everything, on each engine in turn."""
    folder: Path = tmp_path_factory.mktemp("street")
    with ExitStack() as stack:
        apis = stack.enter_context(standins())
        receivers = {name: stack.enter_context(receiver(**one)) for name, one in _ANSWERS.items()}
        parrot = receivers["parrot"] = stack.enter_context(receiver(body=_parroted()))
        hour = {"Retry-After": "3600"}
        strict = receivers["strict"] = stack.enter_context(receiver(status=429, headers=hour, body=_refused()))
        accounts = f'{_PARROT}endpoint = "{parrot.url}"\n{_STRICT}endpoint = "{strict.url}"\n'
        config = configuration(apis, _destinations(receivers)) + accounts
        database = stack.enter_context(opened(request, folder))
        environ = environment(folder, "", config, told(*RULES))
        settings = load({name: value for name, value in environ.items() if value}, vendors=tuple(VENDORS))
        keeper = Keeper(database, None)
        keeper.start()
        stack.callback(keeper.close)
        inbox = Inbox(settings, VENDORS, keeper)
        house = stack.enter_context(working(folder, settings, database, inbox, apis, timeout_ms=_TIMEOUT_MS))
        house.write_rules(told(*RULES))
        assert [json.loads(book["problems"]) for book in house.books()] == [[]]
        yield Street(house=house, receivers=receivers)


def _parroted() -> bytes:
    message = f"the string to sign was {SECRETS['VOLC_SK']} with {SECRETS['VOLC_TOKEN']}"
    return _refused({"Code": "SignatureDoesNotMatch", "Message": message})


def _refused(error: Mapping[str, str] | None = None) -> bytes:
    told_ = error or {"Code": "FlowLimitExceeded.QPSOverLimit", "Message": "too fast"}
    return json.dumps({"ResponseMetadata": {"RequestId": "r-1", "Error": told_}}).encode()


# --- vendors ----------------------------------------------------------------------------------------------------------

#: kind of fault -> its fields, and of the first attempt: outcome, whether it is unclear, words of its detail
FAULTS: Mapping[str, tuple[dict[str, Any], str, bool, str]] = {
    "html-502": ({}, "again", True, "502 Bad Gateway"),
    "nothing": ({}, "again", True, "empty body"),
    "cut-before": ({}, "again", True, "broke off the connection"),
    "cut-after": ({}, "again", True, "broke off the connection"),
    "half": ({}, "again", True, "broke off the connection"),
    "hang": ({}, "again", True, "did not answer within"),
    "5xx": ({}, "again", False, ""),
    "429": ({"times": 3}, "again", False, ""),
    "error": ({"status": 200}, "give_up", False, ""),
}
_CODES = {"volcengine": "AccessDenied.ServiceNotEnabled", "aliyun": "App.Stop", "huawei": "RTC.00001016"}
_RULES = {"volcengine": "faulty-slices", "huawei": "faulty-jobs", "aliyun": "faulty-channels"}


@pytest.mark.parametrize("vendor", _CODES)
def test_every_bad_answer_of_a_vendor_is_told_with_its_attempt_and_all_but_a_refusal_is_got_over(
    street: Street, vendor: str
) -> None:
    api = street.house.apis[vendor]
    for kind, (fields, *_) in FAULTS.items():
        room = f"fault-{kind}"
        more = {"code": _CODES[vendor]} if kind == "error" else {}
        api.faults.add(kind, task_id=room, **fields, **more)
        _run_and_tell(street, vendor, room)
    actions = street.house.ended(_RULES[vendor], len(FAULTS))
    found = {_task_of(action): action for action in actions}
    for kind, (fields, outcome, is_unclear, words) in FAULTS.items():
        action = found[f"fault-{kind}"]
        first = street.attempts(action)[0]
        assert (kind, first["outcome"], first["is_unclear"]) == (kind, outcome, is_unclear)
        assert words in first["detail"]
        assert (f"it may have had its effect, and a repeat {_REPEATS[vendor]}" in first["detail"]) == is_unclear
        if outcome == "give_up":
            assert (kind, action["state"], action["attempts"]) == (kind, "dead", 1)
        else:
            assert (kind, action["state"]) == (kind, "done")
            assert action["attempts"] > fields.get("times", 1)
    assert found["fault-error"]["code"] == _CODES[vendor]
    assert _CODES[vendor] in found["fault-error"]["reason"]


def _task_of(action: RowMapping) -> str:
    told_ = json.loads(action["parameters"])
    return str(told_.get("TaskId") or told_.get("job_id"))


def _run_and_tell(street: Street, vendor: str, room: str) -> None:
    api = street.house.apis[vendor]
    if vendor == "volcengine":
        api.tasks.add(app_id=APP, room_id=room, task_id=room, type="segment")
        street.house.tell(a_slice(room))
    elif vendor == "huawei":
        api.tasks.add(app_id=APP, room_id=room, task_id=room, user_id="teacher")
        street.house.tell(from_huawei("RECORD_NEW_FILE_START", room))
    else:
        api.tasks.add(app_id=APP, room_id=room, task_id=room)
        street.house.tell(from_aliyun(room))


def test_an_unclear_call_whose_repeat_could_do_harm_is_left_to_people(street: Street) -> None:
    api = street.house.apis["volcengine"]
    api.tasks.add(app_id=APP, room_id="harm", task_id="harm", type="segment")
    api.faults.add("cut-after", task_id="harm")
    told_ = {"AppId": APP, "RoomId": "harm", "TaskId": "harm", "Duration": 20}
    one = call(1, rule="harm", lane="harm", parameters=told_, is_repeatable=False, needs_run=False, at=now_ms())
    plan(street.house.database, one)
    action = street.only("harm")
    assert action["state"] == "dead"
    assert "look before you retry it" in action["reason"]
    (attempt,) = street.attempts(action)
    assert attempt["is_unclear"]
    assert "it may have had its effect, and a repeat could do harm" in attempt["detail"]
    assert len([made for made in api.calls if made.task is not None and made.task.task_id == "harm"]) == 1


def test_a_vendor_that_wants_no_call_for_an_hour_gets_none_and_nobody_waits_with_one_in_hand(street: Street) -> None:
    strict, house = street.receivers["strict"], street.house
    stop(house.database, "rule", "strict", now=now_ms())
    for number in range(40):
        house.tell(a_slice(f"strict-{number}", account="strict"))
    wait_until(lambda: len(house.actions("strict")) == 40, patience=PATIENCE, what="40 planned calls")
    go(house.database, "rule", "strict")

    def is_at_rest() -> bool:
        rows = house.actions("strict")
        return any(row["state"] == "dead" for row in rows) and not any(row["stage"] == "claimed" for row in rows)

    wait_until(is_at_rest, patience=PATIENCE, what="the end of the calls in hand")
    rows = house.actions("strict")
    assert {row["state"] for row in rows} <= {"dead", "planned"}
    made = [one for row in rows for one in house.attempts(row["id"]) if one["code"] is not None]
    held = [one for row in rows for one in house.attempts(row["id"]) if one["code"] is None]
    assert len(made) == len(strict.got)
    assert all("nothing was sent" in one["detail"] and not one["is_unclear"] for one in held)
    assert len(strict.got) < 40


def test_an_answer_that_quotes_secrets_is_kept_without_them(street: Street) -> None:
    street.house.tell(a_slice("parrot", account="parrot"))
    action = street.only("parrot")
    assert (action["state"], action["code"]) == ("dead", "SignatureDoesNotMatch")
    (attempt,) = street.attempts(action)
    assert "the string to sign was (hidden) with (hidden)" in attempt["answer"]
    assert "the string to sign was (hidden) with (hidden)" in attempt["detail"]
    seen = repr([dict(action), dict(attempt)])
    assert SECRETS["VOLC_SK"] not in seen
    assert SECRETS["VOLC_TOKEN"] not in seen
    (came,) = street.receivers["parrot"].got
    assert came.headers["authorization"] not in seen
    assert came.headers["x-security-token"] == SECRETS["VOLC_TOKEN"]


# --- destinations -----------------------------------------------------------------------------------------------------


def test_a_redirect_is_not_followed_and_given_up_with_the_reason(street: Street) -> None:
    street.house.tell(from_aliyun("redirecting"))
    action = street.only("redirecting")
    assert (action["state"], action["code"], action["attempts"]) == ("dead", "307", 1)
    (attempt,) = street.attempts(action)
    assert "redirects are not followed" in attempt["detail"]
    assert "127.0.0.1:1" in attempt["detail"]
    assert "of-the-inner-network" not in repr([dict(action), dict(attempt)])
    assert len(street.receivers["redirecting"].got) == 1


def test_a_private_address_that_nobody_let_in_is_not_called(street: Street) -> None:
    street.house.tell(from_aliyun("private"))
    action = street.only("private")
    assert (action["state"], action["code"], action["attempts"]) == ("dead", "forbidden", 1)
    assert "allow_private" in action["reason"]
    assert street.receivers["private"].got == []


def test_a_receiver_that_is_gone_is_asked_once(street: Street) -> None:
    before = len(street.receivers["gone"].got)
    street.house.tell(from_aliyun("gone"))
    action = street.only("gone")
    assert (action["state"], action["code"], action["attempts"]) == ("dead", "410", 1)
    assert "no more of these" in action["reason"]
    assert len(street.receivers["gone"].got) == before + 1


def test_a_receiver_is_given_the_time_that_it_asks_for(street: Street) -> None:
    busy = street.receivers["busy"]
    street.house.tell(from_aliyun("busy"))
    wait_until(lambda: len(busy.got) == 1, patience=PATIENCE, what="the first try")
    busy.status = 200
    action = street.only("busy")
    assert (action["state"], action["attempts"]) == ("done", 2)
    first, second = street.attempts(action)
    assert (first["code"], first["is_unclear"]) == ("503", False)
    assert second["started_at"] - first["ended_at"] >= 1_000, "its schedule alone would have it back after 20 ms"


def test_a_receiver_that_nobody_reaches_is_tried_as_often_as_its_schedule_has_it(street: Street) -> None:
    street.house.tell(from_aliyun("nobody"))
    action = street.only("nobody")
    assert (action["state"], action["code"], action["attempts"]) == ("dead", "unreachable", 3)
    assert "that was try 3 of 3" in action["reason"]
    attempts = street.attempts(action)
    assert all("nothing was sent" in one["detail"] and not one["is_unclear"] for one in attempts)


# --- rules ------------------------------------------------------------------------------------------------------------


def _processed(street: Street) -> bool:
    return street.house.inbox_states() == {"processed"}


def test_a_value_that_the_api_would_refuse_is_seen_at_run_time_and_never_sent(street: Street) -> None:
    api = street.house.apis["volcengine"]
    street.house.tell(a_slice("too-long", Duration=601_000))
    action = street.only("too-long")
    assert action["state"] == "refused"
    assert "Duration" in action["reason"]
    assert "600" in action["reason"]
    assert street.attempts(action) == []
    wait_until(lambda: _processed(street), patience=PATIENCE, what="the end of the deliveries")
    assert [made for made in api.calls if made.task is not None and made.task.task_id == "too-long"] == []


def test_a_value_that_is_none_refuses_its_call(street: Street) -> None:
    street.house.tell(a_slice("without-value"))
    action = street.only("without-value")
    assert action["state"] == "refused"
    assert "divide by zero" in action["reason"]
    assert street.attempts(action) == []
    wait_until(lambda: _processed(street), patience=PATIENCE, what="the end of the deliveries")


def test_a_condition_that_would_run_for_ever_is_no_match_and_is_counted(street: Street) -> None:
    street.house.tell(a_slice("endless"))
    street.house.ended("beside-the-endless")
    wait_until(lambda: _processed(street), patience=PATIENCE, what="the end of the deliveries")
    assert street.house.actions("endless") == []
    wait_until(lambda: street.house.figures("endless").get("failed") == 1, patience=PATIENCE, what="the rule's figures")
    figures = street.house.figures("endless")
    assert figures["matched"] == 0
    assert "takes too long" in figures["failure"]
