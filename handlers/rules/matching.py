"""Decides which calls a change asks for, and says of every rule that asks for none why not."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from handlers.errors import WrongRequest
from handlers.operation import complete
from handlers.rules.model import derived_name
from handlers.rules.problems import NoValue

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from handlers.rules.change import Change
    from handlers.rules.expressions import Scope
    from handlers.rules.model import Batch, Known, Limits, Mode, Retry, Rule

#: why a rule asks for nothing: it is for other accounts, its calls are another vendor's, the event is older than
#: max_age, the condition is false, or the condition has no value
Reason = Literal["account", "vendor", "age", "condition", "failed"]

REASONS: Final[tuple[Reason, ...]] = ("account", "vendor", "age", "condition", "failed")


@dataclass(frozen=True, kw_only=True)
class Once:
    """What a rule acts once for."""

    scope: str
    #: equal for two changes of which the rule acts on one only
    key: str
    #: milliseconds after which it begins anew; None: never
    for_ms: int | None = None
    #: it is one change of one name, which is planned once in any case
    is_plain: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One call that a change asks for."""

    rule: str
    #: which step of the rule, from 0; it runs once the one before it is done
    step: int
    operation: str
    #: complete, under the API's names, as JSON holds them; None: the call is refused
    parameters: Mapping[str, Any] | None
    #: which constraint failed; None: the call can be made
    refused: str | None = None
    #: the name of the destination; None: a vendor's call
    destination: str | None = None
    #: of which one call may be under way at a time; None: of none
    lane: str | None = None
    once: Once
    mode: Mode
    #: milliseconds that the event may be old; None: any
    max_age_ms: int | None
    limits: Limits
    batch: Batch | None
    retry: Retry


@dataclass(frozen=True, kw_only=True)
class Unmatched:
    """A rule that waits for such a change and asks for nothing."""

    rule: str
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What all rules say to one change."""

    asked: tuple[Asked, ...] = ()
    unmatched: tuple[Unmatched, ...] = ()


_NOTHING: Final = Answer()


def version_of(text: str) -> str:
    """Return 16 hexadecimal digits that tell one text of rules from another."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class Rules:
    """All rules of one version; threads may share them."""

    def __init__(self, rules: Iterable[Rule], known: Known, *, version: str = "") -> None:
        """Sort the rules by the changes that they wait for."""
        self.all = tuple(rules)
        #: which text of the file they come from
        self.version = version
        self._known = known
        by_change: dict[str, list[Rule]] = defaultdict(list)
        for rule in self.all:
            for name in rule.when if rule.enabled else ():
                by_change[name].append(rule)
        self._by_change = {name: tuple(waiting) for name, waiting in by_change.items()}
        self._named = {name: _fields_named(waiting, name) for name, waiting in by_change.items()}

    def wait_for(self, change: str) -> bool:
        """Tell whether any rule waits for changes of this name, so that its views are needed."""
        return change in self._by_change

    def asked(self, change: Change, *, now: int | None = None) -> Answer:
        """Return every call that the change asks for, rule by rule in the order of the file, step by step.

        `now`, in milliseconds UTC, is what the event's age is judged by; None: none is too old. Raises nothing,
        whatever the change holds.
        """
        waiting = self._by_change.get(change.name)
        if not waiting:
            return _NOTHING
        matching = _Matching(change, self._known, self._named[change.name])
        asked: list[Asked] = []
        unmatched: list[Unmatched] = []
        for rule in waiting:
            why_not = _out_of_reach(rule, change, now) or matching.unmatched(rule)
            if why_not is None:
                asked.extend(matching.calls(rule))
            else:
                unmatched.append(why_not)
        return Answer(asked=tuple(asked), unmatched=tuple(unmatched))


def _fields_named(rules: Iterable[Rule], change: str) -> Mapping[str, Collection[str]]:
    """Return the fields of each view that the rules' conditions name for a change."""
    named: dict[str, set[str]] = defaultdict(set)
    for condition in (rule.cases[change].condition for rule in rules):
        for view, fields in condition.named.items() if condition is not None else ():
            named[view] |= fields
    return named


def _out_of_reach(rule: Rule, change: Change, now: int | None) -> Unmatched | None:
    """Tell why a rule is not asked at all."""
    if rule.accounts is not None and change.account not in rule.accounts:
        return Unmatched(rule=rule.name, reason="account")
    if rule.vendor is not None and rule.vendor != change.vendor:
        return Unmatched(rule=rule.name, reason="vendor")
    if now is not None and rule.max_age_ms is not None and now - change.at > rule.max_age_ms:
        age = f"the event is {(now - change.at) // 1000} s old; max_age is {rule.max_age_ms // 1000} s"
        return Unmatched(rule=rule.name, reason="age", detail=age)
    return None


