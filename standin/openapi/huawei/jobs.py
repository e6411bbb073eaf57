"""What each action does to an individual stream job, and when it is refused, after the vendor's pages on the jobs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from standin.openapi.tasks import RUNNING, STOPPED, Task
from standin.openapi.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from standin.openapi.tasks import Tasks
    from standin.openapi.wire import TaskKey

#: calls per second and account: the vendor documents none
LIMITS: Mapping[str, int] = {}
#: a task's state -> the job's
STATES = {"init": "INIT", RUNNING: "RUNNING", STOPPED: "STOPPED"}

VIDEO_TYPES = ("CAMERASTREAM", "SCREENSTREAM")
STREAM_TYPES = ("LD", "SD", "HD", "FHD")
_DEFAULTS: Mapping[str, Any] = {
    "user_id": "user001",
    "is_record_audio": True,
    "video_type": "CAMERASTREAM",
    "select_stream_type": "FHD",
    "max_idle_time": 30,
}


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action: what it does, the status of its success, and whether it reads a body."""

    do: Callable[[TaskKey, Mapping[str, Any], Tasks, list[str]], Task]
    status: int = 200
    body: bool = False


def fill(type: str, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: A002 - the glossary's word
    """Return what is set for a job that is made for a test. Raises ValueError."""
    if type != "record":
        raise ValueError(f"Huawei has no task of type {type!r}; there is record")
    return {**_DEFAULTS, "create_time": _now(), "start_time": _now(), **settings}


def answer_of(task: Task, *, numbers: bool) -> bytes:
    """Return the summary of a job; with `numbers`, ids of digits alone are JSON numbers."""
    ids = {
        "job_id": task.key.task_id,
        "stream_name": f"s_{task.key.task_id}_{task.room_id}_{task.settings['user_id']}",
        "app_id": task.key.app_id,
        "room_id": task.room_id,
    }
    shown: dict[str, Any] = dict(ids)
    if numbers:
        shown |= {name: int(text) for name, text in ids.items() if text.isascii() and text.isdigit()}
    return json.dumps({**shown, **task.settings, "state": STATES[task.state]}).encode()


def _create(key: TaskKey, body: Mapping[str, Any], tasks: Tasks, notes: list[str]) -> Task:
    settings: dict[str, Any] = {**_DEFAULTS, **_read_job(body, notes), "create_time": _now(), "start_time": _now()}
    return tasks.put(Task(key=key, room_id=settings.pop("room_id"), settings=settings))


def _show(key: TaskKey, _body: Mapping[str, Any], tasks: Tasks, _notes: list[str]) -> Task:
    return _job(key, tasks)


def _update(key: TaskKey, body: Mapping[str, Any], tasks: Tasks, notes: list[str]) -> Task:
    """Change record_param, and publish_param as the older edition of the page has it; an empty object is fine."""
    job = _active(key, tasks)
    readers = {"record_param": _record_param, "publish_param": _publish_param}
    notes.extend(f"{name} can't be changed: ignored" for name in body if name not in readers)
    given = {name: read(body[name]) for name, read in readers.items() if body.get(name) is not None}
    settings = {**job.settings, **given, "update_time": _now()}
    return tasks.put(replace(job, settings=settings, updates=job.updates + 1))


def _stop(key: TaskKey, _body: Mapping[str, Any], tasks: Tasks, _notes: list[str]) -> Task:
    job = _active(key, tasks)
    settings = {**job.settings, "stop_time": _now(), "stop_reason": "TENANT_STOP"}
    return tasks.put(replace(job, state=STOPPED, settings=settings))


def _job(key: TaskKey, tasks: Tasks) -> Task:
    job = tasks.find(key)
    if job is None:
        raise Refused("RTC.00001003", status=404)
    return job


def _active(key: TaskKey, tasks: Tasks) -> Task:
    job = _job(key, tasks)
    if job.state == STOPPED:
        raise Refused("RTC.00001009")
    return job


def _read_job(body: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the fields of a new job. Raises Refused."""
    found = {name: _text(name, body.get(name)) for name in ("room_id", "user_id")}
    checks: Mapping[str, Callable[[Any], bool]] = {
        "is_record_audio": lambda value: isinstance(value, bool),
        "video_type": lambda value: value in VIDEO_TYPES,
        "select_stream_type": lambda value: value in STREAM_TYPES,
        "max_idle_time": lambda value: type(value) is int and 5 <= value <= 43200,
    }
    given: dict[str, Any] = {name: body[name] for name in checks if body.get(name) is not None}
    for name, value in given.items():
        if not checks[name](value):
            raise Refused("RTC.00001003", f"InvalidParameterValue: {name}")
    if body.get("record_param") is not None:
        given["record_param"] = _record_param(body["record_param"])
    notes.extend(f"{name} is unknown: ignored" for name in body if name not in {*found, *checks, "record_param"})
    return {**found, **given}


def _record_param(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict):
        raise Refused("RTC.00001002", "MalformedRequestBody: record_param is no object")
    return {"record_rule_id": _text("record_param.record_rule_id", value.get("record_rule_id"))}


def _publish_param(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    urls = value.get("rtmp_urls") if isinstance(value, dict) else None
    if not isinstance(urls, list) or not urls or not all(isinstance(url, str) and url for url in urls):
        raise Refused("RTC.00001003", "InvalidParameterValue: publish_param.rtmp_urls")
    return {"rtmp_urls": urls}


def _text(name: str, value: Any) -> str:  # noqa: ANN401 - any JSON value
    if value is None:
        raise Refused("RTC.00001005", f"MissingParameter: {name}")
    if not isinstance(value, str) or not value:
        raise Refused("RTC.00001003", f"InvalidParameterValue: {name}")
    return value


def _now() -> str:
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


ACTIONS: Mapping[str, Action] = {
    "CreateIndividualStreamJob": Action(do=_create, status=201, body=True),
    "ShowIndividualStreamJob": Action(do=_show),
    "UpdateIndividualStreamJob": Action(do=_update, body=True),
    "StopIndividualStreamJob": Action(do=_stop, status=204),
}
