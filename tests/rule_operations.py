"""A few operations as vendors and destinations have them, and changes to try rules on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from handlers.destinations import DestinationOperation, Handover
from handlers.operation import Caveat, Operation, Outcome, Parameters, Request, Response, gives
from handlers.rules import Change, Known, Rules
from handlers.rules.rule_file import read_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.destinations import Means
    from handlers.events import TaskKey
    from handlers.settings import Account, Destination


class _OfTask(Parameters):
    app_id: str = Field(alias="AppId")
    business_id: str | None = Field(default=None, alias="BusinessId")
    room_id: str = Field(alias="RoomId")
    task_id: str = Field(alias="TaskId")


class UpdateSegment(_OfTask):
    duration: Annotated[int, Field(ge=1, le=600)] | None = Field(
        default=None, alias="Duration", description="a whole number of seconds from 1 to 600"
    )
    identifier: Annotated[str, Field(pattern="^[0-9A-Za-z_.@-]{1,128}$")] | None = Field(
        default=None, alias="Identifier"
    )
    handle: bool | None = Field(default=None, alias="Handle")
    size: int | None = Field(default=None, alias="Size")

    @model_validator(mode="after")
    def _says_something(self) -> UpdateSegment:
        if self.duration is None and self.identifier is None:
            raise ValueError("neither Duration nor Identifier is given; expected one of them")
        return self


class Region(Parameters):
    stream_index: int = Field(alias="StreamIndex", ge=0)
    alpha: float = Field(default=1.0, alias="Alpha", ge=0, le=1)
    user_id: str | None = Field(default=None, alias="UserId")


class UpdateRecord(_OfTask):
    layout_mode: Literal[2] = Field(alias="LayoutMode")
    regions: list[Region] = Field(alias="Regions", max_length=17)


class StartRecordTask(Parameters):
    app_id: str = Field(alias="AppId")
    channel_id: str = Field(alias="ChannelId")
    task_id: str = Field(alias="TaskId")
    template: str = Field(alias="TemplateId")


class Post(Parameters):
    to: str
    body: Any = None
    topic: str | None = None


def _own(task: TaskKey, business_id: str | None) -> Mapping[str, str]:
    told = {"AppId": task.app_id, "BusinessId": business_id, "RoomId": task.room_id, "TaskId": task.task_id}
    return {name: value for name, value in told.items() if value}


def _own_channel(task: TaskKey, business_id: str | None) -> Mapping[str, str]:  # noqa: ARG001 - as operations have it
    return {"AppId": task.app_id, "ChannelId": task.room_id}


def _nothing(task: TaskKey, business_id: str | None) -> Mapping[str, str]:  # noqa: ARG001 - as operations have it
    return {}


def _request(parameters: Mapping[str, Any], account: Account, at: int, nonce: str) -> Request:  # noqa: ARG001 - as operations have it
    return Request(method="POST", url="https://rtc.example", headers={})


def _outcome(response: Response) -> Outcome:  # noqa: ARG001 - as operations have it
    return Outcome(verdict="done")


def operation(name: str, parameters: type[Parameters], **told: Any) -> Operation:
    """Return an operation that nobody ever sends."""
    usual: dict[str, Any] = {
        "api": name,
        "own": _nothing,
        "request": _request,
        "outcome": _outcome,
        "lane": lambda parameters: parameters.get("TaskId"),
        "limit": None,
        "is_repeatable": True,
        "task_type": None,
    }
    return Operation(name=name, parameters=parameters, **usual | told)


def _handing_over(name: str, kind: Any, **told: Any) -> DestinationOperation:
    def perform(handover: Handover, destination: Destination, means: Means) -> Outcome:  # noqa: ARG001 - as they have it
        return Outcome(verdict="done")

    return DestinationOperation(name=name, kind=kind, parameters=Post, perform=perform, **told)


OPERATIONS: Mapping[str, Operation | DestinationOperation] = {
    "volcengine.update_segment": operation(
        "update_segment",
        UpdateSegment,
        own=_own,
        task_type="segment",
        unique="Identifier",
        feeds=frozenset({"segment.created"}),
        warnings=(Caveat("each change of Duration cuts the slice that is running", when=gives("Duration")),),
    ),
    "volcengine.update_record": operation("update_record", UpdateRecord, own=_own, task_type="record"),
    "aliyun.start_record_task": operation(
        "start_record_task",
        StartRecordTask,
        own=_own_channel,
        derived="TaskId",
        feeds=frozenset({"task.started", "recording.created", "recording.available"}),
    ),
    "http.post": _handing_over("post", "http"),
    "http.forward": _handing_over("forward", "http", takes_batches=False),
    "sqs.send": _handing_over("send", "sqs"),
}

KNOWN = Known(
    operations=OPERATIONS,
    vendors=("aliyun", "huawei", "volcengine"),
    accounts=(("aliyun", "lessons"), ("volcengine", "classroom"), ("volcengine", "evening"), ("huawei", "clinic")),
    destinations={"captioning": "http", "archive": "http", "jobs": "sqs"},
)

#: 2023-11-14T22:13:20.123Z
AT = 1_700_000_000_123

TASK = {
    "id": "tsk_1",
    "type": "record",
    "run": 0,
    "vendor": "volcengine",
    "account": "classroom",
    "app_id": "app1",
    "business_id": None,
    "room_id": "room1",
    "task_id": "lesson-1",
    "state": "running",
    "reason": None,
    "upload": None,
    "started_at": AT,
    "ended_at": None,
    "recording_count": 1,
    "segment_count": 2,
    "recorded_ms": 2**53 + 1,
    "updated_at": AT,
}
SEGMENT = {
    "id": "seg_1",
    "task": "tsk_1",
    "identifier": "lesson-1",
    "streams": [{"user_id": "u1", "source": None}],
    "mixed": False,
    "started_at": None,
    "duration_ms": 61_000,
    "size_bytes": 2**53 + 1,
    "media": {"sample_rate": 16_000},
    "first_seen_at": AT,
}
RECORDING = {
    "id": "rec_1",
    "task": "tsk_1",
    "key": "课/é.m3u8",
    "format": "m3u8",
    "streams": [{"user_id": "u1", "source": "camera"}],
    "mixed": True,
    "started_at": AT,
    "ended_at": None,
    "duration_ms": 3_600_000,
    "size_bytes": 2**62 + 1,
    "media": {"width": 2**60 + 1, "video_codec": "h264"},
    "state": "available",
    "flags": ["shared"],
    "sightings": 1,
}


def change(name: str = "segment.created", **told: Any) -> Change:
    """Return a change with everything that one of its name has."""
    kind = "segment" if name == "segment.created" else "push" if name.startswith("push.") else "record"
    event = {"kind": name, "word": "Told", "at": AT, "door": "http", "type": kind, "vendor": "volcengine"}
    usual: dict[str, Any] = {
        "name": name,
        "subject": "seg_1" if kind == "segment" else "rec_1" if name.startswith("recording.") else "tsk_1",
        "vendor": "volcengine",
        "account": "classroom",
        "at": AT,
        "delivery": "dlv_1",
        "event": event,
        "task": TASK | {"type": kind},
        "recording": RECORDING if name.startswith("recording.") else None,
        "segment": SEGMENT if kind == "segment" else None,
    }
    return Change(**usual | told)


def rules_of(text: str, known: Known = KNOWN) -> Rules:
    """Return the rules of a text that must be right."""
    file = read_rules(text, known)
    assert not file.errors, [problem.shown("rules.yaml") for problem in file.errors]
    return Rules(file.rules, known, version=file.version)


def problems_of(text: str, known: Known = KNOWN) -> list[str]:
    """Return the errors of a text, as they are shown."""
    return [problem.shown("rules.yaml") for problem in read_rules(text, known).errors]
