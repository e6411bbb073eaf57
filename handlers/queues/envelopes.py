"""What AWS wrapped around a callback on its way into a queue, and what the vendor sent inside of it.

Known are SNS's notification, and the event of an API Gateway or a function URL, in its versions 1.0 and 2.0. What is
no such envelope, or a damaged one, is taken as the callback itself.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping

#: envelopes within each other that are opened: SNS around a gateway's event
_MOST = 2


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What the vendor sent."""

    body: bytes = field(repr=False)
    #: names in lower case
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str | None = field(default=None, repr=False)
    target: str | None = field(default=None, repr=False)


def opened(body: bytes, headers: Mapping[str, str]) -> Contents:
    """Take envelopes off the body of a message; `headers` are what its attributes say, and an envelope adds to them."""
    found = Contents(body=body, headers=dict(headers), token=headers.get("token"))
    for _ in range(_MOST):
        inner = _inner(found)
        if inner is None:
            break
        found = inner
    return replace(found, headers={name: value for name, value in found.headers.items() if name != "token"})


def _inner(outer: Contents) -> Contents | None:
    try:
        told = json.loads(outer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    try:
        if told.get("Type") == "Notification" and isinstance(told.get("Message"), str):
            return _notification(told, outer)
        if "body" in told and ("httpMethod" in told or _is_second_version(told)):
            return _event(told, outer)
    except (ValueError, AttributeError, TypeError):  # an envelope only by its looks
        return None
    return None


def _notification(told: Mapping[str, Any], outer: Contents) -> Contents:
    """Open what SNS sends to a queue (without raw delivery)."""
    attributes = told.get("MessageAttributes") or {}
    headers = {
        name.lower(): one["Value"]
        for name, one in attributes.items()
        if isinstance(one, dict) and isinstance(one.get("Value"), str)
    }
    return _within(outer, told["Message"].encode(), headers, token=headers.get("token"))


def _is_second_version(told: Mapping[str, Any]) -> bool:
    return str(told.get("version")) == "2.0" and isinstance(told.get("requestContext"), dict)


def _event(told: Mapping[str, Any], outer: Contents) -> Contents:
    """Open a gateway's event; its body is base64 where the event says so."""
    body = (told["body"] or "").encode("utf-8", "surrogatepass")
    if told.get("isBase64Encoded") in (True, "true"):
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error as exc:
            raise ValueError("the body is no base64") from exc
    headers = {name.lower(): str(value) for name, value in _map(told, "headers", "multiValueHeaders").items()}
    query, target = told.get("rawQueryString"), None
    if isinstance(query, str):
        target = f"{told.get('rawPath') or '/'}{'?' if query else ''}{query}"
    return _within(outer, body, headers, token=_token(told), target=target)


def _token(told: Mapping[str, Any]) -> str | None:
    query = told.get("rawQueryString")
    if isinstance(query, str):
        return next(iter(parse_qs(query).get("token", [])), None)
    named = _map(told, "queryStringParameters", "multiValueQueryStringParameters").get("token")
    return named if isinstance(named, str) else None


def _map(told: Mapping[str, Any], name: str, multi: str) -> Mapping[str, Any]:
    """Return what an event says under one name; the last of each value where only the lists of all were passed on."""
    found: Mapping[str, Any] = told.get(name) or {}
    if found:
        return found
    return {key: values[-1] for key, values in (told.get(multi) or {}).items() if isinstance(values, list) and values}


def _within(
    outer: Contents, body: bytes, headers: Mapping[str, str], *, token: str | None, target: str | None = None
) -> Contents:
    return Contents(
        body=body,
        headers={**outer.headers, **headers},
        token=token or outer.token,
        target=target or outer.target,
    )
