"""Says how to write what YAML reads otherwise than its writer meant: tags, quotes, braces, colons, comments."""

from __future__ import annotations

import re
from typing import Final

#: how a condition or value of any characters is written
_BLOCK: Final = "write it in the lines below `>-`"
_KEY: Final = re.compile(r"^\s*(?:-\s+)*(?P<key>[\w.]+):\s+(?P<value>.*)$")
_WIDE: Final = re.compile(r"^\s*(?:-\s+)*[\w.-]+\uff1a")
_STARTS: Final = {
    '"': "a value that begins with a quote ends with the next one",
    "'": "a value that begins with a quote ends with the next one",
    "[": "a value that begins with [ is a list, and ends with its ]",
    "{": "a value that begins with { is a map, and ends with its }",
    "@": "a value can't begin with @",
    "`": "a value can't begin with `",
    "%": "a value can't begin with %",
    "&": "a value that begins with & is an anchor",
    "*": "a value that begins with * is an alias",
    "|": "a value that begins with | stands in the lines below",
    ">": "a value that begins with > stands in the lines below",
    "?": "a value can't begin with `? `",
}


def explain(text: str, index: int, said: str) -> str:
    """Say what is wrong at a place where YAML can't be read on, and how to write it; `said` is the library's word."""
    line, column = _line(text, index)
    before = line[:column]
    if (number := _wide_colon(text, index)) is not None:
        return wide_colon(f"line {number}")
    if re.search(r"\$$", before) and line[column : column + 1] == "{":
        return 'inside { } a ${...} ends the value: put it in quotes, as in {to: "${task.id}"}'
    if before[:1] == "\t" or line[column : column + 1] == "\t":
        return "a tab can't indent; use blanks"
    return _of_value(_value(line)) or _of_line(line, column, said)


def wide_colon(where: str) -> str:
    """Say how a name is written whose colon is that of another script."""
    return f"the colon of {where} has the full width, and ends no name: write `: `"


def _wide_colon(text: str, index: int) -> int | None:
    """Return the number of the line with a name that such a colon follows, if it is this one or the one before."""
    lines = text[:index].split("\n")
    lines[-1] = _line(text, index)[0]
    told = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    return next((number for number, line in told[-2:] if _WIDE.match(line)), None)


def _of_value(value: str) -> str:
    if value[:1] in _STARTS and not value.startswith("${"):
        return f"{_STARTS[value[0]]}: {_BLOCK}, or all of it in other quotes"
    return ""


def _of_line(line: str, column: int, said: str) -> str:
    if "mapping values are not allowed" in said or "mapping keys are not allowed" in said:
        if (match := _KEY.match(line)) and match.end("key") >= column:
            return "this line is indented otherwise than those around it, or the name before it lacks its `:`"
        return f'": " makes a name of what stands before it: {_BLOCK}, or put it in quotes ("a ? b : c", too)'
    if "end of stream" in said:
        return "a quote or bracket that was opened before is never closed"
    return f"this is no YAML: {said}; check quotes, brackets and how far the lines are indented"


def in_braces(text: str, index: int) -> str:
    """Say how a `${...}` is written where it became a map as its own name; nothing where it is none."""
    return ': put "${...}" in quotes inside { }' if text[index - 1 : index] == "$" else ""


def tag(text: str, index: int, name: str) -> str:
    """Say how a value is written that begins with !, which YAML takes for a tag."""
    line, _ = _line(text, index)
    value = _value(line)
    shown = name if not name.startswith("tag:yaml.org,2002:") else f"!!{name.rsplit(':', 1)[1]}"
    if value.startswith("!") and not value.startswith("!!"):
        return f"a value that begins with ! is a tag to YAML: {_BLOCK}, or put it in quotes, as in '{value.strip()}'"
    return f"{shown[:40]} is a tag, and tags are not used here: leave it out, and quote what shall be text"


def comment() -> str:
    """Say what a blank and # do to a value."""
    return f"; ` #` begins a comment, so that the value ends before it: {_BLOCK}, or put it in quotes"


def _line(text: str, index: int) -> tuple[str, int]:
    """Return the line of a place, and which character of it."""
    begin = text.rfind("\n", 0, index) + 1
    end = text.find("\n", index)
    return text[begin : end if end >= 0 else len(text)], index - begin


def _value(line: str) -> str:
    match = _KEY.match(line)
    return match["value"] if match else ""
