"""How a message is handed to Alibaba Cloud's MNS (Simple Message Queue, 2015-06-06), through aliyun-mns-sdk.

What the SDK leaves to its user is done here: one client a thread, a time-out over HTTPS too, connecting apart from
sending, so that it is known whether anything was sent, and every exception that can escape. Its own second try after a
reply that got lost can't be switched off, so that a message may come twice.
"""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mns.account import Account
from mns.message_property import MessagePropertyValue, PropertyType
from mns.mns_exception import MNSClientNetworkException, MNSExceptionBase, MNSServerException
from mns.queue import Message as QueueMessage
from mns.topic import TopicMessage

from handlers.destinations.handover import message_of
from handlers.destinations.outcomes import hide, secrets_of
from handlers.operation import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.destinations.handover import Handover
    from handlers.destinations.means import Means
    from handlers.destinations.mns import Encoding
    from handlers.settings import Destination, MnsQueueDestination, MnsTopicDestination

MessageT = TypeVar("MessageT", QueueMessage, TopicMessage)

#: bytes of a body as it is sent (help.aliyun.com/zh/mns: a message has 64 KB)
MOST_BYTES = 64 * 1024
_CONNECT_PATIENCE = 5.0
_LONGEST_TEXT = 300
_ID = "reelhook-action"
_NETWORK = "NetWorkException"
#: what XML 1.0 can't carry
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: the service's error code -> what to change where waiting alone won't help
_MENDS: Mapping[str, str] = {
    "QueueNotExist": "create the queue, or mend the destination's `queue` or `endpoint`",
    "TopicNotExist": "create the topic, or mend the destination's `topic` or `endpoint`",
    "AccessDenied": "let the RAM user of the destination's `access_key_id` send messages there",
    "InvalidAccessKeyId": "mend the destination's `access_key_id`",
    "SignatureDoesNotMatch": "mend the destination's `secret_access_key`",
    "SecurityTokenExpired": "renew the destination's `security_token`",
    "InvalidSecurityToken": "renew the destination's `security_token`",
    "TimeExpired": "set this machine's clock",
    "QpsLimitExceeded": "calls come too fast; lower the destination's `rate`",
}
#: what is wrong with the message itself
_WRONG_FOR_GOOD = frozenset({"MalformedXML", "MessageBodyTooLarge", "MessageTooLarge", "InvalidArgument"})


class _Client:
    """One thread's own connection: the SDK's clients hold one socket and no lock."""

    def __init__(self, target: Destination, secrets: list[str]) -> None:
        """Make the SDK's client; it connects at its first request."""
        self._account = Account(target.endpoint, *secrets)
        self._connection = self._account.mns_client.http.conn
        self._patience = target.timeout / 1000
        self._be_patient(self._patience)

    def connect(self) -> None:
        """Connect where there is no connection; raise OSError, and then nothing was sent."""
        if self._connection.sock is None:
            self._be_patient(min(self._patience, _CONNECT_PATIENCE))
            self._connection.connect()
            self._be_patient(self._patience)

    def _be_patient(self, seconds: float) -> None:
        # The client's own setting does nothing for HTTPS.
        self._connection.timeout = self._connection.connection_timeout = seconds
        if self._connection.sock is not None:
            self._connection.sock.settimeout(seconds)

    def send(self, queue: str, message: object) -> object:
        """Put the message into the queue."""
        wanted = self._account.get_queue(queue)
        wanted.set_encoding(False)  # encoded already, where it shall be
        return wanted.send_message(message)

    def publish(self, topic: str, message: object) -> object:
        """Put the message into the topic."""
        return self._account.get_topic(topic).publish_message(message)

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):
            self._account.mns_client.close_connection()


