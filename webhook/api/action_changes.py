"""What the API changes of actions: they are tried again, cancelled, given a result, stopped and let go on."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from flask import abort

from handlers import actions, questions
from handlers.catalogue.endings import over_for_good, over_now
from handlers.clock import now_ms
from handlers.errors import WrongRequest
from handlers.inbox.consequences import covers
from handlers.questions import acting
from handlers.questions.filters import ACTIONS
from webhook.api import action_models, change_models
from webhook.api.action_queries import ResultBody, RetryBody, SwitchBody
from webhook.api.answers import problems
from webhook.api.lists import KINDS, PATIENCE
from webhook.api.queries import Id
from webhook.api.reading import reads
from webhook.switching import is_known, whole_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_openapi3.blueprint import APIBlueprint

    from handlers.database import Database
    from handlers.settings import Settings

_TAGS: Final = [kind.tag for kind in KINDS if kind.name == ACTIONS]
_ID: Final = re.compile("act_[0-9a-z]{1,64}")
_ONE: Final[dict[str, Any]] = {
    "tags": _TAGS,
    "responses": {200: action_models.ActionShown, **problems(404, 409, 413, 415)},
}


def add_action_changes(blueprint: APIBlueprint, database: Database, settings: Settings) -> None:
    """Add what changes actions."""
    _add_verbs(blueprint, database)
    _add_retries(blueprint, database)
    _add_switches(blueprint, database, settings)


def _add_verbs(blueprint: APIBlueprint, database: Database) -> None:
    @blueprint.post("/actions/<id>/retry", operation_id="retry_action", **_ONE)
    @reads
    def retry_action(path: Id) -> dict[str, Any]:
        """Make a call again.

        At once, by its whole schedule, and whatever its rule's max_age. It must be dead, cancelled, or waiting for its
        next try, and not be about a run that is over; and the step before it must be done, or to be made still. Where a
        newer call sets all that it would, it ends `superseded` instead.
        """
        with _possible(database, path.id):
            actions.retry(database, path.id, over=over_for_good, covers=covers)
        return _shown(database, path.id)

    @blueprint.post("/actions/<id>/cancel", operation_id="cancel_action", **_ONE)
    @reads
    def cancel_action(path: Id) -> dict[str, Any]:
        """Cancel a call that is not made yet.

        The steps after it are cancelled with it. A call that is under way can't be.
        """
        with _possible(database, path.id):
            actions.cancel(database, path.id)
        return _shown(database, path.id)

    @blueprint.post("/actions/<id>/result", operation_id="record_result", **_ONE)
    @reads
    def record_result(path: Id, body: ResultBody) -> dict[str, Any]:
        """Say what became of a hand-over that was done.

        For a consumer that finishes later. One that failed is dead, and can be retried; a later word replaces an
        earlier one, until it is retried: what was said before counts no more, and only once the hand-over is done again
        can more be said.
        """
        with _possible(database, path.id):
            actions.record_result(database, path.id, body.result, detail=body.detail)
        return _shown(database, path.id)


def _add_retries(blueprint: APIBlueprint, database: Database) -> None:
    @blueprint.post(
        "/actions/retry",
        tags=_TAGS,
        operation_id="retry_actions",
        responses={200: change_models.Retried, **problems(413, 415)},
    )
    @reads
    def retry_actions(body: RetryBody) -> dict[str, Any]:
        """Make many calls again.

        The filters choose them, oldest first, at most 1000 in one call; without a state, those that are dead. With
        `preview` they are only counted. Left out, and counted apart, is what is about a run that is over, and a step
        where the one before it is not done. What a newer call makes superfluous ends `superseded`. Of what waits for
        its next try, only what is not due yet is meant.
        """
        if body.preview:
            with database.read(patience=PATIENCE) as connection:
                found = actions.preview_retry(connection, body.filters(), over=over_now, covers=covers)
        else:
            found = actions.retry_matching(
                database, body.filters(), over=over_for_good, over_now=over_now, covers=covers
            )
        told = {"count": found.count, "capped": found.more, "left_out": found.left_out}
        return told | {"superseded": found.superseded, "preview": bool(body.preview)}


def _add_switches(blueprint: APIBlueprint, database: Database, settings: Settings) -> None:
    @blueprint.get(
        "/actions/stopped",
        tags=_TAGS,
        operation_id="list_stopped",
        responses={200: change_models.StoppedList, **problems()},
    )
    @reads
    def list_stopped() -> dict[str, Any]:
        """List what is stopped by hand."""
        with database.read(patience=PATIENCE) as connection:
            return {"items": acting.stopped(connection)}

    @blueprint.post(
        "/actions/stop",
        tags=_TAGS,
        operation_id="stop_actions",
        responses={200: change_models.Switched, **problems(404, 413, 415)},
    )
    @reads
    def stop_actions(body: SwitchBody) -> dict[str, Any]:
        """Stop the calls of a rule, an operation, an account, a destination, or all.

        On every machine, within a second. Calls under way are finished; what waits keeps its place.
        """
        kind, name = _meant(body)
        actions.stop(database, kind, name, now=now_ms())
        return _switched(kind, name, stopped=True)

    @blueprint.post(
        "/actions/go",
        tags=_TAGS,
        operation_id="let_actions_go",
        responses={200: change_models.Switched, **problems(404, 409, 413, 415)},
    )
    @reads
    def let_actions_go(body: SwitchBody) -> dict[str, Any]:
        """Let calls go on that were stopped.

        What is stopped in another way too stays so: a call is made once nothing stops it.
        """
        kind, name = _meant(body)
        if not actions.go(database, kind, name):
            abort(409, f"{kind} {name} is not stopped" if name else "not everything is stopped")
        return _switched(kind, name, stopped=False)

    def _meant(body: SwitchBody) -> tuple[str, str]:
        kind, name = body.named()
        try:
            return kind, whole_name(settings, kind, name)
        except WrongRequest as exc:
            abort(404, f"the {kind} {exc.wrong[kind]}")

    def _switched(kind: str, name: str, *, stopped: bool) -> dict[str, Any]:
        return {"kind": kind, "name": name, "stopped": stopped, "known": is_known(database, kind, name)}


@contextmanager
def _possible(database: Database, action: str) -> Iterator[None]:
    """Answer 404 where there is no such action, and 409 where its state does not let it be done."""
    _shown(database, action)
    try:
        yield
    except WrongRequest as exc:
        if "id" not in exc.wrong:
            raise
        abort(409, exc.wrong["id"])


def _shown(database: Database, action: str) -> dict[str, Any]:
    with database.read(patience=PATIENCE) as connection:
        item = questions.show_action(connection, action) if _ID.fullmatch(action) else None
    if item is None:
        abort(404, f"there is no action {action}")
    return item
