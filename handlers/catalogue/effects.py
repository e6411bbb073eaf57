"""What rules are shown of a change: the rows that it is about, as they stood once its event was folded.

Only changes that somebody waits for are shown: to know the task as of each event costs a look at its whole family.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from handlers.catalogue.families import is_mark, mark_of
from handlers.questions.items import SHARED
from handlers.rows import Row, fetch
from handlers.tables import recording_streams, recordings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.catalogue.families import Family, Happened
    from handlers.events import Delivery, Event, TaskKey


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One change, the event that told of it, and the rows as they were then."""

    name: str
    delivery: Delivery
    position: int
    event: Event
    #: of an event that left no task there is none
    task: Row | None = None
    #: with its streams, as a list of objects
    recording: Row | None = None
    segment: Row | None = None


@dataclass(frozen=True, kw_only=True)
class _PutOff:
    """The end of a run, whose delivery may name the run's files next."""

    #: its family, delivery and time: what comes of the same belongs to it
    moment: tuple[TaskKey, str, int]
    family: Family
    told: tuple[Delivery, int, Event, Sequence[Happened]]


class Watch:
    """Who takes down the effects of one folding."""

    def __init__(self, wanted: Callable[[str], bool], silent: Collection[str] = (), *, now: int) -> None:
        """Take which changes somebody waits for, and of which deliveries nobody does.

        `now`, in milliseconds UTC, is when the rows are changed.
        """
        self._wanted = wanted
        self._silent = silent
        self._now = now
        self.effects: list[Effect] = []
        self._put_off: _PutOff | None = None

    def see(self, delivery: Delivery, position: int, event: Event, happened: Sequence[Happened]) -> None:
        """Take down what an event without a family changed."""
        self.effects += [
            Effect(name=one.name, delivery=delivery, position=position, event=event)
            for one in self._of(delivery, happened)
        ]

    def see_in(
        self, family: Family, delivery: Delivery, position: int, event: Event, happened: Sequence[Happened]
    ) -> None:
        """Take down what an event changed in its family, which is as the event left it.

        A stop that names the run's files is one word of the vendor's: its end is taken down with them in place.
        """
        wanted = self._of(delivery, happened)
        if not wanted:
            return
        if event.state in {"stopped", "failed"}:
            told = (delivery, position, event, wanted)
            self._put_off = _PutOff(moment=(family.key, delivery.id, event.at), family=family, told=told)
        else:
            self._take_down(family, delivery, position, event, wanted)

    def _of(self, delivery: Delivery, happened: Sequence[Happened]) -> list[Happened]:
        """Return the changes that somebody waits for."""
        return [one for one in happened if self._wanted(one.name)] if delivery.id not in self._silent else []

    def reach(self, family: TaskKey, delivery: Delivery, event: Event) -> None:
        """Take down what was put off before an event is put in that is no part of it."""
        if self._put_off is not None and self._put_off.moment != (family, delivery.id, event.at):
            self.end()

    def end(self) -> None:
        """Take down what was put off: nothing more comes of its family."""
        if self._put_off is not None:
            put_off, self._put_off = self._put_off, None
            self._take_down(put_off.family, *put_off.told)

    def _take_down(
        self, family: Family, delivery: Delivery, position: int, event: Event, wanted: Sequence[Happened]
    ) -> None:
        family.keep_up()
        mark = mark_of(event, delivery) if is_mark(event) else None
        for one in wanted:
            recording = None if one.file is None else family.files[one.file].row | {"locator": one.file}
            segment = None if one.slice is None else family.slices.rows[one.slice]
            about = recording or segment
            task = family.task_at(event.at, mark) if about is None else family.task_of(about["task"])
            if recording is not None and one.file is not None:
                recording = _with_streams(recording) | {"id": family.files[one.file].id}
            self.effects.append(
                Effect(
                    name=one.name,
                    delivery=delivery,
                    position=position,
                    event=event,
                    task=self._shown(family.key, task, family.stored.values()),
                    recording=self._shown(family.key, recording),
                    segment=self._shown(family.key, segment),
                )
            )

    def complete(self, connection: Connection) -> None:
        """Put the effects into the order of their events, and look up what no family has loaded.

        That is: whether other tasks name the same file, and streams.
        """
        self.effects.sort(key=lambda one: (one.event.at, one.delivery.id, one.position))
        every = [one.recording for one in self.effects if one.recording is not None]
        if every:
            _flag(connection, every)
        rows = [row for row in every if "streams" not in row]
        streams: dict[str, list[Row]] = defaultdict(list)
        for row in fetch(connection, recording_streams, ("recording",), [(row["id"],) for row in rows]):
            streams[row["recording"]].append({"user_id": row["user_id"], "source": row["source"] or None})
        for row in rows:
            row["streams"] = streams[row["id"]]

    def _shown(
        self, key: TaskKey, row: Mapping[str, Any] | None, stored: Iterable[Mapping[str, Any]] = ()
    ) -> Row | None:
        """Return a row with its name, and with the time of its change where it is not as it is stored."""
        if row is None:
            return None
        name = {"vendor": key.vendor, "app_id": key.app_id, "room_id": key.room_id, "task_id": key.task_id}
        changed = {} if any(row == one for one in stored) else {"updated_at": self._now}
        return {**row, **changed, **name, "type": key.type}


def _flag(connection: Connection, rows: Sequence[Row]) -> None:
    """Flag the recordings that name a file which a recording of another task names too, by then."""
    keys = sorted({row["key"] for row in rows if row["key"] is not None and row["bucket"] is not None})
    tasks: dict[tuple[str, str], set[str]] = defaultdict(set)
    query = select(recordings.c.bucket, recordings.c.key, recordings.c.task).where(recordings.c.key.in_(keys))
    for bucket, key, task in connection.execute(query.distinct()) if keys else ():
        tasks[bucket, key].add(task)
    for row in rows:
        if row["key"] is None or row["bucket"] is None:
            row["flags"] = []
            continue
        known = tasks[row["bucket"], row["key"]]
        known.add(row["task"])
        row["flags"] = [SHARED] if len(known) > 1 else []


def _with_streams(recording: Row) -> Row:
    if "streams" not in recording:
        return dict(recording)
    return recording | {"streams": [vars(stream) for stream in recording["streams"]]}
