"""What is inside a message of MNS: the callback itself, in base64, or wrapped in the envelope of a topic.

No page tells how RTC writes a callback into a queue. The vendor's SDKs write base64 unless they are told not to; a
topic wraps what was published in an envelope, in XML or JSON (https://help.aliyun.com/document_detail/27482.html), and
hands it to an HTTP endpoint or to a queue, where the message inside may be in base64 again. So one wrapping after
another is taken off until a JSON object lies bare: the most that the vendor makes is base64 around an envelope around
base64, and one more is allowed.

The sample of the XML envelope on that page is not well-formed (its namespace is misspelt, and a tag is closed under
another name). So XML is not parsed here: the three elements that matter are cut out, no document type is taken, and
no entity is expanded but the five that XML has itself.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handlers.errors import UnreadableDelivery
from handlers.events import read_json
from handlers.xml_text import unescaped

if TYPE_CHECKING:
    from handlers.events import Delivery, Incoming

#: the doors behind which a message of a queue or a topic stands
DOORS = frozenset({"mns", "mns-topic", "sqs"})
#: wrappings that are taken off one message
MOST_WRAPPINGS = 4
#: characters of an XML envelope: a message has 64 KiB at most, and escapes come on top
#: (https://help.aliyun.com/document_detail/128343.html)
MOST_XML = 4 * 65_536

_OWNER, _TOPIC, _MESSAGE = "TopicOwner", "TopicName", "Message"
#: neither form does without one of these words
_MAY_BE_ENVELOPE = re.compile(rb"<Notification|\"TopicOwner\"")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
#: its alphabet comes in fours
_GROUP = 4
_ROOT = re.compile(r"\s*(?:<\?xml[^<>]*\?>\s*)?<Notification(?:\s[^<>]*)?>")
_CDATA, _CDATA_END = "<![CDATA[", "]]>"


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What a topic tells about a message."""

    #: the Alibaba Cloud account to which the topic belongs
    owner: str
    topic: str
    #: what was published, as it is
    message: bytes = field(repr=False)


def said(source: Delivery | Incoming) -> dict[str, Any]:
    """Return the callback that came, out of its wrappings where its door hands out messages.

    Raises UnreadableDelivery.
    """
    return unwrap(source.body) if source.door in DOORS else read_json(source.body)


def unwrap(body: bytes) -> dict[str, Any]:
    """Return the JSON object inside a message.

    Raises UnreadableDelivery, which tells what was tried and repeats nothing of the message.
    """
    tried: list[str] = []
    for _ in range(MOST_WRAPPINGS + 1):
        envelope = envelope_of(body)
        if envelope is not None:
            body = envelope.message
            tried.append("the envelope of a topic")
            continue
        bare = None if body.startswith(b"{") else _base64(body)  # as most do, and nothing in base64
        if bare is None:
            return _object(body, tried)
        body = bare
        tried.append("base64")
    raise UnreadableDelivery(f"the message has more than {MOST_WRAPPINGS} wrappings: {', '.join(tried)}")


def envelope_of(body: bytes) -> Envelope | None:
    """Return what a topic's envelope in JSON or XML holds; None for what is no such envelope, or a damaged one."""
    if not _MAY_BE_ENVELOPE.search(body):
        return None
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return _from_json(text) or _from_xml(text)


def _object(body: bytes, tried: list[str]) -> dict[str, Any]:
    try:
        return read_json(body)
    except UnreadableDelivery as exc:
        inside = f", inside {' inside '.join(reversed(tried))}" if tried else ""
        raise UnreadableDelivery(
            f"{exc}{inside}; nor is it base64 (RFC 4648, its own alphabet only), "
            f"nor a topic's <Notification> or JSON with {_OWNER}, {_TOPIC} and {_MESSAGE}"
        ) from exc


def _base64(body: bytes) -> bytes | None:
    """Return what the base64 stands for; line breaks and a missing padding are nothing to it, anything else is."""
    text = body.translate(None, b"\r\n").strip()
    if not _BASE64.fullmatch(text):
        return None
    try:
        return base64.b64decode(text.rstrip(b"=") + b"=" * (-len(text.rstrip(b"=")) % _GROUP), validate=True)
    except binascii.Error:
        return None


def _from_json(text: str) -> Envelope | None:
    if not text.lstrip().startswith("{") or f'"{_OWNER}"' not in text:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _envelope(*(values.get(name) for name in (_OWNER, _TOPIC, _MESSAGE)))


def _from_xml(text: str) -> Envelope | None:
    root = _ROOT.match(text)
    if root is None or len(text) > MOST_XML:
        return None
    inside = text[root.end() :]
    # The message comes out whole first: what was published may look like another element.
    begin, end = inside.find(f"<{_MESSAGE}>"), inside.rfind(f"</{_MESSAGE}>")
    if not 0 <= begin < end:
        return None
    rest = inside[:begin] + inside[end:]
    return _envelope(_element(rest, _OWNER), _element(rest, _TOPIC), _bare(inside[begin + len(f"<{_MESSAGE}>") : end]))


def _element(text: str, name: str) -> str | None:
    """Return the text of the one element of this name; None where there is none, or another one."""
    before, opened, rest = text.partition(f"<{name}>")
    value, closed, after = rest.partition(f"</{name}>")
    if not opened or not closed or f"<{name}>" in before + value + after:
        return None
    return _bare(value)


def _envelope(owner: object, topic: object, message: object) -> Envelope | None:
    if not isinstance(owner, str) or not isinstance(topic, str) or not isinstance(message, str):
        return None
    return Envelope(owner=owner.strip(), topic=topic.strip(), message=message.encode("utf-8", "surrogatepass"))


def _bare(text: str) -> str:
    """Undo the escapes of XML, each once; what is no escape stays as it is."""
    parts = []
    begin = 0
    # By position, and not by a pattern: one for CDATA looks for its end from each of a thousand beginnings.
    while (opened := text.find(_CDATA, begin)) >= 0 and (closed := text.find(_CDATA_END, opened)) >= 0:
        parts += [unescaped(text[begin:opened]), text[opened + len(_CDATA) : closed]]
        begin = closed + len(_CDATA_END)
    return "".join([*parts, unescaped(text[begin:])])
