"""Promise 3: the same callback many times at once, through two web processes, is one delivery, always a success."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from callbacks import file_created
from conftest import TOKEN
from crowd import all_at_once
from program import running
from sqlalchemy import func, select

from handlers import tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from handlers.database import Database

_DOOR = f"/callbacks/aliyun/lessons?token={quote(TOKEN)}"


def _poster(port: int, body: bytes) -> Callable[[], tuple[int, dict[str, Any]]]:
    """Connect now, so that only the callback itself is left to send."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()

    def post() -> tuple[int, dict[str, Any]]:
        connection.request("POST", _DOOR, body, {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            told = json.loads(answer.read())
        connection.close()
        return answer.status, told

    return post


def test_64_identical_callbacks_at_once_to_two_web_processes_are_one_delivery_with_63_repeats(
    environ: dict[str, str], database: Database, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        webs = [stack.enter_context(running(environ, "web", log=tmp_path / f"log{number}")) for number in range(2)]
        for web in webs:
            web.ready()
        for turn in range(3):
            _send_64(database, [web.port for web in webs], file_created(turn))
    deliveries, seen = tables.deliveries, tables.seen
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(deliveries)).scalar() == 3
        assert connection.execute(select(func.count()).select_from(tables.inbox)).scalar() == 3
        assert connection.execute(select(seen.c.repeats)).scalars().all() == [63, 63, 63]


def _send_64(database: Database, ports: list[int], body: bytes) -> None:
    answers = all_at_once([_poster(ports[number % 2], body) for number in range(64)])
    assert Counter(status for status, _ in answers) == {200: 64}
    assert Counter(told["status"] for _, told in answers) == {"kept": 1, "repeat": 63}
    assert len({told["delivery"] for _, told in answers}) == 1
    kept = answers[0][1]["delivery"]
    with database.read() as connection:
        assert connection.execute(select(tables.deliveries.c.id).where(tables.deliveries.c.body == body)).all() == [
            (kept,)
        ]


def test_callbacks_that_share_a_message_id_but_say_something_else_are_not_taken_for_repeats(
    environ: dict[str, str], database: Database, tmp_path: Path
) -> None:
    """A corrected callback under its old MsgId must not be lost; the same words in another order are no other words."""
    first = json.loads(file_created(1))
    corrected = first | {"Duration": 12.5}
    shuffled = dict(reversed(first.items()))
    with running(environ, "web", log=tmp_path / "log") as web:
        web.ready()
        bodies = [json.dumps(values).encode() for values in (first, corrected, shuffled)]
        told = [_poster(web.port, body)()[1]["status"] for body in bodies]
    assert told == ["kept", "kept", "repeat"]
    with database.read() as connection:
        kept = connection.execute(select(tables.deliveries.c.body).order_by(tables.deliveries.c.id)).scalars()
        assert [bytes(body) for body in kept] == bodies[:2]
