"""How a message is handed to AWS's SQS or SNS, and what their answers mean; boto3 is imported with this module."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    SSLError,
)

from handlers.destinations.aws import is_fifo
from handlers.destinations.handover import message_of
from handlers.destinations.outcomes import hide, secrets_of
from handlers.operation import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.destinations.handover import Handover
    from handlers.destinations.means import Means
    from handlers.settings import Destination, SnsDestination, SqsDestination

#: bytes that a message may have with its attributes. SQS takes 1 MiB since 2025; SNS and what SQS hands on to do not
MOST_BYTES = 256 * 1024
_CONNECT_PATIENCE = 5
_GROUP = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,./:;<=>?@\[\\\]^_`{|}~-]{1,128}")
_LONGEST_TEXT = 300

#: the end of an error code, of which there is an old and a new form -> what to change where waiting won't help
_MENDS: Mapping[str, str] = {
    "NonExistentQueue": "create the queue, or mend the destination's `url`, `region` or `endpoint`",
    "QueueDoesNotExist": "create the queue, or mend the destination's `url`, `region` or `endpoint`",
    "NotFound": "create the topic, or mend the destination's `topic`, `region` or `endpoint`",
    "NotFoundException": "create the topic, or mend the destination's `topic`, `region` or `endpoint`",
    "AccessDenied": "let the destination's access key call SendMessage or Publish",
    "AccessDeniedException": "let the destination's access key call SendMessage or Publish",
    "AuthorizationError": "let the destination's access key call SendMessage or Publish",
    "InvalidClientTokenId": "mend the destination's `access_key_id`",
    "UnrecognizedClientException": "mend the destination's `access_key_id` or `security_token`",
    "SignatureDoesNotMatch": "mend the destination's `secret_access_key`, or set this machine's clock",
    "InvalidSignatureException": "mend the destination's `secret_access_key`, or set this machine's clock",
}
#: what is wrong with the message itself
_WRONG_FOR_GOOD = frozenset(
    {"InvalidMessageContents", "InvalidParameter", "InvalidParameterException", "InvalidParameterValue"}
) | {"MissingParameter", "ParameterValueInvalid", "UnsupportedOperation"}
_NOT_SENT = (ConnectTimeoutError, EndpointConnectionError, NoCredentialsError, SSLError)


@dataclass(frozen=True, kw_only=True)
class _Service:
    """In what the two services differ."""

    name: str
    #: boto3's name of the call, and of its parameters
    call: str
    address: str
    body: str


_SQS = _Service(name="sqs", call="send_message", address="QueueUrl", body="MessageBody")
_SNS = _Service(name="sns", call="publish", address="TopicArn", body="Message")


def send(handover: Handover, destination: Destination, means: Means) -> Outcome:
    """Make one try at sqs.send."""
    delay = handover.parameters.get("delay_seconds")
    more = {} if delay is None else {"DelaySeconds": delay}
    return _sent(_SQS, {"QueueUrl": cast("SqsDestination", destination).url, **more}, handover, destination, means)


def publish(handover: Handover, destination: Destination, means: Means) -> Outcome:
    """Make one try at sns.publish."""
    subject = handover.parameters.get("subject")
    more = {} if subject is None else {"Subject": subject}
    return _sent(_SNS, {"TopicArn": cast("SnsDestination", destination).topic, **more}, handover, destination, means)


def _sent(service: _Service, told: dict[str, Any], handover: Handover, target: Destination, means: Means) -> Outcome:
    message = message_of(handover)
    request = told | {service.body: message.text, "MessageAttributes": _attributes(handover, message.content_type)}
    if is_fifo(str(told[service.address])):
        request |= _in_order(handover)
    size = len(message.body) + _size(request["MessageAttributes"])
    if size > MOST_BYTES:
        text = f"the message is {size} bytes long with its attributes; {service.name.upper()} takes {MOST_BYTES}"
        return Outcome(verdict="give_up", detail=text, meaning="let the rule give a smaller `body`")
    secrets = [one.reveal() if one else None for one in _credentials(target)]
    make = partial(_client, service.name, target, secrets)
    try:
        client = means.client(target.name, (service, *secrets), make)
        answer = getattr(client, service.call)(**request)
    except ClientError as exc:
        return _refused(exc, target)
    except (BotoCoreError, ValueError) as exc:
        means.forget(target.name)
        return _failed(exc, target)
    return Outcome(verdict="done", detail=f"message {answer['MessageId']}", request_id=_request_id(answer))


def _credentials(target: Destination) -> list[Any]:
    return [target.access_key_id, target.secret_access_key, target.security_token]


def _client(service: str, target: Destination, secrets: list[str | None]) -> Any:  # noqa: ANN401 - boto3 has no types
    patience = target.timeout / 1000
    return Session().client(
        service,
        region_name=target.region,
        endpoint_url=target.endpoint,
        aws_access_key_id=secrets[0],
        aws_secret_access_key=secrets[1],
        aws_session_token=secrets[2],
        config=Config(
            connect_timeout=min(_CONNECT_PATIENCE, patience),
            read_timeout=patience,
            # How often a call is made is the action's to say.
            retries={"total_max_attempts": 1, "mode": "standard"},
            proxies={},
        ),
    )


def _attributes(handover: Handover, content_type: str) -> dict[str, dict[str, str]]:
    """Return what a subscription may filter by, and the id by which a repeat is known."""
    told = {
        "reelhook-action": handover.call_id,
        "reelhook-change": handover.told["change"],
        "reelhook-vendor": handover.told["vendor"],
        "reelhook-account": handover.told["account"],
        "content-type": content_type,
    }
    return {name: {"DataType": "String", "StringValue": value} for name, value in told.items()}


def _size(attributes: Mapping[str, Mapping[str, str]]) -> int:
    """Return the bytes that count: names, types and values."""
    return sum(len(name.encode()) + sum(len(v.encode()) for v in told.values()) for name, told in attributes.items())


def _in_order(handover: Handover) -> dict[str, str]:
    """Name the group within which a FIFO queue keeps the order, and the message, which it takes once."""
    lane = handover.lane or handover.told["subject"]
    group = lane if _GROUP.fullmatch(lane) else hashlib.sha256(lane.encode()).hexdigest()
    return {"MessageGroupId": group, "MessageDeduplicationId": handover.call_id}


def _refused(exc: ClientError, target: Destination) -> Outcome:
    """Read the service's refusal: what is wrong with the message is given up, anything else may be mended."""
    error = exc.response.get("Error", {})
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(error.get("Code") or status)
    last = code.rpartition(".")[2]
    throttled = "Throttl" in code or last in {"RequestThrottled", "KmsThrottled", "OverLimit"}
    final = last in _WRONG_FOR_GOOD
    return Outcome(
        verdict="give_up" if final else "again",
        code=code,
        detail=hide(str(error.get("Message") or "")[:_LONGEST_TEXT], secrets_of(target)),
        meaning=_MENDS.get(last, "the service would refuse it again" if final else "the service may take it later"),
        request_id=_request_id(exc.response),
        is_throttled=throttled,
    )


def _failed(exc: Exception, target: Destination) -> Outcome:
    """Return the outcome of a call that got no answer, or could not be made."""
    sent = isinstance(exc, HTTPClientError) and not isinstance(exc, _NOT_SENT)
    text = hide(f"{type(exc).__name__}: {exc}"[:_LONGEST_TEXT], secrets_of(target))
    return Outcome(
        verdict="again", code=type(exc).__name__, detail=text, meaning="the next try may get through", is_unclear=sent
    )


def _request_id(answer: Mapping[str, Any]) -> str | None:
    found = answer.get("ResponseMetadata", {}).get("RequestId")
    return str(found) if found else None
