"""How a request is shown before it is sent, or after: whole, but for what is secret in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.operation.parameters import complete

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from handlers.operation.call import Operation, Request
    from handlers.settings import Account

_HIDDEN = "(hidden)"


def dry_run(operation: Operation, parameters: Mapping[str, Any], account: Account, *, at: int, nonce: str) -> str:
    """Return the signed request as text, with its secrets hidden; nothing is sent.

    `at` is in milliseconds UTC. Raises WrongRequest and SettingsError as the operation's request does.
    """
    return show(operation.request(complete(operation.parameters, parameters), account, at, nonce))


def show(request: Request) -> str:
    """Return a request as text: its first line, its headers, its body, with what is secret hidden."""
    url = request.url if request.shown_url is None else request.shown_url
    lines = [f"{request.method} {url}", *(f"{name}: {text}" for name, text in shown_headers(request).items())]
    body = (request.body if request.shown_body is None else request.shown_body).decode(errors="replace")
    return "\n".join([*lines, "", body] if body else lines)


def shown_headers(request: Request) -> dict[str, str]:
    """Return the headers as they may be shown and kept: of a hidden one only its scheme, where it has one."""
    hidden = {name.lower() for name in request.hidden}
    return {name: _veiled(text) if name.lower() in hidden else text for name, text in request.headers.items()}


def _veiled(text: str) -> str:
    scheme, blank, _ = text.partition(" ")
    return f"{scheme} {_HIDDEN}" if blank else _HIDDEN
