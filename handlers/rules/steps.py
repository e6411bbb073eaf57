"""Reads a step of a rule, an operation with its parameters, and says what is known to be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers.operation import caveats_of
from handlers.rules import notation
from handlers.rules.nodes import Mapping, Node, Place, Scalar
from handlers.rules.parameters import check_parameters, own_names, with_later
from handlers.settings.values import listed, meant, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping as Map

    from handlers.rules.model import Known, OperationLike
    from handlers.rules.problems import Findings
    from handlers.rules.templates import Template

#: the parameter that names a destination
TO = "to"


@dataclass(frozen=True, kw_only=True)
class Step:
    """An operation and its parameters, as they stand in the file."""

    operation: str
    place: Place
    #: its parameters, as they stand there
    node: Mapping


def read_step(node: Node, known: Known, findings: Findings) -> Step | None:
    """Read `operation: {parameters}`, or the operation alone where it needs none."""
    key, inner = _taken_apart(node)
    if key is None:
        what = f"a map of {len(node.items)}" if isinstance(node, Mapping) else notation.shown(node)
        hint = "; indent the parameters further than the operation" if isinstance(node, Mapping) and node.items else ""
        findings.error(node.place, f"a step is {what}; expected one operation with its parameters{hint}")
        return None
    if key.text not in known.operations:
        names = sorted(known.operations)
        close = f"{meant(key.text, names)}; known: {listed(names)}"
        findings.error(key.place, f"unknown operation {quoted(key.text)}{close}")
        return None
    empty = Mapping(items=(), begin=key.begin, source=key.source)
    if inner is None or isinstance(inner, Mapping) or (isinstance(inner, Scalar) and inner.value is None):
        return Step(operation=key.text, place=key.place, node=inner if isinstance(inner, Mapping) else empty)
    findings.error(inner.place, f"the parameters of {key.text} are {notation.shown(inner)}; expected a map")
    return None


def _taken_apart(node: Node) -> tuple[Scalar | None, Node | None]:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node, None
    return node.items[0] if isinstance(node, Mapping) and len(node.items) == 1 else (None, None)


def check_step(step: Step, change: str, template: Map[str, Template], known: Known, findings: Findings) -> None:
    """Note what is wrong with a step for a change, or may not be expected of it."""
    operation = known.operations[step.operation]
    check_parameters(step.node, template, operation, findings)
    _check_destination(step, template, known, findings)
    _check_task_type(step, change, operation, findings)
    for caveat in caveats_of(operation.warnings, {name: with_later(one) for name, one in template.items()}):
        findings.warn(step.place, f"{step.operation}: {caveat}")


def _check_destination(step: Step, template: Map[str, Template], known: Known, findings: Findings) -> None:
    to, told = template.get(TO), step.node.get(TO)
    if told is not None and isinstance(to, str) and (why := known.misfit(step.operation, to)) is not None:
        findings.error(told.place, why)


def _check_task_type(step: Step, change: str, operation: OperationLike, findings: Findings) -> None:
    wanted, came, own = operation.task_type, task_type_of(change), own_names(operation)
    is_named = any(key.text in own for key, _ in step.node.items)
    if wanted is not None and came is not None and own and came != wanted and not is_named:
        text = f"{step.operation} is for {wanted} tasks, and {change} tells of {came} tasks"
        findings.error(step.place, f"{text}; name the task in its parameters, or wait for another change")


def task_type_of(change: str) -> str | None:
    """Return the type of the tasks that a change tells of, where there is only one."""
    if change.startswith("push."):
        return "push"
    return "segment" if change == "segment.created" else None
