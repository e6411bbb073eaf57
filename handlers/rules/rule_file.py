"""Reads a file of rules: every rule whole, or every problem with its line and column."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from handlers.events import KINDS
from handlers.rules import notation, pace, pitfalls
from handlers.rules.constants import warn_of_constant
from handlers.rules.keys import FILE_KEYS, REQUIRED, RULE_KEYS
from handlers.rules.loops import find_loops
from handlers.rules.matching import version_of
from handlers.rules.model import (
    MODES,
    SCOPES,
    VENDOR_MAX_AGE,
    Case,
    OncePer,
    Rule,
)
from handlers.rules.nodes import Node, Scalar, read_nodes
from handlers.rules.problems import Findings, Problem
from handlers.rules.samples import read_samples
from handlers.rules.steps import Step, check_step, read_step
from handlers.rules.templates import Part, check, holds_expression, read_parameters
from handlers.settings.values import listed, meant, quoted, read_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.rules.expressions import Expression
    from handlers.rules.model import Known
    from handlers.rules.model import Scope as OnceScope

#: rules of one file
MOST_RULES: Final = 1000


@dataclass(frozen=True, kw_only=True)
class RuleFile:
    """What a text of rules came to."""

    #: without errors all of them, else none
    rules: tuple[Rule, ...]
    errors: Sequence[Problem]
    warnings: Sequence[Problem]
    #: of the text, 16 hexadecimal digits
    version: str
    #: it says nothing of rules, not even that there are none
    is_blank: bool = False


def read_rules(text: str, known: Known) -> RuleFile:
    """Read and check a text of rules; raise nothing, whatever it holds."""
    findings = Findings(known.words)
    told = _rules(read_nodes(text, findings), known, findings)
    rules = told or ()
    if not findings.errors:
        find_loops(rules, known, findings)
    errors = findings.errors
    return RuleFile(
        rules=() if errors else rules,
        errors=errors,
        warnings=findings.warnings,
        version=version_of(text),
        is_blank=told is None and not errors,
    )


def _rules(root: Node | None, known: Known, findings: Findings) -> tuple[Rule, ...] | None:
    """Return the rules; None where nothing is said of any, as in a file that is being written."""
    if root is None:
        return None
    listed_rules = notation.members(root, FILE_KEYS, findings, what="the file").get("rules")
    if listed_rules is None or (isinstance(listed_rules, Scalar) and listed_rules.value is None):
        return None
    nodes = notation.items(listed_rules, findings, what="rules")
    if len(nodes) > MOST_RULES:
        findings.error(listed_rules.place, f"there are {len(nodes)} rules; expected at most {MOST_RULES}")
        return ()
    rules = [_RuleReader(node, known, findings).rule() for node in nodes]
    read = tuple(rule for rule in rules if rule is not None)
    _check_names(read, findings)
    return read


def _check_names(rules: Sequence[Rule], findings: Findings) -> None:
    first: dict[str, Rule] = {}
    for rule in rules:
        if (other := first.setdefault(rule.name, rule)) is not rule:
            findings.error(
                rule.place, f"the name {quoted(rule.name)} stands twice; the first is on line {other.place.line}"
            )


class _RuleReader:
    """Reads one rule, noting everything that is wrong in it."""

    def __init__(self, node: Node, known: Known, findings: Findings) -> None:
        self._node = node
        self._known = known
        self._findings = findings
        self._told = notation.members(node, RULE_KEYS, findings, what="a rule", required=REQUIRED)

    def rule(self) -> Rule | None:
        """Return the rule; None where it lacks what makes one."""
        if not self._told:
            return None
        name, when, steps = self._name(), self._when(), self._steps()
        once_per = self._once_per()
        vendor = self._vendor(steps)
        accounts = self._accounts(vendor)
        cases = {change: self._case(change, steps) for change in when}
        if not when:
            self._check_constants(steps)
        calls = [step.operation for step in steps]
        rule = Rule(
            name=name or "",
            place=self._told["name"].place if "name" in self._told else self._node.place,
            when=when,
            accounts=accounts,
            enabled=self._flag("enabled", default=True),
            once_per=once_per,
            mode=self._choice("mode", MODES) or "live",
            max_age_ms=self._max_age(vendor),
            limits=pace.read_limits(self._told.get("limits"), self._findings),
            batch=pace.read_batch(self._told.get("batch"), steps, self._known, self._findings),
            retry=pace.read_retry(self._told.get("retry"), self._findings),
            steps=tuple(calls),
            cases=cases,
            vendor=vendor,
        )
        samples = read_samples(self._told.get("tests"), rule, self._known, self._findings)
        if not name or not when or not steps:
            return None
        return replace(rule, samples=samples)

    def _name(self) -> str | None:
        if (node := self._told.get("name")) is None:
            return None
        text = notation.text(node, self._findings, what="name")
        try:
            return read_name(text) if text is not None else None
        except ValueError as exc:
            self._findings.error(node.place, str(exc))
            return None

    def _when(self) -> tuple[str, ...]:
        if (node := self._told.get("when")) is None:
            return ()
        changes: dict[str, None] = {}
        for one in notation.one_or_more(node):
            text = notation.text(one, self._findings, what="when")
            if text is not None and text not in KINDS:
                self._findings.error(
                    one.place, f"unknown change {quoted(text)}{meant(text, KINDS)}; known: {listed(KINDS)}"
                )
            elif text is not None:
                changes[text] = None
        if not notation.one_or_more(node):
            self._findings.error(node.place, f"when names no change; known: {listed(KINDS)}")
        return tuple(changes)

    def _steps(self) -> tuple[Step, ...]:
        if (node := self._told.get("do")) is None:
            return ()
        nodes = notation.one_or_more(node)
        if not nodes:
            self._findings.error(node.place, "do has no step; expected an operation with its parameters")
        steps = [read_step(one, self._known, self._findings) for one in nodes]
        return tuple(step for step in steps if step is not None)

    def _vendor(self, steps: Sequence[Step]) -> str | None:
        vendors = {vendor: step for step in steps if (vendor := self._known.vendor_of(step.operation)) is not None}
        if len(vendors) > 1:
            self._findings.error(
                self._told["do"].place,
                f"the steps call {listed(sorted(vendors))}; a change comes from one vendor: make it a rule for each",
            )
        vendor = next(iter(vendors), None)
        accounts = self._known.accounts
        if vendor is not None and accounts is not None and vendor not in {one for one, _ in accounts}:
            self._findings.warn(
                vendors[vendor].place, f"no account of {vendor} is configured, so that this rule never acts"
            )
        return vendor

    def _accounts(self, vendor: str | None) -> frozenset[str] | None:
        if (node := self._told.get("accounts")) is None:
            return None
        names = set()
        for one in notation.one_or_more(node):
            if (name := notation.text(one, self._findings, what="accounts")) is not None:
                self._check_account(one, name, vendor)
                names.add(name)
        if not notation.one_or_more(node):
            self._findings.error(node.place, "accounts names none; leave it out where the rule is for all")
        return frozenset(names)

    def _check_account(self, node: Node, name: str, vendor: str | None) -> None:
        if (accounts := self._known.accounts) is None:
            return
        names = sorted({one for _, one in accounts})
        if name not in names:
            text = f"there is no account {quoted(name)}{meant(name, names)}; configured: {listed(names)}"
            self._findings.error(node.place, text)
        elif vendor is not None and (vendor, name) not in accounts:
            self._findings.error(node.place, f"the account {name} is none of {vendor}, whose operation the rule calls")

    def _flag(self, name: str, *, default: bool) -> bool:
        node = self._told.get(name)
        told = None if node is None else notation.boolean(node, self._findings, what=name)
        return default if told is None else told

    def _choice(self, name: str, choices: Any) -> Any:  # noqa: ANN401 - words of one kind
        node = self._told.get(name)
        return None if node is None else notation.choice(node, choices, self._findings, what=name)

    def _once_per(self) -> OncePer:
        scope: OnceScope = self._choice("once_per", SCOPES) or "subject"
        if (node := self._told.get("for")) is None:
            return OncePer(scope=scope)
        if scope == "subject":
            others = listed(one for one in SCOPES if one != "subject")
            self._findings.error(node.place, f"for needs once_per: {others}; a subject changes once")
        return OncePer(scope=scope, for_ms=notation.duration(node, self._findings, what="for"))

    def _max_age(self, vendor: str | None) -> int | None:
        if (node := self._told.get("max_age")) is None:
            return VENDOR_MAX_AGE if vendor is not None else None
        if isinstance(node, Scalar) and node.text == "none":
            return None
        return notation.duration(node, self._findings, what="max_age")

    def _case(self, change: str, steps: Sequence[Step]) -> Case:
        parameters = []
        for step in steps:
            read = read_parameters(step.node, change, self._findings)
            check_step(step, change, read, self._known, self._findings)
            parameters.append(read)
        return Case(condition=self._condition(change), parameters=tuple(parameters))

    def _check_constants(self, steps: Sequence[Step]) -> None:
        """Check what is the same for every change, where it isn't known which the rule waits for."""
        for step in steps:
            if not holds_expression(step.node):
                template = read_parameters(step.node, "unknown", self._findings)
                check_step(step, "unknown", template, self._known, self._findings)

    def _condition(self, change: str) -> Expression | None:
        node = self._told.get("if")
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self._findings.error(node.place, f"if is {notation.shown(node)}; expected a condition in CEL")
            return None
        if node.value is None:
            if not self._findings.has_error(node.place):
                self._findings.error(node.place, "the condition is empty; write one, or leave `if` out")
            return None
        text = node.text if isinstance(node.value, str) else str(node.value).lower()
        if text.startswith("${"):
            self._findings.error(node.place, "a condition is written without ${ }, which is for values")
            return None
        expression = check(node, Part(text=text), change, self._findings)
        if expression is not None and expression.kind not in {"boolean", "any"}:
            hint = pitfalls.comment() if node.is_cut else ""
            what = f"the condition is {expression.kind}, neither true nor false; compare it{hint}"
            self._findings.error(node.place, what)
        elif expression is not None:
            warn_of_constant(node, expression, self._findings)
        return expression
