"""What can be saved of an answer of MNS that the SDK throws away whole, because one message in it is damaged.

The messages of such an answer are hidden already. Were they left, they would come again together with the damaged
one, which then costs them their receives as well.
"""

from __future__ import annotations

import re
from typing import Any

_MESSAGE = re.compile(r"<Message>(.*?)</Message>", re.DOTALL)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_REFERENCE = re.compile(r"&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(lt|gt|amp|quot|apos));")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_LAST_CODE = 0x10FFFF
#: field -> the SDK's name of it
_FIELDS = {
    "MessageId": "message_id",
    "ReceiptHandle": "receipt_handle",
    "MessageBody": "message_body",
    "DequeueCount": "dequeue_count",
    "EnqueueTime": "enqueue_time",
    "FirstDequeueTime": "first_dequeue_time",
    "NextVisibleTime": "next_visible_time",
}
_NUMBER = re.compile(r"[0-9]{1,15}")
_NUMBERS = frozenset({"dequeue_count", "enqueue_time", "first_dequeue_time", "next_visible_time"})


def messages_of(answer: str) -> list[dict[str, Any]]:
    """Return the messages of a batch by the SDK's names, but those that lack a handle, hence can't be deleted."""
    found = [_message(part) for part in _MESSAGE.findall(answer)]
    return [one for one in found if one.get("receipt_handle")]


def field_of(answer: str, name: str) -> str | None:
    """Return the text of the first element of this name; None where there is none."""
    found = re.search(rf"<{name}>(.*?)</{name}>", answer, re.DOTALL)
    return None if found is None else _unescaped(found[1])


def _message(part: str) -> dict[str, Any]:
    # The body comes out first: it may quote an element that looks like another field.
    body = field_of(part, "MessageBody")
    rest = re.sub(r"<MessageBody>.*?</MessageBody>", "", part, flags=re.DOTALL)
    told: dict[str, Any] = {ours: field_of(rest, name) for name, ours in _FIELDS.items()}
    for name in _NUMBERS:
        told[name] = int(told[name]) if _NUMBER.fullmatch(told[name] or "") else None
    return told | {"message_body": body or ""}


def _unescaped(text: str) -> str:
    """Undo the escapes of XML, outside of CDATA; a reference to a character that there is not stays as it is."""
    parts = _CDATA.split(text)
    return "".join(part if number % 2 else _REFERENCE.sub(_character, part) for number, part in enumerate(parts))


def _character(found: re.Match[str]) -> str:
    if found[3]:
        return _NAMED[found[3]]
    code = int(found[1], 16) if found[1] else int(found[2])
    return chr(code) if code <= _LAST_CODE else found[0]
