"""Says in our words what the checker of expressions found, with the names that are known instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from handlers.rules.change import NAMED, VARIABLES, VIEWS
from handlers.rules.habits import called_here, cures
from handlers.settings.values import listed, meant

if TYPE_CHECKING:
    from collections.abc import Iterator

#: what expressions may call, as in CEL's specification and its extensions for texts, numbers, optionals and bindings
FUNCTIONS: Final = tuple(
    re.findall(
        r"\S+",
        "all exists exists_one map filter has size in int uint double string bool bytes timestamp duration dyn type "
        "matches startsWith endsWith contains charAt indexOf lastIndexOf join split replace substring trim reverse "
        "lowerAscii upperAscii format getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours "
        "getMinutes getSeconds getMilliseconds or orValue hasValue value optMap optional.of optional.none cel.bind "
        "math.greatest math.least math.abs math.ceil math.floor math.round math.sign",
    )
)

#: how the checker begins where it can't read on
_UNREADABLE: Final = ("Syntax error", "reserved identifier")
_FAULT: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_NO_FIELD: Final = re.compile(r"undefined field '([^']*)' not found in struct '([^']*)'")
_NO_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'")
_OPERATORS: Final = {"@in": "in", "_?_:_": "? :", "_[_]": "[ ]", "@not_strictly_false": "&&"}
_APPLIED: Final = re.compile(r"(_.+_|@in)\((.*)\)")
_STATUS: Final = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$")
_TYPES: Final = (
    (re.compile(r"wrapper\((\w+)\)"), r"\1"),
    (re.compile(r"google\.protobuf\.Timestamp"), "timestamp"),
    (re.compile(r"google\.protobuf\.Duration"), "duration"),
    (re.compile(r"reelhook\.(\w+)"), lambda found: found[1].lower()),
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong in an expression."""

    text: str
    #: counted from 1 within the expression; None: nobody knows
    line: int | None = None
    column: int | None = None


def faults(said: str, change: str, text: str) -> tuple[Fault, ...]:
    """Return every fault that the checker told of a text, for the variables of this change."""
    found = tuple(dict.fromkeys(_each(said, change)))
    if not any(one.text.startswith(_UNREADABLE) for one in found):
        return found
    # What the checker says of such a text is a consequence of the habit, and leads astray.
    return tuple(_fault(text, offset, cure) for offset, cure in cures(text)) or found


def _fault(text: str, offset: int, cure: str) -> Fault:
    before = text[:offset]
    return Fault(text=cure, line=before.count("\n") + 1, column=offset - before.rfind("\n"))


def failure(said: str) -> str:
    """Say in our words why an expression had no value for one change."""
    text = _STATUS.sub("", said)
    if "Iteration budget exceeded" in text:
        return "it takes too long: the budget of an expression is exceeded"
    if text.startswith("No matching overloads found : "):
        applied = text.removeprefix("No matching overloads found : ").replace("null_type", "null")
        match = _APPLIED.fullmatch(_simple(applied.replace("int64", "int")))
        shown = f"{_OPERATORS.get(match[1], match[1].strip('_'))} on ({match[2]})" if match else _simple(applied)
        return f"{shown} has no meaning; a value is absent, or of another type"
    if text.startswith("Key not found in map"):
        return f"{text.replace('Key not found in map :', 'there is no')}; ask has(...) before"
    if "type URL" in text:
        return "a time is absent; ask has(...) before"
    return _simple(text)


def _each(said: str, change: str) -> Iterator[Fault]:
    told = _FAULT.findall(said)
    if not told:
        yield Fault(text=_plainly(_STATUS.sub("", said.split("\n", 1)[0]), change))
    for line, column, text in told:
        where = (int(line), int(column)) if int(line) > 0 else (None, None)
        yield Fault(text=_plainly(_STATUS.sub("", text), change), line=where[0], column=where[1])


def _plainly(text: str, change: str) -> str:
    if match := _UNDECLARED.search(text):
        return _undeclared(match[1], change)
    if match := _NO_FIELD.search(text):
        return _no_field(match[1], match[2])
    if match := _NO_OVERLOAD.search(text):
        return _no_overload(match[1], _simple(match[2]))
    if "int literal" in text:
        return "the number is too large; whole numbers go from -9223372036854775808 to 9223372036854775807"
    if "recursion" in text:
        return "the expression nests too deep (32 at most, and every && or + counts): make it two rules, or use lists"
    text = text.replace("mismatched input '<EOF>'", "it ends too soon").split(" expecting ", 1)[0]
    return _simple(text)


def _undeclared(name: str, change: str) -> str:
    head = name.split(".", 1)[0]
    known = NAMED[change]
    elsewhere = [one for one, variables in VARIABLES.items() if head in variables]
    if elsewhere and head not in known:
        return f"{change} has no {head}, which is there for {listed(elsewhere)}; known here: {listed(known)}"
    if (here := called_here(name)) is not None:
        return f"unknown name or function {name}; {here}"
    if head in FUNCTIONS:
        return f"{head} is called on something, as in task.room_id.{head}(...); what stands here is no such call"
    close = meant(head, (*known, *FUNCTIONS))
    return f"unknown name or function {name}{close}; known names: {listed(known)}"


def _no_field(field: str, struct: str) -> str:
    view = struct.rsplit(".", 1)[-1].lower()
    known = VIEWS.get(view, {"user_id": "", "source": ""})
    return f"{view} has no field {field}{meant(field, known)}; known: {listed(known)}"


def _no_overload(function: str, applied: str) -> str:
    name = _OPERATORS.get(function, function.strip("_").replace("_", " ") or function)
    hint = ""
    if "int" in applied and "double" in applied:
        hint = "; numbers of this kind are whole: write 60 and not 60.0, or double(...) around the other"
    elif "timestamp" in applied and "string" in applied:
        hint = '; a time is written timestamp("2020-09-02T10:23:54Z")'
    elif "timestamp" in applied and "int" in applied:
        hint = '; a span is written duration("90s"), and times are no numbers'
    return f"{name} can't be used on {applied}{hint}"


def _simple(text: str) -> str:
    for pattern, ours in _TYPES:
        text = pattern.sub(ours, text)
    return text
