"""Where texts and comments stand within an expression, so that what is looked for is not found in them."""

from __future__ import annotations

import re
from typing import Final

#: a text of CEL, with its quotes
TEXT: Final = re.compile(
    r"""[rR]?\"{3}[\s\S]*?\"{3}|[rR]?'{3}[\s\S]*?'{3}|[rR]"[^"\n]*"|[rR]'[^'\n]*'|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
)
_SKIPPED: Final = re.compile(rf"{TEXT.pattern}|//[^\n]*")


def blanked(expression: str) -> str:
    """Return the expression, as long as it was, with `_` for every character of its texts and comments."""
    return _SKIPPED.sub(lambda found: "_" * len(found[0]), expression)
