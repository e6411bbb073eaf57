"""The tasks that exist at the vendor: recordings, segments, pushes, with their state and what is set for them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from standin.openapi.wire import TaskKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RUNNING, STOPPED = "running", "stopped"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task as it is now; every change makes another one of it."""

    key: TaskKey
    #: running | stopped, and for Huawei init as well
    state: str = RUNNING
    #: Alibaba: the channel; elsewhere the room of the key or of the job
    room_id: str = ""
    #: what is in force, under the vendor's own names
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: Volcengine: the last SequenceNumber of a push task's update
    sequence_number: int | None = None
    #: how many updates were done
    updates: int = 0
    #: Volcengine: how often an update cut the running slice short
    cuts: int = 0


class Tasks:
    """All tasks of one stand-in; `lock` makes a look and the change after it one step."""

    def __init__(self, *, by_room: bool, fill: Callable[[str, Mapping[str, Any]], dict[str, Any]]) -> None:
        self.lock = threading.RLock()
        self._by_room = by_room
        self._fill = fill
        self._tasks: dict[TaskKey, Task] = {}

    def key(self, *, type: str, app_id: str, room_id: str, task_id: str) -> TaskKey:  # noqa: A002 - the glossary's word
        """Return what the vendor tells this task apart by."""
        return TaskKey(type, app_id, room_id if self._by_room else "", task_id)

    def add(
        self,
        *,
        app_id: str,
        task_id: str,
        room_id: str = "",
        type: str = "record",  # noqa: A002 - the glossary's word
        state: str = RUNNING,
        **settings: Any,  # noqa: ANN401 - any JSON value
    ) -> Task:
        """Let a task be there; what the settings leave out is the vendor's default. Replaces the task of that key."""
        task = Task(
            key=self.key(type=type, app_id=app_id, room_id=room_id, task_id=task_id),
            state=state,
            room_id=room_id,
            settings=self._fill(type, settings),
        )
        return self.put(task)

    def put(self, task: Task) -> Task:
        """Keep the task as it is given."""
        with self.lock:
            self._tasks[task.key] = task
        return task

    def find(self, key: TaskKey) -> Task | None:
        """Return the task of the key, or None."""
        with self.lock:
            return self._tasks.get(key)

    def get(self, *, app_id: str, task_id: str, room_id: str = "", type: str = "record") -> Task:  # noqa: A002 - as above
        """Return a task. Raises KeyError where there is none."""
        with self.lock:
            return self._tasks[self.key(type=type, app_id=app_id, room_id=room_id, task_id=task_id)]

    def stop(self, *, app_id: str, task_id: str, room_id: str = "", type: str = "record") -> Task:  # noqa: A002 - as above
        """End a task. Raises KeyError where there is none."""
        with self.lock:
            return self.put(
                replace(self.get(app_id=app_id, task_id=task_id, room_id=room_id, type=type), state=STOPPED)
            )

    def all(self) -> tuple[Task, ...]:
        """Return every task, in the order in which they came."""
        with self.lock:
            return tuple(self._tasks.values())


class Lanes:
    """Which tasks have a call at work now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work: dict[TaskKey, int] = {}

    @contextmanager
    def hold(self, task: TaskKey | None) -> Iterator[bool]:
        """Yield whether another call of the task is at work already, and count this one until the end."""
        if task is None:
            yield False
            return
        with self._lock:
            before = self._at_work.get(task, 0)
            self._at_work[task] = before + 1
        try:
            yield before > 0
        finally:
            with self._lock:
                self._at_work[task] -= 1
                if not self._at_work[task]:
                    del self._at_work[task]
