"""The questions that the API and the command line ask: lists, single rows, totals, the export.

Lists are newest id first and go on after the last id seen, so that a page costs the same at any depth.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal, select

from handlers import tables
from handlers.questions import acting, items
from handlers.questions.conditions import TABLES, by_state, conditions
from handlers.questions.filters import (
    ACTIONS,
    DELIVERIES,
    MOST,
    RECORDINGS,
    REFUSALS,
    SEGMENTS,
    TASKS,
    Filters,
    Page,
    check,
    from_cursor,
    to_cursor,
)
from handlers.questions.narrowing import road
from handlers.questions.timeline import identifiers_of, marks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select
    from sqlalchemy.sql import FromClause

    from handlers.database import Database
    from handlers.questions.items import Item

Row = dict[str, Any]

#: how far a total counts unless told otherwise
CAP = 10_000

_HEAVY = frozenset({"headers", "body", "parameters", "told"})


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One page, and the cursor of the next one; None: there is none."""

    items: list[Item]
    next: str | None


def list_recordings(connection: Connection, filters: Filters, page: Page) -> Listing:
    """Return a page of recordings; raise WrongRequest for filters or a page that can't be."""
    return _listing(connection, RECORDINGS, filters, page, _recordings)


def list_segments(connection: Connection, filters: Filters, page: Page) -> Listing:
    """Return a page of segments; raise WrongRequest for filters or a page that can't be."""
    return _listing(connection, SEGMENTS, filters, page, _segments)


def list_tasks(connection: Connection, filters: Filters, page: Page) -> Listing:
    """Return a page of tasks; raise WrongRequest for filters or a page that can't be."""
    return _listing(connection, TASKS, filters, page, _tasks)


def list_deliveries(connection: Connection, filters: Filters, page: Page) -> Listing:
    """Return a page of deliveries; raise WrongRequest for filters or a page that can't be."""
    return _listing(connection, DELIVERIES, filters, page, _deliveries)


def list_refusals(connection: Connection, filters: Filters, page: Page) -> Listing:
    """Return a page of refusals; raise WrongRequest for filters or a page that can't be."""
    return _listing(connection, REFUSALS, filters, page, _refusals)


def list_actions(connection: Connection, filters: Filters, page: Page) -> Listing:
    """Return a page of actions; raise WrongRequest for filters or a page that can't be."""
    return _listing(connection, ACTIONS, filters, page, _actions)


def show_recording(connection: Connection, recording: str) -> Item | None:
    """Return the recording with its sightings as a list, or None."""
    found = _recordings(connection, _one(connection, RECORDINGS, recording))
    return found[0] | {"sightings": _sightings(connection, recording)} if found else None


def show_segment(connection: Connection, segment: str) -> Item | None:
    """Return the segment, or None."""
    found = _segments(connection, _one(connection, SEGMENTS, segment))
    return found[0] if found else None


def show_task(connection: Connection, task: str) -> Item | None:
    """Return the task with its marks, the identifiers of its segments and its newest actions, or None."""
    rows = _one(connection, TASKS, task)
    if not rows:
        return None
    marks = [items.mark(row) for row in marks_of(connection, rows[0])]
    identifiers = [items.identifier(row) for row in identifiers_of(connection, rows[0])]
    told = {"marks": marks, "identifiers": identifiers, "actions": acting.actions_of(connection, task)}
    return items.task(rows[0]) | told


def show_delivery(connection: Connection, delivery: str) -> Item | None:
    """Return the delivery with headers, body and the details of its events, or None."""
    rows = _one(connection, DELIVERIES, delivery)
    if not rows:
        return None
    details = [items.event(row) for row in _events(connection, [delivery])[delivery]]
    return _deliveries(connection, rows)[0] | items.raw(rows[0]) | {"event_details": details}


def show_refusal(connection: Connection, refusal: str) -> Item | None:
    """Return the refusal with headers and body, or None; a body that was not kept whole is None."""
    rows = _one(connection, REFUSALS, refusal)
    return _refusals(connection, rows)[0] | items.raw(rows[0]) if rows else None


