"""What workers say of the rules: which are in force, how often each matched, and which names calls have given."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Table, text

from handlers.tables.metadata import Words, metadata

#: milliseconds after which a worker that has said nothing is gone
GONE_AFTER_MS: Final = 90_000

#: which rules each worker goes by
rule_books = Table(
    "rule_books",
    metadata,
    Column("worker", Words, primary_key=True),
    Column("host", Words, nullable=False),
    #: milliseconds UTC; a worker says it again from time to time, so that one that is gone can be told
    Column("noted_at", BigInteger, nullable=False),
    #: of the rules in force, and of the file as it was last read
    Column("version", Words, nullable=False),
    Column("file_version", Words, nullable=False),
    #: a JSON list of texts: what is wrong with the file
    Column("problems", Words, nullable=False),
    #: a JSON list: the rules in force, as they are shown
    Column("rules", Words, nullable=False),
)


#: the texts that rules in force were read from, for a worker that begins while the file is broken
rule_texts = Table(
    "rule_texts",
    metadata,
    Column("version", Words, primary_key=True),
    Column("text", Words, nullable=False),
    #: when a worker last went by them, milliseconds UTC
    Column("noted_at", BigInteger, nullable=False),
)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


#: how often each rule matched, and why it did not
rule_figures = Table(
    "rule_figures",
    metadata,
    Column("rule", Words, primary_key=True),
    _count("matched"),
    #: not matched: another account's, another vendor's, too old, the condition false, or without a value
    _count("account"),
    _count("vendor"),
    _count("age"),
    _count("condition"),
    _count("failed"),
    Column("matched_at", BigInteger),
    Column("failed_at", BigInteger),
    #: why its condition last had no value
    Column("failure", Words),
    sqlite_with_rowid=False,
)

#: names that calls give: to a task that a call starts, or to the files that a task makes. What came of it, the action
#: tells
name_givers = Table(
    "name_givers",
    metadata,
    Column("name", Words, primary_key=True),
    #: what is named: `lane`, or a parameter of which two tasks may not have the same value
    Column("kind", Words, primary_key=True),
    #: the action that gives it
    Column("action", Words, primary_key=True),
    #: of the task that gets it, and the run of it; null: which is not known
    Column("lane", Words, nullable=False),
    Column("task", Words),
    Index("name_givers_action", "action"),
    sqlite_with_rowid=False,
)
