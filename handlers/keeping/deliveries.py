"""How a delivery is kept: once, under a unique key, in the transaction that makes the answer true."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, text, tuple_, update

from handlers import tables
from handlers.events import Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, RowMapping
    from sqlalchemy.engine.interfaces import DBAPICursor

    from handlers.database import Database


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A verified delivery on its way into the database."""

    delivery: Delivery
    #: the names under which it would come again, the first being its own
    keys: tuple[str, ...]
    #: kept, or quarantined where it is plain at the door that it can't be read
    state: str = tables.KEPT
    reason: str | None = None
    #: it tells of nothing but segments: whatever else waits is processed first
    is_bulk: bool = False


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What became of a delivery; whatever it says, the delivery is durable."""

    #: the id of the delivery as kept; of a repeat, the id of what came first
    delivery: str
    is_repeat: bool = False
    #: kept in the spool, because the database did not answer
    is_spooled: bool = False
    #: why it is quarantined
    quarantined: str | None = None


def keep(database: Database, connection: Connection, entries: Sequence[Entry]) -> list[Accepted]:
    """Keep the entries, once each, and tell what became of them, in their order.

    On SQLite the caller holds the write transaction; on PostgreSQL the connection is in autocommit, and one
    statement is the transaction. An entry whose own id was kept before (its answer got lost) is no repeat.
    """
    insert = _keep_on_sqlite if database.is_sqlite else _keep_on_postgres
    fresh = insert(connection, entries)
    first = _count_repeats(connection, [entry for entry in entries if entry.delivery.id not in fresh])
    return [_accepted(entry, first.get(entry.delivery.id, entry.delivery.id)) for entry in entries]


def _accepted(entry: Entry, first: str) -> Accepted:
    if first != entry.delivery.id:
        return Accepted(delivery=first, is_repeat=True)
    return Accepted(delivery=first, quarantined=entry.reason if entry.state == tables.QUARANTINED else None)


_SEEN = ("seen", ("account", "seen_key", "delivery"))
_DELIVERIES = ("deliveries", ("id", "account", "vendor", "door", "received_at", "headers", "body", "seen_key"))
_INBOX = ("inbox", ("delivery", "state", "reason", "is_bulk"))
#: rows of one statement: SQLite's oldest limit is 999 values
_ROWS = 100
#: entries whose keys are noted by one statement; most have one key
_TOGETHER = 64


def _keep_on_sqlite(connection: Connection, entries: Sequence[Entry]) -> set[str]:
    """Insert what is new, through the driver: these statements run under the write lock.

    Each is one for all entries: between two of them this thread may wait for every other one of the process.
    """
    cursor = connection.connection.cursor()
    fresh = _note_on_sqlite(cursor, entries)
    _insert_on_sqlite(cursor, _DELIVERIES, [tuple(_delivery_row(entry).values()) for entry in fresh])
    boxed = [(entry.delivery.id, entry.state, entry.reason, entry.is_bulk) for entry in fresh]
    _insert_on_sqlite(cursor, _INBOX, boxed)
    return {entry.delivery.id for entry in fresh}


def _note_on_sqlite(cursor: DBAPICursor, entries: Sequence[Entry]) -> list[Entry]:
    """Note the keys of the entries as seen; return those of which none was noted before."""
    fresh: list[Entry] = []
    for start in range(0, len(entries), _TOGETHER):
        some = entries[start : start + _TOGETHER]
        rows = [_seen_rows(entry) for entry in some]
        together = [row for own in rows for row in own]
        if len(together) <= _ROWS:
            with suppress(sqlite3.IntegrityError):  # takes back the whole statement, and only that
                _insert_on_sqlite(cursor, _SEEN, together)
                fresh += some
                continue
        for entry, own in zip(some, rows, strict=True):
            inserted = sum(cursor.execute(f"{_values(_SEEN, 1)} ON CONFLICT DO NOTHING", row).rowcount for row in own)
            if inserted == len(own):
                fresh.append(entry)
    return fresh


def _seen_rows(entry: Entry) -> list[tuple[str, str, str]]:
    return [(entry.delivery.account, key, entry.delivery.id) for key in entry.keys]


def _insert_on_sqlite(
    cursor: DBAPICursor, place: tuple[str, tuple[str, ...]], rows: Sequence[tuple[object, ...]]
) -> None:
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        cursor.execute(_values(place, len(some)), tuple(value for row in some for value in row))


@cache
def _values(place: tuple[str, tuple[str, ...]], count: int) -> str:
    table, names = place
    row = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * count)}"  # noqa: S608 - the names above


def _delivery_row(entry: Entry) -> dict[str, Any]:
    return row_of(entry.delivery) | {"seen_key": entry.keys[0]}


def row_of(delivery: Delivery) -> dict[str, Any]:
    """Return the columns in which a delivery is stored, in the database as in the spool; see to_delivery."""
    return {
        "id": delivery.id,
        "account": delivery.account,
        "vendor": delivery.vendor,
        "door": delivery.door,
        "received_at": delivery.received_at,
        "headers": pack_headers(delivery.headers),
        "body": delivery.body,
    }


_KEEP = text("""
WITH arrived AS (
    SELECT * FROM json_to_recordset(:arrived) AS a (
        id text, account text, vendor text, door text, received_at bigint, seen_key text, headers text, body text,
        state text, reason text, is_bulk boolean, keys int)
), fresh AS (
    INSERT INTO seen (account, seen_key, delivery)
    SELECT account, seen_key, delivery
    FROM json_to_recordset(:keys) AS k (account text, seen_key text, delivery text)
    ORDER BY account, seen_key, delivery
    ON CONFLICT DO NOTHING
    RETURNING delivery
), new AS (
    SELECT a.* FROM arrived a WHERE a.keys = (SELECT count(*) FROM fresh f WHERE f.delivery = a.id)
), kept AS (
    INSERT INTO deliveries (id, account, vendor, door, received_at, seen_key, headers, body)
    SELECT id, account, vendor, door, received_at, seen_key, decode(headers, 'base64'), decode(body, 'base64') FROM new
), boxed AS (
    INSERT INTO inbox (delivery, state, reason, is_bulk) SELECT id, state, reason, is_bulk FROM new
)
SELECT id FROM new
""")


def _keep_on_postgres(connection: Connection, entries: Sequence[Entry]) -> set[str]:
    """Insert what is new in one statement, hence one round trip: its keys are sorted, so it can't deadlock."""
    arrived = [
        _delivery_row(entry)
        | {
            "headers": base64.b64encode(pack_headers(entry.delivery.headers)).decode(),
            "body": base64.b64encode(entry.delivery.body).decode(),
            "state": entry.state,
            "reason": entry.reason,
            "is_bulk": entry.is_bulk,
            "keys": len(entry.keys),
        }
        for entry in entries
    ]
    keys = [
        {"account": entry.delivery.account, "seen_key": key, "delivery": entry.delivery.id}
        for entry in entries
        for key in entry.keys
    ]
    parameters = {"arrived": json.dumps(arrived), "keys": json.dumps(keys)}
    return {row[0] for row in connection.execute(_KEEP, parameters)}


