"""Whether a call that somebody wants can be made: operation, account, task and every parameter are known and fit."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handlers.errors import WrongRequest
from handlers.events import TaskKey
from handlers.operation import caveats_of, complete, dry_run, find_unsent
from handlers.rules.parameters import own_names
from handlers.settings.values import listed, meant, quoted
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handlers.operation import Operation
    from handlers.questions.items import Item
    from handlers.settings import Account, Settings


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A call that can be made."""

    #: as rules write it, such as `volcengine.update_segment`
    name: str
    operation: Operation
    account: Account
    #: complete, under the API's names; but for a number that each attempt gets anew
    parameters: Mapping[str, Any]
    #: the id of the catalogue's task that it is about, and the vendor's name of it; None: nobody named one
    task: str | None = None
    task_key: TaskKey | None = None
    business_id: str | None = None
    #: a name that was made for a new task, as it was not given: the parameter and its value
    made: tuple[str, str] | None = None
    #: what whoever wants it may not expect of it, one sentence each
    notes: tuple[str, ...] = ()


def names_of_operations() -> list[str]:
    """Return the names of all calls that can be made by hand."""
    return [f"{vendor.name}.{name}" for vendor in VENDORS.values() for name in vendor.operations]


def find_operation(name: str) -> Operation:
    """Return an operation by the name that rules write; raise WrongRequest, naming the known ones, for another."""
    vendor, _, own = name.partition(".")
    known = VENDORS[vendor].operations if vendor in VENDORS else {}
    if own not in known:
        names = names_of_operations()
        why = f"{quoted(name)} is no vendor's call{meant(name, names)}; known: {listed(names)}"
        raise WrongRequest({"OPERATION": why})
    return known[own]


def want(  # noqa: PLR0913 - what somebody may say of a call
    settings: Settings,
    name: str,
    given: Mapping[str, Any],
    *,
    account: str | None = None,
    task: Item | None = None,
    at: int,
) -> Wanted:
    """Return the call complete and checked; `at` in milliseconds UTC. Sends and writes nothing.

    Raises WrongRequest with everything that its API would not take as it is, and SettingsError for an account that
    can't call.
    """
    operation, vendor = find_operation(name), name.partition(".")[0]
    if task is not None and task["vendor"] != vendor:
        raise WrongRequest({"--task": f"{task['id']} is a task of {task['vendor']}; {name} needs one of {vendor}"})
    caller = _account(settings, vendor, account, task)
    key = None if task is None else _key(task)
    business_id = None if task is None else task["business_id"]
    filled = dict(given) | _filled(name, operation, given, key, business_id)
    made = None if operation.derived is None or operation.derived in given else (operation.derived, _new_name())
    if made is not None:
        filled[made[0]] = made[1]
    assumed = {one: value for one, value in operation.assumed.items() if filled.get(one) is None}
    filled |= assumed
    wanted = Wanted(
        name=name,
        operation=operation,
        account=caller,
        parameters=_completed(operation, filled, task),
        task=None if task is None else task["id"],
        task_key=key,
        business_id=business_id,
        made=made,
        notes=tuple(_notes(operation, dict(given) | assumed, assumed)),
    )
    shown(wanted, at=at, nonce="")  # so that a key that is missing shows now, and not only at the first attempt
    return wanted


def shown(wanted: Wanted, *, at: int, nonce: str) -> str:
    """Return the signed request as text, with its secrets hidden; `at` in milliseconds UTC. Nothing is sent.

    A number that must grow is the least that an attempt would send now.
    """
    growing = wanted.operation.sequence
    number = {} if growing is None else {growing: at // 1000}
    return dry_run(wanted.operation, dict(wanted.parameters) | number, wanted.account, at=at, nonce=nonce)


def _account(settings: Settings, vendor: str, name: str | None, task: Item | None) -> Account:
    own = [account for other, account in settings.accounts if other == vendor]
    meant_one = name or (task["account"] if task is not None else None) or (own[0] if len(own) == 1 else None)
    if meant_one in own:
        return settings.accounts[vendor, meant_one]
    if not own:
        why = f"there is no account of {vendor}; write an [accounts.NAME] table into reelhook.toml"
    elif meant_one is None:
        why = f"is not given; {vendor} has several: expected one of {listed(own)}"
    else:
        why = f"there is no account {quoted(meant_one)} of {vendor}{meant(meant_one, own)}; known: {listed(own)}"
    raise WrongRequest({"--account": why})


def _key(task: Item) -> TaskKey:
    return TaskKey(**{name: task[name] for name in ("vendor", "app_id", "room_id", "type", "task_id")})


def _filled(
    name: str, operation: Operation, given: Mapping[str, Any], key: TaskKey | None, business_id: str | None
) -> dict[str, str]:
    """Return the parameters that the call has of its task, those left out that were given."""
    if operation.sequence is not None and operation.sequence in given:
        why = "is set for each attempt, greater than the last one's; leave it out"
        raise WrongRequest({operation.sequence: why})
    if key is None:
        return {}
    taken = {one: value for one, value in operation.own(key, business_id).items() if one not in given}
    if operation.task_type not in {None, key.type} and key.task_id in taken.values():
        why = f"is a {key.type} task; {name} is for {operation.task_type} tasks"
        raise WrongRequest({"--task": why})
    return taken


def _completed(operation: Operation, filled: Mapping[str, Any], task: Item | None) -> dict[str, Any]:
    try:
        return complete(operation.parameters, filled)
    except WrongRequest as exc:
        own = own_names(operation)
        is_missing = task is None and any(one not in filled for one in own.intersection(exc.wrong))
        fills = f"a task of the catalogue (`reelhook tasks list`) fills in {listed(sorted(own))}"
        raise WrongRequest(exc.wrong | ({"--task": fills} if is_missing else {})) from None


def _notes(operation: Operation, given: Mapping[str, Any], assumed: Mapping[str, Any]) -> Iterator[str]:
    said = {known.alias or name: known.description for name, known in operation.parameters.model_fields.items()}
    for name, value in assumed.items():
        yield f"{name} is not given: the API takes it for {json.dumps(value)}; there is {said[name]}"
    for name in find_unsent(operation.parameters, given):
        yield f"{name} is no parameter of this call: it is not sent"
    yield from caveats_of(operation.warnings, given)


def _new_name() -> str:
    """Name a new task, as rules do: every call by hand is another."""
    return f"rh-{secrets.token_hex(12)}"
