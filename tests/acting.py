"""Reelhook with rules that act: accounts at stand-ins of every vendor's API, destinations, and what became of actions.

It is told of things by signed callbacks, over HTTP where `reelhook serve` runs, and looked into by its rows.
"""

from __future__ import annotations

import json
import threading
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calling import golden
from conftest import API_TOKEN
from program import request, running, wait_until
from sqlalchemy import select

from handlers import actions, tables
from handlers.calling import TIMEOUT_MS, Caller
from handlers.clock import now_ms
from handlers.database import Database
from handlers.rules.matching import version_of
from handlers.vendors import VENDORS
from handlers.worker import Worker
from standin.callbacks import aliyun, huawei, volcengine
from standin.callbacks.callback import Counterpart
from standin.openapi import Credential, OpenApiStandin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import RowMapping

    from handlers.inbox import Inbox
    from handlers.settings import Settings
    from standin.callbacks.callback import Callback

#: each made for one purpose, so that each can be looked for by itself; none may ever be seen
SECRETS: Mapping[str, str] = {
    "VOLC_SIGNING": "volcengine-signs-with-this-0123456789",
    "VOLC_SK": "volcengine-secret-access-key-0123456789",
    "VOLC_TOKEN": "volcengine-session-token-0123456789",
    "HW_SIGNING": "huawei-signs-with-this-key-0123456789",
    "HW_SK": "huawei-secret-access-key-0123456789",
    "HW_TOKEN": "huawei-session-token-0123456789",
    "ALI_TOKEN": "aliyun-url-token-0123456789",
    "ALI_SK": "aliyun-secret-access-key-0123456789",
    "ALI_STS": "aliyun-session-token-0123456789",
    "CAPTIONING": "whsec_Y2FwdGlvbmluZy13ZWJob29rLXNlY3JldC0wMTIz",
    "RECEIVER": "a-secret-in-the-path-of-a-receiver-0123456789",
}
_KEYS: Mapping[str, tuple[str, str, str]] = {
    "volcengine": ("VOLC-AK", "VOLC_SK", "VOLC_TOKEN"),
    "huawei": ("HW-AK", "HW_SK", "HW_TOKEN"),
    "aliyun": ("ALI-AK", "ALI_SK", "ALI_STS"),
}
_ACCOUNTS = {"classroom": "volcengine", "evening": "volcengine", "clinic": "huawei", "lessons": "aliyun"}
_PROOFS = {
    "volcengine": 'callback_secrets = ["env:VOLC_SIGNING"]',
    "huawei": 'callback_secrets = ["env:HW_SIGNING"]\nproject_id = "p-1"',
    "aliyun": 'url_tokens = ["env:ALI_TOKEN"]',
}
APP = "standin-app"
PATIENCE = 60.0
_IDS = ("AppId", "BusinessId", "RoomId", "ChannelId", "TaskId", "SequenceNumber", "app_id", "job_id")


@contextmanager
def standins(
    more: Mapping[str, Credential] | None = None, **limits: Mapping[str, int | None]
) -> Iterator[Mapping[str, OpenApiStandin]]:
    """Run the API of every vendor, each with its own limits unless others are given; `more` may call Volcengine too."""
    with ExitStack() as stack:
        yield {
            vendor: stack.enter_context(
                OpenApiStandin(
                    vendor=vendor,
                    credentials={
                        key: Credential(secret=SECRETS[secret], security_token=SECRETS[token]),
                        **(more or {} if vendor == "volcengine" else {}),
                    },
                    limits=limits.get(vendor),
                )
            )
            for vendor, (key, secret, token) in _KEYS.items()
        }


def configuration(apis: Mapping[str, OpenApiStandin], destinations: str = "", **more: str) -> str:
    """Return a reelhook.toml with four accounts, two of them of one vendor account; `more` are lines of an account."""
    accounts = [
        f'[accounts.{name}]\nvendor = "{vendor}"\n{_PROOFS[vendor]}\nendpoint = "{apis[vendor].endpoint}"\n'
        f'access_key_id = "env:AK_{vendor}"\nsecret_access_key = "env:{_KEYS[vendor][1]}"\n'
        f'security_token = "env:{_KEYS[vendor][2]}"\n{more.get(name, "")}\n'
        for name, vendor in _ACCOUNTS.items()
    ]
    return "\n".join([*accounts, destinations])


def environment(folder: Path, url: str, config: str, rules: str) -> dict[str, str]:
    """Write both files, and return the variables that name them."""
    (folder / "data").mkdir(exist_ok=True)
    (folder / "reelhook.toml").write_text(config)
    (folder / "rules.yaml").write_text(rules)
    return {
        "DATABASE_URL": url,
        "REELHOOK_DATA": str(folder / "data"),
        "REELHOOK_CONFIG": str(folder / "reelhook.toml"),
        "REELHOOK_RULES": str(folder / "rules.yaml"),
        "REELHOOK_API_TOKENS": API_TOKEN,
        **{f"AK_{vendor}": keys[0] for vendor, keys in _KEYS.items()},
        **SECRETS,
    }


