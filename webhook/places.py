"""How many threads of a web process questions may hold, so that callbacks always find one free.

While a database hangs, every question waits for it; were there no bound, a page that polls the API would take the
threads that have to answer vendors.
"""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from flask import g, request

from webhook.problems import problem

if TYPE_CHECKING:
    from flask import Flask, Response

#: questions that one process works on at once; a process has at least twice as many threads
PLACES = 8
#: what needs no place: the doors themselves, and the health pages, which bound themselves
_FREE = ("callbacks.", "health.")


def bound_questions(app: Flask, places: int = PLACES) -> None:
    """Answer 503 to questions for which there is no place."""
    free = BoundedSemaphore(places)

    @app.before_request
    def take_place() -> Response | None:
        if (request.endpoint or "").startswith(_FREE):
            return None
        if not free.acquire(blocking=False):
            detail = f"{places} questions are being worked on already, the most that this process takes; ask again"
            return problem(503, detail, headers={"Retry-After": "1"})
        g.place = free
        return None

    @app.teardown_request
    def give_place_back(_exc: BaseException | None) -> None:
        held = g.pop("place", None)
        if held is not None:
            held.release()
