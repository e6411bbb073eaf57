"""Whether a delivery is Alibaba's: by what its door can prove.

RTC's FileCreated bears no signature: the documentation of StartRecordTask (API 2018-01-11) names no signature, no
headers and no source addresses. What is asked for instead:

- `http`: the token of the callback URL; of a callback that Live signed, where the account has Live's keys, its
  signature as well, for that does not cover the body.
- `mns`: nothing. The vendor writes into the queue itself, and we read it with credentials of our own.
- `sqs`: the token. What stands before such a queue, a gateway, takes in what anybody sends, and passes the token on.
- `mns-topic`: the signature of MNS and the topic's name (see topic.py).
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING

from handlers.errors import BadToken, UnreadableDelivery
from handlers.vendor import Verified, seen_key
from handlers.vendors.aliyun import live, mns

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.events import Incoming
    from handlers.settings import Account

    Verify = Callable[[Incoming, Account], Verified]

_SORTED = json.JSONEncoder(sort_keys=True)


def by_door(verify_push: Verify) -> Verify:
    """Return what verifies a delivery of any door; `verify_push` does so for `mns-topic`."""

    def verify(incoming: Incoming, account: Account) -> Verified:
        """Raise RefusedDelivery, whose text tells nothing of any secret, or CannotVerify."""
        if incoming.door == "mns-topic":
            return verify_push(incoming, account)
        if incoming.door == "mns":
            return Verified(keys=keys(incoming), secret=None)
        return _verify_http(incoming, account)

    return verify


def token_index(incoming: Incoming, account: Account) -> int:
    """Return which of the account's `url_tokens` stood in the URL, the first being 0.

    Raises BadToken, whose text tells nothing of any token.
    """
    setting = f"url_tokens of [accounts.{account.name}]"
    if not account.url_tokens:
        raise BadToken(f"{setting} is empty: set it, and end the callback URL with ?token=...")
    if not incoming.token:
        raise BadToken(f"the callback URL has no token; expected ?token=... with one of {setting}")
    came = _bytes(incoming.token)
    # Every one is compared, whatever the ones before gave: how long it takes shall tell nothing.
    matches = [hmac.compare_digest(came, _bytes(token.reveal())) for token in account.url_tokens]
    if not any(matches):
        raise BadToken(f"the token of the callback URL is wrong; expected ?token=... with one of {setting}")
    return matches.index(True)


def keys(incoming: Incoming) -> tuple[str, ...]:
    """Return the key of the MsgId and what is said under it, else of the body.

    A MsgId alone would let a corrected callback under the same id pass for a repeat, and be lost. It is documented
    as text, but a number will do; white space and the order of names make no other message. A message of a queue or
    a topic goes by what is said in it, whatever it is wrapped in.
    """
    try:
        values = mns.said(incoming)
        said = _SORTED.encode(values)
    except (UnreadableDelivery, RecursionError):
        return (seen_key("body", incoming.body),)
    message = values.get("MsgId")
    if message and isinstance(message, str | int) and not isinstance(message, bool):
        return (seen_key("message", f"{message}\0{said}"),)
    return (seen_key("said", said) if incoming.door in mns.DOORS else seen_key("body", incoming.body),)


def _verify_http(incoming: Incoming, account: Account) -> Verified:
    token = token_index(incoming, account)  # first: a stranger's body is not worth a look
    if not account.callback_secrets or not live.is_signed(incoming):
        return Verified(keys=keys(incoming), secret=token)
    secret, signed_at = live.check_signature(incoming, account)
    # Either may be the one that is being phased out.
    return Verified(keys=keys(incoming), secret=max(token, secret), signed_at=signed_at)


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")
