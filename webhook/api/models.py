"""What the API answers, as the OpenAPI document tells it: the names of the public contract, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time", "example": "2020-09-02T10:23:54.000Z"})]

#: how far an action has come
State = Literal["planned", "shadow", "running", "done", "again", "dead", "superseded", "cancelled", "refused"]


def about(description: str, example: Any = None) -> Any:  # noqa: ANN401 - what pydantic.Field takes and returns
    """Return a field that is described, with an example where one helps."""
    return Field(description=description, json_schema_extra=None if example is None else {"example": example})


class WrongField(BaseModel):
    """One thing that is wrong with a request."""

    field: str = about("The parameter or the field of the body; `body` is all of it.", "limit")
    detail: str = about("What came, and what was expected.", "is '0'; expected a whole number from 1 to 1000")


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = about("What kind of problem; `about:blank`: the status says it.", "about:blank")
    title: str = about("The status in words.", "Bad Request")
    status: int = about("The HTTP status.", 400)
    detail: str = about("What happened, and what to do.", "the request can't be answered as it was put")
    errors: list[WrongField] = Field(default=[], description="Every wrong field, where fields are wrong.")


class Stream(BaseModel):
    """Whose picture or sound went into a file."""

    user_id: str = about("The participant.", "teacher-1")
    source: Literal["camera", "screen"] | None = about("What of the participant; null where the vendor does not say.")


class Sighting(BaseModel):
    """One delivery that told of the recording."""

    delivery: str = about("Its id.", "dlv_01jf3q4m5n6p7r8s9t0v1w2x3y")
    door: str = about("The way by which it came in.", "http")
    received_at: Time = about("When it came in.")


class InTask(BaseModel):
    """The names that a recording or a segment shares with its task."""

    vendor: str = about("The vendor, as in the callback URL.")
    account: str = about("The account, as in reelhook.toml.", "lessons")
    app_id: str = about("The vendor's id of the application.", "9q1x")
    room_id: str = about("The room, in some vendors' words the channel.", "record-004")
    task_id: str = about("The vendor's id of the task.", "task-005")


class InBusiness(InTask):
    """The names, with the one that not every vendor has."""

    business_id: str | None = about("The vendor's business id, where it has one.")


class RecordingFacts(InBusiness):
    """What is known of a recorded file."""

    id: str = about("Its id: later ones compare greater.", "rec_01jf3q4m5n6p7r8s9t0v1w2x3y")
    task: str = about("The id of its task.", "tsk_01jf3q4m5n6p7r8s9t0v1w2x3y")
    url: str | None = about("Where the vendor says that it lies, without any query.")
    storage: str | None = about("The kind of its storage: oss, tos, obs or s3.", "oss")
    bucket: str | None = about("Its bucket.", "rtc-record")
    region: str | None = about("Its bucket's region.", "cn-shanghai")
    key: str | None = about("Its key in the bucket.", "record/9q1x/record-004_task-005/a.m3u8")
    vid: str | None = about("Its id in the vendor's video service, where it went there.")
    format: str | None = about("Its format, in lower case.", "m3u8")
    streams: list[Stream] = about("Whose picture and sound are in it, as far as is known.")
    mixed: bool | None = about("Several streams were mixed into one picture.")
    started_at: Time | None = about("When its recording began.")
    ended_at: Time | None = about("When its recording ended.")
    duration_ms: int | None = about("Its length in milliseconds.", 1792257)
    size_bytes: int | None = about("Its size in bytes.")
    media: dict[str, str | int] = about("width, height, video_codec, audio_codec and the like.", {"width": 1280})
    state: Literal["announced", "available", "verified", "missing", "mismatch"] = about(
        "How much is known of the file: `available` is the vendor's word that it is final and readable."
    )
    flags: list[str] = about("`shared`: another task's recording names the same bucket and key.", ["shared"])
    first_seen_at: Time = about("When it was first heard of.")
    updated_at: Time = about("When its row last changed.")


class Recording(RecordingFacts):
    """A recorded file."""

    sightings: int = about("How many deliveries told of it.", 1)


class RecordingShown(RecordingFacts):
    """A recorded file, with the deliveries that told of it."""

    sightings: list[Sighting] = about("The deliveries that told of it, in the order in which they came.")


class Segment(InTask):
    """An audio slice."""

    id: str = about("Its id: later ones compare greater.", "seg_01jf3q4m5n6p7r8s9t0v1w2x3y")
    task: str = about("The id of its task.", "tsk_01jf3q4m5n6p7r8s9t0v1w2x3y")
    identifier: str | None = about("The vendor's name for the slices of one run, until an update changes it.")
    bucket: str | None = about("Its bucket.", "rtc-record")
    region: str | None = about("Its bucket's region.", "cn-beijing")
    key: str | None = about("Its key in the bucket.", "slices/record-004/1.wav")
    streams: list[Stream] = about("Whose sound is in it, as far as is known.")
    mixed: bool | None = about("The sound of several streams, mixed.")
    started_at: Time | None = about("When it begins.")
    duration_ms: int | None = about("Its length in milliseconds.", 20000)
    size_bytes: int | None = about("Its size in bytes.")
    media: dict[str, str | int] = about("sample_rate, channels and the like.", {"sample_rate": 16000})
    first_seen_at: Time = about("When it was first heard of.")


class Task(InBusiness):
    """One run of a vendor's recording, segment or push job."""

    id: str = about("Its id: later ones compare greater.", "tsk_01jf3q4m5n6p7r8s9t0v1w2x3y")
    type: Literal["record", "segment", "push"] = about("What the job does.")
    run: int = about("Which run of this task id it is: vendors reuse them.", 1)
    state: Literal["unknown", "running", "stopped", "failed"] = about("How far it has come.")
    reason: str | None = about("Why it stopped or failed, in the vendor's words.")
    upload: Literal["uploading", "done", "backed_up", "failed"] | None = about("How far the upload of its files is.")
    started_at: Time | None = about("When it began.")
    ended_at: Time | None = about("When it ended.")
    recording_count: int = about("How many recordings it has.", 1)
    segment_count: int = about("How many audio slices it has.", 0)
    recorded_ms: int = about("Milliseconds that at least one of its files covers.", 1792000)
    updated_at: Time = about("When its row last changed.")


