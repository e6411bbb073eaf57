"""The CloudEvent that destinations get, and its published schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from receivers import ACTION
from referencing import Registry, Resource
from rule_operations import AT, change

import handlers.destinations
from handlers.destinations import cloud_event, tell
from handlers.destinations.handover import as_json
from handlers.destinations.telling import SCHEMA_ID
from handlers.events import KINDS
from handlers.rules.change import FIELDS, Change, views_of
from webhook.api.document import docs_blueprint, new_app

SCHEMA = json.loads((Path(handlers.destinations.__file__).parent / "cloudevent.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
DATA = SCHEMA["properties"]["data"]["properties"]

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_OF_KIND: dict[str, st.SearchStrategy[Any]] = {
    "text": st.none() | _TEXT,
    "integer": st.none() | st.integers(-(2**63), 2**63 - 1),
    "boolean": st.none() | st.booleans(),
    "time": st.none() | st.integers(0, 32_503_680_000_000),
    "texts": st.lists(_TEXT, max_size=3),
    "media": st.dictionaries(_TEXT, st.integers() | _TEXT, max_size=3),
    "streams": st.lists(st.fixed_dictionaries({"user_id": _TEXT, "source": st.none() | _TEXT}), max_size=3),
}


def _view(name: str) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({field: _OF_KIND[kind] for field, kind in FIELDS[name].items()})


@st.composite
def changes(draw: st.DrawFn) -> Change:
    name = draw(st.sampled_from(KINDS))
    views: dict[str, Any] = {view: draw(_view(view)) for view in views_of(name)}
    if draw(st.booleans()):
        views["task"] = None
    return Change(
        name=name,
        subject="tsk_1",
        vendor="aliyun",
        account="lessons",
        at=draw(_OF_KIND["time"]) or 0,
        delivery="dlv_1",
        **views,
    )


@given(changes())
def test_every_change_keeps_to_the_published_schema(about: Change) -> None:
    told = json.loads(as_json(tell(about)))
    event = cloud_event(ACTION, told)
    VALIDATOR.validate(json.loads(as_json(event)))
    for view, fields in FIELDS.items():
        if event["data"][view] is not None:
            assert {type(event["data"][view][field]) for field, kind in fields.items() if kind == "time"} <= {
                str,
                type(None),
            }


def test_an_event_names_the_part_of_the_schema_that_its_data_keeps_to() -> None:
    event = cloud_event(ACTION, tell(change()))
    named, _, pointer = event["dataschema"].partition("#")
    assert named == SCHEMA["$id"] == SCHEMA_ID
    registry: Any = Registry().with_resource(named, Resource.from_contents(SCHEMA))
    assert registry.resolver().lookup(event["dataschema"]).contents == SCHEMA["properties"]["data"]
    assert pointer == "/properties/data"
    Draft202012Validator({"$ref": event["dataschema"]}, registry=registry).validate(event["data"])


def test_the_schema_is_served_to_whoever_asks() -> None:
    app = new_app()
    app.register_blueprint(docs_blueprint(app, {}))
    answer = app.test_client().get("/api/v1/schemas/cloudevent.json")
    assert (answer.status_code, answer.content_type) == (200, "application/schema+json")
    assert json.loads(answer.data) == SCHEMA


def test_the_schema_is_one_and_describes_each_field_of_each_view_and_no_other() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for view, fields in FIELDS.items():
        assert set(DATA[view]["properties"]) == set(fields)
    assert DATA["change"]["enum"] == list(KINDS)
    assert SCHEMA["properties"]["type"]["enum"] == [f"reelhook.{kind}.v1" for kind in KINDS]


@pytest.mark.parametrize("view", FIELDS)
def test_the_schema_says_of_each_field_what_the_rules_know_of_it(view: str) -> None:
    json_type = {"text": "string", "time": "string", "integer": "integer", "boolean": "boolean"}
    for field, kind in FIELDS[view].items():
        said = DATA[view]["properties"][field]
        assert said["type"] == (
            [json_type[kind], "null"] if kind in json_type else {"media": "object"}.get(kind, "array")
        )
        assert (said.get("format") == "date-time") == (kind == "time"), field


@pytest.mark.parametrize(
    "spoil", [{"id": ""}, {"type": "recording.available"}, {"source": "/"}, {"time": None}, {"data": {}}]
)
def test_the_schema_refuses_what_is_no_change_of_ours(spoil: dict[str, Any]) -> None:
    event = cloud_event(ACTION, tell(change()))
    assert VALIDATOR.is_valid(event)
    assert not VALIDATOR.is_valid(event | spoil)


def test_what_is_told_can_be_kept_and_read_again_unchanged() -> None:
    told = tell(change("recording.available"))
    assert json.loads(as_json(told)) == told
    assert told["at"] == "2023-11-14T22:13:20.123Z"
    assert told["task"]["started_at"] == told["at"], AT
    assert told["task"]["run"] == 0


def test_half_a_surrogate_pair_is_sent_as_json_has_it() -> None:
    assert json.loads(as_json({"a": "x\ud800"}).decode()) == {"a": "x\ud800"}
