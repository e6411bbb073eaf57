"""What one table of reelhook.toml may hold: accounts, queues, destinations, storages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    StringConstraints,
    ValidationInfo,
)
from pydantic_core import core_schema

from handlers.errors import SettingsError
from handlers.events import TaskType
from handlers.secrets import Secret
from handlers.settings.values import (
    Network,
    read_bucket,
    read_duration,
    read_header_name,
    read_network,
    read_region,
    read_topic_arn,
    read_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_FASTEST = 100_000


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Where the references of a file's secrets lead: its environment and its folder."""

    environ: Mapping[str, str]
    folder: Path


def _secret(value: object, info: ValidationInfo) -> object:
    """Turn a reference into a secret; what is written out is refused and never quoted."""
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ValueError('is no text; expected "env:NAME" or "file:PATH"')  # noqa: TRY004 - pydantic collects ValueError
    around = info.context or Surroundings(environ={}, folder=Path.cwd())
    try:
        return Secret.refer(value, environ=around.environ, folder=around.folder)
    except SettingsError as exc:
        raise ValueError(str(exc)) from None


def _duration(value: object, info: ValidationInfo) -> object:
    if info.context is None and isinstance(value, int):
        return value
    if not isinstance(value, str):
        raise ValueError('has no unit; expected text such as "500ms", "15s", "10m", "6h"')  # noqa: TRY004 - pydantic collects ValueError
    return read_duration(value)


def _rate(value: object) -> object:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not 0 < value <= _FASTEST
    ):
        raise ValueError(f"is no rate; expected calls per second, a number above 0 and at most {_FASTEST}")
    return value


def _text_value(read: Callable[[str], object]) -> BeforeValidator:
    """Read text by this function; leave anything else to the type."""
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


def _network(value: object) -> object:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str):
        raise ValueError('is no text; expected a network such as "10.0.0.0/8"')  # noqa: TRY004 - pydantic collects ValueError
    return read_network(value)


def _webhook(text: str) -> str:
    return read_url(text, path=True, query=True)


Text = Annotated[str, StringConstraints(min_length=1, max_length=512)]
# The schema is given whole: pydantic would look into Secret's own fields, for it is a dataclass.
Hidden = Annotated[
    Secret, GetPydanticSchema(lambda _source, _handler: core_schema.with_info_plain_validator_function(_secret))
]
#: integer milliseconds, written with their unit
Duration = Annotated[int, BeforeValidator(_duration)]
#: calls per second
Rate = Annotated[float, BeforeValidator(_rate)]
Region = Annotated[str, _text_value(read_region)]
Endpoint = Annotated[str, _text_value(read_url)]
Bucket = Annotated[str, _text_value(read_bucket)]
Flag = Annotated[bool, Field(strict=True)]


def _nothing() -> Mapping[str, float]:
    return MappingProxyType({})


def _headers(values: Mapping[str, Secret]) -> Mapping[str, Secret]:
    for name in values:
        read_header_name(name)
    return MappingProxyType(dict(values))


def _no_headers() -> Mapping[str, Secret]:
    return MappingProxyType({})


class Table(BaseModel):
    """One table: its name, and keys of which none is unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str


class Called(Table):
    """A table that names a counterpart whom we call with an access key."""

    access_key_id: Hidden | None = None
    secret_access_key: Hidden | None = None
    security_token: Hidden | None = None
    #: `https://host`, without a path
    endpoint: Endpoint | None = None
    region: Region | None = None


class Account(Called):
    """One configured counterpart of a vendor; keys that its vendor doesn't have are empty."""

    vendor: str
    #: empty: every app id is taken
    app_ids: tuple[Text, ...] = ()
    #: secrets in the callback URL; the first is printed, all are accepted; empty: none is
    url_tokens: tuple[Hidden, ...] = ()
    #: keys of the vendor's signature; any of them is accepted; empty: none is
    callback_secrets: tuple[Hidden, ...] = ()
    #: Alibaba's account id and topic that mns-topic pushes must come from
    topic_owner: Text | None = None
    topic_name: Text | None = None
    #: milliseconds; older signed callbacks are refused; None: of Volcengine none is too old, Alibaba has its own limits
    max_age: Duration | None = None
    #: milliseconds that Huawei's signed time may differ from ours, both ways; None: any
    max_skew: Duration | None = None
    #: Huawei's project, for its own calls
    project_id: Text | None = None
    #: accounts with one quota share the vendor's limits; None: those with the same access key do
    quota: Text | None = None
    #: calls per second by operation, where they shall stay below the vendor's limit
    limits: Annotated[Mapping[str, Rate], AfterValidator(MappingProxyType)] = Field(default_factory=_nothing)


