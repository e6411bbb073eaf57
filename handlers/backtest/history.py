"""How the kept deliveries become changes once more, beside the live catalogue, of which nothing is written.

1. Read the deliveries of the time that is asked about, and note which families they speak of, where any rule may wait
   for what they tell.
2. Read what was received before about those families, from the first delivery that the catalogue knows of them.
3. Family by family, fold in memory in the order of arrival, one delivery after the other, as a worker does that keeps
   up; and take down the effects of those deliveries that are asked about.

A family of segments may be large: of its segments none stays in memory once its event is folded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from handlers import catalogue
from handlers.backtest.identities import Identities
from handlers.backtest.kept import Kept
from handlers.catalogue import Told
from handlers.catalogue.effects import Effect, Watch
from handlers.catalogue.families import Family, is_mark
from handlers.catalogue.slices import slice_of
from handlers.errors import UnreadableDelivery
from handlers.reading import meaning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from handlers.backtest.kept import Window
    from handlers.backtest.scratch import Scratch, Spoken
    from handlers.catalogue.families import Happened
    from handlers.database import Database
    from handlers.events import Delivery, Event, TaskKey
    from handlers.settings import Settings
    from handlers.vendor import Vendor

#: families whose live rows are looked up at once
_FAMILIES: Final = 64
#: effects that are completed at once
_EFFECTS: Final = 500
_OF_FILES: Final = frozenset({"recording.created", "recording.changed", "recording.available"})


@dataclass(frozen=True, kw_only=True)
class Happening:
    """What a delivery did to one of its families, or to none."""

    delivery: Delivery
    family: TaskKey | None
    effects: Sequence[Effect]
    #: tasks of the effects that were over then, with the reason
    over: Mapping[str, str]


@dataclass(kw_only=True)
class Count:
    """What was met on the way."""

    #: deliveries that are asked about, and the events that they told
    deliveries: int = 0
    events: int = 0
    #: of them, those that can't be read now
    unreadable: int = 0


@dataclass(frozen=True, kw_only=True)
class Source:
    """What history is read from."""

    database: Database
    settings: Settings
    vendors: Mapping[str, Vendor]

    def meaning(self, delivery: Delivery) -> Sequence[Event]:
        """Return what a delivery means today; raise UnreadableDelivery."""
        return meaning(delivery, self.settings, self.vendors)


class History:
    """One going through of history."""

    def __init__(
        self,
        source: Source,
        window: Window,
        wanted: Callable[[str], bool],
        scratch: Scratch,
        progress: Callable[[int, int], None],
    ) -> None:
        """Take what is read, which changes somebody waits for, where notes go, and who is told how far it is."""
        self._database = source.database
        self._source = source
        self._window = window
        self._wanted = wanted
        self._scratch = scratch
        self._progress = progress
        self._kept = Kept(source.database, window)
        self.count = Count()
        #: deliveries that are asked about
        self.total = 0

    def happenings(self) -> Iterator[Happening]:
        """Yield what happened, family by family, each in the order of its arrival."""
        total = self.total = self._kept.total()
        for delivery in self._kept.asked():
            yield from self._note(delivery)
            self._progress(self.count.deliveries, 3 * total)
        self._note_earlier()
        folded = 0
        for keys in self._scratch.families(_FAMILIES):
            for some in self._completed(self._folded(keys)):
                yield some
                folded += 1
                done = min(total, total * folded // max(self._scratch.spoken, 1))
                self._progress(total + done, 3 * total)

    def _note(self, delivery: Delivery) -> Iterator[Happening]:
        """Note the families of a delivery that is asked about; yield what it tells of none."""
        self.count.deliveries += 1
        try:
            events = self._source.meaning(delivery)
        except UnreadableDelivery:
            self.count.unreadable += 1
            return
        self.count.events += len(events)
        if not any(self._may_be_wanted(event) for event in events):
            return
        self._scratch.note(delivery, events, _families(events), is_asked=True)
        watch = Watch(self._wanted, now=delivery.received_at)
        for position, event in enumerate(events):
            if catalogue.family_of(event) is None:
                watch.see(delivery, position, event, catalogue.at_once(event))
        if watch.effects:
            yield Happening(delivery=delivery, family=None, effects=watch.effects, over={})

    def _may_be_wanted(self, event: Event) -> bool:
        names = {event.kind}
        if event.recording is not None:
            names |= _OF_FILES
        if event.segment is not None:
            names.add("segment.created")
        if is_mark(event):
            names.add("recording.available")
        return any(self._wanted(name) for name in names)

    def _note_earlier(self) -> None:
        """Note what was received before about the families that are known so far."""
        first = self._kept.first_of(self._scratch.families(_FAMILIES))
        for delivery in self._kept.others(first):
            try:
                events = self._source.meaning(delivery)
            except UnreadableDelivery:
                continue
            families = {key for key in _families(events) if self._scratch.knows(key)}
            self._scratch.note(delivery, events, families, is_asked=False)

    def _folded(self, keys: Sequence[TaskKey]) -> Iterator[Happening]:
        with self._database.read() as connection:
            live = catalogue.load(connection, dict.fromkeys(keys, ()))
        for key in keys:
            folding = _Folding(self._scratch, live[key], self._wanted)
            for page in self._scratch.told(key):
                if key.type == "segment":
                    folding.know(self._live_slices(key, page))
                for spoken in page:
                    yield folding.fold(spoken)
            if key.type == "segment":
                self._scratch.forget_slices(key)

    def _live_slices(self, key: TaskKey, page: Sequence[Spoken]) -> Family:
        names = {
            slice_of(event, one.delivery, 0).name
            for one in page
            for event in one.events
            if event.segment is not None and event.task == key
        }
        with self._database.read() as connection:
            return catalogue.load(connection, {key: ()}, {key: names})[key]

    def _completed(self, happenings: Iterator[Happening]) -> Iterator[Happening]:
        """Yield the happenings once their effects say what the live catalogue alone knows: which files are shared."""
        some: list[Happening] = []
        effects = 0
        for one in happenings:
            some.append(one)
            effects += len(one.effects)
            if effects >= _EFFECTS or len(some) >= _EFFECTS:
                yield from self._complete(some)
                some, effects = [], 0
        yield from self._complete(some)

    def _complete(self, happenings: Sequence[Happening]) -> Sequence[Happening]:
        watch = Watch(self._wanted, now=0)
        watch.effects = [effect for one in happenings for effect in one.effects]
        if any(effect.recording is not None for effect in watch.effects):
            with self._database.read() as connection:
                watch.complete(connection)
        return happenings


class _Folding:
    """One family as it grows."""

    def __init__(self, scratch: Scratch, live: Family, wanted: Callable[[str], bool]) -> None:
        self._scratch = scratch
        self._family = Family(key=live.key)
        self._identities = Identities(live)
        self._wanted = wanted

    def know(self, live: Family) -> None:
        """Take the live rows of the segments that come next."""
        self._identities.live = live

    def fold(self, spoken: Spoken) -> Happening:
        """Fold a delivery in; return what it did."""
        family, delivery = self._family, spoken.delivery
        watch = Watch(self._wanted, now=spoken.received_at)
        told = [Told(delivery=delivery, position=n, event=event) for n, event in enumerate(spoken.events)]
        is_settled = True
        for one in sorted((one for one in told if catalogue.family_of(one.event) == family.key), key=lambda t: t.order):
            before = len(watch.effects)
            watch.reach(family.key, delivery, one.event)
            happened = [*catalogue.at_once(one.event), *self._put(one)]
            if spoken.is_asked:
                watch.see_in(family, delivery, one.position, one.event, happened)
            for effect in watch.effects[before:]:
                self._identities.give(effect)
            is_settled = len(watch.effects) > before
            family.slices.rows.clear()
        before = len(watch.effects)
        watch.end()
        for effect in watch.effects[before:]:
            self._identities.give(effect)
        is_settled = is_settled or len(watch.effects) > before
        if watch.effects and not is_settled:
            family.settle()
        return Happening(delivery=delivery, family=family.key, effects=watch.effects, over=self._over(watch.effects))

    def _put(self, one: Told) -> list[Happened]:
        event = one.event
        if event.segment is None:
            return catalogue.put({self._family.key: self._family}, one)
        told = slice_of(event, one.delivery, one.position)
        if self._scratch.note_slice(self._family.key, told.name):
            return catalogue.put({self._family.key: self._family}, one)
        self._family.slices.hear(told, is_new=False)
        return []

    def _over(self, effects: Sequence[Effect]) -> dict[str, str]:
        about = {effect.task["id"] for effect in effects if effect.task is not None}
        if not about:
            return {}
        return {task: why for task, why in self._identities.over(self._family.over()).items() if task in about}


def _families(events: Sequence[Event]) -> set[TaskKey]:
    return {key for event in events if (key := catalogue.family_of(event)) is not None}
