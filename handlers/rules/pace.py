"""Reads how often and how a rule may act: its limits, batches and further tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from handlers.destinations.handover import MOST_OF_BATCH
from handlers.rules import notation
from handlers.rules.keys import BATCH_KEYS, LIMITS_KEYS, RETRY_KEYS
from handlers.rules.model import Batch, Limit, Limits, Retry, takes_batches
from handlers.rules.nodes import Mapping, Node, Scalar, Sequence
from handlers.rules.steps import TO
from handlers.settings.values import listed

if TYPE_CHECKING:
    from collections.abc import Sequence as Several

    from handlers.rules.model import Known
    from handlers.rules.problems import Findings
    from handlers.rules.steps import Step

_OFF: Final = "off"


def read_limits(node: Node | None, findings: Findings) -> Limits:
    """Read `{rule: 20/1h, task: 5/m}`; note every problem."""
    if node is None:
        return Limits()
    told = notation.members(node, LIMITS_KEYS, findings, what="limits")
    return Limits(**{name: _limit(name, one, findings) for name, one in told.items()})


def _limit(name: str, node: Node, findings: Findings) -> Limit | None:
    told = notation.limit(node, findings, what=f"limits.{name}")
    return None if told is None else Limit(most=told[0], within_ms=told[1])


def read_batch(node: Node | None, steps: Several[Step], known: Known, findings: Findings) -> Batch | None:
    """Read `{max: 100, within: 1m}`, which destinations alone can have; note every problem."""
    if node is None:
        return None
    for step in steps:
        name = step.operation
        if known.vendor_of(name) is not None:
            findings.error(node.place, f"batch is for destinations; {name} is a vendor's call, made one by one")
        elif not takes_batches(known.operations[name]):
            findings.error(node.place, f"{name} takes no batch: it hands over each delivery by itself")
        elif (to := step.node.get(TO)) is not None and isinstance(to, Scalar) and to.text in known.ordered:
            what = f"the destination {to.text} is ordered: changes are handed to it one by one, never together"
            findings.warn(node.place, f"{what}; leave batch out, or `ordered` in reelhook.toml")
    told = notation.members(node, BATCH_KEYS, findings, what="batch", required=BATCH_KEYS)
    most = notation.whole(told["max"], findings, what="batch.max", most=MOST_OF_BATCH) if "max" in told else None
    within = notation.duration(told["within"], findings, what="batch.within") if "within" in told else None
    return None if most is None or within is None else Batch(most=most, within_ms=within)


def read_retry(node: Node | None, findings: Findings) -> Retry:
    """Read `{tries: 5, within: 1h, delays: [5s, 1m]}` or `off`; note every problem."""
    if node is None:
        return Retry()
    if isinstance(node, Scalar) and node.text == _OFF:
        return Retry(tries=1)
    if not isinstance(node, Mapping):
        known = listed(RETRY_KEYS)
        findings.error(node.place, f"retry is {notation.shown(node)}; expected a map with some of {known}, or `off`")
        return Retry()
    told = notation.members(node, RETRY_KEYS, findings, what="retry")
    tries = notation.whole(told["tries"], findings, what="retry.tries") if "tries" in told else None
    within = notation.duration(told["within"], findings, what="retry.within") if "within" in told else None
    nodes = notation.items(told["delays"], findings, what="retry.delays") if "delays" in told else ()
    if "delays" in told and isinstance(told["delays"], Sequence) and not nodes:
        findings.error(told["delays"].place, "retry.delays is empty; expected a span such as 10s, or leave it out")
    delays = [notation.duration(one, findings, what="retry.delays") for one in nodes]
    return Retry(tries=tries, within_ms=within, delays_ms=tuple(one for one in delays if one is not None) or None)
