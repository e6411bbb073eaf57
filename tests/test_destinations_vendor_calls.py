"""Vendors' calls through the sender: what arrives is byte for byte what was signed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from calling import OPERATIONS, account, golden
from receivers import receiver

from handlers.destinations import ANYWHERE, NoAnswer, Sender, unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sender() -> Iterator[Sender]:
    made = Sender()
    yield made
    made.close()


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_vendors_call_arrives_byte_for_byte_as_it_was_signed(sender: Sender, name: str) -> None:
    told = golden(name)
    with receiver(body=b"{}") as there:
        own = account(name.partition(".")[0], endpoint=there.url)
        request = OPERATIONS[name].request(told["parameters"], own, told["at"], told["nonce"])
        answer = sender.send(request, timeout_ms=5_000, allowed=ANYWHERE)
    (got,) = there.got
    parts = urlsplit(request.url)
    assert got.path == (f"{parts.path}?{parts.query}" if parts.query else parts.path)
    assert got.body == request.body
    sent = {key.lower(): value for key, value in request.headers.items()}
    assert {key: got.headers[key] for key in sent} == sent
    assert answer.status == 200


def test_a_vendors_call_without_an_answer_is_unclear_only_where_it_was_sent(sender: Sender) -> None:
    name = "volcengine.update_segment"
    told = golden(name)
    request = OPERATIONS[name].request(
        told["parameters"], account("volcengine", endpoint="http://127.0.0.1:1"), told["at"], told["nonce"]
    )
    with pytest.raises(NoAnswer) as caught:
        sender.send(request, timeout_ms=1_000, allowed=ANYWHERE)
    assert not unanswered(caught.value).is_unclear
