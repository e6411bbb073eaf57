"""The OpenAPI document at /openapi.json, and the page at /docs that shows it without asking any other machine."""

from __future__ import annotations

import copy
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flask_openapi3_swagger  # type: ignore[import-untyped] # it holds files only
from flask import Blueprint, Response, redirect, request, send_from_directory
from flask_openapi3.models.info import Info
from flask_openapi3.models.path_item import PathItem
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI

from handlers.destinations.telling import SCHEMA
from webhook.api.answers import problems_of_a_door
from webhook.api.models import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Response as BaseResponse

    from handlers.vendor import Vendor

SECURITY = "token"

_PAGES = Path(__file__).parent / "pages"
_SWAGGER = Path(flask_openapi3_swagger.__file__).parent / "templates" / "swagger"
#: name under /docs/ -> folder that holds it
_FILES = {
    "start.js": _PAGES,
    "page.css": _PAGES,
    "js/swagger-ui-bundle.js": _SWAGGER,
    "css/swagger-ui.css": _SWAGGER,
    "images/swagger.svg": _SWAGGER,
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: also where receivers of events look for it, who have no token
_SCHEMA_PATH = "/api/v1/schemas/cloudevent.json"
_ABOUT = """\
What Reelhook has kept and catalogued of the recording callbacks of all vendors.

Every answer is JSON; what an item does not have is `null`. Times are RFC 3339: given with an offset, answered in UTC
with milliseconds. Lists are newest id first; `next` is the cursor of the page after this one. Errors are
`application/problem+json` and list every wrong field.
"""


def new_app() -> OpenAPI:
    """Return the Flask application whose API documents itself."""
    app = OpenAPI(
        "webhook",
        info=Info(title="Reelhook", version=importlib.metadata.version("reelhook"), description=_ABOUT),
        security_schemes={SECURITY: {"type": "http", "scheme": "bearer", "description": "One of REELHOOK_API_TOKENS."}},
        validation_error_status=400,
        validation_error_model=Problem,
        doc_ui=False,
        static_folder=None,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined] # the default provider has it
    return app


def docs_blueprint(app: OpenAPI, vendors: Mapping[str, Vendor]) -> Blueprint:
    """Return the document and its page; they need no token, for they tell nothing of what is kept.

    The callbacks of `vendors` are told of too: none, where this process takes none.
    """
    blueprint = Blueprint("docs", __name__)
    if vendors:
        app.paths["/callbacks/{vendor}/{account}"] = PathItem(**_door(sorted(vendors)))
        app.tags.append(Tag(name="callbacks", description="The doors at which vendors push."))
    app.paths[_SCHEMA_PATH] = PathItem(**_of_schema())
    app.tags.append(Tag(name="schemas", description="What destinations get, for whoever receives it."))
    ready: list[dict[str, Any]] = []

    @blueprint.get("/openapi.json")
    def document() -> dict[str, Any]:
        if not ready:
            ready.append(_finished(app.api_doc))
        return ready[0]

    @blueprint.get(_SCHEMA_PATH)
    def schema() -> Response:
        answer = Response(SCHEMA.read_bytes(), content_type="application/schema+json")
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    @blueprint.get("/")
    @blueprint.get("/docs/")
    def elsewhere() -> BaseResponse:
        # Relative, so that it holds behind a proxy that puts a path of its own in front.
        return redirect("docs" if request.path == "/" else "../docs")

    @blueprint.get("/docs")
    def page() -> Response:
        answer = send_from_directory(_PAGES, "page.html")
        answer.headers.update({"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"})
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    @blueprint.get("/docs/<path:name>")
    def file(name: str) -> Response:
        answer = send_from_directory(_FILES.get(name, _PAGES), name if name in _FILES else "missing")
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    return blueprint


def _finished(told: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the examples of schemas as JSON Schema has them: a list."""
    document = copy.deepcopy(told)
    schemas = list(document["components"]["schemas"].values())
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                parameter.pop("example", None)  # the page would fill it in as if it were asked for
                schemas.append(parameter["schema"])
    for schema in schemas:
        _list_examples(schema)
    return document


def _list_examples(value: Any) -> None:  # noqa: ANN401 - any part of a schema
    """Rename `example`, at any depth; none of our fields has that name."""
    if isinstance(value, dict):
        if "example" in value:
            value["examples"] = [value.pop("example")]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            _list_examples(part)


def _of_schema() -> dict[str, Any]:
    """Describe where the schema of CloudEvents is."""
    content = {"application/schema+json": {"schema": {"type": "object", "description": "A JSON Schema, 2020-12."}}}
    return {
        "get": {
            "tags": ["schemas"],
            "operationId": "get_cloudevent_schema",
            "summary": "The schema of the CloudEvents that destinations get",
            "description": "It needs no token. Fields may be added to it, and none goes away.",
            "responses": {
                "200": {"description": "The JSON Schema.", "content": content},
                **{str(status): told for status, told in problems_of_a_door().items() if status in {405, 500}},
            },
            "security": [],
        }
    }


def _door(vendors: list[str]) -> dict[str, Any]:
    """Describe the callback endpoint: its body is the vendor's, and is taken byte for byte."""
    name = {"in": "path", "required": True}
    parameters = [
        name | {"name": "vendor", "description": "The vendor.", "schema": {"type": "string", "enum": vendors}},
        name | {"name": "account", "description": "The account's name.", "schema": {"type": "string"}},
        {
            "name": "token",
            "in": "query",
            "description": "The secret of the URL, where the vendor can't sign its callbacks.",
            "schema": {"type": "string"},
        },
    ]
    answer = {
        "type": "object",
        "description": "What the vendor expects, and what became of the delivery.",
        "properties": {
            "status": {"type": "string", "enum": ["kept", "repeat", "quarantined"]},
            "delivery": {"type": "string", "description": "The id of the delivery as kept."},
            "reason": {"type": "string", "description": "Why it is in quarantine."},
        },
        "required": ["status", "delivery"],
    }
    return {
        "post": {
            "tags": ["callbacks"],
            "operationId": "receive_callback",
            "summary": "Receive a vendor's callback",
            "description": "The answer comes once the delivery is durable. Its content type does not matter: what "
            "can't be read is kept in quarantine, and the answer says so.",
            "parameters": parameters,
            "requestBody": {
                "required": True,
                "description": "The vendor's callback, byte for byte.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "responses": {
                "200": {"description": "Kept.", "content": {"application/json": {"schema": answer}}},
                **{str(status): told for status, told in problems_of_a_door().items()},
            },
            "security": [],
        }
    }
