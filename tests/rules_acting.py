"""A Reelhook whose rules act: three accounts, a destination, callbacks of Volcengine's, and what was planned."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conftest import TOKEN
from sqlalchemy import select

from handlers import tables
from handlers.clock import now_ms
from handlers.inbox.consequences import Planner
from handlers.inbox.processing import Processor
from handlers.rules import RuleBook
from handlers.rules.known import known_of
from handlers.settings import load
from handlers.vendors import VENDORS
from standin.callbacks import volcengine
from standin.callbacks.callback import Counterpart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handlers.database import Database
    from handlers.events import Incoming
    from handlers.settings import Settings

SECRET = "a-secret-of-the-classroom-0123456789ab"
CONFIGURATION = """
[accounts.lessons]
vendor = "aliyun"
url_tokens = ["env:LESSONS_TOKEN"]
access_key_id = "env:SOME_KEY"
secret_access_key = "env:SOME_SECRET"

[accounts.classroom]
vendor = "volcengine"
callback_secrets = ["env:CLASSROOM_SECRET"]
access_key_id = "env:SOME_KEY"
secret_access_key = "env:SOME_SECRET"

[accounts.hall]
vendor = "volcengine"
callback_secrets = ["env:CLASSROOM_SECRET"]
access_key_id = "env:SOME_KEY"
secret_access_key = "env:SOME_SECRET"
limits = { update_segment = 100 }

[destinations.captioning]
kind = "http"
url = "https://captions.example.com/hooks"

[destinations.archive]
kind = "http"
url = "https://archive.example.com/hooks"
ordered = true
rate = 5
"""
_numbers = itertools.count(1)
_FIXTURES = Path(__file__).parent / "fixtures" / "volcengine"


def environ_with_rules(environ: Mapping[str, str], rules: str) -> dict[str, str]:
    """Return the environment, its file of settings written anew, with these rules."""
    config = Path(environ["REELHOOK_CONFIG"])
    config.write_text(CONFIGURATION)
    path = config.with_name("rules.yaml")
    path.write_text(rules)
    secrets = {"CLASSROOM_SECRET": SECRET, "SOME_KEY": "AK-0123456789", "SOME_SECRET": "secret-0123456789abcdef"}
    return dict(environ) | secrets | {"REELHOOK_RULES": str(path), "LESSONS_TOKEN": TOKEN}


def settings_with_rules(environ: Mapping[str, str], rules: str) -> Settings:
    """Return the settings of that environment."""
    return settings_of(environ_with_rules(environ, rules))


def settings_of(environ: Mapping[str, str]) -> Settings:
    """Return the settings of an environment."""
    return load(environ, vendors=tuple(VENDORS))


def processor(database: Database, settings: Settings) -> Processor:
    """Return a processor that asks the rules of the settings' file, which must be in order."""
    book = RuleBook(settings.rules, known_of(settings))
    assert not book.shown_problems(), "\n".join(book.shown_problems())
    return Processor(database, settings, VENDORS, planner=Planner(settings, book))


def work(database: Database, settings: Settings) -> Processor:
    """Process everything that waits."""
    working = processor(database, settings)
    while working.process():
        pass
    return working


def said(word: str, *, at: int | None = None, account: str = "classroom", **fields: Any) -> Incoming:
    """Return a signed callback of Volcengine's: the fixture's of this word, with fields of its data changed."""
    number = next(_numbers)
    path = _FIXTURES / f"{word}.json"
    envelope = json.loads(path.read_bytes())
    data = json.loads(envelope["EventData"]) | fields
    moment = now_ms() if at is None else at
    data = {name: value for name, value in data.items() if value is not ...}
    outer = volcengine.envelope(envelope["EventType"], data, at=moment, event_id=f"event-{number}")
    to = Counterpart(vendor="volcengine", account=account, secret=SECRET)
    return volcengine.callback(outer, to).incoming(now_ms())


def file(number: int = 1, *, at: int, minutes: int = 1) -> dict[str, Any]:
    """Return a file of RecordStopped's list that ended at a time."""
    return {
        "ObjectKey": f"lessons/file-{number}.m3u8",
        "Duration": minutes * 60_000,
        "Size": 1000 * number,
        "StartTime": at - minutes * 60_000,
        "StreamList": [{"Index": 0, "UserId": "teacher", "StreamType": 0}],
    }


def slices(*numbers: int, at: int, duration: int = 90_000) -> list[dict[str, Any]]:
    """Return slices of SegmentRealTimeData, one second apart."""
    return [
        {
            "Stream": {"UserId": "teacher", "StreamType": 0},
            "ObjectKey": f"slices/{number}.wav",
            "SampleRate": "44100",
            "BitsPerSample": "16",
            "Channels": "2",
            "Size": 1000,
            "TimeStamp": at + number * 1000,
            "Duration": duration,
        }
        for number in numbers
    ]


def planned(database: Database) -> Sequence[dict[str, Any]]:
    """Return the rows of actions, in the order in which they were planned."""
    with database.read() as connection:
        rows = connection.execute(select(tables.actions).order_by(tables.actions.c.id)).mappings()
        return [dict(row) | {"parameters": json.loads(row["parameters"] or "null")} for row in rows]


def one(database: Database) -> dict[str, Any]:
    """Return the only action that was planned."""
    (row,) = planned(database)
    return row


def inbox_states(database: Database) -> list[tuple[str, str | None]]:
    """Return state and reason of every delivery."""
    with database.read() as connection:
        query = select(tables.inbox.c.state, tables.inbox.c.reason).order_by(tables.inbox.c.delivery)
        return [(row.state, row.reason) for row in connection.execute(query)]
