"""A catalogue of any size, made by SQL: deliveries that were kept and folded long ago, with ids in the order of time.

Four files to a task, five tasks to a room, three applications; ids sort before those that are made now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from bench.bodies import ACCOUNT
from handlers.clock import now_ms

if TYPE_CHECKING:
    from handlers.database import Database

PER_TASK = 4
PER_ROOM = 20
APPS = 3
#: milliseconds over which the recordings are spread
_SPAN = 90 * 86_400_000
_CHUNK = 100_000

_NUMBERS = {
    True: "WITH RECURSIVE numbers(n) AS (SELECT :low UNION ALL SELECT n + 1 FROM numbers WHERE n < :high - 1)",
    False: "WITH numbers AS (SELECT n FROM generate_series(CAST(:low AS int), CAST(:high AS int) - 1) AS n)",
}
#: name in a template -> what it is on SQLite, and on a server
_WORDS = {
    "hex8": ("printf('%08x', {})", "lpad(to_hex({}), 8, '0')"),
    "random": ("lower(hex(randomblob(16)))", "md5(random()::text)"),
    "bytes": ("CAST({} AS BLOB)", "convert_to({}, 'UTF8')"),
}
_BODY = (
    '\'{{"AppId": "9q1x", "ChannelId": "room-\' || {room} || \'", "Duration": 1792.257, "Event": "FileCreated", '
    '"MsgId": "\' || n || \'", "StartTime": "2020-09-02T10:23:54Z", "StopTime": "2020-09-02T10:53:46Z", '
    '"TaskId": "task-\' || {task} || \'", "Url": "http://rtc-record.oss-cn-shanghai.aliyuncs.com/\' || {key} || \'"}}\''
)


def room(number: int) -> str:
    """Return the room of the n-th recording."""
    return f"room-{number // PER_ROOM:08x}"


def task(number: int) -> str:
    """Return the vendor's name of the task of the n-th recording."""
    return f"task-{number // PER_TASK:08x}"


def recording(number: int) -> str:
    """Return the id of the n-th recording."""
    return f"rec_01a{number:08x}{'0' * 15}"


def gather(database: Database, count: int) -> None:
    """Fill the empty tables with that many recordings and what belongs to them."""
    sqlite = database.is_sqlite
    names = {name: words[0 if sqlite else 1] for name, words in _WORDS.items()}
    told = {"account": ACCOUNT, "since": now_ms() - _SPAN, "step": max(_SPAN // count, 1)}
    for low in range(0, count, _CHUNK):
        with database.write(patience=600) as connection:
            for statement in _statements(names, _NUMBERS[sqlite]):
                known = told | {"low": low, "high": min(low + _CHUNK, count)}
                used = {name: value for name, value in known.items() if f":{name}" in statement}
                connection.execute(text(statement), used)
    with database.connect(autocommit=True) as connection:
        if sqlite:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.exec_driver_sql("ANALYZE")


def _statements(names: dict[str, str], numbers: str) -> tuple[str, ...]:
    """Return one insertion for each table."""

    def hex8(number: str) -> str:
        return names["hex8"].format(number)

    def ident(prefix: str, number: str) -> str:
        return f"'{prefix}_01a' || {hex8(number)} || '000000000000000'"

    delivery, recording_id = ident("dlv", "n"), ident("rec", "n")
    task_id, task_name = ident("tsk", f"(n / {PER_TASK})"), f"'task-' || {hex8(f'(n / {PER_TASK})')}"
    room_name = f"'room-' || {hex8(f'(n / {PER_ROOM})')}"
    app = f"'app' || ((n / {PER_ROOM}) % {APPS})"
    key = f"'record/0902-1/9q1x/' || {task_name} || '/' || {hex8('n')} || '.m3u8'"
    at = "(CAST(:since AS bigint) + n * CAST(:step AS bigint))"
    body = names["bytes"].format(_BODY.format(room=hex8(f"(n / {PER_ROOM})"), task=hex8(f"(n / {PER_TASK})"), key=key))
    empty = names["bytes"].format("'{}'")
    name = f"'aliyun', {app}, {room_name}, 'record', {task_name}"
    seen = f"'message:' || {names['random']}"
    return (
        f"""INSERT INTO deliveries (id, account, vendor, door, received_at, seen_key, headers, body)
        {numbers} SELECT {delivery}, :account, 'aliyun', 'http', {at}, {seen}, {empty}, {body} FROM numbers""",  # noqa: S608 - our own words only
        f"""INSERT INTO inbox (delivery, state, processed_at)
        {numbers} SELECT {delivery}, 'processed', {at} FROM numbers""",  # noqa: S608 - our own words only
        f"""INSERT INTO seen (account, seen_key, delivery)
        {numbers} SELECT :account, {seen}, {delivery} FROM numbers ORDER BY 2""",  # noqa: S608 - our own words only
        f"""INSERT INTO events (delivery, position, kind, word, at, recording, changes)
        {numbers} SELECT {delivery}, 0, 'recording.available', 'FileCreated', {at}, {recording_id},
        '["recording.created", "recording.available"]' FROM numbers""",  # noqa: S608 - our own words only
        f"""INSERT INTO tasks (id, vendor, app_id, room_id, type, task_id, run, account, state, started_at, ended_at,
        recording_count, recorded_ms, updated_at)
        {numbers} SELECT {task_id}, {name}, 1, :account, 'unknown', {at}, {at} + 1792000, {PER_TASK}, 1792000, {at}
        FROM numbers WHERE n % {PER_TASK} = 0""",  # noqa: S608 - our own words only
        f"""INSERT INTO recordings (id, task, locator, vendor, app_id, room_id, type, task_id, account, url, storage,
        bucket, region, key, format, started_at, ended_at, duration_ms, media, state, sightings, first_seen_at,
        updated_at)
        {numbers} SELECT {recording_id}, {task_id}, 'oss:rtc-record/' || {key}, {name}, :account,
        'http://rtc-record.oss-cn-shanghai.aliyuncs.com/' || {key}, 'oss', 'rtc-record', 'cn-shanghai', {key}, 'm3u8',
        {at}, {at} + 1792000, 1792257, '{{}}', 'available', 1, {at}, {at} FROM numbers""",  # noqa: S608 - our own words only
        f"""INSERT INTO sightings (recording, delivery, position, door, account, received_at, at, fingerprint, facts)
        {numbers} SELECT {recording_id}, {delivery}, 0, 'http', :account, {at}, {at}, {names["random"]},
        '{{"available": true, "bucket": "rtc-record", "duration_ms": 1792257, "format": "m3u8", "key": "' || {key} ||
        '", "locator": "oss:rtc-record/' || {key} || '", "region": "cn-shanghai", "storage": "oss"}}' FROM numbers""",  # noqa: S608 - our own words only
    )
