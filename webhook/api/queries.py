"""What can be asked: the parameters of each list, and the bodies of what changes many rows at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from handlers.errors import WrongRequest
from handlers.moments import RFC_3339, from_text
from handlers.questions import filters
from handlers.questions.filters import DEFAULT_LIMIT, MOST, Filters, Page
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterable

_TEXT = r"^[^\u0000]+$"
_WHOLE = re.compile(r"[0-9]{1,9}")
_BOOLEANS = {"true": True, "false": False}


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or re.search("[\0\ud800-\udfff]", value):
        raise ValueError("expected text that is not empty and holds no NUL")
    return value


def _vendor(value: object) -> str:
    if value not in VENDORS:
        raise ValueError(f"expected {', '.join(repr(name) for name in VENDORS)}")
    return str(value)


def _moment(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("expected an RFC 3339 time with an offset, such as 2020-09-02T10:23:54Z")  # noqa: TRY004 - pydantic collects ValueError only
    return from_text(value)


def _limit(value: object) -> int:
    if not isinstance(value, str) or not _WHOLE.fullmatch(value) or not 1 <= int(value) <= MOST:
        raise ValueError(f"expected a whole number from 1 to {MOST}")
    return int(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, str) or value not in _BOOLEANS:
        raise ValueError("expected true or false")
    return _BOOLEANS[value]


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def many(description: str, example: str) -> Any:  # noqa: ANN401 - what pydantic.Field returns
    """Return the field of a filter that may have several values."""
    return Field(default=(), description=description, json_schema_extra={"example": [example]})


Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": "string", "pattern": _TEXT})]
Texts = tuple[Text, ...]
Vendors = tuple[Annotated[str, BeforeValidator(_vendor), WithJsonSchema({"type": "string", "enum": [*VENDORS]})], ...]
Moment = Annotated[
    int | None,
    BeforeValidator(_moment),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "pattern": RFC_3339, "example": "2020-09-02T10:23:54+08:00"}
    ),
    Field(json_schema_extra=_without_default),
]
Prefix = Annotated[
    str | None,
    BeforeValidator(_text),
    WithJsonSchema({"type": "string", "pattern": _TEXT, "example": "lesson-2020"}),
    Field(json_schema_extra=_without_default),
]
OneText = Annotated[
    str | None,
    BeforeValidator(_text),
    WithJsonSchema({"type": "string", "pattern": _TEXT}),
    Field(json_schema_extra=_without_default),
]
Types = tuple[Literal["record", "segment", "push"], ...]
Doors = tuple[Literal["http", "mns", "mns-topic", "sqs", "api", "sweep", "import"], ...]


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names of parameters as a person looks for them: the filters from large to small, then the others."""
    order = list(Filters.__dataclass_fields__)
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


class Asked(BaseModel):
    """Parameters of a request: a name that is not among them is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def filters(self) -> Filters:
        """Return the filters among the parameters."""
        names = set(Filters.__dataclass_fields__)
        return Filters(**{name: value for name, value in self if name in names})


class Paged(Asked):
    """What every list can be asked for."""

    kind: ClassVar[str]

    limit: Annotated[
        int,
        BeforeValidator(_limit),
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT}),
    ] = Field(default=DEFAULT_LIMIT, description="How many items the page holds at the most.")
    cursor: Annotated[
        str | None,
        BeforeValidator(_text),
        WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}),
        Field(json_schema_extra=_without_default),
    ] = Field(default=None, description="The `next` of an earlier answer, unchanged: the page goes on after it.")
    total: Annotated[bool, BeforeValidator(_boolean), WithJsonSchema({"type": "boolean", "default": False})] = Field(
        default=False, description="Count the matching rows too, up to 10000."
    )

    @field_validator("cursor")
    @classmethod
    def _of_this_kind(cls, cursor: str | None) -> str | None:
        try:
            filters.from_cursor(cls.kind, Page(cursor=cursor))
        except WrongRequest as exc:
            raise ValueError(exc.wrong["cursor"]) from exc
        return cursor

    def page(self) -> Page:
        """Return which page is wanted."""
        return Page(limit=self.limit, cursor=self.cursor)


class Named(Asked):
    """Filters by what deliveries and what they tell of have in common."""

    vendor: Vendors = Field(default=(), description="The vendor's name, as in its callback URL.")
    account: Texts = many("The account's name, as in reelhook.toml.", "lessons")


class InTask(Named):
    """Filters by the vendor's names of a task; of a delivery: of one that it told of."""

    app_id: Texts = many("The vendor's id of the application.", "9q1x")
    business_id: Texts = many("The vendor's business id, where it has one.", "school-1")
    room_id: Texts = many("The room, in some vendors' words the channel.", "record-004")
    task_id: Texts = many("The vendor's id of the task.", "task-005")
    q: Prefix = Field(default=None, description="What the room or the task id begins with.")


