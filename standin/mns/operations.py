"""Which function carries out which operation, and what a request is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from standin.mns import messages, places, topics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from standin.mns.call import Call, Reply
    from standin.mns.service import Service

OPERATIONS: Mapping[str, Callable[[Service, Call], Reply]] = {
    "SendMessage": messages.send,
    "BatchSendMessage": messages.batch_send,
    "ReceiveMessage": messages.receive,
    "BatchReceiveMessage": messages.batch_receive,
    "PeekMessage": messages.peek,
    "BatchPeekMessage": messages.batch_peek,
    "DeleteMessage": messages.delete,
    "BatchDeleteMessage": messages.batch_delete,
    "ChangeMessageVisibility": messages.change_visibility,
    "CreateQueue": places.create_queue,
    "SetQueueAttributes": places.set_queue_attributes,
    "GetQueueAttributes": places.get_queue_attributes,
    "DeleteQueue": places.delete_queue,
    "ListQueue": places.list_queue,
    "GetAccountAttributes": places.get_account_attributes,
    "SetAccountAttributes": places.set_account_attributes,
    "OpenService": places.open_service,
    "CreateTopic": topics.create_topic,
    "SetTopicAttributes": topics.set_topic_attributes,
    "GetTopicAttributes": topics.get_topic_attributes,
    "DeleteTopic": topics.delete_topic,
    "ListTopic": topics.list_topic,
    "Subscribe": topics.subscribe,
    "SetSubscriptionAttributes": topics.set_subscription_attributes,
    "GetSubscriptionAttributes": topics.get_subscription_attributes,
    "Unsubscribe": topics.unsubscribe,
    "ListSubscriptionByTopic": topics.list_subscription_by_topic,
    "PublishMessage": topics.publish,
}
