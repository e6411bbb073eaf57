"""The calls that Reelhook makes to Alibaba Cloud RTC: start, update and stop of recording tasks."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from handlers.operation import Caveat, Operation, Request, access_of, complete, gives, holds, host_of, leaves_out
from handlers.vendors.aliyun import errors, signing
from handlers.vendors.aliyun.parameters import StartRecordTask, StopRecordTask, UpdateRecordTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from handlers.events import TaskKey
    from handlers.operation import Parameters
    from handlers.settings import Account

ENDPOINT = "https://rtc.aliyuncs.com"
VERSION = "2018-01-11"

_IDS = frozenset({"AppId", "ChannelId", "TaskId", "TemplateId"})
_RECORDING = frozenset({"recording.created", "recording.changed", "recording.available"})


def _own_of_a_start(task: TaskKey, _business_id: str | None) -> dict[str, str]:
    """Return app and channel: the new task has an id of its own."""
    return {"AppId": task.app_id, "ChannelId": task.room_id}


def _own_of_an_update(task: TaskKey, _business_id: str | None) -> dict[str, str]:
    return {"AppId": task.app_id, "ChannelId": task.room_id, "TaskId": task.task_id}


def _own_of_a_stop(task: TaskKey, _business_id: str | None) -> dict[str, str]:
    return {"AppId": task.app_id, "TaskId": task.task_id}


def _lane(parameters: Mapping[str, Any]) -> str | None:
    """Return what names the task: its id is unique in its app, and holds no slash."""
    app_id, task_id = parameters.get("AppId"), parameters.get("TaskId")
    return f"record/{task_id}/{app_id}" if app_id and task_id else None


def flatten(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Return the parameters as they are sent: lists and objects by names such as `UserPanes.1.Images.1.Url`."""
    for name, value in values.items():
        if isinstance(value, list):
            parts = {str(number): part for number, part in enumerate(value, start=1)}
            yield from flatten(parts, f"{before}{name}.")
        elif isinstance(value, dict):
            yield from flatten(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", _text(value)


def _text(value: object) -> str:
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)


def _request(action: str, model: type[Parameters]) -> Callable[[Mapping[str, Any], Account, int, str], Request]:
    def request(parameters: Mapping[str, Any], account: Account, at: int, nonce: str) -> Request:
        endpoint = account.endpoint or ENDPOINT
        query = signing.encode(dict(flatten(complete(model, parameters))))
        headers = signing.sign(
            "POST",
            query,
            {
                "host": host_of(endpoint),
                "accept": "application/json",
                "x-acs-action": action,
                "x-acs-version": VERSION,
            },
            b"",
            access=access_of(account),
            at=at,
            nonce=nonce,
        )
        return Request(method="POST", url=f"{endpoint}/?{query}", headers=headers, hidden=signing.HIDDEN)

    return request


def _covers(newer: Mapping[str, Any], older: Mapping[str, Any]) -> bool:
    """Tell whether the newer update sets everything that the older one does."""
    return holds(newer, {name: value for name, value in older.items() if name not in _IDS})


def _updatable(started: Mapping[str, Any]) -> str | None:
    """Tell why a task that was started like this takes no update."""
    if started.get("MixMode") == 0:
        return "the task was started with MixMode 0; a recording of single streams can't be updated"
    return None


def _finds_it_gone(_parameters: Mapping[str, Any]) -> str:
    """Say what a repeat of a stop does."""
    return "finds the task gone, which is an error without harm"


def _may_be_unmixed(parameters: Mapping[str, Any]) -> bool:
    """Tell whether a start is, or may be, one of single streams."""
    return bool(parameters.get("MixMode", 1) != 1)


START_RECORD_TASK = Operation(
    name="start_record_task",
    api="StartRecordTask",
    parameters=StartRecordTask,
    own=_own_of_a_start,
    request=_request("StartRecordTask", StartRecordTask),
    outcome=errors.outcome_of_start,
    lane=_lane,
    limit=None,
    is_repeatable=True,  # with the same TaskId, which the caller derives: the second is TaskExisted
    task_type=None,
    derived="TaskId",
    feeds=_RECORDING | {"task.started", "task.stopped", "task.failed"},
    warnings=(
        Caveat("a TaskId that runs already is TaskExisted, which counts as done", when=gives("TaskId")),
        Caveat("whether the id of a task that has ended starts a new recording isn't documented", when=gives("TaskId")),
        Caveat("it costs money as long as it runs: stop it by stop_record_task"),
        Caveat("with MixMode 0 the task can't be updated later", when=_may_be_unmixed),
    ),
    page=StartRecordTask.page,
)

UPDATE_RECORD_TASK = Operation(
    name="update_record_task",
    api="UpdateRecordTask",
    parameters=UpdateRecordTask,
    own=_own_of_an_update,
    request=_request("UpdateRecordTask", UpdateRecordTask),
    outcome=errors.outcome,
    lane=_lane,
    limit=None,
    is_repeatable=True,
    task_type="record",
    covers=_covers,
    precondition=_updatable,
    warnings=(
        Caveat("a task that was started with MixMode 0 can't be updated; no callback tells the MixMode"),
        Caveat("TemplateId has to be given: no callback tells it", when=leaves_out("TemplateId")),
    ),
    page=UpdateRecordTask.page,
)

STOP_RECORD_TASK = Operation(
    name="stop_record_task",
    api="StopRecordTask",
    parameters=StopRecordTask,
    own=_own_of_a_stop,
    request=_request("StopRecordTask", StopRecordTask),
    outcome=errors.outcome,
    lane=_lane,
    limit=None,
    is_repeatable=True,
    repeat=_finds_it_gone,
    task_type="record",
    feeds=_RECORDING | {"task.stopped"},
    warnings=(Caveat("a repeated call finds the task gone, which is an error without harm"),),
    page=StopRecordTask.page,
)

OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation for operation in (START_RECORD_TASK, UPDATE_RECORD_TASK, STOP_RECORD_TASK)
}
