"""What each action does to a task, and when it is refused, after the vendor's pages on the actions."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from standin.openapi.tasks import RUNNING, STOPPED, Task
from standin.openapi.volcengine.shapes import (
    PUSH,
    RECORD,
    SEGMENT,
    TABLES,
    Field,
    fill,
    is_id,
    is_push_id,
    merge,
    present,
    read,
)
from standin.openapi.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from standin.openapi.tasks import Tasks
    from standin.openapi.wire import Asked, Request, TaskKey

#: calls per second and account that the vendor documents, as far as the actions are here
LIMITS: Mapping[str, int] = {
    "UpdateRecord": 60,
    "UpdateSegment": 150,
    "UpdatePushMixedStreamToCDN": 150,
    "StartRecord": 60,
    "GetRecordTask": 60,
    "StartSegment": 60,
    "StopSegment": 150,
}
#: streams of one task
MOST_STREAMS = {"record": 17, "push": 30}

_IDS = ("AppId", "BusinessId", "RoomId", "TaskId")
#: what a start decides and no update can change
_MODES = (
    Field(name="RecordMode", kind="int", default=0),
    Field(name="Layout", kind="object", table=(Field(name="LayoutMode", kind="int", default=0),), default={}),
)


@dataclass(frozen=True, kw_only=True)
class Body:
    """The values of a call, with its ids checked, and what was put right in them."""

    values: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, request: Request, asked: Asked, *, json: bool) -> Self:
        """Read the body of an authentic call, or a GET's query. Raises Refused."""
        if request.method != "GET":
            if not request.body.strip():
                raise Refused("InvalidParameter.BodyIsEmpty")
            if not json or not isinstance(asked.body, dict):
                raise Refused("InvalidParameter.Unmarshal", "expected a JSON object as application/json")
        _check_ids(asked.body, is_push=ACTIONS[asked.action or ""].type == "push")
        return cls(values=asked.body)

    def rest(self, *more: str) -> dict[str, Any]:
        """Return the values without the ids and without these; null is as good as left out."""
        left = {*_IDS, *more}
        return {name: value for name, value in self.values.items() if name not in left and value is not None}


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action: the version that it is here in, the type of its tasks, what it does."""

    version: str
    type: str
    do: Callable[[TaskKey, Body, Tasks], tuple[Any, Mapping[str, Any] | None]]
    methods: frozenset[str] = frozenset({"POST"})


def perform(asked: Asked, body: Body, tasks: Tasks) -> tuple[Any, Mapping[str, Any] | None]:
    """Do it; return what stands in Result where it isn't the usual, and what was applied. Raises Refused."""
    action = ACTIONS[asked.action or ""]
    values = body.values
    key = tasks.key(type=action.type, app_id=values["AppId"], room_id=values["RoomId"], task_id=values["TaskId"])
    return action.do(key, body, tasks)


def _check_ids(values: Mapping[str, Any], *, is_push: bool) -> None:
    missing = {"AppId": "MissingParameter.NoAppId", "RoomId": "MissingParameter.NoRoomId", "TaskId": "InvalidParameter"}
    wrong = {"AppId": "InvalidParameter.IllegalAppId", "RoomId": "InvalidParameter.IllegalRoomID"}
    for name in _IDS:
        value = values.get(name)
        if value is not None and not isinstance(value, str):
            raise Refused("InvalidParameter.Unmarshal", f"{name} is no text: {value!r}")
        if not value:
            if name in missing:
                raise Refused(missing[name], f"{name} is required")
        elif not (is_push_id if is_push and name == "TaskId" else is_id)(value):
            raise Refused(wrong.get(name, "InvalidParameter"), f"{name} is malformed: {value!r}")


def _running(key: TaskKey, tasks: Tasks) -> Task:
    task = tasks.find(key)
    if task is None or task.state != RUNNING:
        raise Refused("InvalidParameter.ErrorActiveTaskNotFound", f"no {key.type} task {key.task_id!r} runs")
    return task


