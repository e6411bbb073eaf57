"""Deliveries that wait for a worker: made by SQL in the database, as the inbox would have kept them.

Tasks have four files each, which stand far apart, as they do in real life: three of four deliveries meet a task
that is in the catalogue already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from bench.bodies import ACCOUNT
from handlers import meters, tables
from handlers.clock import now_ms
from handlers.ids import new_id
from handlers.keeping.deliveries import pack_headers

if TYPE_CHECKING:
    from handlers.database import Database

#: tasks that go on at the same time, and files of each
_ABREAST = 500
_PER_TASK = 4
_HEADERS = pack_headers({"host": "127.0.0.1", "content-type": "application/json", "content-length": "452"})
_TEMPLATE = (
    '{"AppId": "9q1x", "ChannelId": "%s-room-%s", "Duration": 1792.257, "Event": "FileCreated", '
    '"MsgId": "83eaaf62-19e8-45df-%s-%s", "StartTime": "2020-09-02T10:23:54Z", '
    '"StopTime": "2020-09-02T10:53:46Z", "TaskId": "%s-task-%s", '
    '"Url": "http://rtc-record.oss-cn-shanghai.aliyuncs.com/record/0902-1/9q1x/%s_%s.m3u8"}'
)
_TASK = f"(n % {_ABREAST}) + (n / {_ABREAST * _PER_TASK}) * {_ABREAST}"
_ARGUMENTS = f":series, {_TASK}, :series, n, :series, {_TASK}, :series, n"
#: (numbers, id, body), on SQLite or not
_WORDS = {
    True: (
        "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count - 1)",
        ":id || printf('%016x', n)",
        f"CAST(printf(:template, {_ARGUMENTS}) AS BLOB)",
    ),
    False: (
        "WITH numbers AS (SELECT n FROM generate_series(0, CAST(:count AS int) - 1) AS n)",
        "CAST(:id AS text) || lpad(to_hex(n), 16, '0')",
        f"convert_to(format(CAST(:template AS text), {_ARGUMENTS}), 'UTF8')",
    ),
}


def fill(database: Database, count: int) -> None:
    """Let `count` more deliveries wait."""
    numbers, own, body = _WORDS[database.is_sqlite]
    key = "'fill:' || CAST(:series AS text) || n"
    statements = (
        f"""INSERT INTO deliveries (id, account, vendor, door, received_at, seen_key, headers, body)
        {numbers} SELECT {own}, :account, 'aliyun', 'http', :now, {key}, :headers, {body} FROM numbers""",  # noqa: S608 - our own words only
        f"INSERT INTO inbox (delivery, state) {numbers} SELECT {own}, 'kept' FROM numbers",  # noqa: S608 - our own words only
        f"INSERT INTO seen (account, seen_key, delivery) {numbers} SELECT :account, {key}, {own} FROM numbers",  # noqa: S608 - our own words only
    )
    told = {
        "count": count,
        "series": new_id("fil")[-6:],
        "id": new_id("dlv")[:14],
        "account": ACCOUNT,
        "now": now_ms(),
        "template": _TEMPLATE,
        "headers": _HEADERS,
    }
    with database.write() as connection:
        for statement in statements:
            connection.execute(
                text(statement), {name: value for name, value in told.items() if f":{name}" in statement}
            )


def waiting(database: Database) -> int:
    """Return how many deliveries wait."""
    query = select(func.count()).select_from(tables.inbox).where(tables.inbox.c.state == tables.KEPT)
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def processed(database: Database) -> int:
    """Return how many deliveries the worker says that it processed; true while it rests."""
    with database.read() as connection:
        return sum(value for name, _, value in meters.totals(connection) if name == meters.PROCESSED)