class OfType(InTask):
    """The same, and by what the task does."""

    type: Types = Field(default=(), description="The kind of the task.")


class InFile(OfType):
    """Filters by what is in a file; of a delivery: in one that it told of."""

    q: Prefix = Field(default=None, description="What the room, the task id or the file's key begins with.")
    user_id: Texts = many("Somebody whose picture or sound is in the file.", "teacher-1")
    format: Texts = many("The file's format, in lower case.", "m3u8")


class Started(Asked):
    """Filters by when something began."""

    started_after: Moment = Field(default=None, description="Began at this time or later.")
    started_before: Moment = Field(default=None, description="Began before this time.")


class Moved(Started):
    """Filters by when something began, and last changed."""

    updated_after: Moment = Field(default=None, description="Changed in the catalogue at this time or later.")


class Received(Asked):
    """Filters by when something came in."""

    received_after: Moment = Field(
        default=None, description="Came (a recording or segment: was first heard of) at this time or later."
    )
    received_before: Moment = Field(
        default=None, description="Came (a recording or segment: was first heard of) before this time."
    )


class RecordingsQuery(Paged, InFile, Moved, Received):
    """Parameters of the list of recordings."""

    kind = filters.RECORDINGS

    state: tuple[Literal["announced", "available", "verified", "missing", "mismatch"], ...] = Field(
        default=(), description="How much is known of the file."
    )
    door: Doors = Field(default=(), description="A way by which any of its deliveries came in.")


class SegmentsQuery(Paged, InTask, Started, Received):
    """Parameters of the list of segments."""

    kind = filters.SEGMENTS

    user_id: Texts = many("Somebody whose sound alone is in it.", "teacher-1")


class TasksQuery(Paged, OfType, Moved):
    """Parameters of the list of tasks."""

    kind = filters.TASKS

    state: tuple[Literal["unknown", "running", "stopped", "failed"], ...] = Field(
        default=(), description="How far the task has come."
    )


class DeliveryFilters(InFile, Received):
    """Filters of deliveries; those by task and file are about one thing that the delivery told of."""

    type: Types = Field(
        default=(),
        description="The kind of the task. Segments count for `segment`, or where a room, task, user or `q` is given.",
    )
    door: Doors = Field(default=(), description="The way by which it came in.")
    state: tuple[Literal["kept", "processed", "quarantined"], ...] = Field(
        default=(), description="How far its processing has come."
    )
    reason: Texts = many("What the reason of its quarantine begins with.", "app id")


class DeliveriesQuery(Paged, DeliveryFilters):
    """Parameters of the list of deliveries."""

    kind = filters.DELIVERIES


class RefusalFilters(Named, Received):
    """Filters of refusals."""

    door: Doors = Field(default=(), description="The way by which it came.")
    reason: Texts = many("The word for why it was turned away.", "bad_token")


class RefusalsQuery(Paged, RefusalFilters):
    """Parameters of the list of refusals."""

    kind = filters.REFUSALS


class Change(Asked):
    """What every bulk change can be asked for."""

    preview: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="Only count what would be changed, up to 10000."
    )


class ReplayBody(Change, DeliveryFilters):
    """Which deliveries are to be processed once more; without a state the quarantined ones."""

    state: tuple[Literal["processed", "quarantined"], ...] = Field(
        default=(), description="How far its processing has come; without it, quarantined."
    )
    fire: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="Ask the rules about what that changes, as if it had just come; of what was processed before, that "
        "is nothing.",
    )


class ReleaseBody(Change, RefusalFilters):
    """Which refusals are to be kept after all."""


class Nothing(Asked):
    """No parameters at all."""


class Id(BaseModel):
    """The row that is meant."""

    id: str = Field(description="The item's id.", json_schema_extra={"example": "rec_01jf3q4m5n6p7r8s9t0v1w2x3y"})
