"""Refusals that were pulled from a queue and deleted there: they are never pushed out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

Words = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Apply the change; what the previous version reads and writes goes on working."""
    op.add_column("refusals", sa.Column("set_aside", Words, nullable=True))
    op.create_index(
        "refusals_set_aside",
        "refusals",
        ["vendor", "account", "set_aside", "size_bytes"],
        sqlite_where=sa.text("set_aside IS NOT NULL"),
        postgresql_where=sa.text("set_aside IS NOT NULL"),
    )
    op.create_index(
        "refusals_trimmed",
        "refusals",
        ["account", "reason", "vendor", "id", "size_bytes"],
        sqlite_where=sa.text("set_aside IS NULL"),
        postgresql_where=sa.text("set_aside IS NULL"),
    )
