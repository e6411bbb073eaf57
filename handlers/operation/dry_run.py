"""How a request is shown before it is sent, or after: whole, but for what is secret in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from handlers.operation.parameters import complete

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from handlers.operation.call import Operation, Request
    from handlers.settings import Account

_HIDDEN = "(hidden)"
#: a signature of the V4 manner, in which nothing but its last part is secret
_SIGNED = re.compile(
    r"([A-Z0-9-]*HMAC-SHA256 (?:Credential|Access)=[^,\s]+, ?SignedHeaders=[^,\s]+, ?Signature=)[^,\s]+"
)


def dry_run(operation: Operation, parameters: Mapping[str, Any], account: Account, *, at: int, nonce: str) -> str:
    """Return the signed request as text, with its secrets hidden; nothing is sent.

    What it is signed with shows, but for the signature: the key's id, scope and headers tell why a vendor refuses it.
    `at` is in milliseconds UTC. Raises WrongRequest and SettingsError as the operation's request does.
    """
    request = operation.request(complete(operation.parameters, parameters), account, at, nonce)
    return show(request, names_key=True)


def show(request: Request, *, names_key: bool = False) -> str:
    """Return a request as text: its first line, its headers, its body, with what is secret hidden.

    With `names_key` only the signature itself is hidden of a signature of the V4 manner, and not the key's id.
    """
    url = request.url if request.shown_url is None else request.shown_url
    headers = shown_headers(request, names_key=names_key)
    lines = [f"{request.method} {url}", *(f"{name}: {text}" for name, text in headers.items())]
    body = (request.body if request.shown_body is None else request.shown_body).decode(errors="replace")
    return "\n".join([*lines, "", body] if body else lines)


def shown_headers(request: Request, *, names_key: bool = False) -> dict[str, str]:
    """Return the headers as they may be shown and kept: of a hidden one only its scheme, where it has one."""
    hidden = {name.lower() for name in request.hidden}
    return {
        name: _veiled(text, names_key=names_key) if name.lower() in hidden else text
        for name, text in request.headers.items()
    }


def _veiled(text: str, *, names_key: bool) -> str:
    if names_key and (signed := _SIGNED.fullmatch(text)):
        return f"{signed[1]}{_HIDDEN}"
    scheme, blank, _ = text.partition(" ")
    return f"{scheme} {_HIDDEN}" if blank else _HIDDEN
