"""The calls that Reelhook makes to Volcengine RTC: updates of segment, recording and push tasks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from handlers.operation import Caveat, Operation, Request, access_of, complete, gives, holds, host_of, leaves_out
from handlers.vendors.volcengine import errors, signing
from handlers.vendors.volcengine.parameters import UpdatePushMixedStreamToCDN, UpdateRecord, UpdateSegment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.events import TaskKey, TaskType
    from handlers.operation import Parameters
    from handlers.settings import Account

ENDPOINT = "https://rtc.volcengineapi.com"
REGION = "cn-north-1"

_IDS = ("AppId", "RoomId", "TaskId")
_NOT_STATE = frozenset({*_IDS, "BusinessId", "SequenceNumber", "IsUpdatePartialParam"})
_CUSTOM_LAYOUT = 2


def _own(task: TaskKey, business_id: str | None) -> dict[str, str]:
    ids = {"AppId": task.app_id, "RoomId": task.room_id, "TaskId": task.task_id}
    return {**ids, "BusinessId": business_id} if business_id else ids


def _lane(task_type: TaskType) -> Callable[[Mapping[str, Any]], str | None]:
    """Return what names the task of a call; ids hold no slash."""

    def lane(parameters: Mapping[str, Any]) -> str | None:
        ids = [parameters.get(name) for name in _IDS]
        return "/".join([task_type, *map(str, ids)]) if all(ids) else None

    return lane


def _request(
    action: str, version: str, model: type[Parameters]
) -> Callable[[Mapping[str, Any], Account, int, str], Request]:
    def request(parameters: Mapping[str, Any], account: Account, at: int, _nonce: str) -> Request:
        values = complete(model, parameters)
        body = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
        endpoint = account.endpoint or ENDPOINT
        query = signing.encode({"Action": action, "Version": version})
        headers = signing.sign(
            "POST",
            query,
            {"Host": host_of(endpoint), "Content-Type": "application/json"},
            body,
            access=access_of(account),
            region=account.region or REGION,
            at=at,
        )
        url = f"{endpoint}/?{query}"
        return Request(method="POST", url=url, headers=headers, body=body, hidden=signing.HIDDEN)

    return request


def _state(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name not in _NOT_STATE}


def _covers(newer: Mapping[str, Any], older: Mapping[str, Any]) -> bool:
    """Tell whether the newer update sets everything that the older one does."""
    return holds(_state(newer), _state(older))


def _covers_push(newer: Mapping[str, Any], older: Mapping[str, Any]) -> bool:
    """Tell the same of pushes: an update that isn't partial sets everything, if only to its default."""
    if not newer.get("IsUpdatePartialParam"):
        return True
    return bool(older.get("IsUpdatePartialParam")) and _covers(newer, older)


def _updatable(started: Mapping[str, Any]) -> str | None:
    """Tell why a task that was started like this takes no update of its picture."""
    layout = started.get("Layout")
    mode = layout.get("LayoutMode", 0) if isinstance(layout, dict) else 0
    if started.get("RecordMode", 0) != 0:
        return f"the task was started with RecordMode {started['RecordMode']}; only RecordMode 0 can be updated"
    if mode != _CUSTOM_LAYOUT:
        return f"the task was started with LayoutMode {mode}; only LayoutMode 2 can be updated"
    return None


def _cut(parameters: Mapping[str, Any]) -> str | None:
    """Say what a repeat of an update of a segment task does: it sets the same, but the timer starts anew."""
    return None if parameters.get("Duration") is None else "ends the slice that is being cut, and begins one more"


def _may_reset(parameters: Mapping[str, Any]) -> bool:
    """Tell whether a push may lose what this update leaves out."""
    return parameters.get("IsUpdatePartialParam") is not True


def _may_cut_lists(parameters: Mapping[str, Any]) -> bool:
    """Tell whether an update may be partial and has a list."""
    is_partial = parameters.get("IsUpdatePartialParam", False) is not False
    return is_partial and _REPLACES(parameters)


