"""Whether what the rules ask for can be done: their file, the destinations and accounts that they call, the limits."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers.destinations import OPERATIONS
from handlers.doctor.findings import Finding, fail, ok, warn
from handlers.errors import SettingsError
from handlers.inbox.terms import Terms, changes_key
from handlers.operation import access_of
from handlers.rules import Retry, Rules
from handlers.rules.known import known_of
from handlers.settings.kinds import ACCOUNTS
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from handlers.rules import Rule
    from handlers.rules.rule_file import RuleFile
    from handlers.settings import Account, Settings


@dataclass(frozen=True, kw_only=True)
class Use:
    """A rule that calls a destination or an account."""

    rule: Rule
    operation: str

    @property
    def is_live(self) -> bool:
        """Its calls are really made."""
        return self.rule.mode == "live"


def examine_rules(settings: Settings) -> Iterator[Finding]:
    """Look at the file of rules, and at all that it names; nobody is called."""
    read = None
    try:
        read = _read(settings)
    except (OSError, ValueError) as exc:
        does = "let the user that runs Reelhook read it, and write it in UTF-8"
        yield fail("rules", f"{settings.rules} can't be read: {exc}", does)
    if read is not None:
        yield from _file(settings, read)
    elif settings.rules_named and not settings.rules.exists():
        does = "put it there, or write `rules: []` into it; until then workers stay with the last rules there were"
        yield fail("rules", f"there is no {settings.rules}, though REELHOOK_RULES names it", does)
    elif not settings.rules.exists():
        yield ok("rules", f"there is no {settings.rules}: no rules, and nothing is called")
    rules = [rule for rule in read.rules if rule.enabled] if read is not None else []
    yield from _destinations(settings, rules)
    yield from _accounts(settings, rules)
    yield from _limits(settings)


def _read(settings: Settings) -> RuleFile | None:
    """Read the file; None: there is none. Raise OSError or ValueError where it can't be read."""
    from handlers.rules.rule_file import read_rules  # noqa: PLC0415 - 30 MB that nobody needs without rules

    try:
        text = settings.rules.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    return read_rules(text, known_of(settings))


def _file(settings: Settings, read: RuleFile) -> Iterator[Finding]:
    """Tell what `rules check` tells."""
    from handlers.rules.samples import run_samples  # noqa: PLC0415 - as in _read

    name = settings.rules.name
    for problem in read.errors:
        does = (
            "mend it; until then workers stay with the rules that they have, or with the last there were; "
            "where those are wrong by now, too, deliveries wait"
        )
        yield fail("rules", problem.shown(name), does)
    if read.errors:
        return
    known = known_of(settings)
    for problem in run_samples(Rules(read.rules, known), known):
        yield warn("rules.tests", problem.shown(name), "mend the rule or its test; `reelhook rules check` runs them")
    for problem in read.warnings:
        yield warn("rules.warnings", problem.shown(name), "leave it where it is meant so; docs/rules.md says more")
    number = len(read.rules)
    yield ok("rules", f"{settings.rules} is in order: {number} rule{'s' * (number != 1)}, version {read.version}")


def _destinations(settings: Settings, rules: Sequence[Rule]) -> Iterator[Finding]:
    used = _used_destinations(settings, rules)
    for name, destination in settings.destinations.items():
        check, uses = f"destinations.{name}", used.get(name, ())
        lacks = dict.fromkeys(reason for use in uses if (reason := OPERATIONS[use.operation].missing(destination)))
        for reason in lacks:
            judge = fail if any(use.is_live for use in uses) else warn
            does = "mend it on every machine where a worker runs; until then what is handed over there is tried in vain"
            yield judge(check, f"{_by(uses)} names it, and it can't be used on this machine: {reason}", does)
        if not lacks:
            yield ok(
                check, f"{destination.kind}, named by {_by(uses)}" if uses else f"{destination.kind}, no rule names it"
            )


