"""What the operations on messages do: send, receive, peek, delete, change visibility."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from standin.mns import wire
from standin.mns.attributes import in_range, number
from standin.mns.call import Reply
from standin.mns.errors import MnsError, message_not_exist
from standin.mns.message import DEFAULT_PRIORITY, Draft

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from standin.mns.call import Call
    from standin.mns.message import Message, Received
    from standin.mns.queue import Queue
    from standin.mns.service import Service

_MAX_BATCH = 16
_MAX_BATCH_BYTES = 65_536
_LONGEST_DELAY = 604_800
_LOWEST_PRIORITY = 16
_LONGEST_WAIT = 30


# --- sending ----------------------------------------------------------------------------------------------------------
def send(service: Service, call: Call) -> Reply:
    """Enqueue one message; the reply has a handle if the message is delayed."""
    queue = service.queue(call.name)
    root = wire.parse(call.request.body)
    if root.name != "Message":
        raise MnsError("InvalidArgument", f"The root element is {root.name[:40]}, expected Message or Messages.")
    draft = draft_of(root, queue.attributes.maximum_message_size)
    [message] = queue.send([draft])
    handle = message.handle if draft.delay_seconds or queue.attributes.delay_seconds else None
    return Reply(201, wire.document("Message", _receipt(message, draft, handle)))


def batch_send(service: Service, call: Call) -> Reply:
    """Enqueue up to 16 messages of 64 KiB together; those that can't be are told in an error, the others are in."""
    queue = service.queue(call.name)
    elements = wire.parse(call.request.body).inside
    in_range("The number of messages", len(elements), 1, _MAX_BATCH)
    read = [_draft_or_error(element, queue.attributes.maximum_message_size) for element in elements]
    size = sum(len(element.texts().get("MessageBody", "").encode()) for element in elements)
    in_range("The size of the batch in bytes", size, 0, _MAX_BATCH_BYTES)
    if fault := call.strike("partial_send"):
        failed: list[Draft | MnsError] = [MnsError("InternalError", "Refused on purpose.")] * min(
            fault.count, len(read)
        )
        read[: len(failed)] = failed
    sent = iter(queue.send([draft for draft in read if isinstance(draft, Draft)]))
    insides = [_failure(one) if isinstance(one, MnsError) else _receipt(next(sent), one) for one in read]
    failure = next((one for one in read if isinstance(one, MnsError)), None)
    if failure is None:
        return Reply(201, wire.batch(insides))
    return Reply(failure.status, wire.batch(insides), code=failure.code)


def draft_of(element: wire.Element, largest: int) -> Draft:
    """Read a <Message>; its body may have `largest` bytes.

    Raises:
        MnsError: InvalidArgument, something is missing or out of its range.
    """
    texts = element.texts()
    body = texts.get("MessageBody", "")
    in_range("The size of MessageBody in bytes", len(body.encode()), 1, largest)
    delay = texts.get("DelaySeconds")
    priority = number("Priority", texts.get("Priority", str(DEFAULT_PRIORITY)))
    return Draft(
        body=body,
        delay_seconds=None
        if delay is None
        else in_range("DelaySeconds", number("DelaySeconds", delay), 0, _LONGEST_DELAY),
        priority=in_range("Priority", priority, 1, _LOWEST_PRIORITY),
        group_id=texts.get("MessageGroupId", ""),
        properties="".join(
            wire.written(one) for one in element.inside if one.name in ("UserProperties", "SystemProperties")
        ),
    )


def _draft_or_error(element: wire.Element, largest: int) -> Draft | MnsError:
    try:
        return draft_of(element, largest)
    except MnsError as exc:
        return exc


def _receipt(message: Message, draft: Draft, handle: str | None = None) -> str:
    return wire.lines(
        {
            "MessageId": message.message_id,
            "MessageBodyMD5": message.body_md5,
            "ReceiptHandle": handle,
            "MessageGroupId": draft.group_id or None,
        }
    )


def _failure(exc: MnsError) -> str:
    return wire.lines({"ErrorCode": exc.code, "ErrorMessage": exc.message})


# --- receiving --------------------------------------------------------------------------------------------------------
def receive(service: Service, call: Call) -> Reply:
    """Hand out one message, or answer 404 MessageNotExist once waitseconds have passed."""
    [message] = _received(service, call, 1)
    return Reply(200, wire.document("Message", wire.received(message)))


