"""What of a vendor's callback is not as documented, noted while it is read: the names of fields, and never a value.

Reading tells it to whoever asked in this thread, and to nobody otherwise: what a delivery means does not depend on it.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: unknown: a field that no page of the vendor has. wrong: a documented one whose value can't be used, and is left out
What = Literal["unknown", "wrong"]

#: what is noted of one delivery at most
MOST = 16
#: what stands for a name that is none, such as somebody's id used as one
NO_NAME = "..."

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_noted: ContextVar[set[tuple[What, str]] | None] = ContextVar("noted", default=None)


@contextmanager
def noting() -> Iterator[set[tuple[What, str]]]:
    """Return what is noted of all that is read within, at most MOST of them."""
    found: set[tuple[What, str]] = set()
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def is_asked() -> bool:
    """Tell whether anybody asked."""
    return _noted.get() is not None


def note(what: What, names: Iterable[str]) -> None:
    """Note fields by the vendor's names of them."""
    found = _noted.get()
    if found is None:
        return
    for name in names:
        if len(found) >= MOST:
            return
        found.add((what, name if _NAME.fullmatch(name) else NO_NAME))
