"""What people may do to actions: retry, cancel, rerun, and say what a consumer made of one that was done."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import select, text

from handlers.actions import lanes
from handlers.actions.endings import count_at_once, note, noted
from handlers.actions.many import as_rows, many
from handlers.actions.planned import USED_PART, Planned, read_schedule
from handlers.actions.planning import plan
from handlers.actions.regiving import taken, with_names
from handlers.actions.row_locks import lock_rows
from handlers.actions.stages import AGAIN, CANCELLED, DEAD, DONE, HELD, OVER, PLANNED, READY
from handlers.database import once_more
from handlers.errors import WrongRequest
from handlers.fields import storable
from handlers.tables import actions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.database import Database

    #: returns those of some tasks whose run is over or was followed by another, each with the reason; in a transaction
    #: that writes it keeps that so until its end
    Over = Callable[[Connection, Collection[str]], Mapping[str, str]]

#: most actions that one transaction changes; on SQLite others wait meanwhile
_MOST_AT_ONCE: Final = 32
#: the states of what can be tried again by hand
RETRIABLE: Final = frozenset({DEAD, CANCELLED, AGAIN})

_TOO_LATE: Final = "the run that it is about is over ({}), and a call could reach another run of that name"
_REVIVE: Final = """
    UPDATE actions SET state = 'planned', stage = CASE WHEN actions.lane IS NULL THEN 'ready' ELSE 'waiting' END,
        reason = NULL, newer = NULL, ended_at = NULL, expires_at = NULL, tries = 0, first_at = NULL, due_at = r.now,
        due_since = r.now
    FROM {rows} WHERE actions.id = r.id AND actions.stage = 'over' AND actions.state IN ('dead', 'cancelled')
    RETURNING actions.id"""
_HURRY: Final = """
    UPDATE actions SET due_at = r.now, tries = 0, first_at = NULL, expires_at = NULL
    FROM {rows} WHERE actions.id = r.id AND actions.stage IN ('ready', 'waiting') AND actions.state = 'again'
    RETURNING actions.id"""
_LATEST: Final = """
    SELECT r.id, (SELECT max(g.generation) FROM actions AS g WHERE g.rule = t.rule AND g.subject = t.subject
        AND g.change = t.change) AS generation FROM {rows} JOIN actions AS t ON t.id = r.id"""
_TOLD: Final = text(
    "UPDATE actions SET result = :result, result_detail = :detail, result_at = :now,"
    " state = CASE WHEN :result = 'failed' THEN 'dead' ELSE 'done' END,"
    " reason = CASE WHEN :result = 'failed' THEN :reason ELSE NULL END"
    " WHERE id = :id AND (state = 'done' OR (state = 'dead' AND result IS NOT NULL))"
)


def retry(database: Database, action: str, *, over: Over, now: int) -> None:
    """Make a call again, from now and by its whole schedule; `now` in milliseconds UTC.

    Somebody wants it made: its rule's max_age does not hold for it any more, nor for the steps after it.

    Raises WrongRequest where there is no such action, where it is neither dead, cancelled nor waiting to be tried, and
    where it is about a run that is over: vendors use names again, so that it could reach another run; and where a name
    that it gives, or a step after it, is another task's by now.
    """
    done, refused = _retry(database, [action], over, now)
    if action in refused:
        raise WrongRequest({"id": f"{_TOO_LATE.format(refused[action])}; `reelhook call` makes one by hand"})
    if not done:
        raise WrongRequest({"id": _why_not(database, action, "retried", RETRIABLE)})


def retry_some(database: Database, ids: Sequence[str], *, over: Over, now: int) -> int:
    """Retry those of the actions that can be retried; return how many that were. `now` in milliseconds UTC."""
    portions = (ids[start : start + _MOST_AT_ONCE] for start in range(0, len(ids), _MOST_AT_ONCE))
    return sum(_retry(database, some, over, now)[0] for some in portions)


def cancel(database: Database, action: str, *, now: int, reason: str = "cancelled by hand") -> None:
    """End an action that nobody has in hand, with the steps after it; `now` in milliseconds UTC.

    Raises WrongRequest where there is no such action, where it is over, or where its call is under way.
    """
    with database.write() as connection:
        lane = _lanes(connection, [action])
        lanes.lock(connection, lane)
        ended = lanes.end(connection, [action], now=now, reason=storable(reason))
        lanes.set_heads(connection, lane)
    count_at_once(database, noted(connection))
    if not ended:
        raise WrongRequest({"id": _why_not(database, action, "cancelled", {PLANNED, AGAIN})})


def rerun(database: Database, ids: Collection[str], *, over: Over, now: int) -> int:
    """Repeat actions that were done, or died, as a new generation that is linked to them; return how many.

    The same parameters, in the order that they were planned in; `now` in milliseconds UTC. What is neither done nor
    dead is left out, and so is what is about a run that is over, with the steps after it. Steps of one change that are
    repeated together wait for each other as they did. The rule's max_age does not hold for what somebody wants again.
    """
    wanted, done = sorted(ids), 0
    for start in range(0, len(wanted), _MOST_AT_ONCE):
        with database.write() as connection:
            some = wanted[start : start + _MOST_AT_ONCE]
            query = select(actions).where(actions.c.id.in_(some), actions.c.state.in_((DONE, DEAD)))
            found = [dict(row) for row in connection.execute(query.order_by(actions.c.id)).mappings()]
            late = too_late(found, over(connection, tasks_of(found)))
            rows = [row for row in found if row["id"] not in late]
            latest = many(connection, _LATEST, id="text")
            last = connection.execute(latest, as_rows([{"id": row["id"]} for row in rows]))
            generations = {row.id: row.generation for row in last}
            plan(connection, with_names(connection, list(_repetitions(rows, generations))), now=now)
            done += len(rows)
        count_at_once(database, noted(connection))
    return done


def tasks_of(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the tasks whose runs these actions need; the rows have `needs_run` and `task`."""
    return {row["task"] for row in rows if row["needs_run"] and row["task"] is not None}


