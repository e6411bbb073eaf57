"""What the API answers, as the OpenAPI document tells it: the names of the public contract, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time", "example": "2020-09-02T10:23:54.000Z"})]


def _about(description: str, example: Any = None) -> Any:  # noqa: ANN401 - what pydantic.Field takes and returns
    return Field(description=description, json_schema_extra=None if example is None else {"example": example})


class WrongField(BaseModel):
    """One thing that is wrong with a request."""

    field: str = _about("The parameter or the field of the body; `body` is all of it.", "limit")
    detail: str = _about("What came, and what was expected.", "is '0'; expected a whole number from 1 to 1000")


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = _about("What kind of problem; `about:blank`: the status says it.", "about:blank")
    title: str = _about("The status in words.", "Bad Request")
    status: int = _about("The HTTP status.", 400)
    detail: str = _about("What happened, and what to do.", "the request can't be answered as it was put")
    errors: list[WrongField] = Field(default=[], description="Every wrong field, where fields are wrong.")


class Stream(BaseModel):
    """Whose picture or sound went into a file."""

    user_id: str = _about("The participant.", "teacher-1")
    source: Literal["camera", "screen"] | None = _about("What of the participant; null where the vendor does not say.")


class Sighting(BaseModel):
    """One delivery that told of the recording."""

    delivery: str = _about("Its id.", "dlv_01jf3q4m5n6p7r8s9t0v1w2x3y")
    door: str = _about("The way by which it came in.", "http")
    received_at: Time = _about("When it came in.")


class InTask(BaseModel):
    """The names that a recording or a segment shares with its task."""

    vendor: str = _about("The vendor, as in the callback URL.")
    account: str = _about("The account, as in reelhook.toml.", "lessons")
    app_id: str = _about("The vendor's id of the application.", "9q1x")
    room_id: str = _about("The room, in some vendors' words the channel.", "record-004")
    task_id: str = _about("The vendor's id of the task.", "task-005")


class InBusiness(InTask):
    """The names, with the one that not every vendor has."""

    business_id: str | None = _about("The vendor's business id, where it has one.")


class RecordingFacts(InBusiness):
    """What is known of a recorded file."""

    id: str = _about("Its id: later ones compare greater.", "rec_01jf3q4m5n6p7r8s9t0v1w2x3y")
    task: str = _about("The id of its task.", "tsk_01jf3q4m5n6p7r8s9t0v1w2x3y")
    url: str | None = _about("Where the vendor says that it lies, without any query.")
    storage: str | None = _about("The kind of its storage: oss, tos, obs or s3.", "oss")
    bucket: str | None = _about("Its bucket.", "rtc-record")
    region: str | None = _about("Its bucket's region.", "cn-shanghai")
    key: str | None = _about("Its key in the bucket.", "record/9q1x/record-004_task-005/a.m3u8")
    vid: str | None = _about("Its id in the vendor's video service, where it went there.")
    format: str | None = _about("Its format, in lower case.", "m3u8")
    streams: list[Stream] = _about("Whose picture and sound are in it, as far as is known.")
    mixed: bool | None = _about("Several streams were mixed into one picture.")
    started_at: Time | None = _about("When its recording began.")
    ended_at: Time | None = _about("When its recording ended.")
    duration_ms: int | None = _about("Its length in milliseconds.", 1792257)
    size_bytes: int | None = _about("Its size in bytes.")
    media: dict[str, str | int] = _about("width, height, video_codec, audio_codec and the like.", {"width": 1280})
    state: Literal["announced", "available", "verified", "missing", "mismatch"] = _about(
        "How much is known of the file: `available` is the vendor's word that it is final and readable."
    )
    flags: list[str] = _about("`shared`: another task's recording names the same bucket and key.", ["shared"])
    first_seen_at: Time = _about("When it was first heard of.")
    updated_at: Time = _about("When its row last changed.")


class Recording(RecordingFacts):
    """A recorded file."""

    sightings: int = _about("How many deliveries told of it.", 1)


class RecordingShown(RecordingFacts):
    """A recorded file, with the deliveries that told of it."""

    sightings: list[Sighting] = _about("The deliveries that told of it, in the order in which they came.")


class Segment(InTask):
    """An audio slice."""

    id: str = _about("Its id: later ones compare greater.", "seg_01jf3q4m5n6p7r8s9t0v1w2x3y")
    task: str = _about("The id of its task.", "tsk_01jf3q4m5n6p7r8s9t0v1w2x3y")
    identifier: str | None = _about("The vendor's name for the slices of one run, until an update changes it.")
    bucket: str | None = _about("Its bucket.", "rtc-record")
    region: str | None = _about("Its bucket's region.", "cn-beijing")
    key: str | None = _about("Its key in the bucket.", "slices/record-004/1.wav")
    streams: list[Stream] = _about("Whose sound is in it, as far as is known.")
    mixed: bool | None = _about("The sound of several streams, mixed.")
    started_at: Time | None = _about("When it begins.")
    duration_ms: int | None = _about("Its length in milliseconds.", 20000)
    size_bytes: int | None = _about("Its size in bytes.")
    media: dict[str, str | int] = _about("sample_rate, channels and the like.", {"sample_rate": 16000})
    first_seen_at: Time = _about("When it was first heard of.")


class Task(InBusiness):
    """One run of a vendor's recording, segment or push job."""

    id: str = _about("Its id: later ones compare greater.", "tsk_01jf3q4m5n6p7r8s9t0v1w2x3y")
    type: Literal["record", "segment", "push"] = _about("What the job does.")
    run: int = _about("Which run of this task id it is: vendors reuse them.", 1)
    state: Literal["unknown", "running", "stopped", "failed"] = _about("How far it has come.")
    reason: str | None = _about("Why it stopped or failed, in the vendor's words.")
    upload: Literal["uploading", "done", "backed_up", "failed"] | None = _about("How far the upload of its files is.")
    started_at: Time | None = _about("When it began.")
    ended_at: Time | None = _about("When it ended.")
    recording_count: int = _about("How many recordings it has.", 1)
    segment_count: int = _about("How many audio slices it has.", 0)
    recorded_ms: int = _about("Milliseconds that at least one of its files covers.", 1792000)
    updated_at: Time = _about("When its row last changed.")


