"""What people may do to actions: retry, cancel, rerun, and say what a consumer made of one that was done."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import select, text

from handlers.actions import lanes
from handlers.actions.db_time import db_time
from handlers.actions.endings import count_at_once, note, noted
from handlers.actions.many import as_rows, many
from handlers.actions.planned import USED_PART, Planned, read_schedule
from handlers.actions.planning import plan
from handlers.actions.regiving import with_names
from handlers.actions.reviving import MOST_AT_ONCE, RETRIABLE, revive
from handlers.actions.stages import AGAIN, DEAD, DONE, OVER, PLANNED, READY
from handlers.database import once_more
from handlers.errors import WrongRequest
from handlers.fields import storable
from handlers.tables import actions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.actions.overtaking import Covers
    from handlers.actions.reviving import Over
    from handlers.database import Database

_LATEST: Final = """
    SELECT r.id, (SELECT max(g.generation) FROM actions AS g WHERE g.rule = t.rule AND g.subject = t.subject
        AND g.change = t.change) AS generation FROM {rows} JOIN actions AS t ON t.id = r.id"""
_NOTHING: Final[Mapping[str, str]] = {}
_TOLD: Final = text(
    "UPDATE actions SET result = :result, result_detail = :detail, result_at = :now,"
    " state = CASE WHEN :result = 'failed' THEN 'dead' ELSE 'done' END,"
    " reason = CASE WHEN :result = 'failed' THEN :reason ELSE NULL END"
    " WHERE id = :id AND (state = 'done' OR (state = 'dead' AND result IS NOT NULL))"
)


def retry(
    database: Database, action: str, *, over: Over, covers: Covers | None = None, now: int | None = None
) -> str | None:
    """Make a call again, from now and by its whole schedule; `now` in milliseconds UTC, unless given the database's.

    Somebody wants it made: its rule's max_age does not hold for it any more, nor for the steps after it. Yet where
    `covers` tells that a newer call makes it superfluous, it ends superseded: made now, it would put an older state
    back. Returns that then as its reason, else None.

    Raises WrongRequest where there is no such action, where it is neither dead, cancelled nor waiting to be tried,
    where the step before it is not done, and where it is about a run that is over: vendors use names again, so that it
    could reach another run.
    """
    revived = revive(database, [action], over=over, covers=covers, now=now)
    if action in revived.left_out or not (revived.retried or revived.superseded):
        raise WrongRequest({"id": _why_not(database, action, "retried", RETRIABLE, revived.left_out)})
    return revived.superseded.get(action)


@once_more
def cancel(database: Database, action: str, *, now: int | None = None, reason: str = "cancelled by hand") -> None:
    """End an action that nobody has in hand, with the steps after it; `now` in milliseconds UTC, or the database's.

    Raises WrongRequest where there is no such action, where it is over, or where its call is under way.
    """
    with database.write() as connection:
        lane = _lanes(connection, [action])
        lanes.lock(connection, lane)
        ended = lanes.end(connection, [action], now=_at(connection, now), reason=storable(reason))
        lanes.set_heads(connection, lane)
    count_at_once(database, noted(connection))
    if not ended:
        raise WrongRequest({"id": _why_not(database, action, "cancelled", {PLANNED, AGAIN})})


def rerun(database: Database, ids: Collection[str], *, over: Over, now: int | None = None) -> int:
    """Repeat actions that were done, or died, as a new generation that is linked to them; return how many.

    The same parameters, in the order that they were planned in; `now` in milliseconds UTC, or the database's. What is
    neither done nor dead is left out, and so is what is about a run that is over, with the steps after it. Steps of one
    change that are repeated together wait for each other as they did. The rule's max_age does not hold for what
    somebody wants again.
    """
    wanted = sorted(ids)
    portions = (wanted[start : start + MOST_AT_ONCE] for start in range(0, len(wanted), MOST_AT_ONCE))
    return sum(_rerun_some(database, some, over, now) for some in portions)


@once_more
def _rerun_some(database: Database, some: Sequence[str], over: Over, now: int | None) -> int:
    with database.write() as connection:
        query = select(actions).where(actions.c.id.in_(some), actions.c.state.in_((DONE, DEAD)))
        found = [dict(row) for row in connection.execute(query.order_by(actions.c.id)).mappings()]
        late = too_late(found, over(connection, tasks_of(found)))
        rows = [row for row in found if row["id"] not in late]
        latest = many(connection, _LATEST, id="text")
        last = connection.execute(latest, as_rows([{"id": row["id"]} for row in rows]))
        generations = {row.id: row.generation for row in last}
        plan(connection, with_names(connection, list(_repetitions(rows, generations))), now=_at(connection, now))
    count_at_once(database, noted(connection))
    return len(rows)


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


@once_more
def record_result(
    database: Database, action: str, result: Literal["done", "failed"], *, detail: str = "", now: int | None = None
) -> None:
    """Note what a consumer that finished later made of an action; one that failed is dead, and can be retried.

    A later word replaces an earlier one, until the action is retried: then only what becomes of that counts. `now` in
    milliseconds UTC, unless given the database's. Raises WrongRequest where there is no such action or where it is not
    done, or dead by its consumer's word.
    """
    if result not in {"done", "failed"}:
        raise WrongRequest({"result": f"is {result!r}; expected done or failed"})
    told = storable(detail)
    values = {"id": action, "result": result, "detail": told, "reason": f"its consumer failed: {told}"}
    died = select(actions.c.operation).where(actions.c.id == action, actions.c.state == DONE)
    with database.write() as connection:
        # Only the first word of a failure is a death; its row is kept from others, who may say the same now.
        operations = list(connection.execute(died.with_for_update()).scalars())
        is_noted = connection.execute(_TOLD, values | {"now": _at(connection, now)}).rowcount == 1
        if result == "failed":
            note(connection, DEAD, operations)
    count_at_once(database, noted(connection))
    if not is_noted:
        raise WrongRequest({"id": _why_not(database, action, "given a result", {DONE})})


def _at(connection: Connection, now: int | None) -> int:
    return db_time(connection) // 1000 if now is None else now


def _lanes(connection: Connection, ids: Collection[str]) -> list[str | None]:
    return list(connection.execute(select(actions.c.lane).where(actions.c.id.in_(ids))).scalars())


def _why_not(
    database: Database, action: str, what: str, states: Collection[str], left_out: Mapping[str, str] = _NOTHING
) -> str:
    query = select(actions.c.state, actions.c.stage).where(actions.c.id == action)
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return f"there is no action {action}"
    if action in left_out:
        return left_out[action]
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
