"""The questions of the API about rules: which are in force, what became of them, and how their file stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import abort
from flask_openapi3.models.tag import Tag

from handlers.clock import now_ms
from handlers.questions import rules
from webhook.api import rule_models
from webhook.api.answers import problems
from webhook.api.lists import PATIENCE
from webhook.api.reading import reads

if TYPE_CHECKING:
    from flask_openapi3.blueprint import APIBlueprint

    from handlers.database import Database

_TAGS = [Tag(name="rules", description="The rules in force, by the word of the workers, and what became of each.")]


def add_rules(blueprint: APIBlueprint, database: Database) -> None:
    """Add the list of the rules and the single rule."""

    @blueprint.get("/rules", tags=_TAGS, operation_id="list_rules", responses={200: rule_models.RuleList, **problems()})
    @reads
    def list_rules() -> dict[str, Any]:
        """List rules.

        All of them, in the order of their file, with how that stands. Without a worker none is in force.
        """
        with database.read(patience=PATIENCE) as connection:
            return rules.list_rules(connection, now=now_ms())

    @blueprint.get(
        "/rules/<name>", tags=_TAGS, operation_id="show_rule", responses={200: rule_models.RuleShown, **problems(404)}
    )
    @reads
    def show_rule(path: rule_models.RuleName) -> dict[str, Any]:
        """Show one rule."""
        with database.read(patience=PATIENCE) as connection:
            item = rules.show_rule(connection, path.name, now=now_ms())
        if item is None:
            abort(404, f"there is no rule {path.name} in force")
        return item
