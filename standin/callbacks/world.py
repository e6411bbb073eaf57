"""Which tasks a world holds and what becomes of them: some hours of rooms at three vendors, the same for one seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from standin.callbacks import aliyun_days, huawei_days, volcengine_days
from standin.callbacks.callback import VENDORS, Callback, Counterpart
from standin.callbacks.composing import compose
from standin.callbacks.diary import Diary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from standin.callbacks.plan import Notice

#: 2026-03-09T18:00:00Z: a world without a time of its own ends here
ENDS_AT = 1_773_079_200_000
#: of a length that Huawei's console takes
_SECRET = "made-up" * 5
COUNTERPARTS: Mapping[str, Counterpart] = {
    "volcengine": Counterpart(vendor="volcengine", account="classroom", secret=_SECRET),
    "huawei": Counterpart(vendor="huawei", account="clinic", secret=_SECRET),
    "aliyun": Counterpart(vendor="aliyun", account="lessons", token=_SECRET),
}

_DAYS = {"volcengine": volcengine_days, "huawei": huawei_days, "aliyun": aliyun_days}
_HOUR = 3_600_000


class World:
    """Some hours at the vendors: everything that they have to tell, in the order of its time.

    The same arguments make the same world, and its ids begin with the seed: two worlds of different seeds share no
    task.
    """

    def __init__(  # noqa: PLR0913 - each has a default, and says something of its own
        self,
        *,
        seed: int = 7,
        tasks: int = 20,
        hours: float = 6.0,
        vendors: Sequence[str] = VENDORS,
        queue: bool = True,
        ends_at: int = ENDS_AT,
    ) -> None:
        """Plan `tasks` task names, spread over the vendors, within the hours before `ends_at` (milliseconds UTC).

        With `queue` some of Alibaba's files are told of through a queue (door mns). A user whom Volcengine records by
        itself is recorded each day of the week before `ends_at`, under one TaskId.
        """
        self.seed = seed
        diary = Diary(seed=seed, begins_at=ends_at - int(hours * _HOUR), ends_at=ends_at, queue=queue)
        chances = {vendor: random.Random(f"{seed}:{vendor}") for vendor in vendors}
        for number in range(tasks):
            vendor = vendors[number % len(vendors)]
            _DAYS[vendor].live(diary, number // len(vendors), chances[vendor])
        #: what there is to tell, sorted by time
        self.notices: tuple[Notice, ...] = diary.sorted()

    @property
    def app_ids(self) -> tuple[str, ...]:
        """The applications of this world, one per vendor, which no other seed's world has."""
        return tuple(sorted({notice.task.app_id for notice in self.notices}))

    def deliveries(self, counterparts: Mapping[str, Counterpart] = COUNTERPARTS) -> list[Callback]:
        """Return every callback once, signed for these accounts (by vendor), in the order of its time."""
        return [compose(notice, counterparts[notice.task.vendor]) for notice in self.notices]
