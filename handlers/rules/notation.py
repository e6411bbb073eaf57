"""How one value of a rule is written: read from its node, or noted with what was expected instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from handlers.rules.nodes import Mapping, Node, Scalar, Sequence
from handlers.settings.values import listed, meant, quoted, read_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from handlers.rules.problems import Findings

Value = TypeVar("Value")

_LIMIT: Final = re.compile(r"([0-9]{1,9})/((?:[0-9]{1,9})?(?:ms|s|m|h|d))")
_LARGEST: Final = 1_000_000


def shown(node: Node) -> str:
    """Return a few words for what stands there."""
    if isinstance(node, Scalar):
        return "nothing" if node.value is None and not node.style else quoted(node.text)
    return "a list" if isinstance(node, Sequence) else "a map"


def members(
    node: Node, known: Collection[str], findings: Findings, *, what: str, required: Collection[str] = ()
) -> dict[str, Node]:
    """Read a map with these names; note unknown and missing ones."""
    if not isinstance(node, Mapping):
        findings.error(node.place, f"{what} is {shown(node)}; expected a map with some of {listed(known)}")
        return {}
    told = {}
    for key, value in node.items:
        if key.text in known:
            told[key.text] = value
        else:
            findings.error(key.place, f"unknown key {quoted(key.text)}{meant(key.text, known)}; known: {listed(known)}")
    for name in required:
        if name not in told:
            findings.error(node.place, f"{what} has no {name}; expected one")
    return told


def items(node: Node, findings: Findings, *, what: str) -> tuple[Node, ...]:
    """Read a list."""
    if isinstance(node, Sequence):
        return node.items
    findings.error(node.place, f"{what} is {shown(node)}; expected a list, each line beginning with `- `")
    return ()


def one_or_more(node: Node) -> tuple[Node, ...]:
    """Read a list, or what stands alone as a list of one."""
    return node.items if isinstance(node, Sequence) else (node,)


def text(node: Node, findings: Findings, *, what: str) -> str | None:
    """Read text that is not empty."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value.strip():
        return node.value
    hint = "; put it in quotes" if isinstance(node, Scalar) and node.value is not None and node.text.strip() else ""
    findings.error(node.place, f"{what} is {shown(node)}; expected text{hint}")
    return None


def boolean(node: Node, findings: Findings, *, what: str) -> bool | None:
    """Read true or false."""
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    findings.error(node.place, f"{what} is {shown(node)}; expected true or false")
    return None


def whole(node: Node, findings: Findings, *, what: str, most: int = _LARGEST) -> int | None:
    """Read a whole number from 1 to a million, or to another limit."""
    if isinstance(node, Scalar) and type(node.value) is int and 0 < node.value <= most:
        return node.value
    findings.error(node.place, f"{what} is {shown(node)}; expected a whole number from 1 to {most}")
    return None


def choice(node: Node, choices: Collection[Value], findings: Findings, *, what: str) -> Value | None:
    """Read one of the words."""
    if isinstance(node, Scalar) and node.value in choices:
        return next(one for one in choices if one == node.value)
    words = [str(one) for one in choices]
    close = meant(node.text, words) if isinstance(node, Scalar) else ""
    findings.error(node.place, f"{what} is {shown(node)}{close}; known: {listed(words)}")
    return None


def duration(node: Node, findings: Findings, *, what: str) -> int | None:
    """Read `500ms`, `15s`, `10m`, `6h` or `2d` as milliseconds."""
    return _read(node, read_duration, findings, what=what)


def limit(node: Node, findings: Findings, *, what: str) -> tuple[int, int] | None:
    """Read `20/1h` or `5/s` as a number and milliseconds."""
    return _read(node, _limit, findings, what=what)


def _limit(written: str) -> tuple[int, int]:
    match = _LIMIT.fullmatch(written.replace(" ", ""))
    if not match or not 0 < int(match[1]) <= _LARGEST:
        raise ValueError(f"{quoted(written)} is no limit; expected calls per span of time, such as 20/1h or 5/s")
    return int(match[1]), read_duration(match[2] if match[2][0].isdigit() else f"1{match[2]}")


def _read(node: Node, read: Callable[[str], Value], findings: Findings, *, what: str) -> Value | None:
    if not isinstance(node, Scalar):
        findings.error(node.place, f"{what} is {shown(node)}; expected text such as 10m")
        return None
    try:
        return read(node.text)
    except ValueError as exc:
        findings.error(node.place, f"{what}: {exc}")
        return None