class Mark(BaseModel):
    """What one delivery said of a run: that it began, goes on or ended, or how far the upload of its files is."""

    at: Time = _about("The vendor's time of it.")
    kind: str = _about("What it means in our words.", "task.started")
    state: Literal["running", "stopped", "failed"] | None = _about("What it says of the run; null: nothing.")
    begins: bool = _about("The run begins here.")
    upload: Literal["uploading", "done", "backed_up", "failed"] | None = _about(
        "What it says of the upload of the run's files; null: nothing."
    )
    progress: int | None = _about("How much is uploaded, 0 to 10000: hundredths of a percent.", 2550)
    reason: str | None = _about("Why it stopped or failed, in the vendor's words.")
    delivery: str = _about("The delivery that said it.", "dlv_01jf3q4m5n6p7r8s9t0v1w2x3y")


class Identifier(BaseModel):
    """What the slices of one identifier span."""

    identifier: str | None = _about("The identifier; null for the slices of which the vendor told none.")
    first_at: Time = _about("When the first of them begins.")
    last_at: Time = _about("When the last of them ends.")
    segment_count: int = _about("How many they are.", 90)


class TaskShown(Task):
    """One run of a vendor's job, with what the vendor told of it."""

    marks: list[Mark] = _about("What the vendor told of the run, in the order of its times.")
    identifiers: list[Identifier] = _about("Of a segment task: what its identifiers span, in order; else empty.")


class Delivery(BaseModel):
    """Something that arrived."""

    id: str = _about("Its id: later ones compare greater.", "dlv_01jf3q4m5n6p7r8s9t0v1w2x3y")
    account: str = _about("The account, as in reelhook.toml.", "lessons")
    vendor: str = _about("The vendor, as in the callback URL.")
    door: str = _about("The way by which it came in.", "http")
    received_at: Time = _about("When it came in.")
    state: Literal["kept", "processed", "quarantined"] = _about("How far its processing has come.")
    reason: str | None = _about("Why it is in quarantine.")
    repeats: int = _about("How often it came again.", 0)
    events: list[str] = _about(
        "The kinds of its events and the changes that they made, each once.", ["recording.available"]
    )


