"""What is inside a message of MNS, and how little must be wrong to leave it in quarantine."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.errors import BadToken, UnreadableDelivery
from handlers.events import Delivery, Event, Incoming
from handlers.secrets import Secret
from handlers.settings import Account
from handlers.vendors.aliyun import VENDOR
from handlers.vendors.aliyun.mns import MOST_WRAPPINGS, MOST_XML, envelope_of, unwrap

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = (Path(__file__).parent / "fixtures" / "aliyun" / "FileCreated.json").read_bytes()
CHINESE = (Path(__file__).parent / "fixtures" / "aliyun" / "FileCreated-non-ascii-channel.json").read_bytes()
NOW = 1_790_000_000_000

each_door = pytest.mark.parametrize("door", ["mns", "mns-topic", "sqs"])


def read(body: bytes, door: str = "mns") -> Event:
    delivery = Delivery(
        id="dlv_1", account="lessons", vendor="aliyun", door=door, received_at=NOW, headers={}, body=body
    )
    (event,) = VENDOR.read(delivery)
    return event


def incoming(body: bytes, door: str = "mns", token: str | None = None) -> Incoming:
    return Incoming(vendor="aliyun", account="lessons", door=door, received_at=NOW, headers={}, body=body, token=token)


def xml(body: bytes, **changed: str) -> bytes:
    members = {
        "TopicOwner": "1234567890",
        "TopicName": "recordings",
        "Subscriber": "1234567890",
        "SubscriptionName": "reelhook",
        "MessageId": "6CC4D900CA59A2CD-1-15180534A8F-20000002",
        "Message": escape(body.decode(errors="replace")),
        "MessageMD5": "F1E92841751D795AB325861034B5CF55",
        "PublishTime": "1449556920975",
    } | changed
    told = "".join(f"<{name}>{value}</{name}>" for name, value in members.items())
    return f'<?xml version="1.0" encoding="utf-8"?><Notification xmlns="http://mns.aliyuncs.com/doc/v1/">{told}</Notification>'.encode()


def in_json(body: bytes, **changed: object) -> bytes:
    told = {"TopicOwner": "1234567890", "TopicName": "recordings", "Message": body.decode(errors="replace")}
    return json.dumps(told | changed).encode()


#: ways in which the same callback comes in a message
WRAPPED: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda body: body,
    "raw with a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "base64": base64.b64encode,
    "base64 in lines": base64.encodebytes,
    "base64 without padding": lambda body: base64.b64encode(body + b" " * (4 - len(body) % 3)).rstrip(b"="),
    "base64 between blanks": lambda body: b" \r\n" + base64.b64encode(body) + b"\t\n",
    "XML": xml,
    "XML around base64": lambda body: xml(base64.b64encode(body)),
    "JSON": in_json,
    "JSON around base64": lambda body: in_json(base64.b64encode(body)),
    "base64 around XML": lambda body: base64.b64encode(xml(body)),
    "base64 around XML around base64": lambda body: base64.b64encode(xml(base64.b64encode(body))),
    "XML around JSON": lambda body: xml(in_json(body)),
    "JSON around XML around base64": lambda body: in_json(xml(base64.b64encode(body))),
    "base64 around base64": lambda body: base64.b64encode(base64.b64encode(body)),
    "CDATA": lambda body: xml(b"", Message=f"<![CDATA[{body.decode()}]]>"),
    "numeric references": lambda body: xml(b"", Message="".join(f"&#{ord(char)};" for char in body.decode())),
    "hexadecimal references": lambda body: xml(b"", Message="".join(f"&#x{ord(char):X};" for char in body.decode())),
}
each_way = pytest.mark.parametrize("way", WRAPPED)


@each_door
@each_way
def test_a_message_means_the_same_whatever_it_is_wrapped_in(way: str, door: str) -> None:
    for body in (BODY, CHINESE):
        assert read(WRAPPED[way](body), door) == read(body, "http")


@each_door
@each_way
def test_the_same_message_is_a_repeat_whatever_it_is_wrapped_in(way: str, door: str) -> None:
    assert VENDOR.keys(incoming(WRAPPED[way](BODY), door)) == VENDOR.keys(incoming(BODY, "http"))
    other = json.dumps(json.loads(BODY) | {"Duration": 1}).encode()
    assert VENDOR.keys(incoming(WRAPPED[way](other), door)) != VENDOR.keys(incoming(BODY, "http"))


@each_way
def test_a_message_without_an_id_is_a_repeat_too(way: str) -> None:
    body = b'{"Event": "RecordPaused", "AppId": "a"}'
    assert VENDOR.keys(incoming(WRAPPED[way](body))) == VENDOR.keys(incoming(body))


def test_the_vendors_malformed_sample_of_an_envelope_is_read() -> None:
    # As on its page: the namespace is misspelt, and PublishTime is closed under another name.
    body = f"""<?xml version="1.0" encoding="utf-8"?>
