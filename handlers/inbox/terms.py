"""On which terms a call is made: below whose limit, in which lane, how often again, and until when."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from handlers.actions import Named
from handlers.errors import SettingsError
from handlers.retries import CALLS, Schedule, destination_schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.events import TaskKey
    from handlers.operation import Operation
    from handlers.rules import Retry
    from handlers.settings import Account, Destination, Settings


class Terms:
    """What the settings and the operations say of calls."""

    def __init__(self, settings: Settings) -> None:
        """Take what knows accounts and destinations."""
        self._settings = settings
        self._quotas: dict[tuple[str, str], str] = {}

    def of_call(  # noqa: PLR0913 - what a vendor's call consists of
        self,
        vendor: str,
        account: str,
        operation: Operation,
        parameters: Mapping[str, Any] | None,
        *,
        task: TaskKey | None,
        business_id: str | None,
        retry: Retry,
    ) -> dict[str, Any]:
        """Return the terms of a vendor's call, as fields of a Planned; `task` is the one that the change is about.

        A name that the call gives to another task than that, which the parameters name, is held against the names that
        earlier calls gave, and not against those that the catalogue has heard of.
        """
        known = self._settings.accounts.get((vendor, account))
        lane = None if parameters is None else operation.lane(parameters)
        own = operation.own(task, business_id) if task is not None else {}
        is_own = lane is not None and lane == operation.lane(dict(parameters or {}) | dict(own))
        named = _named(operation, vendor, parameters, task if is_own else None)
        return {
            "lane": None if lane is None else f"{vendor}/{lane}",
            "quota": self.quota(vendor, account),
            "api": operation.api,
            "limit": operation.limit if known is None else known.limits.get(operation.name, operation.limit),
            "schedule": _changed(CALLS, retry),
            "is_repeatable": operation.is_repeatable,
            "needs_run": is_own and operation.task_type is not None,
            "covers": None if operation.covers is None else f"{vendor}.{operation.name}",
            "sequence": operation.sequence,
            "named": named,
            "starts": operation.derived is not None,
            "precondition": operation.precondition,
        }

    def of_handover(self, name: str | None, *, is_repeatable: bool, retry: Retry) -> dict[str, Any]:
        """Return the terms of a call to a destination, as fields of a Planned."""
        known: Destination | None = self._settings.destinations.get(name or "")
        schedule = destination_schedule(known.retries) if known is not None else CALLS
        return {
            "destination": name,
            "lane": f"destination/{name}" if known is not None and known.ordered else None,
            "quota": f"destination/{name}" if known is not None and known.rate else None,
            "api": "" if known is not None and known.rate else None,
            "limit": None if known is None else known.rate,
            "schedule": _changed(schedule, retry),
            "is_repeatable": is_repeatable,
        }

    def quota(self, vendor: str, account: str) -> str:
        """Name whose limit counts: the accounts of one vendor account share it, on all machines.

        Those with one `quota`, else with one access key; where that is temporary, with one reference to it, which
        stays the same when the key changes.
        """
        if (vendor, account) not in self._quotas:
            known = self._settings.accounts.get((vendor, account))
            self._quotas[vendor, account] = f"{vendor}/{_group(known) or account}"
        return self._quotas[vendor, account]


def changes_key(account: Account) -> bool:
    """Tell whether another access key may stand in the place of an account's while it goes on: it is temporary."""
    key = account.access_key_id
    return key is not None and (account.security_token is not None or key.reference.startswith("file:"))


def _group(account: Account | None) -> str | None:
    """Return what all processes call the accounts of one vendor account, for as long as the settings stay the same."""
    if account is None or account.quota is not None or account.access_key_id is None:
        return None if account is None else account.quota
    if changes_key(account):
        # Not its value: a worker that starts after a rotation would count apart from those that started before.
        return f"ref-{_short(account.access_key_id.reference)}"
    with suppress(SettingsError):
        return f"key-{_short(account.access_key_id.reveal())}"
    return None


def _short(told: str) -> str:
    return hashlib.blake2b(told.encode(), digest_size=6).hexdigest()


def _named(
    operation: Operation, vendor: str, parameters: Mapping[str, Any] | None, task: TaskKey | None
) -> Named | None:
    value = None if operation.unique is None or parameters is None else parameters.get(operation.unique)
    if value is None:
        return None
    return Named(kind=f"{vendor}.{operation.unique}", value=str(value), task=task)


def _changed(schedule: Schedule, retry: Retry) -> Schedule:
    return schedule.changed(tries=retry.tries, within_ms=retry.within_ms, delays_ms=retry.delays_ms)
