"""The vocabulary: what travels from the door to the catalogue, as frozen values.

All times are integers, milliseconds since 1970-01-01 UTC; all durations are integer milliseconds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_args
from urllib.parse import parse_qsl

from handlers.errors import UnreadableDelivery

if TYPE_CHECKING:
    from collections.abc import Mapping

TaskType = Literal["record", "segment", "push"]
Source = Literal["camera", "screen"]
TaskState = Literal["running", "stopped", "failed"]
UploadState = Literal["uploading", "failed", "backed_up", "done"]
PushState = Literal["stopped", "reconnecting", "pushing", "switched"]

#: the states of the catalogue's tasks and recordings, and the doors by which a delivery comes
TASK_STATES: Final[tuple[str, ...]] = ("unknown", *get_args(TaskState))
RECORDING_STATES: Final = ("announced", "available", "verified", "missing", "mismatch")
DOORS: Final = ("http", "mns", "mns-topic", "sqs", "api", "sweep", "import")

#: the doors through which we fetch: what comes by them may have waited for days
PULLED = frozenset({"mns", "sqs"})

#: characters of a web form: a hundred times as many as any callback has. Decoding one costs a hundred times as much as
#: reading JSON, and a stranger may ask for it
_MOST_FORM = 131_072
_BYTE_ORDER_MARK = "\ufeff"

#: What an event can say and what folding it can change; rules fire on the latter.
KINDS = (
    "task.started",
    "task.stopped",
    "task.failed",
    "recording.created",
    "recording.changed",
    "recording.available",
    "segment.created",
    "upload.progressed",
    "upload.failed",
    "stream.changed",
    "push.started",
    "push.updated",
    "push.changed",
    "push.stopped",
    "unknown",
)


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """What stands at a door and has not been verified yet."""

    vendor: str
    account: str
    #: http, mns, mns-topic, sqs, api, sweep or import
    door: str
    received_at: int
    #: names in lower case; values as they came
    headers: Mapping[str, str]
    body: bytes
    #: the secret that stood in the callback URL; never kept
    token: str | None = field(default=None, repr=False)
    #: path and query as they were requested, for a vendor that signs them; never kept, for the token stands there
    target: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What arrived, byte for byte; immutable."""

    id: str
    account: str
    vendor: str
    door: str
    received_at: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Read the body as one JSON object, whatever its content type says.

        The body is UTF-8 JSON, with or without a byte order mark, or the same as a web form:
        percent-encoded whole, or as the value of the form's only field.

        Raises UnreadableDelivery, naming what came instead.
        """
        return read_json(self.body)


def read_json(body: bytes) -> dict[str, Any]:
    """Read the bytes as one JSON object; raise UnreadableDelivery otherwise (see Delivery.json)."""
    if not body.strip():
        raise UnreadableDelivery("the body is empty; expected a JSON object")
    try:
        text = body.decode().removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as exc:
        raise UnreadableDelivery(f"the body is not UTF-8 (byte {exc.start}); expected a JSON object") from exc
    try:
        value = _loads(text)
    except UnreadableDelivery:
        form = _form_value(text)
        if form is None:
            raise
        value = _loads(form)
    if not isinstance(value, dict):
        raise UnreadableDelivery(f"the body is a JSON {_json_type(value)}; expected an object")
    return value


def _loads(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno} column {exc.colno}"
        raise UnreadableDelivery(f"the body is not JSON: {exc.msg} at {where}; expected an object") from exc
    except RecursionError as exc:
        raise UnreadableDelivery("the body nests too deep to be read; expected a flat JSON object") from exc
    except ValueError as exc:  # an integer of more digits than Python converts
        raise UnreadableDelivery("the body holds a number of too many digits") from exc


def _form_value(text: str) -> str | None:
    """Return the JSON text that a web form carries, if the text looks like one."""
    if len(text) > _MOST_FORM or "%7B" not in text[:200].upper():
        return None
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=16, errors="strict")
    except ValueError:  # too many fields, or escapes that are not UTF-8
        return None
    texts = [part for pair in pairs for part in pair if part.lstrip().startswith("{")]
    return texts[0] if len(texts) == 1 else None


def _json_type(value: object) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


@dataclass(frozen=True, kw_only=True, order=True)
class TaskKey:
    """The vendor's own name of a task; vendors reuse it, so that it covers one or more runs."""

    vendor: str
    app_id: str
    #: Alibaba's ChannelId
    room_id: str
    type: TaskType
    #: Huawei's job_id
    task_id: str


