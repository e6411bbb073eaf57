"""What travels between an operation and the worker: a request, an answer, what became of it, and the operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.events import TaskKey, TaskType
    from handlers.operation.caveats import Caveat
    from handlers.operation.parameters import Parameters
    from handlers.settings import Account

Verdict = Literal["done", "again", "give_up"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request, signed and ready to be sent."""

    method: str
    #: may hold a secret of the receiver's
    url: str = field(repr=False)
    #: names as they are sent; those of `hidden` hold what must not be shown
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    hidden: frozenset[str] = frozenset({"Authorization"})
    #: what may be shown in the body's place; None: the body holds no secret
    shown_body: bytes | None = None
    #: what may be shown in the address's place; None: the address holds no secret
    shown_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Response:
    """What came back; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: when it came by our clock, milliseconds UTC; None: nobody looked
    at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one attempt."""

    verdict: Verdict
    #: the vendor's own code, verbatim; None where it gave none
    code: str | None = None
    #: what happened, in the vendor's words where it has any
    detail: str = ""
    #: what is known of the code: why the call is made again, or isn't
    meaning: str = ""
    #: the vendor's name of the request
    request_id: str | None = None
    #: the vendor says that calls come too fast
    is_throttled: bool = False
    #: the call may have had its effect, though nobody said so
    is_unclear: bool = False
    #: milliseconds after which the other side wants the next try
    after_ms: int | None = None
    #: the vendor doesn't take the key that the call was signed with
    is_key_refused: bool = False


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
    #: builds the signed request from complete parameters, for the account, at a time (milliseconds UTC), with a nonce;
    #: raises WrongRequest for parameters that the API would refuse, SettingsError for an account that can't call
    request: Callable[[Mapping[str, Any], Account, int, str], Request]
    #: reads an answer, whatever it is; raises nothing
    outcome: Callable[[Response], Outcome]
    #: names the vendor task that the call is about, of which one call may be under way at a time; None: of none
    lane: Callable[[Mapping[str, Any]], str | None]
    #: calls that the API takes in one second of one vendor account; None: not documented
    limit: int | None
    #: a repeat does no harm but what `repeat` tells, so that a call without an answer is made again
    is_repeatable: bool
    #: of the task that it is about; None: it makes one, or is about none
    task_type: TaskType | None
    #: says what a call of these parameters does when it is made once more, such as "cuts one more slice"; None: nothing
    repeat: Callable[[Mapping[str, Any]], str | None] | None = None
    #: what the API takes a parameter for that is left out, where a rule has to say it: a call by hand may leave it out
    assumed: Mapping[str, Any] = field(default_factory=dict)
    #: tells whether a newer call of the same task (the first) makes an older one superfluous; None: never
    covers: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] | None = None
    #: the parameter that must grow from call to call of one task
    sequence: str | None = None
    #: the parameter that names a new task: its caller derives it from rule and event, so that a repeat makes no second
    derived: str | None = None
    #: the parameter of which two tasks may not have the same value: they would overwrite each other's files
    unique: str | None = None
    #: tells why the call can't be made, by what is known of how its task was started (the parameters of the start);
    #: None: it can, or that isn't known
    precondition: Callable[[Mapping[str, Any]], str | None] | None = None
    #: the changes that a call can bring about: a rule on one of them would feed itself
    feeds: frozenset[str] = frozenset()
    #: what the API does that its user may not expect: all of it stands in the documentation, and what is true of a call
    #: is shown by `rules check` and `reelhook call`
    warnings: tuple[Caveat, ...] = ()
    #: the vendor's page that documents the API
    page: str = ""
