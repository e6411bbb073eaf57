"""What comes over the wire and what goes back: the request as sent, what it asks for, the answer, the refusal."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from standin.openapi.tasks import Tasks

JSON = "application/json; charset=utf-8"


class TaskKey(NamedTuple):
    """What a vendor tells tasks apart by; `room_id` is empty where the vendor's ids need no room."""

    type: str
    app_id: str
    room_id: str
    task_id: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request, whole, nothing of it believed yet."""

    method: str
    #: as sent, percent-encoded, without the query
    path: str
    #: as sent, without the question mark
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    #: which of the server's connections it came through, counted from 1
    connection: int = 0

    def header(self, name: str) -> str | None:
        """Return the header's value without spaces around it, or None where it is missing."""
        wanted = name.lower()
        return next((value.strip() for key, value in self.headers if key.lower() == wanted), None)

    def parameters(self) -> list[tuple[str, str]]:
        """Return the decoded pairs of the query, in order, empty values included."""
        return parse_qsl(self.query, keep_blank_values=True)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request asks for, read before its signature is checked: for the journal, faults and lanes."""

    action: str | None
    version: str | None = None
    task: TaskKey | None = None
    #: the JSON body, or the parameters, without what signs them; text where the body is no JSON
    body: Any = None
    #: what else a vendor's answer repeats
    region: str = ""
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", JSON),)
    #: the vendor's error code, None for success
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a call has done: the answer, what was applied to the task, and what was silently put right or left out."""

    answer: Answer
    applied: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


class Refused(Exception):
    """The vendor refuses the call: its error code, its text, and the HTTP status where the code alone doesn't say."""

    def __init__(self, code: str, message: str | None = None, *, status: int | None = None) -> None:
        super().__init__(code if message is None else f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class Vendor(Protocol):
    """What a vendor's folder brings."""

    #: calls per second and account, by action, as far as documented
    limits: Mapping[str, int]
    tasks: Tasks
    #: the code that refuses what is over a limit, the one that says the vendor failed, and the one that refuses a
    #: second call of a task while the first is at work (None where the vendor doesn't mind)
    over_limit: str
    broken: str
    busy: str | None

    def ask(self, request: Request) -> Asked:
        """Read what is asked for; never fails, whatever came."""
        ...

    def authenticate(self, request: Request, asked: Asked) -> str:
        """Return the vendor account that signed the request. Raises Refused."""
        ...

    def work(self, request: Request, asked: Asked) -> Done:
        """Do what is asked for. Raises Refused, and has then changed nothing."""
        ...

    def refuse(self, asked: Asked, refused: Refused) -> Answer:
        """Put a refusal into the vendor's form."""
        ...


def json_answer(values: object, *, status: int = 200, code: str | None = None) -> Answer:
    """Return an answer of JSON."""
    return Answer(status=status, body=json.dumps(values).encode(), code=code)


def read_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a body is, or None for anything else."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
