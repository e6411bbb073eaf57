"""What can be seen and set over HTTP under /-/: calls, tasks, faults; nothing is signed, for it is loopback only."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from standin.openapi.faults import Fault
from standin.openapi.wire import Answer, json_answer, read_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from standin.openapi.desk import Desk
    from standin.openapi.tasks import Task
    from standin.openapi.wire import Request

PREFIX = "/-/"


def control(desk: Desk, request: Request) -> Answer:
    """Answer GET, POST and DELETE of /-/calls, /-/faults and /-/tasks."""
    place = request.path.removeprefix(PREFIX)
    shown: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "calls": lambda: [call.as_json() for call in desk.calls.all()],
        "faults": lambda: [fault.as_json() for fault in desk.faults.all()],
        "tasks": lambda: [task_as_json(task) for task in desk.tasks.all()],
    }
    cleared = {"calls": desk.calls.clear, "faults": desk.faults.clear}
    added: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "faults": lambda values: desk.faults.add(Fault(**values)).as_json(),
        "tasks": lambda values: task_as_json(desk.tasks.add(**values)),
    }
    if request.method == "GET" and place in shown:
        return json_answer({place: shown[place]()})
    if request.method == "DELETE" and place in cleared:
        cleared[place]()
        return json_answer({})
    if request.method == "POST" and place in added:
        return _add(request, added[place])
    detail = "there are GET of /-/calls, /-/faults, /-/tasks, POST of the last two, DELETE of the first two"
    return json_answer({"detail": detail}, status=404)


def task_as_json(task: Task) -> dict[str, Any]:
    """Return a task as JSON values."""
    return {**asdict(task), "key": task.key._asdict()}


def _add(request: Request, add: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    values = read_object(request.body)
    if values is None:
        return json_answer({"detail": "expected a JSON object"}, status=400)
    try:
        return json_answer(add(values), status=201)
    except (TypeError, ValueError) as exc:
        return json_answer({"detail": str(exc)}, status=400)
