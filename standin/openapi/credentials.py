"""Who may call: access keys, their secrets, and the vendor account that each belongs to."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: how far the date of a request may lie from now, in seconds: fifteen minutes, as the vendors' gateways have it
SKEW = 15 * 60


@dataclass(frozen=True, kw_only=True)
class Credential:
    """An access key's secret. Keys of one `account` share its limits; without one a key is its own account."""

    secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    account: str | None = None
    #: Huawei: the project that X-Project-Id has to name; any, where None
    project_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a signature is checked against: the access keys, and the time of day in seconds since 1970."""

    credentials: Mapping[str, Credential]
    now: Callable[[], float] = time.time

    def find(self, access_key_id: str) -> Credential | None:
        """Return the credential of an access key, or None."""
        return self.credentials.get(access_key_id)

    def account(self, access_key_id: str) -> str:
        """Return the account whose limits the access key's calls count for."""
        return self.credentials[access_key_id].account or access_key_id

    def stale(self, at: float) -> bool:
        """Say whether a request's date, in seconds since 1970, is too old or too far ahead."""
        return abs(self.now() - at) > SKEW


def gate(credentials: Mapping[str, str | Credential], now: Callable[[], float] = time.time) -> Gate:
    """Return the gate of these credentials; a plain text is the secret of a key that is its own account."""
    whole = {
        key: value if isinstance(value, Credential) else Credential(secret=value) for key, value in credentials.items()
    }
    return Gate(credentials=whole, now=now)
