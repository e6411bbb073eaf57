"""What each action does to a record task, and when it is refused, after the vendor's pages on the actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from standin.openapi.aliyun.parameters import (
    IDS,
    MIXED,
    MODE,
    SINGLE,
    USERS,
    check_profile,
    read,
    read_layouts,
    read_panes,
    read_users,
)
from standin.openapi.tasks import RUNNING, STOPPED, Task
from standin.openapi.wire import Refused

if TYPE_CHECKING:
    from standin.openapi.tasks import Tasks
    from standin.openapi.wire import TaskKey

VERSION = "2018-01-11"
#: calls per second and account: the vendor documents none for these actions
LIMITS: Mapping[str, int] = {}

_STARTED = {"MixMode": 1}
#: parameter -> the MixMode in which it has an effect
_EFFECT = {**dict.fromkeys(SINGLE, 0), **dict.fromkeys((*MIXED, *USERS, "LayoutIds", "UserPanes"), 1)}


def fill(type: str, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: A002 - the glossary's word
    """Return what is set for a task that is made for a test. Raises ValueError."""
    if type != "record":
        raise ValueError(f"Alibaba has no task of type {type!r}; there is record")
    return {**_STARTED, **settings}


def _start(sent: Mapping[str, str], tasks: Tasks, notes: list[str]) -> Mapping[str, Any]:
    ids = read(IDS, sent)
    mode = read(MODE, sent).get("MixMode", 1)
    settings = {"TemplateId": ids["TemplateId"], "MixMode": mode, **_values(sent, mode, notes)}
    if mode == 0:
        settings = {"StreamType": 0, **settings}
    key = _key(ids, tasks)
    task = tasks.find(key)
    if task is not None and task.state == RUNNING:
        raise Refused("TaskExisted")
    tasks.put(Task(key=key, room_id=ids["ChannelId"], settings=settings))
    return settings


def _update(sent: Mapping[str, str], tasks: Tasks, notes: list[str]) -> Mapping[str, Any]:
    """Change what is given; what is left out stays. What can't be changed is ignored."""
    ids = read(IDS, sent)
    task = _running(_key(ids, tasks), tasks)
    if task.room_id != ids["ChannelId"]:
        raise Refused("InvalidTaskId.NotFound", f"the task is of another channel than {ids['ChannelId']!r}")
    if task.settings["MixMode"] == 0:
        raise Refused("OperationDenied.MixMode")
    notes.extend(f"{name} can't be changed: ignored" for name in (*MODE, *SINGLE) if name in sent)
    values = _values({name: text for name, text in sent.items() if name not in SINGLE}, 1, notes)
    settings = {**task.settings, "TemplateId": ids["TemplateId"], **values}
    check_profile(settings, notes)
    tasks.put(replace(task, settings=settings, updates=task.updates + 1))
    return settings


def _stop(sent: Mapping[str, str], tasks: Tasks, _notes: list[str]) -> None:
    ids = read({name: IDS[name] for name in ("AppId", "TaskId")}, sent)
    tasks.put(replace(_running(_key(ids, tasks), tasks), state=STOPPED))


def _values(sent: Mapping[str, str], mode: int, notes: list[str]) -> dict[str, Any]:
    """Return what has an effect in the mode; what hasn't is read, and then ignored without a word to the caller."""
    found: dict[str, Any] = {**read(MIXED, sent), **read(SINGLE, sent), **read_users(sent)}
    found |= {
        name: values for name, values in (("LayoutIds", read_layouts(sent)), ("UserPanes", read_panes(sent))) if values
    }
    idle = [name for name in found if _EFFECT[name] != mode]
    notes.extend(f"{name} has no effect in MixMode {mode}: ignored" for name in idle)
    effective = {name: value for name, value in found.items() if name not in idle}
    check_profile(effective, notes)
    return effective


def _key(ids: Mapping[str, Any], tasks: Tasks) -> TaskKey:
    return tasks.key(type="record", app_id=ids["AppId"], room_id="", task_id=ids["TaskId"])


def _running(key: TaskKey, tasks: Tasks) -> Task:
    task = tasks.find(key)
    if task is None or task.state != RUNNING:
        raise Refused("InvalidTaskId.NotFound")
    return task


#: what an action does to the tasks, from the parameters that were sent; it returns what was applied
Act = Callable[[Mapping[str, str], "Tasks", list[str]], Mapping[str, Any] | None]
ACTIONS: Mapping[str, Act] = {
    "StartRecordTask": _start,
    "UpdateRecordTask": _update,
    "StopRecordTask": _stop,
}
