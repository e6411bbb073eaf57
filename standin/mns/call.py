"""Which operation a request asks for, and what it brings along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from standin.mns.errors import MnsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from standin.mns.faults import Fault

_QUEUE = {"GET": "GetQueueAttributes", "DELETE": "DeleteQueue"}
_TOPIC = {"GET": "GetTopicAttributes", "DELETE": "DeleteTopic"}
_SUBSCRIPTION = {"GET": "GetSubscriptionAttributes", "DELETE": "Unsubscribe"}

#: operation -> the parameters that may stand in its URL, in the vendor's case; another one is refused
PARAMETERS: Mapping[str, frozenset[str]] = {
    "ReceiveMessage": frozenset({"waitseconds"}),
    "BatchReceiveMessage": frozenset({"numOfMessages", "waitseconds"}),
    "PeekMessage": frozenset({"peekonly"}),
    "BatchPeekMessage": frozenset({"peekonly", "numOfMessages"}),
    "DeleteMessage": frozenset({"ReceiptHandle"}),
    "ChangeMessageVisibility": frozenset({"ReceiptHandle", "VisibilityTimeout"}),
    "SetQueueAttributes": frozenset({"metaoverride"}),
    "SetTopicAttributes": frozenset({"metaoverride"}),
    "SetSubscriptionAttributes": frozenset({"metaoverride"}),
    "GetAccountAttributes": frozenset({"accountmeta"}),
    "SetAccountAttributes": frozenset({"accountmeta"}),
}


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; `code` is the vendor's error code, empty for a success."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    code: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose operation is known."""

    operation: str
    request: Request
    #: the name of the queue or topic; empty where the operation has none
    name: str
    subscription: str
    query: Mapping[str, str]
    #: kind -> the fault that strikes now
    strike: Callable[[str], Fault | None]
    #: whether the caller is still connected
    there: Callable[[], bool]

    def check_query(self) -> None:
        """Refuse a parameter that the operation doesn't have; case counts (aliyun/openapi-sdk-php issue 79).

        Raises:
            MnsError: InvalidQueryString.
        """
        strange = set(self.query) - PARAMETERS.get(self.operation, frozenset())
        if strange:
            known = ", ".join(sorted(PARAMETERS.get(self.operation, ()))) or "none"
            raise MnsError("InvalidQueryString", f"{self.operation} has no parameter {min(strange)!r}; it has {known}.")


def query_of(text: str) -> dict[str, str]:
    """Read a query; the SDK leaves `=` and `+` of a receipt handle as they are, so they mean themselves."""
    if not text:
        return {}
    pairs = (part.partition("=") for part in text.split("&") if part)
    return {unquote(name): unquote(value) for name, _, value in pairs}


def route(request: Request, path: str, query: Mapping[str, str]) -> tuple[str, str, str]:
    """Return the operation, the name of its queue or topic, and the name of its subscription.

    Raises:
        MnsError: InvalidRequestURL, there is no such operation.
    """
    parts = [unquote(part) for part in path.split("/")[1:]] or [""]
    name = parts[1] if len(parts) > 1 and parts[0] != "commonbuy" else ""
    subscription = parts[3] if len(parts) == 4 else ""
    operation = _of_topics(request.method, parts, query) if parts[0] == "topics" else _of_queues(request, parts, query)
    if not operation:
        raise MnsError("InvalidRequestURL", f"There is no operation {request.method} {path[:200]}.")
    return operation, name, subscription


def _of_queues(request: Request, parts: Sequence[str], query: Mapping[str, str]) -> str:
    match parts:
        case ["queues", _, "messages"]:
            return _of_messages(request, query)
        case ["queues", _]:
            return _of_meta(request.method, query, _QUEUE, "CreateQueue", "SetQueueAttributes")
        case ["queues"]:
            return "ListQueue" if request.method == "GET" else ""
        case ["commonbuy", "openservice"]:
            return "OpenService"
        case [""]:
            return {"GET": "GetAccountAttributes", "PUT": "SetAccountAttributes"}.get(request.method, "")
    return ""


def _of_topics(method: str, parts: Sequence[str], query: Mapping[str, str]) -> str:
    match parts[1:]:
        case [_, "messages"]:
            return "PublishMessage" if method == "POST" else ""
        case [_, "subscriptions", _]:
            return _of_meta(method, query, _SUBSCRIPTION, "Subscribe", "SetSubscriptionAttributes")
        case [_, "subscriptions"]:
            return "ListSubscriptionByTopic" if method == "GET" else ""
        case [_]:
            return _of_meta(method, query, _TOPIC, "CreateTopic", "SetTopicAttributes")
        case []:
            return "ListTopic" if method == "GET" else ""
    return ""


def _of_messages(request: Request, query: Mapping[str, str]) -> str:
    if request.method == "GET":
        verb = "PeekMessage" if query.get("peekonly") == "true" else "ReceiveMessage"
        return f"Batch{verb}" if "numOfMessages" in query else verb
    if request.method == "POST":
        # The beginning tells; the body is read properly once the signature has been checked.
        return "BatchSendMessage" if b"<Messages" in request.body[:400] else "SendMessage"
    if request.method == "DELETE":
        return "BatchDeleteMessage" if not query and request.body else "DeleteMessage"
    return "ChangeMessageVisibility" if request.method == "PUT" else ""


def _of_meta(method: str, query: Mapping[str, str], others: Mapping[str, str], create: str, change: str) -> str:
    if method == "PUT":
        return change if query.get("metaoverride") == "true" else create
    return others.get(method, "")
