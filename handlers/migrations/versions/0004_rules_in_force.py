"""Rules in force: what workers say of them, deliveries that fire none, what actions tell."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Words = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Apply the change; what the previous version reads and writes goes on working."""
    op.add_column("inbox", sa.Column("is_silent", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("actions", sa.Column("rules_version", Words, nullable=True))
    op.add_column("actions", sa.Column("told", Words, nullable=True))
    op.add_column("actions", sa.Column("bound_key", Words, nullable=True))
    op.add_column("actions", sa.Column("batch_max", sa.Integer(), nullable=True))
    op.add_column("actions", sa.Column("over_reason", Words, nullable=True))
    op.create_index(
        "actions_bound",
        "actions",
        ["rule", "bound_key", "id"],
        sqlite_where=sa.text("bound_key IS NOT NULL"),
        postgresql_where=sa.text("bound_key IS NOT NULL"),
    )
    op.create_index("actions_account", "actions", ["account", "id"])
    op.create_index("actions_operation", "actions", ["operation", "id"])
    op.create_index(
        "actions_destination",
        "actions",
        ["destination", "id"],
        sqlite_where=sa.text("destination IS NOT NULL"),
        postgresql_where=sa.text("destination IS NOT NULL"),
    )
    op.create_index(
        "actions_gathered",
        "actions",
        ["channel", "batch_max", "due_at", "id"],
        sqlite_where=sa.text("stage = 'ready' AND tries = 0 AND batch_max IS NOT NULL"),
        postgresql_where=sa.text("stage = 'ready' AND tries = 0 AND batch_max IS NOT NULL"),
    )
    op.create_index("identifiers_name", "identifiers", ["identifier"])
    op.create_table(
        "rule_books",
        sa.Column("worker", Words, nullable=False),
        sa.Column("host", Words, nullable=False),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.Column("version", Words, nullable=False),
        sa.Column("file_version", Words, nullable=False),
        sa.Column("problems", Words, nullable=False),
        sa.Column("rules", Words, nullable=False),
        sa.PrimaryKeyConstraint("worker"),
    )
    op.create_table(
        "rule_texts",
        sa.Column("version", Words, nullable=False),
        sa.Column("text", Words, nullable=False),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "rule_figures",
        sa.Column("rule", Words, nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)
            for name in ("matched", "account", "vendor", "age", "condition", "failed")
        ),
        sa.Column("matched_at", sa.BigInteger(), nullable=True),
        sa.Column("failed_at", sa.BigInteger(), nullable=True),
        sa.Column("failure", Words, nullable=True),
        sa.PrimaryKeyConstraint("rule"),
        sqlite_with_rowid=False,
    )
