"""What actions are chosen from together: a channel has one limit, can be stopped as a whole, and makes one batch.

So what is stopped or has to wait for its limit is never searched through, and a look at what is due costs a few steps
into an index for each channel, however much waits in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from handlers.actions.many import as_rows, many
from handlers.actions.quotas import limiter

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection

    from handlers.actions.quotas import Limiter

_OLDEST: Final = """
    WITH RECURSIVE c (channel) AS (
        SELECT min(channel) FROM actions WHERE {which}
        UNION ALL
        SELECT (SELECT min(channel) FROM actions WHERE {which} AND channel > c.channel)
        FROM c WHERE c.channel IS NOT NULL)
    SELECT channel, (SELECT min({due}) FROM actions WHERE {which} AND channel = c.channel) AS due_at
    FROM c WHERE channel IS NOT NULL"""
_CHANNELS: Final = text(_OLDEST.format(which="stage = 'ready'", due="due_at"))
#: in the words of their index
_UNSENT: Final = text(
    _OLDEST.format(which="due_since IS NOT NULL AND stage <> 'over' AND stage <> 'claimed'", due="due_since")
)
#: counted no further than the largest batch: what waits for its next try is no part of it
_GATHERED: Final = """
    SELECT r.channel, (SELECT count(*) FROM (
        SELECT 1 FROM actions AS t WHERE t.channel = r.channel AND t.stage = 'ready' AND t.tries = 0
            AND t.batch_max IS NOT NULL AND t.batch_max = r.size LIMIT :most) AS gathered) AS n
    FROM {rows}"""
_PARTS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Channel:
    """What has one limit, and can be stopped as a whole."""

    text: str
    #: when the oldest is due, milliseconds UTC
    due_at: int
    destination: str | None
    quota: str | None
    api: str | None
    #: microseconds between two calls, as it was when they were planned; None: no limit
    interval_us: int | None
    operation: str
    account: str
    rule: str
    #: so many are handed over together as soon as they are there; None: each by itself
    batch_max: int | None = None

    @property
    def limiter(self) -> Limiter:
        """Return whose limit counts, and whose calls are counted together."""
        return limiter(self.quota, self.destination, self.api)


def channels(connection: Connection) -> list[Channel]:
    """Return the channels with something ready, and since when the oldest of each is due, milliseconds UTC."""
    return [_channel(row.channel, row.due_at) for row in connection.execute(_CHANNELS)]


def unsent(connection: Connection) -> list[Channel]:
    """Return the channels with something that nobody has in hand, and since when the oldest of each is to be sent.

    That counts what waits in its lane, for its next try or for others of its batch, and not what is held by the step
    before it. `due_at` is when it was due first: no failed try and no word "too fast" moves it.
    """
    return [_channel(row.channel, row.due_at) for row in connection.execute(_UNSENT)]


def _channel(told: str, due_at: int) -> Channel:
    parts = json.loads(told)
    destination, quota, api, interval, operation, vendor, account, rule = parts[:_PARTS]
    return Channel(
        text=told,
        due_at=due_at,
        destination=destination,
        quota=quota,
        api=api,
        interval_us=interval,
        operation=operation,
        account=f"{vendor}/{account}",
        rule=rule,
        batch_max=parts[_PARTS] if len(parts) > _PARTS else None,
    )


def due(connection: Connection, now: int) -> list[Channel]:
    """Return the channels with something to be called now: due by its time, or as many as make a batch."""
    found = channels(connection)
    full = _full(connection, [one for one in found if one.batch_max is not None and one.due_at > now])
    return [one for one in found if one.due_at <= now or one.text in full]


def _full(connection: Connection, gathering: Sequence[Channel]) -> Collection[str]:
    wanted = {one.text: one.batch_max or 1 for one in gathering}
    if not wanted:
        return ()
    rows = as_rows([{"channel": name, "size": size} for name, size in wanted.items()])
    query = many(connection, _GATHERED, channel="text", size="bigint")
    found = connection.execute(query, rows | {"most": max(wanted.values())})
    return {row.channel for row in found if row.n >= wanted[row.channel]}
