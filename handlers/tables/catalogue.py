"""What the deliveries meant: events, the vendors' tasks, their recordings and segments."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, false, text

from handlers.tables.metadata import Words, metadata

#: one row for each event of a delivery: what it meant, and what it changed
events = Table(
    "events",
    metadata,
    Column("delivery", Words, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("word", Words, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("recording", Words),
    #: the changes that folding it told, as a JSON list
    Column("changes", Words, nullable=False),
    sqlite_with_rowid=False,
)

#: the starts, stops and failures that the vendor told of a task's name; runs and states derive from them
marks = Table(
    "marks",
    metadata,
    Column("vendor", Words, primary_key=True),
    Column("app_id", Words, primary_key=True),
    Column("room_id", Words, primary_key=True),
    Column("type", Words, primary_key=True),
    Column("task_id", Words, primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("kind", Words, primary_key=True),
    Column("delivery", Words, primary_key=True),
    Column("account", Words, nullable=False),
    Column("business_id", Words),
    Column("reason", Words),
    #: what it says of the run: running, stopped or failed; null: nothing
    Column("state", Words),
    #: a run begins here
    Column("begins", Boolean, nullable=False, server_default=false()),
    #: how the upload of the run's files stands, and how far it is, 0 to 10000; null: it does not say
    Column("upload", Words),
    Column("progress", Integer),
)

#: the runs of the vendors' recording, segment and push jobs
tasks = Table(
    "tasks",
    metadata,
    Column("id", Words, primary_key=True),
    Column("vendor", Words, nullable=False),
    Column("app_id", Words, nullable=False),
    Column("room_id", Words, nullable=False),
    Column("type", Words, nullable=False),
    Column("task_id", Words, nullable=False),
    Column("run", Integer, nullable=False),
    Column("account", Words, nullable=False),
    Column("business_id", Words),
    Column("state", Words, nullable=False),
    Column("reason", Words),
    Column("upload", Words),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("recording_count", Integer, nullable=False, server_default=text("0")),
    Column("segment_count", Integer, nullable=False, server_default=text("0")),
    Column("recorded_ms", BigInteger, nullable=False, server_default=text("0")),
    Column("updated_at", BigInteger, nullable=False),
    Index("tasks_name", "vendor", "app_id", "room_id", "type", "task_id", "run", unique=True),
    Index("tasks_account", "account", "id"),
    Index("tasks_app", "app_id", "id"),
    Index("tasks_room", "room_id", "id"),
    Index("tasks_task", "task_id", "id"),
    Index("tasks_updated_at", "updated_at"),
    Index("tasks_started_at", "started_at"),
    Index(
        "tasks_running",
        "id",
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
)

#: the recorded files; the columns from vendor to task_id repeat the task's, so that lists need no join
recordings = Table(
    "recordings",
    metadata,
    Column("id", Words, primary_key=True),
    Column("task", Words, nullable=False),
    Column("locator", Words, nullable=False),
    Column("vendor", Words, nullable=False),
    Column("account", Words, nullable=False),
    Column("app_id", Words, nullable=False),
    Column("business_id", Words),
    Column("room_id", Words, nullable=False),
    Column("type", Words, nullable=False),
    Column("task_id", Words, nullable=False),
    Column("url", Words),
    Column("storage", Words),
    Column("bucket", Words),
    Column("region", Words),
    Column("key", Words),
    Column("vid", Words),
    Column("format", Words),
    Column("mixed", Boolean),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("duration_ms", BigInteger),
    Column("size_bytes", BigInteger),
    #: a JSON object
    Column("media", Words, nullable=False),
    Column("state", Words, nullable=False),
    #: available by the word of its own deliveries, whatever its run's upload says; null: as its state says
    Column("available", Boolean),
    Column("sightings", Integer, nullable=False),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("recordings_task", "task", "locator", unique=True),
    Index("recordings_account", "account", "id"),
    Index("recordings_app", "app_id", "id"),
    Index("recordings_room", "room_id", "id"),
    Index("recordings_task_id", "task_id", "id"),
    Index("recordings_key", "key"),
    Index("recordings_started_at", "started_at"),
    Index("recordings_first_seen_at", "first_seen_at"),
    Index("recordings_updated_at", "updated_at"),
    Index(
        "recordings_unavailable",
        "state",
        "id",
        sqlite_where=text("state <> 'available'"),
        postgresql_where=text("state <> 'available'"),
    ),
)

#: whose picture or sound went into a file
recording_streams = Table(
    "recording_streams",
    metadata,
    Column("recording", Words, primary_key=True),
    Column("user_id", Words, primary_key=True),
    #: camera, screen, or "" where the vendor does not say
    Column("source", Words, primary_key=True),
    Index("recording_streams_user", "user_id", "recording"),
    sqlite_with_rowid=False,
)

#: which delivery told of which recording, and what it said: a recording is computed from its sightings
sightings = Table(
    "sightings",
    metadata,
    Column("recording", Words, primary_key=True),
    Column("delivery", Words, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("door", Words, nullable=False),
    Column("account", Words, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    #: the event's time and fingerprint: with position, what "latest" means
    Column("at", BigInteger, nullable=False),
    Column("fingerprint", Words, nullable=False),
    #: a JSON object of what the event said
    Column("facts", Words, nullable=False),
    sqlite_with_rowid=False,
)

#: the identifiers that a segment task's slices bear, with what they span: its runs derive from them
identifiers = Table(
    "identifiers",
    metadata,
    Column("vendor", Words, primary_key=True),
    Column("app_id", Words, primary_key=True),
    Column("room_id", Words, primary_key=True),
    Column("type", Words, primary_key=True),
    Column("task_id", Words, primary_key=True),
    #: "" where the vendor does not say
    Column("identifier", Words, primary_key=True),
    #: the task to which its slices belong
    Column("task", Words, nullable=False),
    Column("account", Words, nullable=False),
    Column("business_id", Words),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("segment_count", Integer, nullable=False),
    Index("identifiers_name", "identifier"),
)

#: the audio slices; the columns from vendor to task_id repeat the task's, so that lists need no join
segments = Table(
    "segments",
    metadata,
    Column("id", Words, primary_key=True),
    Column("task", Words, nullable=False),
    #: "" where the vendor does not say
    Column("identifier", Words, nullable=False),
    Column("locator", Words, nullable=False),
    Column("vendor", Words, nullable=False),
    Column("account", Words, nullable=False),
    Column("app_id", Words, nullable=False),
    Column("business_id", Words),
    Column("room_id", Words, nullable=False),
    Column("task_id", Words, nullable=False),
    Column("bucket", Words),
    Column("region", Words),
    Column("key", Words),
    #: whose sound it is, where it is one participant's
    Column("user_id", Words),
    #: a JSON list
    Column("streams", Words, nullable=False),
    Column("mixed", Boolean),
    Column("started_at", BigInteger),
    Column("duration_ms", BigInteger),
    Column("size_bytes", BigInteger),
    #: a JSON object
    Column("media", Words, nullable=False),
    Column("first_seen_at", BigInteger, nullable=False),
    #: the event whose word stands here: of several the greatest by at, fingerprint and position
    Column("delivery", Words, nullable=False),
    Column("position", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("fingerprint", Words, nullable=False),
    Index("segments_name", "task", "identifier", "locator", unique=True),
    Index("segments_account", "account", "id"),
    Index("segments_room", "room_id", "id"),
    Index("segments_user", "user_id", "id"),
    Index("segments_started_at", "started_at"),
)