def show_action(connection: Connection, action: str) -> Item | None:
    """Return the action with its parameters, the change that destinations are told of, and its attempts, or None."""
    rows = _one(connection, ACTIONS, action)
    return acting.shown(connection, rows[0]) if rows else None


def total(connection: Connection, kind: str, filters: Filters, *, cap: int = CAP) -> tuple[int, bool]:
    """Count the rows that the filters let through, up to `cap`; tell whether there are more."""
    check(kind, filters)
    loose = road(connection, kind, filters).loose
    # Where a list is read from the newest, without any index, an index still counts best.
    some = matching(kind, filters, loose=() if loose.issuperset(filters.given()) else loose).limit(cap + 1).subquery()
    count = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return min(count, cap), count > cap


def export_recordings(database: Database, filters: Filters, *, chunk: int = MOST) -> Iterator[Item]:
    """Yield every matching recording, newest first, holding `chunk` of them at most.

    Each chunk is a transaction of its own, so an export of any length keeps no server from its work.
    """
    return _export(database, list_recordings, filters, chunk)


def export_segments(database: Database, filters: Filters, *, chunk: int = MOST) -> Iterator[Item]:
    """Yield every matching segment, as export_recordings() does recordings."""
    return _export(database, list_segments, filters, chunk)


def _export(
    database: Database, ask: Callable[[Connection, Filters, Page], Listing], filters: Filters, chunk: int
) -> Iterator[Item]:
    page = Page(limit=chunk)
    while True:
        with database.read() as connection:
            listing = ask(connection, filters, page)
        yield from listing.items
        if listing.next is None:
            return
        page = Page(limit=chunk, cursor=listing.next)


def matching(kind: str, filters: Filters, *, loose: Collection[str] = ()) -> Select[str]:
    """Return the query for the ids of the rows that the filters let through; see conditions() for `loose`."""
    wanted = conditions(kind, filters, loose=loose)
    return select(_id(kind, filters)).select_from(_source(kind, filters)).where(*wanted)


def _listing(
    connection: Connection,
    kind: str,
    filters: Filters,
    page: Page,
    describe: Callable[[Connection, Sequence[Row]], list[Item]],
) -> Listing:
    rows = _rows(connection, kind, filters, page)
    more = len(rows) > page.limit
    rows = rows[: page.limit]
    return Listing(items=describe(connection, rows), next=to_cursor(kind, rows[-1]["id"]) if more else None)


def _rows(connection: Connection, kind: str, filters: Filters, page: Page) -> list[Row]:
    """Return one row more than the page holds, if there is one."""
    key = _id(kind, filters)
    last = from_cursor(kind, page)
    check(kind, filters)
    chosen_road = road(connection, kind, filters)
    query = matching(kind, filters, loose=chosen_road.loose)
    if last is not None:
        query = query.where(key < last)
    # An expression has no index, so the planner can't follow the order of the ids through rows that don't match.
    order = key.concat(literal("")) if chosen_road.is_sorted else key
    chosen = query.order_by(order.desc()).limit(page.limit + 1).subquery("chosen")
    return _fetch(connection, kind, chosen, chosen.c[0], heavy=False)


def _one(connection: Connection, kind: str, name: str) -> list[Row]:
    if "\0" in name:
        return []
    chosen = select(TABLES[kind].c.id).where(TABLES[kind].c.id == name).subquery("chosen")
    return _fetch(connection, kind, chosen, chosen.c[0], heavy=True)


def _fetch(connection: Connection, kind: str, chosen: FromClause, key: ColumnElement[str], *, heavy: bool) -> list[Row]:
    """Return the rows with the chosen ids, newest first."""
    table, inbox, seen = TABLES[kind], tables.inbox, tables.seen
    columns = [column for column in table.c if heavy or column.name not in _HEAVY]
    query = select(*columns).join_from(chosen, table, table.c.id == key)
    if kind == DELIVERIES:
        counted = (seen.c.account == table.c.account) & (seen.c.seen_key == table.c.seen_key)
        query = query.join(inbox, inbox.c.delivery == table.c.id).outerjoin(seen, counted)
        query = query.add_columns(inbox.c.state, inbox.c.reason, inbox.c.is_bulk, seen.c.repeats)
    return [dict(row) for row in connection.execute(query.order_by(key.desc())).mappings()]