def too_late(rows: Iterable[Mapping[str, Any]], over: Mapping[str, str]) -> set[str]:
    """Return which actions can't be repeated: those about runs that are over, and the steps after them, in order."""
    late: set[str] = set()
    changes: set[tuple[object, ...]] = set()
    for row in rows:
        change = (row["rule"], row["subject"], row["change"], row["generation"], row["renewal"])
        if change in changes or (row["needs_run"] and row["task"] in over):
            changes.add(change)
            late.add(row["id"])
    return late


def record_result(
    database: Database, action: str, result: Literal["done", "failed"], *, detail: str = "", now: int
) -> None:
    """Note what a consumer that finished later made of an action; one that failed is dead, and can be retried.

    Raises WrongRequest where there is no such action or where it was not done.
    """
    if result not in {"done", "failed"}:
        raise WrongRequest({"result": f"is {result!r}; expected done or failed"})
    told = storable(detail)
    values = {"id": action, "result": result, "detail": told, "now": now, "reason": f"its consumer failed: {told}"}
    died = select(actions.c.operation).where(actions.c.id == action, actions.c.state == DONE)
    with database.write() as connection:
        # Only the first word of a failure is a death; its row is kept from others, who may say the same now.
        operations = list(connection.execute(died.with_for_update()).scalars())
        is_noted = connection.execute(_TOLD, values).rowcount == 1
        if result == "failed":
            note(connection, DEAD, operations)
    count_at_once(database, noted(connection))
    if not is_noted:
        raise WrongRequest({"id": _why_not(database, action, "given a result", {DONE})})


