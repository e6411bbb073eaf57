"""How a queue of AWS's SQS is spoken to, through boto3.

A message's attributes become headers, so that whoever puts callbacks into the queue can pass the vendor's on; the
attribute `token` is the secret of the callback URL.
"""

from __future__ import annotations

import base64
import hashlib
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from handlers.errors import QueueAway
from handlers.queues import MOST, Message
from handlers.queues.envelopes import opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from handlers.settings import Queue

#: seconds for which a message is hidden where we can't find out, or the queue hides none: what SQS itself begins with
_HIDES = 30
_CONNECT_PATIENCE = 5
_LONGEST_TEXT = 200
_SYSTEM = ("ApproximateReceiveCount", "SentTimestamp")
#: our header -> the system attribute that it repeats
_TOLD = (("x-sqs-receive-count", "ApproximateReceiveCount"), ("x-sqs-sent-timestamp", "SentTimestamp"))
#: what says that a message is not ours any more
_GONE = ("ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight")
_ALLOW = (
    "let its access key call ReceiveMessage, DeleteMessage, ChangeMessageVisibility, GetQueueUrl and GetQueueAttributes"
)

#: the end of an error code, of which there is an old and a new form -> what to change where waiting won't help
_MENDS: Mapping[str, str] = MappingProxyType(
    {
        "NonExistentQueue": "create it, or mend its `queue`, `region` or `endpoint`",
        "QueueDoesNotExist": "create it, or mend its `queue`, `region` or `endpoint`",
        "AccessDenied": _ALLOW,
        "AccessDeniedException": _ALLOW,
        "InvalidClientTokenId": "mend its `access_key_id`",
        "InvalidAccessKeyId": "mend its `access_key_id`",
        "UnrecognizedClientException": "mend its `access_key_id` or `security_token`",
        "SignatureDoesNotMatch": "mend its `secret_access_key`, or set this machine's clock",
        "InvalidSignatureException": "mend its `secret_access_key`, or set this machine's clock",
        "ExpiredToken": "renew its `security_token`",
        "ExpiredTokenException": "renew its `security_token`",
        "RequestExpired": "set this machine's clock",
        "OverLimit": "lower its `threads`, or see why received messages are not deleted",
    }
)


