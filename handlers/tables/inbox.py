"""What arrived, how far it has come, and what was turned away; who works on it, and the figures of the work."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, false, text

from handlers.tables.metadata import Words, metadata

KEPT = "kept"
PROCESSED = "processed"
QUARANTINED = "quarantined"

#: what arrived, never changed
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Words, primary_key=True),
    Column("account", Words, nullable=False),
    Column("vendor", Words, nullable=False),
    Column("door", Words, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    #: the first of its seen keys: repeats are counted there
    Column("seen_key", Words, nullable=False),
    #: a JSON object, as bytes: a header may hold what a text column refuses
    Column("headers", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("deliveries_account", "account", "id"),
    Index("deliveries_received_at", "received_at"),
)

#: how far a delivery has come
inbox = Table(
    "inbox",
    metadata,
    Column("delivery", Words, primary_key=True),
    Column("state", Words, nullable=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("reason", Words),
    Column("processed_at", BigInteger),
    #: it tells of nothing but segments, of which there may be thousands in a second: whatever else waits goes first
    Column("is_bulk", Boolean, nullable=False, server_default=false()),
    #: rules are not asked about what it changes: it was processed before, or is of old
    Column("is_silent", Boolean, nullable=False, server_default=false()),
    Index(
        "inbox_urgent",
        "delivery",
        sqlite_where=text("state = 'kept' AND NOT is_bulk"),
        postgresql_where=text("state = 'kept' AND NOT is_bulk"),
    ),
    Index(
        "inbox_kept",
        "delivery",
        sqlite_where=text("state = 'kept'"),
        postgresql_where=text("state = 'kept'"),
    ),
    Index(
        "inbox_quarantined",
        "delivery",
        sqlite_where=text("state = 'quarantined'"),
        postgresql_where=text("state = 'quarantined'"),
    ),
)

#: the names under which a delivery would come again; outlives the delivery
seen = Table(
    "seen",
    metadata,
    Column("account", Words, primary_key=True),
    Column("seen_key", Words, primary_key=True),
    Column("delivery", Words, nullable=False),
    Column("repeats", Integer, nullable=False, server_default=text("0")),
    sqlite_with_rowid=False,
)

#: what was turned away, within a byte budget; what was set aside has one of its own, and is never pushed out
refusals = Table(
    "refusals",
    metadata,
    Column("id", Words, primary_key=True),
    Column("account", Words, nullable=False),
    Column("vendor", Words, nullable=False),
    Column("door", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("headers", LargeBinary, nullable=False),
    #: whole where it could be released; else null
    Column("body", LargeBinary),
    Column("size_bytes", Integer, nullable=False),
    #: the delivery that it became
    Column("released", Words),
    #: names the message of a queue, which was deleted there; null otherwise, and once it is released
    Column("set_aside", Words),
    Index("refusals_budget", "account", "reason", "vendor", "id"),
    Index(
        "refusals_set_aside",
        "vendor",
        "account",
        "set_aside",
        "size_bytes",
        sqlite_where=text("set_aside IS NOT NULL"),
        postgresql_where=text("set_aside IS NOT NULL"),
    ),
    Index(
        "refusals_trimmed",
        "account",
        "reason",
        "vendor",
        "id",
        "size_bytes",
        sqlite_where=text("set_aside IS NULL"),
        postgresql_where=text("set_aside IS NULL"),
    ),
)

#: what a worker has in hand, so that a delivery that kills it can be told
hands = Table(
    "hands",
    metadata,
    Column("worker", Words, primary_key=True),
    Column("host", Words, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
    #: a JSON list of delivery ids
    Column("deliveries", Words, nullable=False),
)

#: figures of the workers, which every web process shows
meters = Table(
    "meters",
    metadata,
    Column("name", Words, primary_key=True),
    Column("label", Words, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
