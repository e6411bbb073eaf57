"""The vendor's own MNS client, pointed at a stand-in, and a clock that a test moves by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mns.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from standin.mns import MnsStandin

KEYS = {"ak": "a-secret-of-nobody"}


class HandClock:
    """Time in milliseconds that passes when told to."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def let_pass(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


def client(mns: MnsStandin, key_id: str = "ak", secret: str | None = None, token: str = "") -> Any:
    """Return an account of the vendor's client; the caller closes it."""
    return Account(mns.endpoint, key_id, KEYS["ak"] if secret is None else secret, token)


def closing(account: Any) -> Iterator[Any]:
    """Yield the account and close its connection: for fixtures."""
    yield account
    account.mns_client.close_connection()
