"""What rules asked for, each try of it, and what holds it back."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, false, text

from handlers.tables.metadata import Words, metadata

#: what rules asked for: calls planned, under way and done
actions = Table(
    "actions",
    metadata,
    Column("id", Words, primary_key=True),
    Column("rule", Words, nullable=False),
    #: the version of the rules that asked for it; null where a person did
    Column("rules_version", Words),
    #: what the change is about, with its delivery where it may happen to that again; and the change's name
    Column("subject", Words, nullable=False),
    Column("change", Words, nullable=False),
    #: 0 where the rule asked; each rerun of it is one more
    Column("generation", Integer, nullable=False),
    #: how often the rule's once-key had run out before; -1: a shadow, which stands beside a live one
    Column("renewal", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("operation", Words, nullable=False),
    Column("vendor", Words, nullable=False),
    Column("account", Words, nullable=False),
    Column("destination", Words),
    #: of which one is under way at a time, and its place in it; null: no order
    Column("lane", Words),
    Column("turn", Words, nullable=False),
    #: what is chosen from together: a JSON list of destination, quota, api, interval, operation, vendor, account, rule;
    #: and where it goes in batches, of their size and of what all of one have in common
    Column("channel", Words, nullable=False),
    #: whose limit counts, and the microseconds between two calls; null: none does
    Column("quota", Words),
    Column("api", Words),
    Column("interval_us", BigInteger),
    #: a JSON object; null: the call can't be made
    Column("parameters", Words),
    #: the change as a destination is told of it, a JSON object; null for vendors' calls
    Column("told", Words),
    #: of its channel, so many are handed over together as soon as there are; null: each by itself
    Column("batch_max", Integer),
    #: the event: its time, delivery and position
    Column("at", BigInteger, nullable=False),
    Column("delivery", Words, nullable=False),
    Column("position", Integer, nullable=False),
    Column("task", Words),
    #: the task's words, by which its rule's limit for one task counts; null: there is none
    Column("bound_key", Words),
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
    #: why its task's run is over, of a call that was in hand then: it is not tried again
    Column("over_reason", Words),
    #: of the waiting calls of a lane with the same word, a newer may make an older superfluous
    Column("covers", Words),
    #: the parameter that grows from attempt to attempt of a lane
    Column("sequence", Words),
    #: a JSON object: delays_ms, tries, within_ms
    Column("schedule", Words, nullable=False),
    Column("expires_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    #: when it was due first, since it was planned or retried by hand: unlike due_at, no put-off moves it. Null: held
    Column("due_since", BigInteger),
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
    Index(
        "actions_bound",
        "rule",
        "bound_key",
        "id",
        sqlite_where=text("bound_key IS NOT NULL"),
        postgresql_where=text("bound_key IS NOT NULL"),
    ),
    Index("actions_task", "task", "id"),
    Index("actions_recording", "recording", "id"),
    Index(
        "actions_after",
        "after",
        sqlite_where=text("after IS NOT NULL"),
        postgresql_where=text("after IS NOT NULL"),
    ),
    Index("actions_state", "state", "id"),
    Index("actions_account", "account", "id"),
    Index("actions_operation", "operation", "id"),
    Index(
        "actions_destination",
        "destination",
        "id",
        sqlite_where=text("destination IS NOT NULL"),
        postgresql_where=text("destination IS NOT NULL"),
    ),
    Index(
        "actions_ready",
        "channel",
        "due_at",
        "id",
        sqlite_where=text("stage = 'ready'"),
        postgresql_where=text("stage = 'ready'"),
    ),
    #: to tell how long the oldest of each channel waits; not what is in hand, which would cost a write with each claim
    Index(
        "actions_unsent",
        "channel",
        "due_since",
        sqlite_where=text("due_since IS NOT NULL AND stage <> 'over' AND stage <> 'claimed'"),
        postgresql_where=text("due_since IS NOT NULL AND stage <> 'over' AND stage <> 'claimed'"),
    ),
    #: what waits for others of its batch, and for no next try. By tries, not by state: for that planners take
    #: actions_state, which holds all that is planned
    Index(
        "actions_gathered",
        "channel",
        "batch_max",
        "due_at",
        "id",
        sqlite_where=text("stage = 'ready' AND tries = 0 AND batch_max IS NOT NULL"),
        postgresql_where=text("stage = 'ready' AND tries = 0 AND batch_max IS NOT NULL"),
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
    #: the span of time in which its last slot lies, and the microseconds that its slots took up of that and of the
    #: span before it, an interval each
    Column("used_in", BigInteger, nullable=False, server_default=text("0")),
    Column("used_us", BigInteger, nullable=False, server_default=text("0")),
    Column("used_before_us", BigInteger, nullable=False, server_default=text("0")),
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
