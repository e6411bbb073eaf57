"""Everything Reelhook raises on purpose, so that a boundary can tell it from a bug.

ReelhookError
├── SettingsError            the configuration can't be used; the start is refused
├── RefusedDelivery          not authentic, or over the size: the vendor gets 4xx
│   ├── BadToken             the secret in the callback URL is missing or wrong
│   ├── BadSignature         the vendor's signature is missing, wrong, stale or forged
│   ├── Uncheckable          so malformed that its signature can't be checked
│   ├── IncompleteDelivery   the connection broke off before the body was whole
│   ├── TooLarge             the body is over the size that we take
│   └── UnknownAccount       the URL names no vendor or account that is configured
├── CannotVerify             whether a delivery is authentic can't be told now: 503, another try may succeed
├── UnreadableDelivery       authentic, but its meaning can't be told: kept and quarantined
├── NotReleasable            a refusal that can't be released, and why
├── DatabaseAway             the database did not answer in time; another try may succeed
│   └── BrokenOff            it undid a transaction for another's sake; the same at once may succeed
├── StoreUnavailable         neither database nor spool could be written: 503
├── ActionLost               an action is in other hands by now: the call must not be made
├── HeldBack                 the other side wants no call for longer than anybody waits with one in hand
├── QueueAway                a queue gave no answer, or refuses us: another try may succeed
└── WrongRequest             a question that can't be answered as put, with every wrong field
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ReelhookError(Exception):
    """Something went wrong in a way that Reelhook foresaw."""

    def __init__(self, message: str | None = None) -> None:
        """Take the message, or the first line of the class's docstring."""
        super().__init__(message or (self.__doc__ or "").strip().split("\n", 1)[0])


class SettingsError(ReelhookError):
    """The configuration can't be used."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Carry every problem found, one sentence each."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class RefusedDelivery(ReelhookError):
    """The delivery is not authentic."""

    #: the word that stands in refusals, metrics and logs
    reason: ClassVar[str] = "refused"
    #: the HTTP status that the sender gets
    status: ClassVar[int] = 401


class BadToken(RefusedDelivery):
    """The secret in the callback URL is missing or wrong."""

    reason = "bad_token"


class BadSignature(RefusedDelivery):
    """The vendor's signature is missing, wrong, stale or forged."""

    reason = "bad_signature"


class Uncheckable(RefusedDelivery):
    """The delivery is so malformed that its signature can't be checked."""

    reason = "uncheckable"
    status = 400


class IncompleteDelivery(RefusedDelivery):
    """The body ended before its announced length."""

    reason = "incomplete"
    status = 400


class TooLarge(RefusedDelivery):
    """The body is over the size that we take."""

    reason = "too_large"
    status = 413


class UnknownAccount(RefusedDelivery):
    """The URL names no vendor or account that is configured."""

    reason = "unknown_account"
    status = 404


class CannotVerify(ReelhookError):
    """Whether the delivery is authentic can't be told now."""


class UnreadableDelivery(ReelhookError):
    """The delivery is authentic, but its meaning can't be told."""


class NotReleasable(ReelhookError):
    """The refusal can't be released."""


class DatabaseAway(ReelhookError):
    """The database did not answer in time."""


class BrokenOff(DatabaseAway):
    """The database undid a transaction, because it and another waited for each other."""


class StoreUnavailable(ReelhookError):
    """Neither the database nor the spool could be written."""


class ActionLost(ReelhookError):
    """The action is in other hands by now."""


class HeldBack(ReelhookError):
    """The other side takes no call at the moment; nothing was sent."""

    def __init__(self, after_ms: int) -> None:
        """Carry the milliseconds until one may be made."""
        self.after_ms = after_ms
        super().__init__(f"nothing was sent: the other side wants no call for {after_ms / 1000:.0f} s")


class QueueAway(ReelhookError):
    """The queue did not answer, or it refuses us."""

    def __init__(self, message: str, *, does: str | None = None) -> None:
        """Carry what came, and what to change where waiting alone won't mend it."""
        self.does = does
        super().__init__(message if does is None else f"{message}; {does}")


class WrongRequest(ReelhookError):
    """The request can't be answered as it was put."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        """Carry what is wrong, by the name of the field."""
        self.wrong = dict(wrong)
        super().__init__("; ".join(f"{name}: {why}" for name, why in self.wrong.items()))
