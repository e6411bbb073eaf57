"""How a change is told to a destination: as JSON, and in the envelope of a CloudEvent (cloudevents.io, version 1.0)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from handlers.moments import to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

#: the JSON Schema of such an event, and its name, which is no address: who gets an event may not reach us
SCHEMA: Final = Path(__file__).with_name("cloudevent.schema.json")
SCHEMA_ID: Final = "urn:reelhook:cloudevent:v1"
_VIEWS = ("event", "task", "recording", "segment")


class ChangeLike(Protocol):
    """What is told of a change; handlers.rules.Change is one."""

    @property
    def name(self) -> str:
        """One of handlers.events.KINDS."""

    @property
    def subject(self) -> str:
        """The id of what it is about."""

    @property
    def vendor(self) -> str:
        """Whose event it was."""

    @property
    def account(self) -> str:
        """The name of the account."""

    @property
    def at(self) -> int:
        """When it happened, milliseconds UTC."""

    @property
    def delivery(self) -> str:
        """The id of what arrived."""

    @property
    def event(self) -> Mapping[str, Any]:
        """The event's view."""

    @property
    def task(self) -> Mapping[str, Any] | None:
        """The task's view."""

    @property
    def recording(self) -> Mapping[str, Any] | None:
        """The recording's view."""

    @property
    def segment(self) -> Mapping[str, Any] | None:
        """The segment's view."""


def tell(change: ChangeLike) -> dict[str, Any]:
    """Return the change as JSON that can be kept with its action: times are texts, views that it lacks are null."""
    told: dict[str, Any] = {
        "change": change.name,
        "subject": change.subject,
        "vendor": change.vendor,
        "account": change.account,
        "at": to_text(change.at),
        "delivery": change.delivery,
    }
    return told | {name: _with_times(getattr(change, name)) for name in _VIEWS}


def cloud_event(action: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `tell` said as a CloudEvent; its id is the action's, the same at every try."""
    return {
        "specversion": "1.0",
        "id": action,
        "source": f"/accounts/{told['vendor']}/{told['account']}",
        "type": f"reelhook.{told['change']}.v1",
        "subject": told["subject"],
        "time": told["at"],
        "datacontenttype": "application/json",
        "dataschema": f"{SCHEMA_ID}#/properties/data",
        "data": dict(told),
    }


def _with_times(view: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if view is None:
        return None
    return {name: to_text(value) if _is_time(name, value) else value for name, value in view.items()}


def _is_time(name: str, value: object) -> bool:
    return (name == "at" or name.endswith("_at")) and isinstance(value, int)
