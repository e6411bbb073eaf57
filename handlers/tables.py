"""The tables, as SQLAlchemy sees them; migrations/ is what makes them.

Times and durations are integers in milliseconds (UTC). Text is compared byte for byte on every engine.
There are no foreign keys: a delivery is written on the hot path, and retention differs by table.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, Table, Text, false, text
from sqlalchemy.dialects import postgresql

metadata = MetaData()

Words = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

KEPT = "kept"
PROCESSED = "processed"
QUARANTINED = "quarantined"

#: what arrived, never changed
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Words, primary_key=True),
    Column("account", Words, nullable=False),
    Column("vendor", Words, nullable=False),
    Column("door", Words, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    #: the first of its seen keys: repeats are counted there
    Column("seen_key", Words, nullable=False),
    #: a JSON object, as bytes: a header may hold what a text column refuses
    Column("headers", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("deliveries_account", "account", "id"),
    Index("deliveries_received_at", "received_at"),
)

#: how far a delivery has come
inbox = Table(
    "inbox",
    metadata,
    Column("delivery", Words, primary_key=True),
    Column("state", Words, nullable=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("reason", Words),
    Column("processed_at", BigInteger),
    #: it tells of nothing but segments, of which there may be thousands in a second: whatever else waits goes first
    Column("is_bulk", Boolean, nullable=False, server_default=false()),
    Index(
        "inbox_urgent",
        "delivery",
        sqlite_where=text("state = 'kept' AND NOT is_bulk"),
        postgresql_where=text("state = 'kept' AND NOT is_bulk"),
    ),
    Index(
        "inbox_kept",
        "delivery",
        sqlite_where=text("state = 'kept'"),
        postgresql_where=text("state = 'kept'"),
    ),
    Index(
        "inbox_quarantined",
        "delivery",
        sqlite_where=text("state = 'quarantined'"),
        postgresql_where=text("state = 'quarantined'"),
    ),
)

#: the names under which a delivery would come again; outlives the delivery
seen = Table(
    "seen",
    metadata,
    Column("account", Words, primary_key=True),
    Column("seen_key", Words, primary_key=True),
    Column("delivery", Words, nullable=False),
    Column("repeats", Integer, nullable=False, server_default=text("0")),
    sqlite_with_rowid=False,
)

#: what was turned away, within a byte budget
refusals = Table(
    "refusals",
    metadata,
    Column("id", Words, primary_key=True),
    Column("account", Words, nullable=False),
    Column("vendor", Words, nullable=False),
    Column("door", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("headers", LargeBinary, nullable=False),
    #: whole where it could be released; else null
    Column("body", LargeBinary),
    Column("size_bytes", Integer, nullable=False),
    #: the delivery that it became
    Column("released", Words),
    Index("refusals_budget", "account", "reason", "vendor", "id"),
)

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

#: what a worker has in hand, so that a delivery that kills it can be told
hands = Table(
    "hands",
    metadata,
    Column("worker", Words, primary_key=True),
    Column("host", Words, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
    #: a JSON list of delivery ids
    Column("deliveries", Words, nullable=False),
)

#: figures of the workers, which every web process shows
meters = Table(
    "meters",
    metadata,
    Column("name", Words, primary_key=True),
    Column("label", Words, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

#: what rules asked for: calls planned, under way and done
actions = Table(
    "actions",
    metadata,
    Column("id", Words, primary_key=True),
    Column("rule", Words, nullable=False),
    #: the id of what the change is about, and the change's name
    Column("subject", Words, nullable=False),
    Column("change", Words, nullable=False),
    #: 0 where the rule asked; each rerun of it is one more
    Column("generation", Integer, nullable=False),
    #: how often the rule's once-key had run out before
    Column("renewal", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("operation", Words, nullable=False),
    Column("vendor", Words, nullable=False),
    Column("account", Words, nullable=False),
    Column("destination", Words),
    #: of which one is under way at a time, and its place in it; null: no order
    Column("lane", Words),
    Column("turn", Words, nullable=False),
    #: what is chosen from together: a JSON list of destination, quota, api, interval, operation, vendor, account, rule
    Column("channel", Words, nullable=False),
    #: whose limit counts, and the microseconds between two calls; null: none does
    Column("quota", Words),
    Column("api", Words),
    Column("interval_us", BigInteger),
    #: a JSON object; null: the call can't be made
    Column("parameters", Words),
    #: the event: its time, delivery and position
    Column("at", BigInteger, nullable=False),
    Column("delivery", Words, nullable=False),
    Column("position", Integer, nullable=False),
    Column("task", Words),
    #: the id of the recording or segment
    Column("recording", Words),
    Column("mode", Words, nullable=False),
    #: what people see: planned, shadow, running, done, again, dead, superseded, cancelled, refused
    Column("state", Words, nullable=False),
    #: what the dispatcher sees: held (by the step before), waiting (in its lane), ready, claimed, over
    Column("stage", Words, nullable=False),
    #: ready or claimed, and therefore the one of its lane
    Column("is_head", Boolean, nullable=False, server_default=false()),
    Column("reason", Words),
    #: the action that superseded it, that it repeats, that must be done before it
    Column("newer", Words),
    Column("original", Words),
    Column("after", Words),
    Column("is_repeatable", Boolean, nullable=False),
    #: its task's run must go on: it is cancelled when that ends
    Column("needs_run", Boolean, nullable=False),
    #: of the waiting calls of a lane with the same word, a newer may make an older superfluous
    Column("covers", Words),
    #: the parameter that grows from attempt to attempt of a lane
    Column("sequence", Words),
    #: a JSON object: delays_ms, tries, within_ms
    Column("schedule", Words, nullable=False),
    Column("expires_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    #: all attempts, and those since it was planned or retried by hand, the first of which was at first_at
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("first_at", BigInteger),
    #: an attempt is under way: the call may have been made
    Column("is_begun", Boolean, nullable=False, server_default=false()),
    #: who has it in hand, until when, and how often it was taken: only the last taker may settle it
    Column("holder", Words),
    Column("lease_until", BigInteger),
    Column("token", Integer, nullable=False, server_default=text("0")),
    #: of the last attempt: done, again or give_up, the vendor's code and its name of the request
    Column("outcome", Words),
    Column("code", Words),
    Column("request_id", Words),
    Column("ended_at", BigInteger),
    #: what a consumer that finished later said: done or failed, its words, and when
    Column("result", Words),
    Column("result_detail", Words),
    Column("result_at", BigInteger),
    Index("actions_once", "rule", "subject", "change", "generation", "renewal", "step", unique=True),
    Index("actions_rule", "rule", "id"),
    Index("actions_task", "task", "id"),
    Index("actions_recording", "recording", "id"),
    Index("actions_after", "after"),
    Index("actions_state", "state", "id"),
    Index(
        "actions_ready",
        "channel",
        "due_at",
        "id",
        sqlite_where=text("stage = 'ready'"),
        postgresql_where=text("stage = 'ready'"),
    ),
    Index(
        "actions_waiting",
        "lane",
        "turn",
        sqlite_where=text("stage = 'waiting'"),
        postgresql_where=text("stage = 'waiting'"),
    ),
    #: one of a lane is ready or claimed, by the database's own word
    Index(
        "actions_head",
        "lane",
        unique=True,
        sqlite_where=text("is_head"),
        postgresql_where=text("is_head"),
    ),
    Index(
        "actions_claimed",
        "lease_until",
        sqlite_where=text("stage = 'claimed'"),
        postgresql_where=text("stage = 'claimed'"),
    ),
    Index(
        "actions_run",
        "task",
        sqlite_where=text("needs_run AND stage <> 'over'"),
        postgresql_where=text("needs_run AND stage <> 'over'"),
    ),
)

#: each try of an action, written before the call is made
attempts = Table(
    "attempts",
    metadata,
    Column("action", Words, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("holder", Words, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    #: null: under way, or nobody knows
    Column("ended_at", BigInteger),
    Column("duration_ms", Integer),
    #: what was sent, with secrets hidden, and the beginning of what came back
    Column("request", Words, nullable=False),
    Column("answer", Words),
    #: done, again or give_up
    Column("outcome", Words),
    Column("code", Words),
    Column("detail", Words),
    Column("request_id", Words),
    Column("is_unclear", Boolean, nullable=False, server_default=false()),
    sqlite_with_rowid=False,
)

#: how far ahead calls are spoken for, by whose limit counts; microseconds UTC
quotas = Table(
    "quotas",
    metadata,
    Column("quota", Words, primary_key=True),
    Column("api", Words, primary_key=True),
    #: when the next call may be made
    Column("next_at", BigInteger, nullable=False),
    #: no call before, by the other side's word
    Column("blocked_until", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: the last number that was sent of what must grow from call to call
sequences = Table(
    "sequences",
    metadata,
    Column("name", Words, primary_key=True),
    Column("last", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: what a rule has acted on already, by the words of its once_per
once_keys = Table(
    "once_keys",
    metadata,
    Column("rule", Words, primary_key=True),
    Column("once_key", Words, primary_key=True),
    #: milliseconds UTC; null: never
    Column("expires_at", BigInteger),
    #: how often it had run out before
    Column("renewal", Integer, nullable=False),
    sqlite_with_rowid=False,
)

#: what is stopped by hand; what is not here goes on
switches = Table(
    "switches",
    metadata,
    #: all, rule, operation, account or destination
    Column("kind", Words, primary_key=True),
    #: of an account vendor/name; of all ""
    Column("name", Words, primary_key=True),
    Column("stopped_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
