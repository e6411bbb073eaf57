"""Which keys go with which vendor or kind, and which of them must be there."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from handlers.settings.tables import (
    Account,
    Called,
    CeleryDestination,
    HttpDestination,
    MnsQueueDestination,
    MnsTopicDestination,
    PythonDestination,
    Queue,
    S3Destination,
    SnsDestination,
    SqsDestination,
    SqsQueue,
    Storage,
    Table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_CALL_KEYS = frozenset(Called.model_fields) - {"name"}
_MNS_CREDENTIALS = ("endpoint", "access_key_id", "secret_access_key")

#: why a key must be there, where that is not plain
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "url_tokens": "the vendor can't sign its callbacks, so that their URL needs a secret; "
        'write url_tokens = ["env:NAME"]',
        "callback_secrets": 'the callbacks\' signatures are checked with them; write callback_secrets = ["env:NAME"]',
        "endpoint": 'write endpoint = "https://host"',
        "broker": 'write broker = "env:NAME"; it holds the broker\'s password',
    }
)
#: lists that must hold something once they are written
FILLED = ("app_ids", "url_tokens", "callback_secrets")
#: the second key means nothing without the first
TOGETHER = (
    ("access_key_id", "secret_access_key"),
    ("secret_access_key", "access_key_id"),
    ("access_key_id", "security_token"),
    ("topic_owner", "topic_name"),
    ("topic_name", "topic_owner"),
)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One vendor of an account, or one kind of a queue, destination or storage."""

    model: type[Table]
    keys: frozenset[str]
    required: tuple[str, ...]
    #: a required key -> the key that may stand there instead
    instead: Mapping[str, str] = field(default_factory=dict)
    #: operations that `limits` may name
    operations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """One group of tables, `[accounts.NAME]` and so on."""

    name: str
    #: what one of them is called
    noun: str
    #: the key that tells the kind
    selector: str
    kinds: Mapping[str, Kind]


def _vendor(secret: str, *keys: str, operations: tuple[str, ...], instead: str | None = None) -> Kind:
    every = _CALL_KEYS | {"vendor", "app_ids", "quota", "limits"}
    other = {secret: instead} if instead else {}
    keys = (secret, *other.values(), *keys)
    return Kind(model=Account, keys=every | {*keys}, required=(secret,), instead=other, operations=operations)


def _kind(model: type[Table], *required: str, without: frozenset[str] = frozenset()) -> Kind:
    fields = {name: field for name, field in model.model_fields.items() if name != "name"}
    own = tuple(name for name, field in fields.items() if field.is_required() and name != "kind")
    return Kind(model=model, keys=frozenset(fields) - without, required=(*own, *required))


_NO_REGION = frozenset({"region"})
#: what is not called with an access key
_NO_CALL = _CALL_KEYS - {"name"}
_STORAGE = _kind(Storage)

ACCOUNTS = Section(
    name="accounts",
    noun="account",
    selector="vendor",
    kinds=MappingProxyType(
        {
            "aliyun": _vendor(
                "url_tokens",
                "callback_secrets",  # Live signs, but not the body, so that the token is needed all the same
                "max_age",
                "topic_owner",
                "topic_name",
                operations=("start_record_task", "update_record_task", "stop_record_task"),
            ),
            "volcengine": _vendor(
                "callback_secrets",
                "max_age",
                operations=("update_record", "update_segment", "update_push_mixed_stream_to_cdn"),
            ),
            "huawei": _vendor(
                "callback_secrets",
                "max_skew",
                "project_id",
                operations=("update_individual_stream_job",),
                instead="url_tokens",  # it signs nothing where no auth_key is set in its console
            ),
        }
    ),
)
QUEUES = Section(
    name="queues",
    noun="queue",
    selector="kind",
    kinds=MappingProxyType(
        {
            "mns": _kind(Queue, *_MNS_CREDENTIALS, without=_NO_REGION),
            "sqs": _kind(SqsQueue, "region"),
        }
    ),
)
DESTINATIONS = Section(
    name="destinations",
    noun="destination",
    selector="kind",
    kinds=MappingProxyType(
        {
            "http": Kind(
                model=HttpDestination,
                keys=frozenset(HttpDestination.model_fields) - _CALL_KEYS - {"name"},
                required=("url",),
            ),
            "sqs": _kind(SqsDestination, "region"),
            "sns": _kind(SnsDestination, "region"),
            "mns-queue": _kind(MnsQueueDestination, *_MNS_CREDENTIALS, without=_NO_REGION),
            "mns-topic": _kind(MnsTopicDestination, *_MNS_CREDENTIALS, without=_NO_REGION),
            "s3": _kind(S3Destination, "region"),
            "celery": _kind(CeleryDestination, without=_NO_CALL),
            "python": _kind(PythonDestination, without=_NO_CALL),
        }
    ),
)
STORAGES = Section(
    name="storages",
    noun="storage",
    selector="kind",
    kinds=MappingProxyType(dict.fromkeys(("oss", "tos", "obs", "s3"), _STORAGE)),
)
#: every group of tables that reelhook.toml may hold
SECTIONS = (ACCOUNTS, QUEUES, DESTINATIONS, STORAGES)
