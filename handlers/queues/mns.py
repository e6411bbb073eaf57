"""How a queue of Alibaba Cloud's MNS (Simple Message Queue, API 2015-06-06) is spoken to, through aliyun-mns-sdk.

What the SDK leaves to its user is done here: bodies are taken as they are on the wire, HTTPS gets a time-out, every
exception that can escape becomes QueueAway, and its logger, which writes secrets, is never given to it. A batch is
asked for by the SDK and taken apart by mns_wire, which says why.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mns.mns_client import MNSClient
from mns.mns_exception import MNSClientNetworkException, MNSExceptionBase, MNSServerException
from mns.mns_http import RequestInternal
from mns.mns_request import (
    BatchDeleteMessageRequest,
    BatchDeleteMessageResponse,
    BatchReceiveMessageRequest,
    BatchReceiveMessageResponse,
)
from mns.mns_tool import BatchDeleteMessageValidator
from mns.mns_xml_handler import BatchDeleteMessageDecoder
from mns.queue import Queue as SdkQueue

from handlers.clock import now_ms
from handlers.errors import QueueAway
from handlers.queues import MOST, Message
from handlers.queues.mns_wire import field_of, handles_as_xml, messages_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from handlers.settings import Queue

_NONE_NOW = "MessageNotExist"
_DAMAGED = "RespDataDamaged"
_NETWORK = "NetWorkException"
#: what says that a message is not ours any more; which of them comes for an expired handle is not documented
_GONE = frozenset({_NONE_NOW, "ReceiptHandleError", "InvalidArgument"})
#: seconds: MNS takes 1 to 43200, hence "at once" is 1
_SOONEST = 1
_LONGEST_TEXT = 200

#: the service's error code -> what to change where waiting won't help (help.aliyun.com/document_detail/27501.htm)
_MENDS: Mapping[str, str] = MappingProxyType(
    {
        "QueueNotExist": "create it, or mend its `queue` or `endpoint`",
        "QueueNameLengthError": "mend its `queue`",
        "InvalidQueueName": "mend its `queue`",
        "AccessDenied": "let the RAM user of its `access_key_id` receive, delete and hide messages of this queue",
        "InvalidAccessKeyId": "mend its `access_key_id`",
        "SignatureDoesNotMatch": "mend its `secret_access_key`",
        "SecurityTokenExpired": "renew its `security_token`",
        "InvalidSecurityToken": "renew its `security_token`",
        # The service takes requests of the last 15 minutes.
        "TimeExpired": "set this machine's clock",
        "InvalidDateHeader": "set this machine's clock",
        "QpsLimitExceeded": "lower its `threads`",
    }
)


class _Client(MNSClient):  # type: ignore[misc] # the SDK ships no types
    """The SDK's client, which signs, sends and judges; what is in a batch, and goes into one, it leaves to us."""

    def receive(self, queue: str, wait_seconds: int) -> str:
        """Return the answer to one BatchReceiveMessage; raise what the SDK raises."""
        asked = BatchReceiveMessageRequest(queue, MOST["mns"], False, wait_seconds)  # noqa: FBT003 - the SDK's signature
        path = f"/queues/{queue}/messages?numOfMessages={asked.batch_size}&waitseconds={wait_seconds}"
        request = RequestInternal(asked.method, path)
        self.build_header(asked, request)
        answer = self.http.send_request(request)
        response = BatchReceiveMessageResponse()
        response.header = answer.header
        self.check_status(request, answer, response)
        return str(answer.data)

    def delete(self, queue: str, handles: Sequence[str]) -> None:
        """Ask for one BatchDeleteMessage; raise what the SDK raises, with `sub_errors` for those that stay."""
        asked, response = BatchDeleteMessageRequest(queue, handles), BatchDeleteMessageResponse()
        BatchDeleteMessageValidator.validate(asked)
        request = RequestInternal(asked.method, f"/queues/{queue}/messages", data=handles_as_xml(handles))
        self.build_header(asked, request)
        answer = self.http.send_request(request)
        response.header = answer.header
        self.check_status(request, answer, response, BatchDeleteMessageDecoder)


