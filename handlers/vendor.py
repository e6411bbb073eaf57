"""What a vendor must provide: how its deliveries are verified and what they mean."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from handlers.events import Delivery, Event, Incoming
    from handlers.operation import Operation
    from handlers.settings import Account


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What is known of an authentic delivery before it is kept."""

    #: the names under which it would come again; made by seen_key
    keys: tuple[str, ...]
    #: which of the account's secrets matched, 0 being the first; None where another proof did
    secret: int | None
    #: the time that the signature covers, milliseconds UTC
    signed_at: int | None = None
    #: headers, in lower case, that turned out to be a signature and nobody's password: kept as they came, for a handler
    #: behind us that verifies the delivery again. In other deliveries the same header may be a password
    signatures: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """One vendor's table of contents."""

    name: str
    #: tells that a delivery is authentic, or raises RefusedDelivery, or CannotVerify where that can't be told now;
    #: never anything else
    verify: Callable[[Incoming, Account], Verified]
    #: the names under which a delivery would come again; raises nothing, whatever the bytes
    keys: Callable[[Incoming], tuple[str, ...]]
    #: tells what a delivery means, or raises UnreadableDelivery; never anything else on purpose
    read: Callable[[Delivery], Sequence[Event]]
    #: the doors at which the vendor pushes, as they stand in the callback URL behind the account; http stands nowhere
    doors: frozenset[str] = frozenset({"http"})
    #: headers, in lower case, that prove a delivery or tell its time: kept as they came, whatever their names say
    proofs: frozenset[str] = frozenset()
    #: what the vendor expects in the body of a success answer
    answer: Mapping[str, str | int] = field(default_factory=dict)
    #: a body from the vendor's documentation, to try things out with; None where a callback must be signed
    sample: bytes | None = None
    #: the calls that we know how to make of it, by name: `update_segment`
    operations: Mapping[str, Operation] = field(default_factory=dict)


def seen_key(kind: str, value: str | bytes) -> str:
    """Return the name under which a delivery is recognised, such as `message:9f86d0…`.

    The value is hashed: it is the sender's, of any length, and may hold what a database refuses.
    """
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return f"{kind}:{hashlib.blake2b(raw, digest_size=16).hexdigest()}"
