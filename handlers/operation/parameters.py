"""Whether the parameters of a call are such that its API takes them as they are, and what is wrong where it doesn't."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError
from pydantic.fields import FieldInfo

from handlers.errors import WrongRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_SHOWN = 60
_LARGEST_SHOWN = 10**30


class Parameters(BaseModel):
    """The parameters of one operation under the API's own names, as aliases; an unknown one is refused.

    Each field's description says what is expected, so that it can follow "expected". A field with repr=False is not
    quoted, one with exclude=True is taken and not sent. Null is as good as left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    #: the vendor's page that these constraints come from
    page: ClassVar[str] = ""


def _plain(value: float) -> int | float:
    return int(value) if value.is_integer() else value


#: a number that is sent as it was written: 1 and not 1.0
Number = Annotated[float, Field(strict=True, allow_inf_nan=False), PlainSerializer(_plain)]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One parameter that the API would not take, or would silently change."""

    #: where it stands, by the API's names and places in lists; () for what no single parameter is to blame for
    place: tuple[str | int, ...]
    reason: str

    @property
    def name(self) -> str:
        """Return the place as text, such as `TargetStreams.StreamList[0].UserId`."""
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place)
        return "".join(parts).removeprefix(".") or "parameters"


def complete(model: type[Parameters], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters under the API's names, in its order, without nulls.

    Raises WrongRequest with every parameter that is wrong, each with the constraint and the vendor's page.
    """
    try:
        found = model.model_validate(dict(values))
    except ValidationError as exc:
        wrong = {problem.name: problem.reason for problem in _problems(model, exc)}
    else:
        return found.model_dump(by_alias=True, exclude_none=True)
    raise WrongRequest(wrong)  # out here, for the cause would quote values


def find_problems(model: type[Parameters], values: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return everything that is wrong with the parameters; empty where the API takes them as they are."""
    try:
        model.model_validate(dict(values))
    except ValidationError as exc:
        return tuple(_problems(model, exc))
    return ()


def find_unsent(model: type[Parameters], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of those that are given, and taken, but no parameters of the API's: they are not sent."""
    unsent = (field.alias or name for name, field in model.model_fields.items() if field.exclude)
    return tuple(name for name in unsent if values.get(name) is not None)


def takes_text(model: type[Parameters], place: Sequence[str | int]) -> bool:
    """Tell whether the parameter at the place is text, and can be nothing else; not of one that isn't known."""
    _, field = _find(model, place)
    return field is not None and _types(field.annotation) == {str}


def _types(annotation: object) -> set[type]:
    if get_origin(annotation) is Literal:
        return {type(value) for value in get_args(annotation)}
    if isinstance(annotation, type):
        return set() if annotation is type(None) else {annotation}
    if get_origin(annotation) is Annotated:
        return _types(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return set().union(*map(_types, get_args(annotation)))
    return {object}  # a list, an object: no plain value


def holds(newer: object, older: object) -> bool:
    """Tell whether everything that the older value sets is set by the newer one too; a list is set as a whole."""
    if not isinstance(older, Mapping):
        return newer is not None or older is None
    if not isinstance(newer, Mapping):
        return all(value is None for value in older.values())
    return all(holds(newer.get(name), value) for name, value in older.items())


def _problems(model: type[Parameters], exc: ValidationError) -> Iterator[Problem]:
    for error in exc.errors(include_url=False, include_context=False):
        place = tuple(error["loc"])
        owner, field = _find(model, place)
        said = _said(error["type"], error["msg"], error["input"], owner, field)
        yield Problem(place=place, reason=f"{said} ({owner.page})" if owner.page else said)


def _said(kind: str, message: str, value: object, owner: type[Parameters], field: FieldInfo | None) -> str:
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind == "extra_forbidden":
        names = ", ".join(known.alias or name for name, known in owner.model_fields.items() if not known.exclude)
        return f"is unknown here, or can't be changed by this call; there are {names}"
    expected = f"expected {_expected(field)}" if field else message
    if kind == "missing":
        return f"is missing; {expected}"
    if field is not None and not field.repr:
        return f"is wrong; {expected}"
    if kind == "string_type" and _is_word(value):
        came = json.dumps(value)
        what = came if isinstance(value, bool) else f"the number {came}"
        return f'is {what}; expected text, so write "{came}" in quotes: {_expected(field) if field else message}'
    return f"is {_shown(value)}; {expected}"


def _is_word(value: object) -> bool:
    """Tell whether a value was meant as text, perhaps: what is read as a number, or as true or false."""
    return isinstance(value, int) and abs(value) < _LARGEST_SHOWN


def _find(model: type[Parameters], place: Sequence[str | int]) -> tuple[type[Parameters], FieldInfo | None]:
    """Return the innermost model that the place lies in, and the field in it; None where it is the model itself."""
    owner, field = model, None
    for part in place:
        if isinstance(part, int):
            continue
        if field is not None:
            inner = next(_models(field.annotation), None)
            if inner is None:
                break
            owner = inner
        known = {other.alias or name: other for name, other in owner.model_fields.items()}
        field = known.get(part)
        if field is None:
            break
    return owner, field


def _models(annotation: object) -> Iterator[type[Parameters]]:
    if isinstance(annotation, type) and issubclass(annotation, Parameters):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _expected(field: FieldInfo) -> str:
    return field.description or next(_descriptions(field.annotation), "another type of value")


def _descriptions(annotation: object) -> Iterator[str]:
    for known in getattr(annotation, "__metadata__", ()):
        if isinstance(known, FieldInfo) and known.description:
            yield known.description
    for part in get_args(annotation):
        yield from _descriptions(part)


def _shown(value: object) -> str:
    """Show a wrong value on half a line."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        shown = json.dumps(value[:_LONGEST_SHOWN])
        return shown if len(value) <= _LONGEST_SHOWN else f'{shown[:-1]}..." ({len(value)} characters)'
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGEST_SHOWN):
        return repr(value)
    return f"of type {type(value).__name__}"
