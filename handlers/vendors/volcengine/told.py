"""What the data of most Volcengine events have in common: whose task it is, and how it went."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, FailFast, Field, TypeAdapter, ValidationError, ValidationInfo

from handlers.events import Source, Stream, TaskKey
from handlers.fields import Fields, Id, MaybeCount, Shown, Text, maybe, note_wrong
from handlers.vendors.volcengine.envelope import is_unicode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.events import TaskType

#: normal picture and sound, and a shared screen
_SOURCES: Mapping[int | None, Source] = {0: "camera", 1: "screen"}

_WHOLE = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, kw_only=True)
class Told:
    """One event as the vendor tells it."""

    word: str
    #: milliseconds UTC
    at: int
    data: Mapping[str, Any]


def _items(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return [] if value is None or value == "" else value


def _name(limit: int) -> BeforeValidator:
    def read(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
        if value is None or value == "":
            return None
        if not isinstance(value, str) or "\0" in value or not is_unicode(value):
            raise ValueError("expected text without a NUL or half a surrogate pair")
        if (size := len(value.encode())) > limit:
            raise ValueError(f"is {size} bytes long, expected at most {limit}")
        return value

    return BeforeValidator(read)


def _code(value: Any) -> int | None:  # noqa: ANN401 - any JSON value
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or not _WHOLE.fullmatch(str(value).strip()):
        raise ValueError("expected a whole number, or such a number as text")
    return int(value)


#: how something went, documented as 0 and above; "" is absent, and so is what is wrong
Code = Annotated[int | None, BeforeValidator(maybe(_code))]
#: put before a list: null and "" are an empty one
AsList = BeforeValidator(_items)
#: put before a list: of its items the first wrong one is told, for a stranger may send half a million
UpToFirstWrong = FailFast()
#: what an object is called, by its key or its Vid; "" is absent
Name = Annotated[str | None, _name(1024)]
#: what many objects share, a bucket or an identifier; "" is absent
Group = Annotated[str | None, _name(255)]


class StreamPart(Fields):
    """One participant's picture or sound."""

    also: ClassVar = frozenset({"Index"})

    user_id: Id = Field(alias="UserId")
    stream_type: MaybeCount = Field(None, alias="StreamType")

    def stream(self) -> Stream:
        """Return it in our words."""
        return Stream(user_id=self.user_id, source=_SOURCES.get(self.stream_type))


_ID = TypeAdapter[str](Id)


def _is_stream(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    # Most that are wrong have no id at all, which is told at once: there may be a hundred thousand of them.
    if not isinstance(value, dict) or value.get("UserId") in (None, ""):
        return False
    try:
        _ID.validate_python(value["UserId"])
    except ValidationError:
        return False
    return True


def _stream(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - any JSON value
    if value is None or value == "" or _is_stream(value):
        return value or None
    note_wrong(info)
    return None


def _streams(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - any JSON value
    told = _items(value)
    streams = [one for one in told if _is_stream(one)] if isinstance(told, list) else []
    if told != streams:
        note_wrong(info)
    return streams


#: a stream that may be wrong, or none
MaybeStream = Annotated[StreamPart | None, BeforeValidator(_stream)]
#: streams, without those that are wrong: these and what is no list are noted as drift
Streams = Annotated[tuple[StreamPart, ...], BeforeValidator(_streams)]


class Ids(Fields):
    """Whose task it is."""

    app_id: Id = Field(alias="AppId")
    room_id: Id = Field(alias="RoomId")
    task_id: Id = Field(alias="TaskId")

    def task(self, kind: TaskType) -> TaskKey:
        """Return the task's name."""
        return TaskKey(vendor="volcengine", app_id=self.app_id, room_id=self.room_id, type=kind, task_id=self.task_id)


class Business(Ids):
    """The same, with the part of the business to which it belongs."""

    business_id: Text = Field(None, alias="BusinessId")


class Result(Business):
    """The same, with how it went: 0 is success."""

    also: ClassVar = frozenset[str]()

    code: Code = Field(None, alias="Code")
    error_message: Shown = Field(None, alias="ErrorMessage")

    @property
    def has_failed(self) -> bool:
        """Tell a code that is not success."""
        return bool(self.code)
