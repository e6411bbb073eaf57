"""Which actions go into one call: each by itself, or those of a batch.

1. A batch goes as soon as it is full; else with what there is, once the first of it has waited for long enough.
2. What waits for its next try joins none before its time.
3. It holds no more bytes than the other side takes in one message; what has more by itself goes alone.
4. The actions of a batch are claimed, begun, settled and lost one by one: each has its own attempts, tries and states.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import text

from handlers.destinations import OPERATIONS
from handlers.tables import actions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection, RowMapping, TextClause

    from handlers.actions.channels import Channel
    from handlers.actions.planned import Claimed

Call = TypeVar("Call")
Result = TypeVar("Result")

#: most actions that one transaction writes down, unless one batch has more; on SQLite others wait meanwhile
_MOST_AT_ONCE: Final = 128

#: bytes that a CloudEvent has beside what it tells
_ENVELOPE: Final = 300
_COLUMNS: Final = ", ".join(name for name in actions.c.keys())  # noqa: SIM118 - it is no mapping of its own
_DUE: Final = (
    f"SELECT {_COLUMNS} FROM actions WHERE stage = 'ready' AND channel = :channel AND due_at <= :now"  # noqa: S608 - names only
    " ORDER BY channel, due_at, id LIMIT :most"
)
_GATHERED: Final = (
    f"SELECT {_COLUMNS} FROM actions WHERE stage = 'ready' AND tries = 0 AND batch_max IS NOT NULL"  # noqa: S608 - names only
    " AND channel = :channel AND batch_max = :size AND due_at > :now ORDER BY channel, batch_max, due_at, id"
    " LIMIT :most"
)


def affordable(due: Iterable[Channel], most: int) -> list[Channel]:
    """Leave out channels that make batches, once those before them may take `most` actions; the first is kept."""
    kept, left = [], most
    for one in due:
        if one.batch_max is None or left > 0:
            kept.append(one)
            left -= one.batch_max or 0
    return kept


def choose(
    connection: Connection, channel: Channel, most: int, *, now: int, fits: Callable[[RowMapping], bool]
) -> list[list[RowMapping]]:
    """Return the rows of the next calls, at most so many, and lock them where there are others; `now` in milliseconds.

    What doesn't fit is left out. Those of a batch stand in the order of their events.
    """
    if channel.batch_max is None:
        return [[row] for row in _rows(connection, _DUE, channel, now, most) if fits(row)]
    wanted = most * channel.batch_max
    rows = _rows(connection, _DUE, channel, now, wanted)
    if len(rows) < wanted:
        rows = [*rows, *_rows(connection, _GATHERED, channel, now, wanted - len(rows))]
    return [
        sorted(some, key=lambda row: str(row["turn"]))
        for some, is_full in _divided([row for row in rows if fits(row)], channel)
        # Those that are due stand first: where the first of a batch isn't, none is.
        if is_full or some[0]["due_at"] <= now
    ]


def members(held: Iterable[Claimed]) -> list[Claimed]:
    """Return the actions in hand one by one."""
    return [one for call in held for one in call.members]


def in_portions(
    calls: Sequence[Call], write: Callable[[Sequence[Call]], Sequence[Result]], *, size: Callable[[Call], int]
) -> list[Result | Exception]:
    """Write calls down in transactions that none has to wait long for; the error of one is no other's."""
    results: list[Result | Exception] = []
    for some in _portions(calls, size):
        try:
            results += write(some)
        except Exception as exc:  # noqa: BLE001 - each waiting thread gets it
            results += [exc] * len(some)
    return results


def _portions(calls: Sequence[Call], size: Callable[[Call], int]) -> Iterator[list[Call]]:
    portion: list[Call] = []
    total = 0
    for one in calls:
        if portion and total + size(one) > _MOST_AT_ONCE:
            yield portion
            portion, total = [], 0
        portion.append(one)
        total += size(one)
    if portion:
        yield portion


def _rows(connection: Connection, query: str, channel: Channel, now: int, most: int) -> Sequence[RowMapping]:
    values: dict[str, Any] = {"channel": channel.text, "size": channel.batch_max, "now": now, "most": most}
    return connection.execute(_locking(query, connection.dialect.name == "sqlite"), values).mappings().all()


# On SQLite whoever writes is alone.
@cache
def _locking(query: str, is_sqlite: bool) -> TextClause:  # noqa: FBT001 - a key of the cache
    return text(query if is_sqlite else f"{query} FOR UPDATE SKIP LOCKED")


def _divided(rows: Sequence[RowMapping], channel: Channel) -> Iterator[tuple[Sequence[RowMapping], bool]]:
    """Yield batches, and whether another action would have been too many."""
    most_bytes = OPERATIONS[channel.operation].most_bytes if channel.operation in OPERATIONS else None
    batch: list[RowMapping] = []
    size = 0
    for row in rows:
        own = _bytes_of(row)
        if len(batch) == channel.batch_max or (batch and most_bytes is not None and size + own > most_bytes):
            yield batch, True
            batch, size = [], 0
        batch.append(row)
        size += own
    if batch:
        yield batch, len(batch) == channel.batch_max


def _bytes_of(row: RowMapping) -> int:
    """Return no less than what the action adds to a message: what it tells, or the body that its rule gives."""
    return _ENVELOPE + len((row["told"] or "").encode()) + len((row["parameters"] or "").encode())
