"""What streams, layouts and encodings a call of Volcengine's may hold: their types and ranges, as its pages have them.

The versions 2020-12-01 and 2022-06-01 put a wrong value of an optional field silently right: its default applies. Such
a value is refused here, as is one that the API would refuse, and one that an update can't change.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_pascal

from handlers.operation import Number, Parameters

_TYPES = "docs/6348/115995"
_PUSH_TYPES = "docs/6348/69835"
_MOST_STREAMS = 17
_MOST_STREAMS_OF_A_PUSH = 30
_LONGEST_URL = 1024
#: endings of pictures that are certainly no JPG or PNG; any other may be one, such as `.jpg!small`
_OTHER_PICTURES = frozenset({"avif", "bmp", "gif", "heic", "heif", "svg", "tif", "tiff", "webp"})
_RATES = (32_000, 44_100, 48_000)
_RATES_SAID = "32000, 44100 or 48000"
INT32 = 2**31 - 1
#: how far from a right angle the audience's axes may be
_SKEW = 1e-6


def _picture(text: str) -> str:
    if not re.match(r"https?://[^\s/]+\S*\Z", text):
        raise ValueError("is no address of a picture; expected one that begins with http:// or https://")
    if (size := len(text.encode())) > _LONGEST_URL:
        raise ValueError(f"is {size} bytes long; expected an address of at most {_LONGEST_URL} bytes")
    try:
        _, dot, extension = urlsplit(text).path.rpartition("/")[2].rpartition(".")
    except ValueError:
        raise ValueError("is no address that can be read; expected one such as https://host/picture.png") from None
    if dot and extension.lower() in _OTHER_PICTURES:
        raise ValueError(f'ends with ".{extension}"; expected a picture of JPG, JPEG or PNG')
    return text


def _rate(number: int) -> int:
    if number not in _RATES:
        raise ValueError(f"is {number}; expected {_RATES_SAID}")
    return number


Id = Annotated[
    str,
    Field(pattern=r"^[a-zA-Z0-9_@.\-]{1,128}$", description="1 to 128 of the characters a-z A-Z 0-9 _ @ - ."),
]
BusinessId = Annotated[
    str,
    Field(
        pattern=r"^[a-zA-Z0-9_@.\-]{0,128}$",
        description='1 to 128 of the characters a-z A-Z 0-9 _ @ - ., or "" for none',
    ),
]
#: a client's push has the id of the client and its own
PushId = Annotated[
    str,
    Field(
        pattern=r"^[a-zA-Z0-9_@.\-]{1,128}(@@[a-zA-Z0-9_@.\-]{1,128})?$",
        description="1 to 128 of the characters a-z A-Z 0-9 _ @ - ., or two of such ids with @@ between them",
    ),
]
Index = Annotated[int, Field(ge=0, le=INT32, description="a whole number from 0 up: the stream's index")]
Flag = Annotated[bool, Field(description="true or false")]
Picture = Annotated[
    str,
    AfterValidator(_picture),
    Field(description="an http or https address of a JPG, JPEG or PNG, of at most 1024 bytes"),
]
Share = Annotated[Number, Field(ge=0, le=1, description="a number from 0 to 1")]
Proportion = Annotated[Number, Field(gt=0, le=1, description="a number above 0, up to 1")]
Even = Annotated[int, Field(ge=2, le=1920, multiple_of=2, description="an even number from 2 to 1920")]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$", description='a colour as "#RRGGBB"')]
_Coordinate = Annotated[Number, Field(ge=-100, le=100)]
Position = Annotated[list[_Coordinate], Field(min_length=3, max_length=3, description="three numbers from -100 to 100")]
SampleRate = Annotated[
    int,
    AfterValidator(_rate),
    Field(description=_RATES_SAID, json_schema_extra={"enum": [*_RATES]}),
]
Axis = Annotated[list[Number], Field(min_length=3, max_length=3, description="three numbers")]


class Part(Parameters):
    """An object inside a call, or the call itself."""

    model_config = ConfigDict(alias_generator=to_pascal)

    page: ClassVar[str] = _TYPES


class Stream(Part):
    """One participant's stream (type Stream)."""

    # Without an index a stream has no region, and in the custom layout each needs one.
    index: Index
    user_id: Id
    stream_type: Annotated[int, Field(ge=0, le=1, description="0 (camera) or 1 (screen)")] | None = None


def _unique(streams: list[Stream]) -> list[Stream]:
    indexes = [stream.index for stream in streams]
    twice = sorted({index for index in indexes if indexes.count(index) > 1})
    if twice:
        raise ValueError(f"holds the Index {', '.join(map(str, twice))} more than once; expected each Index once")
    return streams


class Streams(Part):
    """The streams that go into the picture (type Streams); an empty list: those of all users."""

    stream_list: Annotated[
        list[Stream],
        AfterValidator(_unique),
        Field(max_length=_MOST_STREAMS, description=f"a list of at most {_MOST_STREAMS} streams"),
    ]


class PushStreams(Streams):
    """The streams of a push (type Streams)."""

    page: ClassVar[str] = _PUSH_TYPES

    stream_list: Annotated[
        list[Stream],
        AfterValidator(_unique),
        Field(max_length=_MOST_STREAMS_OF_A_PUSH, description=f"a list of at most {_MOST_STREAMS_OF_A_PUSH} streams"),
    ]


class Canvas(Part):
    """The ground of the picture (type Canvas)."""

    # The page's own sample of an update gives the size, though an update doesn't change it.
    width: Even | None = None
    height: Even | None = None
    background: Colour | None = None
    background_image: Picture | None = None


