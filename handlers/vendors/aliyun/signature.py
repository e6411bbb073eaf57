"""Whether a delivery is Alibaba's: by the token of its URL, for FileCreated bears no signature.

The documentation of StartRecordTask (API 2018-01-11) names no signature, no headers and no source addresses.
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING

from handlers.errors import BadToken, UnreadableDelivery
from handlers.events import read_json
from handlers.vendor import Verified, seen_key

if TYPE_CHECKING:
    from handlers.events import Incoming
    from handlers.settings import Account


def verify(incoming: Incoming, account: Account) -> Verified:
    """Compare the token of the callback URL with each of the account's `url_tokens`.

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
    return Verified(keys=keys(incoming), secret=matches.index(True))


def keys(incoming: Incoming) -> tuple[str, ...]:
    """Return the key of the MsgId and what is said under it, else of the body.

    A MsgId alone would let a corrected callback under the same id pass for a repeat, and be lost. It is documented
    as text, but a number will do; white space and the order of names make no other message.
    """
    try:
        values = read_json(incoming.body)
        said = json.dumps(values, sort_keys=True)
    except (UnreadableDelivery, RecursionError):
        return (seen_key("body", incoming.body),)
    message = values.get("MsgId")
    if message and isinstance(message, str | int) and not isinstance(message, bool):
        return (seen_key("message", f"{message}\0{said}"),)
    return (seen_key("body", incoming.body),)


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")
