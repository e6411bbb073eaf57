"""One call of a vendor's API by hand: written, completed and checked as a rule's, planned, and followed to its end."""

from __future__ import annotations

from handlers.actions.planned import BY_HAND as RULE
from handlers.by_hand.planning import plan_by_hand
from handlers.by_hand.standing import Standing, hindrances, standing
from handlers.by_hand.wanted import Wanted, find_operation, names_of_operations, shown, want
from handlers.by_hand.written import read_object, read_parameters

__all__ = [
    "RULE",
    "Standing",
    "Wanted",
    "find_operation",
    "hindrances",
    "names_of_operations",
    "plan_by_hand",
    "read_object",
    "read_parameters",
    "shown",
    "standing",
    "want",
]
