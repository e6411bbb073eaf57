"""What happens at the door: verify, keep, answer. What a delivery means is found out later, in processing."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers import tables
from handlers.deliveries import Accepted, Entry
from handlers.errors import RefusedDelivery, UnreadableDelivery
from handlers.events import Delivery
from handlers.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from handlers.events import Event, Incoming
    from handlers.keeper import Keeper
    from handlers.settings import Account, Settings
    from handlers.vendor import Vendor, Verified

_log = logging.getLogger(__name__)

#: headers that hold somebody's credentials, or the connection's own business
_DROPPED = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)
#: bytes of headers that a delivery keeps at the most
_MOST_HEADERS = 16_384


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a door needs for its answer and its figures."""

    accepted: Accepted
    verified: Verified


class Inbox:
    """The inbox, as the doors see it."""

    def __init__(
        self,
        settings: Settings,
        vendors: Mapping[str, Vendor],
        keeper: Keeper,
        *,
        on_refusal: Callable[[Incoming, RefusedDelivery], None] | None = None,
    ) -> None:
        """Take what knows the accounts, what knows the vendors, and what keeps."""
        self._settings = settings
        self._vendors = vendors
        self._keeper = keeper
        self._on_refusal = on_refusal

    def accept(self, incoming: Incoming) -> Receipt:
        """Verify the delivery and make it durable.

        Raises RefusedDelivery if it is not authentic, StoreUnavailable if it could not be written anywhere,
        and KeyError for a vendor or account that is not configured: a door asks for those first.
        """
        vendor = self._vendors[incoming.vendor]
        account = self._settings.account(incoming.vendor, incoming.account)
        if account is None:
            raise KeyError(incoming.account)
        try:
            verified = vendor.verify(incoming, account)
        except RefusedDelivery as exc:
            if self._on_refusal is not None:
                self._on_refusal(incoming, exc)
            raise
        return Receipt(accepted=self._keeper.keep(entry_of(incoming, verified, vendor, account)), verified=verified)


def entry_of(incoming: Incoming, verified: Verified, vendor: Vendor, account: Account) -> Entry:
    """Return the delivery as it is kept: quarantined at once where it is plain that it can't be read."""
    delivery = Delivery(
        id=new_id("dlv"),
        account=incoming.account,
        vendor=incoming.vendor,
        door=incoming.door,
        received_at=incoming.received_at,
        headers=_useful(incoming.headers),
        body=incoming.body,
    )
    try:
        read(delivery, vendor, account)
    except UnreadableDelivery as exc:
        return Entry(delivery=delivery, keys=verified.keys, state=tables.QUARANTINED, reason=str(exc))
    except Exception:
        # A bug in reading must not cost the delivery: processing meets it again, and says so.
        _log.exception("reading failed at the door", extra={"delivery": delivery.id})
    return Entry(delivery=delivery, keys=verified.keys)


def read(delivery: Delivery, vendor: Vendor, account: Account | None) -> Sequence[Event]:
    """Tell what a delivery means; raise UnreadableDelivery with what would have to be mended."""
    if account is None:
        raise UnreadableDelivery(
            f"account {delivery.account} of vendor {delivery.vendor} is not configured any more; "
            "put it back into reelhook.toml and replay"
        )
    events = vendor.read(delivery)
    for event in events:
        app_id = event.task.app_id if event.task else None
        if account.app_ids and app_id is not None and app_id not in account.app_ids:
            raise UnreadableDelivery(
                f"app id {app_id} is not among app_ids of account {account.name}; add it there and replay"
            )
    return events


def _useful(headers: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    size = 0
    for name, value in headers.items():
        size += len(name) + len(value)
        if name.lower() not in _DROPPED and size <= _MOST_HEADERS:
            kept[name.lower()] = value
    return kept
