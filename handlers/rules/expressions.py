"""Everything of CEL: checks an expression for a change, and evaluates it. No other module knows the library.

https://github.com/google/cel-spec says what the language means. Its numbers are 64 bits wide, its loops are bounded
by a budget, and it reaches nothing outside of the change.
"""

from __future__ import annotations

import base64
import math
import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from cel_expr_python import cel  # type: ignore[import-untyped] # it ships no mark of being typed
from cel_expr_python.ext import (  # type: ignore[import-untyped] # as cel
    ext_bindings,
    ext_math,
    ext_optional,
    ext_strings,
)

from handlers.fields import to_milliseconds
from handlers.moments import to_text
from handlers.rules import messages
from handlers.rules.change import ACCOUNT, ACTION, FIELDS, NAMED, VIEWS, views_of
from handlers.rules.faults import Fault, failure, faults
from handlers.rules.problems import NoValue

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from handlers.rules.change import Change

#: characters of one expression
MOST_TEXT: Final = 20_000
#: a value may nest this deep
_DEEPEST: Final = 40
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**64 - 1

_KINDS: Final = {
    "BOOL": "boolean",
    "INT": "integer",
    "UINT": "integer",
    "DOUBLE": "number",
    "STRING": "text",
    "TIMESTAMP": "time",
    "DURATION": "duration",
    "BYTES": "bytes",
    "NULL": "null",
}
_TIMES: Final = "|".join(
    f"{view}\\s*\\.\\s*(?:{'|'.join(name for name, kind in fields.items() if kind == 'time')})"
    for view, fields in VIEWS.items()
)
#: what is skipped, and the times that stand alone
_TOKENS: Final = re.compile(
    r"""(?P<skipped>[rR]\"{3}[\s\S]*?\"{3}|[rR]'{3}[\s\S]*?'{3}|[rR]"[^"\n]*"|[rR]'[^'\n]*'"""
    r"""|\"{3}(?:\\[\s\S]|[^\\])*?\"{3}|'{3}(?:\\[\s\S]|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
    r"""|//[^\n]*|(?<![\w.])has\s*\(\s*[\w.\s]+\))"""
    rf"""|(?<![\w.])(?P<time>{_TIMES})(?!\w)|(?<![\w.])(?P<message>{messages.PACKAGE})\s*\."""
)
#: a view, and the field of it that is named; in texts and comments too, where it does no harm
_NAMED_FIELDS: Final = re.compile(rf"(?<![\w.])(?P<view>{'|'.join(VIEWS)})(?!\w)(?:\s*\.\s*(?P<field>\w+))?")


class NotAnExpression(ValueError):
    """The expression is wrong for this change; `faults` say how and where."""

    def __init__(self, wrong: tuple[Fault, ...]) -> None:
        self.faults = wrong
        super().__init__("; ".join(one.text for one in wrong))