class Mark(BaseModel):
    """What one delivery said of a run: that it began, goes on or ended, or how far the upload of its files is."""

    at: Time = about("The vendor's time of it.")
    kind: str = about("What it means in our words.", "task.started")
    state: Literal["running", "stopped", "failed"] | None = about("What it says of the run; null: nothing.")
    begins: bool = about("The run begins here.")
    upload: Literal["uploading", "done", "backed_up", "failed"] | None = about(
        "What it says of the upload of the run's files; null: nothing."
    )
    progress: int | None = about("How much is uploaded, 0 to 10000: hundredths of a percent.", 2550)
    reason: str | None = about("Why it stopped or failed, in the vendor's words.")
    delivery: str = about("The delivery that said it.", "dlv_01jf3q4m5n6p7r8s9t0v1w2x3y")


class Identifier(BaseModel):
    """What the slices of one identifier span."""

    identifier: str | None = about("The identifier; null for the slices of which the vendor told none.")
    first_at: Time = about("When the first of them begins.")
    last_at: Time = about("When the last of them ends.")
    segment_count: int = about("How many they are.", 90)


class ActionOfTask(BaseModel):
    """A call that a rule asked for because of a task."""

    id: str = about("Its id.", "act_01jf3q4m5n6p7r8s9t0v1w2x3y")
    rule: str = about("The rule.", "archive")
    operation: str = about("What it calls.", "http.post")
    destination: str | None = about("The destination, as in reelhook.toml; null for a vendor's own API.", "captioning")
    recording: str | None = about("The recording or segment that it is about.")
    state: State = about("How far it has come.")
    created_at: Time = about("When it was planned.")


class TaskShown(Task):
    """One run of a vendor's job, with what the vendor told of it and what was done about it."""

    marks: list[Mark] = about("What the vendor told of the run, in the order of its times.")
    identifiers: list[Identifier] = about("Of a segment task: what its identifiers span, in order; else empty.")
    actions: list[ActionOfTask] = about("The newest 100 calls because of it, oldest first; the list has them all.")


class Delivery(BaseModel):
    """Something that arrived."""

    id: str = about("Its id: later ones compare greater.", "dlv_01jf3q4m5n6p7r8s9t0v1w2x3y")
    account: str = about("The account, as in reelhook.toml.", "lessons")
    vendor: str = about("The vendor, as in the callback URL.")
    door: str = about("The way by which it came in.", "http")
    received_at: Time = about("When it came in.")
    state: Literal["kept", "processed", "quarantined"] = about("How far its processing has come.")
    reason: str | None = about("Why it is in quarantine.")
    repeats: int = about("How often it came again.", 0)
    events: list[str] = about(
        "The kinds of its events and the changes that they made, each once.", ["recording.available"]
    )


class EventDetail(BaseModel):
    """One event that a delivery was read as."""

    kind: str = about("What it means in our words.", "recording.available")
    word: str = about("The vendor's own word for it.", "FileCreated")
    recording: str | None = about("The recording that it told of.")
    at: Time = about("The vendor's time of it.")
    changes: list[str] = about("What it changed in the catalogue.", ["recording.created", "recording.available"])


class Base64(BaseModel):
    """Bytes that are no text."""

    base64: str = about("The bytes.", "//79")


class Raw(BaseModel):
    """What arrived, as it came."""

    headers: dict[str, str] = about("Its useful headers, names in lower case.", {"content-type": "application/json"})
    body: str | Base64 | None = about("Its body: text if it is UTF-8. Of a refusal null where it was not kept.")


class DeliveryShown(Delivery, Raw):
    """Something that arrived, whole."""

    event_details: list[EventDetail] = about("What it was read as, in order, segments excepted: of them none is kept.")


class Refusal(BaseModel):
    """Something that was turned away."""

    id: str = about("Its id: later ones compare greater.", "rfs_01jf3q4m5n6p7r8s9t0v1w2x3y")
    account: str = about("The account that its URL named; empty where there is no such account.", "lessons")
    vendor: str = about("The vendor that its URL named; empty where there is no such account.")
    door: str = about("The way by which it came.", "http")
    reason: str = about("The word for why.", "bad_token")
    detail: str = about("Why, in a sentence.")
    received_at: Time = about("When it came.")
    size_bytes: int = about("What it takes of the budget of its account and reason.", 812)
    released: str | None = about("The delivery that it became when it was released.")


class RefusalShown(Refusal, Raw):
    """Something that was turned away, whole where it was kept."""


class Listing(BaseModel):
    """What every page holds beside its items."""

    next: str | None = about("The `cursor` of the page after this one; null: there is none.")
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
