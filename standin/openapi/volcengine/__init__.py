"""Volcengine RTC: updates of records, segments and pushes, and as much of starting and stopping as they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from standin.openapi.tasks import Tasks
from standin.openapi.volcengine import errors, signature
from standin.openapi.volcengine.actions import ACTIONS, LIMITS, Body, perform
from standin.openapi.volcengine.shapes import fill
from standin.openapi.wire import Answer, Asked, Done, Refused, json_answer, read_object

if TYPE_CHECKING:
    from standin.openapi.credentials import Gate
    from standin.openapi.wire import Request, TaskKey

#: what stands in `Result` on success and on failure, as the vendor's samples and SDKs variously have it
SHAPES: dict[str, tuple[Any, Any]] = {
    "ok": ("ok", {}),
    "message": ({"Message": "success"}, None),
}


class Volcengine:
    """The vendor's gateway and its RTC service."""

    limits = LIMITS
    over_limit = "FlowLimitExceeded.QPSOverLimit"
    broken = "InternalError.UnknownInternalError"
    busy: str | None = "InternalError.Parallel"

    def __init__(self, gate: Gate, shape: str | None = None) -> None:
        if shape not in {None, *SHAPES}:
            raise ValueError(f"Volcengine answers in no shape called {shape!r}; there are {', '.join(SHAPES)}")
        self.tasks = Tasks(by_room=True, fill=fill)
        self._gate = gate
        self._success, self._failure = SHAPES[shape or "ok"]

    def ask(self, request: Request) -> Asked:
        """Read the action of the query and the task of the body."""
        query = dict(request.parameters())
        body: Any = read_object(request.body) if request.body else None
        if request.method == "GET":
            body = {name: value for name, value in query.items() if name not in {"Action", "Version"}}
        action = query.get("Action")
        return Asked(
            action=action,
            version=query.get("Version"),
            task=self._task(action, body or {}),
            body=request.body.decode(errors="replace") if body is None else body,
            region=signature.region(request) or "",
        )

    def authenticate(self, request: Request, asked: Asked) -> str:
        """Check as the gateway does: what is called, then who calls."""
        if not asked.action or not asked.version:
            raise Refused("MissingParameter", f"the query lacks {'Version' if asked.action else 'Action'}")
        if request.header("Authorization") is None:
            raise Refused("MissingAuthenticationToken")
        access_key_id = signature.verify(request, self._gate, lambda: self._known(request, asked))
        return self._gate.account(access_key_id)

    def work(self, request: Request, asked: Asked) -> Done:
        """Do what is asked for."""
        content_type = request.header("Content-Type") or ""
        body = Body.read(request, asked, json=content_type.lower().startswith("application/json"))
        with self.tasks.lock:
            result, applied = perform(asked, body, self.tasks)
        values = {"Result": self._success if result is None else result, "ResponseMetadata": _metadata(asked)}
        return Done(answer=json_answer(values), applied=applied, notes=tuple(body.notes))

    def refuse(self, asked: Asked, refused: Refused) -> Answer:
        """Put a refusal into ResponseMetadata; what the gateway refuses has no Result."""
        status, number, text = errors.look_up(refused.code)
        error: dict[str, Any] = {"Code": refused.code, "Message": refused.message or text}
        if number is not None:
            error = {"CodeN": number, **error}
        values: dict[str, Any] = {"ResponseMetadata": {**_metadata(asked), "Error": error}}
        if refused.code not in errors.GATEWAY:
            values["Result"] = self._failure
        return json_answer(values, status=refused.status or status, code=refused.code)

    def _known(self, request: Request, asked: Asked) -> None:
        action = ACTIONS.get(asked.action or "")
        if (
            action is None
            or action.version != asked.version
            or request.path != "/"
            or request.method not in action.methods
        ):
            raise Refused(
                "InvalidActionOrVersion",
                f"there is no {request.method} {request.path} of {asked.action} in version {asked.version}",
            )

    def _task(self, action: str | None, body: dict[str, Any]) -> TaskKey | None:
        known = ACTIONS.get(action or "")
        ids = [body.get(name) for name in ("AppId", "RoomId", "TaskId")]
        if known is None or not all(isinstance(each, str) for each in ids):
            return None
        app_id, room_id, task_id = map(str, ids)
        return self.tasks.key(type=known.type, app_id=app_id, room_id=room_id, task_id=task_id)


def _metadata(asked: Asked) -> dict[str, Any]:
    return {
        "RequestId": asked.request_id,
        "Action": asked.action or "",
        "Version": asked.version or "",
        "Service": "rtc",
        "Region": asked.region,
    }
