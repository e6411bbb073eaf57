"""Checks a step's parameters against the operation's model: at load what is constant, for a change all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from handlers.events import TaskKey
from handlers.operation import find_problems
from handlers.rules.model import derived_name, sequence_name, unique_name
from handlers.rules.nodes import Mapping, Node, Sequence
from handlers.rules.templates import Filled, has_expression
from handlers.settings.values import listed, meant, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping as Map
    from collections.abc import Sequence as Several

    from handlers.rules.model import OperationLike
    from handlers.rules.problems import Findings
    from handlers.rules.templates import Template

#: what an expression's kind is in a JSON Schema; a kind that is not here may be anything
_JSON_TYPES: Final = {
    "boolean": {"boolean"},
    "integer": {"integer", "number"},
    "number": {"number"},
    "text": {"string"},
    "time": {"string"},
    "bytes": {"string"},
    "duration": {"integer", "number"},
    "list": {"array"},
    "map": {"object"},
    "event": {"object"},
    "task": {"object"},
    "recording": {"object"},
    "segment": {"object"},
}
_SAMPLE_TASK: Final = {"vendor": "vendor", "app_id": "app", "room_id": "room", "task_id": "task"}
_SAMPLE_BUSINESS: Final = "business"
#: stands for a value that only a change will tell
_LATER: Final = "later"


def own_names(operation: OperationLike) -> frozenset[str]:
    """Name the parameters that a call has of its event unless they are given."""
    return frozenset(_own_sample(operation))


def parameter_names(operation: OperationLike, *, also_unsent: bool = False) -> tuple[str, ...]:
    """Name the parameters as the API and the rules do; those that are taken and not sent only where asked for."""
    fields = operation.parameters.model_fields
    return tuple(known.alias or name for name, known in fields.items() if also_unsent or not known.exclude)


def check_parameters(node: Mapping, template: Map[str, Template], operation: OperationLike, findings: Findings) -> None:
    """Note what can be seen to be wrong without a change."""
    known, taken = parameter_names(operation), parameter_names(operation, also_unsent=True)
    for key in (key for key, _ in node.items if key.text not in taken):
        findings.error(
            key.place, f"unknown parameter {quoted(key.text)}{meant(key.text, known)}; known: {listed(known)}"
        )
    for key in (key for key, _ in node.items if key.text in taken and key.text not in known):
        findings.warn(key.place, f"{key.text} is no parameter of this call: it is not sent")
    _check_kinds(node, template, operation, findings)
    _check_unique(node, template, operation, findings)
    _check_sequence(node, operation, findings)
    _check_values(node, {name: one for name, one in template.items() if name in taken}, operation, findings)


def _own_sample(operation: OperationLike) -> Map[str, str]:
    task = TaskKey(type=operation.task_type or "record", **_SAMPLE_TASK)  # type: ignore[arg-type] # a task's type
    return operation.own(task, _SAMPLE_BUSINESS)


def _check_values(node: Mapping, template: Map[str, Template], operation: OperationLike, findings: Findings) -> None:
    own: dict[str, Any] = {name: value for name, value in _own_sample(operation).items() if name not in template}
    if (derived := derived_name(operation)) is not None and derived not in template:
        own[derived] = _LATER
    values = own | {name: with_later(one) for name, one in template.items()}
    is_constant = not any(has_expression(one) for one in template.values())
    for problem in find_problems(operation.parameters, values):
        at = _node_at(node, template, problem.place)
        is_own = problem.place[:1] and problem.place[0] in own
        if at is not None and not is_own and (problem.place or is_constant):
            findings.error(at.place, f"{problem.name if problem.place else 'the parameters:'} {problem.reason}")


def _check_unique(node: Mapping, template: Map[str, Template], operation: OperationLike, findings: Findings) -> None:
    """Note a constant that every task would get, though no two may have it."""
    name = unique_name(operation)
    value = node.get(name) if name is not None else None
    task_ids = [one for one, sample in _own_sample(operation).items() if sample == _SAMPLE_TASK["task_id"]]
    is_one_task = any(one in template and not has_expression(template[one]) for one in task_ids)
    if name is not None and value is not None and not has_expression(template[name]) and not is_one_task:
        what = f"{name} would be the same for every task, and tasks that share one overwrite each other's files"
        findings.error(value.place, f"{what}; build it from the task, as in ${{task.id}}")


def _check_sequence(node: Mapping, operation: OperationLike, findings: Findings) -> None:
    """Note a number that would be overwritten, whatever the rule says."""
    for key, _ in node.items:
        if key.text == sequence_name(operation):
            what = "is counted up by Reelhook with each attempt, whatever stands here"
            findings.error(key.place, f"{key.text} {what}; leave it out")


def with_later(template: Template) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value as far as it is known without a change: a text stands where there is an expression."""
    if isinstance(template, Filled):
        return _LATER
    if isinstance(template, list):
        return [with_later(one) for one in template]
    if isinstance(template, dict):
        return {name: with_later(one) for name, one in template.items()}
    return template