class SourceCrop(Part):
    """Which part of a stream is shown (type SourceCrop)."""

    location_x: Share | None = None
    location_y: Share | None = None
    width_proportion: Proportion | None = None
    height_proportion: Proportion | None = None


class Region(Part):
    """Where a stream is shown (type Region)."""

    stream_index: Index
    location_x: Share | None = None
    location_y: Share | None = None
    width_proportion: Proportion
    height_proportion: Proportion
    z_order: Annotated[int, Field(ge=0, le=100, description="a whole number from 0 to 100")] | None = None
    alpha: Proportion | None = None
    render_mode: Annotated[int, Field(ge=0, le=3, description="0, 1, 2 or 3")] | None = None
    media_type: Annotated[int, Field(ge=0, le=2, description="0 (both), 1 (sound) or 2 (picture)")] | None = None
    alternate_image: Picture | None = None
    alternate_image_fill_mode: Annotated[int, Field(ge=0, le=1, description="0 or 1")] | None = None
    source_crop: SourceCrop | None = Field(None, description="an object of the type SourceCrop")
    spatial_position: Position | None = None


class PushRegion(Region):
    """Where a stream is shown in a push (type Region)."""

    page: ClassVar[str] = _PUSH_TYPES

    apply_spatial_audio: Flag | None = None
    corner_radius: Proportion | None = None


_AnyRegion = TypeVar("_AnyRegion", bound=Region)


def _one_each(regions: list[_AnyRegion]) -> list[_AnyRegion]:
    placed = [region.stream_index for region in regions]
    twice = sorted({index for index in placed if placed.count(index) > 1})
    if twice:
        said = ", ".join(map(str, twice))
        raise ValueError(f"place the StreamIndex {said} more than once; expected one region for each stream")
    return regions


class CustomLayout(Part):
    """The layout that an update can change (type CustomLayout)."""

    canvas: Canvas | None = Field(None, description="an object of the type Canvas")
    regions: Annotated[list[Region], AfterValidator(_one_each)] | None = Field(
        None, description="a list of the type Region"
    )


class PushCustomLayout(Part):
    """The layout of a push (type CustomLayout)."""

    page: ClassVar[str] = _PUSH_TYPES

    canvas: Canvas | None = Field(None, description="an object of the type Canvas")
    regions: Annotated[list[PushRegion], AfterValidator(_one_each)] | None = Field(
        None, description="a list of the type Region"
    )


CustomMode = Annotated[int, Field(ge=2, le=2, description="2: only the custom layout can be updated")]


class Layout(Part):
    """How the streams become one picture (type Layout)."""

    layout_mode: CustomMode
    custom_layout: CustomLayout | None = Field(None, description="an object of the type CustomLayout")


class PushLayout(Part):
    """How the streams of a push become one picture (type Layout)."""

    page: ClassVar[str] = _PUSH_TYPES

    layout_mode: CustomMode | None = None
    custom_layout: PushCustomLayout | None = Field(None, description="an object of the type CustomLayout")


class Encode(Part):
    """How the mix is encoded (type Encode), without VideoCodec and AudioProfile, which no update changes."""

    page: ClassVar[str] = _PUSH_TYPES

    video_fps: Annotated[int, Field(ge=1, le=60, description="a whole number from 1 to 60")] | None = None
    video_gop: Annotated[int, Field(ge=1, le=5, description="a whole number from 1 to 5")] | None = None
    video_bitrate: (
        Annotated[int, Field(ge=1, le=10_000, description="a whole number from 1 to 10000, of kbit/s")] | None
    ) = None
    video_width: Even | None = None
    video_height: Even | None = None
    audio_codec: Annotated[int, Field(ge=0, le=0, description="0")] | None = None
    audio_bitrate: (
        Annotated[int, Field(ge=32, le=192, description="a whole number from 32 to 192, of kbit/s")] | None
    ) = None
    audio_sample_rate: SampleRate | None = None
    audio_channels: Annotated[int, Field(ge=1, le=2, description="1 or 2")] | None = None


class Orientation(Part):
    """Where the audience looks (type HumanOrientation)."""

    page: ClassVar[str] = _PUSH_TYPES

    forward: Axis | None = None
    right: Axis | None = None
    up: Axis | None = None

    @model_validator(mode="after")
    def _is_perpendicular(self) -> Self:
        axes = [self.forward or [1, 0, 0], self.right or [0, 1, 0], self.up or [0, 0, 1]]
        pairs = ((axes[0], axes[1]), (axes[1], axes[2]), (axes[0], axes[2]))
        if any(abs(sum(a * b for a, b in zip(one, other, strict=True))) > _SKEW for one, other in pairs):
            raise ValueError("Forward, Right and Up (without them 1,0,0 and 0,1,0 and 0,0,1) are not perpendicular")
        return self


class SpatialConfig(Part):
    """How the mix sounds in space (type SpatialConfig)."""

    page: ClassVar[str] = _PUSH_TYPES

    enable_spatial_render: Flag | None = None
    audience_spatial_position: Position | None = None
    audience_spatial_orientation: Orientation | None = Field(None, description="an object of Forward, Right and Up")


class Control(Part):
    """The only part of Control that an update changes (type Control)."""

    page: ClassVar[str] = _PUSH_TYPES

    spatial_config: SpatialConfig | None = Field(None, description="an object of the type SpatialConfig")
