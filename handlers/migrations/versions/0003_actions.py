"""Actions: what rules ask for, the attempts at it, the limits and sequences of calls, once-keys and switches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Words = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Apply the change; what the previous version reads and writes goes on working."""
    op.create_table(
        "actions",
        sa.Column("id", Words, nullable=False),
        sa.Column("rule", Words, nullable=False),
        sa.Column("subject", Words, nullable=False),
        sa.Column("change", Words, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("renewal", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("operation", Words, nullable=False),
        sa.Column("vendor", Words, nullable=False),
        sa.Column("account", Words, nullable=False),
        sa.Column("destination", Words, nullable=True),
        sa.Column("lane", Words, nullable=True),
        sa.Column("turn", Words, nullable=False),
        sa.Column("channel", Words, nullable=False),
        sa.Column("quota", Words, nullable=True),
        sa.Column("api", Words, nullable=True),
        sa.Column("interval_us", sa.BigInteger(), nullable=True),
        sa.Column("parameters", Words, nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("delivery", Words, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("task", Words, nullable=True),
        sa.Column("recording", Words, nullable=True),
        sa.Column("mode", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("stage", Words, nullable=False),
        sa.Column("is_head", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("reason", Words, nullable=True),
        sa.Column("newer", Words, nullable=True),
        sa.Column("original", Words, nullable=True),
        sa.Column("after", Words, nullable=True),
        sa.Column("is_repeatable", sa.Boolean(), nullable=False),
        sa.Column("needs_run", sa.Boolean(), nullable=False),
        sa.Column("covers", Words, nullable=True),
        sa.Column("sequence", Words, nullable=True),
        sa.Column("schedule", Words, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=True),
        sa.Column("is_begun", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("holder", Words, nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("token", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("outcome", Words, nullable=True),
        sa.Column("code", Words, nullable=True),
        sa.Column("request_id", Words, nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("result", Words, nullable=True),
        sa.Column("result_detail", Words, nullable=True),
        sa.Column("result_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "actions_after",
        "actions",
        ["after"],
        unique=False,
        sqlite_where=sa.text("after IS NOT NULL"),
        postgresql_where=sa.text("after IS NOT NULL"),
    )
    op.create_index(
        "actions_claimed",
        "actions",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("stage = 'claimed'"),
        postgresql_where=sa.text("stage = 'claimed'"),
    )
    op.create_index(
        "actions_head",
        "actions",
        ["lane"],
        unique=True,
        sqlite_where=sa.text("is_head"),
        postgresql_where=sa.text("is_head"),
    )
    op.create_index(
        "actions_once", "actions", ["rule", "subject", "change", "generation", "renewal", "step"], unique=True
    )
    op.create_index(
        "actions_ready",
        "actions",
        ["channel", "due_at", "id"],
        unique=False,
        sqlite_where=sa.text("stage = 'ready'"),
        postgresql_where=sa.text("stage = 'ready'"),
    )
    op.create_index("actions_recording", "actions", ["recording", "id"], unique=False)
    op.create_index("actions_rule", "actions", ["rule", "id"], unique=False)
    op.create_index(
        "actions_run",
        "actions",
        ["task"],
        unique=False,
        sqlite_where=sa.text("needs_run AND stage <> 'over'"),
        postgresql_where=sa.text("needs_run AND stage <> 'over'"),
    )
    op.create_index("actions_state", "actions", ["state", "id"], unique=False)
    op.create_index("actions_task", "actions", ["task", "id"], unique=False)
    op.create_index(
        "actions_waiting",
        "actions",
        ["lane", "turn"],
        unique=False,
        sqlite_where=sa.text("stage = 'waiting'"),
        postgresql_where=sa.text("stage = 'waiting'"),
    )
    op.create_table(
        "attempts",
        sa.Column("action", Words, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("holder", Words, nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("request", Words, nullable=False),
        sa.Column("answer", Words, nullable=True),
        sa.Column("outcome", Words, nullable=True),
        sa.Column("code", Words, nullable=True),
        sa.Column("detail", Words, nullable=True),
        sa.Column("request_id", Words, nullable=True),
        sa.Column("is_unclear", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("action", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "once_keys",
        sa.Column("rule", Words, nullable=False),
        sa.Column("once_key", Words, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("renewal", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("rule", "once_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quotas",
        sa.Column("quota", Words, nullable=False),
        sa.Column("api", Words, nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("blocked_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("quota", "api"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sequences",
        sa.Column("name", Words, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "switches",
        sa.Column("kind", Words, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("stopped_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name"),
        sqlite_with_rowid=False,
    )
