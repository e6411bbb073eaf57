"""The JSON API: who may ask, lists and rows, replays and releases, and what a wrong request is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import planning
import pytest
from api_client import BEARER, Api, api_over, on_one_engine, problem, wrong
from callbacks import file_created
from conftest import API_TOKEN
from rows import FIRST, fill, fill_segments, keep_four, refuse
from sqlalchemy import insert, select, update

from handlers import tables
from handlers.database import Database
from handlers.moments import to_text
from handlers.questions import items
from handlers.questions.filters import KNOWN
from handlers.vendors import VENDORS
from webhook.api import new_app, register_api
from webhook.api.lists import KINDS
from webhook.problems import register_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.inbox import Inbox
    from handlers.settings import Settings


@pytest.fixture
def api(settings: Settings, database: Database) -> Iterator[Api]:
    """Return the API over the database of this engine."""
    with api_over(settings, database) as client:
        yield client


# --- who may ask ---


@on_one_engine
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {API_TOKEN}",
        API_TOKEN,
        f"Bearer {API_TOKEN}x",
        "Bearer ü",
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/recordings", "/api/v1/deliveries/dlv_1", "/api/v1/recordings?limit=x"])
def test_nobody_gets_in_without_a_token(api: Api, header: str | None, path: str) -> None:
    answer = api.get(path, headers={} if header is None else {"Authorization": header})
    told = problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="reelhook"')
    assert "REELHOOK_API_TOKENS" in told["detail"]
    assert API_TOKEN not in answer.text


@on_one_engine
def test_nothing_is_changed_without_a_token(api: Api) -> None:
    of_actions = ("retry", "stop", "go", "act_1/retry", "act_1/cancel", "act_1/result")
    others = ("deliveries/replay", "refusals/release", "deliveries/dlv_1/replay", "refusals/rfs_1/release")
    for path in (*others, *(f"actions/{one}" for one in of_actions)):
        problem(api.ask("POST", f"/api/v1/{path}", json={}), 401)


@on_one_engine
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_name_of_the_scheme_has_no_case(api: Api, scheme: str) -> None:
    assert api.get("/api/v1/tasks", headers={"Authorization": f"{scheme} {API_TOKEN}"}).status_code == 200


# --- lists and rows ---


def test_a_list_holds_items_and_the_next_cursor(api: Api, database: Database) -> None:
    rows = fill(database, 5)
    first = api.get("/api/v1/recordings?limit=3")
    assert first.content_type == "application/json"
    assert first.headers["Cache-Control"] == "no-store"
    told = json.loads(first.text)
    assert list(told) == ["items", "next"]
    assert [item["id"] for item in told["items"]] == [row["id"] for row in rows[:1:-1]]
    assert tuple(told["items"][0]) == items.RECORDING
    rest = json.loads(api.get(f"/api/v1/recordings?limit=3&cursor={told['next']}").text)
    assert [item["id"] for item in rest["items"]] == [row["id"] for row in rows[1::-1]]
    assert rest["next"] is None


def test_a_total_is_told_on_request_only(api: Api, database: Database) -> None:
    fill(database, 5)
    told = json.loads(api.get("/api/v1/recordings?limit=1&total=true&format=mp4").text)
    assert (told["total"], told["total_capped"]) == (3, False)
    assert "total" not in json.loads(api.get("/api/v1/recordings?total=false").text)


def test_several_values_of_a_filter_mean_any_of_them(api: Api, database: Database) -> None:
    fill(database, 12)
    found = json.loads(api.get("/api/v1/recordings?room_id=room-000000&room_id=room-000002&format=mp4").text)["items"]
    assert {item["room_id"] for item in found} == {"room-000000", "room-000002"}
    assert len(found) == 4


def test_times_are_taken_with_any_offset(api: Api, database: Database) -> None:
    fill(database, 10)
    moment = (to_text(FIRST + 7 * 60_000) or "").replace("Z", "%2B00:00")
    found = json.loads(api.get(f"/api/v1/recordings?started_after={moment}&q=record/").text)["items"]
    assert len(found) == 3


def test_every_kind_is_listed_and_shown(api: Api, inbox: Inbox, database: Database, settings: Settings) -> None:
    keep_four(inbox, database, settings)
    fill_segments(database, 10)
    refuse(database, inbox, [file_created(9)])
    planning.plan(database, planning.call())
    for kind, names in (
        ("recordings", items.RECORDING),
        ("segments", items.SEGMENT),
        ("tasks", items.TASK),
        ("deliveries", items.DELIVERY),
        ("refusals", items.REFUSAL),
        ("actions", items.ACTION),
    ):
        item = json.loads(api.get(f"/api/v1/{kind}").text)["items"][0]
        assert tuple(item) == names
        shown = json.loads(api.get(f"/api/v1/{kind}/{item['id']}").text)
        assert set(shown) >= set(names)
        assert shown["id"] == item["id"]


def test_every_item_is_what_the_document_says_of_it(
    api: Api, inbox: Inbox, database: Database, settings: Settings
) -> None:
    keep_four(inbox, database, settings)
    fill_segments(database, 10)
    refuse(database, inbox, [file_created(9)])
    planning.plan(database, planning.call(1), planning.post(2, told={"change": "recording.available"}))
    for claimed in planning.claim(database):
        planning.make(database, claimed, planning.GIVE_UP if claimed.lane else planning.DONE)
    with database.write() as connection:
        task = connection.execute(select(tables.tasks).where(tables.tasks.c.type == "segment")).mappings().one()
        names = ("vendor", "app_id", "room_id", "type", "task_id", "account")
        connection.execute(update(tables.actions).values(task=task["id"]))
        told = {"at": FIRST, "kind": "upload.progressed", "upload": "done", "progress": 10_000, "delivery": "dlv_1"}
        connection.execute(insert(tables.marks), [{name: task[name] for name in names} | told])
    for kind in KINDS:
        for item in json.loads(api.get(f"/api/v1/{kind.name}").text)["items"]:
            shown = json.loads(api.get(f"/api/v1/{kind.name}/{item['id']}").text)
            assert set(shown) == set(kind.shown.model_fields)
            assert kind.shown.model_validate(shown, strict=True).model_dump(mode="json") == shown
    marked = json.loads(api.get(f"/api/v1/tasks/{task['id']}").text)
    assert [(one["upload"], one["progress"], one["begins"]) for one in marked["marks"]] == [("done", 10_000, False)]
    assert [(one["identifier"], one["segment_count"]) for one in marked["identifiers"]] == [(None, 10)]
    assert [(one["operation"], one["state"]) for one in marked["actions"]] == [
        ("volcengine.update_segment", "dead"),
        ("http.post", "done"),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "recordings/rec_x",
        "segments/seg_x",
        "tasks/tsk_x",
        "deliveries/dlv_%00",
        "refusals/%F0%9F%8E%AC",
        "actions/act_x",
        "actions/act_%00",
    ],
)
def test_a_row_that_is_not_there_is_a_problem(api: Api, path: str) -> None:
    assert "there is no" in problem(api.get(f"/api/v1/{path}"), 404)["detail"]


def test_the_parameters_of_each_list_are_the_filters_of_its_kind() -> None:
    assert {kind.name for kind in KINDS} == set(KNOWN)
    for kind in KINDS:
        assert set(kind.query.model_fields) - {"limit", "cursor", "total"} == set(KNOWN[kind.name])


# --- what a wrong request is told ---


@on_one_engine
def test_every_wrong_parameter_is_told_at_once(api: Api) -> None:
    query = (
        "limit=0&limt=5&total=maybe&q=&vendor=aliyum&state=gone&type=movie&door=window&cursor=abc&room_id=a%00b"
        "&started_after=1599042234&started_before=2020-09-02T10:23:54&updated_after=2020-09-02T10:23:54+08:00"
    )
    told = wrong(api.get(f"/api/v1/recordings?{query}"))
    assert set(told) == {part.split("=")[0] for part in query.split("&")}
    assert "known: " in told["limt"]
    assert all(name in told["limt"] for name in KNOWN["recordings"])
    assert "1 to 1000" in told["limit"]
    assert "'announced', 'available'" in told["state"]
    assert told["vendor"] == f"is 'aliyum'; expected {', '.join(repr(name) for name in VENDORS)}"
    assert "2020-09-02T10:23:54Z" in told["started_after"]
    assert "%2B" in told["updated_after"]


@on_one_engine
@pytest.mark.parametrize(
    "query",
    [
        "limit=1001",
        "limit=-1",
        "limit=1.0",
        "limit=+5",
        "limit=%20 5",
        "limit=1e2",
        "limit=٣",
        "limit=",
        "limit=9999999999",
        "limit=1&limit=1",
        "q=a&q=b",
        "cursor=a&cursor=a",
        "total=1",
        "total=True",
        "total=",
        "updated_after=",
        "updated_after=now",
        "updated_after=2020-02-30T00:00:00Z",
        "started_before=9",
    ],
)
def test_a_parameter_is_taken_in_one_form_only(api: Api, query: str) -> None:
    assert list(wrong(api.get(f"/api/v1/recordings?{query}"))) == [query.split("=", maxsplit=1)[0]]


@on_one_engine
def test_a_filter_of_another_kind_is_an_error_that_names_the_known(api: Api) -> None:
    told = wrong(api.get("/api/v1/deliveries?started_after=2020-09-02T10:23:54Z"))
    known = told["started_after"].split("known: ")[1].split(", ")
    assert set(known) == {*KNOWN["deliveries"], "limit", "cursor", "total"}
    assert list(wrong(api.get("/api/v1/refusals?room_id=r"))) == ["room_id"]
    assert list(wrong(api.get("/api/v1/tasks/tsk_1?limit=5"))) == ["limit"]


@on_one_engine
def test_the_known_parameters_stand_in_a_natural_order(api: Api) -> None:
    told = wrong(api.get("/api/v1/recordings?x=1"))["x"].split("known: ")[1].split(", ")
    assert told[:3] == ["vendor", "account", "app_id"]
    assert told[-4:] == ["q", "limit", "cursor", "total"]


@on_one_engine
def test_a_body_is_told_what_a_person_can_mend(api: Api) -> None:
    assert wrong(api.post("/api/v1/deliveries/replay", {"account": "x"})) == {
        "account": "is 'x'; expected a list of texts"
    }
    for number, says in (("9" * 5000, "a number of too many digits"), ("NaN", "NaN, which is no number in JSON")):
        body = f'{{"account": {number}}}'
        told = wrong(api.post("/api/v1/deliveries/replay", data=body, content_type="application/json"))
        assert told == {"body": f"holds {says}"}


@on_one_engine
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
def test_a_method_that_does_not_go_with_a_path_is_told_which_do(api: Api, method: str) -> None:
    answer = api.ask(method, "/api/v1/recordings", headers=BEARER)
    assert "GET" in problem(answer, 405)["detail"]
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@on_one_engine
@pytest.mark.parametrize(
    "path", ["/nothing", "/api", "/api/v1", "/api/v1/", "/api/v1/movies", "/api/v1/recordings/", "/docs/no"]
)
def test_what_is_nowhere_is_a_problem(api: Api, path: str) -> None:
    assert path in problem(api.get(f"{path}?token=secret"), 404)["detail"]


@on_one_engine
def test_a_problem_quotes_no_query_string(api: Api) -> None:
    assert "s3cret" not in api.get("/nowhere?token=s3cret").text


@on_one_engine
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "empty"),
        (b"{", "line 1 column 2"),
        (b'{"a":\n 1,}', "line 2 column"),
        (b"[1]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'"text"', "no JSON object"),
        (b"\xff\xfe", "byte 0"),
        (b'{"a": NaN}', "NaN"),
        (b"[" * 20_000, "line 1 column 33"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nests too deep"),
        (b'\n\n  {"a": ' + b"[" * 50 + b"]" * 50 + b"}", "line 3 column"),
        (b'{"a": ' + b"1" * 5000 + b"}", "number"),
    ],
)
@pytest.mark.parametrize("path", ["deliveries/replay", "refusals/release"])
def test_a_body_that_is_no_json_object_is_told_where(api: Api, path: str, body: bytes, expected: str) -> None:
    answer = api.post(f"/api/v1/{path}", data=body, content_type="application/json")
    assert expected in wrong(answer)["body"]


@on_one_engine
def test_brackets_in_text_are_no_nesting(api: Api) -> None:
    body = {"account": ['[[[[\\"{{{{[[[' * 10, "\\\\"], "preview": True}
    assert json.loads(api.post("/api/v1/deliveries/replay", body).text)["count"] == 0


@on_one_engine
def test_every_wrong_field_of_a_body_is_told_at_once(api: Api) -> None:
    body = {
        "preview": "true",
        "state": ["kept"],
        "account": "lessons",
        "vendor": [1, None],
        "received_after": 1_599_042_234,
        "received_before": "2020-09-02T10:23:54",
        "limit": 5,
        "started_after": "2020-09-02T10:23:54Z",
    }
    told = wrong(api.post("/api/v1/deliveries/replay", body))
    assert set(told) == set(body)
    assert "known: " in told["limit"]
    assert "list" in told["account"]


@on_one_engine
@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_a_body_of_another_type_is_refused(api: Api, content_type: str | None) -> None:
    answer = api.post("/api/v1/deliveries/replay", data=b"{}", content_type=content_type)
    assert "application/json" in problem(answer, 415)["detail"]


@on_one_engine
def test_a_body_over_the_size_is_refused(api: Api) -> None:
    answer = api.post("/api/v1/deliveries/replay", {"account": ["x" * 300_000]})
    assert "262144 bytes" in problem(answer, 413)["detail"]


@on_one_engine
def test_a_body_where_none_is_taken_is_not_overlooked(api: Api) -> None:
    assert list(wrong(api.post("/api/v1/deliveries/dlv_1/replay", {"preview": True}))) == ["preview"]
    assert (
        "line 1"
        in wrong(api.post("/api/v1/deliveries/dlv_1/replay", data=b"{", content_type="application/json"))["body"]
    )
    problem(api.post("/api/v1/deliveries/dlv_1/replay", {}), 404)


@on_one_engine
def test_filters_in_the_query_of_a_bulk_change_are_not_overlooked(api: Api) -> None:
    assert list(wrong(api.post("/api/v1/deliveries/replay?account=lessons", {}))) == ["account"]


@on_one_engine
def test_a_bug_is_a_problem_without_our_insides(api: Api, database: Database) -> None:
    fill(database, 1)
    with database.write() as connection:
        connection.execute(tables.recordings.update().values(media="no JSON at all"))
    told = problem(api.get("/api/v1/recordings"), 500)
    assert "JSON" not in told["detail"]
    assert "log" in told["detail"]


def test_an_absent_database_is_a_problem_that_says_when_to_try_again(settings: Settings) -> None:
    away = Database("postgresql+psycopg://postgres:s3cret@127.0.0.1:1/postgres")
    app = new_app()
    register_problems(app)
    register_api(app, settings, away)
    with app.test_client() as client:
        answer = Api(client).get("/api/v1/recordings")
    away.close()
    told = problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert "s3cret" not in answer.text
    assert "127.0.0.1" not in told["detail"]


# --- changes ---


def test_deliveries_are_replayed_by_filter_after_a_preview(
    api: Api, inbox: Inbox, database: Database, settings: Settings
) -> None:
    kept = keep_four(inbox, database, settings)
    preview = json.loads(api.post("/api/v1/deliveries/replay", {"preview": True}).text)
    assert preview == {"count": 1, "capped": False, "preview": True}
    assert json.loads(api.get(f"/api/v1/deliveries/{kept[3]}").text)["state"] == "quarantined"
    done = json.loads(api.post("/api/v1/deliveries/replay", {"account": ["lessons"], "reason": ["the body"]}).text)
    assert done == {"count": 1, "capped": False, "preview": False}
    assert json.loads(api.get(f"/api/v1/deliveries/{kept[3]}").text)["state"] == "kept"


def test_one_delivery_is_replayed(api: Api, inbox: Inbox, database: Database, settings: Settings) -> None:
    kept = keep_four(inbox, database, settings)
    assert json.loads(api.post(f"/api/v1/deliveries/{kept[0]}/replay").text)["count"] == 1
    assert json.loads(api.post(f"/api/v1/deliveries/{kept[0]}/replay").text)["count"] == 0
    problem(api.post("/api/v1/deliveries/dlv_none/replay"), 404)


def test_a_refusal_is_released_once(api: Api, inbox: Inbox, database: Database) -> None:
    refuse(database, inbox, [file_created(1), b"garbage"])
    garbage, good = json.loads(api.get("/api/v1/refusals").text)["items"]
    done = json.loads(api.post(f"/api/v1/refusals/{good['id']}/release").text)
    assert (done["refusal"], done["is_repeat"]) == (good["id"], False)
    shown = json.loads(api.get(f"/api/v1/deliveries/{done['delivery']}").text)
    assert shown["body"].encode() == file_created(1)
    assert json.loads(api.get(f"/api/v1/refusals/{good['id']}").text)["released"] == done["delivery"]
    assert done["delivery"] in problem(api.post(f"/api/v1/refusals/{good['id']}/release"), 409)["detail"]
    problem(api.post(f"/api/v1/refusals/{garbage['id']}/release"), 409)
    problem(api.post("/api/v1/refusals/rfs_none/release"), 404)


def test_refusals_are_released_by_filter_after_a_preview(api: Api, inbox: Inbox, database: Database) -> None:
    refuse(database, inbox, [file_created(1), file_created(2), b"garbage"])
    preview = json.loads(api.post("/api/v1/refusals/release", {"reason": ["bad_token"], "preview": True}).text)
    assert preview == {"count": 2, "capped": False, "preview": True, "failed": []}
    done = json.loads(api.post("/api/v1/refusals/release", {"account": ["lessons"]}).text)
    assert done == {"count": 2, "capped": False, "preview": False, "failed": []}
    assert len(json.loads(api.get("/api/v1/deliveries").text)["items"]) == 2