class Scope:
    """What expressions see of one change, or of an action that a change asked for."""

    def __init__(
        self,
        change: Change,
        action: Mapping[str, Any] | None = None,
        *,
        named: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Take the change, and the action's row where one is meant; raise NoValue for what no expression can hold.

        Where it is known which fields of the views the expressions name, the others are left out: to put them in takes
        longer than most expressions.
        """
        self.change = change
        views = {view: change.view(view) for view in (views_of(change.name) if action is None else FIELDS)}
        if action is not None:
            views[ACTION] = action
        try:
            data: dict[str, Any] = {
                view: messages.message(view, values, None if named is None else named.get(view, ()))
                for view, values in views.items()
            }
            environment = _evaluator(change.name if action is None else ACTION)
            self.activation = environment.Activation(data | {ACCOUNT: change.account})
        except (TypeError, ValueError, OverflowError, AttributeError, RuntimeError) as exc:
            raise NoValue(f"the change holds a value that no expression can: {exc}") from exc


class Expression:
    """One expression, checked for changes of one name, or for actions; threads may share it."""

    def __init__(self, text: str, change: str) -> None:
        """Check the text for a change's name, or for `action`; raise NotAnExpression with every fault."""
        if len(text) > MOST_TEXT:
            raise NotAnExpression((Fault(text=f"it has {len(text)} characters; expected at most {MOST_TEXT}"),))
        if any(match["message"] for match in _TOKENS.finditer(text)):
            raise NotAnExpression((Fault(text="a view can't be made anew; write a map such as {'id': task.id}"),))
        self.text = text
        #: the fields of each view that it may look at
        self.named = _named(text)
        #: boolean, integer, number, text, time, duration, bytes, null, list, map, optional, a view's name, or
        #: any
        self.kind = _kind(_compiled(_checker(change), text, change).return_type())
        self._expression = _compiled(_evaluator(change), _with_null_times(text), change)

    def evaluate(self, scope: Scope) -> Any:  # noqa: ANN401 - a JSON value of any type
        """Return the value as JSON holds it: times RFC 3339, durations milliseconds. Raise NoValue, saying why."""
        try:
            value = self._expression.eval(scope.activation)
            plain = value.plain_value()
            if plain is True or plain is False:  # what a condition is: most evaluations end here
                return plain
            if value.type() == cel.Type.ERROR:
                raise NoValue(failure(str(plain)))
            return _json(plain, scope.change)
        except (RuntimeError, TypeError, OverflowError, MemoryError) as exc:
            # A raised budget; a value that Python has no type for, such as an optional.
            raise NoValue(failure(_first_line(exc))) from exc


def _named(text: str) -> Mapping[str, frozenset[str]]:
    """Return the fields of each view that a text may name; of a view that it takes as a whole, all."""
    found: dict[str, set[str]] = defaultdict(set)
    for match in _NAMED_FIELDS.finditer(text):
        found[match["view"]].update(
            (match["field"],) if match["field"] in VIEWS[match["view"]] else VIEWS[match["view"]]
        )
    return {view: frozenset(fields) for view, fields in found.items()}


def _first_line(exc: Exception) -> str:
    text = str(exc).split("\n", 1)[0]
    return "its value is an optional; end it with .orValue(...)" if "Unable to convert" in text else text


def _kind(type_: cel.Type) -> str:
    name = type_.name()
    if name in _KINDS:
        return _KINDS[name]
    head = re.split(r"[<(]", name, maxsplit=1)[0].lower()
    if head in {"list", "map"}:
        return head
    if head == "optional_type":
        return "optional"
    view = name.rsplit(".", 1)[-1].lower()
    return view if name.startswith(f"{messages.PACKAGE}.") and view in VIEWS else "any"


def _compiled(environment: cel.Env, text: str, change: str) -> cel.Expression:
    try:
        return environment.compile(text)
    except (RuntimeError, ValueError) as exc:
        raise NotAnExpression(faults(str(exc), change, text)) from exc


def _with_null_times(text: str) -> str:
    """Let a time that is absent be null: `task.ended_at` becomes `(has(task.ended_at) ? task.ended_at : null)`."""

    def replaced(match: re.Match[str]) -> str:
        time = match["time"]
        return match[0] if time is None else f"(has({time}) ? {time} : null)"

    return _TOKENS.sub(replaced, text)


@cache
def _checker(change: str) -> cel.Env:
    return _environment(change, messages.checking())


@cache
def _evaluator(change: str) -> cel.Env:
    return _environment(change, messages.evaluation())


def _environment(change: str, description: messages.Description) -> cel.Env:
    """Make the environment of one change: what it does not have is not declared."""
    types = {
        name: cel.Type.STRING if name == ACCOUNT else cel.Type(f"{messages.PACKAGE}.{messages.NAMES[name]}")
        for name in NAMED[change]
    }
    extensions = [ext_strings.ExtStrings(), ext_optional.ExtOptional(), ext_math.ExtMath(), ext_bindings.ExtBindings()]
    return cel.NewEnv(descriptor_pool=description.pool, variables=types, extensions=extensions)


def _json(value: Any, change: Change, depth: int = 0) -> Any:  # noqa: ANN401 - any value of CEL, and of JSON
    if depth > _DEEPEST:
        raise NoValue(f"its value nests deeper than {_DEEPEST}")
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NoValue(f"its value is {value}, which JSON can't hold")
        return value
    if isinstance(value, list):
        return [_json(one, change, depth + 1) for one in value]
    if isinstance(value, dict):
        return _object(value, change, depth)
    return _odd(value, change)


def _object(value: Mapping[Any, Any], change: Change, depth: int) -> dict[str, Any]:
    return {_key(key): _json(one, change, depth + 1) for key, one in value.items()}


def _key(key: Any) -> str:  # noqa: ANN401 - CEL's keys are text, numbers and truth values
    return str(key).lower() if isinstance(key, bool) else str(key)


def _odd(value: Any, change: Change) -> Any:  # noqa: ANN401 - as _json
    if isinstance(value, datetime):
        return to_text(to_milliseconds(value if value.tzinfo else value.replace(tzinfo=UTC)))
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    name = getattr(getattr(value, "DESCRIPTOR", None), "name", "")
    if name.lower() in FIELDS:
        return messages.item(name.lower(), change)
    if name == messages.STREAM:
        return {
            field: getattr(value, field).value if value.HasField(field) else None for field in ("user_id", "source")
        }
    raise NoValue(f"its value is of a type that JSON has not ({name or type(value).__name__})")
