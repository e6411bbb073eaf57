"""How a JSON body is read: each field's type, range and default, after the vendor's pages on its data types.

Versions 2020-12-01 and 2022-06-01 refuse what is of another JSON type, refuse a wrong value of a required field, and
put a wrong value of an optional field silently right: the default applies. What was put right is noted.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from standin.openapi.wire import Refused

_ID = re.compile(r"[a-zA-Z0-9_@\-.]{1,128}")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
#: two ids joined by @@ name a push that a client started
_PUSH_ID = re.compile(rf"{_ID.pattern}(@@{_ID.pattern})?")
_IMAGE = re.compile(r"https?://\S+", re.IGNORECASE)
_NO_IMAGE = re.compile(r"\.(?:avif|bmp|gif|hei[cf]|svg|tiff?|webp)(?:[?#]|$)", re.IGNORECASE)


def is_id(value: str) -> bool:
    """Say whether a text may be an id: 1 to 128 letters, digits, and _ @ - ."""
    return _ID.fullmatch(value) is not None


def is_push_id(value: str) -> bool:
    """Say whether a text may be the id of a push: an id, or that of a client and its own with @@ between them."""
    return _PUSH_ID.fullmatch(value) is not None


def _among(*values: int) -> Callable[[Any], bool]:
    return lambda value: value in values


def _within(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: low <= value <= high


def _even(value: Any) -> bool:  # noqa: ANN401 - a number
    return bool(2 <= value <= 1920 and value % 2 == 0)


def _proportion(value: Any) -> bool:  # noqa: ANN401 - a number
    return bool(0 < value <= 1)


def _picture(value: str) -> bool:
    is_short = len(value.encode("utf-8", "surrogatepass")) <= 1024
    return is_short and _IMAGE.match(value) is not None and _NO_IMAGE.search(value) is None


def _in_space(vector: list[float]) -> bool:
    return all(-100 <= part <= 100 for part in vector)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field. `kind`: text | int | number | flag | vector | object | array."""

    name: str
    kind: str
    good: Callable[[Any], bool] = lambda _: True
    default: Any = None
    required: bool = False
    #: a wrong value is refused although the field is optional
    strict: bool = False
    #: of an object or of an array's objects
    table: tuple[Field, ...] = ()


STREAM = (
    Field(name="Index", kind="int"),
    Field(name="UserId", kind="text", good=is_id, required=True),
    Field(name="StreamType", kind="int", good=_among(0, 1), default=0),
)
STREAMS = (Field(name="StreamList", kind="array", table=STREAM, default=[]),)
CANVAS = (
    Field(name="Background", kind="text", good=lambda v: _COLOUR.fullmatch(v) is not None, default="#000000"),
    Field(name="BackgroundImage", kind="text", good=_picture),
)
_CROP = (
    Field(name="LocationX", kind="number", good=_within(0, 1), default=0),
    Field(name="LocationY", kind="number", good=_within(0, 1), default=0),
    Field(name="WidthProportion", kind="number", good=_proportion, default=1),
    Field(name="HeightProportion", kind="number", good=_proportion, default=1),
)
REGION = (
    Field(name="StreamIndex", kind="int", required=True),
    Field(name="WidthProportion", kind="number", good=_proportion, required=True),
    Field(name="HeightProportion", kind="number", good=_proportion, required=True),
    Field(name="LocationX", kind="number", good=_within(0, 1), default=0, strict=True),
    Field(name="LocationY", kind="number", good=_within(0, 1), default=0, strict=True),
    Field(name="ZOrder", kind="int", good=_within(0, 100), default=0),
    Field(name="Alpha", kind="number", good=_proportion, default=1),
    Field(name="RenderMode", kind="int", good=_among(0, 1, 2, 3), default=0),
    Field(name="MediaType", kind="int", good=_among(0, 1, 2), default=0),
    Field(name="AlternateImage", kind="text", good=_picture),
    Field(name="AlternateImageFillMode", kind="int", good=_among(0, 1), default=0),
    Field(name="SourceCrop", kind="object", table=_CROP),
    Field(name="SpatialPosition", kind="vector", good=_in_space, default=[0, 0, 0]),
)
PUSH_REGION = (
    *REGION,
    Field(name="ApplySpatialAudio", kind="flag", default=True),
    Field(name="CornerRadius", kind="number", good=_proportion),
)
# Sizes, sampling rate and channels have no default on the page that lists them; these are the samples' values.
ENCODE = (
    Field(name="VideoFps", kind="int", good=_within(1, 60), default=15),
    Field(name="VideoGop", kind="int", good=_within(1, 5), default=4),
    Field(name="VideoBitrate", kind="int", good=_within(1, 10000)),
    Field(name="VideoWidth", kind="int", good=_even, default=640),
    Field(name="VideoHeight", kind="int", good=_even, default=480),
    Field(name="AudioCodec", kind="int", good=_among(0), default=0),
    Field(name="AudioBitrate", kind="int", good=_within(32, 192), default=64),
    Field(name="AudioSampleRate", kind="int", good=_among(32000, 44100, 48000), default=48000),
    Field(name="AudioChannels", kind="int", good=_among(1, 2), default=2),
)
_ORIENTATION = (
    Field(name="Forward", kind="vector", default=[1, 0, 0]),
    Field(name="Right", kind="vector", default=[0, 1, 0]),
    Field(name="Up", kind="vector", default=[0, 0, 1]),
)
SPATIAL = (
    Field(name="EnableSpatialRender", kind="flag", default=False),
    Field(name="AudienceSpatialPosition", kind="vector", good=_in_space, default=[0, 0, 0]),
    Field(name="AudienceSpatialOrientation", kind="object", table=_ORIENTATION, default={}),
)


