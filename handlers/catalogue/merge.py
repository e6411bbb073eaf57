"""What a recording is, given everything that was ever said of it: one rule for each field.

A recording is computed from the set of its sightings, never from the order in which they came, so folding
commutes: "latest" is the greatest by (event time, fingerprint, position), not the last to arrive.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handlers.events import Recording, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ANNOUNCED = "announced"
AVAILABLE = "available"


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What one event of one delivery said of a recording."""

    delivery: str
    position: int
    door: str
    account: str
    received_at: int
    at: int
    fingerprint: str
    business_id: str | None
    recording: Recording

    @property
    def place(self) -> tuple[str, int]:
        """Return which event of which delivery said it."""
        return (self.delivery, self.position)

    @property
    def stamp(self) -> tuple[int, str, int, str, str]:
        """Return what "latest" goes by; where the vendor said the same twice, the settings may differ by account."""
        return (self.at, self.fingerprint, self.position, self.account, self.delivery)


def latest(told: Sequence[Any]) -> Any:  # noqa: ANN401 - any value
    """Take the word of the greatest stamp among those that say anything."""
    return told[-1] if told else None


def least(told: Sequence[Any]) -> Any:  # noqa: ANN401 - any value
    """Take the smallest value."""
    return min(told, default=None)


def greatest(told: Sequence[Any]) -> Any:  # noqa: ANN401 - any value
    """Take the largest value."""
    return max(told, default=None)


def union(told: Sequence[Any]) -> Any:  # noqa: ANN401 - any value
    """Take every member of every set, sorted."""
    return tuple(sorted({member for members in told for member in members}, key=str))


def overlay(told: Sequence[Any]) -> Any:  # noqa: ANN401 - any value
    """Take, for each name, the latest value."""
    merged: dict[str, Any] = {}
    for names in told:
        merged.update(names)
    return dict(sorted(merged.items()))


#: field of a recording -> how what the sightings say of it becomes one value
RULES: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "account": least,
    "business_id": latest,
    "url": latest,
    "storage": latest,
    "bucket": latest,
    "region": latest,
    "key": latest,
    "vid": latest,
    "format": latest,
    "streams": union,
    "mixed": latest,
    "started_at": least,
    "ended_at": greatest,
    "duration_ms": latest,
    "size_bytes": latest,
    "media": overlay,
    "available": greatest,
    "first_seen_at": least,
}


def merge(sightings: Sequence[Sighting]) -> dict[str, Any]:
    """Return the columns of a recording that its sightings determine."""
    ordered = sorted(sightings, key=lambda sighting: sighting.stamp)
    words = [_words(sighting) for sighting in ordered]
    if len(words) == 1:  # nearly always, hence worth a shorter road to the same
        said = words[0]
        values = {field: rule([] if said[field] is None else [said[field]]) for field, rule in RULES.items()}
    else:
        values = {
            field: rule([said[field] for said in words if said[field] is not None]) for field, rule in RULES.items()
        }
    values["state"] = AVAILABLE if values["available"] else ANNOUNCED
    values["media"] = json.dumps(values["media"], sort_keys=True, ensure_ascii=False)
    values["sightings"] = len({sighting.delivery for sighting in ordered})
    return values


def _words(sighting: Sighting) -> dict[str, Any]:
    """Return what the sighting says, by field."""
    return vars(sighting.recording) | {
        "account": sighting.account,
        "business_id": sighting.business_id,
        "first_seen_at": sighting.received_at,
    }


def to_facts(sighting: Sighting) -> str:
    """Return what the sighting says, as the JSON text that is stored with it."""
    # Not asdict(), which copies every value: a worker spent a tenth of its time there.
    told = vars(sighting.recording).items()
    said = {name: value for name, value in told if value is not None and value not in ((), {})}
    if sighting.recording.streams:
        said["streams"] = [vars(stream) for stream in sighting.recording.streams]
    if sighting.business_id is not None:
        said["business_id"] = sighting.business_id
    return json.dumps(said, sort_keys=True, ensure_ascii=False)


def from_facts(text: str) -> tuple[Recording, str | None]:
    """Return the recording and the business id that to_facts wrote."""
    said = json.loads(text)
    business_id = said.pop("business_id", None)
    streams = tuple(Stream(**stream) for stream in said.pop("streams", ()))
    return Recording(streams=streams, **said), business_id
