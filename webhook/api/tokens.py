"""Who may ask: whoever sends one of the configured tokens as `Authorization: Bearer`."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from flask import request

from webhook.problems import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Response

    from handlers.secrets import Secret

_CHALLENGE = 'Bearer realm="reelhook"'


def guard(tokens: Sequence[Secret]) -> Callable[[], Response | None]:
    """Return what answers 401 before anything else is looked at, or lets the request pass."""

    def check() -> Response | None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        given = given.strip()
        if scheme.lower() != "bearer" or not given:
            return _refuse("the API needs a token; send Authorization: Bearer and one of REELHOOK_API_TOKENS", "")
        if not _is_known(given, tokens):
            return _refuse("the token is not one of REELHOOK_API_TOKENS", ', error="invalid_token"')
        return None

    return check


def _is_known(given: str, tokens: Sequence[Secret]) -> bool:
    """Compare with every token, so that the time tells nothing of which one is close."""
    raw = given.encode("utf-8", "surrogateescape")
    is_known = False
    for token in tokens:
        is_known |= hmac.compare_digest(raw, token.reveal().encode())
    return is_known


def _refuse(detail: str, error: str) -> Response:
    return problem(401, detail, headers={"WWW-Authenticate": _CHALLENGE + error})
