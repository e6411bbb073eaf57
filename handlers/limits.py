"""How far apart calls are by the settings of now, whatever those said when the calls were planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.actions.planned import interval_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.actions.channels import Channel
    from handlers.settings import Settings
    from handlers.vendor import Vendor


class Limits:
    """The limits that the settings and the vendors' operations name."""

    def __init__(self, settings: Settings, vendors: Mapping[str, Vendor]) -> None:
        """Take what knows accounts and destinations, and what knows the vendors' operations."""
        self._settings = settings
        self._vendors = vendors

    def interval_us(self, channel: Channel) -> int | None:
        """Return the microseconds between two calls of a channel; None: it has no limit.

        Of what is not configured any more the limit stays as it was planned.
        """
        if channel.destination is not None:
            destination = self._settings.destinations.get(channel.destination)
            return channel.interval_us if destination is None else interval_of(destination.rate)
        vendor, _, name = channel.operation.partition(".")
        operation = self._vendors[vendor].operations.get(name) if vendor in self._vendors else None
        own_vendor, _, account_name = channel.account.partition("/")
        account = self._settings.accounts.get((own_vendor, account_name))
        if operation is None or account is None:
            return channel.interval_us
        return interval_of(account.limits.get(operation.name, operation.limit))
