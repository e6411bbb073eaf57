"""What goes to a queue or a topic of Alibaba Cloud's MNS, through aliyun-mns-sdk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from handlers.destinations.handover import DestinationOperation, Telling

if TYPE_CHECKING:
    from handlers.destinations.handover import Handover
    from handlers.destinations.means import Means
    from handlers.operation import Outcome
    from handlers.settings import Destination

Encoding = Literal["base64", "raw"]


#: of 64 KiB, which base64 makes of three quarters of it
_MOST_IN_A_BATCH: Final = 48_000


class Send(Telling):
    """The parameters of mns.send."""

    encoding: Encoding = Field(
        default="base64", description="base64, as the vendor's SDKs read a message unless told otherwise, or raw"
    )
    delay_seconds: int | None = Field(
        default=None, ge=0, le=604_800, description="seconds that the queue keeps the message back, 0 to 604800"
    )
    priority: int | None = Field(default=None, ge=1, le=16, description="1 to 16, 1 comes first; 8 unless given")


class Publish(Telling):
    """The parameters of mns.publish."""

    encoding: Encoding = Field(default="raw", description="raw, as pushes to an address want it, or base64")
    tag: str | None = Field(
        default=None, min_length=1, max_length=16, description="what subscriptions filter by, 1 to 16 characters"
    )


def _send(handover: Handover, destination: Destination, means: Means) -> Outcome:
    from handlers.destinations.mns_calls import send  # noqa: PLC0415 - the SDK is for its users only

    return send(handover, destination, means)


def _publish(handover: Handover, destination: Destination, means: Means) -> Outcome:
    from handlers.destinations.mns_calls import publish  # noqa: PLC0415 - as in _send

    return publish(handover, destination, means)


SEND = DestinationOperation(
    name="send",
    kind="mns-queue",
    parameters=Send,
    most_bytes=_MOST_IN_A_BATCH,
    perform=_send,
    page="https://help.aliyun.com/zh/mns/developer-reference/sendmessage",
)
PUBLISH = DestinationOperation(
    name="publish",
    kind="mns-topic",
    parameters=Publish,
    most_bytes=_MOST_IN_A_BATCH,
    perform=_publish,
    page="https://help.aliyun.com/zh/mns/developer-reference/publishmessage",
)
