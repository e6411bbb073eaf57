"""What can be asked of actions: the parameters of their list, and the bodies of what changes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from handlers.questions import filters
from webhook.api.queries import Asked, Change, Moment, Named, OneText, Paged, Texts, many


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _exactly_one(schema: dict[str, Any]) -> None:
    schema |= {"minProperties": 1, "maxProperties": 1}


def _true(value: object) -> bool:
    if value is not True:
        raise ValueError("expected true, or that it is left out")
    return True


class ActionFilters(Named):
    """Filters of actions."""

    room_id: Texts = many("The room of its task.", "record-004")
    task_id: Texts = many("The vendor's id of its task.", "task-005")
    rule: Texts = many("The rule that asked for it.", "archive")
    operation: Texts = many("What it calls.", "http.post")
    destination: Texts = many("The destination, as in reelhook.toml.", "captioning")
    mode: tuple[Literal["live", "shadow"], ...] = Field(
        default=(), description="Whether it is sent: `shadow` is planned only."
    )
    task: Texts = many("The id of its task.", "tsk_01jf3q4m5n6p7r8s9t0v1w2x3y")
    recording: Texts = many("The id of its recording or segment.", "rec_01jf3q4m5n6p7r8s9t0v1w2x3y")
    created_after: Moment = Field(default=None, description="Planned at this time or later.")
    created_before: Moment = Field(default=None, description="Planned before this time.")


class ActionsQuery(Paged, ActionFilters):
    """Parameters of the list of actions."""

    kind = filters.ACTIONS

    state: tuple[
        Literal["planned", "shadow", "running", "done", "again", "dead", "superseded", "cancelled", "refused"], ...
    ] = Field(default=(), description="How far it has come.")


class RetryBody(Change, ActionFilters):
    """Which actions are to be tried again; without a state the dead ones."""

    state: tuple[Literal["dead", "cancelled", "again"], ...] = Field(
        default=(), description="How far it has come; without it, dead."
    )


class ResultBody(Asked):
    """What a consumer made of what it was told."""

    result: Literal["done", "failed"] = Field(description="How it ended.")
    detail: Annotated[
        str, Field(max_length=2048), WithJsonSchema({"type": "string", "maxLength": 2048, "default": ""})
    ] = Field(default="", description="What a person should know of it.")


class SwitchBody(Asked, json_schema_extra=_exactly_one):
    """What is to be stopped, or to go on: exactly one of these."""

    rule: OneText = Field(default=None, description="A rule.", examples=["archive"])
    operation: OneText = Field(default=None, description="An operation.", examples=["http.post"])
    account: OneText = Field(
        default=None, description="An account, by its name or as `vendor/name`.", examples=["classroom"]
    )
    destination: OneText = Field(default=None, description="A destination.", examples=["captioning"])
    all: Annotated[
        bool | None,
        BeforeValidator(_true),
        WithJsonSchema({"const": True}),
        Field(json_schema_extra=_without_default),
    ] = Field(default=None, description="Every call there is.")

    @model_validator(mode="after")
    def _one(self) -> SwitchBody:
        if len(self.model_fields_set) != 1:
            raise ValueError("expected exactly one of rule, operation, account, destination, all")
        return self

    def named(self) -> tuple[str, str]:
        """Return the kind and the name of what is meant."""
        kind = next(iter(self.model_fields_set))
        return kind, "" if kind == "all" else getattr(self, kind)
