"""What a load balancer, an alarm and a person at 3 a.m. ask: /livez, /readyz, /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from handlers.observation import Observation, Observer
    from handlers.questions.rules import InForce
    from webhook.figures import Figures


def health_blueprint(observer: Observer, figures: Figures, *, takes_callbacks: bool) -> Blueprint:
    """Return the health pages; they need no token, so they name no account but in the figures."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/livez")
    def livez() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "alive"}

    @blueprint.get("/readyz")
    def readyz() -> tuple[dict[str, Any], int]:
        """Say whether requests should be sent here."""
        seen = observer.look()
        is_ready = _is_ready(seen, takes_callbacks=takes_callbacks)
        return {"status": _word(seen, is_ready=is_ready), **_checks(seen)}, 200 if is_ready else 503

    @blueprint.get("/metrics")
    def metrics() -> Response:
        """Show the figures in Prometheus's text format."""
        text = figures.render(observer.look())
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    return blueprint


def _is_ready(seen: Observation, *, takes_callbacks: bool) -> bool:
    """Tell readiness: where callbacks come in, a spool is enough, or a balancer would turn vendors away."""
    return bool(seen.is_migrated) or (takes_callbacks and seen.spool is not None)


def _word(seen: Observation, *, is_ready: bool) -> str:
    if not is_ready:
        return "not ready"
    return "ready" if seen.is_migrated else "spooling"


def _checks(seen: Observation) -> dict[str, Any]:
    migrations = {None: "unknown", True: "applied", False: "missing: run `reelhook migrate`"}[seen.is_migrated]
    database = "does not answer" if seen.is_migrated is None else "answers"
    if seen.backlog is None:
        return {"database": database, "migrations": migrations, "spool": _spool(seen)}
    oldest = seen.backlog.oldest_waiting_ms
    inbox = {"waiting": seen.backlog.waiting, "oldest_waiting_ms": oldest, "quarantined": seen.backlog.quarantined}
    told = {"database": database, "migrations": migrations, "spool": _spool(seen), "inbox": inbox}
    return told if seen.rules is None else told | {"rules": _rules(seen.rules)}


def _rules(seen: InForce) -> dict[str, Any]:
    """Tell how the rules stand: problems are counted only, for their texts quote the file, and nobody showed a token.

    A broken file is no reason to send requests elsewhere: the rules that were in force stay so.
    """
    return {
        "version": seen.version,
        "in_force": seen.count(),
        "problems": len(seen.problems),
        "workers": len(seen.workers),
    }


def _spool(seen: Observation) -> dict[str, int | str] | None:
    if seen.spool_problem is not None:
        return {"problem": seen.spool_problem}
    return None if seen.spool is None else {"waiting": seen.spool[0], "set_aside": seen.spool[1]}
