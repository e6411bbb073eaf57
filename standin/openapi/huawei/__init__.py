"""Huawei Cloud RTC v2: individual stream jobs, created, shown, updated and stopped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from standin.openapi.huawei import errors, signature
from standin.openapi.huawei.jobs import ACTIONS, LIMITS, STATES, answer_of, fill
from standin.openapi.tasks import Tasks
from standin.openapi.wire import Answer, Asked, Done, Refused, json_answer, read_object

if TYPE_CHECKING:
    from standin.openapi.credentials import Gate
    from standin.openapi.wire import Request, TaskKey

#: ids in answers: text as the page's table has it, or numbers as its sample has them
SHAPES = ("text", "numbers")

_PATH = re.compile(r"/v2/apps/([^/]+)/individual-stream-jobs(?:/([^/]+))?/?")
#: (method, whether the path names a job) -> action
_ROUTES = {
    ("POST", False): "CreateIndividualStreamJob",
    ("GET", True): "ShowIndividualStreamJob",
    ("PUT", True): "UpdateIndividualStreamJob",
    ("DELETE", True): "StopIndividualStreamJob",
}


class Huawei:
    """The vendor's gateway and its RTC service."""

    limits = LIMITS
    over_limit = "APIGW.0308"
    broken = "RTC.00002001"
    busy: str | None = None

    def __init__(self, gate: Gate, shape: str | None = None) -> None:
        if shape not in {None, *SHAPES}:
            raise ValueError(f"Huawei answers in no shape called {shape!r}; there are {', '.join(SHAPES)}")
        self.tasks = Tasks(by_room=False, fill=fill)
        self._gate = gate
        self._numbers = shape == "numbers"

    def ask(self, request: Request) -> Asked:
        """Read the action of method and path, and the job of the path."""
        found = _PATH.fullmatch(request.path)
        body: Any = read_object(request.body)
        if body is None:
            body = request.body.decode(errors="replace") or None
        if found is None:
            return Asked(action=None, version="v2", body=body)
        return Asked(
            action=_ROUTES.get((request.method, found[2] is not None)),
            version="v2",
            task=self._task(unquote(found[1]), unquote(found[2])) if found[2] else None,
            body=body,
        )

    def authenticate(self, request: Request, asked: Asked) -> str:
        """Check as the gateway does: what is called, then who calls, then for which project."""
        if asked.action is None:
            raise Refused("APIGW.0101", f"there is no {request.method} {request.path}")
        access_key_id = signature.verify(request, self._gate)
        project = request.header("X-Project-Id")
        if not project:
            raise Refused("RTC.00001005", "X-Project-Id is mandatory with an access key")
        credential = self._gate.credentials[access_key_id]
        if credential.project_id not in {None, project}:
            raise Refused("RTC.00001001", f"the access key is not of project {project!r}")
        return self._gate.account(access_key_id)

    def work(self, request: Request, asked: Asked) -> Done:
        """Do what is asked for."""
        found = _PATH.fullmatch(request.path)
        app_id = unquote(found[1]) if found else ""
        notes: list[str] = []
        action = ACTIONS[asked.action or ""]
        if action.body and not (request.header("Content-Type") or "").lower().startswith("application/json"):
            raise Refused("RTC.00001002", "expected Content-Type application/json")
        if action.body and not isinstance(asked.body, dict):
            raise Refused("RTC.00001002", "expected a JSON object")
        with self.tasks.lock:
            key = asked.task or self._task(app_id, asked.request_id)
            task = action.do(key, asked.body if action.body else {}, self.tasks, notes)
        body = b"" if action.status == 204 else answer_of(task, numbers=self._numbers)
        headers = (("Content-Type", "application/json"), ("X-request-Id", asked.request_id))
        answer = Answer(status=action.status, body=body, headers=headers)
        return Done(answer=answer, applied=task.settings, notes=tuple(notes))

    def refuse(self, asked: Asked, refused: Refused) -> Answer:
        """Put a refusal into the form of the service, or of the gateway."""
        status, text = errors.look_up(refused.code)
        values = {"error_code": refused.code, "error_msg": refused.message or text}
        if refused.code.startswith("APIGW"):
            values["request_id"] = asked.request_id
        plain = json_answer(values, status=refused.status or status, code=refused.code)
        headers = (("Content-Type", "application/json"), ("X-request-Id", asked.request_id))
        return Answer(status=plain.status, body=plain.body, headers=headers, code=refused.code)

    def _task(self, app_id: str, job_id: str) -> TaskKey:
        return self.tasks.key(type="record", app_id=app_id, room_id="", task_id=job_id)


__all__ = ["SHAPES", "STATES", "Huawei"]
