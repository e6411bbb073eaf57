"""What the API answers to whoever changes something, as the OpenAPI document tells it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from webhook.api.models import Time, about


class Replayed(BaseModel):
    """What a replay did, or would do."""

    count: int = about("Deliveries that wait for a worker again; with `preview`, that would.", 12)
    capped: bool = about("With `preview`: there are more than `count`.")
    preview: bool = about("Nothing was changed.")


class Released(BaseModel):
    """What became of one refusal."""

    refusal: str = about("Its id.", "rfs_01jf3q4m5n6p7r8s9t0v1w2x3y")
    delivery: str = about("The delivery that it is now.", "dlv_01jf3q4m5n6p7r8s9t0v1w2x3y")
    is_repeat: bool = about("The same delivery had been kept before.")


class NotReleased(BaseModel):
    """A refusal that could not be released."""

    refusal: str = about("Its id.", "rfs_01jf3q4m5n6p7r8s9t0v1w2x3y")
    detail: str = about("Why.", "account lessons is not configured; add it first")


class ReleasedMany(BaseModel):
    """What a release did, or would do."""

    count: int = about("Refusals that are deliveries now; with `preview`, that would be tried.", 12)
    capped: bool = about("There are more: call again. With `preview`: there are more than `count`.")
    preview: bool = about("Nothing was changed.")
    failed: list[NotReleased] = about("Those that could not be released.")


class Retried(BaseModel):
    """What a retry did, or would do."""

    count: int = about("Actions whose calls are made again; with `preview`, that would be.", 12)
    capped: bool = about("There are more: call again. With `preview`: there are more than `count`.")
    left_out: int = about(
        "Actions among those that were looked at that stay as they are: their run is over, or the step before them is "
        "not done.",
        0,
    )
    superseded: int = about("Actions that end so instead: a newer call sets all that they would.", 0)
    preview: bool = about("Nothing was changed.")


Switchable = Literal["all", "rule", "operation", "account", "destination"]


class Stopped(BaseModel):
    """Something that is stopped by hand."""

    kind: Switchable = about("What it is; `all`: every call.")
    name: str = about("Its name; of an account `vendor/name`, of `all` empty.", "captioning")
    stopped_at: Time = about("When it was stopped.")


class StoppedList(BaseModel):
    """Everything that is stopped by hand."""

    items: list[Stopped]


class Switched(BaseModel):
    """What was stopped, or goes on."""

    kind: Switchable = about("What it is; `all`: every call.")
    name: str = about("Its name; of an account `vendor/name`, of `all` empty.", "captioning")
    stopped: bool = about("Whether no further calls of it are made now.")
    known: bool = Field(
        description="Whether any action of it was ever planned. If not, look at how the name is written."
    )
