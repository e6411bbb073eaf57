"""How callbacks leave: by HTTP as vendors post them, into a queue of MNS or SQS with its SDK, or as a line to paste."""

from __future__ import annotations

import http.client
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from standin.callbacks.errors import NotSent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from standin.callbacks.callback import Callback

#: seconds that a vendor waits for an answer
PATIENCE = 5.0
_SQS_HOST = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a callback was answered."""

    status: int
    body: str

    @property
    def is_success(self) -> bool:
        """Tell whether the vendor is content: it takes nothing but 200."""
        return self.status == 200


class HttpSender:
    """Posts callbacks over one connection, as long as it holds."""

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        """Take `scheme://host:port`; a path is put before that of the callbacks."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise NotSent(f"{url} is no http:// or https:// address; expected such as http://127.0.0.1:8000")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=patience)
        self._before = parts.path.rstrip("/")
        self._url = f"{parts.scheme}://{parts.netloc}"

    def send(self, callback: Callback) -> Answer:
        """Post the callback to its own URL; raise NotSent where no answer comes."""
        return self.post(self._before + callback.target, callback)

    def post(self, target: str, callback: Callback) -> Answer:
        """Post the callback to this path and query; raise NotSent where no answer comes."""
        try:
            return self._ask("POST", target, callback.body, callback.headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # The server may close a connection that has rested; a vendor would open another one.
            self._connection.close()
        except (OSError, http.client.HTTPException) as exc:
            raise self._unanswered(exc) from exc
        try:
            return self._ask("POST", target, callback.body, callback.headers)
        except (OSError, http.client.HTTPException) as exc:
            raise self._unanswered(exc) from exc

    def get(self, target: str, headers: Mapping[str, str]) -> Answer:
        """Ask for something; raise NotSent where no answer comes."""
        try:
            return self._ask("GET", self._before + target, None, headers)
        except (OSError, http.client.HTTPException) as exc:
            raise self._unanswered(exc) from exc

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        self._connection.request(method, target, body=body, headers=dict(headers))
        got = self._connection.getresponse()
        return Answer(status=got.status, body=got.read().decode(errors="replace").strip())

    def _unanswered(self, exc: Exception) -> NotSent:
        self._connection.close()
        said = str(exc) or type(exc).__name__
        return NotSent(f"{self._url} does not answer: {said}; is Reelhook running there? Say where with --to")


@dataclass(frozen=True, kw_only=True)
class QueuePlace:
    """An MNS queue, and the access key that may send into it."""

    endpoint: str
    queue: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)


class QueueSender:
    """Sends messages into an MNS queue, with the vendor's SDK."""

    def __init__(self, place: QueuePlace, *, patience: float = PATIENCE) -> None:
        """Take the queue; nothing is asked of it yet. For one thread: the SDK has one connection and no lock."""
        from mns.account import Account  # noqa: PLC0415 - only who has a queue needs it

        account = Account(place.endpoint, place.access_key_id, place.secret_access_key)
        # The SDK's own time-out does not reach its https connections.
        account.mns_client.http.conn.timeout = patience
        self._connection = account.mns_client.http.conn
        self._queue = account.get_queue(place.queue)
        # The body goes out as it is: how it is encoded is ours to say.
        self._queue.set_encoding(False)
        self._place = place

    def send(self, callback: Callback) -> Answer:
        """Send the callback's body as it is; raise NotSent where the queue does not take it."""
        from mns.mns_exception import MNSExceptionBase  # noqa: PLC0415 - only who has a queue needs it
        from mns.queue import Message  # noqa: PLC0415 - only who has a queue needs it

        try:
            sent: Any = self._queue.send_message(Message(callback.body.decode()))
        except MNSExceptionBase as exc:
            said = f"{exc.type}: {exc.message}"
            raise NotSent(f"queue {self._place.queue} of {self._place.endpoint} does not take it: {said}") from exc
        return Answer(status=200, body=f"message {sent.message_id}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class SqsSender:
    """Sends messages into an SQS queue, as a gateway passes callbacks on: the headers are attributes."""

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        """Take the queue's URL, whose host is asked; keys and region are those of AWS's own environment and files."""
        from boto3.session import Session  # noqa: PLC0415 - only who has a queue needs it
        from botocore.config import Config  # noqa: PLC0415 - as above

        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.path.strip("/"):
            raise NotSent(
                f"{url} is no queue's URL; expected such as https://sqs.eu-west-1.amazonaws.com/123/recordings"
            )
        session = Session()
        found = _SQS_HOST.match(parts.netloc)
        self._client = session.client(
            "sqs",
            region_name=found[1] if found else session.region_name or "us-east-1",
            endpoint_url=f"{parts.scheme}://{parts.netloc}",
            config=Config(connect_timeout=patience, read_timeout=patience),
        )
        self._url = url

    def send(self, callback: Callback) -> Answer:
        """Send the callback with its headers and token; raise NotSent where the queue does not take it."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

        told = dict(callback.headers) | ({} if callback.token is None else {"token": callback.token})
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in told.items()}
        try:
            sent = self._client.send_message(
                QueueUrl=self._url, MessageBody=callback.body.decode(), MessageAttributes=attributes
            )
        except (BotoCoreError, ClientError) as exc:
            raise NotSent(f"queue {self._url} does not take it: {exc}") from exc
        return Answer(status=200, body=f"message {sent['MessageId']}")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def curl_line(url: str, callback: Callback) -> str:
    """Return the command that posts the callback to this URL; it holds the URL's token."""
    headers = [word for name, value in callback.headers.items() for word in ("-H", f"{name}: {value}")]
    return shlex.join(["curl", "-X", "POST", *headers, "--data-binary", callback.body.decode(), url])
