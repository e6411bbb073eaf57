"""How long everything is measured: about eight minutes on two cores, or about one and a half."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one run spends on each question."""

    #: of ingest, and the seconds of each load
    rounds: int
    seconds: float
    #: of folding, and the deliveries of each
    fold_rounds: int
    fold_deliveries: int
    #: seconds at half of full load
    delay_seconds: float
    #: actions waiting, from few to many; claims of each, and calls below a limit
    actions_waiting: tuple[int, ...]
    action_rounds: int
    action_calls: int


FULL = Plan(
    rounds=5,
    seconds=2,
    fold_rounds=3,
    fold_deliveries=20_000,
    delay_seconds=12,
    actions_waiting=(10_000, 1_000_000),
    action_rounds=25,
    action_calls=1_000,
)
QUICK = Plan(
    rounds=1,
    seconds=1,
    fold_rounds=1,
    fold_deliveries=10_000,
    delay_seconds=5,
    actions_waiting=(10_000, 100_000),
    action_rounds=10,
    action_calls=300,
)