def _start(key: TaskKey, body: Body, tasks: Tasks) -> tuple[None, Mapping[str, Any]]:
    """Let a task run; of its many parameters only those are read that an update can meet."""
    task = tasks.find(key)
    if task is not None and task.state == RUNNING:
        raise Refused("InvalidParameter.TaskAlreadyExists")
    values = body.rest()
    table = TABLES[key.type]
    if key.type == "segment":  # what an update has at the top lies in Control here, but for the Identifier
        inner = read((Field(name="Control", kind="object", table=table),), values, [], partial=True)
        values |= inner.get("Control", {})
    modes = read(_MODES, values, [])
    settings = merge(fill(key.type, {}), read(table, values, [], partial=True))
    if key.type != "segment":
        settings["Layout"]["LayoutMode"] = modes["Layout"]["LayoutMode"]
    if key.type == "record":
        settings["RecordMode"] = modes["RecordMode"]
    tasks.put(Task(key=key, room_id=key.room_id, settings=settings))
    return None, settings


def _stop(key: TaskKey, _body: Body, tasks: Tasks) -> tuple[None, None]:
    tasks.put(replace(_running(key, tasks), state=STOPPED))
    return None, None


def _get(key: TaskKey, _body: Body, tasks: Tasks) -> tuple[dict[str, Any], None]:
    task = tasks.find(key)
    if task is None:
        raise Refused("InvalidParameter.ErrorActiveTaskNotFound")
    running = task.state == RUNNING
    result: dict[str, Any] = {
        "Status": 2 if running else 3,
        "StopReason": "" if running else "StopByAPI",
        "RecordFileList": [],
    }
    return result, None


def _update_segment(key: TaskKey, body: Body, tasks: Tasks) -> tuple[None, Mapping[str, Any]]:
    """Change what is given; what is left out stays, for the page doesn't say that it falls back to a default."""
    task = _running(key, tasks)
    values = body.rest()
    given = read(present(SEGMENT, values), values, body.notes)
    if "Identifier" in given and given["Identifier"] is None:
        given["Identifier"] = str(uuid.uuid4())
    settings = {**task.settings, **given}
    shared = [other.key.task_id for other in tasks.all() if _shares(other, key, settings)]
    body.notes.extend(f"Identifier is task {other!r}'s too: they overwrite each other's files" for other in shared)
    cuts = task.cuts + ("Duration" in given)
    tasks.put(replace(task, settings=settings, updates=task.updates + 1, cuts=cuts))
    return None, settings


def _shares(other: Task, key: TaskKey, settings: Mapping[str, Any]) -> bool:
    return other.key != key and other.key.type == "segment" and other.settings["Identifier"] == settings["Identifier"]


def _update_record(key: TaskKey, body: Body, tasks: Tasks) -> tuple[None, Mapping[str, Any]]:
    task = _running(key, tasks)
    if task.settings["RecordMode"] != 0:
        raise Refused("InvalidParameter", f"RecordMode of the task is {task.settings['RecordMode']}, not 0")
    values = body.rest()
    # A Layout replaces background and regions together: what it leaves out is the default.
    settings = {**task.settings, **read(present(RECORD, values), values, body.notes)}
    _check_layout(task, settings)
    tasks.put(replace(task, settings=settings, updates=task.updates + 1))
    return None, settings


def _update_push(key: TaskKey, body: Body, tasks: Tasks) -> tuple[None, Mapping[str, Any]]:
    """Change what is given; the rest falls back to its default, but with IsUpdatePartialParam stays."""
    task = _running(key, tasks)
    partial = _flag(body, "IsUpdatePartialParam")
    sequence = _sequence(task, body)
    given = read(PUSH, body.rest("IsUpdatePartialParam", "SequenceNumber"), body.notes, partial=partial)
    layout = given.setdefault("Layout", {})
    if body.values.get("Layout") is None or (partial and "LayoutMode" not in layout):
        layout["LayoutMode"] = 2
    settings = merge(task.settings, given)
    _check_layout(task, settings)
    _check_orientation(settings, body.notes)
    tasks.put(replace(task, settings=settings, updates=task.updates + 1, sequence_number=sequence))
    return None, settings


