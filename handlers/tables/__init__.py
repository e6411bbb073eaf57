"""The tables, as SQLAlchemy sees them; migrations/ is what makes them.

Times and durations are integers in milliseconds (UTC). Text is compared byte for byte on every engine.
There are no foreign keys: a delivery is written on the hot path, and retention differs by table.
"""

from __future__ import annotations

from handlers.tables.actions import actions, attempts, once_keys, quotas, sequences, switches
from handlers.tables.catalogue import (
    events,
    identifiers,
    marks,
    recording_streams,
    recordings,
    segments,
    sightings,
    tasks,
)
from handlers.tables.inbox import KEPT, PROCESSED, QUARANTINED, deliveries, hands, inbox, meters, refusals, seen
from handlers.tables.metadata import Words, metadata
from handlers.tables.rules import name_givers, rule_books, rule_figures, rule_texts

__all__ = [
    "KEPT",
    "PROCESSED",
    "QUARANTINED",
    "Words",
    "actions",
    "attempts",
    "deliveries",
    "events",
    "hands",
    "identifiers",
    "inbox",
    "marks",
    "metadata",
    "meters",
    "name_givers",
    "once_keys",
    "quotas",
    "recording_streams",
    "recordings",
    "refusals",
    "rule_books",
    "rule_figures",
    "rule_texts",
    "seen",
    "segments",
    "sequences",
    "sightings",
    "switches",
    "tasks",
]
