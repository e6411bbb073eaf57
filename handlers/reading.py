"""What a delivery means under today's settings: read by its vendor, checked, and completed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from handlers.errors import UnreadableDelivery
from handlers.storage.resolve import region_of, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handlers.events import Delivery, Event
    from handlers.settings import Account, Settings
    from handlers.vendor import Vendor


def meaning(delivery: Delivery, settings: Settings, vendors: Mapping[str, Vendor]) -> Sequence[Event]:
    """Return the delivery's events, with what the settings add; raise UnreadableDelivery as read does."""
    vendor = vendors.get(delivery.vendor)
    if vendor is None:
        raise UnreadableDelivery(f"this version of Reelhook knows no vendor {delivery.vendor}")
    events = read(delivery, vendor, settings.account(delivery.vendor, delivery.account))
    return [_located(event, delivery, settings) for event in events]


def read(delivery: Delivery, vendor: Vendor, account: Account | None) -> Sequence[Event]:
    """Tell what a delivery means; raise UnreadableDelivery with what would have to be mended."""
    if account is None:
        raise UnreadableDelivery(
            f"account {delivery.account} of vendor {delivery.vendor} is not configured any more; "
            "put it back into reelhook.toml, restart, then `reelhook replay`"
        )
    events = vendor.read(delivery)
    for event in events:
        app_id = event.task.app_id if event.task else None
        if account.app_ids and app_id is not None and app_id not in account.app_ids:
            raise UnreadableDelivery(
                f"app id {app_id} is not among app_ids of account {account.name}; "
                "add it there, restart, then `reelhook replay`"
            )
    return events


def is_all_segments(events: Sequence[Event]) -> bool:
    """Tell a delivery of which thousands may come in a second, and nobody waits for."""
    return bool(events) and all(event.segment is not None for event in events)


def _located(event: Event, delivery: Delivery, settings: Settings) -> Event:
    """Fill in from the settings where a file or segment lies, where its delivery does not tell."""
    if event.segment is not None:
        region = region_of(event.segment.bucket, tuple(settings.storages.values()))
        if event.segment.region is not None or region is None:
            return event
        return replace(event, segment=replace(event.segment, region=region), as_told=event.fingerprint())
    if event.recording is None or event.task is None:
        return event
    storages = tuple(settings.storages.values())
    found = resolve(event.recording, event.task, delivery.account, storages, event.business_id)
    return event if found == event.recording else replace(event, recording=found, as_told=event.fingerprint())
