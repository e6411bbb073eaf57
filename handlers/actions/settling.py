"""What is written down of a call: that it begins, before it is made, and what became of it, once that is known.

Both change nothing where the action is not the holder's any more: its lease ran out, and another has taken it.
Several are written at once, because the threads that call share their transactions.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from handlers.actions import lanes
from handlers.actions.db_time import db_time
from handlers.actions.endings import nobody_counts, noted
from handlers.actions.many import as_rows, many
from handlers.actions.quotas import limiter_of, push_back
from handlers.actions.row_locks import locking
from handlers.actions.stages import AGAIN, CANCELLED, DEAD, DONE, OVER, READY
from handlers.database import once_more
from handlers.fields import storable
from handlers.retries import Next, after
from handlers.rows import insert
from handlers.tables import attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from handlers.actions.endings import Count
    from handlers.actions.planned import Claimed
    from handlers.database import Database
    from handlers.operation import Outcome

#: characters of a request and of an answer that are kept
_LONGEST_REQUEST: Final = 16_384
_LONGEST_ANSWER: Final = 4_096
_LONGEST_DETAIL: Final = 1_024

_BEGIN: Final = """
    UPDATE actions SET state = 'running', is_begun = true, attempts = actions.attempts + 1, tries = actions.tries + 1,
        first_at = coalesce(actions.first_at, r.now)
    FROM {rows} WHERE actions.id = r.id AND actions.token = r.token AND actions.stage = 'claimed'
    RETURNING actions.id, actions.attempts"""
_OURS: Final = """
    SELECT t.id, t.attempts, t.tries, t.first_at, t.is_begun, t.over_reason FROM {rows} JOIN actions AS t ON t.id = r.id
    WHERE t.token = r.token AND t.stage = 'claimed'"""
_SETTLE: Final = """
    UPDATE actions SET state = r.state, stage = r.stage, due_at = coalesce(r.due_at, actions.due_at),
        is_head = CASE WHEN r.stage = 'over' THEN false ELSE actions.is_head END,
        tries = CASE WHEN actions.is_begun THEN actions.tries ELSE actions.tries + 1 END,
        first_at = coalesce(actions.first_at, r.now), attempts = r.attempts, is_begun = false, over_reason = NULL,
        reason = r.reason, ended_at = r.ended_at, outcome = r.outcome, code = r.code,
        request_id = coalesce(r.request_id, actions.request_id), holder = NULL, lease_until = NULL
    FROM {rows} WHERE actions.id = r.id"""
_SETTLED: Final = {
    **dict.fromkeys(("id", "state", "stage", "reason", "outcome", "code", "request_id"), "text"),
    **dict.fromkeys(("due_at", "ended_at", "now", "attempts"), "bigint"),
}
_NOTE: Final = """
    UPDATE attempts AS t SET ended_at = r.ended_at, duration_ms = r.duration_ms, answer = r.answer,
        outcome = r.outcome, code = r.code, detail = r.detail, request_id = r.request_id,
        is_unclear = (r.is_unclear = 1)
    FROM {rows} WHERE t.action = r.action AND t.number = r.number AND t.ended_at IS NULL"""
_NOTED: Final = {
    **dict.fromkeys(("action", "answer", "outcome", "code", "detail", "request_id"), "text"),
    **dict.fromkeys(("number", "ended_at", "duration_ms", "is_unclear"), "bigint"),
}


@dataclass(frozen=True, kw_only=True)
class Begin:
    """A call that is about to be made: the request as it may be shown, with secrets hidden."""

    claimed: Claimed
    request: str = ""


@dataclass(frozen=True, kw_only=True)
class Settle:
    """A call that was made: what became of it, the answer as text, and how long it took."""

    claimed: Claimed
    outcome: Outcome
    answer: str | None = None
    duration_ms: int = 0
    #: from 0 to below 1, what of its next wait is left to chance; None: it is drawn for it alone
    luck: float | None = None


@once_more
def begin(
    database: Database, calls: Sequence[Begin], *, clock: Callable[[Connection], int] = db_time
) -> Sequence[bool]:
    """Write down the attempts, in one transaction; return of each call whether it may be made.

    It may not where the action is not its holder's any more. A batch of which one isn't is not begun at all: the
    others are as they were.
    """
    with database.write() as connection:
        now = clock(connection) // 1000
        rows = [{"id": one.id, "token": one.token, "now": now} for call in _whole(connection, calls) for one in call]
        query = many(connection, _BEGIN, id="text", token="bigint", now="bigint")  # noqa: S106 - a fencing token's type
        numbers = {row.id: row.attempts for row in connection.execute(query, as_rows(rows))}
        ours = [one for one in calls if one.claimed.id in numbers]
        insert(connection, attempts, [row for one in ours for row in _attempts(one, numbers, now)])
    return [one.claimed.id in numbers for one in calls]


def _whole(connection: Connection, calls: Sequence[Begin]) -> Sequence[tuple[Claimed, ...]]:
    """Return the actions of each call all of whose are still the holder's."""
    ours = _ours(connection, [one for call in calls for one in call.claimed.members])
    found = [call.claimed.members for call in calls]
    return [some for some in found if all(one.id in ours for one in some)]


