"""The vendor's own MNS client, pointed at a stand-in, and a clock that a test moves by hand."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from mns.account import Account
from mns.mns_exception import MNSServerException

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


@contextmanager
def client(mns: MnsStandin, key_id: str = "ak", secret: str = KEYS["ak"], token: str = "") -> Iterator[Any]:
    """Lend an account of the vendor's client, and close its connection afterwards."""
    account = Account(mns.endpoint, key_id, secret, token)
    try:
        yield account
    finally:
        account.mns_client.close_connection()


def refusal(call: Any, *arguments: Any) -> MNSServerException:
    """Return the vendor's exception that the call raises."""
    with pytest.raises(MNSServerException) as caught:
        call(*arguments)
    assert caught.value.req_id, "a refusal without a request id"
    return caught.value
