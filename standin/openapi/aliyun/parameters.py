"""How the parameters of a record task are read: types, enumerations, lists, after the page on StartRecordTask."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from standin.openapi.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: MediaEncode -> (width, height); 0 is sound alone
MEDIA_ENCODES: Mapping[int, tuple[int, int]] = {
    0: (0, 0),
    **dict.fromkeys((1, 52), (640, 360)),
    **dict.fromkeys((53, 54), (360, 640)),
    10: (960, 540),
    **dict.fromkeys((20, 27, 28, 36, 37, 40), (1280, 720)),
    **dict.fromkeys((22, 26, 41, 42), (720, 1280)),
    23: (800, 600),
    24: (750, 780),
    25: (750, 540),
    30: (1920, 1080),
    31: (1080, 1920),
    **dict.fromkeys((32, 34), (1024, 768)),
    **dict.fromkeys((33, 35), (1280, 960)),
    **dict.fromkeys((38, 39, 43), (540, 960)),
}
#: the sizes that a TaskProfile names
SIZES = {"1080P": (1920, 1080), "720P": (1280, 720), "360P": (640, 360), "Audio": (0, 0)}
#: TaskProfile -> (most inputs or None, size)
TASK_PROFILES: Mapping[str, tuple[int | None, tuple[int, int]]] = {
    **{f"{most}IN_{size}": (most, SIZES[size]) for most in (1, 2, 4, 9, 12, 16) for size in ("1080P", "720P", "360P")},
    "Mixed_Audio": (None, SIZES["Audio"]),
}
#: lists of texts, N from 1 to 16
USERS = (
    *("SubSpecUsers", "SubSpecAudioUsers", "SubSpecShareScreenUsers", "SubSpecCameraUsers"),
    *("UnsubSpecAudioUsers", "UnsubSpecShareScreenUsers", "UnsubSpecCameraUsers"),
)
MOST = 16

_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,55}")
_WHOLE = re.compile(r"[+-]?\d{1,18}")
_FLOAT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One parameter: how its text is read (None: it can't be), and which values are good."""

    read: Callable[[str], Any]
    good: Callable[[Any], bool] = lambda _: True
    required: bool = False


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None


def _float(text: str) -> float | None:
    return float(text) if _FLOAT.fullmatch(text) else None


def _url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _whole_of(*values: int) -> Field:
    return Field(read=_whole, good=lambda value: value in values)


def _between(low: int, high: int) -> Field:
    return Field(read=_whole, good=lambda value: low <= value <= high)


_TEXT = Field(read=str)
_ID = Field(read=str, good=bool, required=True)
_ONE_ID = Field(read=str, good=lambda text: bool(text) and "," not in text, required=True)
_SOURCE = Field(read=str, good=lambda text: text in {"camera", "shareScreen"})
_SHARE = Field(read=_float, good=lambda value: 0 <= value <= 1)
_ORDER = Field(read=_whole, good=lambda value: value >= 0)

IDS = {
    "AppId": _ONE_ID,
    "ChannelId": _ONE_ID,
    "TaskId": Field(read=str, good=lambda text: _TASK_ID.fullmatch(text) is not None, required=True),
    "TemplateId": _ID,
}
#: parameters with an effect in MixMode 1, and those with an effect in MixMode 0
MIXED = {
    "TaskProfile": Field(read=str, good=lambda text: text in TASK_PROFILES),
    "MediaEncode": Field(read=_whole, good=lambda number: number in MEDIA_ENCODES),
    "CropMode": Field(read=_whole),
}
SINGLE = {"SourceType": _SOURCE, "StreamType": _whole_of(0, 1)}
MODE = {"MixMode": _whole_of(0, 1)}
PANE = {"PaneId": _between(0, 15), "UserId": _TEXT, "SourceType": _SOURCE}
IMAGE = {
    "Url": Field(read=str, good=_url),
    "Display": _whole_of(0, 1, 2),
    **dict.fromkeys(("X", "Y", "Width", "Height"), _SHARE),
    "ZOrder": _ORDER,
}
TEXT = {
    "Text": _TEXT,
    **dict.fromkeys(("X", "Y"), _SHARE),
    "FontType": _between(0, 5),
    "FontSize": Field(read=_whole, good=lambda size: 0 < size <= 72),
    "FontColor": _between(0, 255 + 255 * 256 + 255 * 65536),
    "ZOrder": _ORDER,
}


