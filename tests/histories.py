"""Histories for the tests: callbacks of a world, received one after the other, and processed at once or at the end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, text

from handlers import tables
from handlers.backtest import Source, Version, Window, backtest, chosen
from handlers.inbox import Inbox
from handlers.inbox.consequences import Planner
from handlers.inbox.processing import Processor
from handlers.rules import RuleBook
from handlers.rules.known import known_of
from handlers.settings import load
from handlers.tables.metadata import metadata
from handlers.vendors import VENDORS
from standin.callbacks.world import COUNTERPARTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from handlers.backtest import Backtest
    from handlers.database import Database
    from handlers.events import Incoming
    from handlers.keeping.keeper import Keeper
    from handlers.settings import Settings

#: every account of a world, the last table open
ACCOUNTS = """
[accounts.lessons]
vendor = "aliyun"
url_tokens = ["env:LESSONS"]

[accounts.clinic]
vendor = "huawei"
callback_secrets = ["env:CLINIC"]

[accounts.classroom]
vendor = "volcengine"
callback_secrets = ["env:CLASSROOM"]
"""
CONFIG = f"""{ACCOUNTS}limits = {{update_segment = 5}}

[destinations.captioning]
kind = "http"
url = "https://captions.example.com/hooks"
secret = "env:CAPTIONING"
"""
SECRETS = {
    "LESSONS": COUNTERPARTS["aliyun"].token or "",
    "CLINIC": COUNTERPARTS["huawei"].secret,
    "CLASSROOM": COUNTERPARTS["volcengine"].secret,
    "CAPTIONING": "whsec_" + "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4",
}
#: what a call is, but for when it was written down
CALL = (
    *("rule", "subject", "change", "step", "operation", "vendor", "account", "destination", "parameters", "state"),
    *("reason", "task", "recording", "delivery"),
)


def configured(environ: Mapping[str, str], folder: Path, rules: str) -> dict[str, str]:
    """Return an environment with an account of every vendor, a destination, and these rules."""
    (folder / "reelhook.toml").write_text(CONFIG)
    (folder / "rules.yaml").write_text(rules)
    return dict(environ) | SECRETS | {"REELHOOK_RULES": str(folder / "rules.yaml")}


def settings_of(environ: Mapping[str, str]) -> Settings:
    """Return the settings of an environment."""
    return load(environ, vendors=tuple(VENDORS))


class Live:
    """A Reelhook that lives through a history; each delivery is processed at the time at which it is received."""

    def __init__(self, database: Database, settings: Settings, keeper: Keeper, *, has_rules: bool = True) -> None:
        self.database = database
        self.settings = settings
        self._inbox = Inbox(settings, VENDORS, keeper)
        self._now = 0
        planner = None
        if has_rules:
            book = RuleBook(settings.rules, known_of(settings))
            planner = Planner(settings, book, clock=lambda _connection: self._now * 1000)
        self._processor = Processor(database, settings, VENDORS, planner=planner, clock=lambda: self._now)

    def live(self, incoming: Iterable[Incoming]) -> None:
        """Receive and process one after the other; whatever is planned is done at once."""
        for one in incoming:
            self._inbox.accept(one)
            self._now = one.received_at
            while self._processor.process():
                pass
            with self.database.write() as connection:
                connection.execute(text("UPDATE actions SET stage = 'over', is_head = false WHERE stage <> 'over'"))


def tried(database: Database, settings: Settings, since: int, until: int, *names: str, **more: Any) -> Any:
    """Return a backtest of the rules in force, as a context."""
    known = known_of(settings)
    rules = chosen(RuleBook(settings.rules, known).rules, known, names)
    source = Source(database=database, settings=settings, vendors=VENDORS)
    tested = Version(path=settings.rules, rules=rules)
    return backtest(source, Window(since=since, until=until, **more), tested)


def planned(database: Database) -> list[dict[str, Any]]:
    """Return what was planned live, in order."""
    with database.read() as connection:
        rows = connection.execute(select(tables.actions).order_by(tables.actions.c.id)).mappings().all()
    return [_plain(dict(row)) for row in rows]


def calls(done: Backtest) -> list[dict[str, Any]]:
    """Return what a backtest found, in order, as `planned` does."""
    return [_plain(call) for call in done.every_call()]


def without_ids(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return calls without the reasons that name other actions."""
    return [call | {"reason": None} if call["state"] in {"superseded", "cancelled"} else call for call in found]


def counts(database: Database) -> dict[str, int]:
    """Return how many rows every table has."""
    with database.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def _plain(call: dict[str, Any]) -> dict[str, Any]:
    told = {name: call[name] for name in CALL}
    if isinstance(told["parameters"], str):
        told["parameters"] = json.loads(told["parameters"])
    return told
