"""What the product is measured against: a Flask view that reads the body, answers the same, and does nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flask import Flask, request

from handlers.ids import new_id
from handlers.settings import load
from handlers.vendors import VENDORS
from webhook.body import read_body
from webhook.deadlines import RequestLimits
from webhook.logs import configure_logging
from webhook.server import ReelhookServer, gunicorn_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIApplication

    from handlers.settings import Settings


def serve(make_app: Callable[[Settings], WSGIApplication]) -> None:
    """Run an application on the server, the options and the log that `reelhook web` has."""
    settings = load(os.environ, vendors=tuple(VENDORS))
    configure_logging(settings.log)
    options = gunicorn_options(host="127.0.0.1", port=settings.port, workers=settings.web_concurrency)
    ReelhookServer(lambda: make_app(settings), options, RequestLimits(max_body=settings.max_body)).run()


def make_app(settings: Settings) -> Flask:
    """Return an application with one view and nothing behind it."""
    app = Flask(__name__)
    delivery = new_id("dlv")

    @app.get("/livez")
    def livez() -> str:
        return "ok"

    @app.post("/callbacks/<vendor>/<account>")
    def receive(vendor: str, account: str) -> dict[str, str | int]:  # noqa: ARG001 - the product's view takes them too
        read_body(request.environ, settings.max_body)
        return dict(VENDORS[vendor].answer) | {"status": "kept", "delivery": delivery}

    return app


if __name__ == "__main__":
    serve(make_app)
