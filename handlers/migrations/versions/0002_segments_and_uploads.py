"""Segments, the uploads and states that vendors tell of runs, and a way past a crowd of segments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Words = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Apply the change; what the previous version reads and writes goes on working."""
    op.create_table(
        "identifiers",
        sa.Column("vendor", Words, nullable=False),
        sa.Column("app_id", Words, nullable=False),
        sa.Column("room_id", Words, nullable=False),
        sa.Column("type", Words, nullable=False),
        sa.Column("task_id", Words, nullable=False),
        sa.Column("identifier", Words, nullable=False),
        sa.Column("task", Words, nullable=False),
        sa.Column("account", Words, nullable=False),
        sa.Column("business_id", Words, nullable=True),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("segment_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("vendor", "app_id", "room_id", "type", "task_id", "identifier"),
    )
    op.create_table(
        "segments",
        sa.Column("id", Words, nullable=False),
        sa.Column("task", Words, nullable=False),
        sa.Column("identifier", Words, nullable=False),
        sa.Column("locator", Words, nullable=False),
        sa.Column("vendor", Words, nullable=False),
        sa.Column("account", Words, nullable=False),
        sa.Column("app_id", Words, nullable=False),
        sa.Column("business_id", Words, nullable=True),
        sa.Column("room_id", Words, nullable=False),
        sa.Column("task_id", Words, nullable=False),
        sa.Column("bucket", Words, nullable=True),
        sa.Column("region", Words, nullable=True),
        sa.Column("key", Words, nullable=True),
        sa.Column("user_id", Words, nullable=True),
        sa.Column("streams", Words, nullable=False),
        sa.Column("mixed", sa.Boolean(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("media", Words, nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("delivery", Words, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", Words, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("segments_account", "segments", ["account", "id"], unique=False)
    op.create_index("segments_name", "segments", ["task", "identifier", "locator"], unique=True)
    op.create_index("segments_room", "segments", ["room_id", "id"], unique=False)
    op.create_index("segments_started_at", "segments", ["started_at"], unique=False)
    op.create_index("segments_user", "segments", ["user_id", "id"], unique=False)
    op.add_column("inbox", sa.Column("is_bulk", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        "inbox_urgent",
        "inbox",
        ["delivery"],
        unique=False,
        sqlite_where=sa.text("state = 'kept' AND NOT is_bulk"),
        postgresql_where=sa.text("state = 'kept' AND NOT is_bulk"),
    )
    op.add_column("marks", sa.Column("state", Words, nullable=True))
    op.add_column("marks", sa.Column("begins", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("marks", sa.Column("upload", Words, nullable=True))
    op.add_column("marks", sa.Column("progress", sa.Integer(), nullable=True))
    op.add_column("recordings", sa.Column("available", sa.Boolean(), nullable=True))
