"""What can be set on a queue: names, ranges and defaults.

Ranges are those of the vendor's page "Queue" (help.aliyun.com/zh/mns/developer-reference/queue-queue).
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from standin.mns.errors import MnsError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: the vendor's element -> our field, lowest, highest
RANGES: Mapping[str, tuple[str, int, int]] = {
    "DelaySeconds": ("delay_seconds", 0, 604_800),
    "MaximumMessageSize": ("maximum_message_size", 1_024, 65_536),
    "MessageRetentionPeriod": ("message_retention_period", 60, 604_800),
    "PollingWaitSeconds": ("polling_wait_seconds", 0, 30),
    "VisibilityTimeout": ("visibility_timeout", 1, 43_200),
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_LONGEST_NAME = 120


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """The settable attributes of a queue; times in seconds, sizes in bytes."""

    delay_seconds: int = 0
    maximum_message_size: int = 65_536
    message_retention_period: int = 345_600
    polling_wait_seconds: int = 0
    visibility_timeout: int = 30
    logging_enabled: bool = False

    def __post_init__(self) -> None:
        """Refuse a value out of its range."""
        for element, (field, low, high) in RANGES.items():
            in_range(element, getattr(self, field), low, high)

    def changed(self, elements: Mapping[str, str]) -> Attributes:
        """Return these attributes with the vendor's elements applied; unknown elements are left out.

        Raises:
            MnsError: InvalidArgument, a value is no number or out of its range.
        """
        values: dict[str, int | bool] = {
            field: number(element, elements[element])
            for element, (field, _low, _high) in RANGES.items()
            if element in elements
        }
        if "LoggingEnabled" in elements:
            values["logging_enabled"] = elements["LoggingEnabled"].lower() == "true"
        return dataclasses.replace(self, **values)  # type: ignore[arg-type]  # the table names the fields


def number(element: str, text: str) -> int:
    """Read a whole number, or raise InvalidArgument."""
    if not re.fullmatch(r"-?[0-9]{1,18}", text.strip(), re.ASCII):
        raise MnsError("InvalidArgument", f"{element} is {text[:40]!r}, expected a whole number.")
    return int(text)


def in_range(element: str, value: int, low: int, high: int) -> int:
    """Return the value if it lies in its range, or raise InvalidArgument."""
    if not low <= value <= high:
        raise MnsError("InvalidArgument", f"{element} is {value}, expected {low} to {high}.")
    return value


def check_name(name: str, *, kind: str = "Queue") -> str:
    """Return the name of a queue, topic or subscription if the vendor allows it.

    Raises:
        MnsError: QueueNameLengthError (TopicNameLengthError) over 120 characters, InvalidQueueName (InvalidArgument for
            a topic) for characters other than letters, digits and hyphens.
    """
    if not 1 <= len(name) <= _LONGEST_NAME:
        code = "QueueNameLengthError" if kind == "Queue" else "TopicNameLengthError"
        raise MnsError(code, f"The name has {len(name)} characters, expected 1 to {_LONGEST_NAME}.")
    if not _NAME.fullmatch(name):
        code = "InvalidQueueName" if kind == "Queue" else "InvalidArgument"
        raise MnsError(code, f"The name {name!r} may hold letters, digits and hyphens only, and begins with no hyphen.")
    return name
