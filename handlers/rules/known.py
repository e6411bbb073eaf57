"""Gathers what rules may name: the vendors' operations and the destinations', and what is configured."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from handlers.destinations import OPERATIONS
from handlers.rules.model import Known
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from handlers.rules.model import OperationLike
    from handlers.settings import Settings


def vendor_operations() -> dict[str, OperationLike]:
    """Return every call of every vendor, by the name that rules write."""
    return {
        f"{vendor.name}.{name}": operation
        for vendor in VENDORS.values()
        for name, operation in vendor.operations.items()
    }


def every_operation() -> dict[str, OperationLike]:
    """Return all that a rule can do, vendors' calls first."""
    return vendor_operations() | dict(OPERATIONS)


def known_of(settings: Settings) -> Known:
    """Return what the rules of this configuration may name."""
    return Known(
        operations=MappingProxyType(every_operation()),
        vendors=tuple(VENDORS),
        accounts=tuple(settings.accounts),
        destinations={name: destination.kind for name, destination in settings.destinations.items()},
        ordered=frozenset(name for name, destination in settings.destinations.items() if destination.ordered),
    )