def _used_destinations(settings: Settings, rules: Sequence[Rule]) -> Mapping[str, Sequence[Use]]:
    """Tell who names which destination; a name that depends on the change may be any of its kind."""
    found: dict[str, list[Use]] = defaultdict(list)
    for rule in rules:
        for step, operation in enumerate(rule.steps):
            if operation not in OPERATIONS:
                continue
            fitting = [one.name for one in settings.destinations.values() if one.kind == OPERATIONS[operation].kind]
            told = [case.parameters[step].get("to") for case in rule.cases.values()]
            names = {name for to in told for name in ([to] if isinstance(to, str) else fitting)}
            for name in sorted(names):
                found[name].append(Use(rule=rule, operation=operation))
    return found


def _accounts(settings: Settings, rules: Sequence[Rule]) -> Iterator[Finding]:
    """Tell which accounts can't make the calls that rules ask of them."""
    for (vendor, name), account in settings.accounts.items():
        uses = [
            Use(rule=rule, operation=rule.steps[0])
            for rule in rules
            if rule.vendor == vendor and (rule.accounts is None or name in rule.accounts)
        ]
        lacks = list(_lacking(account)) if uses else []
        for lack in lacks:
            judge = fail if any(use.is_live for use in uses) else warn
            says = f"{_by(uses)} calls {vendor}, and the account can't: {lack}"
            yield judge(f"accounts.{name}.calls", says, f"mend [accounts.{name}] of {settings.config}")
        if uses and not lacks:
            yield ok(f"accounts.{name}.calls", f"{_by(uses)} calls {vendor}, and the account has its key")


def _lacking(account: Account) -> Iterator[str]:
    """Tell what keeps the account's calls from being signed."""
    unset = [key for key in ("access_key_id", "secret_access_key") if getattr(account, key) is None]
    if "project_id" in ACCOUNTS.kinds[account.vendor].keys and account.project_id is None:
        unset.append("project_id")
    for key in unset:
        yield f"{key} is not set"
    if not unset:
        try:
            access_of(account)
        except SettingsError as exc:
            yield from exc.problems


def _limits(settings: Settings) -> Iterator[Finding]:
    """Tell accounts that share one limit of their vendor and don't agree how high it is."""
    terms = Terms(settings)
    for vendor in VENDORS.values():
        for operation in vendor.operations.values():
            shared: dict[str, dict[str, float | None]] = defaultdict(dict)
            for of, name in settings.accounts:
                if of == vendor.name:
                    told = terms.of_call(of, name, operation, None, task=None, business_id=None, retry=Retry())
                    shared[told["quota"]][name] = told["limit"]
            for limits in shared.values():
                if len(set(limits.values())) > 1:
                    yield _disagreement(operation.name, limits)
        yield from _apart(vendor.name, settings, terms)


def _apart(vendor: str, settings: Settings, terms: Terms) -> Iterator[Finding]:
    """Tell accounts that may be one at the vendor, and don't share its limits because their keys can't tell."""
    groups: dict[str, list[Account]] = defaultdict(list)
    for account in settings.accounts.values():
        if account.vendor == vendor and account.quota is None and account.access_key_id is not None:
            groups[terms.quota(vendor, account.name)].append(account)
    if len(groups) > 1 and any(changes_key(one) for some in groups.values() for one in some):
        names = " | ".join(sorted(", ".join(one.name for one in some) for some in groups.values()))
        says = f"accounts of {vendor} with keys that change count their calls apart: {names}"
        does = "write the same `quota` into those that are one account at the vendor, and another into each other one"
        yield warn("accounts.quota", says, does)


def _disagreement(operation: str, limits: Mapping[str, float | None]) -> Finding:
    told = ", ".join(f"{name} {'none' if limit is None else f'{limit:g}'}" for name, limit in limits.items())
    says = f"accounts with one quota have different limits of {operation} (calls per second): {told}"
    does = "write the same `limits` into each, or another `quota` where they are different accounts at the vendor"
    return warn("accounts.limits", says, does)


def _by(uses: Sequence[Use]) -> str:
    names = list(dict.fromkeys(use.rule.name for use in uses))
    return f"rule {names[0]}" if len(names) == 1 else f"rules {', '.join(names)}"
