"""Where the vendors write down what they have to tell, each thing under a number of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from standin.callbacks.plan import Notice, Task, TaskType

if TYPE_CHECKING:
    from random import Random

SECOND = 1_000
MINUTE = 60_000
HOUR = 3_600_000
DAY = 24 * HOUR

#: words of our imaginary schools
ROOMS = ("math-1a", "physics_2", "music@home", "chess.club")
USERS = ("teacher-li", "ann", "bo", "chen", "dai")


@dataclass(kw_only=True)
class Diary:
    """What happens between two times."""

    seed: int
    #: milliseconds UTC
    begins_at: int
    ends_at: int
    #: some of Alibaba's files are told of through a queue
    queue: bool
    _notices: list[Notice] = field(default_factory=list)

    def named(self, vendor: str, kind: TaskType, number: int, *, name: str, business_id: str | None = None) -> Task:
        """Return the name of the vendor's n-th task, in a room of its own."""
        return Task(
            vendor=vendor,
            type=kind,
            app_id=f"s{self.seed}-{vendor}",
            room_id=f"s{self.seed}-{ROOMS[number % len(ROOMS)]}-{number}",
            task_id=f"s{self.seed}-{name}-{number}",
            business_id=business_id,
        )

    def moment(self, chance: Random, *, before_end: int) -> int:
        """Return some time that leaves `before_end` milliseconds until the end."""
        latest = max(self.ends_at - before_end - self.begins_at, 1)
        return self.begins_at + chance.randrange(latest)

    def tell(self, notice: Notice) -> None:
        """Write down one thing; its number is given here."""
        self._notices.append(replace(notice, number=len(self._notices)))

    def sorted(self) -> tuple[Notice, ...]:
        """Return all of it by time."""
        return tuple(sorted(self._notices, key=lambda notice: (notice.at, notice.number)))