def _attempts(one: Begin, numbers: Mapping[str, int], now: int) -> list[dict[str, Any]]:
    """Return the attempts of a call; the request is kept once, with the first of a batch."""
    first, *others = one.claimed.members
    told = f"in one call with {first.id}, whose attempt {numbers[first.id]} shows it"
    begun = [one, *(Begin(claimed=other, request=told) for other in others)]
    return [_attempt(each, numbers[each.claimed.id], now) for each in begun]


def _ours(connection: Connection, claimed: Sequence[Claimed]) -> Mapping[str, Row[Any]]:
    """Return what stands of those that are still the holder's, which nobody else changes meanwhile."""
    if not claimed:
        return {}
    rows = [{"id": one.id, "token": one.token} for one in claimed]
    # Locked: a holder's lease may be taken up at the same time, of actions without a lane too.
    query = many(connection, locking(connection, _OURS), id="text", token="bigint")  # noqa: S106 - a fencing token's type
    return {row.id: row for row in connection.execute(query, as_rows(rows))}


def _attempt(one: Begin, number: int, now: int) -> dict[str, Any]:
    return {
        "action": one.claimed.id,
        "number": number,
        "holder": one.claimed.holder,
        "started_at": now,
        "request": _kept(one.request, _LONGEST_REQUEST),
    }


@once_more
def settle(
    database: Database,
    calls: Sequence[Settle],
    *,
    clock: Callable[[Connection], int] = db_time,
    chance: Callable[[], float] = random.random,
    count: Count = nobody_counts,
) -> Sequence[str | None]:
    """Write down what became of calls, in one transaction, and let what waited for them come forward.

    Each is for one action: `each_of` tells them for a batch. What would be tried again is cancelled where its task's
    run ended meanwhile.
    `count` is told of the steps that end because they come after one of these.
    Returns the state of each action now, or None where the word of a former holder came too late and changed nothing.
    """
    ids = [one.claimed.id for one in calls]
    with database.write() as connection:
        found = [*(one.claimed.lane for one in calls), *lanes.lanes_after(connection, ids)]
        lanes.lock(connection, found)
        settling = _Settling(connection, clock(connection), chance)
        settled = settling.write(calls)
        lanes.set_heads(connection, found)
        throttled = [one for one in calls if one.claimed.id in settled and one.outcome.is_throttled]
        waits = {(limiter_of(one.claimed), one.outcome.after_ms or 0): one for one in throttled}
        for _, one in sorted(waits.items(), key=lambda item: item[0]):
            push_back(connection, one.claimed, now=settling.now_us, after_ms=one.outcome.after_ms)
    count(noted(connection))
    return [settled.get(one.claimed.id) for one in calls]


def each_of(call: Settle, *, chance: Callable[[], float] = random.random) -> list[Settle]:
    """Return what is written down of each action of a call: all of a batch have one outcome, and come back together.

    The answer is kept once, with the first.
    """
    if call.claimed.others is None:
        return [call]
    shared = replace(call, luck=chance())
    return [shared, *(replace(shared, claimed=one, answer=None) for one in call.claimed.others)]


