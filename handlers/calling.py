"""How the call of an action is made: prepared from its parameters and the settings of this moment, sent, and read."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from handlers import tables
from handlers.actions import Performed
from handlers.clock import now_ms
from handlers.destinations import ANYWHERE, OPERATIONS, Handover, Means, NoAnswer, hand_over, hide, unanswered
from handlers.errors import SettingsError, WrongRequest
from handlers.keeping.deliveries import to_delivery
from handlers.operation.answers import without_tokens
from handlers.operation.dry_run import show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.actions import Claimed
    from handlers.database import Database
    from handlers.events import Delivery
    from handlers.operation import Operation, Outcome, Request, Response
    from handlers.settings import Account, Destination, Settings
    from handlers.vendor import Vendor

#: milliseconds that a vendor may take for an answer
TIMEOUT_MS: Final = 10_000
#: milliseconds after which a signature is made anew before it is sent: the call had to wait for its slot
_FRESH_MS: Final = 1_000
_LONGEST_ANSWER: Final = 4_096


class Caller:
    """What makes the calls of one worker; its threads share it."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        vendors: Mapping[str, Vendor],
        *,
        timeout_ms: int = TIMEOUT_MS,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """Take what knows accounts and destinations, and what knows the vendors' operations.

        `timeout_ms` is for a vendor's call, whole; a destination has its own.
        """
        self._database = database
        self._settings = settings
        self._vendors = vendors
        self._timeout_ms = timeout_ms
        self._clock = clock
        self._means = Means()

    def perform(self, claimed: Claimed, start: Callable[[str], None]) -> Performed:
        """Make one call, as handlers.actions.Perform has it.

        Before `start` it raises WrongRequest for what can't be called any more, and SettingsError for what the settings
        lack, which may be mended.
        """
        call = self._hand_over if claimed.operation in OPERATIONS else self._call
        performed = call(claimed, start)
        return replace(performed, outcome=_with_consequence(performed.outcome, self._repeat(claimed)))

    def close(self) -> None:
        """Close every connection; no call may be under way."""
        self._means.close()

    def _call(self, claimed: Claimed, start: Callable[[str], None]) -> Performed:
        operation = self._operation(claimed.operation)
        account = self._account(claimed.vendor, claimed.account)
        prepared_at = self._clock()
        request = self._request(claimed, operation, account, prepared_at)
        start(show(request))
        if self._clock() - prepared_at > _FRESH_MS:
            request = self._request(claimed, operation, account, self._clock())
        try:
            response = self._means.sender.send(request, timeout_ms=self._timeout_ms, allowed=ANYWHERE)
        except NoAnswer as exc:
            return Performed(outcome=unanswered(exc))
        hidden = _secrets_of(account, request)
        outcome = _with_another_key(operation.outcome(response), account)
        return Performed(outcome=replace(outcome, detail=hide(outcome.detail, hidden)), answer=_shown(response, hidden))

    def _repeat(self, claimed: Claimed) -> str:
        """Say what the call does if it is made again."""
        if not claimed.is_repeatable:
            return "could do harm"
        known = None if claimed.operation in OPERATIONS else self._operation(claimed.operation).repeat
        return (None if known is None else known(claimed.parameters)) or "does no harm"

    def _request(self, claimed: Claimed, operation: Operation, account: Account, at: int) -> Request:
        parameters = dict(claimed.parameters)
        if operation.sequence is not None and claimed.sequence_number is not None:
            parameters[operation.sequence] = claimed.sequence_number
        return operation.request(parameters, account, at, secrets.token_hex(16))

    def _hand_over(self, claimed: Claimed, start: Callable[[str], None]) -> Performed:
        destination = self._destination(claimed.destination)
        operation = OPERATIONS[claimed.operation]
        handover = self._handover(claimed, needs_delivery=operation.needs_delivery)
        if operation.request is not None and operation.kind == destination.kind:
            start(show(operation.request(handover, destination)))
        else:
            start(f"{claimed.operation} to the destination {destination.name}")
        if self._clock() - handover.at > _FRESH_MS:
            handover = replace(handover, at=self._clock())
        return Performed(outcome=hand_over(claimed.operation, handover, destination, self._means))

    def _handover(self, claimed: Claimed, *, needs_delivery: bool) -> Handover:
        """Return what is handed over; of a batch with its further actions."""
        others = claimed.others
        delivery = self._delivery(claimed.delivery) if needs_delivery else None
        if needs_delivery and delivery is None:
            raise WrongRequest({"delivery": f"{claimed.delivery} is not kept any more; keep deliveries for longer"})
        return Handover(
            id=claimed.id,
            parameters=claimed.parameters,
            told=claimed.told or {},
            at=self._clock(),
            lane=claimed.lane,
            delivery=delivery,
            others=None if others is None else tuple(self._handover(one, needs_delivery=False) for one in others),
        )

    def _delivery(self, delivery: str) -> Delivery | None:
        query = select(tables.deliveries).where(tables.deliveries.c.id == delivery)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else to_delivery(row)

    def _operation(self, name: str) -> Operation:
        vendor, _, own = name.partition(".")
        known = self._vendors[vendor].operations if vendor in self._vendors else {}
        if own not in known:
            raise WrongRequest({"operation": f"is {name}, which this version does not know"})
        return known[own]

    def _account(self, vendor: str, name: str) -> Account:
        if (vendor, name) not in self._settings.accounts:
            raise SettingsError([f"accounts.{name}: is not configured for {vendor} any more; its calls can't be made"])
        return self._settings.accounts[vendor, name]

    def _destination(self, name: str | None) -> Destination:
        if name is None or name not in self._settings.destinations:
            raise SettingsError([f"destinations.{name}: is not configured; write a [destinations.{name}] table"])
        return self._settings.destinations[name]


def _with_consequence(outcome: Outcome, repeat: str) -> Outcome:
    """Say of an outcome that leaves open what was done what the call does if it is made again."""
    if not outcome.is_unclear:
        return outcome
    return replace(
        outcome, meaning=f"{outcome.meaning}; it may have had its effect, and a repeat {repeat}".lstrip("; ")
    )


def _with_another_key(outcome: Outcome, account: Account) -> Outcome:
    """Let a call be made again whose temporary key is refused: not every vendor has a word for one that is over.

    Settings of `file:` are read at each try, and whoever wrote this key writes the next one.
    """
    if not outcome.is_key_refused or outcome.verdict != "give_up" or account.security_token is None:
        return outcome
    why = "the key is a temporary one: the next try takes it as it is then"
    return replace(outcome, verdict="again", meaning=f"{outcome.meaning}; {why}")


def _secrets_of(account: Account, request: Request) -> list[str]:
    """Return what the other side knows and might quote, revealed: never to be shown."""
    keys = [account.secret_access_key, account.security_token]
    sent = [text for name, text in request.headers.items() if name in request.hidden]
    return [*(one.reveal() for one in keys if one is not None), *sent, *(text.partition(" ")[2] for text in sent)]


def _shown(response: Response, hidden: list[str]) -> str:
    """Return the answer as it is kept with its attempt."""
    text = response.body.decode(errors="replace")
    # Hidden before it is cut: half a secret would not be found.
    return without_tokens(hide(f"HTTP {response.status}\n{text}", hidden))[:_LONGEST_ANSWER]
