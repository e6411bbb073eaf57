"""Alibaba Cloud RTC 2018-01-11: start, update and stop of record tasks, in the RPC style, signed in either way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from standin.openapi.aliyun import errors, signature
from standin.openapi.aliyun.actions import ACTIONS, LIMITS, VERSION, fill
from standin.openapi.tasks import Tasks
from standin.openapi.wire import Answer, Asked, Done, Refused, json_answer

if TYPE_CHECKING:
    from standin.openapi.credentials import Gate
    from standin.openapi.wire import Request, TaskKey

#: JSON, or the XML of the old style whatever is asked for; without one, as `Format` asks
SHAPES = ("json", "xml")


class Aliyun:
    """The vendor's gateway and its RTC service."""

    limits = LIMITS
    over_limit = "Throttling.User"
    broken = "InternalError"
    busy: str | None = None

    def __init__(self, gate: Gate, shape: str | None = None) -> None:
        if shape not in {None, *SHAPES}:
            raise ValueError(f"Alibaba answers in no shape called {shape!r}; there are {', '.join(SHAPES)}")
        self.tasks = Tasks(by_room=False, fill=fill)
        self._gate = gate
        self._nonces = signature.Nonces(gate.now)
        self._shape = shape

    def ask(self, request: Request) -> Asked:
        """Read action and parameters, from the headers, the query and a form."""
        parameters = signature.parameters(request)
        business = {name: value for name, value in parameters.items() if name not in signature.NOT_BUSINESS}
        return Asked(
            action=request.header("x-acs-action") or parameters.get("Action"),
            version=request.header("x-acs-version") or parameters.get("Version"),
            task=self._task(parameters),
            body=business,
            region=request.header("Host") or "",
        )

    def authenticate(self, request: Request, asked: Asked) -> str:
        """Check as the gateway does: what is called, who calls, and that it is no replay."""
        if not asked.action or not asked.version:
            raise Refused("MissingParameter", f"{'Version' if asked.action else 'Action'} is mandatory")
        if asked.version != VERSION:
            raise Refused("InvalidVersion", f"there is {VERSION}, not {asked.version}")
        if asked.action not in ACTIONS or request.path != "/" or request.method not in {"GET", "POST"}:
            raise Refused("InvalidAction.NotFound", f"there is no {request.method} {request.path} of {asked.action}")
        return self._gate.account(signature.verify(request, self._gate, self._nonces))

    def work(self, request: Request, asked: Asked) -> Done:
        """Do what is asked for."""
        notes: list[str] = []
        with self.tasks.lock:
            applied = ACTIONS[asked.action or ""](asked.body, self.tasks, notes)
        answer = self._answer(asked, {"RequestId": asked.request_id}, xml=_wants_xml(request))
        return Done(answer=answer, applied=applied, notes=tuple(notes))

    def refuse(self, asked: Asked, refused: Refused) -> Answer:
        """Put a refusal into the vendor's form; what was asked for as XML is answered as JSON here."""
        status, text = errors.look_up(refused.code)
        values = {
            "RequestId": asked.request_id,
            "HostId": asked.region,
            "Code": refused.code,
            "Message": refused.message or text,
            "Recommend": f"https://error-center.aliyun.com/status/search?Keyword={refused.code}&source=PopGw",
        }
        return self._answer(asked, values, status=refused.status or status, code=refused.code)

    def _answer(
        self, asked: Asked, values: dict[str, Any], *, status: int = 200, code: str | None = None, xml: bool = False
    ) -> Answer:
        if self._shape == "json" or not (xml or self._shape == "xml"):
            return json_answer(values, status=status, code=code)
        root = "Error" if code else f"{asked.action}Response"
        inner = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in values.items())
        body = f"<?xml version='1.0' encoding='UTF-8'?><{root}>{inner}</{root}>".encode()
        return Answer(status=status, body=body, headers=(("Content-Type", "text/xml;charset=utf-8"),), code=code)

    def _task(self, parameters: dict[str, str]) -> TaskKey | None:
        if "AppId" not in parameters or "TaskId" not in parameters:
            return None
        return self.tasks.key(type="record", app_id=parameters["AppId"], room_id="", task_id=parameters["TaskId"])


def _wants_xml(request: Request) -> bool:
    return signature.parameters(request).get("Format", "JSON").upper() == "XML"