@once_more
def _retry(database: Database, some: Sequence[str], over: Over, now: int) -> tuple[int, Mapping[str, str]]:
    """Return how many are made again, and of those about runs that are over, why they are not."""
    with database.write() as connection:
        # The families come before the lanes, as where events are folded.
        ended = over(connection, _tasks(connection, some))
        refused = _refused(connection, some, ended)
        lost = taken(connection, some)
        rows = as_rows([{"id": action, "now": now} for action in some if not {action} & {*refused, *lost}])
        found = _lanes(connection, some)
        lanes.lock(connection, found)
        lock_rows(connection, some)
        revived = list(connection.execute(many(connection, _REVIVE, id="text", now="bigint"), rows).scalars())
        hurried = list(connection.execute(many(connection, _HURRY, id="text", now="bigint"), rows).scalars())
        lanes.take_back_after(connection, revived)
        _end_steps(connection, ended, now)
        lanes.set_heads(connection, found)
    count_at_once(database, noted(connection))
    return len(revived) + len(hurried), refused


def _tasks(connection: Connection, some: Sequence[str]) -> set[str]:
    """Return the tasks of the actions: the steps after them may need a run where they don't."""
    query = select(actions.c.task).where(actions.c.id.in_(some), actions.c.task.is_not(None))
    return set(connection.execute(query).scalars())


def _refused(connection: Connection, some: Sequence[str], ended: Mapping[str, str]) -> Mapping[str, str]:
    if not ended:
        return {}
    query = select(actions.c.id, actions.c.task).where(
        actions.c.id.in_(some), actions.c.needs_run, actions.c.task.in_(ended), actions.c.state.in_(RETRIABLE)
    )
    return {row.id: ended[row.task] for row in connection.execute(query)}


def _end_steps(connection: Connection, ended: Mapping[str, str], now: int) -> None:
    """End the steps that were just taken back and are about runs that are over; being held, they are in no lane yet."""
    for task, reason in sorted(ended.items()):
        held = select(actions.c.id).where(actions.c.task == task, actions.c.needs_run, actions.c.stage == HELD)
        lanes.end(connection, list(connection.execute(held).scalars()), now=now, reason=reason)


def _lanes(connection: Connection, ids: Collection[str]) -> list[str | None]:
    return list(connection.execute(select(actions.c.lane).where(actions.c.id.in_(ids))).scalars())


def _why_not(database: Database, action: str, what: str, states: Collection[str]) -> str:
    query = select(actions.c.state, actions.c.stage).where(actions.c.id == action)
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
        lost = taken(connection, [action] if what == "retried" else [])
    if row is None:
        return f"there is no action {action}"
    if action in lost:
        return lost[action]
    if row.stage not in {OVER, READY} and row.state in states:
        return "its call is about to be made or under way; try again in a moment"
    return f"the action is {row.state}; only one that is {' or '.join(sorted(states))} can be {what}"


def _repetitions(rows: Sequence[Any], generations: Mapping[str, int]) -> Iterator[Planned]:
    """Yield what repeats each row; of two under one once-key, which had run out in between, the later is one more."""
    before: Counter[tuple[object, ...]] = Counter()
    for row in rows:
        call = (row["rule"], row["subject"], row["change"], row["step"])
        before[call] += 1
        yield _repeated(row, generations[row["id"]] + before[call])


def _repeated(row: Any, generation: int) -> Planned:  # noqa: ANN401 - a row as a mapping
    same = {name: row[name] for name in _SAME}
    interval = row["interval_us"]
    return Planned(
        **same,
        generation=generation,
        limit=None if interval is None else 1_000_000 / interval / USED_PART,
        parameters=json.loads(row["parameters"] or "{}"),
        told=None if row["told"] is None else json.loads(row["told"]),
        schedule=read_schedule(row["schedule"]),
        original=row["id"],
    )


_SAME: Final = (
    *(
        "rule",
        "rules_version",
        "subject",
        "change",
        "step",
        "operation",
        "vendor",
        "account",
        "destination",
        "lane",
        "quota",
        "api",
    ),
    *("at", "delivery", "position", "task", "recording", "is_repeatable", "needs_run", "covers", "sequence"),
    "batch_max",
)
