"""The way of one call: fault, signature, limit, lane, work, answer; and what of it is written down."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from standin.openapi.calls import Calls
from standin.openapi.faults import Faults
from standin.openapi.tasks import Lanes
from standin.openapi.wire import Answer, Refused

if TYPE_CHECKING:
    from standin.openapi.faults import Fault
    from standin.openapi.limits import Limiter
    from standin.openapi.tasks import Tasks
    from standin.openapi.wire import Asked, Done, Request, Vendor

_BAD_GATEWAY = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>\r\n"
)


@dataclass(frozen=True, kw_only=True)
class Sending:
    """An answer, and how it is sent: whole | half | trickle | cut | hang."""

    answer: Answer | None
    manner: str = "whole"
    #: trickle: how long it takes, in seconds
    seconds: float = 0.0


class Desk:
    """Answers the calls to one vendor."""

    def __init__(self, *, vendor: Vendor, limiter: Limiter, tasks: Tasks) -> None:
        self.vendor = vendor
        self.limiter = limiter
        self.tasks = tasks
        self.calls = Calls()
        self.faults = Faults()
        #: set when the stand-in closes: whoever waits goes on at once
        self.closing = threading.Event()
        self._lanes = Lanes()

    def answer(self, request: Request) -> Sending:
        """Take a call in, do what it asks for or what its fault wants, and return what to send.

        The call is complete in the journal, and its task free for the next one, before anything is sent.
        """
        asked = self.vendor.ask(request)
        number = self.calls.arrive(request, asked)
        fault = self.faults.take(asked.action, asked.task and asked.task.task_id)
        self.calls.note(number, fault=fault.kind if fault else None)
        answer = self._work(number, request, asked, fault) if fault is None or fault.does_work() else None
        sending = _sending(self._canned(asked, fault, answer), fault)
        self._settle(number, sending)
        return sending

    def _work(self, number: int, request: Request, asked: Asked, fault: Fault | None) -> Answer:
        try:
            done = self._do(number, request, asked, fault)
        except Refused as refused:
            return self.vendor.refuse(asked, refused)
        self.calls.note(number, applied=done.applied, notes=done.notes, worked=True)
        return done.answer

    def _do(self, number: int, request: Request, asked: Asked, fault: Fault | None) -> Done:
        account = self.vendor.authenticate(request, asked)
        self.calls.note(number, account=account)
        self._count(number, account, asked)
        with self._lanes.hold(asked.task) as overlap:
            self.calls.note(number, overlap=overlap)
            if overlap and self.vendor.busy:
                raise Refused(self.vendor.busy)
            if fault and fault.kind == "delay":
                self.closing.wait(fault.seconds)
            return self.vendor.work(request, asked)

    def _count(self, number: int, account: str, asked: Asked) -> None:
        verdict = self.limiter.admit(account, asked.action or "")
        self.calls.note(number, counted_at=verdict.at, within_limit=verdict.within)
        if not verdict.within:
            raise Refused(self.vendor.over_limit)

    def _canned(self, asked: Asked, fault: Fault | None, answer: Answer | None) -> Answer | None:
        """Return the answer that a fault puts in the place of the right one."""
        match fault.kind if fault else None:
            case "html-502":
                return Answer(status=502, body=_BAD_GATEWAY, headers=(("Content-Type", "text/html"),))
            case "nothing":
                return Answer(status=200, body=b"")
            case "error" | "5xx" | "429" | "throttled" if fault:
                return self.vendor.refuse(asked, self._refusal(fault))
        return answer

    def _refusal(self, fault: Fault) -> Refused:
        if fault.kind == "429":
            return Refused(fault.code or self.vendor.over_limit, status=429)
        if fault.kind == "throttled":
            return Refused(fault.code or self.vendor.over_limit, status=fault.status)
        return Refused(fault.code or self.vendor.broken, status=fault.status or (500 if fault.kind == "5xx" else 200))

    def _settle(self, number: int, sending: Sending) -> None:
        answer = sending.answer
        self.calls.note(
            number,
            answered=time.monotonic(),
            status=answer and answer.status,
            code=answer and answer.code,
            answer=answer and answer.body.decode(),
        )


def _sending(answer: Answer | None, fault: Fault | None) -> Sending:
    match fault.kind if fault else None:
        case "hang":
            return Sending(answer=None, manner="hang")
        case "cut-before" | "cut-after":
            return Sending(answer=None, manner="cut")
        case "half":
            return Sending(answer=answer, manner="half")
        case "trickle" if fault:
            return Sending(answer=answer, manner="trickle", seconds=fault.seconds)
    return Sending(answer=answer)
