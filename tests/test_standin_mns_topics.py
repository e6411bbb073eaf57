"""Topics of the MNS stand-in, judged by the vendor's own client: a published message lands in the subscribed queues."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from mns.subscription import SubscriptionMeta
from mns.topic import TopicMessage, TopicMeta
from mns_client import KEYS, client, refusal

from standin.mns import MnsStandin

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = '{"Event":"FileCreated","Url":"http://b.example/a.mp4?x=1&y=<2>","Name":"课堂 1"}'
ENDPOINT = "acs:mns:cn-shanghai:1234567890123456:queues/recordings"


@pytest.fixture
def mns() -> Iterator[MnsStandin]:
    with MnsStandin(access_keys=KEYS) as standin:
        standin.create_queue("recordings")
        yield standin


@pytest.fixture
def account(mns: MnsStandin) -> Iterator[Any]:
    with client(mns) as account:
        yield account


@pytest.fixture
def queue(account: Any) -> Any:
    queue = account.get_queue("recordings")
    queue.set_encoding(False)
    return queue


@pytest.mark.parametrize("content_format", ["XML", "JSON", "SIMPLIFIED"])
def test_a_published_message_arrives_in_the_subscribed_queue(account: Any, queue: Any, content_format: str) -> None:
    topic = account.get_topic("files")
    topic.create(TopicMeta())
    subscription = account.get_subscription("files", "to-queue")
    subscription.subscribe(SubscriptionMeta(ENDPOINT, notify_content_format=content_format))
    published = topic.publish_message(TopicMessage(BODY))
    received = queue.receive_message(0).message_body
    if content_format == "SIMPLIFIED":
        assert received == BODY
        return
    envelope = json.loads(received) if content_format == "JSON" else _read_xml(received)
    assert (envelope["TopicName"], envelope["SubscriptionName"]) == ("files", "to-queue")
    assert (envelope["Message"], envelope["MessageId"]) == (BODY, published.message_id)
    assert envelope["PublishTime"].isdigit()


def _read_xml(text: str) -> dict[str, str]:
    root = ET.fromstring(text)  # noqa: S314 - the stand-in under test wrote it
    assert root.tag == "{http://mns.aliyuncs.com/doc/v1/}Notification"
    return {element.tag.rpartition("}")[2]: element.text or "" for element in root}


def test_topics_and_subscriptions_come_and_go(account: Any, mns: MnsStandin) -> None:
    topic, subscription = account.get_topic("files"), account.get_subscription("files", "s")
    assert refusal(topic.get_attributes).type == "TopicNotExist"
    assert topic.create(TopicMeta(2048)) == topic.create(TopicMeta(2048)) == f"{mns.endpoint}/topics/files"
    assert refusal(topic.create, TopicMeta(4096)).type == "TopicAlreadyExist"
    topic.set_attributes(TopicMeta(1024))
    assert topic.get_attributes().maximum_message_size == 1024
    assert refusal(subscription.get_attributes).type == "SubscriptionNotExist"
    subscription.subscribe(SubscriptionMeta("http://127.0.0.1/x", filter_tag="t"))
    assert refusal(subscription.subscribe, SubscriptionMeta("http://127.0.0.1/y")).type == "SubscriptionAlreadyExist"
    subscription.set_attributes(SubscriptionMeta(notify_strategy="EXPONENTIAL_DECAY_RETRY"))
    shown = subscription.get_attributes()
    assert (shown.notify_strategy, shown.filter_tag) == ("EXPONENTIAL_DECAY_RETRY", "t")
    assert topic.list_subscription() == ([f"{mns.endpoint}/topics/files/subscriptions/s"], "")
    assert account.list_topic() == ([f"{mns.endpoint}/topics/files"], "")
    subscription.unsubscribe()
    topic.delete()
    assert account.list_topic() == ([], "")


def test_a_tag_picks_the_subscriptions(account: Any, queue: Any) -> None:
    topic = account.get_topic("files")
    topic.create(TopicMeta())
    account.get_subscription("files", "s").subscribe(SubscriptionMeta(ENDPOINT, "", "SIMPLIFIED", "mp4"))
    topic.publish_message(TopicMessage("a", "flv"))
    topic.publish_message(TopicMessage("b", "mp4"))
    assert [one.message_body for one in queue.batch_receive_message(16, 0)] == ["b"]
