"""What a topic hands to its subscriptions, and in which envelope.

The envelopes are those of the vendor's page "Push format" (help.aliyun.com/document_detail/27482.html). Only queue
endpoints are served: what is pushed over HTTP is another stand-in's matter.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from standin.mns import wire
from standin.mns.errors import MnsError

FORMATS = ("XML", "JSON", "SIMPLIFIED")
STRATEGIES = ("BACKOFF_RETRY", "EXPONENTIAL_DECAY_RETRY")
_QUEUE_ENDPOINT = re.compile(r"acs:mns:[a-z0-9-]+:[0-9A-Za-z]+:/?queues/([A-Za-z0-9-]+)")


@dataclass(slots=True)
class Subscription:
    """Where a topic's messages go."""

    name: str
    endpoint: str
    created_at: int
    modified_at: int
    filter_tag: str = ""
    strategy: str = "BACKOFF_RETRY"
    content_format: str = "XML"

    def __post_init__(self) -> None:
        """Refuse a format or strategy that the vendor doesn't know."""
        for element, value, known in (
            ("NotifyContentFormat", self.content_format, FORMATS),
            ("NotifyStrategy", self.strategy, STRATEGIES),
        ):
            if value not in known:
                raise MnsError("InvalidArgument", f"{element} is {value[:40]!r}, expected one of {', '.join(known)}.")

    @property
    def queue(self) -> str | None:
        """The queue that the endpoint names; None for an endpoint of another kind."""
        found = _QUEUE_ENDPOINT.fullmatch(self.endpoint)
        return found[1] if found else None


@dataclass(slots=True)
class Topic:
    """A topic, its attributes (bytes, milliseconds since 1970) and its subscriptions by name."""

    name: str
    maximum_message_size: int
    logging_enabled: bool
    created_at: int
    modified_at: int
    published: int = 0
    subscriptions: dict[str, Subscription] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """A message as it was published."""

    owner: str
    topic: str
    message_id: str
    body: str
    body_md5: str
    tag: str
    #: milliseconds since 1970
    published_at: int


def envelope(publication: Publication, subscription: Subscription) -> str:
    """Return what arrives in the subscription's queue."""
    if subscription.content_format == "SIMPLIFIED":
        return publication.body
    values = {
        "TopicOwner": publication.owner,
        "TopicName": publication.topic,
        "Subscriber": publication.owner,
        "SubscriptionName": subscription.name,
        "MessageId": publication.message_id,
        "Message": publication.body,
        "MessageMD5": publication.body_md5,
        "MessageTag": publication.tag or None,
        "PublishTime": str(publication.published_at),
    }
    if subscription.content_format == "XML":
        return wire.document("Notification", wire.lines(values)).decode()
    return json.dumps({name: value for name, value in values.items() if value is not None}, ensure_ascii=False)
