"""Each action that gives a name is written down with it: one that came to nothing gave none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

Words = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Apply the change; what the previous version reads and writes goes on working."""
    op.create_table(
        "name_givers",
        sa.Column("name", Words, nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("action", Words, nullable=False),
        sa.Column("lane", Words, nullable=False),
        sa.Column("task", Words, nullable=True),
        sa.PrimaryKeyConstraint("name", "kind", "action"),
        sqlite_with_rowid=False,
    )
    op.create_index("name_givers_action", "name_givers", ["action"])
