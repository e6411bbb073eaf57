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
from handlers.errors import SettingsError, WrongRequest
from handlers.operation import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

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
    "unfit_for",
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


def unfit_for(operation: str, destination: Destination, given: Collection[str]) -> Iterator[tuple[bool, str]]:
    """Yield what will keep a rule's calls from a destination, and whether it does on every machine; calls nobody.

    `given` names the parameters that the rule gives. What may be missing on this machine alone is no fault of the rule.
    """
    known = OPERATIONS[operation]
    if known.kind == destination.kind:
        if (reason := known.unfit(destination, given)) is not None:
            yield True, reason
        if (reason := known.missing(destination)) is not None:
            yield False, reason


def hand_over(operation: str, handover: Handover, destination: Destination, means: Means) -> Outcome:
    """Make one try and tell what became of it.

    What the settings forbid or lack is tried again, for they can be mended meanwhile, or another machine may have what
    this one lacks; what can't be handed over whatever they say is given up.
    """
    known = OPERATIONS[operation]
    if known.kind != destination.kind:
        what = f"the destination {destination.name} is of kind {destination.kind}; {operation} needs {known.kind}"
        return Outcome(verdict="give_up", detail=what, meaning="mend the rule's `to`, or the destination")
    try:
        return known.perform(handover, destination, means)
    except SettingsError as exc:
        return Outcome(verdict="again", detail=str(exc), meaning="it can be handed over once the settings are mended")
    except WrongRequest as exc:
        return Outcome(verdict="give_up", detail=str(exc), meaning="it can't be handed over any more")