class SqsMessages:
    """One thread's own connection."""

    def __init__(self, queue: Queue, *, patience: float) -> None:
        """Make the client; the queue's address is asked for at the first call."""
        given = (queue.access_key_id, queue.secret_access_key, queue.security_token)
        self._secrets = [secret.reveal() if secret is not None else None for secret in given]
        self._where = f"queue {queue.queue} in {queue.region}"
        self._name = queue.queue
        self._url: str | None = None
        self._hides = _HIDES
        config = Config(
            connect_timeout=_CONNECT_PATIENCE,
            read_timeout=patience,
            # Who calls has a patience of its own, and a reply that got lost is better seen than asked for again.
            retries={"total_max_attempts": 1, "mode": "standard"},
        )
        with self._asked():
            self._client = Session().client(
                "sqs",
                region_name=queue.region,
                endpoint_url=queue.endpoint,
                aws_access_key_id=self._secrets[0],
                aws_secret_access_key=self._secrets[1],
                aws_session_token=self._secrets[2],
                config=config,
            )

    def receive(self, wait_seconds: int) -> list[Message]:
        """See MessageQueue."""
        with self._asked():
            answer = self._client.receive_message(
                QueueUrl=self._address(),
                MaxNumberOfMessages=MOST["sqs"],
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=self._hides,
                MessageSystemAttributeNames=list(_SYSTEM),
                MessageAttributeNames=["All"],
            )
            return [self._message(raw) for raw in answer.get("Messages", [])]

    def _message(self, raw: Mapping[str, Any]) -> Message:
        system = raw.get("Attributes", {})
        body = raw.get("Body", "").encode("utf-8", "surrogatepass")
        headers = {name.lower(): _text(one) for name, one in raw.get("MessageAttributes", {}).items()}
        found = opened(body, headers)
        told = {ours: system[name] for ours, name in _TOLD if name in system}
        return Message(
            handle=raw["ReceiptHandle"],
            id=raw.get("MessageId", ""),
            body=found.body,
            damage=_damage(raw, body),
            headers={**found.headers, "x-sqs-message-id": raw.get("MessageId", ""), **told},
            token=found.token,
            target=found.target,
            receives=int(system.get("ApproximateReceiveCount", 1)),
            enqueued_at=int(system["SentTimestamp"]) if "SentTimestamp" in system else None,
            hidden_for=float(self._hides),
        )

    def delete(self, handles: Sequence[str]) -> Mapping[str, str]:
        """See MessageQueue."""
        entries = [{"Id": str(number), "ReceiptHandle": handle} for number, handle in enumerate(handles)]
        with self._asked():
            answer = self._client.delete_message_batch(QueueUrl=self._address(), Entries=entries)
        failed = answer.get("Failed", [])
        return {handles[int(one["Id"])]: f"{one.get('Code')}: {one.get('Message', '')}" for one in failed}

    def hide(self, handles: Sequence[str], seconds: int) -> Mapping[str, str | None]:
        """See MessageQueue."""
        entries = [
            {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for number, handle in enumerate(handles)
        ]
        try:
            with self._asked():
                answer = self._client.change_message_visibility_batch(QueueUrl=self._address(), Entries=entries)
        except QueueAway:
            return {}
        hidden: dict[str, str | None] = {}
        for one in answer.get("Successful", []):
            hidden[handles[int(one["Id"])]] = handles[int(one["Id"])]
        for one in answer.get("Failed", []):
            if str(one.get("Code")).endswith(_GONE):
                hidden[handles[int(one["Id"])]] = None
        return hidden

    def look(self) -> str:
        """See MessageQueue."""
        with self._asked():
            asked = ["ApproximateNumberOfMessages", "VisibilityTimeout"]
            answer = self._client.get_queue_attributes(QueueUrl=self._address(), AttributeNames=asked)
        found = answer.get("Attributes", {})
        waiting = found.get("ApproximateNumberOfMessages")
        return f"{waiting} messages wait, hides what it hands out for {found.get('VisibilityTimeout')} s"

    def close(self) -> None:
        """See MessageQueue."""
        with suppress(Exception):
            self._client.close()

    def _address(self) -> str:
        """Return the queue's URL, and learn for how long it hides what it hands out."""
        if self._url is None:
            self._url = str(self._client.get_queue_url(QueueName=self._name)["QueueUrl"])
            with suppress(ClientError):  # not every key may ask
                answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["VisibilityTimeout"])
                self._hides = int(answer.get("Attributes", {}).get("VisibilityTimeout", 0)) or _HIDES
        return self._url

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn whatever boto3 raises into QueueAway, without bodies and secrets."""
        try:
            yield
        except ClientError as exc:
            error = exc.response.get("Error", {})
            code = str(error.get("Code", "an error"))
            says = f"{self._where} says {code}: {self._text(error.get('Message', ''))}"
            raise QueueAway(says, does=_MENDS.get(code.rsplit(".", 1)[-1].rsplit("#", 1)[-1])) from exc
        except BotoCoreError as exc:
            does = "set its `access_key_id` and `secret_access_key`" if "credential" in str(exc).lower() else None
            says = f"{self._where} can't be reached: {type(exc).__name__}: {self._text(exc)}"
            raise QueueAway(says, does=does) from exc
        except Exception as exc:
            raise QueueAway(f"{self._where}: the SDK failed with {type(exc).__name__}") from exc

    def _text(self, text: object) -> str:
        shown = str(text)
        for secret in self._secrets:
            shown = shown.replace(secret, "...") if secret else shown
        return shown[:_LONGEST_TEXT]


def _damage(raw: Mapping[str, Any], body: bytes) -> str | None:
    """Return what speaks against a body; a server that gives no MD5 is believed."""
    if "Body" not in raw:
        return "it has no body"
    told = raw.get("MD5OfBody")
    if told and told.lower() != hashlib.md5(body, usedforsecurity=False).hexdigest():
        return "its body does not fit its MD5"
    return None


def _text(attribute: Mapping[str, Any]) -> str:
    """Return an attribute as text: numbers come as text, bytes become base64."""
    if "StringValue" in attribute:
        return str(attribute["StringValue"])
    return base64.b64encode(attribute.get("BinaryValue", b"")).decode()
