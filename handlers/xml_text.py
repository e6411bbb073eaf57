"""The escapes of XML, where no parser is at work: what it would refuse is to be read all the same."""

from __future__ import annotations

import re
import sys

_REFERENCE = re.compile(r"&(?:(?P<name>lt|gt|amp|quot|apos)|#(?P<decimal>[0-9]{1,7})|#x(?P<hex>[0-9A-Fa-f]{1,6}));")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


def escaped(text: str) -> str:
    """Return the text as it may stand in an element."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def unescaped(text: str) -> str:
    """Undo the escapes, each once; what is none, or refers to a character that there is not, stays as it is."""
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(found: re.Match[str]) -> str:
    if found["name"]:
        return _NAMED[found["name"]]
    code = int(found["decimal"]) if found["decimal"] else int(found["hex"], 16)
    return chr(code) if code <= sys.maxunicode else found[0]