def read(table: Mapping[str, Field], sent: Mapping[str, str], at: str = "") -> dict[str, Any]:
    """Return the values of the parameters that were sent. Raises Refused for one that is missing or malformed."""
    found = {}
    for name, field in table.items():
        text = sent.get(name)
        if text is None or (text == "" and field.required):
            if field.required:
                raise Refused(f"Missing{name}", f"{at}{name} is mandatory for this action.")
            continue
        value = field.read(text)
        if value is None or not field.good(value):
            _malformed(name, f"{at}{name} is malformed: {text!r}")
        found[name] = value
    return found


def read_users(sent: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the lists of users. Raises Refused for one whose N are not 1, 2, 3 ... up to 16."""
    lists = {name: gather(sent, name) for name in USERS}
    return {name: [item.get("", "") for item in items] for name, items in lists.items() if items}


def read_layouts(sent: Mapping[str, str]) -> list[int]:
    """Return the LayoutIds. Raises Refused."""
    ids = [_whole(item.get("", "")) for item in gather(sent, "LayoutIds", code="LayoutID")]
    if None in ids:
        _malformed("LayoutID", "LayoutIds.N is a whole number")
    return [number for number in ids if number is not None]


def read_panes(sent: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the panes with their images and texts. Raises Refused."""
    panes = []
    for number, item in enumerate(gather(sent, "UserPanes"), start=1):
        at = f"UserPanes.{number}."
        pane = read(PANE, item, at)
        for name, table in (("Images", IMAGE), ("Texts", TEXT)):
            parts = gather(item, name)
            pane |= (
                {name: [read(table, part, f"{at}{name}.{n}.") for n, part in enumerate(parts, start=1)]}
                if parts
                else {}
            )
        panes.append(pane)
    return panes


def gather(sent: Mapping[str, str], name: str, *, code: str | None = None) -> list[dict[str, str]]:
    """Return what was sent of each NAME.N, by what follows the N. Raises Refused unless N is 1, 2, 3 ... up to 16."""
    items: dict[str, dict[str, str]] = {}
    for key, value in sent.items():
        if key.startswith(f"{name}."):
            number, _, rest = key.removeprefix(f"{name}.").partition(".")
            items.setdefault(number, {})[rest] = value
    numbers = [str(number) for number in range(1, len(items) + 1)]
    if len(items) > MOST or set(numbers) != set(items):
        _malformed(code or name, f"the N of {name}.N are {sorted(items)}; expected 1, 2, 3 and so on, up to {MOST}")
    return [items[number] for number in numbers]


def check_profile(values: Mapping[str, Any], notes: list[str]) -> None:
    """Refuse what is more than the TaskProfile pays for: a larger picture, more panes.

    Whether pictures are compared by area or by sides isn't documented: refused is what is larger by either.
    """
    if "TaskProfile" not in values:
        return
    most, size = TASK_PROFILES[values["TaskProfile"]]
    width, height = MEDIA_ENCODES[values.get("MediaEncode", 0)]
    if width * height > size[0] * size[1]:
        _malformed("MediaEncode", f"{width}x{height} is larger than {values['TaskProfile']}")
    if max(width, height) > max(size) or min(width, height) > min(size):
        notes.append(f"{width}x{height} has a longer side than {values['TaskProfile']}")
    if most is not None and len(values.get("UserPanes", [])) > most:
        _malformed(
            "TaskProfile", f"{len(values['UserPanes'])} panes are more than the inputs of {values['TaskProfile']}"
        )


def _malformed(name: str, message: str) -> NoReturn:
    raise Refused(f"Invalid{name}.Malformed", message)
