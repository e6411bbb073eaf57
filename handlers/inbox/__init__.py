"""What happens at the door: verify, keep, answer. What a delivery means is found out later, in processing."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from handlers import tables
from handlers.errors import UnknownAccount, UnreadableDelivery
from handlers.events import Delivery
from handlers.fields import storable
from handlers.ids import new_id
from handlers.keeping.deliveries import Accepted, Entry
from handlers.reading import is_all_segments, read

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from handlers.events import Incoming
    from handlers.keeping.keeper import Keeper
    from handlers.settings import Account, Settings
    from handlers.vendor import Vendor, Verified

_log = logging.getLogger(__name__)

#: headers that are the connection's own business
_DROPPED = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"})
#: what the names of headers say that hold somebody's credentials, or who an identity proxy let in
_CREDENTIALS = re.compile(
    r"authorization|cookie|credential|token|secret|password|key$|jwt|oidc|assertion|session|^x-auth|principal|client-cert"
)
#: the secret of a callback URL, in a header in which a proxy or a client repeats the URL
_TOKEN = re.compile(r"(token(?:=|%3d))[^\s&#;,'\"<>]*", re.IGNORECASE)
#: characters of a token that may be looked for in a header; a shorter one is found in any text
_LEAST_TOKEN = 6
#: bytes of headers that a delivery keeps at the most
_MOST_HEADERS = 16_384


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a door needs for its answer and its figures."""

    accepted: Accepted
    verified: Verified


class Inbox:
    """The inbox, as the doors see it."""

    def __init__(self, settings: Settings, vendors: Mapping[str, Vendor], keeper: Keeper) -> None:
        """Take what knows the accounts, what knows the vendors, and what keeps."""
        self._settings = settings
        self._vendors = vendors
        self._keeper = keeper

    def accept(self, incoming: Incoming) -> Receipt:
        """Verify the delivery and make it durable.

        Raises what `check` raises, and StoreUnavailable if the delivery could not be written anywhere.
        """
        entry, verified = self.check(incoming)
        return Receipt(accepted=self._keeper.keep(entry), verified=verified)

    def check(self, incoming: Incoming, *, reads: bool = True) -> tuple[Entry, Verified]:
        """Verify the delivery, and return it as it is to be kept; unless `reads`, processing is the first to read it.

        Raises RefusedDelivery if it is not authentic, CannotVerify if that can't be told now.
        """
        vendor = self._vendors.get(incoming.vendor)
        if vendor is None:
            known = ", ".join(sorted(self._vendors))
            if self._settings.account(incoming.vendor, incoming.account) is not None:
                raise UnknownAccount(f"this version has no door for {incoming.vendor} yet, only for {known}")
            raise UnknownAccount(f"no vendor has this name; expected /callbacks/<vendor>/<account> with one of {known}")
        account = self._settings.account(incoming.vendor, incoming.account)
        if account is None:
            raise UnknownAccount(
                f"{vendor.name} has no account of this name; `reelhook accounts` prints the callback URLs"
            )
        verified = vendor.verify(incoming, account)
        if not reads:
            return _unread(incoming, verified.keys, vendor, verified.signatures), verified
        return entry_of(incoming, verified.keys, vendor, account, verified.signatures), verified


def entry_of(
    incoming: Incoming,
    keys: tuple[str, ...],
    vendor: Vendor,
    account: Account,
    signatures: frozenset[str] = frozenset(),
) -> Entry:
    """Return the delivery as it is kept: quarantined at once where it is plain that it can't be read.

    `signatures` are headers that were verified, and are kept whatever their names say.
    """
    entry = _unread(incoming, keys, vendor, signatures)
    try:
        return replace(entry, is_bulk=is_all_segments(read(entry.delivery, vendor, account)))
    except UnreadableDelivery as exc:
        return replace(entry, state=tables.QUARANTINED, reason=storable(str(exc)))
    except Exception:  # noqa: BLE001 - whatever a vendor's reader meets
        # A bug in reading must not cost the delivery: processing meets it again, and says so.
        _log.exception("reading failed at the door", extra={"delivery": entry.delivery.id})
    return entry


def _unread(incoming: Incoming, keys: tuple[str, ...], vendor: Vendor, signatures: frozenset[str]) -> Entry:
    delivery = Delivery(
        id=new_id("dlv"),
        account=incoming.account,
        vendor=incoming.vendor,
        door=incoming.door,
        received_at=incoming.received_at,
        headers=useful_headers(incoming, vendor.proofs | signatures, signatures),
        body=incoming.body,
    )
    # Accounts of two vendors may have the same name, as `default` has; and what comes through another door is another
    # delivery, a further sighting of the same file.
    place = vendor.name if incoming.door == "http" else f"{vendor.name}:{incoming.door}"
    keys = tuple(f"{place}:{key}" for key in keys)
    return Entry(delivery=delivery, keys=keys)


def useful_headers(
    incoming: Incoming, proofs: Collection[str] = (), signatures: Collection[str] = ()
) -> dict[str, str]:
    """Return the headers that are kept: not the credentials, not the connection's own, not without bound.

    `proofs` are kept although their names may look like a credential's; those among them that were verified, the
    `signatures`, to the letter.
    """
    kept: dict[str, str] = {}
    size = 0
    # The proofs first: no padding in front of them may push out what tells a delivery's time.
    for name, value in sorted(incoming.headers.items(), key=lambda header: header[0].lower() not in proofs):
        size += len(name) + len(value)
        plain = name.lower()
        if size <= _MOST_HEADERS and (plain in proofs or _is_useful(plain)):
            kept[plain] = value if plain in signatures else _without_token(value, incoming.token or "")
    return kept


@lru_cache(maxsize=512)
def _is_useful(name: str) -> bool:
    return name not in _DROPPED and not _CREDENTIALS.search(name)


def _without_token(value: str, token: str) -> str:
    if len(token) >= _LEAST_TOKEN:
        value = value.replace(token, "...")
    return _TOKEN.sub(r"\1...", value) if "token" in value.lower() else value
