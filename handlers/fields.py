"""How one field of a vendor's JSON is read: leniently in form, strictly in what can be stored.

Strictly is for what names a task or file, or tells when it began: without it there is nothing to catalogue. What is
only shown beside them is a Maybe or a Shown, for a callback may tell of many files, and it never comes again.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo

from handlers import drift
from handlers.errors import UnreadableDelivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: bytes of UTF-8; three ids of this length and a little more fit into one index entry of PostgreSQL (2704 bytes)
MAX_ID = 512
#: bytes of UTF-8, for what is shown and not looked up
MAX_TEXT = 2048
#: 31 years; with it a start before MAX_TIME still has an end that can be written as a date
MAX_SECONDS = 1_000_000_000
#: what a column of 64 bits holds
MAX_COUNT = 2**63 - 1
#: the first millisecond of the year 3000
MAX_TIME = 32_503_680_000_000

_A_TIME = "expected a time such as 2020-09-02T10:23:54Z"
_A_NUMBER = "expected a number of seconds, or such a number as text"
_A_COUNT = "expected a whole number that is not negative, or such a number as text"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_AND_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[0-9]{1,19}")
_LONGEST_NUMBER = 64
_LONGEST_SHOWN = 60


class Unquoted(ValueError):
    """A wrong value that may hold a secret, so that the reason must not repeat it."""


def storable(text: str) -> str:
    """Return the text on at most a page, with what a text column refuses escaped."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:MAX_TEXT]


def shown(text: str) -> str:
    """Return the text on at most MAX_TEXT bytes of UTF-8, whole characters, with what a text column refuses escaped."""
    # A character is a byte at least, so that what is cut off first is cut off anyway.
    raw = text[:MAX_TEXT].encode("utf-8", "backslashreplace").replace(b"\0", b"\\0")
    return raw[:MAX_TEXT].decode("utf-8", "ignore")


def _stored(value: Any, limit: int) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("expected text")  # noqa: TRY004 - pydantic collects ValueError only
    try:
        size = len(value.encode())
    except UnicodeEncodeError:  # looking at each character takes twenty times as long
        size = -1
    if size < 0 or "\0" in value:
        raise ValueError("holds a NUL or half a surrogate pair, which can't be stored")
    if size > limit:
        raise ValueError(f"is {size} bytes long, expected at most {limit}")
    return value


def _id(value: Any) -> str:  # noqa: ANN401 - any value
    if value is None or value == "":
        raise ValueError("expected text that is not empty")
    return _stored(value, MAX_ID)


def _text(value: Any) -> str | None:  # noqa: ANN401 - any value
    return None if value is None or value == "" else _stored(value, MAX_TEXT)


def _seconds(value: Any) -> int | None:  # noqa: ANN401 - any value
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(_A_NUMBER)  # noqa: TRY004 - as in _stored
    # By way of text: 1.0005 is no binary fraction, and would be rounded down.
    text = str(value).strip()
    if len(text) > _LONGEST_NUMBER or not _DECIMAL.fullmatch(text):
        raise ValueError(_A_NUMBER)
    number = Decimal(text)
    if not 0 <= number <= MAX_SECONDS:
        raise ValueError(f"expected a number of seconds from 0 to {MAX_SECONDS}")
    return int((number * 1000).to_integral_value(ROUND_HALF_UP))


def _count(value: Any) -> int | None:  # noqa: ANN401 - any value
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(_A_COUNT)  # noqa: TRY004 - as in _stored
    text = f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value).strip()
    if not _WHOLE.fullmatch(text):
        raise ValueError(_A_COUNT)
    if int(text) > MAX_COUNT:
        raise ValueError(f"expected at most {MAX_COUNT}")
    return int(text)


def _milliseconds(value: Any) -> int | None:  # noqa: ANN401 - any value
    number = _count(value)
    if number is not None and number > MAX_SECONDS * 1000:
        raise ValueError(f"expected a number of milliseconds from 0 to {MAX_SECONDS * 1000}")
    return number


def _instant(value: Any) -> int | None:  # noqa: ANN401 - any value
    number = _count(value)
    if number is not None and number >= MAX_TIME:
        raise ValueError("expected a time in milliseconds since 1970, before the year 3000")
    return number or None


def _time(value: Any) -> int | None:  # noqa: ANN401 - any value
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _DATE_AND_TIME.fullmatch(text := value.strip().upper()):
        raise ValueError(_A_TIME)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ValueError(f"{exc}, {_A_TIME}") from exc
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    milliseconds = to_milliseconds(moment)
    if not 0 <= milliseconds < MAX_TIME:
        raise ValueError("expected a time from the year 1970 to 2999")
    return milliseconds


def _for_people(value: Any, info: ValidationInfo) -> str | None:  # noqa: ANN401 - any value
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    note_wrong(info)
    try:
        return shown(json.dumps(value, ensure_ascii=False)) if value else None
    except RecursionError:
        return None


Read = TypeVar("Read")


def maybe(read: Callable[[Any], Read]) -> Callable[[Any, ValidationInfo], Read | None]:
    """Return the reader that gives None, and notes it as drift, where `read` raises ValueError."""

    def lenient(value: Any, info: ValidationInfo) -> Read | None:  # noqa: ANN401 - any value
        try:
            return read(value)
        except ValueError:
            note_wrong(info)
            return None

    return lenient


def note_wrong(info: ValidationInfo) -> None:
    """Note the field that is being read as drift, by the vendor's name of it."""
    name = info.field_name or ""
    drift.note("wrong", [(info.context or {}).get(name, name)])


