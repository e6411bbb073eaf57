"""Which figures /metrics shows: the web processes' own, and what the database knows of all workers."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from handlers import meters
from webhook.acting_figures import action_counts, action_figures, rule_figures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from handlers.errors import RefusedDelivery
    from handlers.events import Incoming
    from handlers.inbox import Receipt
    from handlers.observation import Observation
    from handlers.questions.backlog import Backlog


class Figures:
    """What one web process counts; where several run, prometheus_client adds them up through files."""

    def __init__(self) -> None:
        """Start at zero; PROMETHEUS_MULTIPROC_DIR must be set by now where several processes shall be one."""
        self._own = CollectorRegistry()
        account = ("vendor", "account")
        self._accepted = self._counter("accepted", "Deliveries kept for the first time.", account)
        self._repeated = self._counter("repeated", "Deliveries that had been kept before.", account)
        self._quarantined = self._counter("quarantined_at_door", "Deliveries kept, but plainly unreadable.", account)
        self._spooled = self._counter("spooled", "Deliveries kept in the spool, the database being away.", account)
        self._refused = self._counter("refused", "Deliveries turned away.", (*account, "reason"))
        self._last_match = Gauge(
            "reelhook_secret_last_match_timestamp_seconds",
            "When each secret of an account last matched; the first of a list is 1.",
            (*account, "secret"),
            registry=self._own,
            multiprocess_mode="max",
        )

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"reelhook_deliveries_{name}", text, labels, registry=self._own)

    def count_acceptance(self, incoming: Incoming, receipt: Receipt) -> None:
        """Count a delivery that is answered with success."""
        account = (incoming.vendor, incoming.account)
        accepted = receipt.accepted
        (self._repeated if accepted.is_repeat else self._accepted).labels(*account).inc()
        if accepted.quarantined is not None:
            self._quarantined.labels(*account).inc()
        if accepted.is_spooled:
            self._spooled.labels(*account).inc()
        if receipt.verified.secret is not None:
            self._last_match.labels(*account, str(receipt.verified.secret + 1)).set(incoming.received_at / 1000)

    def count_refusal(self, incoming: Incoming, refused: RefusedDelivery) -> None:
        """Count a delivery that is turned away."""
        self._refused.labels(incoming.vendor, incoming.account, refused.reason).inc()

    def render(self, observation: Observation) -> bytes:
        """Return the exposition text."""
        registry = CollectorRegistry()
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # the package leaves it without annotations
        else:
            registry = self._own
        return generate_latest(registry) + generate_latest(_observed(observation))


def _observed(observation: Observation) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_FromDatabase(observation))
    return registry


@dataclass(frozen=True, eq=False)  # a registry tells its collectors apart by identity
class _FromDatabase(Collector):
    """The figures that do not belong to a web process."""

    observation: Observation

    def collect(self) -> Iterator[Metric]:
        """Yield what can be known; what the database would have to say is left out while it is away."""
        seen = self.observation
        yield _gauge("reelhook_database_up", "1 if the database answers.", int(seen.is_migrated is not None))
        if seen.spool is not None or seen.spool_problem is not None:
            yield _gauge("reelhook_spool_up", "1 if the spool can be used.", int(seen.spool is not None))
        if seen.spool is not None:
            waiting, set_aside = seen.spool
            yield _gauge("reelhook_spool_waiting", "Deliveries in the spool that wait for the database.", waiting)
            yield _gauge("reelhook_spool_set_aside", "Deliveries in the spool that the database can't hold.", set_aside)
        if seen.backlog is not None:
            yield from _backlog(seen.backlog)
            yield from _counted(seen.totals)
        if seen.rules is not None:
            yield from rule_figures(seen.rules)
        if seen.actions is not None:
            yield from action_figures(seen.actions)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _backlog(backlog: Backlog) -> Iterator[Metric]:
    yield _gauge("reelhook_inbox_waiting", "Kept deliveries that no worker has processed yet.", backlog.waiting)
    yield _gauge("reelhook_inbox_quarantined", "Deliveries in quarantine.", backlog.quarantined)
    yield _gauge(
        "reelhook_inbox_oldest_waiting_seconds", "Age of the oldest waiting delivery.", backlog.oldest_waiting_ms / 1000
    )
    labels = ("vendor", "account")
    count = GaugeMetricFamily("reelhook_refusals_set_aside", "Pulled messages set aside, not released.", labels=labels)
    size = GaugeMetricFamily("reelhook_refusals_set_aside_bytes", "What they take of 64 MiB.", labels=labels)
    for one in backlog.set_aside:
        count.add_metric((one.vendor, one.account), one.count)
        size.add_metric((one.vendor, one.account), one.size_bytes)
    yield from (count, size)


#: what workers count -> its name here, its labels (which stand in one text, parted by slashes), and what it means
_COUNTED = (
    (
        meters.PROCESSED,
        "reelhook_deliveries_processed",
        ("vendor", "account"),
        "Deliveries that a worker folded into the catalogue.",
    ),
    (
        meters.QUARANTINED,
        "reelhook_deliveries_quarantined",
        ("vendor", "account"),
        "Deliveries that a worker put into quarantine.",
    ),
    (
        meters.EVENTS,
        "reelhook_events",
        ("kind",),
        "Events folded, by kind; unknown are the vendors' words that we don't know.",
    ),
    (
        meters.DRIFT,
        "reelhook_drift",
        ("vendor", "event", "what", "field"),
        "Fields of callbacks that no page of the vendor has (unknown), or whose value could not be used (wrong).",
    ),
)


#: what pollers count, with its name here and what it means
_QUEUE_COUNTS = (
    (meters.QUEUE_RECEIVED, "reelhook_queue_messages_received", "Messages that a poller received."),
    (meters.QUEUE_KEPT, "reelhook_queue_messages_kept", "Messages kept for the first time."),
    (meters.QUEUE_REPEATS, "reelhook_queue_messages_repeated", "Messages that had been kept before."),
    (meters.QUEUE_QUARANTINED, "reelhook_queue_messages_quarantined", "Messages kept, but plainly unreadable."),
    (meters.QUEUE_REFUSED, "reelhook_queue_messages_refused", "Receives of messages that can't be believed."),
    (meters.QUEUE_SET_ASIDE, "reelhook_queue_messages_set_aside", "Messages set aside after max_receives."),
    (meters.QUEUE_DELETED, "reelhook_queue_messages_deleted", "Messages deleted from the queue."),
    (meters.QUEUE_DELETE_FAILED, "reelhook_queue_deletes_failed", "Deletes that failed; the messages come again."),
    (meters.QUEUE_LET_GO, "reelhook_queue_messages_let_go", "Messages that could not be hidden for longer."),
    (meters.QUEUE_EMPTY, "reelhook_queue_empty_polls", "Receives that brought nothing."),
)
#: what pollers note, with the factor to its unit here
_QUEUE_NOTES = (
    (meters.QUEUE_UP, "reelhook_queue_up", 1, "1 if the last receive worked, empty or not."),
    (
        meters.QUEUE_RECEIVED_AT,
        "reelhook_queue_last_receive_timestamp_seconds",
        0.001,
        "When a receive worked last, empty or not.",
    ),
    (
        meters.QUEUE_OLDEST_MS,
        "reelhook_queue_oldest_message_age_seconds",
        0.001,
        "Age of the oldest message of the last receive.",
    ),
)


def _queues(by_name: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    """Yield what the pollers counted and noted, by queue."""
    for name, shown, text in _QUEUE_COUNTS:
        counter = CounterMetricFamily(shown, text, labels=("queue",))
        for queue, value in sorted(by_name[name].items()):
            counter.add_metric((queue,), value)
        yield counter
    for name, shown, factor, text in _QUEUE_NOTES:
        gauge = GaugeMetricFamily(shown, text, labels=("queue",))
        for queue, value in sorted(by_name[name].items()):
            gauge.add_metric((queue,), value * factor)
        yield gauge


def _counted(totals: Iterable[tuple[str, str, int]]) -> Iterator[Metric]:
    """Yield what the workers counted."""
    by_name: dict[str, dict[str, int]] = defaultdict(dict)
    for name, label, value in totals:
        by_name[name][label] = value
    for name, prefix, labels, text in _COUNTED:
        family = CounterMetricFamily(prefix, text, labels=labels)
        for label, value in sorted(by_name[name].items()):
            family.add_metric(label.split("/", len(labels) - 1), value)
        yield family
    yield from _queues(by_name)
    yield from action_counts(by_name)
    delays = by_name[meters.DELAY]
    buckets = []
    count = 0
    for bound in (*(f"{bound:g}" for bound in meters.DELAY_BOUNDS), "+Inf"):
        count += delays.get(bound, 0)
        buckets.append((bound, count))
    total = sum(by_name[meters.DELAY_SUM_MS].values()) / 1000
    histogram = HistogramMetricFamily(
        "reelhook_ack_to_catalogue_seconds", "From the answered callback to its row in the catalogue."
    )
    histogram.add_metric([], buckets=buckets, sum_value=total)
    yield histogram