def layout(region: tuple[Field, ...]) -> tuple[Field, ...]:
    """Return the fields of Layout that an update can change, and LayoutMode."""
    custom = (
        Field(name="Canvas", kind="object", table=CANVAS, default={}),
        Field(name="Regions", kind="array", table=region, default=[]),
    )
    return (
        Field(name="LayoutMode", kind="int", default=0),
        Field(name="CustomLayout", kind="object", table=custom, default={}),
    )


RECORD = (
    Field(name="TargetStreams", kind="object", table=STREAMS, default={}),
    Field(name="Layout", kind="object", table=layout(REGION), default={}),
)
PUSH = (
    Field(name="TargetStreams", kind="object", table=STREAMS, default={}),
    Field(name="Layout", kind="object", table=layout(PUSH_REGION), default={}),
    Field(name="Encode", kind="object", table=ENCODE, default={}),
    Field(
        name="Control",
        kind="object",
        table=(Field(name="SpatialConfig", kind="object", table=SPATIAL, default={}),),
        default={},
    ),
)
SEGMENT = (
    Field(name="Identifier", kind="text", good=is_id),
    Field(name="Handle", kind="flag", default=True),
    Field(name="Duration", kind="int", good=_within(1, 600), default=20),
)
#: what an update can change, by type of task
TABLES = {"record": RECORD, "push": PUSH, "segment": SEGMENT}


def read(
    table: tuple[Field, ...], values: Mapping[str, Any], notes: list[str], *, at: str = "", partial: bool = False
) -> dict[str, Any]:
    """Return the fields' values; what is missing is the default, or with `partial` missing as well. Raises Refused."""
    names = {field.name for field in table}
    notes.extend(f"{at}{name} can't be changed here: ignored" for name in values if name not in names)
    found: dict[str, Any] = {}
    for field in table:
        value = values.get(field.name)
        if value is not None:
            found[field.name] = _value(field, value, notes, at + field.name, partial=partial)
        elif field.required:
            raise Refused("InvalidParameter", f"{at}{field.name} is required")
        elif not partial:
            found[field.name] = _default(field)
    return found


def present(table: tuple[Field, ...], values: Mapping[str, Any]) -> tuple[Field, ...]:
    """Return the fields that are given, for an update that leaves the others as they are."""
    return tuple(field for field in table if field.name in values)


def fill(type: str, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: A002 - the glossary's word
    """Return what is set for a task that is made for a test: the defaults, in the custom layout. Raises ValueError."""
    if type not in TABLES:
        raise ValueError(f"Volcengine has no task of type {type!r}; there are {', '.join(TABLES)}")
    whole = read(TABLES[type], {}, [])
    if type == "segment":
        return {**whole, "Identifier": str(uuid.uuid4()), **settings}
    whole["Layout"]["LayoutMode"] = 2
    if type == "record":
        whole["RecordMode"] = 0
    return merge(whole, settings)


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the old values with the new ones in their places; objects by their fields, arrays as a whole."""
    merged = dict(old)
    for name, value in new.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge(merged[name], value) if both else value
    return merged


def _default(field: Field) -> Any:  # noqa: ANN401 - any JSON value
    if field.kind == "object" and field.default is not None:
        return read(field.table, {}, [])
    return list(field.default) if isinstance(field.default, list) else field.default


def _value(field: Field, value: Any, notes: list[str], at: str, *, partial: bool) -> Any:  # noqa: ANN401 - JSON
    _check_type(field.kind, value, at)
    if field.kind == "object":
        return read(field.table, value, notes, at=f"{at}.", partial=partial)
    if field.kind == "array":
        return [
            read(field.table, each, notes, at=f"{at}[{number}].")
            for number, each in enumerate(value)
            if each is not None
        ]
    if field.good(value):
        return value
    if field.required or field.strict:
        raise Refused("InvalidParameter", f"{at} is invalid: {value!r}")
    notes.append(f"{at} is invalid: {value!r}, {_default(field)!r} applied")
    return _default(field)


def _check_type(kind: str, value: Any, at: str) -> None:  # noqa: ANN401 - any JSON value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    right = {
        "text": isinstance(value, str),
        "int": number and isinstance(value, int) and -(2**31) <= value < 2**31,
        "number": number,
        "flag": isinstance(value, bool),
        "vector": isinstance(value, list)
        and len(value) == 3
        and all(isinstance(part, int | float) and not isinstance(part, bool) for part in value),
        "object": isinstance(value, Mapping),
        "array": isinstance(value, list) and all(each is None or isinstance(each, Mapping) for each in value),
    }[kind]
    if not right:
        raise Refused("InvalidParameter.Unmarshal", f"{at} is no {kind}: {value!r}")
