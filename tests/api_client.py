"""The API as somebody asks it: a client with the token, and what a problem says."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from conftest import API_TOKEN

from webhook.api import new_app, register_api
from webhook.problems import register_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from handlers.database import Database
    from handlers.settings import Settings

BEARER = {"Authorization": f"Bearer {API_TOKEN}"}


#: what is decided before the database is asked needs only one of them
on_one_engine = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Api:
    """A client with the token; every answer is read whole."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> TestResponse:
        return self.ask("GET", path, headers=BEARER if headers is None else headers)

    def post(self, path: str, body: Any = ..., **told: Any) -> TestResponse:
        if body is not ...:
            told |= {"data": json.dumps(body), "content_type": "application/json"}
        return self.ask("POST", path, headers=BEARER, **told)

    def ask(self, method: str, path: str, **told: Any) -> TestResponse:
        return self.client.open(path, method=method, buffered=True, **told)


@contextmanager
def api_over(settings: Settings, database: Database) -> Iterator[Api]:
    """Return the API over a database, in this very process."""
    app = new_app()
    register_problems(app)
    register_api(app, settings, database)
    with app.test_client() as client:
        yield Api(client)


def wrong(answer: TestResponse, status: int = 400) -> dict[str, str]:
    """Return what the problem says of each field, having checked that it is one."""
    told = problem(answer, status)
    return {one["field"]: one["detail"] for one in told.get("errors", [])}


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """Return the problem, having checked that it is one of this status."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    told = json.loads(answer.text)
    assert (told["type"], told["status"]) == ("about:blank", status)
    assert told["title"]
    assert told["detail"]
    return dict(told)