def _node_at(node: Node, template: Any, path: Several[int | str]) -> Node | None:  # noqa: ANN401 - a part of a template
    """Return the node that an error speaks of; None where it depends on the change."""
    for step in path:
        inner, below = _below(node, template, step)
        if inner is None:
            break
        node, template = inner, below
    else:
        return None if path and has_expression(template) and isinstance(template, Filled) else node
    return None if has_expression(template) and not isinstance(node, Mapping) else node


def _below(node: Node, template: Any, step: int | str) -> tuple[Node | None, Any]:  # noqa: ANN401 - as _node_at
    if isinstance(node, Mapping) and isinstance(template, dict):
        return node.get(str(step)), template.get(str(step))
    if isinstance(node, Sequence) and isinstance(template, list) and isinstance(step, int) and step < len(node.items):
        return node.items[step], template[step]
    return None, None


def _check_kinds(node: Mapping, template: Map[str, Template], operation: OperationLike, findings: Findings) -> None:
    schema = operation.parameters.model_json_schema(by_alias=True)
    _check_members(node, template, schema, schema, findings)


def _check_kind(node: Node, template: Template, part: Any, schema: Any, findings: Findings) -> None:  # noqa: ANN401 - parts of a JSON Schema
    wanted = _json_types(part, schema)
    if isinstance(template, Filled):
        if template.is_broken:
            return
        whole = template.whole
        came = _JSON_TYPES.get(whole.kind) if whole is not None else {"string"}
        if wanted and came is not None and not came & wanted:
            kind = whole.kind if whole is not None else "text"
            findings.error(node.place, f"the expression is {kind}; expected {' or '.join(sorted(wanted))}")
    elif isinstance(template, list) and isinstance(node, Sequence):
        inner = next((one["items"] for one in _each(part, schema) if "items" in one), None)
        for one, below in zip(node.items, template, strict=True):
            if isinstance(inner, dict):
                _check_kind(one, below, inner, schema, findings)
    elif isinstance(template, dict) and isinstance(node, Mapping):
        objects = [one for one in _each(part, schema) if "properties" in one or one.get("type") == "object"]
        if len(objects) == 1:
            _check_members(node, template, objects[0], schema, findings)


def _check_members(
    node: Mapping,
    template: Map[str, Template],
    whole: Any,  # noqa: ANN401 - a part of a JSON Schema: of an object
    schema: Any,  # noqa: ANN401 - as whole
    findings: Findings,
) -> None:
    for key, value in node.items:
        part = whole.get("properties", {}).get(key.text, whole.get("additionalProperties"))
        if isinstance(part, dict) and key.text in template:
            _check_kind(value, template[key.text], part, schema, findings)


def _each(part: Any, schema: Any) -> Several[Any]:  # noqa: ANN401 - as _check_kind
    """Return what a part of a schema allows, one by one: `StreamList: [...]` may be null as well."""
    part = _resolved(part, schema)
    return [_resolved(one, schema) for one in part.get("anyOf", part.get("oneOf", (part,)))]


def _resolved(part: Any, schema: Any) -> Any:  # noqa: ANN401 - as _check_kind
    reference = part.get("$ref", "")
    return schema.get("$defs", {}).get(reference.rsplit("/", 1)[-1], {}) if reference else part


def _json_types(part: Any, schema: Any) -> set[str]:  # noqa: ANN401 - as _check_kind
    """Return the types that a schema allows; none: it does not say."""
    part = _resolved(part, schema)
    if "type" in part:
        return {part["type"]} if isinstance(part["type"], str) else set(part["type"])
    if "enum" in part or "const" in part:
        return _types_of(part.get("enum", [part.get("const")]))
    inner = [_json_types(one, schema) for one in part.get("anyOf", part.get("oneOf", ()))]
    return set().union(*inner) if inner and all(inner) else set()


def _types_of(values: Any) -> set[str]:  # noqa: ANN401 - as _check_kind
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return {names.get(type(one), "object") for one in values}
