"""Reads values with `${...}` in them, and fills them in for a change: alone it keeps its type, within text it is text.

`$${` stands for a `${` that is meant as it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from handlers.rules import constants, pitfalls
from handlers.rules.expressions import Expression, NotAnExpression
from handlers.rules.literals import TEXT
from handlers.rules.nodes import Mapping, Node, Scalar, Sequence
from handlers.rules.problems import NoValue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.rules.expressions import Scope
    from handlers.rules.faults import Fault
    from handlers.rules.problems import Findings

#: of one file; each takes a few milliseconds to check
MOST_EXPRESSIONS: Final = 5000
#: what can't stand within text
_NO_TEXT: Final = {"list", "map", "event", "task", "recording", "segment"}


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of a text: as it stands, or an expression and where it begins."""

    text: str
    begin: int = 0
    is_expression: bool = False


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A text with expressions in it, checked for one change."""

    parts: tuple[str | Expression, ...]

    @property
    def is_broken(self) -> bool:
        """What stands there is wrong, so that nothing is known of its value."""
        return not self.parts

    @property
    def whole(self) -> Expression | None:
        """The expression, where there is nothing beside it."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], Expression) else None

    def evaluate(self, scope: Scope) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value for a change; raise NoValue, saying why there is none."""
        if self.whole is not None:
            return _told(self.whole, scope)
        return "".join(part if isinstance(part, str) else _text(part, scope) for part in self.parts)


#: a value of a rule: what stands there, with lists and maps around it
Template = Filled | str | int | float | bool | None | list[Any] | dict[str, Any]


def _told(expression: Expression, scope: Scope) -> Any:  # noqa: ANN401 - as evaluate
    try:
        return expression.evaluate(scope)
    except NoValue as exc:
        raise NoValue(f"${{{expression.text}}}: {exc}") from exc


def _text(expression: Expression, scope: Scope) -> str:
    value = _told(expression, scope)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    came = "null" if value is None else "a list or map"
    raise NoValue(f"${{{expression.text}}} within text is {came}; expected text, a number or a time")


def evaluate(template: Template, scope: Scope) -> Any:  # noqa: ANN401 - any JSON value
    """Return the template's value for a change; raise NoValue, saying why there is none."""
    if isinstance(template, Filled):
        return template.evaluate(scope)
    if isinstance(template, list):
        return [evaluate(one, scope) for one in template]
    if isinstance(template, dict):
        return {name: evaluate(one, scope) for name, one in template.items()}
    return template


def has_expression(template: Template) -> bool:
    """Tell whether any of it depends on the change."""
    if isinstance(template, list):
        return any(has_expression(one) for one in template)
    if isinstance(template, dict):
        return any(has_expression(one) for one in template.values())
    return isinstance(template, Filled)


def holds_expression(node: Node) -> bool:
    """Tell whether a `${` stands anywhere in it."""
    if isinstance(node, Scalar):
        return "${" in node.text
    inner = node.items if isinstance(node, Sequence) else [one for _, one in node.items]
    return any(holds_expression(one) for one in inner)


def read_template(node: Node, change: str, findings: Findings) -> Template:
    """Read a value for one change; note every problem, and leave a broken one in its place."""
    if isinstance(node, Sequence):
        return [read_template(one, change, findings) for one in node.items]
    if isinstance(node, Mapping):
        return read_parameters(node, change, findings)
    if not isinstance(node.value, str) or "${" not in node.value:
        return node.value
    try:
        parts = tuple(_parts(node.value))
    except ValueError as exc:
        hint = pitfalls.comment() if node.is_cut else ""
        findings.error(node.place, f"{exc}{hint}")
        return Filled(parts=())
    if not any(part.is_expression for part in parts):
        return "".join(part.text for part in parts)
    return _filled(node, parts, change, findings)


def read_parameters(node: Mapping, change: str, findings: Findings) -> dict[str, Template]:
    """Read the parameters of a step for one change; note every problem."""
    for key, _ in node.items:
        if re.search(r"(?<!\$)\$\{", key.text):
            findings.error(key.place, "a name can't hold ${...}: it would be sent as it stands; expressions are values")
    return {key.text: read_template(one, change, findings) for key, one in node.items}


def _filled(node: Scalar, parts: tuple[Part, ...], change: str, findings: Findings) -> Filled:
    read: list[str | Expression | None] = []
    for part in parts:
        read.append(check(node, part, change, findings) if part.is_expression else part.text)
        last = read[-1]
        if len(parts) > 1 and isinstance(last, Expression) and last.kind in _NO_TEXT:
            place = node.place_of(part.begin)
            findings.error(place, f"a {last.kind} can't stand within text; leave ${{...}} alone, or name a field of it")
    known = tuple(part for part in read if part is not None)
    return Filled(parts=known if len(known) == len(read) else ())


def check(node: Scalar, part: Part, change: str, findings: Findings) -> Expression | None:
    """Check an expression that stands in a scalar for one change; note every problem at its place in the file."""
    findings.expressions += 1
    if findings.expressions > MOST_EXPRESSIONS:
        what = f"the file comes to more than {MOST_EXPRESSIONS} expressions, each counted for every change of its rule"
        if findings.expressions == MOST_EXPRESSIONS + 1:
            findings.error(node.place, what)
        return None
    try:
        expression = Expression(part.text, change)
    except NotAnExpression as exc:
        for fault in exc.faults:
            offset = _offset(part.text, fault)
            place = node.place if offset is None else node.place_of(part.begin + offset)
            hint = pitfalls.comment() if node.is_cut and fault.text.startswith("Syntax error") else ""
            findings.error(place, f"{fault.text}{hint}")
        return None
    for offset, text, level in constants.seen_through(expression, findings.words):
        note = findings.error if level == "error" else findings.warn
        note(node.place_of(part.begin + offset), text)
    return None if expression.kind == "optional" else expression


def _offset(text: str, fault: Fault) -> int | None:
    """Return which character of the expression the fault points at."""
    if fault.line is None or fault.column is None:
        return None
    lines = text.split("\n")[: fault.line - 1]
    return sum(len(line) + 1 for line in lines) + fault.column - 1


def _parts(text: str) -> Iterator[Part]:
    """Take a text apart; raise ValueError where a `${` is never closed."""
    at = 0
    plain = ""
    while (begin := text.find("${", at)) >= 0:
        if text[begin - 1 : begin] == "$" and begin > at:
            plain += text[at : begin - 1] + "${"
            at = begin + 2
            continue
        plain += text[at:begin]
        if plain:
            yield Part(text=plain)
        end = _closing(text, begin + 2)
        yield Part(text=text[begin + 2 : end], begin=begin + 2, is_expression=True)
        plain, at = "", end + 1
    plain += text[at:]
    if plain:
        yield Part(text=plain)


def _closing(text: str, at: int) -> int:
    """Return where the brace stands that ends the expression; those in its texts and maps don't count."""
    depth = 0
    while at < len(text):
        if match := TEXT.match(text, at):
            at = match.end()
            continue
        if text[at] == "}" and depth == 0:
            return at
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    raise ValueError("${ is never closed by a }; where it is meant as it stands, write $${")