class _Matching:
    """One change as it is held against one rule after the other."""

    def __init__(self, change: Change, known: Known, named: Mapping[str, Collection[str]]) -> None:
        self._change = change
        self._known = known
        #: the fields that the conditions name
        self._named = named
        self._scope: Scope | None = None
        self._narrow: Scope | None = None

    def unmatched(self, rule: Rule) -> Unmatched | None:
        """Evaluate the condition; return why the rule does not match, or None where it does."""
        condition = rule.cases[self._change.name].condition
        if condition is None:
            return None
        try:
            value = condition.evaluate(self._seen_narrowly())
        except NoValue as exc:
            return Unmatched(rule=rule.name, reason="failed", detail=str(exc))
        if value is True:
            return None
        if value is False:
            return Unmatched(rule=rule.name, reason="condition")
        came = "null" if value is None else type(value).__name__
        return Unmatched(rule=rule.name, reason="failed", detail=f"its value is {came}; expected true or false")

    def calls(self, rule: Rule) -> Iterable[Asked]:
        """Return the call of each step."""
        templates = rule.cases[self._change.name].parameters
        for step, (name, template) in enumerate(zip(rule.steps, templates, strict=True)):
            operation = self._known.operations[name]
            parameters: dict[str, Any] | None = None
            refused = destination = lane = None
            try:
                parameters = self._parameters(rule, step, template)
                lane = operation.lane(parameters)
                destination = self._destination(name, parameters)
            except (WrongRequest, ValueError) as exc:
                parameters, refused = None, str(exc)
                destination = to if isinstance(to := template.get("to"), str) else None
            yield Asked(
                rule=rule.name,
                step=step,
                operation=name,
                parameters=parameters,
                refused=refused,
                destination=destination,
                lane=lane,
                once=_once(rule, self._change),
                mode=rule.mode,
                max_age_ms=rule.max_age_ms,
                limits=rule.limits,
                batch=rule.batch,
                retry=rule.retry,
            )

    def _destination(self, operation: str, parameters: Mapping[str, Any]) -> str | None:
        """Return the destination's name, None for a vendor's call; raise ValueError where it can't be handed that."""
        if self._known.vendor_of(operation) is not None:
            return None
        to = str(parameters["to"])
        if (why := self._known.misfit(operation, to)) is not None:
            raise ValueError(f"to: {why}")
        return to

    def _parameters(self, rule: Rule, step: int, template: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters complete; raise ValueError or WrongRequest where the call can't be made."""
        name = rule.steps[step]
        operation = self._known.operations[name]
        told = {key: self._value(key, one) for key, one in template.items()}
        task = self._change.task_key
        own = dict(operation.own(task, self._change.business_id)) if task is not None else {}
        taken = {key: value for key, value in own.items() if key not in told}
        if task is not None and operation.task_type not in {None, task.type} and task.task_id in taken.values():
            text = f"{name} is for {operation.task_type} tasks, and this is a {task.type} task"
            raise ValueError(f'{text}; let the rule ask for task.type == "{operation.task_type}"')
        if (derived := derived_name(operation)) is not None and derived not in told:
            taken[derived] = _derived(rule, step, self._change)
        parameters = complete(operation.parameters, taken | told)
        if not _can_be_written(parameters):
            raise ValueError("the parameters hold half a surrogate pair, which can't be sent")
        return parameters

    def _value(self, key: str, template: Any) -> Any:  # noqa: ANN401 - any JSON value
        if template is None or isinstance(template, bool | int | float | str):
            return template
        from handlers.rules.templates import evaluate  # noqa: PLC0415 - as in _seen

        try:
            return evaluate(template, self._seen())
        except NoValue as exc:
            raise NoValue(f"{key}: {exc}") from exc

    def _seen_narrowly(self) -> Scope:
        """Return what conditions see: no more than they name, for most rules come no further."""
        if self._narrow is None:
            from handlers.rules.expressions import Scope  # noqa: PLC0415 - as in _seen

            self._narrow = Scope(self._change, named=self._named)
        return self._narrow

    def _seen(self) -> Scope:
        if self._scope is None:
            from handlers.rules.expressions import Scope  # noqa: PLC0415 - 30 MB that nobody needs without rules

            self._scope = Scope(self._change)
        return self._scope


def _can_be_written(parameters: Mapping[str, Any]) -> bool:
    """Tell whether they can be kept and sent as JSON; what a rule says as it stands may hold what UTF-8 has not."""
    try:
        json.dumps(parameters, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _derived(rule: Rule, step: int, change: Change) -> str:
    """Name a new task: the same for the same rule, step and change, so that a repeated call makes no second."""
    told = json.dumps([rule.name, step, change.name, change.occurrence])
    return f"rh-{hashlib.blake2b(told.encode(), digest_size=12).hexdigest()}"


def _once(rule: Rule, change: Change) -> Once:
    """Name what the rule acts once for; a task or room that not even the event names is as good as the subject."""
    told = change.task or change.event
    names: dict[str, list[Any]] = {
        "subject": [change.occurrence],
        "task": [change.task_name],
        "room": [change.vendor, told.get("app_id"), told.get("room_id")],
        "account": [change.vendor, change.account],
    }
    scope = rule.once_per.scope
    parts = names[scope] if None not in names[scope] else names["subject"]
    is_plain = scope == "subject" and rule.once_per.for_ms is None and len(rule.when) == 1
    key = json.dumps(parts, ensure_ascii=True, default=str)
    return Once(scope=scope, key=key, for_ms=rule.once_per.for_ms, is_plain=is_plain)
