"""The first tables: deliveries, their states, and the catalogue of tasks and recordings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Words = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "deliveries",
        sa.Column("id", Words, nullable=False),
        sa.Column("account", Words, nullable=False),
        sa.Column("vendor", Words, nullable=False),
        sa.Column("door", Words, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_key", Words, nullable=False),
        sa.Column("headers", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("deliveries_account", "deliveries", ["account", "id"], unique=False)
    op.create_index("deliveries_received_at", "deliveries", ["received_at"], unique=False)
    op.create_table(
        "events",
        sa.Column("delivery", Words, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("word", Words, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("recording", Words, nullable=True),
        sa.Column("changes", Words, nullable=False),
        sa.PrimaryKeyConstraint("delivery", "position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "hands",
        sa.Column("worker", Words, nullable=False),
        sa.Column("host", Words, nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("deliveries", Words, nullable=False),
        sa.PrimaryKeyConstraint("worker"),
    )
    op.create_table(
        "inbox",
        sa.Column("delivery", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", Words, nullable=True),
        sa.Column("processed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("delivery"),
    )
    op.create_index(
        "inbox_kept",
        "inbox",
        ["delivery"],
        unique=False,
        sqlite_where=sa.text("state = 'kept'"),
        postgresql_where=sa.text("state = 'kept'"),
    )
    op.create_index(
        "inbox_quarantined",
        "inbox",
        ["delivery"],
        unique=False,
        sqlite_where=sa.text("state = 'quarantined'"),
        postgresql_where=sa.text("state = 'quarantined'"),
    )
    op.create_table(
        "marks",
        sa.Column("vendor", Words, nullable=False),
        sa.Column("app_id", Words, nullable=False),
        sa.Column("room_id", Words, nullable=False),
        sa.Column("type", Words, nullable=False),
        sa.Column("task_id", Words, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("delivery", Words, nullable=False),
        sa.Column("account", Words, nullable=False),
        sa.Column("business_id", Words, nullable=True),
        sa.Column("reason", Words, nullable=True),
        sa.PrimaryKeyConstraint("vendor", "app_id", "room_id", "type", "task_id", "at", "kind", "delivery"),
    )
    op.create_table(
        "meters",
        sa.Column("name", Words, nullable=False),
        sa.Column("label", Words, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label"),
    )
    op.create_table(
        "recording_streams",
        sa.Column("recording", Words, nullable=False),
        sa.Column("user_id", Words, nullable=False),
        sa.Column("source", Words, nullable=False),
        sa.PrimaryKeyConstraint("recording", "user_id", "source"),
        sqlite_with_rowid=False,
    )
    op.create_index("recording_streams_user", "recording_streams", ["user_id", "recording"], unique=False)
    op.create_table(
        "recordings",
        sa.Column("id", Words, nullable=False),
        sa.Column("task", Words, nullable=False),
        sa.Column("locator", Words, nullable=False),
        sa.Column("vendor", Words, nullable=False),
        sa.Column("account", Words, nullable=False),
        sa.Column("app_id", Words, nullable=False),
        sa.Column("business_id", Words, nullable=True),
        sa.Column("room_id", Words, nullable=False),
        sa.Column("type", Words, nullable=False),
        sa.Column("task_id", Words, nullable=False),
        sa.Column("url", Words, nullable=True),
        sa.Column("storage", Words, nullable=True),
        sa.Column("bucket", Words, nullable=True),
        sa.Column("region", Words, nullable=True),
        sa.Column("key", Words, nullable=True),
        sa.Column("vid", Words, nullable=True),
        sa.Column("format", Words, nullable=True),
        sa.Column("mixed", sa.Boolean(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("media", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("sightings", sa.Integer(), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("recordings_account", "recordings", ["account", "id"], unique=False)
    op.create_index("recordings_app", "recordings", ["app_id", "id"], unique=False)
    op.create_index("recordings_first_seen_at", "recordings", ["first_seen_at"], unique=False)
    op.create_index("recordings_key", "recordings", ["key"], unique=False)
    op.create_index("recordings_room", "recordings", ["room_id", "id"], unique=False)
    op.create_index("recordings_started_at", "recordings", ["started_at"], unique=False)
    op.create_index("recordings_task", "recordings", ["task", "locator"], unique=True)
    op.create_index("recordings_task_id", "recordings", ["task_id", "id"], unique=False)
    op.create_index(
        "recordings_unavailable",
        "recordings",
        ["state", "id"],
        unique=False,
        sqlite_where=sa.text("state <> 'available'"),
        postgresql_where=sa.text("state <> 'available'"),
    )
    op.create_index("recordings_updated_at", "recordings", ["updated_at"], unique=False)
    op.create_table(
        "refusals",
        sa.Column("id", Words, nullable=False),
        sa.Column("account", Words, nullable=False),
        sa.Column("vendor", Words, nullable=False),
        sa.Column("door", Words, nullable=False),
        sa.Column("reason", Words, nullable=False),
        sa.Column("detail", Words, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("headers", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("released", Words, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("refusals_budget", "refusals", ["account", "reason", "vendor", "id"], unique=False)
    op.create_table(
        "seen",
        sa.Column("account", Words, nullable=False),
        sa.Column("seen_key", Words, nullable=False),
        sa.Column("delivery", Words, nullable=False),
        sa.Column("repeats", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("account", "seen_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sightings",
        sa.Column("recording", Words, nullable=False),
        sa.Column("delivery", Words, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("door", Words, nullable=False),
        sa.Column("account", Words, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", Words, nullable=False),
        sa.Column("facts", Words, nullable=False),
        sa.PrimaryKeyConstraint("recording", "delivery", "position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tasks",
        sa.Column("id", Words, nullable=False),
        sa.Column("vendor", Words, nullable=False),
        sa.Column("app_id", Words, nullable=False),
        sa.Column("room_id", Words, nullable=False),
        sa.Column("type", Words, nullable=False),
        sa.Column("task_id", Words, nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("account", Words, nullable=False),
        sa.Column("business_id", Words, nullable=True),
        sa.Column("state", Words, nullable=False),
        sa.Column("reason", Words, nullable=True),
        sa.Column("upload", Words, nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("recording_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("segment_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tasks_account", "tasks", ["account", "id"], unique=False)
    op.create_index("tasks_app", "tasks", ["app_id", "id"], unique=False)
    op.create_index("tasks_name", "tasks", ["vendor", "app_id", "room_id", "type", "task_id", "run"], unique=True)
    op.create_index("tasks_room", "tasks", ["room_id", "id"], unique=False)
    op.create_index(
        "tasks_running",
        "tasks",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index("tasks_started_at", "tasks", ["started_at"], unique=False)
    op.create_index("tasks_task", "tasks", ["task_id", "id"], unique=False)
    op.create_index("tasks_updated_at", "tasks", ["updated_at"], unique=False)
