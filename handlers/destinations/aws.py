"""What goes to a queue of AWS's SQS or a topic of its SNS, through boto3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from pydantic import Field

from handlers.destinations.handover import DestinationOperation, Telling

if TYPE_CHECKING:
    from collections.abc import Collection

    from handlers.destinations.handover import Handover
    from handlers.destinations.means import Means
    from handlers.operation import Outcome
    from handlers.settings import Destination, SqsDestination


_FIFO: Final = ".fifo"
#: of 256 KiB, with room for attributes
_MOST_IN_A_BATCH: Final = 250_000


def is_fifo(address: str) -> bool:
    """Tell whether a queue or topic keeps the order, by its address."""
    return address.endswith(_FIFO)


class Send(Telling):
    """The parameters of sqs.send."""

    delay_seconds: int | None = Field(
        default=None, ge=0, le=900, description="seconds that the queue keeps the message back, 0 to 900; not for FIFO"
    )


class Publish(Telling):
    """The parameters of sns.publish."""

    subject: str | None = Field(
        default=None,
        pattern=r"^[\x21-\x7e][\x20-\x7e]{0,99}$",
        description="the subject of mails, 1 to 100 visible ASCII characters, the first no blank",
    )


def _unfit(destination: Destination, given: Collection[str]) -> str | None:
    if "delay_seconds" not in given or not is_fifo(cast("SqsDestination", destination).url):
        return None
    return f"delay_seconds: SQS refuses it for a FIFO queue, which the destination {destination.name} is; leave it out"


def _send(handover: Handover, destination: Destination, means: Means) -> Outcome:
    from handlers.destinations.aws_calls import send  # noqa: PLC0415 - boto3 is 15 MB that only its users need

    return send(handover, destination, means)


def _publish(handover: Handover, destination: Destination, means: Means) -> Outcome:
    from handlers.destinations.aws_calls import publish  # noqa: PLC0415 - as in _send

    return publish(handover, destination, means)


SEND = DestinationOperation(
    name="send",
    kind="sqs",
    parameters=Send,
    unfit=_unfit,
    most_bytes=_MOST_IN_A_BATCH,
    perform=_send,
    page="https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html",
)
PUBLISH = DestinationOperation(
    name="publish",
    kind="sns",
    parameters=Publish,
    most_bytes=_MOST_IN_A_BATCH,
    perform=_publish,
    page="https://docs.aws.amazon.com/sns/latest/api/API_Publish.html",
)
