"""Gathers what rules may name: the vendors' operations and the destinations', and what is configured."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from handlers.rules.model import Known
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.rules.model import OperationLike
    from handlers.settings import Settings


def vendor_operations() -> dict[str, OperationLike]:
    """Return every call of every vendor, by the name that rules write."""
    return {
        f"{vendor.name}.{name}": operation
        for vendor in VENDORS.values()
        for name, operation in vendor.operations.items()
    }


def known_of(settings: Settings, destinations: Mapping[str, OperationLike]) -> Known:
    """Return what the rules of this configuration may name; `destinations` are the operations that are no vendor's."""
    return Known(
        operations=MappingProxyType(vendor_operations() | dict(destinations)),
        vendors=tuple(VENDORS),
        accounts=tuple(settings.accounts),
        destinations={name: destination.kind for name, destination in settings.destinations.items()},
    )
