"""What the operations on the account and its queues do: create, change, look, list, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from standin.mns import wire
from standin.mns.attributes import RANGES, Attributes, in_range, number
from standin.mns.call import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from standin.mns.call import Call
    from standin.mns.queue import Queue
    from standin.mns.service import Service

_LONGEST_LIST = 1_000


def create_queue(service: Service, call: Call) -> Reply:
    """201 for a new queue, 204 if it is there with the same attributes, 409 with others."""
    attributes = Attributes().changed(elements_of(call))
    created = service.create_queue(call.name, attributes)
    return Reply(201 if created else 204, headers=(("Location", f"{service.endpoint}/queues/{call.name}"),))


def set_queue_attributes(service: Service, call: Call) -> Reply:
    """Change the attributes that are given."""
    queue = service.queue(call.name)
    queue.change_attributes(queue.attributes.changed(elements_of(call)))
    return Reply(204)


def elements_of(call: Call) -> Mapping[str, str]:
    """Return the elements of a request's XML; an empty body has none."""
    return wire.parse(call.request.body).texts() if call.request.body else {}


def get_queue_attributes(service: Service, call: Call) -> Reply:
    """Show a queue's attributes and how many messages are in which state."""
    return Reply(200, wire.document("Queue", _described(service.queue(call.name))))


def _described(queue: Queue) -> str:
    counts = queue.counts()
    values: dict[str, object] = {
        "QueueName": queue.name,
        "CreateTime": queue.created_at // 1000,
        "LastModifyTime": queue.modified_at // 1000,
        "ActiveMessages": counts["active"],
        "InactiveMessages": counts["inactive"],
        "DelayMessages": counts["delayed"],
        "LoggingEnabled": queue.attributes.logging_enabled,
    }
    values |= {element: getattr(queue.attributes, field) for element, (field, _low, _high) in RANGES.items()}
    return wire.lines(values)


def delete_queue(service: Service, call: Call) -> Reply:
    """Delete a queue with all its messages."""
    service.delete_queue(call.name)
    return Reply(204)


def list_queue(service: Service, call: Call) -> Reply:
    """List queues by prefix, page by page."""
    queues = {queue.name: queue for queue in service.queues()}
    with_meta = call.request.headers.get("x-mns-with-meta", "").lower() == "true"
    names, marker = page(call, list(queues))
    insides = [
        wire.lines({"QueueURL": f"{service.endpoint}/queues/{name}"}) + (_described(queues[name]) if with_meta else "")
        for name in names
    ]
    return listed("Queues", "Queue", insides, marker)


def page(call: Call, names: Sequence[str]) -> tuple[Sequence[str], str | None]:
    """Pick the names of a page by the list headers; return them and the marker of the next page.

    Raises:
        MnsError: InvalidArgument, x-mns-ret-number is not 1 to 1,000.
    """
    headers = call.request.headers
    size = number("x-mns-ret-number", headers.get("x-mns-ret-number", str(_LONGEST_LIST)))
    in_range("x-mns-ret-number", size, 1, _LONGEST_LIST)
    prefix, marker = headers.get("x-mns-prefix", ""), headers.get("x-mns-marker", "")
    found = [name for name in names if name.startswith(prefix) and name >= marker]
    return found[:size], found[size] if len(found) > size else None


def listed(root: str, each: str, insides: Sequence[str], marker: str | None) -> Reply:
    """Answer a page of a list."""
    items = "".join(f"<{each}>{inside}</{each}>" for inside in insides)
    return Reply(200, wire.document(root, items + wire.lines({"NextMarker": marker})))


# --- the account ------------------------------------------------------------------------------------------------------
def get_account_attributes(service: Service, _call: Call) -> Reply:
    """Show where the account's logs go."""
    return Reply(200, wire.document("Account", wire.lines({"LoggingBucket": service.logging_bucket})))


def set_account_attributes(service: Service, call: Call) -> Reply:
    """Change where the account's logs go."""
    service.logging_bucket = elements_of(call).get("LoggingBucket", service.logging_bucket)
    return Reply(204)


def open_service(_service: Service, _call: Call) -> Reply:
    """Answer an order, as if the service had just been opened."""
    return Reply(200, wire.document("OpenService", wire.lines({"OrderId": "200000000000001"})))
