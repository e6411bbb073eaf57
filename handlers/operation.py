"""What an operation is: one kind of call that we know how to make, with everything that its API's contract says.

An operation builds a request and reads an answer. It never sends, sleeps or loops: that is the worker's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.events import TaskKey, TaskType
    from handlers.settings import Account

Verdict = Literal["done", "again", "give_up"]


class Parameters(BaseModel):
    """The parameters of one operation under the API's own names, as aliases; an unknown one is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request, signed and ready to be sent."""

    method: str
    url: str
    #: names as they are sent; those of `hidden` hold what must not be shown
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    hidden: frozenset[str] = frozenset({"Authorization"})


@dataclass(frozen=True, kw_only=True)
class Response:
    """What came back; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one attempt."""

    verdict: Verdict
    #: the vendor's own code, verbatim; None where it gave none
    code: str | None = None
    #: what happened, in the vendor's words where it has any
    detail: str = ""
    #: the vendor's name of the request
    request_id: str | None = None
    #: the vendor says that calls come too fast
    is_throttled: bool = False
    #: the call may have had its effect, though nobody said so
    is_unclear: bool = False
    #: milliseconds after which the other side wants the next try
    after_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One kind of call."""

    #: `update_segment`; rules write `volcengine.update_segment`
    name: str
    #: the API's own name, under which its limit counts
    api: str
    parameters: type[Parameters]
    #: the parameters that a call has of its event unless they are given: AppId, RoomId, ...
    own: Callable[[TaskKey, str | None], Mapping[str, str]]
    #: builds the signed request from complete parameters, for the account, at a time (milliseconds UTC), with a nonce
    request: Callable[[Mapping[str, Any], Account, int, str], Request]
    #: reads an answer, whatever it is; raises nothing
    outcome: Callable[[Response], Outcome]
    #: names the vendor task that the call is about, of which one call may be under way at a time; None: of none
    lane: Callable[[Mapping[str, Any]], str | None]
    #: calls that the API takes in one second of one vendor account; None: not documented
    limit: int | None
    #: a repeat does no harm, so that a call without an answer is made again
    is_repeatable: bool
    #: of the task that it is about; None: it makes one, or is about none
    task_type: TaskType | None
    #: tells whether a newer call of the same task makes an older one superfluous; None: never
    covers: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] | None = None
    #: the parameter that must grow from call to call of one task
    sequence: str | None = None
    #: the changes that a call can bring about: a rule on one of them would feed itself
    feeds: frozenset[str] = frozenset()
    #: what the API does that its user may not expect: shown by `rules check` and in the documentation
    warnings: tuple[str, ...] = ()
