"""How many rows of a table are read and written at once: one statement, whose text is made once and goes to the driver.

SQLAlchemy would compile each statement for its number of values and handle each row's parameters by itself, which
costs a worker a third of its time. On SQLite the rows are the driver's own; on PostgreSQL they travel as one JSON
parameter, so that a table costs one round trip.
"""

from __future__ import annotations

import json
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, Integer, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Table

Row = dict[str, Any]

#: how many values one statement may name; SQLite's oldest limit is 999
_CHUNK = 400
#: SQLAlchemy's type -> PostgreSQL's; BigInteger is an Integer, hence before it
_TYPES = ((BigInteger, "bigint"), (Integer, "integer"), (Boolean, "boolean"), (Text, "text"))


def fetch(
    connection: Connection, table: Table, names: Sequence[str], values: Sequence[tuple[Any, ...]]
) -> Iterator[Row]:
    """Yield the rows whose named columns have one of the values."""
    columns = table.c.keys()
    most = max(_CHUNK // len(names), 1)
    wanted = list(dict.fromkeys(values))
    for start in range(0, len(wanted), most):
        some = wanted[start : start + most]
        if _is_sqlite(connection):
            query = _chosen_on_sqlite(table, tuple(names), len(some))
            parameters = tuple(value for one in some for value in one)
        else:
            query = _chosen(table, tuple(names))
            parameters = (_as_json(names, some),)
        for row in connection.exec_driver_sql(query, parameters):
            yield dict(zip(columns, row, strict=True))


def insert(connection: Connection, table: Table, rows: Sequence[Row], *, ignore_known: bool = False) -> None:
    """Insert the rows, which all have the same names; leave out, if asked to, those that one of their keys has."""
    if rows:
        names = tuple(rows[0])
        statement = _insertion(table, names, _is_sqlite(connection))
        _execute(connection, f"{statement} ON CONFLICT DO NOTHING" if ignore_known else statement, names, rows)


def update(connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Row], *, key: str = "id") -> None:
    """Write the named columns of the rows, found by their key."""
    if rows:
        _execute(connection, _updating(table, tuple(names), key, _is_sqlite(connection)), (*names, key), rows)


def delete(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Delete what has the values of any of the rows, which all have the same names."""
    if rows:
        names = tuple(rows[0])
        _execute(connection, _deletion(table, names, _is_sqlite(connection)), names, rows)


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _execute(connection: Connection, statement: str, names: Sequence[str], rows: Sequence[Row]) -> None:
    values = [(row[names[0]],) for row in rows] if len(names) == 1 else list(map(itemgetter(*names), rows))
    if _is_sqlite(connection):
        connection.exec_driver_sql(statement, values)
    else:
        connection.exec_driver_sql(statement, (_as_json(names, values),))


def _as_json(names: Sequence[str], values: Sequence[tuple[Any, ...]]) -> str:
    return json.dumps([dict(zip(names, one, strict=True)) for one in values])


# Only names of tables and columns become part of a statement (S608): they come from handlers.tables.


@cache
def _chosen_on_sqlite(table: Table, names: tuple[str, ...], count: int) -> str:
    # CROSS JOIN keeps the order: for a row value IN (VALUES ...) SQLite reads the whole table.
    wanted = ", ".join([f"({_marks(len(names))})"] * count)
    return f"WITH r({_listed(names)}) AS (VALUES {wanted}) {_joined(table, names, 'r', 'CROSS JOIN')}"


@cache
def _chosen(table: Table, names: tuple[str, ...]) -> str:
    return _joined(table, names, _recordset(table, names), "JOIN")


def _joined(table: Table, names: Sequence[str], source: str, join: str) -> str:
    columns = ", ".join(f't."{column.name}"' for column in table.c)
    return f"SELECT {columns} FROM {source} {join} {table.name} AS t ON {_same(names)}"  # noqa: S608 - names only


def _same(names: Sequence[str]) -> str:
    return " AND ".join(f't."{name}" = r."{name}"' for name in names)


@cache
def _insertion(table: Table, names: tuple[str, ...], sqlite: bool) -> str:  # noqa: FBT001 - a key of the cache
    listed = _listed(names)
    if sqlite:
        return f"INSERT INTO {table.name} ({listed}) VALUES ({_marks(len(names))})"  # noqa: S608 - names only
    return f"INSERT INTO {table.name} ({listed}) SELECT {listed} FROM {_recordset(table, names)}"  # noqa: S608 - names only


@cache
def _updating(table: Table, names: tuple[str, ...], key: str, sqlite: bool) -> str:  # noqa: FBT001 - a key of the cache
    if sqlite:
        changes = ", ".join(f'"{name}" = ?' for name in names)
        return f'UPDATE {table.name} SET {changes} WHERE "{key}" = ?'  # noqa: S608 - names only
    changes = ", ".join(f'"{name}" = r."{name}"' for name in names)
    source = _recordset(table, (*names, key))
    return f'UPDATE {table.name} AS t SET {changes} FROM {source} WHERE t."{key}" = r."{key}"'  # noqa: S608 - names only


@cache
def _deletion(table: Table, names: tuple[str, ...], sqlite: bool) -> str:  # noqa: FBT001 - a key of the cache
    if sqlite:
        same = " AND ".join(f'"{name}" = ?' for name in names)
        return f"DELETE FROM {table.name} WHERE {same}"  # noqa: S608 - names only
    return f"DELETE FROM {table.name} AS t USING {_recordset(table, names)} WHERE {_same(names)}"  # noqa: S608 - names only


def _recordset(table: Table, names: Sequence[str]) -> str:
    typed = ", ".join(f'"{name}" {_type(table, name)}' for name in names)
    return f"json_to_recordset(%s) AS r ({typed})"


def _type(table: Table, name: str) -> str:
    return next(word for known, word in _TYPES if isinstance(table.c[name].type, known))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _marks(count: int) -> str:
    return ", ".join("?" * count)
