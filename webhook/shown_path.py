"""How much of a request's path may be shown: a secret that was pasted wrongly stands there, not in the query."""

from __future__ import annotations

import re

#: what begins a query, or would have, had it not been percent-encoded or mistyped
_QUERY = re.compile(r"[?&;=]|%3[FfDd]|%26|%3[Bb]")

#: what stands behind the account in a callback's path and does not look like a door: a token that lost its "?token="
_NO_DOOR = re.compile(r"(?<=/)callbacks/[^/]*/[^/]*/(?![a-z-]{0,16}/?\Z)")


def shown_path(path: str) -> str:
    """Return the path up to what may be a secret; `…` stands for the rest.

    >>> shown_path("/callbacks/vendor/lessons%3Ftoken=secret")
    '/callbacks/vendor/lessons…'
    >>> shown_path("/callbacks/vendor/lessons/0a1b2c3d")
    '/callbacks/vendor/lessons/…'
    """
    if found := _NO_DOOR.search(path):
        path = f"{path[: found.end()]}…"
    found = _QUERY.search(path)
    return path if found is None else f"{path[: found.start()]}…"
