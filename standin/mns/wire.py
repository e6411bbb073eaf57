"""How the queue service's XML is read and written.

A document type is refused, so no entity is ever expanded. Element names are the vendor's; namespaces are let go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.parsers import expat

from standin.mns.errors import MnsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from standin.mns.message import Peeked, Received

NAMESPACE = "http://mns.aliyuncs.com/doc/v1/"
_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'
_DEEPEST = 8


@dataclass(slots=True)
class Element:
    """A name, the text directly inside, and the elements inside."""

    name: str
    text: str = ""
    inside: list[Element] = field(default_factory=list)

    def texts(self) -> dict[str, str]:
        """Return the text of each element inside, by name; of several with one name the last."""
        return {element.name: element.text for element in self.inside}

    def find(self, name: str) -> Element | None:
        """Return the first element inside of that name."""
        return next((element for element in self.inside if element.name == name), None)


def parse(document: bytes) -> Element:
    """Read a document.

    Raises:
        MnsError: MalformedXML, also for a document type and for elements more than 8 deep.
    """
    top = Element("")
    open_: list[Element] = [top]

    def start(name: str, _attributes: Mapping[str, str]) -> None:
        element = Element(name.rpartition(" ")[2])
        open_[-1].inside.append(element)
        open_.append(element)
        if len(open_) > _DEEPEST:
            raise MnsError("MalformedXML", f"The XML is more than {_DEEPEST} elements deep.")

    def end(_name: str) -> None:
        open_.pop()

    def text(data: str) -> None:
        open_[-1].text += data

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(document, True)  # noqa: FBT003 - expat takes it by position
    except (expat.ExpatError, ValueError, LookupError) as exc:
        raise MnsError("MalformedXML", f"The XML can't be read: {exc}.") from exc
    return top.inside[0]


def _refuse_doctype(*_arguments: object) -> None:
    raise MnsError("MalformedXML", "The XML has a document type, which is not taken.")


def escape(text: str) -> str:
    """Make text safe between tags; a carriage return would be normalised away by the reader."""
    if "&" in text or "<" in text or ">" in text or "\r" in text:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return text


def written(element: Element) -> str:
    """Write an element as it came, without namespaces."""
    inside = "".join(written(one) for one in element.inside) if element.inside else escape(element.text)
    return f"<{element.name}>{inside}</{element.name}>"


def lines(values: Mapping[str, object]) -> str:
    """Write each name and value as an element; a value of None is left out."""
    return "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in values.items() if value is not None)


def document(name: str, inside: str) -> bytes:
    """Write a whole document under one root element."""
    return f'{_HEAD}<{name} xmlns="{NAMESPACE}">{inside}</{name}>'.encode()


def error(code: str, message: str, *, request_id: str, host: str) -> bytes:
    """Write what every refused request gets."""
    return document("Error", lines({"Code": code, "Message": message, "RequestId": request_id, "HostId": host}))


def errors(failures: Iterable[tuple[str, MnsError]]) -> bytes:
    """Write what a batch delete answers for the handles that it could not delete."""
    return document(
        "Errors",
        "".join(
            f"<Error>{lines({'ErrorCode': exc.code, 'ErrorMessage': exc.message, 'ReceiptHandle': handle})}</Error>"
            for handle, exc in failures
        ),
    )


def received(message: Received) -> str:
    """Write the inside of a <Message> that a receive hands out."""
    return (
        f"<MessageId>{message.message_id}</MessageId><ReceiptHandle>{message.handle}</ReceiptHandle>"
        f"<MessageBody>{escape(message.body)}</MessageBody><MessageBodyMD5>{message.body_md5}</MessageBodyMD5>"
        f"<EnqueueTime>{message.enqueued_at}</EnqueueTime><NextVisibleTime>{message.next_visible_at}</NextVisibleTime>"
        f"<FirstDequeueTime>{message.first_dequeued_at}</FirstDequeueTime>"
        f"<DequeueCount>{message.dequeue_count}</DequeueCount><Priority>{message.priority}</Priority>"
        f"{_group(message.group_id)}{message.properties}"
    )


def peeked(message: Peeked) -> str:
    """Write the inside of a <Message> that a peek shows: it has no handle."""
    return (
        f"<MessageId>{message.message_id}</MessageId>"
        f"<MessageBody>{escape(message.body)}</MessageBody><MessageBodyMD5>{message.body_md5}</MessageBodyMD5>"
        f"<EnqueueTime>{message.enqueued_at}</EnqueueTime>"
        f"<FirstDequeueTime>{message.first_dequeued_at}</FirstDequeueTime>"
        f"<DequeueCount>{message.dequeue_count}</DequeueCount><Priority>{message.priority}</Priority>"
        f"{_group(message.group_id)}{message.properties}"
    )


def _group(group_id: str) -> str:
    return f"<MessageGroupId>{escape(group_id)}</MessageGroupId>" if group_id else ""


def batch(messages: Iterable[str]) -> bytes:
    """Write <Messages> around the insides of its messages."""
    return document("Messages", "".join(f"<Message>{inside}</Message>" for inside in messages))
