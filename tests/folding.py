"""How tests fold what deliveries told into a catalogue, and compare catalogues whatever ids we gave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from sqlalchemy import delete, select

from handlers import catalogue, tables
from handlers.events import Delivery, Event
from handlers.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from handlers.database import Database

#: when what is folded is written, in milliseconds UTC
WRITTEN_AT = 1_600_000_000_000
#: what differs between two orders of the same deliveries: our ids, when we wrote, and which event told a change
_OURS = {"id", "task", "recording", "updated_at", "changes"}
#: the catalogue's tables
_TABLES = (
    tables.tasks,
    tables.recordings,
    tables.recording_streams,
    tables.sightings,
    tables.events,
    tables.marks,
    tables.identifiers,
    tables.segments,
)


def told_of(drawn: Sequence[tuple[Sequence[Event], int, str]]) -> list[list[catalogue.Told]]:
    """Give each delivery an id and turn its events into what is folded."""
    result = []
    for events, received_at, door in drawn:
        delivery = Delivery(
            id=new_id("dlv"),
            account="lessons",
            vendor="aliyun",
            door=door,
            received_at=received_at,
            headers={},
            body=b"",
        )
        result.append([catalogue.Told(delivery=delivery, position=n, event=event) for n, event in enumerate(events)])
    return result


def fold(database: Database, batches: Iterable[Sequence[Sequence[catalogue.Told]]]) -> list[list[str]]:
    """Fold the batches, each in a transaction of its own; return the changes that each event told."""
    changes = []
    for batch in batches:
        with database.write() as connection:
            told = catalogue.fold(connection, [one for delivery in batch for one in delivery], now=WRITTEN_AT)
        changes += [names for _, names in sorted(told.items())]
    return changes


def rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return the catalogue by natural keys, in an order that no id decides."""
    found = {}
    with database.read() as connection:
        tasks = {row["id"]: row for row in connection.execute(select(tables.tasks)).mappings()}
        recorded = {row["id"]: row for row in connection.execute(select(tables.recordings)).mappings()}
        for table in _TABLES:
            plain = []
            for row in connection.execute(select(table)).mappings():
                kept = {name: value for name, value in row.items() if name not in _OURS}
                if "task" in row:
                    kept["run"] = tasks[row["task"]]["run"]
                if row.get("recording") is not None:
                    kept["locator"] = recorded[row["recording"]]["locator"]
                    kept["of"] = recorded[row["recording"]]["room_id"] + recorded[row["recording"]]["task_id"]
                plain.append(kept)
            found[table.name] = sorted(plain, key=lambda row: json.dumps(row, sort_keys=True, default=str))
    return found


def wipe(database: Database) -> None:
    with database.write() as connection:
        for table in _TABLES:
            connection.execute(delete(table))


def in_any_order(
    database: Database, told: Sequence[list[catalogue.Told]], data: st.DataObject
) -> tuple[list[list[str]], list[list[str]], dict[str, list[dict[str, Any]]]]:
    """Fold in two orders, the second with doubles and in batches; return the changes of both, and the equal rows."""
    wipe(database)
    first = fold(database, [[delivery] for delivery in told])
    expected = rows(database)

    again = data.draw(st.permutations([*told, *data.draw(st.lists(st.sampled_from(told), max_size=4))]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(again)), max_size=3)))
    parts = [again[start:end] for start, end in zip([0, *cuts], [*cuts, len(again)], strict=True)]
    batches = [_without_doubles(part) for part in parts if part]
    wipe(database)
    second = fold(database, batches)

    assert rows(database) == expected
    return first, second, expected


def told_times(changes: Sequence[Sequence[str]], change: str) -> int:
    return sum(names.count(change) for names in changes)


def _without_doubles(part: Sequence[list[catalogue.Told]]) -> list[list[catalogue.Told]]:
    """One batch holds a delivery once: the inbox has one row for it."""
    return list({delivery[0].delivery.id: delivery for delivery in part}.values())
