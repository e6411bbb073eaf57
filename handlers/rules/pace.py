"""Reads how often and how a rule may act: its limits, batches and further tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from handlers.destinations.handover import MOST_OF_BATCH
from handlers.rules import notation
from handlers.rules.keys import BATCH_KEYS, LIMITS_KEYS, RETRY_KEYS
from handlers.rules.model import Batch, Limit, Limits, Retry, takes_batches
from handlers.rules.nodes import Node, Scalar

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def read_batch(node: Node | None, steps: Sequence[Step], known: Known, findings: Findings) -> Batch | None:
    """Read `{max: 100, within: 1m}`, which destinations alone can have; note every problem."""
    if node is None:
        return None
    for name in (step.operation for step in steps):
        if known.vendor_of(name) is not None:
            findings.error(node.place, f"batch is for destinations; {name} is a vendor's call, made one by one")
        elif not takes_batches(known.operations[name]):
            findings.error(node.place, f"{name} takes no batch: it hands over each delivery by itself")
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
    told = notation.members(node, RETRY_KEYS, findings, what="retry")
    tries = notation.whole(told["tries"], findings, what="retry.tries") if "tries" in told else None
    within = notation.duration(told["within"], findings, what="retry.within") if "within" in told else None
    nodes = notation.items(told["delays"], findings, what="retry.delays") if "delays" in told else ()
    delays = [notation.duration(one, findings, what="retry.delays") for one in nodes]
    return Retry(tries=tries, within_ms=within, delays_ms=tuple(one for one in delays if one is not None) or None)
