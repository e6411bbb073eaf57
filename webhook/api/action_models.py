"""What the API answers of actions, as the OpenAPI document tells it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from webhook.api.models import Listing, State, Time, about

Outcome = Literal["done", "again", "give_up"]


class ActionFacts(BaseModel):
    """What is known of a call that a rule asked for."""

    id: str = about("Its id: later ones compare greater.", "act_01jf3q4m5n6p7r8s9t0v1w2x3y")
    rule: str = about("The rule that asked for it.", "archive")
    operation: str = about("What it calls.", "http.post")
    vendor: str = about("The vendor of the account.")
    account: str = about("The account whose call it is, or whose event it was.", "classroom")
    destination: str | None = about("The destination, as in reelhook.toml; null for a vendor's own API.", "captioning")
    lane: str | None = about("Calls of one lane are made one at a time, in order; null: in no order.")
    subject: str = about("What the change is about.", "rec_01jf3q4m5n6p7r8s9t0v1w2x3y")
    change: str = about("The change that the rule waited for.", "recording.available")
    delivery: str = about("The delivery that told of it.", "dlv_01jf3q4m5n6p7r8s9t0v1w2x3y")
    task: str | None = about("The id of its task.", "tsk_01jf3q4m5n6p7r8s9t0v1w2x3y")
    recording: str | None = about("The id of its recording or segment.", "rec_01jf3q4m5n6p7r8s9t0v1w2x3y")
    step: int = about("Which step of the rule it is, from 0.", 0)
    generation: int = about("0 where the rule asked for it; each rerun is one more.", 0)
    mode: Literal["live", "shadow"] = about("`shadow`: planned and shown, and never sent.")
    state: State = about("How far it has come.")
    reason: str | None = about("Why it is in this state, where that is not plain.")
    due_at: Time | None = about("When its next try is due; null: there is none.")
    expires_at: Time | None = about("After this it is not made any more.")
    outcome: Outcome | None = about("What became of the last attempt.")
    code: str | None = about("The other side's code for it.", "InvalidParameter")
    request_id: str | None = about("The other side's name of the request.")
    result: Literal["done", "failed"] | None = about("What a consumer that finished later said.")
    result_detail: str | None = about("The consumer's words.")
    result_at: Time | None = about("When it said so.")
    rules_version: str | None = about("The version of the rules that asked for it.", "91b0c2a4d5e6f708")
    original: str | None = about("The action that it repeats.")
    newer: str | None = about("The action that made it superfluous.")
    after: str | None = about("The action that must be done before it.")
    created_at: Time = about("When it was planned.")
    ended_at: Time | None = about("When it was over.")


class Action(ActionFacts):
    """A call that a rule asked for."""

    attempts: int = about("How often it was tried.", 1)


class Attempt(BaseModel):
    """One try of an action."""

    number: int = about("Which try it was, from 1.", 1)
    started_at: Time = about("When it began.")
    ended_at: Time | None = about("When its outcome was known; null: it is under way, or nobody knows.")
    duration_ms: int | None = about("How long the call took, in milliseconds.", 84)
    request: str = about("What was sent, with secrets hidden.")
    answer: str | None = about("The beginning of what came back.")
    outcome: Outcome | None = about("What became of it.")
    code: str | None = about("The other side's code for it.", "InvalidParameter")
    detail: str | None = about("The other side's words, and what they mean.")
    request_id: str | None = about("The other side's name of the request.")
    is_unclear: bool = about("Whether the call took effect is not known.")


class ActionShown(ActionFacts):
    """A call that a rule asked for, with every try of it."""

    parameters: dict[str, Any] | None = about("What it calls with; null: it can't be called.", {"Duration": 20})
    told: dict[str, Any] | None = about("The change as destinations are told of it; null for a vendor's own API.")
    attempts: list[Attempt] = about("Every try of it, first to last.")


class ActionList(Listing):
    """A page of actions, newest first."""

    items: list[Action]
