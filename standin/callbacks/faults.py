"""What goes wrong between a vendor and us: what comes twice, late, in another order, never, or from a stranger.

What is lost is tried again as often as the vendor documents it: Volcengine twice, the others not at all.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from standin.callbacks import aliyun, huawei, volcengine
from standin.callbacks.composing import compose
from standin.callbacks.forging import forge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from standin.callbacks.callback import Callback, Counterpart
    from standin.callbacks.plan import Notice
    from standin.callbacks.world import World

_TRIES = {"volcengine": volcengine.TRIES, "huawei": huawei.TRIES, "aliyun": aliyun.TRIES}
#: how many places a callback is shifted at most
_SHIFT = 10


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How likely each is, from 0 to 1."""

    #: the callback comes a second time; one that came through a queue now and then by HTTP
    duplicate: float = 0.0
    #: it comes before others that were told earlier
    reorder: float = 0.0
    #: it comes behind everything else
    late: float = 0.0
    #: one try is lost on its way
    drop: float = 0.0
    #: a stranger sends one like it, with a signature that is wrong
    bad_signature: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One callback on its way to Reelhook."""

    notice: Notice
    callback: Callback
    #: places it among all others
    place: float
    #: it is lost on the way
    is_lost: bool = False


def arrivals(world: World, counterparts: Mapping[str, Counterpart], faults: Faults) -> list[Arrival]:
    """Return what leaves the vendors, in the order of its arrival; the same for the same world and faults."""
    road = _Road(
        counterparts=counterparts,
        faults=faults,
        count=len(world.notices),
        chance=random.Random(f"{world.seed}:{faults}"),
    )
    ways = [way for position, notice in enumerate(world.notices) for way in road.ways(notice, position)]
    return sorted(ways, key=lambda way: (way.place, way.notice.number))


def told(ways: Sequence[Arrival]) -> list[Notice]:
    """Return the notices of which something arrives."""
    return list(dict.fromkeys(way.notice for way in ways if not way.is_lost))


@dataclass(frozen=True, kw_only=True)
class _Road:
    """From the vendors to Reelhook."""

    counterparts: Mapping[str, Counterpart]
    faults: Faults
    #: of all callbacks
    count: int
    chance: random.Random

    def ways(self, notice: Notice, position: int) -> list[Arrival]:
        """Return everything that becomes of one notice."""
        to = self.counterparts[notice.task.vendor]
        place = self._place(position)
        ways = self._tries(Arrival(notice=notice, callback=compose(notice, to), place=place))
        if self.chance.random() < self.faults.duplicate:
            # Who has a queue may tell it by HTTP as well; not the other way round, for others have none.
            door = "http" if self.chance.random() < 0.5 else notice.door
            again = compose(replace(notice, door=door), to)
            ways.append(Arrival(notice=notice, callback=again, place=place + self.chance.uniform(0, 2 * _SHIFT)))
        if self.chance.random() < self.faults.bad_signature:
            false = forge(notice, to, self.chance)
            if false is not None:
                shift = self.chance.uniform(-2, 2)
                ways.append(Arrival(notice=replace(notice, forged=True), callback=false, place=place + shift))
        return ways

    def _place(self, position: int) -> float:
        place: float = position
        if self.chance.random() < self.faults.reorder:
            place += self.chance.uniform(-_SHIFT, _SHIFT)
        if self.chance.random() < self.faults.late:
            place += self.count
        return place

    def _tries(self, first: Arrival) -> list[Arrival]:
        ways = []
        for number in range(_TRIES[first.notice.task.vendor]):
            is_lost = self.chance.random() < self.faults.drop
            ways.append(replace(first, place=first.place + number * 0.5, is_lost=is_lost))
            if not is_lost:
                break
        return ways