def batch_receive(service: Service, call: Call) -> Reply:
    """Hand out numOfMessages (1 to 16) at most, or answer 404 MessageNotExist once waitseconds have passed."""
    messages = _received(service, call, _batch_size(call))
    return Reply(200, wire.batch(wire.received(message) for message in messages))


def _batch_size(call: Call) -> int:
    return in_range("numOfMessages", number("numOfMessages", call.query["numOfMessages"]), 1, _MAX_BATCH)


def _received(service: Service, call: Call, count: int) -> Sequence[Received]:
    queue = service.queue(call.name)
    wait = _wait_seconds(queue, call)
    if call.strike("empty_at_once"):
        raise message_not_exist()
    if queue.waiting >= service.most_waiting:
        wait = 0
    messages: Sequence[Received] = queue.receive(count, wait_seconds=wait, shorten=_shortener(call), there=call.there)
    if not messages:
        raise message_not_exist()
    if call.strike("duplicate"):
        queue.duplicate(messages)
    if call.strike("corrupt_body"):
        messages = [dataclasses.replace(messages[0], body=_corrupted(messages[0].body)), *messages[1:]]
    return messages


def _wait_seconds(queue: Queue, call: Call) -> int:
    text = call.query.get("waitseconds")
    if text is None:
        return queue.attributes.polling_wait_seconds
    return in_range("waitseconds", number("waitseconds", text), 0, _LONGEST_WAIT)


def _shortener(call: Call) -> Callable[[int], int]:
    def shorten(count: int) -> int:
        fault = call.strike("short_batch") if count > 1 else None
        return fault.count if fault else count

    return shorten


def _corrupted(body: str) -> str:
    middle = len(body) // 2
    return f"{body[:middle]}\N{REPLACEMENT CHARACTER}{body[middle + 1 :]}"


def peek(service: Service, call: Call) -> Reply:
    """Show the message that would be received next, or answer 404 MessageNotExist."""
    seen = service.queue(call.name).peek(1)
    if not seen:
        raise message_not_exist()
    return Reply(200, wire.document("Message", wire.peeked(seen[0])))


def batch_peek(service: Service, call: Call) -> Reply:
    """Show the messages that would be received next, or answer 404 MessageNotExist."""
    seen = service.queue(call.name).peek(_batch_size(call))
    if not seen:
        raise message_not_exist()
    return Reply(200, wire.batch(wire.peeked(message) for message in seen))


# --- settling ---------------------------------------------------------------------------------------------------------
def delete(service: Service, call: Call) -> Reply:
    """Delete the message of ReceiptHandle."""
    service.queue(call.name).delete(_handle(call))
    return Reply(204)


def _handle(call: Call) -> str:
    handle = call.query.get("ReceiptHandle")
    if not handle:
        raise MnsError("MissingReceiptHandle", "The request has no ReceiptHandle.")
    return handle


def batch_delete(service: Service, call: Call) -> Reply:
    """Delete up to 16 messages: 204 if all could be, else 404 with the handles that couldn't; the others are gone."""
    queue = service.queue(call.name)
    handles = [element.text for element in wire.parse(call.request.body).inside]
    in_range("The number of receipt handles", len(handles), 1, _MAX_BATCH)
    fault = call.strike("partial_delete")
    spared = fault.count if fault else 0
    failures = [(handle, MnsError("InternalError", "Refused on purpose.")) for handle in handles[:spared]]
    failures += queue.delete_all(handles[spared:])
    if not failures:
        return Reply(204)
    return Reply(404, wire.errors(failures), code=failures[0][1].code)


def change_visibility(service: Service, call: Call) -> Reply:
    """Hide a message for VisibilityTimeout from now; its handle is replaced by a new one."""
    queue = service.queue(call.name)
    handle = _handle(call)
    text = call.query.get("VisibilityTimeout")
    if not text:
        raise MnsError("MissingVisibilityTimeout", "The request has no VisibilityTimeout.")
    new, until = queue.change_visibility(handle, number("VisibilityTimeout", text))
    return Reply(200, wire.document("ChangeVisibility", wire.lines({"ReceiptHandle": new, "NextVisibleTime": until})))
