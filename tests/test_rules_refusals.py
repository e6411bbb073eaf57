"""Calls whose values turn out wrong when they are planned: refused one by one, and never the delivery with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from callbacks import file_created, incoming
from conftest import TOKEN
from rules_acting import environ_with_rules, inbox_states, one, settings_of, work

if TYPE_CHECKING:
    from handlers.database import Database
    from handlers.inbox import Inbox

QUEUE = """
[destinations.jobs]
kind = "sqs"
region = "eu-west-1"
url = "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs"
access_key_id = "env:SOME_KEY"
secret_access_key = "env:SOME_SECRET"
"""
HTTP_ONES = "configured for http.post: archive, captioning"


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("""http.post: {to: "${recording.format}"}""", f'to: there is no destination "m3u8"; {HTTP_ONES}'),
        (
            """http.post: {to: "${'captionin' + ''}"}""",
            f'to: there is no destination "captionin"; did you mean captioning?; {HTTP_ONES}',
        ),
        (
            """http.post: {to: "${'jo' + 'bs'}"}""",
            "to: the destination jobs is of kind sqs; http.post needs http: archive, captioning",
        ),
        (r"""http.post: {to: "${'a\\u0000b'}"}""", rf'to: there is no destination "a\0b"; {HTTP_ONES}'),
        (
            r"""http.post: {to: captioning, body: {note: "a\ud800b"}}""",
            "the parameters hold half a surrogate pair, which can't be sent",
        ),
    ],
)
def test_a_value_that_no_call_can_have_refuses_the_call_and_the_delivery_is_processed(
    inbox: Inbox, database: Database, environ: dict[str, str], step: str, reason: str
) -> None:
    told = environ_with_rules(
        environ, f"rules:\n  - name: hand-over\n    when: recording.available\n    do:\n      - {step}\n"
    )
    with Path(told["REELHOOK_CONFIG"]).open("a") as config:
        config.write(QUEUE)
    inbox.accept(incoming(file_created(1), token=TOKEN))
    work(database, settings_of(told))
    assert inbox_states(database) == [("processed", None)]
    action = one(database)
    assert (action["state"], action["reason"], action["parameters"]) == ("refused", reason, None)
    assert action["destination"] == ("captioning" if "body" in step else None), "no channel for a name that is none"


def test_a_destination_that_a_value_names_gets_what_is_meant_for_it(
    inbox: Inbox, database: Database, environ: dict[str, str]
) -> None:
    step = """http.post: {to: "${'arch' + 'ive'}"}"""
    rules = f"rules:\n  - name: hand-over\n    when: recording.available\n    do:\n      - {step}\n"
    inbox.accept(incoming(file_created(1), token=TOKEN))
    work(database, settings_of(environ_with_rules(environ, rules)))
    action = one(database)
    assert (action["state"], action["destination"], action["lane"]) == ("planned", "archive", "destination/archive")
