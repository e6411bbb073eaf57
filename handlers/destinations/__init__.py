"""Operations that are no vendor's: how a change is handed over to the user's own processing."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from handlers.destinations import aws, celery, http, mns, python
from handlers.destinations.handover import DestinationOperation, Handover
from handlers.destinations.means import Means
from handlers.destinations.outcomes import hide, unanswered
from handlers.destinations.sending import ANYWHERE, NoAnswer, Sender
from handlers.destinations.telling import cloud_event, tell
from handlers.errors import SettingsError
from handlers.operation import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.settings import Destination

__all__ = [
    "ANYWHERE",
    "OPERATIONS",
    "DestinationOperation",
    "Handover",
    "Means",
    "NoAnswer",
    "Sender",
    "cloud_event",
    "hand_over",
    "hide",
    "tell",
    "unanswered",
]

#: every operation, by the name that rules write
OPERATIONS: Mapping[str, DestinationOperation] = MappingProxyType(
    {
        "http.post": http.POST,
        "http.forward": http.FORWARD,
        "sqs.send": aws.SEND,
        "sns.publish": aws.PUBLISH,
        "mns.send": mns.SEND,
        "mns.publish": mns.PUBLISH,
        "celery.send": celery.SEND,
        "python.call": python.CALL,
    }
)


def hand_over(operation: str, handover: Handover, destination: Destination, means: Means) -> Outcome:
    """Make one try and tell what became of it; what the settings forbid or lack is given up, with the reason."""
    known = OPERATIONS[operation]
    if known.kind != destination.kind:
        what = f"the destination {destination.name} is of kind {destination.kind}; {operation} needs {known.kind}"
        return Outcome(verdict="give_up", detail=what, meaning="mend the rule's `to`, or the destination")
    try:
        return known.perform(handover, destination, means)
    except SettingsError as exc:
        return Outcome(verdict="give_up", detail=str(exc), meaning="the settings don't let it be handed over")
