"""What travels to a destination: one action with the change that it tells of, and the operation that hands it over."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from handlers.destinations.telling import cloud_event
from handlers.operation import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from handlers.destinations.means import Means
    from handlers.events import Delivery, TaskKey
    from handlers.operation import Caveat, Outcome, Request
    from handlers.settings import Destination

DestinationKind = Literal["http", "sqs", "sns", "mns-queue", "mns-topic", "celery", "python"]

#: most changes that are handed over together: all are claimed in one transaction, for which others wait on SQLite
MOST_OF_BATCH: Final = 256

CLOUD_EVENT: Final = "application/cloudevents+json"
CLOUD_EVENTS: Final = "application/cloudevents-batch+json"
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"


def _writable(value: object) -> object:
    """Refuse what JSON can't hold."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("is no JSON; expected text, numbers, true, false, null, lists and objects of them") from None
    return value


#: any JSON value
AnyJson = Annotated[Any, AfterValidator(_writable), Field(description="any JSON value")]


class To(Parameters):
    """Which destination it goes to."""

    to: str = Field(min_length=1, description="the name of a destination in reelhook.toml")


class Telling(To):
    """What is handed over there, too."""

    body: AnyJson = Field(
        default=None,
        description="what is handed over in the change's place: text as it stands, anything else as JSON",
    )


@dataclass(frozen=True, kw_only=True)
class Handover:
    """One action for a destination, at one try."""

    #: the action's, the same at every try: receivers know repeats by it
    id: str
    #: complete
    parameters: Mapping[str, Any] = field(repr=False)
    #: the change, as `telling.tell` has it
    told: Mapping[str, Any] = field(repr=False)
    #: when it is tried, milliseconds UTC
    at: int
    #: of which one is under way at a time; None: no order
    lane: str | None = None
    #: what arrived, for operations that need it
    delivery: Delivery | None = field(default=None, repr=False)
    #: the further actions of a batch, in order; None: it is no batch
    others: tuple[Handover, ...] | None = None

    @property
    def call_id(self) -> str:
        """Return what a repeat of the whole call is known by: the action's id; of a batch, one for all that are in it.

        A batch that is tried again may hold others, which nobody may take for a repeat.
        """
        if self.others is None:
            return self.id
        told = " ".join(one.id for one in (self, *self.others))
        return f"bat_{hashlib.blake2b(told.encode(), digest_size=13).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is handed over, as bytes of UTF-8."""

    body: bytes
    content_type: str

    @property
    def text(self) -> str:
        """Return it as text."""
        return self.body.decode()


def message_of(handover: Handover) -> Message:
    """Return the body that the rule gives, else the change as a CloudEvent; of a batch a list of them."""
    if handover.others is None:
        body = handover.parameters.get("body")
        if isinstance(body, str):
            return Message(body=_encoded(body), content_type=TEXT)
        if body is not None:
            return Message(body=as_json(body), content_type=JSON)
        return Message(body=as_json(cloud_event(handover.id, handover.told)), content_type=CLOUD_EVENT)
    every = (handover, *handover.others)
    if handover.parameters.get("body") is None:
        events = [cloud_event(one.id, one.told) for one in every]
        return Message(body=as_json(events), content_type=CLOUD_EVENTS)
    return Message(body=as_json([one.parameters.get("body") for one in every]), content_type=JSON)


def as_json(value: object) -> bytes:
    """Write a value as JSON, its characters as themselves."""
    return _encoded(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def _encoded(text: str) -> bytes:
    # Half a surrogate pair becomes the escape that JSON has for it.
    return text.encode("utf-8", "backslashreplace")


def _nothing_own(_task: TaskKey, _business_id: str | None) -> Mapping[str, str]:
    return {}


def _no_lane(_parameters: Mapping[str, Any]) -> str | None:
    return None


def _ready(_destination: Destination) -> str | None:
    return None


def _fits(_destination: Destination, _given: Collection[str]) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class DestinationOperation:
    """One way to hand a change over; what rules ask of an operation is here as a vendor's operation has it."""

    #: `post`; rules write `http.post`
    name: str
    #: the kind of destination that its `to` names
    kind: DestinationKind
    parameters: type[Parameters]
    #: hands over and tells what became of it; raises SettingsError for a destination that can't be used
    perform: Callable[[Handover, Destination, Means], Outcome]
    #: the HTTP request that would be sent, for those that send one
    request: Callable[[Handover, Destination], Request] | None = None
    #: tells what is missing on this machine, without calling anybody; None: nothing
    missing: Callable[[Destination], str | None] = _ready
    #: tells why a call could never be made there, by the names of the parameters that are given; None: it could
    unfit: Callable[[Destination, Collection[str]], str | None] = _fits
    #: it hands over the delivery as it came
    needs_delivery: bool = False
    #: changes can be handed over several at a time
    takes_batches: bool = True
    #: bytes of a message that the other side takes; None: no limit that a batch would reach
    most_bytes: int | None = None
    #: the receiver knows a repeat by the action's id, so that an unclear outcome is tried again
    is_repeatable: bool = True
    own: Callable[[TaskKey, str | None], Mapping[str, str]] = _nothing_own
    #: the destination's `ordered` makes the lane, not its parameters
    lane: Callable[[Mapping[str, Any]], str | None] = _no_lane
    limit: None = None
    task_type: None = None
    feeds: frozenset[str] = frozenset()
    warnings: tuple[Caveat, ...] = ()
    page: str = ""