def to_milliseconds(moment: datetime) -> int:
    """Return the aware time as milliseconds since 1970 UTC, without a float's rounding."""
    past = moment - _EPOCH
    return (past.days * 86_400 + past.seconds) * 1000 + past.microseconds // 1000


#: text that must be there and can be looked up: an id. A whole number is taken as its digits
Id = Annotated[str, BeforeValidator(_id)]
#: text; "" is absent; a whole number is taken as its digits
Text = Annotated[str | None, BeforeValidator(_text)]
#: a number of seconds, also as text, as milliseconds, half of one rounded up; "" is absent
Seconds = Annotated[int | None, BeforeValidator(_seconds)]
#: a whole number that is not negative, also as text; "" is absent
Count = Annotated[int | None, BeforeValidator(_count)]
#: a number of milliseconds, also as text; "" is absent
Milliseconds = Annotated[int | None, BeforeValidator(_milliseconds)]
#: milliseconds since 1970 UTC, also as text; "" and 0 are absent
Instant = Annotated[int | None, BeforeValidator(_instant)]
#: an ISO 8601 date and time as milliseconds since 1970 UTC; without an offset it is UTC; "" is absent
Time = Annotated[int | None, BeforeValidator(_time)]

#: text that people read and nobody looks up: the first 2048 bytes of it, with what can't be stored escaped; of what is
#: no text, its JSON
Shown = Annotated[str | None, BeforeValidator(_for_people)]
#: the same as those above, but for a wrong value, which is left out and noted as drift
MaybeText = Annotated[str | None, BeforeValidator(maybe(_text))]
MaybeSeconds = Annotated[int | None, BeforeValidator(maybe(_seconds))]
MaybeCount = Annotated[int | None, BeforeValidator(maybe(_count))]
MaybeMilliseconds = Annotated[int | None, BeforeValidator(maybe(_milliseconds))]
MaybeInstant = Annotated[int | None, BeforeValidator(maybe(_instant))]
MaybeTime = Annotated[int | None, BeforeValidator(maybe(_time))]


class Fields(BaseModel):
    """What we read of a vendor's JSON object; whatever else stands there is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    #: of a whole object: the documented names that we have no use for, any other being drift; None: of a part of one
    also: ClassVar[frozenset[str] | None] = None


Model = TypeVar("Model", bound=Fields)


class _Shape(NamedTuple):
    """The vendor's names in a model."""

    names: tuple[str, ...]
    #: None: others are no drift
    documented: frozenset[str] | None
    #: those that hold such objects themselves, or lists of them
    inner: tuple[tuple[str, type[Fields]], ...]
    #: our names of all these -> the vendor's
    vendors: Mapping[str, str]


@cache
def _shape(model: type[Fields]) -> _Shape:
    by_name = {known.alias or name: known for name, known in model.model_fields.items()}
    inner = [(name, found) for name, known in by_name.items() for found in _fields_in(known.annotation)]
    documented = None if model.also is None else model.also | by_name.keys()
    vendors = {ours: its for _, below in inner for ours, its in _shape(below).vendors.items()}
    vendors |= {name: known.alias or name for name, known in model.model_fields.items()}
    return _Shape(names=tuple(by_name), documented=documented, inner=tuple(inner), vendors=vendors)


def _fields_in(annotation: Any) -> list[type[Fields]]:  # noqa: ANN401 - any type
    if isinstance(annotation, type) and issubclass(annotation, Fields):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _fields_in(argument)]


def read_fields(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Read the object, or raise UnreadableDelivery with every field that is wrong.

    Where somebody asked for drift, notes the names that a whole object should not have.
    """
    shape = _shape(model)
    # Only these: a name that we don't know may hold what pydantic can't take (half a surrogate pair).
    known = {name: values[name] for name in shape.names if name in values}
    try:
        told = model.model_validate(known, context=shape.vendors)
    except ValidationError as exc:
        wrong = [f"{'.'.join(map(str, error['loc']))} {_said(error)}" for error in exc.errors(include_url=False)]
        raise UnreadableDelivery("; ".join(wrong)) from exc
    if shape.documented is not None and drift.is_asked():
        _note_unknown(shape, values)
    return told


def _note_unknown(shape: _Shape, values: Mapping[str, Any]) -> None:
    if shape.documented is not None and (unknown := values.keys() - shape.documented):
        drift.note("unknown", nsmallest(drift.MOST, unknown))
    for name, model in shape.inner:
        for item in _some(values.get(name)):
            if isinstance(item, dict):
                _note_unknown(_shape(model), item)


def _some(value: Any) -> Iterable[Any]:  # noqa: ANN401 - any JSON value
    return islice(value, drift.MOST) if isinstance(value, list) else (value,)


def _said(error: Any) -> str:  # noqa: ANN401 - any value
    if error["type"] == "missing":
        return "is missing"
    said = error["msg"].removeprefix("Value error, ")
    if isinstance(error.get("ctx", {}).get("error"), Unquoted):
        return f"can't be read: {said}"
    return f"is {_shown(error['input'])}: {said}"


def _shown(value: Any) -> str:  # noqa: ANN401 - any value
    """Show a wrong value on half a line, with everything that can't be printed escaped."""
    if isinstance(value, list | dict):  # it may nest deeper than repr() goes
        return "an array" if isinstance(value, list) else "an object"
    shown = repr(value[:_LONGEST_SHOWN]) if isinstance(value, str) else json.dumps(value)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