<Notification xlmns="http://mns.aliyuncs.com/doc/v1/">
    <TopicOwner>1234567890</TopicOwner>
    <TopicName>recordings</TopicName>
    <Subscriber>1234567890</Subscriber>
    <SubscriptionName>reelhook</SubscriptionName>
    <MessageId>6CC4D900CA59A2CD-1-15180534A8F-20000002</MessageId>
    <Message>{escape(BODY.decode())}</Message>
    <MessageMD5>F1E92841751D795AB325861034B5CF55</MessageMD5>
    <MessageTag>important</MessageTag>
    <PublishTime>1449556920975</MessagePublishTime>
</Notification>"""
    assert read(body.encode()) == read(BODY, "http")


@pytest.mark.parametrize("wrap", [base64.b64encode, in_json, xml], ids=["base64", "JSON", "XML"])
def test_four_wrappings_are_taken_off_and_a_fifth_is_unreadable(wrap: Callable[[bytes], bytes]) -> None:
    body = BODY
    for _ in range(MOST_WRAPPINGS):
        body = wrap(body)
    assert read(body) == read(BODY, "http")
    with pytest.raises(UnreadableDelivery, match="more than 4 wrappings"):
        read(wrap(body))


def test_a_message_of_64_kib_is_read_and_so_is_its_envelope() -> None:
    padded = json.dumps(json.loads(BODY) | {"Padding": ""})
    body = padded.replace('""', f'"{"x" * (65_536 - len(padded))}"').encode()
    assert len(body) == 65_536
    assert read(body) == read(BODY, "http")
    assert read(xml(body)) == read(BODY, "http")
    quoted = json.dumps({"Padding": '"' * 8_000} | json.loads(BODY)).encode()
    assert read(xml(quoted)) == read(BODY, "http")


def test_an_envelope_over_its_limit_is_unreadable() -> None:
    with pytest.raises(UnreadableDelivery):
        read(xml(BODY + b" " * MOST_XML))


#: message -> what the reason says
GARBAGE = {
    "nothing": (b"", "is empty"),
    "blanks": (b" \r\n", "is empty"),
    "text": (b"not json", "is not JSON"),
    "not UTF-8": (b"\xff\xfe\x00", "is not UTF-8"),
    "base64 of text": (
        base64.b64encode(b"hello, world"),
        "is not JSON: Expecting value at line 1 column 1; expected an object, inside base64",
    ),
    "base64 of an array": (base64.b64encode(b"[1]"), "is a JSON array; expected an object, inside base64"),
    "base64 cut off": (base64.b64encode(BODY)[:-8], "inside base64"),
    "base64 of another alphabet": (base64.urlsafe_b64encode(b'{"a":"\xc3\xbf\xc3\xbf\xc3\xbf??>>"}'), "is not JSON"),
    "base64 with a stranger in it": (base64.b64encode(BODY)[:20] + b"!" + base64.b64encode(BODY)[20:], "is not JSON"),
    "base64 padded in the middle": (b"eyJh=IjoxfQ==", "is not JSON"),
    "one letter": (b"e", "is not JSON"),
    "five letters": (b"abcde", "is not JSON"),
    "an envelope around text": (xml(b"hello"), "inside the envelope of a topic"),
    "an envelope around nothing": (xml(b""), "is empty; expected a JSON object, inside the envelope of a topic"),
    "an envelope around an envelope around text": (
        xml(in_json(b"hello!")),
        "inside the envelope of a topic inside the envelope of a topic",
    ),
    "an envelope without its message": (
        b"<Notification><TopicOwner>1</TopicOwner><TopicName>a</TopicName></Notification>",
        "is not JSON",
    ),
    "an envelope without its owner": (xml(BODY).replace(b"TopicOwner", b"Owner"), "is not JSON"),
    "an envelope with two owners": (xml(BODY, Subscriber="<TopicOwner>666</TopicOwner>"), "is not JSON"),
    "an envelope that does not end": (xml(BODY)[:-300], "is not JSON"),
    "another document": (b"<Message>{}</Message>", "is not JSON"),
    "a document type": (xml(BODY).replace(b"<Notification", b"<!DOCTYPE a><Notification"), "is not JSON"),
}


@each_door
@pytest.mark.parametrize("sort", GARBAGE)
def test_garbage_is_unreadable_and_the_reason_says_what_was_tried(sort: str, door: str) -> None:
    body, reason = GARBAGE[sort]
    with pytest.raises(UnreadableDelivery) as caught:
        read(body, door)
    text = str(caught.value)
    assert reason in text
    assert "nor is it base64" in text
    assert "nor a topic's <Notification>" in text
    (key,) = VENDOR.keys(incoming(body, door))
    assert key.startswith("body:")


def test_a_reason_repeats_nothing_of_the_message() -> None:
    for body in (b"hush-hush", base64.b64encode(b"hush-hush"), xml(b"hush-hush"), xml(base64.b64encode(b"[hush"))):
        with pytest.raises(UnreadableDelivery) as caught:
            read(body)
        assert "hush" not in str(caught.value)


def test_no_entity_is_expanded_and_no_file_read() -> None:
    bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "lol"}">' for n in range(10))
    documents = [
        f"<?xml version='1.0'?><!DOCTYPE x [{bomb}]>" + xml(b"&a9;").decode().partition("?>")[2],
        "<!DOCTYPE x [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + xml(b"&x;").decode(),
    ]
    for document in documents:
        assert envelope_of(document.encode()) is None
    told = envelope_of(xml(b"", Message="&x;&a9;&amp;lt;&#1114112;&#x110000;"))
    assert told is not None
    assert told.message == b"&x;&a9;&lt;&#1114112;&#x110000;"


@pytest.mark.parametrize(
    "part", ["<![CDATA[", "<Message>", "</Message>", "<TopicOwner>", "&#", "&", "<?xml ", "<Notification ", "]]>"]
)
def test_an_envelope_that_was_made_to_be_slow_is_not(part: str) -> None:
    # Were any of it quadratic, it would take minutes and meet the test's time limit.
    many = part * (MOST_XML // len(part))
    for body in (
        many,
        f"<Notification>{many}",
        xml(b"", Message=many).decode(),
        f"<?xml {many}",
        " " * MOST_XML + part,
    ):
        envelope_of(body.encode())


def test_what_was_published_does_not_pass_for_what_the_topic_says() -> None:
    forged = "</Message><TopicOwner>666</TopicOwner><TopicName>theirs</TopicName><Message>"
    told = envelope_of(xml(b"", Message=f"<![CDATA[{forged}]]>"))
    assert told is not None
    assert (told.owner, told.topic) == ("1234567890", "recordings")
    assert told.message.decode() == forged


@given(body=st.binary(max_size=300), wrappings=st.lists(st.sampled_from([base64.b64encode, xml, in_json]), max_size=6))
def test_any_message_is_read_or_unreadable(body: bytes, wrappings: list[Callable[[bytes], bytes]]) -> None:
    for wrap in wrappings:
        body = wrap(body)
    assert VENDOR.keys(incoming(body))
    reason = ""
    try:
        unwrap(body)
    except UnreadableDelivery as exc:
        reason = str(exc)
    assert len(reason.encode()) < 2048


@given(text=st.text(st.characters(exclude_categories=[]), max_size=200))
def test_any_text_in_an_envelope_comes_out_as_it_was(text: str) -> None:
    told = envelope_of(in_json(b"", Message=text))
    assert told is not None
    assert told.message == text.encode("utf-8", "surrogatepass")
    if "\r" not in text and not any("\ud800" <= char <= "\udfff" for char in text):
        told = envelope_of(xml(text.encode()))
        assert told is not None
        assert told.message == text.encode()


# --- verifying --------------------------------------------------------------------------------------------------------

WITH_TOKENS = Account(name="lessons", vendor="aliyun", url_tokens=(Secret.literal("new"), Secret.literal("old")))
WITHOUT = Account(name="lessons", vendor="aliyun")


def test_a_message_of_the_vendors_own_queue_needs_no_proof() -> None:
    for account in (WITH_TOKENS, WITHOUT):
        assert VENDOR.verify(incoming(BODY), account).keys == VENDOR.keys(incoming(BODY))


def test_a_message_behind_a_gateway_needs_the_token() -> None:
    assert VENDOR.verify(incoming(BODY, "sqs", "old"), WITH_TOKENS).secret == 1
    for token in (None, "", "wrong"):
        with pytest.raises(BadToken, match=r"url_tokens of \[accounts\.lessons\]"):
            VENDOR.verify(incoming(BODY, "sqs", token), WITH_TOKENS)
    for token in (None, "any"):
        with pytest.raises(BadToken, match=r"url_tokens of \[accounts\.lessons\] is empty"):
            VENDOR.verify(incoming(BODY, "sqs", token), WITHOUT)
