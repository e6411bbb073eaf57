"""The questions of the API: a list and a single row for each kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import abort
from flask_openapi3.models.tag import Tag

from handlers import questions
from handlers.questions import filters
from webhook.api import action_models, action_queries, models, queries
from webhook.api.answers import problems
from webhook.api.reading import reads

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_openapi3.blueprint import APIBlueprint
    from pydantic import BaseModel

    from handlers.database import Database

#: seconds that a question may take
PATIENCE = 5.0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of row: its words, its questions, and how both are documented."""

    name: str
    noun: str
    about: str
    ask: Callable[..., questions.Listing]
    show: Callable[..., dict[str, Any] | None]
    query: type[queries.Paged]
    page: type[BaseModel]
    shown: type[BaseModel]

    @property
    def tag(self) -> Tag:
        """Return the heading under which the operations stand."""
        return Tag(name=self.name, description=self.about)


KINDS = (
    Kind(
        name=filters.RECORDINGS,
        noun="recording",
        about="The recorded files of all vendors.",
        ask=questions.list_recordings,
        show=questions.show_recording,
        query=queries.RecordingsQuery,
        page=models.RecordingList,
        shown=models.RecordingShown,
    ),
    Kind(
        name=filters.SEGMENTS,
        noun="segment",
        about="The audio slices of all vendors.",
        ask=questions.list_segments,
        show=questions.show_segment,
        query=queries.SegmentsQuery,
        page=models.SegmentList,
        shown=models.Segment,
    ),
    Kind(
        name=filters.TASKS,
        noun="task",
        about="The runs of the vendors' recording, segment and push jobs.",
        ask=questions.list_tasks,
        show=questions.show_task,
        query=queries.TasksQuery,
        page=models.TaskList,
        shown=models.TaskShown,
    ),
    Kind(
        name=filters.DELIVERIES,
        noun="delivery",
        about="What arrived, byte for byte, and how far its processing has come.",
        ask=questions.list_deliveries,
        show=questions.show_delivery,
        query=queries.DeliveriesQuery,
        page=models.DeliveryList,
        shown=models.DeliveryShown,
    ),
    Kind(
        name=filters.REFUSALS,
        noun="refusal",
        about="What was turned away, and why.",
        ask=questions.list_refusals,
        show=questions.show_refusal,
        query=queries.RefusalsQuery,
        page=models.RefusalList,
        shown=models.RefusalShown,
    ),
    Kind(
        name=filters.ACTIONS,
        noun="action",
        about="The calls that rules asked for, every try of each, and what is stopped.",
        ask=questions.list_actions,
        show=questions.show_action,
        query=action_queries.ActionsQuery,
        page=action_models.ActionList,
        shown=action_models.ActionShown,
    ),
)


def add_lists(blueprint: APIBlueprint, database: Database) -> None:
    """Add the list and the single row of every kind."""
    for kind in KINDS:
        _add_list(blueprint, database, kind)
        _add_show(blueprint, database, kind)


def _add_list(blueprint: APIBlueprint, database: Database, kind: Kind) -> None:
    def view(query: queries.Paged) -> dict[str, Any]:
        with database.read(patience=PATIENCE) as connection:
            listing = kind.ask(connection, query.filters(), query.page())
            answer: dict[str, Any] = {"items": listing.items, "next": listing.next}
            if query.total:
                count, is_capped = questions.total(connection, kind.name, query.filters())
                answer |= {"total": count, "total_capped": is_capped}
        return answer

    view.__annotations__ = {"query": kind.query}
    view.__name__ = f"list_{kind.name}"
    blueprint.get(
        f"/{kind.name}",
        tags=[kind.tag],
        operation_id=view.__name__,
        summary=f"List {kind.name}",
        description="Newest id first. Several values of one filter mean any of them; `after` includes the moment "
        "itself, `before` does not.",
        responses={200: kind.page, **problems()},
    )(reads(view))


def _add_show(blueprint: APIBlueprint, database: Database, kind: Kind) -> None:
    def view(path: queries.Id) -> dict[str, Any]:
        with database.read(patience=PATIENCE) as connection:
            item = kind.show(connection, path.id)
        if item is None:
            abort(404, f"there is no {kind.noun} {path.id}")
        return item

    view.__annotations__ = {"path": queries.Id}
    view.__name__ = f"show_{kind.noun}"
    blueprint.get(
        f"/{kind.name}/<id>",
        tags=[kind.tag],
        operation_id=view.__name__,
        summary=f"Show one {kind.noun}",
        responses={200: kind.shown, **problems(404)},
    )(reads(view))
