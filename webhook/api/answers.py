"""Which answers the OpenAPI document promises: those of each operation, and the problems that it can end in."""

from __future__ import annotations

from typing import Any

from webhook.problems import MEDIA_TYPE, title_of

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_TEXT = {"schema": {"type": "string"}}

#: status -> when it comes, and the header that comes with it
_WHEN: dict[int, tuple[str, str | None]] = {
    400: ("Something is wrong with the request; `errors` lists every wrong field.", None),
    401: ("The token is missing or wrong.", "WWW-Authenticate"),
    404: ("There is nothing of this name.", None),
    405: ("The method does not go with the path.", "Allow"),
    408: ("The request did not arrive in time.", None),
    409: ("It can't be done in the present state; `detail` says why.", None),
    413: ("The body is too large.", None),
    415: ("The body is not application/json.", None),
    500: ("Something unforeseen happened; the log of the server says what.", None),
    503: ("The database does not answer now; try again.", "Retry-After"),
}
_ALWAYS = (400, 401, 405, 500, 503)


def problems(*statuses: int) -> dict[Any, Any]:
    """Return the answers for errors that every operation of the API can end in, and for these statuses."""
    return {status: _problem(status) for status in sorted({*_ALWAYS, *statuses})}


def problems_of_a_door() -> dict[Any, Any]:
    """Return the answers for errors that a callback can end in."""
    return {status: _problem(status) for status in (400, 401, 404, 405, 408, 413, 500, 503)}


def _problem(status: int) -> dict[str, Any]:
    when, header = _WHEN[status]
    answer: dict[str, Any] = {"description": f"{title_of(status)}. {when}", "content": _PROBLEM}
    return answer | ({"headers": {header: _TEXT}} if header else {})
