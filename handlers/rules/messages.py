"""Gives conditions their types: a protobuf message for each view, described at run time, and filled from a change.

Every text, number and truth value is a wrapper, so that what is absent is null. Times are the difficulty: an absent
Timestamp reads as 1970. So there are two descriptions. Expressions are checked against the one in which times are
Timestamps, and evaluated over the other, in which they are Any: an absent one is an error there, never a date.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

from handlers.moments import to_text
from handlers.rules.change import FIELDS, VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from google.protobuf.message import Message

    from handlers.rules.change import Change

PACKAGE: Final = "reelhook"
#: the name of each view's message; the element of `streams` has one too
NAMES: Final = {"event": "Event", "task": "Task", "recording": "Recording", "segment": "Segment", "action": "Action"}
STREAM: Final = "Stream"

_FIELD = descriptor_pb2.FieldDescriptorProto
_ANY: Final = ".google.protobuf.Any"
_TYPES: Final = {
    "text": ".google.protobuf.StringValue",
    "integer": ".google.protobuf.Int64Value",
    "boolean": ".google.protobuf.BoolValue",
    "streams": f".{PACKAGE}.{STREAM}",
}
_WELL_KNOWN: Final = (any_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)


class Description:
    """One description of the views, as protobuf keeps it."""

    def __init__(self, *, checks: bool) -> None:
        """Describe the views for checking, or for evaluation."""
        self._checks = checks
        self.pool = descriptor_pool.DescriptorPool()
        for module in _WELL_KNOWN:
            file = descriptor_pb2.FileDescriptorProto()
            module.DESCRIPTOR.CopyToProto(file)
            self.pool.Add(file)
        self.pool.Add(self._file())

    def type(self, name: str) -> type[Message]:
        """Return the class of a message by its full name."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def _file(self) -> descriptor_pb2.FileDescriptorProto:
        file = descriptor_pb2.FileDescriptorProto(name="reelhook.proto", package=PACKAGE, syntax="proto3")
        file.dependency.extend(module.DESCRIPTOR.name for module in _WELL_KNOWN)
        stream = file.message_type.add(name=STREAM)
        for number, name in enumerate(("user_id", "source"), 1):
            self._add(stream, number, name, "text")
        for view, fields in VIEWS.items():
            message = file.message_type.add(name=NAMES[view])
            for number, (name, kind) in enumerate(fields.items(), 1):
                self._add(message, number, name, kind)
        return file

    def _add(self, message: descriptor_pb2.DescriptorProto, number: int, name: str, kind: str) -> None:
        repeated = kind in {"streams", "texts"} or (kind == "media" and not self._checks)
        field = message.field.add(
            name=name,
            number=number,
            label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
            type=_FIELD.TYPE_STRING if kind == "texts" else _FIELD.TYPE_MESSAGE,
        )
        if kind == "time":
            field.type_name = ".google.protobuf.Timestamp" if self._checks else _ANY
        elif kind == "media":
            field.type_name = ".google.protobuf.Struct" if self._checks else _open_map(message, name)
        elif kind != "texts":
            field.type_name = _TYPES[kind]


def _open_map(message: descriptor_pb2.DescriptorProto, name: str) -> str:
    """Add a map from text to anything, in which integers of 64 bits stay what they are; return its type."""
    entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=_FIELD.TYPE_MESSAGE, label=_FIELD.LABEL_OPTIONAL, type_name=_ANY)
    return f".{PACKAGE}.{message.name}.{entry.name}"


@cache
def checking() -> Description:
    """Return the description that expressions are checked against."""
    return Description(checks=True)


@cache
def evaluation() -> Description:
    """Return the description that expressions are evaluated over."""
    return Description(checks=False)


@cache
def _type(name: str) -> type[Any]:
    return evaluation().type(name)


def message(view: str, values: Mapping[str, Any], only: Collection[str] | None = None) -> Message:
    """Return the message of a view, with only these fields in it (None: all).

    Raises ValueError or TypeError for a value that its field can't hold.
    """
    filled = _type(f"{PACKAGE}.{NAMES[view]}")()
    for name, kind in VIEWS[view].items():
        if (only is None or name in only) and (value := values.get(name)) is not None:
            _FILL[kind](filled, name, value)
    return filled  # type: ignore[no-any-return] # a class made at run time


def _wrapped(filled: Any, name: str, value: Any) -> None:  # noqa: ANN401 - a message made at run time, any value
    getattr(filled, name).value = value


def _time(filled: Any, name: str, value: int) -> None:  # noqa: ANN401 - as _wrapped
    moment = _type("google.protobuf.Timestamp")(seconds=value // 1000, nanos=value % 1000 * 1_000_000)
    getattr(filled, name).Pack(moment)


def _streams(filled: Any, name: str, value: Any) -> None:  # noqa: ANN401 - as _wrapped
    for stream in value:
        one = getattr(filled, name).add()
        for field in ("user_id", "source"):
            if stream.get(field) is not None:
                getattr(one, field).value = stream[field]


def _texts(filled: Any, name: str, value: Any) -> None:  # noqa: ANN401 - as _wrapped
    getattr(filled, name).extend(value)


def _media(filled: Any, name: str, value: Mapping[str, Any]) -> None:  # noqa: ANN401 - as _wrapped
    entries = getattr(filled, name)
    for key, one in value.items():
        entries[key].Pack(_anything(one))


def _anything(value: Any) -> Message:  # noqa: ANN401 - as _wrapped
    kinds = {bool: "BoolValue", int: "Int64Value", float: "DoubleValue", str: "StringValue"}
    if type(value) in kinds:
        return _type(f"google.protobuf.{kinds[type(value)]}")(value=value)  # type: ignore[no-any-return] # as message
    whole = _type("google.protobuf.Value")()
    if isinstance(value, dict):
        whole.struct_value.update(value)
    elif isinstance(value, list | tuple):
        whole.list_value.extend(value)
    else:
        whole.null_value = 0
    return whole  # type: ignore[no-any-return] # as message


_FILL: Final[Mapping[str, Callable[[Any, str, Any], None]]] = {
    "text": _wrapped,
    "integer": _wrapped,
    "boolean": _wrapped,
    "time": _time,
    "streams": _streams,
    "texts": _texts,
    "media": _media,
}


def item(view: str, change: Change) -> dict[str, Any]:
    """Return the whole view as the JSON API shows it: absent values null, times RFC 3339."""
    values = change.view(view)
    return {name: _shown(kind, values.get(name)) for name, kind in FIELDS[view].items()}


def _shown(kind: str, value: Any) -> Any:  # noqa: ANN401 - as _wrapped
    if kind in {"streams", "texts"}:
        return [dict(one) if kind == "streams" else one for one in value or ()]
    if kind == "media":
        return dict(value or {})
    return to_text(value) if kind == "time" else value
