"""What the operations on topics and subscriptions do; a published message goes into the queues that are subscribed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from standin.mns import wire
from standin.mns.attributes import check_name, in_range, number
from standin.mns.call import Reply
from standin.mns.errors import MnsError
from standin.mns.message import Draft
from standin.mns.places import elements_of, listed, page
from standin.mns.service import ACCOUNT_ID
from standin.mns.topic import Publication, Subscription, envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from standin.mns.call import Call
    from standin.mns.service import Service
    from standin.mns.topic import Topic

_LARGEST = 65_536
_RETENTION_SECONDS = 86_400
_LONGEST_TAG = 16


# --- topics -----------------------------------------------------------------------------------------------------------
def create_topic(service: Service, call: Call) -> Reply:
    """201 for a new topic, 204 if it is there with the same attributes, 409 with others."""
    size, logging = _attributes(elements_of(call), _LARGEST, logging=False)
    created = service.create_topic(call.name, maximum_message_size=size, logging_enabled=logging)
    return Reply(201 if created else 204, headers=(("Location", f"{service.endpoint}/topics/{call.name}"),))


def _attributes(elements: Mapping[str, str], size: int, *, logging: bool) -> tuple[int, bool]:
    size = number("MaximumMessageSize", elements.get("MaximumMessageSize", str(size)))
    in_range("MaximumMessageSize", size, 1_024, _LARGEST)
    return size, elements.get("LoggingEnabled", str(logging)).lower() == "true"


def set_topic_attributes(service: Service, call: Call) -> Reply:
    """Change the attributes that are given."""
    topic = service.topic(call.name)
    size, logging = _attributes(elements_of(call), topic.maximum_message_size, logging=topic.logging_enabled)
    topic.maximum_message_size, topic.logging_enabled, topic.modified_at = size, logging, service.clock()
    return Reply(204)


def get_topic_attributes(service: Service, call: Call) -> Reply:
    """Show a topic's attributes."""
    return Reply(200, wire.document("Topic", _described(service.topic(call.name))))


def _described(topic: Topic) -> str:
    return wire.lines(
        {
            "TopicName": topic.name,
            "CreateTime": topic.created_at // 1000,
            "LastModifyTime": topic.modified_at // 1000,
            "MaximumMessageSize": topic.maximum_message_size,
            "MessageRetentionPeriod": _RETENTION_SECONDS,
            "MessageCount": topic.published,
            "LoggingEnabled": topic.logging_enabled,
        }
    )


def delete_topic(service: Service, call: Call) -> Reply:
    """Delete a topic with its subscriptions."""
    service.delete_topic(call.name)
    return Reply(204)


def list_topic(service: Service, call: Call) -> Reply:
    """List topics by prefix, page by page."""
    topics = {topic.name: topic for topic in service.topics()}
    with_meta = call.request.headers.get("x-mns-with-meta", "").lower() == "true"
    names, marker = page(call, list(topics))
    insides = [
        wire.lines({"TopicURL": f"{service.endpoint}/topics/{name}"}) + (_described(topics[name]) if with_meta else "")
        for name in names
    ]
    return listed("Topics", "Topic", insides, marker)


# --- subscriptions ----------------------------------------------------------------------------------------------------
def subscribe(service: Service, call: Call) -> Reply:
    """201 for a new subscription, 204 if it is there with the same endpoint, 409 with another."""
    topic, elements, now = service.topic(call.name), elements_of(call), service.clock()
    new = Subscription(
        name=check_name(call.subscription, kind="Subscription"),
        endpoint=elements.get("Endpoint", ""),
        created_at=now,
        modified_at=now,
        filter_tag=_tag(elements.get("FilterTag", "")),
        strategy=elements.get("NotifyStrategy", "BACKOFF_RETRY"),
        content_format=elements.get("NotifyContentFormat", "XML"),
    )
    if not new.endpoint:
        raise MnsError("InvalidArgument", "The subscription has no Endpoint.")
    old = topic.subscriptions.setdefault(new.name, new)
    if old.endpoint != new.endpoint:
        raise MnsError(
            "SubscriptionAlreadyExist", f"The subscription {new.name} is there already, to another endpoint."
        )
    return Reply(201 if old is new else 204, headers=(("Location", _url(service, topic, new)),))


