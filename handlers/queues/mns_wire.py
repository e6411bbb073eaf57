"""What an answer of MNS holds, taken apart by ourselves.

The SDK does so by minidom, which takes more of the processor than everything else that becomes of a message. And where
one message is damaged it throws the whole answer away, whose messages are hidden already: they would come again
together with the damaged one, and lose their receives with it.

So an answer without anything odd goes through a quick parser, and any other through patterns, which take what they can.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from handlers.xml_text import escaped, unescaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_HANDLES = '<?xml version="1.0" encoding="utf-8"?><ReceiptHandles xmlns="http://mns.aliyuncs.com/doc/v1/">'
_ATTRIBUTES = r"""(?:\s(?:[^<>"'/]|"[^"<]*"|'[^'<]*')*)?"""
#: a message ends where another one follows, or none: one that a body quotes does not
_MESSAGE = re.compile(rf"<Message{_ATTRIBUTES}>(.*?)</Message\s*>(?=\s*(?:<Message[\s>]|</Messages\s*>|$))", re.DOTALL)
#: each element of a message, whole: what a body quotes lies inside it
_ELEMENT = re.compile(rf"<(\w+){_ATTRIBUTES}(?:/>|>(.*?)</\1\s*>)", re.DOTALL)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_CDATA_BEGINS = "<![CDATA["
#: what a parser would expand, or make something else of: a line's end of two characters becomes one
_ODD = ("<!DOCTYPE", "\r")
#: field -> the SDK's name of it
_FIELDS = {
    "MessageId": "message_id",
    "ReceiptHandle": "receipt_handle",
    "MessageBody": "message_body",
    "MessageBodyMD5": "message_body_md5",
    "DequeueCount": "dequeue_count",
    "EnqueueTime": "enqueue_time",
    "FirstDequeueTime": "first_dequeue_time",
    "NextVisibleTime": "next_visible_time",
}
_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_NUMBER = re.compile(r"[0-9]{1,15}")
_NUMBERS = frozenset({"dequeue_count", "enqueue_time", "first_dequeue_time", "next_visible_time"})


def messages_of(answer: str) -> list[dict[str, Any]]:
    """Return the messages of a batch by the SDK's names, but those that lack a handle, hence can't be deleted.

    A number that can't be read is None. `damage` says why a body can't be what was sent, `element` is all that came
    of such a message; both are None otherwise.
    """
    found = _quickly(answer)
    if found is None:
        found = [_message(part) for part in _MESSAGE.findall(_plain(answer))]
    return [one for one in found if one.get("receipt_handle")]


def handles_as_xml(handles: Iterable[str]) -> bytes:
    """Return the body of a BatchDeleteMessage."""
    listed = "".join(f"<ReceiptHandle>{escaped(handle)}</ReceiptHandle>" for handle in handles)
    return f"{_HANDLES}{listed}</ReceiptHandles>".encode()


def field_of(answer: str, name: str) -> str | None:
    """Return the text of the first element of this name; None where there is none."""
    found = re.search(rf"<{name}>(.*?)</{name}>", _plain(answer), re.DOTALL)
    return None if found is None else unescaped(found[1])


def _quickly(answer: str) -> list[dict[str, Any]] | None:
    """Return what a parser makes of the answer; None where anything of it is odd."""
    if any(odd in answer for odd in _ODD):
        return None
    try:
        root = ET.fromstring(answer)  # noqa: S314 - without a document type there is nothing to blow up
    except ET.ParseError:
        return None
    found = []
    for message in root:
        if _local(message.tag) != "Message":
            continue
        if any(map(len, message)):
            return None
        texts = {_local(field.tag): field.text or "" for field in message}
        told = _told({name: texts.get(name) for name in _FIELDS})
        body = told["message_body"]
        if _damage(body, told.pop("message_body_md5"), body or "") is not None:
            return None
        found.append(told | {"damage": None, "element": None})
    return found


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _message(part: str) -> dict[str, Any]:
    found = dict(_ELEMENT.findall(part))
    told = _told({name: unescaped(found[name]) if name in found else None for name in _FIELDS})
    damage = _damage(told["message_body"], told.pop("message_body_md5"), found.get("MessageBody", ""))
    return told | {"damage": damage, "element": f"<Message>{part}</Message>" if damage else None}


def _told(texts: Mapping[str, str | None]) -> dict[str, Any]:
    told: dict[str, Any] = {ours: texts[name] for name, ours in _FIELDS.items()}
    for name in _NUMBERS:
        told[name] = int(told[name]) if _NUMBER.fullmatch(told[name] or "") else None
    return told


def _damage(body: str | None, md5: str | None, wire: str) -> str | None:
    """Return what speaks against a body; `wire` is what stood between its tags."""
    if body is None:
        return "it has no MessageBody"
    if md5 is None or not _MD5.fullmatch(md5):
        return None if body else "its MessageBody is empty"
    told = md5.lower()
    if any(hashlib.md5(read, usedforsecurity=False).hexdigest() == told for read in _readings(body, wire)):
        return None
    return "its MessageBody does not fit its MessageBodyMD5"


def _readings(body: str, wire: str) -> Iterator[bytes]:
    """Yield what the MD5 may be of: nowhere does the service say whether of the body as it is stored."""
    yield body.encode("utf-8", "surrogatepass")
    yield wire.encode("utf-8", "surrogatepass")
    try:
        yield base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return


def _plain(answer: str) -> str:
    """Return the same XML without CDATA, in which a body may quote whatever it likes."""
    return _CDATA.sub(lambda found: escaped(found[1]), answer) if _CDATA_BEGINS in answer else answer
