"""What goes to the user's own Celery workers: a task by its name, put onto the queue of their broker.

Nothing is declared on the broker: a queue that is not there yet is waited for, and one that its owner made in his own
way is taken as it is. Celery itself is an extra, and imported only where a destination asks for it.
"""

from __future__ import annotations

import importlib
import importlib.util
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from handlers.destinations.handover import AnyJson, DestinationOperation, To
from handlers.destinations.outcomes import hide, secrets_of
from handlers.destinations.telling import cloud_event
from handlers.errors import SettingsError
from handlers.operation import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection

    from handlers.destinations.handover import Handover
    from handlers.destinations.means import Means
    from handlers.settings import CeleryDestination, Destination

_CONNECT_PATIENCE = 5.0
_LONGEST_TEXT = 300
_NOT_FOUND = 404
_PERSISTENT = 2
_INSTALL = "celery.send needs Celery, which is not installed; install it with: pip install 'reelhook[celery]'"


class Send(To):
    """The parameters of celery.send."""

    task: str | None = Field(
        default=None, min_length=1, max_length=512, description="the task's name, such as lessons.caption"
    )
    args: list[AnyJson] | None = Field(default=None, description="the task's arguments, as a list")
    kwargs: dict[str, AnyJson] | None = Field(
        default=None,
        description="its arguments by name; where there are neither, it gets the change as a CloudEvent, as `event`",
    )
    queue: str | None = Field(
        default=None, min_length=1, max_length=255, description="a queue, in the place of the destination's"
    )


class _Producer:
    """One thread's connection to a broker."""

    def __init__(self, broker: str, timeout_ms: int) -> None:
        """Make the application that writes the messages; it connects at its first message."""
        kombu = importlib.import_module("kombu")
        patience = timeout_ms / 1000
        self._app = importlib.import_module("celery").Celery("reelhook", broker=broker, set_as_current=False)
        self._connection = kombu.Connection(broker, connect_timeout=min(_CONNECT_PATIENCE, patience))
        self._is_amqp = self._connection.transport.driver_type == "amqp"
        self._connection.transport_options = _options(self._connection.transport.driver_type, patience)
        self._producer = kombu.Producer
        self._channel: Any = None

    def connect(self, queue: str) -> None:
        """Connect, and see that the queue is there where the broker can tell; nothing is sent."""
        if self._channel is None:
            self._connection.connect()
            self._channel = self._connection.channel()
        if self._is_amqp:
            # It also tells a connection that has died meanwhile from one that lives.
            self._channel.queue_declare(queue=queue, passive=True)

    def send(self, queue: str, task: str, action: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Put the task onto the queue, and wait until the broker has it."""
        message = self._app.amqp.as_task_v2(action, task, args, kwargs, ignore_result=False)
        self._producer(self._channel).publish(
            message.body,
            exchange="",
            routing_key=queue,
            serializer="json",
            headers=message.headers,
            delivery_mode=_PERSISTENT,
            retry=False,
            **message.properties,
        )

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):
            self._connection.close()
        with suppress(Exception):
            self._app.close()


def _options(driver: str, patience: float) -> dict[str, Any]:
    """Return what keeps each kind of broker to its time; others have Celery's own."""
    if driver == "amqp":
        return {"confirm_publish": True, "read_timeout": patience, "write_timeout": patience}
    if driver == "redis":
        return {
            "socket_timeout": patience,
            "socket_connect_timeout": min(_CONNECT_PATIENCE, patience),
            "retry_on_timeout": False,
        }
    return {}


def _missing(_destination: Destination) -> str | None:
    return None if importlib.util.find_spec("celery") is not None else _INSTALL


def _without_task(destination: Destination) -> str:
    return f"[destinations.{destination.name}]: task: is not set, and the rule names none; write one"


def _unfit(destination: Destination, given: Collection[str]) -> str | None:
    is_named = "task" in given or cast("CeleryDestination", destination).task is not None
    return None if is_named else _without_task(destination)


def _send(handover: Handover, destination: Destination, means: Means) -> Outcome:
    target = cast("CeleryDestination", destination)
    if reason := _missing(target):
        raise SettingsError([reason])
    given = handover.parameters
    task = given.get("task") or target.task
    if task is None:
        raise SettingsError([_without_task(target)])
    args, kwargs = _arguments(handover)
    queue = given.get("queue") or target.queue
    broker = target.broker.reveal()
    try:
        client = means.client(target.name, (broker, target.timeout), partial(_Producer, broker, target.timeout))
        client.connect(queue)
    except Exception as exc:  # noqa: BLE001 - each transport of kombu has errors of its own, with no common ancestor
        means.forget(target.name)
        return _unconnected(exc, queue, target)
    try:
        client.send(queue, task, handover.id, args, kwargs)
    except Exception as exc:  # noqa: BLE001 - as above
        means.forget(target.name)
        detail = f"the broker did not take the task: {_text(exc, target)}"
        return Outcome(verdict="again", detail=detail, meaning="the next try may get through", is_unclear=True)
    return Outcome(verdict="done", detail=f"task {task} with id {handover.id} onto {queue}")


def _arguments(handover: Handover) -> tuple[list[Any], dict[str, Any]]:
    given = handover.parameters
    if given.get("args") is None and given.get("kwargs") is None:
        return [], {"event": cloud_event(handover.id, handover.told)}
    return list(given.get("args") or []), dict(given.get("kwargs") or {})


def _unconnected(exc: Exception, queue: str, target: CeleryDestination) -> Outcome:
    text = _text(exc, target)
    if getattr(exc, "reply_code", None) == _NOT_FOUND:
        says = "start a worker of that queue, which makes it, or mend the destination's `queue`"
        return Outcome(verdict="again", code=str(_NOT_FOUND), detail=f"no queue {queue}: {text}", meaning=says)
    return Outcome(
        verdict="again",
        code=type(exc).__name__,
        detail=f"the broker can't be reached: {text}",
        meaning="nothing was sent; mend the destination's `broker` where it is wrong",
    )


def _text(exc: Exception, target: CeleryDestination) -> str:
    """Return an error's own words without the broker's address, its user and its password."""
    broker = target.broker.reveal()
    scheme, _, rest = broker.partition("://")
    user = rest.rpartition("@")[0]
    known = [*secrets_of(target), scheme, user, *user.split(":", 1)]
    return hide(f"{type(exc).__name__}: {exc}"[:_LONGEST_TEXT], known)


SEND = DestinationOperation(
    name="send",
    kind="celery",
    parameters=Send,
    perform=_send,
    missing=_missing,
    unfit=_unfit,
    takes_batches=False,
    page="https://docs.celeryq.dev/en/stable/internals/protocol.html",
)
