"""The two ways in which an answer of MNS is taken apart: whatever the quick one takes, both take alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mns.mns_xml_handler import ReceiptHandlesEncoder

from handlers.queues import mns_wire
from handlers.queues.mns_wire import handles_as_xml, messages_of
from handlers.xml_text import unescaped

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMESPACE = 'xmlns="http://mns.aliyuncs.com/doc/v1"'
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
_WRAPPED = st.sampled_from([escape, lambda text: f"<![CDATA[{text}]]>", lambda text: escape(text, {"\n": "&#10;"})])


def _answer(bodies: Sequence[str], before: str = '<?xml version="1.0"?>') -> str:
    messages = "".join(
        f"<Message><MessageId>m{number}</MessageId><ReceiptHandle>h{number}</ReceiptHandle>"
        f"<MessageBody>{body}</MessageBody><DequeueCount>1</DequeueCount></Message>"
        for number, body in enumerate(bodies)
    )
    return f"{before}<Messages {_NAMESPACE}>{messages}</Messages>"


def _by_patterns(answer: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    with monkeypatch.context() as patched:
        patched.setattr(mns_wire, "_quickly", lambda _: None)
        return messages_of(answer)


@given(st.lists(st.tuples(_TEXTS, _WRAPPED), min_size=1, max_size=4))
def test_both_ways_take_the_same_from_any_answer(bodies: list[tuple[str, Any]]) -> None:
    answer = _answer([wrapped(body) for body, wrapped in bodies if "]]>" not in body] or ["x"])
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert messages_of(answer) == _by_patterns(answer, monkeypatch)


@pytest.mark.parametrize(
    ("body", "before"),
    [
        ("a\r\nb", ""),
        ("<inner>a</inner>", ""),
        ("&#1;", ""),
        ("a", '<!DOCTYPE Messages [<!ENTITY a "b">]>'),
        ("a & b", ""),
    ],
    ids=["a line's end of two characters", "elements inside", "no character of XML", "a document type", "a bare &"],
)
def test_what_a_parser_would_alter_or_refuse_is_taken_as_it_came(body: str, before: str) -> None:
    (message,) = messages_of(_answer([body], before))
    assert message["message_body"] == unescaped(body)
    assert message["receipt_handle"] == "h0"


@given(st.lists(_TEXTS, min_size=1, max_size=16))
def test_handles_are_written_as_the_sdk_writes_them(handles: list[str]) -> None:
    assert handles_as_xml(handles) == ReceiptHandlesEncoder.encode(handles)


def test_the_quick_way_is_taken_for_what_the_service_sends() -> None:
    assert mns_wire._quickly(_answer(["{&quot;a&quot;: 1}"])) is not None
