"""What `/-/...` answers: faults, messages and counters for whoever tests over HTTP. Nothing of it is the vendor's."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from standin.mns.errors import MnsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from standin.mns.call import Request
    from standin.mns.standin import MnsStandin


def controlled(owner: MnsStandin, request: Request, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
    """Answer a control request with a status and JSON."""
    try:
        status, answer = _answer(owner, request, path, query)
    except (MnsError, ValueError) as exc:
        status, answer = 400, {"error": str(exc)}
    return status, json.dumps(answer, ensure_ascii=False).encode() + b"\n"


def _answer(owner: MnsStandin, request: Request, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
    status = 200
    answer: dict[str, Any] = {}
    match request.method, path:
        case "GET", "faults":
            answer = {"faults": owner.faults.armed()}
        case "POST", "faults":
            status, answer = 201, dataclasses.asdict(_added(owner, json.loads(request.body)))
        case "DELETE", "faults":
            owner.faults.clear()
            answer = {"faults": []}
        case "GET", "messages":
            answer = {"messages": [dataclasses.asdict(one) for one in owner.messages(_queue(query))]}
        case "POST", "messages":
            status, answer = 201, {"message_ids": owner.send_all(_queue(query), _bodies(request))}
        case "GET", "counters":
            answer = owner.counters()
        case _:
            known = "/-/faults, /-/messages, /-/counters"
            status, answer = 404, {"error": f"{request.method} /-/{path} is not known; known are {known}"}
    return status, answer


def _bodies(request: Request) -> list[str]:
    """Read one message per line from NDJSON, else the whole as one message."""
    text = request.body.decode()
    if request.headers.get("content-type", "").startswith("application/x-ndjson"):
        return [line for line in text.replace("\r\n", "\n").split("\n") if line]
    return [text]


def _added(owner: MnsStandin, values: object) -> Any:  # noqa: ANN401 - a Fault
    if not isinstance(values, dict) or not isinstance(values.get("kind"), str):
        raise ValueError('expected a JSON object such as {"kind": "drop_reply", "times": 2}')  # noqa: TRY004 - JSON is wrong
    return owner.faults.add(**values)


def _queue(query: Mapping[str, str]) -> str:
    if "queue" not in query:
        raise ValueError("the URL has no queue: /-/messages?queue=<name>")
    return query["queue"]