class EventDetail(BaseModel):
    """One event that a delivery was read as."""

    kind: str = _about("What it means in our words.", "recording.available")
    word: str = _about("The vendor's own word for it.", "FileCreated")
    recording: str | None = _about("The recording that it told of.")
    at: Time = _about("The vendor's time of it.")
    changes: list[str] = _about("What it changed in the catalogue.", ["recording.created", "recording.available"])


class Base64(BaseModel):
    """Bytes that are no text."""

    base64: str = _about("The bytes.", "//79")


class Raw(BaseModel):
    """What arrived, as it came."""

    headers: dict[str, str] = _about("Its useful headers, names in lower case.", {"content-type": "application/json"})
    body: str | Base64 | None = _about("Its body: text if it is UTF-8. Of a refusal null where it was not kept.")


class DeliveryShown(Delivery, Raw):
    """Something that arrived, whole."""

    event_details: list[EventDetail] = _about("What it was read as, in order, segments excepted: of them none is kept.")


class Refusal(BaseModel):
    """Something that was turned away."""

    id: str = _about("Its id: later ones compare greater.", "rfs_01jf3q4m5n6p7r8s9t0v1w2x3y")
    account: str = _about("The account that its URL named; empty where there is no such account.", "lessons")
    vendor: str = _about("The vendor that its URL named; empty where there is no such account.")
    door: str = _about("The way by which it came.", "http")
    reason: str = _about("The word for why.", "bad_token")
    detail: str = _about("Why, in a sentence.")
    received_at: Time = _about("When it came.")
    size_bytes: int = _about("What it takes of the budget of its account and reason.", 812)
    released: str | None = _about("The delivery that it became when it was released.")


class RefusalShown(Refusal, Raw):
    """Something that was turned away, whole where it was kept."""


class Listing(BaseModel):
    """What every page holds beside its items."""

    next: str | None = _about("The `cursor` of the page after this one; null: there is none.")
    total: int | None = Field(default=None, description="With `total=true`: how many rows match, at most 10000.")
    total_capped: bool | None = Field(default=None, description="With `total=true`: there are more than `total`.")


class RecordingList(Listing):
    """A page of recordings, newest first."""

    items: list[Recording]


class SegmentList(Listing):
    """A page of segments, newest first."""

    items: list[Segment]


class TaskList(Listing):
    """A page of tasks, newest first."""

    items: list[Task]


class DeliveryList(Listing):
    """A page of deliveries, newest first."""

    items: list[Delivery]


class RefusalList(Listing):
    """A page of refusals, newest first."""

    items: list[Refusal]


class Replayed(BaseModel):
    """What a replay did, or would do."""

    count: int = _about("Deliveries that wait for a worker again; with `preview`, that would.", 12)
    capped: bool = _about("With `preview`: there are more than `count`.")
    preview: bool = _about("Nothing was changed.")


class Released(BaseModel):
    """What became of one refusal."""

    refusal: str = _about("Its id.", "rfs_01jf3q4m5n6p7r8s9t0v1w2x3y")
    delivery: str = _about("The delivery that it is now.", "dlv_01jf3q4m5n6p7r8s9t0v1w2x3y")
    is_repeat: bool = _about("The same delivery had been kept before.")


class NotReleased(BaseModel):
    """A refusal that could not be released."""

    refusal: str = _about("Its id.", "rfs_01jf3q4m5n6p7r8s9t0v1w2x3y")
    detail: str = _about("Why.", "account lessons is not configured; add it first")


class ReleasedMany(BaseModel):
    """What a release did, or would do."""

    count: int = _about("Refusals that are deliveries now; with `preview`, that would be tried.", 12)
    capped: bool = _about("There are more: call again. With `preview`: there are more than `count`.")
    preview: bool = _about("Nothing was changed.")
    failed: list[NotReleased] = _about("Those that could not be released.")