def _flag(body: Body, name: str) -> bool:
    value = body.values.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused("InvalidParameter.Unmarshal", f"{name} is no flag: {value!r}")
    return bool(value)


def _sequence(task: Task, body: Body) -> int | None:
    number = body.values.get("SequenceNumber")
    if number is None:
        return task.sequence_number
    if not isinstance(number, int) or isinstance(number, bool) or not -(2**31) <= number < 2**31:
        raise Refused("InvalidParameter.Unmarshal", f"SequenceNumber is no int32: {number!r}")
    if task.sequence_number is not None and number <= task.sequence_number:
        raise Refused("InvalidParameter", f"SequenceNumber {number} is not above the last, {task.sequence_number}")
    return number


def _check_layout(task: Task, settings: Mapping[str, Any]) -> None:
    """Refuse any layout but the custom one, too many streams, and streams and regions that don't match."""
    if task.settings["Layout"]["LayoutMode"] != 2 or settings["Layout"]["LayoutMode"] != 2:
        raise Refused("InvalidParameter", "LayoutMode of the task and of the update has to be 2")
    streams = settings["TargetStreams"]["StreamList"]
    most = MOST_STREAMS[task.key.type]
    if len(streams) > most:
        raise Refused("InvalidParameter", f"TargetStreams.StreamList holds {len(streams)} streams, more than {most}")
    indexes = [stream.get("Index") for stream in streams]
    regions = [region["StreamIndex"] for region in settings["Layout"]["CustomLayout"]["Regions"]]
    if None in indexes or len(set(indexes)) != len(indexes) or sorted(regions) != sorted(indexes):
        raise Refused("InvalidParameter", f"streams {indexes} and regions {regions} are not of the same indexes")


def _check_orientation(settings: dict[str, Any], notes: list[str]) -> None:
    spatial = settings["Control"]["SpatialConfig"]
    axes = list(spatial["AudienceSpatialOrientation"].values())
    pairs = [(axes[0], axes[1]), (axes[1], axes[2]), (axes[0], axes[2])]
    if any(abs(sum(a * b for a, b in zip(one, other, strict=True))) > 1e-6 for one, other in pairs):
        notes.append("Control.SpatialConfig.AudienceSpatialOrientation is not perpendicular: default applied")
        default = read(PUSH, {}, [])["Control"]["SpatialConfig"]["AudienceSpatialOrientation"]
        settings["Control"] = merge(settings["Control"], {"SpatialConfig": {"AudienceSpatialOrientation": default}})
    if spatial["EnableSpatialRender"] and settings["Encode"]["AudioChannels"] == 1:
        notes.append("Control.SpatialConfig has no effect with one audio channel")


_BOTH = frozenset({"GET", "POST"})
ACTIONS: Mapping[str, Action] = {
    "UpdateSegment": Action(version="2022-06-01", type="segment", do=_update_segment),
    "UpdateRecord": Action(version="2022-06-01", type="record", do=_update_record),
    "UpdatePushMixedStreamToCDN": Action(version="2020-12-01", type="push", do=_update_push),
    "StartRecord": Action(version="2022-06-01", type="record", do=_start),
    "StopRecord": Action(version="2022-06-01", type="record", do=_stop),
    "GetRecordTask": Action(version="2022-06-01", type="record", do=_get, methods=_BOTH),
    "StartSegment": Action(version="2022-06-01", type="segment", do=_start),
    "StopSegment": Action(version="2022-06-01", type="segment", do=_stop),
    "StartPushMixedStreamToCDN": Action(version="2020-12-01", type="push", do=_start),
    "StopPushMixedStreamToCDN": Action(version="2020-12-01", type="push", do=_stop),
}