def _count_repeats(connection: Connection, entries: Sequence[Entry]) -> dict[str, str]:
    """Add one to what each entry repeats; return the first delivery by the entry's own id."""
    if not entries:
        return {}
    seen, deliveries = tables.seen, tables.deliveries
    names = sorted({(entry.delivery.account, key) for entry in entries for key in entry.keys})
    holders = {
        (row.account, row.seen_key): row
        for row in connection.execute(
            select(seen.c.account, seen.c.seen_key, seen.c.delivery, deliveries.c.seen_key.label("own_key"))
            .join_from(seen, deliveries, deliveries.c.id == seen.c.delivery, isouter=True)
            .where(tuple_(seen.c.account, seen.c.seen_key).in_(names))
        )
    }
    first: dict[str, str] = {}
    counted = []
    for entry in entries:
        account = entry.delivery.account
        found = [holders[account, key] for key in entry.keys if (account, key) in holders]
        known = next((holder for holder in found if holder.own_key is not None), found[0] if found else None)
        if known is None or known.delivery == entry.delivery.id:
            continue
        first[entry.delivery.id] = known.delivery
        counted.append((account, known.own_key or known.seen_key))
    if counted:
        # Sorted: two processes that count the same names take the rows in the same order, and can't deadlock.
        connection.execute(
            update(seen)
            .where(seen.c.account == bindparam("its_account"), seen.c.seen_key == bindparam("its_key"))
            .values(repeats=seen.c.repeats + 1),
            [{"its_account": account, "its_key": key} for account, key in sorted(counted)],
        )
    return first


def pack_headers(headers: Mapping[str, str]) -> bytes:
    """Return the headers as they are stored."""
    return json.dumps(dict(headers), ensure_ascii=True).encode()


def unpack_headers(raw: bytes) -> dict[str, str]:
    """Return the headers as they came."""
    return dict(json.loads(raw))


def to_delivery(row: RowMapping) -> Delivery:
    """Return the delivery that a row of deliveries holds."""
    return Delivery(
        id=row["id"],
        account=row["account"],
        vendor=row["vendor"],
        door=row["door"],
        received_at=row["received_at"],
        headers=unpack_headers(row["headers"]),
        body=bytes(row["body"]),
    )
