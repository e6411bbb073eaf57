"""What the API changes: deliveries are processed once more, refusals are kept after all; one or many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import abort

from handlers import questions
from handlers.inbox.refusals import release
from handlers.inbox.releasing import preview_release, release_matching
from handlers.inbox.replay import preview_replay, replay, replay_one
from handlers.questions.filters import DELIVERIES, REFUSALS
from webhook.api import change_models
from webhook.api.answers import problems
from webhook.api.lists import KINDS, PATIENCE
from webhook.api.queries import Id, ReleaseBody, ReplayBody
from webhook.api.reading import reads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask_openapi3.blueprint import APIBlueprint

    from handlers.database import Database
    from handlers.settings import Settings
    from handlers.vendor import Vendor

_TAGS = {kind.name: [kind.tag] for kind in KINDS}


def add_replays(blueprint: APIBlueprint, database: Database) -> None:
    """Add what has deliveries processed once more."""

    @blueprint.post(
        "/deliveries/<id>/replay",
        tags=_TAGS[DELIVERIES],
        operation_id="replay_delivery",
        responses={200: change_models.Replayed, **problems(404, 413, 415)},
    )
    @reads
    def replay_delivery(path: Id) -> dict[str, Any]:
        """Process one delivery once more; no rule fires.

        It waits for a worker again, with no tries behind it. The count is 0 if it waited already.
        """
        count = replay_one(database, path.id)
        if count is None:
            abort(404, f"there is no delivery {path.id}")
        return {"count": count, "capped": False, "preview": False}

    @blueprint.post(
        "/deliveries/replay",
        tags=_TAGS[DELIVERIES],
        operation_id="replay_deliveries",
        responses={200: change_models.Replayed, **problems(413, 415)},
    )
    @reads
    def replay_deliveries(body: ReplayBody) -> dict[str, Any]:
        """Process many deliveries once more.

        The filters choose them; without a state, those in quarantine. With `preview` they are only counted.
        """
        if body.preview:
            with database.read(patience=PATIENCE) as connection:
                count, is_capped = preview_replay(connection, body.filters())
            return {"count": count, "capped": is_capped, "preview": True}
        return {"count": replay(database, body.filters(), fire=body.fire), "capped": False, "preview": False}


def add_releases(
    blueprint: APIBlueprint, database: Database, settings: Settings, vendors: Mapping[str, Vendor]
) -> None:
    """Add what keeps refused deliveries after all."""

    @blueprint.post(
        "/refusals/<id>/release",
        tags=_TAGS[REFUSALS],
        operation_id="release_refusal",
        responses={200: change_models.Released, **problems(404, 409, 413, 415)},
    )
    @reads
    def release_refusal(path: Id) -> dict[str, Any]:
        """Keep one refused delivery after all, as if it had been authentic.

        Whoever releases it vouches for it. It can't be done twice, nor where the body was not kept.
        """
        with database.read(patience=PATIENCE) as connection:
            known = questions.show_refusal(connection, path.id)
        if known is None:
            abort(404, f"there is no refusal {path.id}")
        accepted = release(database, settings, vendors, path.id)
        return {"refusal": path.id, "delivery": accepted.delivery, "is_repeat": accepted.is_repeat}

    @blueprint.post(
        "/refusals/release",
        tags=_TAGS[REFUSALS],
        operation_id="release_refusals",
        responses={200: change_models.ReleasedMany, **problems(413, 415)},
    )
    @reads
    def release_refusals(body: ReleaseBody) -> dict[str, Any]:
        """Keep many refused deliveries after all.

        The filters choose among those that were kept whole and not released before, oldest first, at most 1000 in one
        call. With `preview` they are only counted.
        """
        if body.preview:
            with database.read(patience=PATIENCE) as connection:
                count, is_capped = preview_release(connection, body.filters())
            return {"count": count, "capped": is_capped, "preview": True, "failed": []}
        done = release_matching(database, settings, vendors, body.filters())
        failed = [{"refusal": refusal, "detail": why} for refusal, why in done.failed.items()]
        return {"count": done.count, "capped": done.more, "preview": False, "failed": failed}
