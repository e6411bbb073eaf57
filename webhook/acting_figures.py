"""Which figures /metrics shows of rules and actions: what workers say and count, and what waits in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from handlers.actions.figures import LATE, PLANNED, SENT, SETTLED
from handlers.moments import from_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from handlers.actions import Figures
    from handlers.questions.rules import InForce

#: what workers count of actions, by operation, with its name here and what it means
_COUNTED = (
    (PLANNED, "reelhook_actions_planned", "Calls that rules asked for and that are to be made."),
    (SENT, "reelhook_actions_sent", "Tries of actions that began."),
    (f"{SETTLED}done", "reelhook_actions_done", "Actions that are done."),
    (f"{SETTLED}again", "reelhook_actions_again", "Tries that failed, and that another follows."),
    (f"{SETTLED}dead", "reelhook_actions_dead", "Actions that were given up."),
    (f"{SETTLED}refused", "reelhook_actions_refused", "Calls, of rules that are live or by hand, that can't be made."),
    (f"{SETTLED}cancelled", "reelhook_actions_cancelled", "Actions that were cancelled, whatever for."),
    (f"{SETTLED}expired", "reelhook_actions_expired", "Those cancelled because their max_age was over."),
    (f"{SETTLED}superseded", "reelhook_actions_superseded", "Calls that a newer one made superfluous."),
    (LATE, "reelhook_actions_late", "Slots below a limit that a call missed, so that it took another one."),
)


def rule_figures(seen: InForce) -> Iterator[Metric]:
    """Yield how the rules stand, and what became of each."""
    yield GaugeMetricFamily("reelhook_workers", "Workers that were heard of lately.", value=len(seen.workers))
    yield GaugeMetricFamily("reelhook_rules_in_force", "Rules by which most workers go.", value=seen.count())
    text = "0 if a worker says that the file of rules is broken."
    yield GaugeMetricFamily("reelhook_rules_file_ok", text, value=int(seen.is_current))
    yield GaugeMetricFamily(
        "reelhook_rules_problems", "What is wrong with the file of rules.", value=len(seen.problems)
    )
    yield from _each_rule(seen)


def _each_rule(seen: InForce) -> Iterator[Metric]:
    matched = CounterMetricFamily("reelhook_rule_matched", "Changes that a rule matched.", labels=("rule",))
    text = "Changes that a rule waited for and did not match."
    unmatched = CounterMetricFamily("reelhook_rule_unmatched", text, labels=("rule", "reason"))
    text = "When a rule matched last."
    last = GaugeMetricFamily("reelhook_rule_last_match_timestamp_seconds", text, labels=("rule",))
    for rule in seen.rules:
        matched.add_metric((rule["name"],), rule["matched"])
        for reason, count in rule["unmatched"].items():
            unmatched.add_metric((rule["name"], reason), count)
        if rule["matched_at"] is not None:
            last.add_metric((rule["name"],), from_text(rule["matched_at"]) / 1000)
    yield from (matched, unmatched, last)


def action_counts(by_name: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    """Yield what the workers counted of actions; `by_name` holds the counts of each name by operation.

    What was never counted of an operation is shown as 0: a figure that appears with 1 is no increase to Prometheus.
    """
    operations = sorted({operation for name, *_ in _COUNTED for operation in by_name.get(name, {})})
    for name, shown, text in _COUNTED:
        counter = CounterMetricFamily(shown, text, labels=("operation",))
        for operation in operations:
            counter.add_metric((operation,), by_name.get(name, {}).get(operation, 0))
        yield counter


def action_figures(seen: Figures) -> Iterator[Metric]:
    """Yield what waits, what is late, how much of limits is used, and what is stopped."""
    text = "Actions that are not over, and dead ones; of one state no more than 10000 are counted."
    waiting = GaugeMetricFamily("reelhook_actions", text, labels=("operation", "state"))
    for (operation, state), count in sorted(seen.waiting.items()):
        waiting.add_metric((operation, state), count)
    text = "How long ago the oldest action was due first that is neither done nor over."
    oldest = GaugeMetricFamily("reelhook_actions_oldest_due_seconds", text, labels=("operation",))
    for operation, late in sorted(seen.oldest_ms.items()):
        oldest.add_metric((operation,), late / 1000)
    stopped = GaugeMetricFamily("reelhook_stopped", "1 for what is stopped by hand.", labels=("kind", "name"))
    for switch in seen.stopped:
        stopped.add_metric(switch, 1)
    yield from (waiting, oldest, *_limits(seen), stopped)


def _limits(seen: Figures) -> Iterator[Metric]:
    labels = ("quota", "api")
    text = "How much of the calls below a limit were made in the last ten seconds, from 0 to 1."
    used = GaugeMetricFamily("reelhook_limit_used_ratio", text, labels=labels)
    for limiter, share in sorted(seen.used.items()):
        used.add_metric(limiter, round(share, 3))
    text = "How long the oldest call that is due and not stopped waits for its slot."
    wait = GaugeMetricFamily("reelhook_limit_oldest_waiting_seconds", text, labels=labels)
    for limiter, milliseconds in sorted(seen.slot_wait_ms.items()):
        wait.add_metric(limiter, milliseconds / 1000)
    text = "How far ahead the calls below a limit are given away, or pushed back by the other side."
    ahead = GaugeMetricFamily("reelhook_limit_ahead_seconds", text, labels=labels)
    for limiter, milliseconds in sorted(seen.ahead_ms.items()):
        ahead.add_metric(limiter, milliseconds / 1000)
    yield from (used, wait, ahead)
