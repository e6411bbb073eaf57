"""What the API tells of actions and changes about them: filters, tries, retries, results, switches."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from api_client import BEARER, Api, api_over, on_one_engine, problem, wrong
from planning import AGAIN, GIVE_UP, call, claim, know_task, make, plan, post, rows, states
from rows import ids, task_row
from sqlalchemy import insert, update

from handlers import actions, tables
from handlers.actions.stages import STATES
from handlers.clock import now_ms
from handlers.moments import to_text
from handlers.operation import Outcome
from handlers.questions import items
from handlers.questions.filters import ACTIONS, Filters
from handlers.questions.filters import STATES as STATES_ASKED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.database import Database
    from handlers.settings import Settings

HOUR = 3_600_000
IN_A_MINUTE = Outcome(verdict="again", code="InternalError", after_ms=60_000)


@pytest.fixture
def api(settings: Settings, database: Database) -> Iterator[Api]:
    """Return the API over the database of this engine."""
    with api_over(settings, database) as client:
        yield client


@pytest.fixture
def tried(database: Database) -> list[str]:
    """Plan and try three actions, and plan one that waits; return their ids: dead, done, again, planned."""
    know_task(database)
    plan(database, call(0, lane="a"), post(1, account="clinic", vendor="huawei"), call(2, lane="b", rule="archive"))
    outcomes = {0: GIVE_UP, 2: IN_A_MINUTE}
    for one in claim(database):
        number = int(one.subject.removeprefix("seg_"))
        make(database, one, **({"outcome": outcomes[number]} if number in outcomes else {}))
    plan(database, call(3, lane="c", mode="live"))
    return [row["id"] for row in rows(database)]


def told(api: Api, path: str) -> dict[str, Any]:
    answer = api.get(f"/api/v1/actions{path}")
    assert answer.status_code == 200, answer.text
    return dict(json.loads(answer.text))


def done(api: Api, path: str, *body: Any) -> dict[str, Any]:
    answer = api.post(f"/api/v1/actions{path}", *body)
    assert answer.status_code == 200, answer.text
    return dict(json.loads(answer.text))


def listed(api: Api, query: str) -> list[str]:
    return [item["id"] for item in told(api, f"?{query}")["items"]]


# --- what is told ---


def test_the_states_that_can_be_asked_for_are_those_that_there_are() -> None:
    assert STATES_ASKED[ACTIONS] == STATES


def test_a_list_tells_how_often_each_was_tried_and_what_is_due(api: Api, tried: list[str]) -> None:
    found = told(api, "")["items"]
    assert [item["id"] for item in found] == tried[::-1]
    assert tuple(found[0]) == items.ACTION
    assert [(item["state"], item["attempts"], item["due_at"] is None) for item in found[::-1]] == [
        ("dead", 1, True),
        ("done", 1, True),
        ("again", 1, False),
        ("planned", 0, False),
    ]
    assert [(item["outcome"], item["code"]) for item in found[::-1][:2]] == [
        ("give_up", "InvalidParameter"),
        ("done", None),
    ]
    assert all(item["created_at"].endswith("Z") for item in found)


def test_an_action_is_shown_with_every_try_and_what_it_told(api: Api, database: Database) -> None:
    plan(database, post(1, told={"change": "recording.available", "recording": {"format": "m3u8"}}))
    make(database, claim(database)[0], AGAIN)
    (row,) = rows(database)
    shown = told(api, f"/{row['id']}")
    assert shown["parameters"] == {"to": "captioning"}
    assert shown["told"] == {"change": "recording.available", "recording": {"format": "m3u8"}}
    (attempt,) = shown["attempts"]
    assert tuple(attempt) == items.ATTEMPT
    assert (attempt["number"], attempt["request"], attempt["answer"]) == (1, "POST /", "{}")
    assert (attempt["outcome"], attempt["code"], attempt["is_unclear"]) == ("again", "InternalError", False)
    assert attempt["started_at"] == to_text(row["first_at"])


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("state=dead", [0]),
        ("state=dead&state=again", [2, 0]),
        ("state=done", [1]),
        ("rule=archive", [2]),
        ("rule=archive&rule=short-slices&state=planned", [3]),
        ("operation=http.post", [1]),
        ("destination=captioning", [1]),
        ("destination=elsewhere", []),
        ("account=clinic", [1]),
        ("vendor=volcengine", [3, 2, 0]),
        ("mode=live&operation=volcengine.update_segment", [3, 2, 0]),
        ("mode=shadow", []),
        ("recording=seg_2", [2]),
        ("task=tsk_1&state=again", [2]),
        ("task=tsk_2", []),
        ("created_after=2020-01-01T00:00:00Z", [3, 2, 1, 0]),
        ("created_before=2020-01-01T00:00:00Z", []),
        ("rule=archive&created_before=2020-01-01T00:00:00Z", []),
    ],
)
def test_a_filter_lets_through_the_actions_that_it_names(
    api: Api, tried: list[str], query: str, numbers: list[int]
) -> None:
    assert listed(api, query) == [tried[number] for number in numbers]


def test_actions_are_found_by_the_vendors_names_of_their_task(api: Api, database: Database) -> None:
    job = task_row(0, id="tsk_1", room_id="room-1", task_id="job-1")
    with database.write() as connection:
        connection.execute(insert(tables.tasks), [job, task_row(1, id="tsk_2", room_id="room-2", task_id="job-1")])
    plan(database, call(0), call(1, lane="b", task="tsk_2"))
    first, second = (row["id"] for row in rows(database))
    assert listed(api, "room_id=room-1") == [first]
    assert listed(api, "task_id=job-1") == [second, first]
    assert listed(api, "task_id=job-1&room_id=room-2") == [second]
    assert listed(api, "room_id=room-3") == []


def test_pages_of_actions_follow_each_other_whatever_is_asked(database: Database) -> None:
    plan(database, *(call(number, lane=None, rule=f"rule-{number % 2}") for number in range(30)))
    everything = [row["id"] for row in rows(database)][::-1]
    assert ids(database, ACTIONS, Filters(), limit=7) == everything
    assert ids(database, ACTIONS, Filters(rule=("rule-1",)), limit=4) == everything[::2]
    assert ids(database, ACTIONS, Filters(state=("planned",), task=("tsk_1",)), limit=11) == everything


def test_a_task_shows_what_was_done_because_of_it(api: Api, database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(tables.tasks), [task_row(0, id="tsk_1")])
    plan(database, *(call(number) for number in range(103)))
    shown = json.loads(api.get("/api/v1/tasks/tsk_1").text)["actions"]
    assert [one["id"] for one in shown] == [row["id"] for row in rows(database)][3:]
    assert tuple(shown[0]) == items.ACTION_OF_TASK


# --- what is changed ---


def test_one_action_is_retried(api: Api, tried: list[str], database: Database) -> None:
    shown = done(api, f"/{tried[0]}/retry")
    assert (shown["state"], shown["reason"], len(shown["attempts"])) == ("planned", None, 1)
    assert states(database)[0] == "planned"
    assert done(api, f"/{tried[2]}/retry")["state"] == "again"
    assert "only one that is" in problem(api.post(f"/api/v1/actions/{tried[1]}/retry"), 409)["detail"]


def test_a_retry_is_due_at_once_whatever_time_the_web_host_has(
    api: Api, tried: list[str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = now_ms() + HOUR
    monkeypatch.setattr("webhook.api.action_changes.now_ms", lambda: ahead)
    done(api, f"/{tried[0]}/retry")
    assert done(api, "/retry", {"state": ["again"]})["count"] == 1
    assert {tried[0], tried[2]} <= {one.id for one in claim(database)}


def test_one_action_is_cancelled(api: Api, tried: list[str]) -> None:
    shown = done(api, f"/{tried[3]}/cancel")
    assert (shown["state"], shown["reason"]) == ("cancelled", "cancelled by hand")
    assert "the action is cancelled" in problem(api.post(f"/api/v1/actions/{tried[3]}/cancel"), 409)["detail"]


def test_what_is_under_way_can_not_be_cancelled(api: Api, database: Database) -> None:
    plan(database, call())
    (taken,) = claim(database)
    assert "under way" in problem(api.post(f"/api/v1/actions/{taken.id}/cancel"), 409)["detail"]


def test_a_consumer_says_how_it_ended(api: Api, tried: list[str]) -> None:
    shown = done(api, f"/{tried[1]}/result", {"result": "failed", "detail": "no speech"})
    assert (shown["state"], shown["result"], shown["result_detail"]) == ("dead", "failed", "no speech")
    assert shown["result_at"] is not None
    assert done(api, f"/{tried[1]}/result", {"result": "done"})["state"] == "done"
    told = problem(api.post(f"/api/v1/actions/{tried[3]}/result", {"result": "done"}), 409)
    assert "only one that is done can be given a result" in told["detail"]


@on_one_engine
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "result"),
        ({"result": "maybe"}, "result"),
        ({"result": "done", "detail": 5}, "detail"),
        ({"result": "done", "detail": "x" * 2049}, "detail"),
        ({"result": "done", "reason": "x"}, "reason"),
    ],
)
def test_a_result_is_done_or_failed(api: Api, tried: list[str], body: dict[str, Any], field: str) -> None:
    assert list(wrong(api.post(f"/api/v1/actions/{tried[1]}/result", body))) == [field]


@on_one_engine
@pytest.mark.parametrize("name", ["act_none", "act_%00", "tsk_1", "act_%F0%9F%8E%AC"])
@pytest.mark.parametrize("verb", ["retry", "cancel", "result"])
def test_what_is_not_there_can_not_be_changed(api: Api, name: str, verb: str) -> None:
    body = [{"result": "done"}] if verb == "result" else []
    assert "there is no action" in problem(api.post(f"/api/v1/actions/{name}/{verb}", *body), 404)["detail"]


def test_actions_are_retried_by_filter_after_a_preview(api: Api, tried: list[str], database: Database) -> None:
    with database.write() as connection:
        of_others = tables.actions.c.id == tried[1]
        connection.execute(update(tables.actions).where(of_others).values(state="dead", rule="archive"))
    told = {"count": 2, "capped": False, "left_out": 0, "superseded": 0, "preview": True}
    assert done(api, "/retry", {"preview": True}) == told
    assert states(database) == ["dead", "dead", "again", "planned"]
    assert done(api, "/retry", {"rule": ["archive"]}) == told | {"count": 1, "preview": False}
    assert states(database) == ["dead", "planned", "again", "planned"]
    assert done(api, "/retry", {"state": ["dead", "again"], "created_before": to_text(now_ms() - HOUR)})["count"] == 0
    assert done(api, "/retry", {"state": ["dead", "again"]})["count"] == 2
    assert list(wrong(api.post("/api/v1/actions/retry", {"state": ["done"]}))) == ["state"]


def test_what_is_about_a_run_that_is_over_is_not_retried(api: Api, tried: list[str], database: Database) -> None:
    with database.write() as connection:
        connection.execute(update(tables.tasks).values(state="stopped"))
    assert "its task has stopped" in problem(api.post(f"/api/v1/actions/{tried[0]}/retry"), 409)["detail"]
    nothing = {"count": 0, "capped": False, "left_out": 1, "superseded": 0}
    assert done(api, "/retry", {"preview": True}) == nothing | {"preview": True}
    assert done(api, "/retry", {}) == nothing | {"preview": False}
    assert states(database)[0] == "dead"


def test_what_a_newer_call_makes_superfluous_ends_superseded_where_it_is_retried(api: Api, database: Database) -> None:
    know_task(database)
    same = {"covers": "volcengine.update_segment", "parameters": {"Duration": 20}}
    plan(database, call(1, **same), call(2, **same))
    make(database, claim(database)[0], GIVE_UP)
    older, newer = (row["id"] for row in rows(database))
    told = {"count": 0, "capped": False, "left_out": 0, "superseded": 1}
    assert done(api, "/retry", {"preview": True}) == told | {"preview": True}
    shown = done(api, f"/{older}/retry")
    assert (shown["state"], shown["newer"]) == ("superseded", newer)


def test_many_that_are_due_again_are_hurried_however_many_calls_it_takes(
    api: Api, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "retry_matching", partial(actions.retry_matching, most=2))
    know_task(database)
    plan(database, *(post(number) for number in range(5)))
    for one in claim(database):
        make(database, one, IN_A_MINUTE)
    found = [done(api, "/retry", {"state": ["again"]}) for _ in range(3)]
    assert [(one["count"], one["capped"]) for one in found] == [(2, True), (2, True), (1, False)]
    assert len(claim(database)) == 5
    assert done(api, "/retry", {"state": ["again"]})["count"] == 0


# --- what is stopped ---


@pytest.mark.parametrize(
    ("body", "kind", "name"),
    [
        ({"rule": "short-slices"}, "rule", "short-slices"),
        ({"operation": "volcengine.update_segment"}, "operation", "volcengine.update_segment"),
        ({"account": "volcengine/classroom"}, "account", "volcengine/classroom"),
        ({"all": True}, "all", ""),
    ],
)
def test_what_is_stopped_is_not_called_until_it_goes_on(
    api: Api, database: Database, body: dict[str, Any], kind: str, name: str
) -> None:
    plan(database, call())
    assert done(api, "/stop", body) == {"kind": kind, "name": name, "stopped": True, "known": True}
    assert claim(database) == []
    (one,) = told(api, "/stopped")["items"]
    assert (one["kind"], one["name"]) == (kind, name)
    assert done(api, "/stop", body)["stopped"], "once more is no mistake"
    assert done(api, "/go", body) == {"kind": kind, "name": name, "stopped": False, "known": True}
    assert told(api, "/stopped") == {"items": []}
    assert problem(api.post("/api/v1/actions/go", body), 409)["detail"].endswith("stopped")
    assert len(claim(database)) == 1


def test_a_destination_is_stopped_alone(api: Api, database: Database) -> None:
    plan(database, call(0), post(1))
    done(api, "/stop", {"destination": "captioning"})
    assert [one.operation for one in claim(database)] == ["volcengine.update_segment"]


@on_one_engine
def test_an_account_is_known_by_its_name_alone(api: Api) -> None:
    assert done(api, "/stop", {"account": "lessons"})["name"] == "aliyun/lessons"
    said = problem(api.post("/api/v1/actions/stop", {"account": "lesons"}), 404)["detail"]
    assert said == "the account is 'lesons', but there is no such account; expected one of aliyun/lessons"


@on_one_engine
def test_a_name_that_no_action_ever_had_is_stopped_and_told_as_unknown(api: Api) -> None:
    for body in ({"rule": "shrt-slices"}, {"account": "aliyun/gone"}, {"destination": "x"}, {"operation": "y"}):
        assert done(api, "/stop", body)["known"] is False
    assert len(told(api, "/stopped")["items"]) == 4


@on_one_engine
@pytest.mark.parametrize("path", ["stop", "go"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"rule": "a", "account": "b"}, "body"),
        ({"rule": None}, "rule"),
        ({"rule": ""}, "rule"),
        ({"rule": "a\0"}, "rule"),
        ({"all": False}, "all"),
        ({"task": "tsk_1"}, "task"),
    ],
)
def test_exactly_one_thing_is_stopped_at_a_time(api: Api, path: str, body: dict[str, Any], field: str) -> None:
    assert list(wrong(api.post(f"/api/v1/actions/{path}", body))) == [field]


@on_one_engine
def test_what_is_stopped_needs_a_token(api: Api) -> None:
    problem(api.ask("GET", "/api/v1/actions/stopped"), 401)
    assert api.ask("GET", "/api/v1/actions/stopped", headers=BEARER).status_code == 200