class MnsQueue:
    """One thread's own connection: the SDK's clients hold one socket and no lock."""

    def __init__(self, queue: Queue, *, patience: float) -> None:
        """Make the SDK's client; it connects at its first request."""
        given = (queue.access_key_id, queue.secret_access_key, queue.security_token)
        self._secrets = [secret.reveal() if secret is not None else "" for secret in given]
        self._where = f"queue {queue.queue} at {queue.endpoint}"
        #: milliseconds that the service's clock is ahead of ours, as far as it has shown
        self._ahead = 0
        with self._asked():
            key, secret, token = self._secrets
            self._client = _Client(queue.endpoint, key, secret, security_token=token)
            self._client.set_connection_timeout(patience)
            self._client.http.conn.timeout = patience  # the line above does nothing for HTTPS
            self._queue = SdkQueue(queue.queue, self._client)
            # With it on, one body that is no base64 fails the whole batch.
            self._queue.set_encoding(False)

    def receive(self, wait_seconds: int) -> list[Message]:
        """See MessageQueue."""
        try:
            with self._asked():
                answer = self._client.receive(self._queue.queue_name, wait_seconds)
        except QueueAway as exc:
            if getattr(exc.__cause__, "type", None) == _NONE_NOW:
                return []
            raise
        raw = messages_of(answer)
        if not raw:
            says = f"{self._where} gave an answer that is none of MNS's"
            raise QueueAway(says, does="look at what stands between, and at its `endpoint`")
        return [self._message(one) for one in raw]

    def _message(self, raw: Mapping[str, Any]) -> Message:
        receives = int(raw.get("dequeue_count") or 1)
        enqueued_at = int(raw.get("enqueue_time") or 0) or None
        visible_at = int(raw.get("next_visible_time") or 0)
        if receives == 1 and raw.get("first_dequeue_time"):
            self._ahead = int(raw["first_dequeue_time"]) - now_ms()
        body = raw["element"] if raw["damage"] else raw["message_body"]
        hidden_for = (visible_at - now_ms() - self._ahead) / 1000
        told = {"message-id": raw.get("message_id"), "dequeue-count": receives, "enqueue-time": enqueued_at}
        return Message(
            handle=raw["receipt_handle"],
            id=str(raw.get("message_id") or ""),
            body=body.encode("utf-8", "surrogatepass"),
            damage=raw["damage"],
            headers={f"x-mns-{name}": str(value) for name, value in told.items() if value},
            receives=receives,
            enqueued_at=enqueued_at,
            # It was handed out just now: less than a second means that the two clocks differ by more.
            hidden_for=max(hidden_for, float(_SOONEST)),
        )

    def delete(self, handles: Sequence[str]) -> Mapping[str, str]:
        """See MessageQueue."""
        try:
            with self._asked():
                self._client.delete(self._queue.queue_name, list(handles))
        except QueueAway as exc:
            failed = getattr(exc.__cause__, "sub_errors", None)
            if not failed:
                raise
            # What is not listed was deleted.
            return {one["ReceiptHandle"]: f"{one['ErrorCode']}: {one['ErrorMessage']}" for one in failed}
        return {}

    def hide(self, handles: Sequence[str], seconds: int) -> Mapping[str, str | None]:
        """See MessageQueue."""
        hidden: dict[str, str | None] = {}
        for handle in handles:
            try:
                with self._asked():
                    changed = self._queue.change_message_visibility(handle, max(seconds, _SOONEST))
                    hidden[handle] = str(changed.receipt_handle)
            except QueueAway as exc:
                why = getattr(exc.__cause__, "type", None)
                if why in _GONE:
                    hidden[handle] = None
                elif why == _NETWORK:  # each of the others would take its whole patience
                    break
        return hidden

    def look(self) -> str:
        """See MessageQueue; the counts of messages are to be retired, says the SDK, and may be missing."""
        try:
            with self._asked(), warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                found = vars(self._queue.get_attributes())
            waiting = next((found[name] for name in found if name.strip("_") == "active_messages"), None)
            hides = found.get("visibility_timeout")
        except QueueAway as exc:
            answer = getattr(exc.__cause__, "message", "") or ""
            if getattr(exc.__cause__, "type", None) != _DAMAGED or field_of(answer, "QueueName") is None:
                raise
            waiting, hides = field_of(answer, "ActiveMessages"), field_of(answer, "VisibilityTimeout")
        said = [f"{waiting} messages wait" if waiting is not None else "how many messages wait is not told"]
        return ", ".join([*said, f"hides what it hands out for {hides} s"])

    def close(self) -> None:
        """See MessageQueue."""
        with suppress(Exception):
            self._client.close_connection()

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn whatever the SDK raises into QueueAway, without bodies, handles and secrets."""
        try:
            yield
        except MNSServerException as exc:
            raise QueueAway(f"{self._where} says {self._shown(exc)}", does=_MENDS.get(str(exc.type))) from exc
        except MNSClientNetworkException as exc:
            if exc.type != _NETWORK:  # the message is the whole answer: bodies and handles
                says = f"{self._where} gave an answer that is none of MNS's ({exc.type})"
                raise QueueAway(says, does="look at what stands between, and at its `endpoint`") from exc
            raise QueueAway(f"{self._where} can't be reached: {self._text(exc.message)}") from exc
        except MNSExceptionBase as exc:
            raise QueueAway(f"{self._where}: {self._shown(exc)}", does="mend its settings") from exc
        except Exception as exc:
            # KeyError, UnicodeDecodeError, InvalidURL, ...: the SDK's hierarchy does not hold all that it raises.
            raise QueueAway(f"{self._where}: the SDK failed with {type(exc).__name__}") from exc

    def _shown(self, exc: MNSExceptionBase) -> str:
        return f"{exc.type}: {self._text(exc.message)}"

    def _text(self, text: object) -> str:
        shown = str(text)
        for secret in self._secrets:
            shown = shown.replace(secret, "...") if secret else shown
        return shown[:_LONGEST_TEXT]
