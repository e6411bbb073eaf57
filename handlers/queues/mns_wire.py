"""What an answer of MNS holds, taken apart by ourselves.

The SDK does so by minidom, which takes more of the processor than everything else that becomes of a message. And where
one message is damaged it throws the whole answer away, whose messages are hidden already: they would come again
together with the damaged one, and lose their receives with it.
"""

from __future__ import annotations

import re
from typing import Any

_MESSAGE = re.compile(r"<Message>(.*?)</Message>", re.DOTALL)
#: each element of a message, whole: what a body quotes lies inside it
_ELEMENT = re.compile(r"<(\w+)>(.*?)</\1>", re.DOTALL)
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
    """Return the messages of a batch by the SDK's names, but those that lack a handle, hence can't be deleted.

    A number that can't be read is None.
    """
    found = [_message(part) for part in _MESSAGE.findall(answer)]
    return [one for one in found if one.get("receipt_handle")]


def field_of(answer: str, name: str) -> str | None:
    """Return the text of the first element of this name; None where there is none."""
    found = re.search(rf"<{name}>(.*?)</{name}>", answer, re.DOTALL)
    return None if found is None else _unescaped(found[1])


def _message(part: str) -> dict[str, Any]:
    found = dict(_ELEMENT.findall(part))
    told: dict[str, Any] = {ours: _unescaped(found[name]) if name in found else None for name, ours in _FIELDS.items()}
    for name in _NUMBERS:
        told[name] = int(told[name]) if _NUMBER.fullmatch(told[name] or "") else None
    return told | {"message_body": told["message_body"] or ""}


def _unescaped(text: str) -> str:
    """Undo the escapes of XML, outside of CDATA; a reference to a character that there is not stays as it is."""
    if "&" not in text and "<" not in text:  # as handles and numbers are
        return text
    parts = _CDATA.split(text)
    return "".join(part if number % 2 else _REFERENCE.sub(_character, part) for number, part in enumerate(parts))


def _character(found: re.Match[str]) -> str:
    if found[3]:
        return _NAMED[found[3]]
    code = int(found[1], 16) if found[1] else int(found[2])
    return chr(code) if code <= _LAST_CODE else found[0]
