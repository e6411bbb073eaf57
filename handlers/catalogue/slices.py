"""The segments of one task name, as they are loaded, changed and written back.

A lesson has thousands of them, so a family holds only those that the events name, and of the others what each
identifier's slices span. A segment is told once; where several deliveries tell of it, the latest word stands whole.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from handlers.ids import new_id
from handlers.runs import Identifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from handlers.events import Delivery, Event, Segment

Row = dict[str, Any]
#: identifier and locator: the name of a slice inside its family
Name = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What one event of one delivery said of a segment."""

    delivery: str
    position: int
    account: str
    received_at: int
    at: int
    fingerprint: str
    business_id: str | None
    segment: Segment

    @property
    def name(self) -> Name:
        """Return the slice's name inside its family."""
        return (self.segment.identifier or "", self.segment.locator)

    @property
    def stamp(self) -> tuple[int, str, int, str]:
        """Return what "latest" goes by."""
        return (self.at, self.fingerprint, self.position, self.delivery)

    @property
    def span(self) -> tuple[int, int]:
        """Return from when to when it reaches, in milliseconds UTC."""
        start = self.at if self.segment.started_at is None else self.segment.started_at
        return start, start + (self.segment.duration_ms or 0)

    def row(self) -> Row:
        """Return the columns that it determines."""
        segment = self.segment
        return {
            "identifier": segment.identifier or "",
            "locator": segment.locator,
            "account": self.account,
            "business_id": self.business_id,
            "bucket": segment.bucket,
            "region": segment.region,
            "key": segment.key,
            "user_id": segment.streams[0].user_id if len(segment.streams) == 1 else None,
            "streams": json.dumps([vars(stream) for stream in segment.streams], ensure_ascii=False),
            "mixed": segment.mixed,
            "started_at": segment.started_at,
            "duration_ms": segment.duration_ms,
            "size_bytes": segment.size_bytes,
            "media": json.dumps(dict(segment.media), sort_keys=True, ensure_ascii=False),
            "first_seen_at": self.received_at,
            "delivery": self.delivery,
            "position": self.position,
            "at": self.at,
            "fingerprint": self.fingerprint,
        }


@dataclass(kw_only=True)
class Slices:
    """Some segments of a family, and all of its identifiers."""

    #: as stored, and as they will be
    stored: dict[Name, Row] = field(default_factory=dict)
    rows: dict[Name, Row] = field(default_factory=dict)
    stored_identifiers: dict[str, Identifier] = field(default_factory=dict)
    identifiers: dict[str, Identifier] = field(default_factory=dict)

    def put(self, told: Slice, *, afresh: bool = False) -> bool:
        """Fold a slice in; tell whether it was not known.

        An event that is told again and says something else now takes the place of what it said before; `afresh` lets it
        do so in any case, for the settings may add something else.
        """
        known = self.rows.get(told.name)
        row = told.row()
        if known is not None:
            is_same = (known["delivery"], known["position"]) == (told.delivery, told.position)
            is_again = is_same and (afresh or known["fingerprint"] != told.fingerprint)
            is_newer = told.stamp > (known["at"], known["fingerprint"], known["position"], known["delivery"])
            row = row if is_newer or is_again else dict(known)
            row |= {
                "id": known["id"],
                "task": known["task"],
                "account": min(known["account"], told.account),
                "first_seen_at": min(known["first_seen_at"], told.received_at),
            }
        self.rows[told.name] = row if known is not None else row | {"id": new_id("seg"), "task": None}
        self.hear(told, is_new=known is None)
        return known is None

    def move(self, identifiers: Iterable[Identifier], task: str) -> None:
        """Let the slices of these identifiers belong to this task."""
        for one in identifiers:
            if one.task != task:
                self.identifiers[one.name] = one.belonging_to(task)
        names = {one.name for one in identifiers}
        for (identifier, _), row in self.rows.items():
            if identifier in names:
                row["task"] = task

    def hear(self, told: Slice, *, is_new: bool) -> None:
        """Let the slice's identifier span it, and count it if it is new."""
        name, _ = told.name
        self._span(name, told.account, told.business_id, told.span, is_new=is_new)

    def hear_stored(self, row: Mapping[str, Any]) -> None:
        """Let the identifier of a stored slice span it, and count it."""
        start = row["at"] if row["started_at"] is None else row["started_at"]
        span = (start, start + (row["duration_ms"] or 0))
        self._span(row["identifier"], row["account"], row["business_id"], span, is_new=True)

    def count(self, identifier: str) -> None:
        """Count a slice of an identifier that spans it already."""
        known = self.identifiers[identifier]
        self.identifiers[identifier] = replace(known, segment_count=known.segment_count + 1)

    def _span(self, name: str, account: str, business_id: str | None, span: tuple[int, int], *, is_new: bool) -> None:
        first, last = span
        known = self.identifiers.get(name)
        self.identifiers[name] = Identifier(
            name=name,
            task=known.task if known else None,
            account=min(known.account, account) if known else account,
            business_id=_least(known.business_id if known else None, business_id),
            first_at=min(known.first_at, first) if known else first,
            last_at=max(known.last_at, last) if known else last,
            segment_count=(known.segment_count if known else 0) + is_new,
        )


def slice_of(event: Event, delivery: Delivery, position: int) -> Slice:
    """Return the event's word on its segment."""
    assert event.segment is not None, "only an event with a segment is a slice"  # noqa: S101 - a caller's bug
    return Slice(
        delivery=delivery.id,
        position=position,
        account=delivery.account,
        received_at=delivery.received_at,
        at=event.at,
        fingerprint=event.fingerprint(),
        business_id=event.business_id,
        segment=event.segment,
    )


def _least(*told: str | None) -> str | None:
    return min((one for one in told if one is not None), default=None)
