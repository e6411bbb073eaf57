"""Finds where in the file a character of a value stands, although YAML folded, quoted or indented it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handlers.rules.nodes import Scalar


def aligned(scalar: Scalar, offset: int) -> int:
    """Return where in the file the value's character at `offset` stands, walking both side by side."""
    source = scalar.source.text
    at = scalar.begin + (1 if scalar.style in {'"', "'"} else 0)
    if scalar.style in {"|", ">"}:
        at = source.find("\n", at, scalar.end) + 1 or at
    for character in scalar.text[:offset]:
        at = _found(source, character, at, scalar) + 1
    return min(_found(source, scalar.text[offset : offset + 1], at, scalar), max(scalar.end - 1, scalar.begin))


def _found(source: str, character: str, at: int, scalar: Scalar) -> int:
    """Return where the character stands, from `at` on; where it was folded or escaped, the place of that."""
    if at >= scalar.end or not character:
        return at
    if scalar.style == '"' and source[at] == "\\":
        return at + 1
    if character.isspace():
        return _last_blank(source, at, scalar.end) if scalar.style not in {"|", '"'} and source[at] == "\n" else at
    found = source.find(character, at, scalar.end)
    return found if found >= 0 else at


def _last_blank(source: str, at: int, end: int) -> int:
    while at + 1 < end and source[at + 1].isspace():
        at += 1
    return at
