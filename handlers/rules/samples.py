"""The `tests:` of a rule: sample changes, and whether the calls that follow are those that its writer expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from handlers.events import KINDS
from handlers.moments import from_text
from handlers.rules import notation
from handlers.rules.change import EVENT, FIELDS, Change, views_of
from handlers.rules.keys import SAMPLE_KEYS
from handlers.rules.matching import Rules
from handlers.rules.model import Expected, Sample
from handlers.rules.nodes import Mapping, Node, Scalar, Sequence
from handlers.rules.parameters import own_names
from handlers.rules.problems import Findings, Problem
from handlers.rules.steps import task_type_of
from handlers.rules.words import never, words_of
from handlers.settings.values import listed, meant, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping as Map

    from handlers.rules.matching import Answer, Asked
    from handlers.rules.model import Known, Rule

REFUSED: Final = "refused"
FAILED: Final = "failed"
#: when a sample happens unless it says: 2026-01-02T03:04:05Z
_SAMPLE_AT: Final = 1_767_323_045_000
_VIEWS: Final = tuple(FIELDS)


def read_samples(node: Node | None, rule: Rule, known: Known, findings: Findings) -> tuple[Sample, ...]:
    """Read the samples of a rule; note every problem."""
    if node is None or not rule.when:
        return ()
    nodes = notation.items(node, findings, what="tests")
    read = [_SampleReader(one, number, rule, known, findings).sample() for number, one in enumerate(nodes, 1)]
    return tuple(sample for sample in read if sample is not None)


def run_samples(rules: Rules, known: Known) -> tuple[Problem, ...]:
    """Hold every sample against its rule alone; return what came otherwise than expected."""
    findings = Findings()
    for rule in rules.all:
        alone = Rules([rule], known)
        for sample in rule.samples:
            answer = alone.asked(sample.change, now=sample.change.at + sample.age_ms)
            why_not = "".join(f" ({one.reason}{': ' * bool(one.detail)}{one.detail})" for one in answer.unmatched)
            for text in _differences(sample, answer, known):
                findings.error(sample.place, f"{rule.name}, test {sample.name}: {text}{why_not}")
    return tuple(findings.errors)


def _differences(sample: Sample, answer: Answer, known: Known) -> list[str]:
    asked = answer.asked
    reason = next((one.detail for one in answer.unmatched if one.reason == FAILED), None)
    wanted = next((one.failed for one in sample.expect if one.failed is not None), None)
    if wanted is not None or (reason is not None and not sample.expect):
        return _failure(reason, wanted)
    if len(asked) != len(sample.expect):
        came = listed(one.operation for one in asked)
        wanted = listed(one.operation or REFUSED for one in sample.expect)
        return [f"expected the calls {wanted}; came {came}"]
    pairs = zip(sample.expect, asked, strict=True)
    return [text for expected, one in pairs for text in _difference(expected, one, known)]


def _failure(reason: str | None, wanted: str | None) -> list[str]:
    """Tell what differs where the condition has no value, or should have none: no call follows for want of one."""
    if reason is None:
        return ["expected a condition without a value, and it has one"]
    if wanted is None:
        return [
            "the condition has no value, so that nothing was decided; ask has(...) before, or expect `failed: WORDS`"
        ]
    return [] if wanted.lower() in reason.lower() else [f"expected the condition to fail for {quoted(wanted)}"]


def _difference(expected: Expected, asked: Asked, known: Known) -> list[str]:
    if expected.refused is not None:
        if asked.refused is None:
            return [f"expected a refusal, and {asked.operation} would be called with {asked.parameters}"]
        is_there = expected.refused.lower() in asked.refused.lower()
        return [] if is_there else [f"expected a refusal for {quoted(expected.refused)}; it is: {asked.refused}"]
    if asked.refused is not None:
        return [f"{asked.operation} is refused: {asked.refused}"]
    if asked.operation != expected.operation:
        return [f"expected {expected.operation}, and {asked.operation} came"]
    return _other_parameters(expected, asked.parameters or {}, own_names(known.operations[asked.operation]))


def _other_parameters(expected: Expected, came: Map[str, Any], own: frozenset[str]) -> list[str]:
    """Tell the parameters that differ; those that the call has of its event need not be expected."""
    wanted = expected.parameters
    names = [*wanted, *(name for name in came if name not in wanted and name not in own)]
    return [
        f"{expected.operation} has {name} {_shown(came, name)}; expected {_shown(wanted, name)}"
        for name in names
        if name not in came or name not in wanted or came[name] != wanted[name]
    ]


def _shown(parameters: Map[str, Any], name: str) -> str:
    return repr(parameters[name]) if name in parameters else "not at all"


class _SampleReader:
    """Reads one sample."""

    def __init__(self, node: Node, number: int, rule: Rule, known: Known, findings: Findings) -> None:
        self._node = node
        self._number = number
        self._rule = rule
        self._known = known
        self._findings = findings
        self._told = notation.members(node, SAMPLE_KEYS, findings, what="a test", required=("expect",))
        self._words = known.words

    def sample(self) -> Sample | None:
        """Return the sample; None where it lacks what makes one."""
        name = self._text("name") or str(self._number)
        change = self._name()
        age = notation.duration(self._told["age"], self._findings, what="age") if "age" in self._told else 0
        views = self._views(change) if change is not None else {}
        if change is None or "expect" not in self._told:
            return None
        expect = self._expect(self._told["expect"])
        return Sample(
            name=name, place=self._node.place, change=self._change(change, views), age_ms=age or 0, expect=expect
        )

    def _text(self, key: str) -> str | None:
        return notation.text(self._told[key], self._findings, what=key) if key in self._told else None

    def _name(self) -> str | None:
        if "change" not in self._told:
            return self._rule.when[0]
        name = self._text("change")
        if name is None or name in self._rule.when:
            return name
        known = self._rule.when if name in KINDS else KINDS
        text = f"the rule does not wait for {quoted(name)}{meant(name, known)}; it waits for {listed(self._rule.when)}"
        self._findings.error(self._told["change"].place, text)
        return None

    def _views(self, change: str) -> dict[str, dict[str, Any]]:
        views = {}
        for view in _VIEWS:
            node = self._told.get(view)
            if node is not None and view not in views_of(change):
                self._findings.error(node.place, f"{change} has no {view}; it has {listed(views_of(change))}")
            elif node is not None:
                views[view] = self._view(view, node, change)
        return views

    def _view(self, view: str, node: Node, change: str) -> dict[str, Any]:
        told = notation.members(node, FIELDS[view], self._findings, what=view)
        return {name: self._field(view, name, one, change) for name, one in told.items()}

    def _field(self, view: str, name: str, node: Node, change: str) -> Any:  # noqa: ANN401 - a field of any kind
        what, kind, value = f"{view}.{name}", FIELDS[view][name], plain(node)
        if kind == "time" and isinstance(value, str):
            try:
                return from_text(value)
            except ValueError as exc:
                self._findings.error(node.place, f"{what}: {exc}")
                return None
        if value is not None and not _fits(kind, value):
            self._findings.error(node.place, f"{what} is {notation.shown(node)}; expected {_EXPECTED[kind]}")
            return None
        if isinstance(value, str) and (why := self._unheard_of(view, name, value, change)) is not None:
            self._findings.error(node.place, why)
            return None
        return value

    def _unheard_of(self, view: str, name: str, value: str, change: str) -> str | None:
        """Tell why no such change can have this word there."""
        known = words_of(view, name, self._words)
        if known is not None and value not in known:
            return never(f"{view}.{name}", value, known, absent="leave it out")
        kind = task_type_of(change) if name == "type" else change if (view, name) == (EVENT, "kind") else value
        return None if kind in {None, value} else f"{view}.{name} is {quoted(value)}; of {change} it is {kind}"

    def _expect(self, node: Node) -> tuple[Expected, ...]:
        read = [self._expected(one) for one in notation.items(node, self._findings, what="expect")]
        return tuple(one for one in read if one is not None)

    def _expected(self, node: Node) -> Expected | None:
        if not isinstance(node, Mapping) or len(node.items) != 1:
            expected = "expected an operation with its parameters, refused: WORDS or failed: WORDS"
            self._findings.error(node.place, f"{notation.shown(node)} came; {expected}")
            return None
        key, inner = node.items[0]
        if key.text == REFUSED:
            return Expected(operation="", refused=notation.text(inner, self._findings, what=REFUSED) or "")
        if key.text == FAILED:
            return Expected(operation="", failed=notation.text(inner, self._findings, what=FAILED) or "")
        if key.text not in self._rule.steps:
            steps = f"the rule does not call {quoted(key.text)}{meant(key.text, self._rule.steps)}"
            self._findings.error(key.place, f"{steps}; it calls {listed(self._rule.steps)}")
            return None
        value = plain(inner)
        if value is not None and not isinstance(value, dict):
            what = f"the parameters of {key.text} are {notation.shown(inner)}; expected a map"
            self._findings.error(inner.place, what)
            return None
        return Expected(operation=key.text, parameters=value or {})

    def _change(self, name: str, views: Map[str, Map[str, Any]]) -> Change:
        vendor, account = self._whose()
        names = {"app_id": "app", "room_id": "room", "task_id": "task", "type": task_type_of(name) or "record"}
        task: dict[str, Any] = {"id": "tsk_sample", "run": 0, "vendor": vendor, "account": account, **names}
        task |= views.get("task", {})
        event: dict[str, Any] = {"kind": name, "at": _SAMPLE_AT, "vendor": vendor, "delivery": "dlv_sample"}
        event |= {key: task[key] for key in names} | dict(views.get("event", {}))
        about = {key: task[key] for key in ("vendor", "account", "app_id", "room_id", "task_id")} | {"task": task["id"]}
        files: dict[str, dict[str, Any]] = {
            view: {"id": f"{view[:3]}_sample", **about, "streams": [], "media": {}} | dict(views.get(view, {}))
            for view in views_of(name)[2:]
        }
        subject = next((file["id"] for file in files.values()), task["id"])
        return Change(
            name=name,
            subject=str(subject),
            vendor=vendor,
            account=account,
            at=event["at"] if isinstance(event["at"], int) else _SAMPLE_AT,
            delivery=str(event["delivery"]),
            event=event,
            task=task,
            recording=files.get("recording"),
            segment=files.get("segment"),
        )

    def _whose(self) -> tuple[str, str]:
        """Return vendor and account; what is not told is as the rule has it, and fits what is."""
        vendor, account = self._known_word("vendor"), self._known_word("account")
        accounts = sorted(self._known.accounts or ())
        if vendor is None:
            of_account = [one for one, name in accounts if name == account]
            vendor = self._rule.vendor or next(iter((*of_account, *sorted(self._known.vendors))), "vendor")
        elif account is not None and accounts and (vendor, account) not in accounts:
            self._findings.error(self._told["account"].place, f"the account {account} is none of {vendor}")
        return vendor, account or next(iter(sorted(self._rule.accounts or ())), "default")

    def _known_word(self, key: str) -> str | None:
        """Read the name of a vendor or account that there is."""
        name, known = self._text(key), self._words.get(key)
        if name is not None and known is not None and name not in known:
            text = f"there is no {key} {quoted(name)}{meant(name, known)}; known: {listed(known)}"
            self._findings.error(self._told[key].place, text)
        return name


_EXPECTED: Final = {
    "text": "text; put it in quotes",
    "integer": "a whole number",
    "boolean": "true or false",
    "time": "a time such as 2020-09-02T10:23:54Z",
    "streams": "a list of {user_id, source}",
    "texts": "a list of texts",
    "media": "a map",
}


def _fits(kind: str, value: Any) -> bool:  # noqa: ANN401 - any JSON value
    if kind in {"streams", "texts"}:
        inner = dict if kind == "streams" else str
        return isinstance(value, list) and all(isinstance(one, inner) for one in value)
    kinds = {"text": str, "integer": int, "boolean": bool, "media": dict}
    return isinstance(value, kinds.get(kind, ())) and (kind != "integer" or not isinstance(value, bool))


def plain(node: Node) -> Any:  # noqa: ANN401 - any JSON value
    """Return what stands in a node, as JSON holds it."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(one) for one in node.items]
    return {key.text: plain(one) for key, one in node.items}
