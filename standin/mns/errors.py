"""Which errors the queue service answers with, and under which HTTP status.

Codes and statuses are those of the vendor's page "Error codes" (help.aliyun.com/document_detail/27501.htm); the texts
are ours. QueueNotExist and MessageNotExist share 404, so a caller has to read the code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: code -> HTTP status
STATUS: Mapping[str, int] = {
    "AccessDenied": 403,
    "InternalError": 500,
    "InternalServerError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidAuthorizationHeader": 400,
    "InvalidDateHeader": 400,
    "InvalidDegist": 400,  # spelled so by the vendor
    "InvalidQueryString": 400,
    "InvalidQueueName": 400,
    "InvalidRequestURL": 400,
    "MalformedXML": 400,
    "MessageNotExist": 404,
    "MissingAuthorizationHeader": 400,
    "MissingDateHeader": 400,
    "MissingReceiptHandle": 400,
    "MissingVisibilityTimeout": 400,
    "QpsLimitExceeded": 400,
    "QueueAlreadyExist": 409,
    "QueueNameLengthError": 400,
    "QueueNotExist": 404,
    "ReceiptHandleError": 400,
    "SignatureDoesNotMatch": 403,
    "SubscriptionAlreadyExist": 409,
    "SubscriptionNotExist": 404,
    "TimeExpired": 408,  # a newer page of the vendor says 400
    "TopicAlreadyExist": 409,
    "TopicNameLengthError": 400,
    "TopicNotExist": 404,
}


class MnsError(Exception):
    """The request is refused with a code of the vendor's."""

    def __init__(self, code: str, message: str) -> None:
        """Take a code of `STATUS` and a text for people."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return STATUS[self.code]


def message_not_exist() -> MnsError:
    """Say that there is no message: the queue is empty, or the handle has died."""
    return MnsError("MessageNotExist", "Message not exist.")


def queue_not_exist(name: str) -> MnsError:
    """Say that there is no such queue."""
    return MnsError("QueueNotExist", f"There is no queue named {name}.")
