"""What rules are shown of changes: rows as they stood after their event, however they were worked out."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from folding import told_of
from hypothesis import given
from hypothesis import strategies as st
from test_catalogue import (
    _settings,
    close_files,
    close_marks,
    close_slices,
    deliveries_of,
    files,
    marks,
    slices,
    uploads,
)

from handlers import catalogue
from handlers.catalogue.effects import Effect, Watch
from handlers.catalogue.families import Family
from handlers.events import Event, Recording, Segment, TaskKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from handlers.catalogue import Told

_START = 1_600_000_000_000
_TASK = TaskKey(vendor="volcengine", app_id="app", room_id="room", type="record", task_id="task")
_SLICES = TaskKey(vendor="volcengine", app_id="app", room_id="room", type="segment", task_id="task")


def in_order(told: Iterable[Sequence[Told]]) -> list[Told]:
    return sorted((one for delivery in told for one in delivery), key=lambda one: (one.event.task, one.order))


def seen(family: Family) -> dict[int, dict[str, Any]]:
    """Return the tasks without our ids, and which files and slices belong to each."""
    runs = {row["id"]: run for run, row in family.tasks.items()}
    assert len(runs) == len(family.tasks)
    found = {run: {name: value for name, value in row.items() if name != "id"} for run, row in family.tasks.items()}
    for locator, file in family.files.items():
        found[runs[file.row["task"]]].setdefault("its files", []).append(locator)
    for name, row in family.slices.rows.items():
        found[runs[row["task"]]].setdefault("its slices", []).append(name)
    return found


@given(
    drawn=st.one_of(
        deliveries_of(close_files | close_marks | close_slices), deliveries_of(files | marks | uploads | slices)
    )
)
@_settings
def test_what_is_kept_up_event_by_event_is_what_working_out_all_of_it_gives(drawn: list[Any]) -> None:
    for key, some in groupby(in_order(told_of(drawn)), key=lambda one: one.event.task):
        assert key is not None
        family = Family(key=key)
        so_far: list[Told] = []
        for one in some:
            so_far.append(one)
            catalogue.put({key: family}, one)
            family.keep_up()
            afresh = Family(key=key)
            for other in so_far:
                catalogue.put({key: afresh}, other)
            afresh.settle()
            assert seen(family) == seen(afresh)


def effects_of(*events: Event, wanted: Sequence[str] = ()) -> list[Effect]:
    """Fold one delivery's events, of one family, in memory; return the effects."""
    ((*told,),) = told_of([(events, _START, "http")])
    key = events[0].task
    assert key is not None
    family = Family(key=key)
    watch = Watch(lambda name: not wanted or name in wanted, now=_START)
    for one in sorted(told, key=lambda one: one.order):
        watch.reach(key, one.delivery, one.event)
        watch.see_in(family, one.delivery, one.position, one.event, catalogue.put({key: family}, one))
    watch.end()
    return watch.effects


def a_file(number: int, *, at: int = _START) -> Event:
    file = Recording(locator=str(number), started_at=at - 60_000, ended_at=at - number)
    return Event(kind="recording.created", word="File", at=at, task=_TASK, recording=file)


def test_the_end_of_a_run_is_seen_with_the_files_that_its_delivery_names() -> None:
    stop = Event(kind="task.stopped", word="RecordStopped", at=_START, task=_TASK, state="stopped")
    (effect,) = effects_of(stop, a_file(1), a_file(2), wanted=["task.stopped"])
    assert effect.task is not None
    assert (effect.task["state"], effect.task["recording_count"]) == ("stopped", 2)


def test_the_end_of_a_run_is_seen_without_what_is_later_than_it() -> None:
    stop = Event(kind="task.stopped", word="RecordStopped", at=_START, task=_TASK, state="stopped")
    (effect,) = effects_of(stop, a_file(1), a_file(2, at=_START + 1), wanted=["task.stopped"])
    assert effect.task is not None
    assert effect.task["recording_count"] == 1


def test_each_file_is_seen_with_the_files_before_it() -> None:
    effects = effects_of(*(a_file(number) for number in range(2_000)), wanted=["recording.created"])
    counts = [effect.task["recording_count"] for effect in effects if effect.task is not None]
    assert counts == list(range(1, 2_001))


def test_each_slice_is_seen_with_the_slices_before_it() -> None:
    told = [
        Event(
            kind="segment.created",
            word="Slice",
            at=_START + number,
            task=_SLICES,
            segment=Segment(locator=str(number), identifier="one", started_at=_START + number, duration_ms=1),
        )
        for number in range(2_000)
    ]
    counts = [effect.task["segment_count"] for effect in effects_of(*told) if effect.task is not None]
    assert counts == list(range(1, 2_001))
