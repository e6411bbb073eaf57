"""How somebody writes the parameters of a call: `Name=value`, dotted where it lies deeper, or a JSON object."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from handlers.errors import WrongRequest
from handlers.operation import takes_text
from handlers.rules.nodes import Mapping as MapNode
from handlers.rules.nodes import Scalar, read_nodes
from handlers.rules.nodes import Sequence as ListNode
from handlers.rules.problems import Findings
from handlers.settings.values import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from handlers.operation import Parameters
    from handlers.rules.nodes import Node

_LONGEST_SHOWN: Final = 60
_NAME: Final = re.compile(r"[^.=\s]+(\.[^.=\s]+)*")
#: what begins like this is a list, an object or text in quotes, and has to be one; anything else is taken as it stands
_OPENINGS: Final = ("[", "{", '"', "'")


def read_object(text: str) -> dict[str, Any]:
    """Return a JSON object; raise WrongRequest for anything else."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:
        raise WrongRequest({"--json-parameters": f"is no JSON: {exc}; expected an object of parameters"}) from exc
    if not isinstance(value, dict):
        came = "a list" if isinstance(value, list) else json.dumps(value)[:60]
        raise WrongRequest({"--json-parameters": f"is {came}; expected an object of parameters"})
    return value


def read_parameters(
    written: Sequence[str], given: Mapping[str, Any], model: type[Parameters] | None = None
) -> dict[str, Any]:
    """Return what was given with what is written set in it; raise WrongRequest with every one that can't be read.

    A value is read as in rules.yaml, by the core rules of YAML 1.2, of which JSON is a part: 20 is a number, "20" text.
    Where the parameter can be nothing but text, by the call's `model`, what is typed is its text: 1001 needs no quotes.
    """
    parameters: dict[str, Any] = json.loads(json.dumps(given))
    wrong: dict[str, str] = {}
    seen: set[str] = set()
    for one in written:
        name, sign, text = one.partition("=")
        why = _unnamed(name, sign, seen)
        if why is None:
            seen.add(name)
            try:
                is_text = model is not None and takes_text(model, name.split("."))
                _put(parameters, name, _value(text, is_text=is_text))
            except ValueError as exc:
                why = str(exc)
        if why is not None:
            wrong[f"--set {one if len(one) <= _LONGEST_SHOWN else one[:_LONGEST_SHOWN] + '...'}"] = why
    if wrong:
        raise WrongRequest(wrong)
    return parameters


def _unnamed(name: str, sign: str, seen: Collection[str]) -> str | None:
    """Tell what is wrong with a parameter's name; None: nothing."""
    if not sign or not _NAME.fullmatch(name):
        return "expected Name=value, or Outer.Inner=value for what lies deeper"
    return f"{name} is given twice; expected one value" if name in seen else None


def _put(parameters: dict[str, Any], name: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    *outer, last = name.split(".")
    inside: Any = parameters
    for depth, step in enumerate(outer, start=1):
        inside = inside.setdefault(step, {})
        if not isinstance(inside, dict):
            what = f"{'.'.join(outer[:depth])} is no object"
            raise ValueError(f"{what}; expected it to be set as a whole, as JSON")  # noqa: TRY004 - the text is wrong, not a type of ours
    inside[last] = value


def _value(text: str, *, is_text: bool) -> Any:  # noqa: ANN401 - any JSON value
    text = text.strip()
    findings = Findings()
    if text.startswith(_OPENINGS):
        node = read_nodes(text, findings)
        if node is None or findings.errors:
            why = "".join(f"{one.text}; " for one in findings.errors[:1])
            raise ValueError(f"the value can't be read: {why}expected JSON, or text that ends with its quote")
        return _plain(node)
    # A shell's word is no line of a file: `a: b` and `room #7` are text, where rules.yaml would want quotes.
    match read_nodes(f"- {text}", findings):
        case ListNode(items=(Scalar(text=read, style="") as one,)) if read == text and not findings.errors:
            return text if is_text and one.value is not None else one.value
    return text


def _plain(node: Node) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(node, MapNode):
        return {key.text: _plain(inner) for key, inner in node.items}
    if isinstance(node, ListNode):
        return [_plain(inner) for inner in node.items]
    return node.value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{quoted(constant)} is no number of JSON")