_REPLACES: Final = gives("TargetStreams.StreamList", "Layout.CustomLayout.Regions")
_KEEPS_ITS_SIZE: Final = Caveat(
    "the Canvas keeps its size, whatever Width and Height say",
    when=gives("Layout.CustomLayout.Canvas.Width", "Layout.CustomLayout.Canvas.Height"),
)

UPDATE_SEGMENT = Operation(
    name="update_segment",
    api="UpdateSegment",
    parameters=UpdateSegment,
    own=_own,
    request=_request("UpdateSegment", "2022-06-01", UpdateSegment),
    outcome=errors.outcome,
    lane=_lane("segment"),
    limit=150,
    # One slice more is less of a harm than an update that is lost; with Duration alone it is not neutral.
    is_repeatable=True,
    repeat=_cut,
    task_type="segment",
    covers=_covers,
    unique="Identifier",
    feeds=frozenset({"segment.created"}),
    warnings=(
        Caveat(
            "every update of Duration ends the slice that is being cut and begins a new one, a repeated call too",
            when=gives("Duration"),
        ),
        Caveat(
            "an Identifier must be unique among all tasks: two tasks under one Identifier overwrite each other's files",
            when=gives("Identifier"),
        ),
        Caveat(
            "whether what is left out keeps its value isn't documented: give Identifier, Handle and Duration together",
            when=leaves_out("Identifier", "Handle", "Duration"),
        ),
    ),
    page=UpdateSegment.page,
)

UPDATE_RECORD = Operation(
    name="update_record",
    api="UpdateRecord",
    parameters=UpdateRecord,
    own=_own,
    request=_request("UpdateRecord", "2022-06-01", UpdateRecord),
    outcome=errors.outcome,
    lane=_lane("record"),
    limit=60,
    is_repeatable=True,
    task_type="record",
    covers=_covers,
    precondition=_updatable,
    feeds=frozenset({"stream.changed"}),
    warnings=(
        Caveat(
            "only a recording that was started with RecordMode 0 and LayoutMode 2 can be updated; no callback "
            "tells these"
        ),
        Caveat("of Layout, only Regions and the Canvas' Background and BackgroundImage change", when=gives("Layout")),
        _KEEPS_ITS_SIZE,
        Caveat("TargetStreams and Regions replace what was there, they don't add to it", when=_REPLACES),
    ),
    page=UpdateRecord.page,
)

UPDATE_PUSH_MIXED_STREAM_TO_CDN = Operation(
    name="update_push_mixed_stream_to_cdn",
    api="UpdatePushMixedStreamToCDN",
    parameters=UpdatePushMixedStreamToCDN,
    own=_own,
    request=_request("UpdatePushMixedStreamToCDN", "2020-12-01", UpdatePushMixedStreamToCDN),
    outcome=errors.outcome,
    lane=_lane("push"),
    limit=150,
    is_repeatable=True,
    task_type="push",
    assumed={"IsUpdatePartialParam": False},
    covers=_covers_push,
    sequence="SequenceNumber",
    precondition=_updatable,
    feeds=frozenset({"push.updated", "push.changed", "stream.changed"}),
    warnings=(
        Caveat(
            "with IsUpdatePartialParam false, what is left out falls back to its default: give everything, or say true",
            when=_may_reset,
        ),
        Caveat("with IsUpdatePartialParam true, a list has to be given whole", when=_may_cut_lists),
        Caveat("only a push that was started with LayoutMode 2 can be updated; no callback tells it"),
        _KEEPS_ITS_SIZE,
    ),
    page=UpdatePushMixedStreamToCDN.page,
)

OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation for operation in (UPDATE_RECORD, UPDATE_SEGMENT, UPDATE_PUSH_MIXED_STREAM_TO_CDN)
}
