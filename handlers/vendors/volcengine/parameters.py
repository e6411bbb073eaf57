"""What a call of Volcengine's may say: its parameters, and which of them must go together, as its pages have them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from handlers.vendors.volcengine.layouts import (
    INT32,
    BusinessId,
    Control,
    Encode,
    Flag,
    Id,
    Layout,
    Part,
    PushId,
    PushLayout,
    PushRegion,
    PushStreams,
    Region,
    Streams,
)


class TaskParameters(Part):
    """What names the task in every call."""

    app_id: Id
    business_id: BusinessId | None = None
    room_id: Id
    task_id: Id

    @field_validator("business_id")
    @classmethod
    def _empty_is_none(cls, text: str | None) -> str | None:
        return text or None


class UpdateSegment(TaskParameters):
    """UpdateSegment, version 2022-06-01 (docs/6348/155130)."""

    page: ClassVar[str] = "docs/6348/155130"

    identifier: Id | None = None
    handle: Flag | None = None
    duration: (
        Annotated[
            int,
            Field(ge=1, le=600, description="a whole number from 1 to 600, of seconds (any other silently becomes 20)"),
        ]
        | None
    ) = None
    # The page's sample of a request has these two, its table and the vendor's SDK have not.
    max_idle_time: int | None = Field(None, exclude=True, description="a whole number, which is not sent")
    target_streams: dict[str, Any] | None = Field(None, exclude=True, description="an object, which is not sent")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.identifier is None and self.handle is None and self.duration is None:
            raise ValueError("Identifier, Handle and Duration are missing; expected one of them, or nothing is updated")
        return self


class UpdateRecord(TaskParameters):
    """UpdateRecord, version 2022-06-01 (docs/6348/116406)."""

    page: ClassVar[str] = "docs/6348/116406"

    target_streams: Streams | None = Field(None, description="an object of the type Streams")
    layout: Layout | None = Field(None, description="an object of the type Layout")

    @model_validator(mode="after")
    def _streams_have_regions(self) -> Self:
        custom = self.layout and self.layout.custom_layout
        if self.target_streams is not None and custom and custom.regions is not None:
            check_regions(self.target_streams, custom.regions)
        return self


class UpdatePushMixedStreamToCDN(TaskParameters):
    """UpdatePushMixedStreamToCDN, version 2020-12-01 (docs/6348/69849)."""

    page: ClassVar[str] = "docs/6348/69849"

    task_id: PushId
    target_streams: PushStreams | None = Field(None, description="an object of the type Streams")
    layout: PushLayout | None = Field(None, description="an object of the type Layout")
    encode: Encode | None = Field(None, description="an object of the type Encode")
    control: Control | None = Field(None, description="an object of the type Control")
    # The API's default is false; it has to be said, for then everything that isn't given is reset.
    is_update_partial_param: bool = Field(
        description="true (only what is given changes, a list is given whole) or false (what is left out falls back "
        "to its default)"
    )
    sequence_number: (
        Annotated[int, Field(ge=0, le=INT32, description="a whole number from 0 to 2147483647, above the last one")]
        | None
    ) = None

    @model_validator(mode="after")
    def _streams_have_regions(self) -> Self:
        custom = self.layout and self.layout.custom_layout
        regions = custom.regions if custom else None
        if not self.is_update_partial_param:
            if self.layout and self.layout.layout_mode is None:
                raise ValueError("Layout.LayoutMode is missing and would fall back to 0; expected 2")
            check_regions(self.target_streams, regions or [])
        elif self.target_streams is not None and regions is not None:
            check_regions(self.target_streams, regions)
        return self

    @model_validator(mode="after")
    def _space_has_two_channels(self) -> Self:
        spatial = self.control and self.control.spatial_config
        if spatial and spatial.enable_spatial_render and self.encode and self.encode.audio_channels == 1:
            raise ValueError("Control.SpatialConfig has no effect with Encode.AudioChannels 1; expected 2")
        return self


def check_regions(streams: Streams | None, regions: list[Region] | list[PushRegion]) -> None:
    """Raise ValueError unless each stream has a region and each region its stream."""
    shown = {stream.index for stream in streams.stream_list} if streams else set()
    placed = {region.stream_index for region in regions}
    if shown != placed:
        raise ValueError(
            f"TargetStreams has the indexes {sorted(shown)} and Layout.CustomLayout.Regions has {sorted(placed)}; "
            "expected a region for every stream, and a stream for every region"
        )
