"""How an error looks to whoever asked: application/problem+json (RFC 9457), from doors, API and pages alike.

The answers quote no query string, which may hold a secret, and nothing of our insides.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from handlers.errors import (
    CannotVerify,
    DatabaseAway,
    NotReleasable,
    RefusedDelivery,
    StoreUnavailable,
    WrongRequest,
)
from webhook.shown_path import shown_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from werkzeug.wrappers import Response as WerkzeugResponse

MEDIA_TYPE = "application/problem+json"
#: seconds after which another try makes sense while a store is away
RETRY_AFTER = 2

_UNFORESEEN = "something unforeseen happened; the log of the server says what"


def register_problems(app: Flask) -> None:
    """Let every error of this application be answered as a problem."""
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(RefusedDelivery, _refused)
    app.register_error_handler(WrongRequest, _wrong)
    app.register_error_handler(NotReleasable, _not_releasable)
    app.register_error_handler(DatabaseAway, _away)
    app.register_error_handler(StoreUnavailable, _not_now)
    app.register_error_handler(CannotVerify, _not_now)


def title_of(status: int) -> str:
    """Return the status's name by RFC 9110; Python's own differs by version."""
    renamed = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large"}
    return renamed.get(HTTPStatus(status)) or HTTPStatus(status).phrase


def problem(
    status: int,
    detail: str,
    *,
    wrong: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer: `wrong` tells by field what is wrong with it."""
    told: dict[str, Any] = {
        "type": "about:blank",
        "title": title_of(status),
        "status": status,
        "detail": detail,
    }
    if wrong is not None:
        told["errors"] = [{"field": field, "detail": why} for field, why in wrong.items()]
    answer = Response(json.dumps(told), status=status, content_type=MEDIA_TYPE)
    answer.headers.update({"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
    answer.headers.update(headers or {})
    return answer


def _http(error: HTTPException) -> WerkzeugResponse:
    """Answer for what Flask and Werkzeug raise; redirects and ready-made answers pass as they are."""
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    if error.response is not None or status < HTTPStatus.BAD_REQUEST:
        return error.get_response(request.environ)
    # A 405 without Allow, or a 401 without WWW-Authenticate, would be no valid answer.
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return problem(status, _detail(error, status), headers=headers)


def _detail(error: HTTPException, status: int) -> str:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _UNFORESEEN
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return f"{request.method} does not go with {shown_path(request.path)}; expected {allowed}"
    if isinstance(error, NotFound) and error.description == NotFound.description:
        return f"there is nothing at {shown_path(request.path)}"
    return error.description or title_of(status)


def _refused(error: RefusedDelivery) -> Response:
    challenge = {"WWW-Authenticate": 'Callback realm="callbacks"'}
    return problem(error.status, str(error), headers=challenge if error.status == HTTPStatus.UNAUTHORIZED else None)


def _wrong(error: WrongRequest) -> Response:
    return problem(HTTPStatus.BAD_REQUEST, "the request can't be answered as it was put", wrong=error.wrong)


def _not_releasable(error: NotReleasable) -> Response:
    return problem(HTTPStatus.CONFLICT, str(error))


def _away(_error: DatabaseAway) -> Response:
    return _unavailable("the database does not answer now; nothing was lost, try again")


def _not_now(error: StoreUnavailable | CannotVerify) -> Response:
    return _unavailable(str(error))


def _unavailable(detail: str) -> Response:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": str(RETRY_AFTER)})