def _tag(tag: str) -> str:
    if len(tag) > _LONGEST_TAG:
        raise MnsError("InvalidArgument", f"The tag has {len(tag)} characters, expected {_LONGEST_TAG} at most.")
    return tag


def _url(service: Service, topic: Topic, subscription: Subscription) -> str:
    return f"{service.endpoint}/topics/{topic.name}/subscriptions/{subscription.name}"


def _subscription(service: Service, call: Call) -> Subscription:
    found = service.topic(call.name).subscriptions.get(call.subscription)
    if found is None:
        raise MnsError(
            "SubscriptionNotExist", f"The topic {call.name} has no subscription {call.subscription[:120]!r}."
        )
    return found


def set_subscription_attributes(service: Service, call: Call) -> Reply:
    """Change the retry strategy."""
    subscription = _subscription(service, call)
    subscription.strategy = elements_of(call).get("NotifyStrategy", subscription.strategy)
    subscription.__post_init__()
    subscription.modified_at = service.clock()
    return Reply(204)


def get_subscription_attributes(service: Service, call: Call) -> Reply:
    """Show a subscription."""
    subscription = _subscription(service, call)
    values = {
        "SubscriptionName": subscription.name,
        "Subscriber": ACCOUNT_ID,
        "TopicOwner": ACCOUNT_ID,
        "TopicName": call.name,
        "Endpoint": subscription.endpoint,
        "NotifyStrategy": subscription.strategy,
        "NotifyContentFormat": subscription.content_format,
        "FilterTag": subscription.filter_tag or None,
        "CreateTime": subscription.created_at // 1000,
        "LastModifyTime": subscription.modified_at // 1000,
    }
    return Reply(200, wire.document("Subscription", wire.lines(values)))


def unsubscribe(service: Service, call: Call) -> Reply:
    """Delete a subscription; one that is not there is no error."""
    service.topic(call.name).subscriptions.pop(call.subscription, None)
    return Reply(204)


def list_subscription_by_topic(service: Service, call: Call) -> Reply:
    """List a topic's subscriptions by prefix, page by page."""
    topic = service.topic(call.name)
    names, marker = page(call, sorted(topic.subscriptions))
    insides = [wire.lines({"SubscriptionURL": _url(service, topic, topic.subscriptions[name])}) for name in names]
    return listed("Subscriptions", "Subscription", insides, marker)


# --- publishing -------------------------------------------------------------------------------------------------------
def publish(service: Service, call: Call) -> Reply:
    """Take a message and put it, in its envelope, into each subscribed queue whose tag fits."""
    topic, texts = service.topic(call.name), elements_of(call)
    body, tag = texts.get("MessageBody", ""), _tag(texts.get("MessageTag", ""))
    in_range("The size of MessageBody in bytes", len(body.encode()), 1, topic.maximum_message_size)
    publication = Publication(
        owner=ACCOUNT_ID,
        topic=topic.name,
        message_id=service.message_id(),
        body=body,
        body_md5=hashlib.md5(body.encode(), usedforsecurity=False).hexdigest().upper(),
        tag=tag,
        published_at=service.clock(),
    )
    topic.published += 1
    for subscription in list(topic.subscriptions.values()):
        if subscription.filter_tag in ("", tag):
            _hand_on(service, publication, subscription)
    values = {"MessageId": publication.message_id, "MessageBodyMD5": publication.body_md5}
    return Reply(201, wire.document("Message", wire.lines(values)))


def _hand_on(service: Service, publication: Publication, subscription: Subscription) -> None:
    names = {queue.name for queue in service.queues()}
    if subscription.queue in names:
        service.queue(subscription.queue).send([Draft(body=envelope(publication, subscription))])
