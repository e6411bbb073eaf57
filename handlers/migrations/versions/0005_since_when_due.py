"""Since when actions are due, however often they were put off; how much of each limit is used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change; what the previous version reads and writes goes on working."""
    op.add_column("actions", sa.Column("due_since", sa.BigInteger(), nullable=True))
    op.execute("UPDATE actions SET due_since = due_at WHERE stage IN ('waiting', 'ready', 'claimed')")
    op.create_index(
        "actions_unsent",
        "actions",
        ["channel", "due_since"],
        sqlite_where=sa.text("due_since IS NOT NULL AND stage <> 'over' AND stage <> 'claimed'"),
        postgresql_where=sa.text("due_since IS NOT NULL AND stage <> 'over' AND stage <> 'claimed'"),
    )
    for name in ("used_in", "used_us", "used_before_us"):
        op.add_column("quotas", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