class Queue(Called):
    """A queue that is polled for an account's callbacks."""

    kind: Literal["mns", "sqs"]
    #: the name of the account whose callbacks it carries
    account: Text
    #: the queue's name
    queue: Text
    #: seconds that one receive waits for a message: at most 30, for SQS 20
    wait_seconds: Annotated[int, Field(strict=True, ge=0, le=30)] = 20
    threads: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    #: a message received more often than this is set aside
    max_receives: Annotated[int, Field(strict=True, ge=1, le=1000)] = 20


class SqsQueue(Queue):
    """A queue of SQS, which waits for 20 seconds at most."""

    wait_seconds: Annotated[int, Field(strict=True, ge=0, le=20)] = 20


class Destination(Called):
    """The user's own processing, where rules send changes to."""

    kind: Literal["http", "sqs", "sns", "mns-queue", "mns-topic", "s3", "celery", "python"]
    #: milliseconds for one attempt, whole
    timeout: Duration = 15_000
    #: milliseconds from one attempt to the next; after the last the action is dead
    retries: tuple[Duration, ...] = (5_000, 30_000, 120_000, 600_000, 3_600_000, 21_600_000)
    #: one action at a time, in order
    ordered: Flag = False
    #: actions per second; None: no limit
    rate: Rate | None = None


class HttpDestination(Destination):
    """An address that gets each change by POST."""

    #: may hold a secret of the receiver's in its path or query
    url: Annotated[str, _text_value(_webhook), Field(repr=False)]
    #: signs what is sent, as Standard Webhooks
    secret: Hidden | None = None
    #: what the receiver wants to see with every request, such as Authorization
    headers: Annotated[Mapping[str, Hidden], AfterValidator(_headers)] = Field(default_factory=_no_headers)
    #: networks that may be called although they are private
    allow_private: tuple[Annotated[Network, BeforeValidator(_network)], ...] = ()


class SqsDestination(Destination):
    """A queue of SQS."""

    #: the queue's own address
    url: Annotated[str, _text_value(_webhook)]


class SnsDestination(Destination):
    """A topic of SNS."""

    #: the topic's ARN
    topic: Annotated[str, _text_value(read_topic_arn)]


class MnsQueueDestination(Destination):
    """A queue of MNS."""

    queue: Text


class MnsTopicDestination(Destination):
    """A topic of MNS."""

    topic: Text


class S3Destination(Destination):
    """A bucket that speaks S3."""

    bucket: Bucket
    #: what object keys begin with
    prefix: Annotated[str, StringConstraints(max_length=512)] = ""


class CeleryDestination(Destination):
    """A queue of the user's own Celery workers."""

    #: the broker's address, which holds its password
    broker: Hidden
    queue: Text = "celery"
    #: the task's name, unless a rule gives one
    task: Text | None = None


class PythonDestination(Destination):
    """A function of the user's own package."""

    #: its name among the entry points of the group `reelhook.calls`
    entry_point: Text


class Match(BaseModel):
    """Which files a storage holds: all that is said must be so."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: an account's name
    account: Text | None = None
    app_id: Text | None = None
    business_id: Text | None = None
    #: how the vendor's task id begins
    task_prefix: Text | None = None
    type: TaskType | None = None


class Storage(Called):
    """A bucket that recorded files lie in; of several that match a file the first is taken."""

    kind: Literal["oss", "tos", "obs", "s3"]
    region: Region
    bucket: Bucket
    #: empty: every file
    match: Match = Match()
