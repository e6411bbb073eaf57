"""How a request becomes the values that a view is called with, or a WrongRequest with everything that is wrong."""

from __future__ import annotations

import json
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from flask import abort, request
from pydantic import BaseModel, ValidationError

from handlers.errors import TooLarge, WrongRequest
from webhook.api.queries import Nothing, in_order
from webhook.body import read_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Model = TypeVar("Model", bound=BaseModel)

#: bytes that a request's body may have; filters need no more
MOST_BODY = 262_144
#: levels of objects and arrays in a body; ours have two
MOST_DEPTH = 32
_LONGEST_SHOWN = 60


def reads(view: Callable[..., Any]) -> Callable[..., Any]:
    """Call the view with its `path`, `query` and `body` as the models that its annotations name.

    flask-openapi3 documents these annotations, and leaves the reading to a view that is marked as this one.
    A view without `query` or `body` takes none: what comes nevertheless is an error, never overlooked.
    """
    models = get_type_hints(view)

    @wraps(view)
    def reading(**path: str) -> Any:  # noqa: ANN401 - whatever the view answers
        told = {"query": read_query(models.get("query", Nothing), request.args.to_dict(flat=False))}
        told["body"] = _read_json_body(models.get("body"))
        if "path" in models:
            told["path"] = models["path"](**path)
        return view(**{name: value for name, value in told.items() if name in models})

    reading.__dict__["__delay_validate_request__"] = True
    return reading


def read_query(model: type[Model], given: Mapping[str, list[str]]) -> Model:
    """Read query parameters; one that is no list may stand there once only."""
    lists = {name for name, field in model.model_fields.items() if field.default == ()}
    once = {name: values if name in lists or len(values) > 1 else values[0] for name, values in given.items()}
    return _validated(model, once, "parameter")


def _read_json_body(model: type[BaseModel] | None) -> BaseModel:
    try:
        raw = read_body(request.environ, MOST_BODY) if request.method == "POST" else b""
    except TooLarge:
        abort(413, f"the body is too large; at most {MOST_BODY} bytes are taken")
    if model is None and not raw:
        return Nothing()
    if not raw:
        raise WrongRequest({"body": "is empty; expected a JSON object, {} at the least"})
    if request.mimetype != "application/json":
        abort(415, f"the content type is {request.mimetype or 'missing'}; expected application/json")
    value = _loads(raw)
    if not isinstance(value, dict):
        raise WrongRequest({"body": "is no JSON object; expected one, {} at the least"})
    return _validated(model or Nothing, value, "field")


def _loads(raw: bytes) -> object:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise WrongRequest({"body": f"is not UTF-8 at byte {exc.start}; expected a JSON object"}) from exc
    _check_depth(text)
    try:
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno} column {exc.colno}"
        raise WrongRequest({"body": f"is not JSON: {exc.msg} at {where}; expected an object"}) from exc
    except ValueError as exc:  # an integer of more digits than Python converts
        raise WrongRequest({"body": "holds a number of too many digits"}) from exc


def _check_depth(text: str) -> None:
    """Refuse what nests too deep before a parser descends into it; what is no JSON is left to the parser."""
    depth = 0
    is_text = is_escaped = False
    for index, char in enumerate(text):
        if is_text:
            is_text = char != '"' or is_escaped
            is_escaped = char == "\\" and not is_escaped
        elif char == '"':
            is_text = True
        elif char in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                line = text.count("\n", 0, index) + 1
                column = index - text.rfind("\n", 0, index)
                where = f"line {line} column {column}"
                raise WrongRequest({"body": f"nests too deep at {where}; expected at most {MOST_DEPTH} levels"})
        elif char in "]}":
            depth -= 1


def _no_number(word: str) -> None:
    raise WrongRequest({"body": f"holds {word}, which is no number in JSON"})


def _validated(model: type[Model], values: Mapping[str, Any], what: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        known = ", ".join(in_order(model.model_fields)) or "none"
        wrong: dict[str, str] = {}
        for error in exc.errors(include_url=False):
            field = str(error["loc"][0]) if error["loc"] else "body"
            unknown = f"is no {what} here; known: {known}"
            wrong.setdefault(field, unknown if error["type"] == "extra_forbidden" else _said(error))
        raise WrongRequest(wrong) from exc


def _said(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """Say what came and what was expected."""
    came = error["input"]
    said = (
        error["msg"]
        .removeprefix("Value error, ")
        .removeprefix("Input should be ")
        .replace("a valid tuple", "a list of texts")
    )
    said = said if "expected " in said else f"expected {said}"
    if isinstance(came, list) and all(isinstance(one, str) for one in came):
        return f"stands there {len(came)} times; expected once"
    shown = repr(came[:_LONGEST_SHOWN]) if isinstance(came, str) else f"a JSON {_json_type(came)}"
    return said if shown in said or said.startswith("is ") else f"is {shown}; {said}"


def _json_type(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