class _Settling:
    """One transaction that settles actions whose lanes are locked."""

    def __init__(self, connection: Connection, now_us: int, chance: Callable[[], float]) -> None:
        self._connection = connection
        self.now_us = now_us
        self._now = now_us // 1000
        self._chance = chance

    def write(self, calls: Sequence[Settle]) -> Mapping[str, str]:
        """Write down the outcomes of what is still its holder's; return the state of each."""
        ours = _ours(self._connection, [one.claimed for one in calls])
        counted = [one for one in calls if one.claimed.id in ours]
        if not counted:
            return {}
        rows = [self._row(one, ours[one.claimed.id]) for one in counted]
        self._connection.execute(many(self._connection, _SETTLE, **_SETTLED), as_rows(rows))
        noted = [self._note(one, ours[one.claimed.id]) for one in counted]
        # What failed before its call began is an attempt too: people must see why nothing gets on.
        unbegun = [one for one in counted if not ours[one.claimed.id].is_begun]
        opened = [_attempt(Begin(claimed=one.claimed), _number(ours[one.claimed.id]), self._now) for one in unbegun]
        insert(self._connection, attempts, opened)
        self._connection.execute(many(self._connection, _NOTE, **_NOTED), as_rows(noted))
        lanes.release_after(self._connection, [row["id"] for row in rows if row["state"] == DONE], now=self._now)
        ended = [row["id"] for row in rows if row["state"] in {DEAD, CANCELLED}]
        lanes.drop_after(self._connection, ended, now=self._now)
        return {row["id"]: row["state"] for row in rows}

    def _row(self, one: Settle, standing: Row[Any]) -> dict[str, Any]:
        then = self._next(one, standing)
        state = DONE if one.outcome.verdict == "done" else DEAD if then.at is None else AGAIN
        if state == AGAIN and standing.over_reason is not None:
            state, then = CANCELLED, Next(at=None, reason=standing.over_reason)
        return {
            "id": one.claimed.id,
            "state": state,
            "stage": READY if state == AGAIN else OVER,
            "due_at": then.at,
            "reason": _kept(then.reason, _LONGEST_DETAIL) or None,
            "ended_at": None if state == AGAIN else self._now,
            "now": self._now,
            "attempts": _number(standing),
            "outcome": one.outcome.verdict,
            "code": _storable(one.outcome.code),
            "request_id": _storable(one.outcome.request_id),
        }

    def _next(self, one: Settle, standing: Row[Any]) -> Next:
        if one.outcome.verdict == "done":
            return Next(at=None)
        return after(
            one.outcome,
            schedule=one.claimed.schedule,
            tries=standing.tries if standing.is_begun else standing.tries + 1,
            first_at=standing.first_at or self._now,
            now=self._now,
            is_repeatable=one.claimed.is_repeatable,
            chance=self._chance if one.luck is None else lambda: one.luck or 0.0,
        )

    def _note(self, one: Settle, standing: Row[Any]) -> dict[str, Any]:
        outcome = one.outcome
        detail = "; ".join(part for part in (outcome.detail, outcome.meaning) if part)
        return {
            "action": one.claimed.id,
            "number": _number(standing),
            "ended_at": self._now,
            "duration_ms": one.duration_ms,
            "answer": None if one.answer is None else _kept(one.answer, _LONGEST_ANSWER),
            "outcome": outcome.verdict,
            "code": _storable(outcome.code),
            "detail": _kept(detail, _LONGEST_DETAIL),
            "request_id": _storable(outcome.request_id),
            "is_unclear": int(outcome.is_unclear),
        }


def _number(standing: Row[Any]) -> int:
    """Return the number of the attempt that is settled."""
    return int(standing.attempts if standing.is_begun else standing.attempts + 1)


def _storable(told: str | None) -> str | None:
    return None if told is None else storable(told)


def _kept(told: str, most: int) -> str:
    """Return the beginning of a text, with what a text column refuses escaped."""
    return told[:most].encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
