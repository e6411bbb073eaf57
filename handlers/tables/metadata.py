"""What every table stands on: one list of them, and text that is compared byte for byte on every engine."""

from __future__ import annotations

from sqlalchemy import MetaData, Text
from sqlalchemy.dialects import postgresql

metadata = MetaData()

Words = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
