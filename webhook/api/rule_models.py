"""What the API answers of rules, as the OpenAPI document tells it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from webhook.api.models import Time, about


class RuleName(BaseModel):
    """The rule that is meant."""

    name: str = Field(description="The rule's name.", json_schema_extra={"example": "hand-to-captioning"})


class RuleLimit(BaseModel):
    """At most so many calls within a span."""

    most: int = about("So many calls.", 100)
    within_ms: int = about("The span, in milliseconds.", 60_000)


class RuleLimits(BaseModel):
    """How often a rule may act."""

    rule: RuleLimit | None = about("In all; null: without a limit.")
    task: RuleLimit | None = about("For one task; null: without a limit.")


class RuleBatch(BaseModel):
    """How changes are handed over together."""

    max: int = about("So many at the most.", 100)
    within_ms: int = about("None waits longer, in milliseconds.", 60_000)


class RuleUnmatched(BaseModel):
    """How often a rule waited for a change and asked for nothing, by reason."""

    account: int = about("It was another account's.", 0)
    vendor: int = about("It was another vendor's than the one that the rule calls.", 0)
    age: int = about("The event was older than `max_age`.", 0)
    condition: int = about("The condition was false.", 0)
    failed: int = about("The condition had no value; `failure` says why.", 0)


class Rule(BaseModel):
    """A rule in force, and what became of it."""

    name: str = about("Its name.", "hand-to-captioning")
    when: list[str] = about("The changes that it waits for.", ["recording.available"])
    operations: list[str] = about("The operation of each step.", ["http.post"])
    accounts: list[str] | None = about("The accounts that it is for; null: all.", ["classroom"])
    enabled: bool = about("Whether it is asked at all.")
    mode: Literal["live", "shadow"] = about("`shadow`: its actions are planned and shown, and never sent.")
    once_per: Literal["subject", "task", "room", "account"] = about("It acts once for each of these.")
    for_ms: int | None = about("After so many milliseconds it acts again; null: never.", 43_200_000)
    max_age_ms: int | None = about("It ignores older events, in milliseconds; null: it ignores none.", 600_000)
    limits: RuleLimits = about("How often it may act.")
    batch: RuleBatch | None = about("How its changes are handed over together; null: one by one.")
    version: str = about("The version of the rules that it was read from.", "91b0c2a4d5e6f708")
    workers: int = about("How many workers go by a rule of this name.", 2)
    stopped: bool = about("Its calls are stopped by hand: this rule's, or all.")
    matched: int = about("How many changes it matched.", 12)
    matched_at: Time | None = about("When it matched last.")
    unmatched: RuleUnmatched = about("How many changes it waited for and did not match, by reason.")
    failed_at: Time | None = about("When its condition last had no value.")
    failure: str | None = about("Why it had none.", "segment has no field length")


class RuleShown(Rule):
    """A rule in force, with the states of its actions."""

    actions: dict[str, int] = about("States of its newest 1000 actions, counted.", {"done": 11, "dead": 1})


class RuleWorker(BaseModel):
    """A worker, and which rules it goes by."""

    worker: str = about("Its id.", "wrk_01jf3q4m5n6p7r8s9t0v1w2x3y")
    host: str = about("The machine that it runs on.", "worker-1")
    version: str | None = about("The version of its rules; null: it has none.", "91b0c2a4d5e6f708")
    is_current: bool = about("Its file could be read: these are the file's rules.")
    noted_at: Time = about("When it last said so.")


class RuleList(BaseModel):
    """All rules in force, and how the file stands to them."""

    items: list[Rule]
    next: None = about("Always null: there is one page.")
    version: str | None = about("The version by which most workers go; null: there are no rules.", "91b0c2a4d5e6f708")
    is_current: bool = about("No worker says that its file is broken.")
    problems: list[str] = about(
        "What is wrong with the file; until it is mended, the rules that were in force stay so.",
        ["rules.yaml:3:5: unknown change"],
    )
    workers: list[RuleWorker] = about("Who goes by which rules; workers may differ for a moment.")
