"""The JSON API over what is kept and catalogued, and the OpenAPI document that describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_openapi3.blueprint import APIBlueprint

from handlers.vendors import VENDORS
from webhook.api.action_changes import add_action_changes
from webhook.api.changes import add_releases, add_replays
from webhook.api.document import SECURITY, docs_blueprint, new_app
from webhook.api.lists import add_lists
from webhook.api.rules import add_rules
from webhook.api.tokens import guard

if TYPE_CHECKING:
    from flask import Response
    from flask_openapi3.openapi import OpenAPI

    from handlers.database import Database
    from handlers.settings import Settings

__all__ = ["new_app", "register_api"]


def register_api(app: OpenAPI, settings: Settings, database: Database, *, takes_callbacks: bool = True) -> None:
    """Add the API, its document and its page to an application that new_app() made and register_problems() knows."""
    blueprint = APIBlueprint("api", __name__, url_prefix="/api/v1", abp_security=[{SECURITY: []}])
    blueprint.before_request(guard(settings.api_tokens))
    blueprint.after_request(_not_stored)
    add_lists(blueprint, database)
    add_rules(blueprint, database)
    add_replays(blueprint, database)
    add_releases(blueprint, database, settings, VENDORS)
    add_action_changes(blueprint, database, settings)
    app.register_api(blueprint)
    app.register_blueprint(docs_blueprint(app, VENDORS if takes_callbacks else {}))


def _not_stored(answer: Response) -> Response:
    answer.headers.update({"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
    return answer
