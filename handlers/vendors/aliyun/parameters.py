"""What a call of Alibaba's may say: types, enumerations and rules of its parameters, as its page has them.

Lists are written as lists here; on the wire they are NAME.1, NAME.2 and so on, without a gap.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_pascal

from handlers.operation import Number, Parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAGE = "RTC API 2018-01-11, StartRecordTask"
_MOST = 16
#: R + G * 256 + B * 65536, each up to 255
_WHITE = 0xFFFFFF

#: MediaEncode -> (width, height); 0 is sound alone
MEDIA_ENCODES: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {
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
)
_SIZES: Final = {"1080P": (1920, 1080), "720P": (1280, 720), "360P": (640, 360)}
#: TaskProfile -> (most inputs or None, largest size)
TASK_PROFILES: Final[Mapping[str, tuple[int | None, tuple[int, int]]]] = MappingProxyType(
    {
        **{f"{most}IN_{size}": (most, _SIZES[size]) for most in (1, 2, 4, 9, 12, 16) for size in _SIZES},
        "Mixed_Audio": (None, (0, 0)),
    }
)
_SINGLE = ("StreamType", "SourceType")


def _one_of_the_table(number: int) -> int:
    if number not in MEDIA_ENCODES:
        known = ", ".join(map(str, sorted(MEDIA_ENCODES)))
        raise ValueError(f"is {number}; expected one of the table of MediaEncode: {known}")
    return number


def _one_of_the_profiles(text: str) -> str:
    if text not in TASK_PROFILES:
        raise ValueError(f"is {text[:60]!r}; expected one of {', '.join(TASK_PROFILES)}")
    return text


def _http(text: str) -> str:
    if not re.match(r"https?://[^\s/]+\S*\Z", text):
        raise ValueError("is no address; expected one that begins with http:// or https://")
    return text


def _single(text: str) -> str:
    if "," in text:
        raise ValueError(f"is {text[:60]!r}; expected one id, for the API takes one only")
    return text


Text = Annotated[str, Field(min_length=1, description="text that is not empty")]
OneId = Annotated[str, AfterValidator(_single), Field(min_length=1, description="text that is not empty: one id")]
TaskId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_\-]{1,55}$", description="1 to 55 of the characters a-z A-Z 0-9 _ -")
]
Users = Annotated[list[Text], Field(min_length=1, max_length=_MOST, description="a list of 1 to 16 user ids")]
Source = Annotated[Literal["camera", "shareScreen"], Field(description='"camera" or "shareScreen"')]
Share = Annotated[Number, Field(ge=0, le=1, description="a number from 0 to 1, a share of the whole")]
Order = Annotated[int, Field(ge=0, description="a whole number from 0 up, 0 lying lowest")]
MediaEncode = Annotated[
    int, AfterValidator(_one_of_the_table), Field(description="a whole number of the table of MediaEncode")
]
TaskProfile = Annotated[
    str, AfterValidator(_one_of_the_profiles), Field(description="text of the table of TaskProfile, such as 4IN_1080P")
]


class _Part(Parameters):
    model_config = ConfigDict(alias_generator=to_pascal)

    page: ClassVar[str] = _PAGE


class _Item(_Part):
    """One of a list: an empty one would not be sent, and leave a gap in the list."""

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("is empty; expected something in it, or the list would have a gap")
        return self


class Image(_Item):
    """A picture in a pane."""

    url: (
        Annotated[str, AfterValidator(_http), Field(description="an address that begins with http:// or https://")]
        | None
    ) = None
    display: (
        Annotated[int, Field(ge=0, le=2, description="0 (never), 1 (always) or 2 (instead of a stream)")] | None
    ) = None
    x: Share | None = None
    y: Share | None = None
    width: Share | None = None
    height: Share | None = None
    z_order: Order | None = None


class PaneText(_Item):
    """A text in a pane."""

    text: str | None = Field(None, description="text")
    x: Share | None = None
    y: Share | None = None
    font_type: Annotated[int, Field(ge=0, le=5, description="a whole number from 0 to 5")] | None = None
    font_size: Annotated[int, Field(ge=1, le=72, description="a whole number from 1 to 72")] | None = None
    font_color: (
        Annotated[int, Field(ge=0, le=_WHITE, description="a whole number from 0 to 16777215: R + G*256 + B*65536")]
        | None
    ) = None
    z_order: Order | None = None


class UserPane(_Item):
    """Who is shown in which pane of the layout."""

    pane_id: Annotated[int, Field(ge=0, le=15, description="a whole number from 0 to 15")] | None = None
    user_id: Text | None = None
    source_type: Source | None = None
    images: (
        Annotated[list[Image], Field(min_length=1, max_length=_MOST, description="a list of 1 to 16 pictures")] | None
    ) = None
    texts: (
        Annotated[list[PaneText], Field(min_length=1, max_length=_MOST, description="a list of 1 to 16 texts")] | None
    ) = None


class _Task(_Part):
    app_id: OneId
    task_id: TaskId


class _Mixed(_Task):
    """What a start and an update of a mixed recording have in common."""

    channel_id: OneId
    template_id: Text
    task_profile: TaskProfile | None = None
    media_encode: MediaEncode | None = None
    crop_mode: Annotated[int, Field(description="a whole number")] | None = None
    layout_ids: (
        Annotated[
            list[Annotated[int, Field(description="a whole number")]],
            Field(min_length=1, max_length=_MOST, description="a list of 1 to 16 layouts"),
        ]
        | None
    ) = None
    sub_spec_users: Users | None = None
    sub_spec_audio_users: Users | None = None
    sub_spec_share_screen_users: Users | None = None
    sub_spec_camera_users: Users | None = None
    unsub_spec_audio_users: Users | None = None
    unsub_spec_share_screen_users: Users | None = None
    unsub_spec_camera_users: Users | None = None
    user_panes: (
        Annotated[list[UserPane], Field(min_length=1, max_length=_MOST, description="a list of 1 to 16 panes")] | None
    ) = None

    @model_validator(mode="after")
    def _is_paid_for(self) -> Self:
        """Refuse a larger picture, or more panes, than the profile has; compared are areas, for 31 is 30 upright."""
        if self.task_profile is None:
            return self
        most, size = TASK_PROFILES[self.task_profile]
        width, height = MEDIA_ENCODES[self.media_encode or 0]
        if width * height > size[0] * size[1]:
            raise ValueError(
                f"MediaEncode {self.media_encode} is {width}x{height}; expected one that is no larger than the "
                f"TaskProfile {self.task_profile}"
            )
        if most is not None and len(self.user_panes or ()) > most:
            raise ValueError(
                f"UserPanes are {len(self.user_panes or ())}; expected at most the {most} inputs of the "
                f"TaskProfile {self.task_profile}"
            )
        return self


class StartRecordTask(_Mixed):
    """StartRecordTask, version 2018-01-11."""

    mix_mode: Annotated[int, Field(ge=0, le=1, description="0 (single streams) or 1 (mixed, the default)")] | None = (
        None
    )
    source_type: Source | None = None
    stream_type: Annotated[int, Field(ge=0, le=1, description="0 (as sent) or 1 (sound alone)")] | None = None
    # The page says that these have an effect in MixMode 1, and has them in no table: they are the template's.
    background_color: int | None = Field(None, exclude=True, description="a whole number, which is not sent")
    backgrounds: list[Any] | None = Field(None, exclude=True, description="a list, which is not sent")
    watermarks: list[Any] | None = Field(None, exclude=True, description="a list, which is not sent")

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        """Refuse what has no effect in the MixMode: the vendor would ignore it without a word."""
        given = {(field.alias or name): getattr(self, name) for name, field in type(self).model_fields.items()}
        of_the_mix = given.keys() - {*_SINGLE, "AppId", "ChannelId", "TaskId", "TemplateId", "MixMode"}
        mode = 1 if self.mix_mode is None else self.mix_mode
        idle = [name for name in given if name in (_SINGLE if mode else of_the_mix) and given[name] is not None]
        if idle:
            effective = "StreamType and SourceType have one" if mode == 0 else "in MixMode 0 they have"
            raise ValueError(f"{', '.join(idle)} without an effect in MixMode {mode}; {effective}")
        return self


class UpdateRecordTask(_Mixed):
    """UpdateRecordTask, version 2018-01-11: as the start, without MixMode, SourceType and StreamType."""

    page: ClassVar[str] = "RTC API 2018-01-11, UpdateRecordTask"


class StopRecordTask(_Task):
    """StopRecordTask, version 2018-01-11."""

    page: ClassVar[str] = "RTC API 2018-01-11, StopRecordTask"