def send(handover: Handover, destination: Destination, means: Means) -> Outcome:
    """Make one try at mns.send."""
    target = cast("MnsQueueDestination", destination)
    given = handover.parameters

    def call(client: _Client, body: str) -> object:
        message = QueueMessage(body, given.get("delay_seconds"), given.get("priority"))
        return client.send(target.queue, _with_id(message, handover))

    return _sent(handover, given.get("encoding", "base64"), call, target, means)


def publish(handover: Handover, destination: Destination, means: Means) -> Outcome:
    """Make one try at mns.publish."""
    target = cast("MnsTopicDestination", destination)
    given = handover.parameters

    def call(client: _Client, body: str) -> object:
        return client.publish(target.topic, _with_id(TopicMessage(body, given.get("tag") or ""), handover))

    return _sent(handover, given.get("encoding", "raw"), call, target, means)


def _with_id(message: MessageT, handover: Handover) -> MessageT:
    """Add the id by which a repeat is known, whatever the body is."""
    message.add_user_property(_ID, MessagePropertyValue(PropertyType.STRING, handover.call_id))
    return message


def _sent(
    handover: Handover,
    encoding: Encoding,
    call: Callable[[_Client, str], object],
    target: Destination,
    means: Means,
) -> Outcome:
    raw = message_of(handover).body
    body = base64.b64encode(raw).decode() if encoding == "base64" else raw.decode()
    if reason := _unsendable(body):
        return Outcome(verdict="give_up", detail=reason, meaning="let the rule give another `body` or `encoding`")
    given = (target.access_key_id, target.secret_access_key, target.security_token)
    secrets = [secret.reveal() if secret is not None else "" for secret in given]
    try:
        client = means.client(target.name, tuple(secrets), partial(_Client, target, secrets))
        client.connect()
    except OSError as exc:
        means.forget(target.name)
        return _failed(target, str(exc), is_unclear=False)
    try:
        answer = vars(call(client, body))
    except MNSServerException as exc:
        return _refused(exc, target)
    except MNSExceptionBase as exc:
        means.forget(target.name)
        # The message of what is no answer of MNS's is that answer, whole.
        told = exc.message if exc.type == _NETWORK else f"an answer that is none of MNS's ({exc.type})"
        return _failed(target, str(told), is_unclear=isinstance(exc, MNSClientNetworkException))
    except Exception as exc:  # noqa: BLE001 - KeyError, UnicodeDecodeError, ...: the SDK's hierarchy doesn't hold them all
        means.forget(target.name)
        return _failed(target, f"the SDK failed with {type(exc).__name__}", is_unclear=True)
    return Outcome(verdict="done", detail=f"message {answer.get('message_id')}")


def _unsendable(body: str) -> str | None:
    size = len(body.encode())
    if size > MOST_BYTES:
        return f"the message is {size} bytes long as it is sent; MNS takes {MOST_BYTES}"
    if not body:
        return "the message is empty, which MNS refuses"
    if found := _NO_XML.search(body):
        return f"the message holds {found[0]!r}, which can't be sent raw; write encoding: base64"
    return None


def _refused(exc: Any, target: Destination) -> Outcome:  # noqa: ANN401 - the SDK has no types
    code = str(exc.type)
    final = code in _WRONG_FOR_GOOD
    usual = "the service would refuse it again" if final else "the service may take it later"
    return Outcome(
        verdict="give_up" if final else "again",
        code=code,
        detail=hide(str(exc.message)[:_LONGEST_TEXT], secrets_of(target)),
        meaning=_MENDS.get(code, usual),
        request_id=str(exc.req_id) if exc.req_id else None,
        is_throttled=code == "QpsLimitExceeded",
    )


def _failed(target: Destination, told: str, *, is_unclear: bool) -> Outcome:
    detail = hide(f"{target.endpoint}: {told}"[:_LONGEST_TEXT], secrets_of(target))
    sent = "the message may be there" if is_unclear else "nothing was sent"
    return Outcome(verdict="again", detail=detail, meaning=f"{sent}; the next try may succeed", is_unclear=is_unclear)
