"""What time it is for actions: the database's clock, one for all machines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

_NOW = text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)")


def db_time(connection: Connection) -> int:
    """Return the database's time in microseconds since 1970 UTC; SQLite has that of the one machine it is on."""
    if connection.dialect.name == "sqlite":
        return time.time_ns() // 1000
    return int(connection.execute(_NOW).scalar_one())