@dataclass(frozen=True, kw_only=True, order=True)
class Stream:
    """One participant's picture or sound that went into a file."""

    user_id: str
    source: Source | None = None


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What one event says about one recorded file; None is "it does not say"."""

    #: the file's name inside its task: computed from the delivery alone, compared byte for byte
    locator: str
    url: str | None = None
    #: oss, tos, obs or s3
    storage: str | None = None
    bucket: str | None = None
    region: str | None = None
    key: str | None = None
    vid: str | None = None
    #: m3u8, mp4, flv, ... in lower case
    format: str | None = None
    streams: tuple[Stream, ...] = ()
    mixed: bool | None = None
    started_at: int | None = None
    ended_at: int | None = None
    duration_ms: int | None = None
    size_bytes: int | None = None
    #: width, height, video_codec, audio_codec, ...
    media: Mapping[str, str | int] = field(default_factory=dict)
    #: final and readable by the vendor's own word
    available: bool = False


@dataclass(frozen=True, kw_only=True)
class Segment:
    """What one event says about one audio slice; None is "it does not say"."""

    #: the slice's name inside its task: computed from the delivery alone, compared byte for byte
    locator: str
    #: what the vendor calls the slices of one run, until an update gives them another
    identifier: str | None = None
    bucket: str | None = None
    region: str | None = None
    key: str | None = None
    streams: tuple[Stream, ...] = ()
    #: true for the mix of all streams
    mixed: bool | None = None
    started_at: int | None = None
    duration_ms: int | None = None
    size_bytes: int | None = None
    #: sample_rate, bits_per_sample, channels, ...
    media: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """How far a run's files have come into their storage."""

    state: UploadState
    #: 0 to 10000, hundredths of a percent of what has been recorded
    progress: int | None = None


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """Whether a participant's picture or sound goes into a recording."""

    stream: Stream
    medium: Literal["audio", "video"]
    is_published: bool


@dataclass(frozen=True, kw_only=True)
class Push:
    """How a mixed stream's way to a CDN fares."""

    url: str | None = None
    state: PushState | None = None
    started_at: int | None = None
    ended_at: int | None = None


#: the fields of an event that are such values themselves
_PARTS = frozenset({"task", "recording", "segment", "upload", "stream", "push"})
_WITH_STREAMS = frozenset({"recording", "segment"})


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a delivery means in our words; one delivery reads as one or more."""

    #: one of KINDS
    kind: str
    #: the vendor's own word for it
    word: str
    #: the vendor's time of it, else the signed timestamp, else the delivery's received_at
    at: int
    task: TaskKey | None = None
    business_id: str | None = None
    recording: Recording | None = None
    segment: Segment | None = None
    #: what it says of the run: its state, whether a run begins here, and how its files' upload stands
    state: TaskState | None = None
    begins: bool = False
    upload: Upload | None = None
    stream: StreamState | None = None
    push: Push | None = None
    #: the vendor's result code, 0 being success
    code: int | None = None
    #: why a task stopped or failed, in the vendor's words
    reason: str | None = None
    #: the fingerprint before the settings added where the file lies: theirs is no word of the vendor
    as_told: str | None = None

    def fingerprint(self) -> str:
        """Return 32 hexadecimal digits that only an event shares of which the vendor said the same."""
        if self.as_told is not None:
            return self.as_told
        # Not asdict(), which copies every value: a worker spent a sixth of its time there.
        told = {name: value for name, value in vars(self).items() if value is not None and value is not False}
        for name in _PARTS & told.keys():
            told[name] = vars(told[name])
        for name in _WITH_STREAMS & told.keys():
            streams = [vars(stream) for stream in told[name]["streams"]]
            told[name] = told[name] | {"streams": streams, "media": dict(told[name]["media"])}
        if self.stream is not None:
            told["stream"] = told["stream"] | {"stream": vars(self.stream.stream)}
        text = json.dumps(told, sort_keys=True, ensure_ascii=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