def rule(name: str, when: str | list[str], *steps: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
    """Return a rule for the room that is called as the rule is."""
    return {"name": name, "when": when, "if": f'event.room_id == "{name}"', **keys, "do": list(steps)}


def told(*rules: Mapping[str, Any]) -> str:
    """Return a rules.yaml; JSON is YAML."""
    return json.dumps({"rules": list(rules)}, indent=1)


def parameters(operation: str) -> dict[str, Any]:
    """Return what a rule must say for the golden call of an operation: all but what it has of its event."""
    return {name: value for name, value in golden(operation)["parameters"].items() if name not in _IDS}


# --- what vendors tell ------------------------------------------------------------------------------------------------


def from_volcengine(word: str, room: str, task: str = "", *, account: str = "classroom", **changed: Any) -> Callback:
    """Return a callback about a task of the room, which is called as the room is unless told otherwise."""
    mark = uuid.uuid4().hex
    data, at = volcengine.sample(word, at=now_ms(), mark=mark)
    data |= {"RoomId": room, "TaskId": task or room} | changed
    outer = volcengine.envelope(word, data, at=at, event_id=f"evt-{mark}")
    to = Counterpart(vendor="volcengine", account=account, secret=SECRETS["VOLC_SIGNING"])
    return volcengine.callback(outer, to, nonce=mark[:4])


def a_slice(room: str, task: str = "", *, account: str = "classroom", **changed: Any) -> Callback:
    """Return a callback that tells of one new slice."""
    data, _ = volcengine.sample("SegmentRealTimeData", at=now_ms(), mark=uuid.uuid4().hex)
    return from_volcengine(
        "SegmentRealTimeData", room, task, account=account, Data=[data["Data"][0] | changed], Identifier=task or room
    )


def from_huawei(word: str, room: str) -> Callback:
    """Return a callback about the job that is called as the room is."""
    fields = huawei.sample(word, at=now_ms(), mark=uuid.uuid4().hex) | {"room_id": room, "job_id": room}
    to = Counterpart(vendor="huawei", account="clinic", secret=SECRETS["HW_SIGNING"])
    return huawei.callback(fields, to, at=now_ms(), rand=uuid.uuid4().hex)


def from_aliyun(room: str) -> Callback:
    """Return a callback about a new file of the task that is called as the channel is."""
    fields = aliyun.sample("FileCreated", at=now_ms(), mark=uuid.uuid4().hex) | {"ChannelId": room, "TaskId": room}
    return aliyun.callback(fields, Counterpart(vendor="aliyun", account="lessons", token=SECRETS["ALI_TOKEN"]))


# --- what becomes of it -----------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class House:
    """A Reelhook at work."""

    database: Database
    folder: Path
    apis: Mapping[str, OpenApiStandin]
    tell: Callable[[Callback], None]
    #: asks the API, where there is one
    ask: Callable[[str], str] = str

    def actions(self, name: str) -> Sequence[RowMapping]:
        """Return the actions of a rule, in the order that they were planned in."""
        query = select(tables.actions).where(tables.actions.c.rule == name).order_by(tables.actions.c.id)
        with self.database.read() as connection:
            return connection.execute(query).mappings().all()

    def ended(self, name: str, number: int = 1) -> Sequence[RowMapping]:
        """Wait until a rule has so many actions and all are over; return them."""

        def are_over() -> bool:
            found = self.actions(name)
            return len(found) >= number and all(row["stage"] == "over" for row in found)

        wait_until(are_over, patience=PATIENCE, what=f"the end of {number} actions of {name}")
        return self.actions(name)

    def attempts(self, action: str) -> Sequence[Mapping[str, Any]]:
        """Return the attempts of an action."""
        with self.database.read() as connection:
            return [dict(row) for row in actions.attempts_of(connection, action)]

    def books(self) -> Sequence[RowMapping]:
        """Return what the workers say of the rules that they go by."""
        with self.database.read() as connection:
            return connection.execute(select(tables.rule_books)).mappings().all()

    def figures(self, name: str) -> Mapping[str, Any]:
        """Return how often a rule matched, and did not."""
        query = select(tables.rule_figures).where(tables.rule_figures.c.rule == name)
        with self.database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return {} if row is None else dict(row)

    def write_rules(self, text: str) -> None:
        """Write the file, and wait until all workers have read it, whatever they think of it."""
        (self.folder / "rules.yaml").write_text(text)
        version = version_of(text)
        wait_until(
            lambda: {row["file_version"] for row in self.books()} == {version},
            patience=PATIENCE,
            what="the new file of rules",
        )

    def log(self) -> str:
        """Return what a `reelhook serve` has said so far."""
        return (self.folder / "log").read_text()

    def inbox_states(self) -> set[str]:
        """Return the states that deliveries are in."""
        with self.database.read() as connection:
            return set(connection.execute(select(tables.inbox.c.state)).scalars())


@contextmanager
def serving(folder: Path, environ: Mapping[str, str], apis: Mapping[str, OpenApiStandin]) -> Iterator[House]:
    """Run `reelhook serve`, which is told over HTTP."""
    with running(environ, "serve", log=folder / "log") as program:
        program.ready()
        database = Database(environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))

        def tell(callback: Callback) -> None:
            answer = request("POST", program.url + callback.target, callback.body, headers=callback.headers)
            assert answer.status == 200, answer.body

        def ask(path: str) -> str:
            answer = request("GET", program.url + path, headers={"Authorization": f"Bearer {API_TOKEN}"})
            assert answer.status == 200, answer.body
            return answer.body.decode()

        try:
            yield House(database=database, folder=folder, apis=apis, tell=tell, ask=ask)
        finally:
            database.close()


@contextmanager
def working(  # noqa: PLR0913 - what a worker stands on
    folder: Path,
    settings: Settings,
    database: Database,
    inbox: Inbox,
    apis: Mapping[str, OpenApiStandin],
    *,
    timeout_ms: int = TIMEOUT_MS,
) -> Iterator[House]:
    """Run a worker as a thread of this process; `timeout_ms` is for a vendor's call."""
    stop = threading.Event()
    caller = Caller(database, settings, VENDORS, timeout_ms=timeout_ms)
    worker = Worker(database, settings, VENDORS, caller=caller)
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()

    def tell(callback: Callback) -> None:
        inbox.accept(callback.incoming(now_ms()))

    try:
        yield House(database=database, folder=folder, apis=apis, tell=tell)
    finally:
        stop.set()
        thread.join()
