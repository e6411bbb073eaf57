"""How far a planned call has come, and what holds it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from handlers.actions import attempts_of, figures
from handlers.actions.stages import AGAIN, CLAIMED, OVER, WAITING
from handlers.actions.switches import is_stopped
from handlers.errors import ReelhookError
from handlers.tables import actions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.actions.switches import Switch
    from handlers.database import Database

#: milliseconds for which a limit may be spoken for without being worth a word
_NO_WAIT_MS: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Standing:
    """An action at one moment."""

    action: str
    operation: str
    #: `vendor/name`
    account: str
    rule: str
    quota: str | None
    api: str | None
    state: str
    stage: str
    #: why it is in this state
    reason: str | None
    attempts: int
    #: of the last attempt that ended: the vendor's code and name of the request, and its words
    code: str | None = None
    request_id: str | None = None
    detail: str | None = None

    @property
    def is_over(self) -> bool:
        """Nothing more happens to it by itself."""
        return self.stage == OVER

    @property
    def is_taken_up(self) -> bool:
        """A worker has it in hand, or has tried it."""
        return self.stage == CLAIMED or self.attempts > 0


def standing(database: Database, action: str) -> Standing:
    """Return how the action stands now; raise DatabaseAway, and ReelhookError where there is none of this id."""
    with database.read() as connection:
        row = connection.execute(select(actions).where(actions.c.id == action)).mappings().one_or_none()
        if row is None:
            raise ReelhookError(f"there is no action {action}")
        tried = attempts_of(connection, action) if row["attempts"] else ()
    ended = [one for one in tried if one["outcome"] is not None]
    return Standing(
        **{name: row[name] for name in ("operation", "rule", "quota", "api", "state", "stage", "reason", "attempts")},
        action=row["id"],
        account=f"{row['vendor']}/{row['account']}",
        **({name: ended[-1][name] for name in ("code", "request_id", "detail")} if ended else {}),
    )


def hindrances(database: Database, seen: Standing) -> list[str]:
    """Say what keeps the call from being made now, one sentence each; empty where nothing is known to."""
    if seen.is_over or seen.stage == CLAIMED:
        return []
    known = figures(database)
    said = [_stopped(one) for one in known.stopped if _is_meant(one, seen)]
    ahead = known.ahead_ms.get((seen.quota or "", seen.api or ""), 0)
    if ahead >= _NO_WAIT_MS:
        said.append(f"the limit of {seen.api} is spoken for, or the vendor asked for a rest: {ahead / 1000:.0f} s more")
    return [*said, *_of_its_own(seen)]


def _of_its_own(seen: Standing) -> Iterator[str]:
    if seen.stage == WAITING:
        yield "an earlier call of the same task comes first"
    elif seen.state == AGAIN:
        yield f"it waits for its next try, after {seen.reason or seen.detail or seen.code}"


def _is_meant(switch: Switch, seen: Standing) -> bool:
    return is_stopped([switch], rule=seen.rule, operation=seen.operation, account=seen.account, destination=None)


def _stopped(switch: Switch) -> str:
    what = "everything" if switch.kind == "all" else f"the {switch.kind} {switch.name}"
    return f"{what} is stopped by hand"