def _id(kind: str, filters: Filters) -> ColumnElement[str]:
    """Return the column that holds the id; the inbox's where its indexes by state shall serve."""
    return tables.inbox.c.delivery if by_state(kind, filters) else TABLES[kind].c.id


def _source(kind: str, filters: Filters) -> FromClause:
    table, inbox = TABLES[kind], tables.inbox
    if kind == DELIVERIES and (filters.state or filters.reason):
        return inbox.join(table, table.c.id == inbox.c.delivery)
    return table


def _recordings(connection: Connection, rows: Sequence[Row]) -> list[Item]:
    streams = _streams(connection, [row["id"] for row in rows])
    shared = _shared(connection, rows)
    return [items.recording(row, streams[row["id"]], shared=row["id"] in shared) for row in rows]


def _segments(_connection: Connection, rows: Sequence[Row]) -> list[Item]:
    return [items.segment(row) for row in rows]


def _tasks(_connection: Connection, rows: Sequence[Row]) -> list[Item]:
    return [items.task(row) for row in rows]


def _deliveries(connection: Connection, rows: Sequence[Row]) -> list[Item]:
    events = _events(connection, [row["id"] for row in rows])
    return [items.delivery(row, events[row["id"]]) for row in rows]


def _refusals(_connection: Connection, rows: Sequence[Row]) -> list[Item]:
    return [items.refusal(row) for row in rows]


def _actions(_connection: Connection, rows: Sequence[Row]) -> list[Item]:
    return [items.action(row) for row in rows]


def _streams(connection: Connection, recordings: Sequence[str]) -> Mapping[str, list[Row]]:
    """Return the streams of the recordings, by recording."""
    table = tables.recording_streams
    query = select(table).where(table.c.recording.in_(recordings)).order_by(*table.primary_key)
    return _grouped("recording", connection.execute(query).mappings()) if recordings else defaultdict(list)


def _shared(connection: Connection, rows: Sequence[Row]) -> set[str]:
    """Tell which of the recordings name a file that a recording of another task names too.

    Asked by the keys themselves: for a join, a server whose tables were never analysed reads every row.
    """
    table = tables.recordings
    keys = sorted({row["key"] for row in rows if row["key"] is not None and row["bucket"] is not None})
    tasks: dict[tuple[str, str], set[str]] = defaultdict(set)
    if keys:
        query = select(table.c.bucket, table.c.key, table.c.task).where(table.c.key.in_(keys)).distinct()
        for bucket, key, task in connection.execute(query):
            tasks[bucket, key].add(task)
    return {row["id"] for row in rows if len(tasks[row["bucket"], row["key"]]) > 1}


def _sightings(connection: Connection, recording: str) -> list[Item]:
    """Return which deliveries told of the recording, once each, in the order in which they came."""
    table = tables.sightings
    columns = (table.c.delivery, table.c.door, table.c.received_at)
    query = select(*columns).distinct().where(table.c.recording == recording)
    rows = connection.execute(query.order_by(table.c.received_at, table.c.delivery)).mappings()
    return [items.sighting(dict(row)) for row in rows]


def _events(connection: Connection, deliveries: Sequence[str]) -> Mapping[str, list[Row]]:
    """Return the events of the deliveries, by delivery, in order."""
    table = tables.events
    query = select(table).where(table.c.delivery.in_(deliveries)).order_by(*table.primary_key)
    return _grouped("delivery", connection.execute(query).mappings()) if deliveries else defaultdict(list)


def _grouped(name: str, rows: Iterable[Any]) -> Mapping[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[name]].append(dict(row))
    return found
