"""How a statement takes many rows at once on either engine: as one JSON parameter that stands like a table."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, TextClause


def many(connection: Connection, statement: str, **columns: str) -> TextClause:
    """Return the statement with `{rows}` standing for a table of these columns: name -> `text` or `bigint`.

    It is executed with `as_rows(...)`.
    """
    return _made(statement, tuple(columns.items()), connection.dialect.name == "sqlite")


def as_rows(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the parameter of a statement that `many` made."""
    return {"rows": json.dumps(rows)}


# Only names of columns become part of a statement: they stand in this folder.
@cache
def _made(statement: str, columns: tuple[tuple[str, str], ...], is_sqlite: bool) -> TextClause:  # noqa: FBT001 - a key of the cache
    if is_sqlite:
        listed = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name, _ in columns)
        source = f"(SELECT {listed} FROM json_each(:rows)) AS r"  # noqa: S608 - names only
    else:
        typed = ", ".join(f"{name} {kind}" for name, kind in columns)
        source = f"json_to_recordset(CAST(:rows AS json)) AS r ({typed})"
    return text(statement.replace("{rows}", source))
