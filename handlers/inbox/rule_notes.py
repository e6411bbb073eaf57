"""What a worker says of the rules, for whoever looks: which it goes by, how often each matched, and why it did not."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select, text

from handlers.fields import storable
from handlers.ids import new_id
from handlers.tables import rule_books, rule_texts
from handlers.tables.rules import GONE_AFTER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Column

    from handlers.database import Database
    from handlers.rules import Rule, RuleBook, Unmatched
    from handlers.rules.book import Standing

_log = logging.getLogger(__name__)

#: seconds between two flushes, and after which a worker says again which rules it goes by
_EVERY: Final = 1.0
STAND_EVERY: Final = 20.0
_LONGEST_FAILURE: Final = 1_000
_COUNTS: Final = ("matched", "account", "vendor", "age", "condition", "failed")

_ADD: Final = text(
    f"INSERT INTO rule_figures (rule, {', '.join(_COUNTS)}, matched_at, failed_at, failure)"  # noqa: S608 - names only
    f" VALUES (:rule, {', '.join(f':{name}' for name in _COUNTS)}, :matched_at, :failed_at, :failure)"
    " ON CONFLICT (rule) DO UPDATE SET "
    + ", ".join(f"{name} = rule_figures.{name} + excluded.{name}" for name in _COUNTS)
    + ", matched_at = coalesce(excluded.matched_at, rule_figures.matched_at),"
    " failed_at = coalesce(excluded.failed_at, rule_figures.failed_at),"
    " failure = coalesce(excluded.failure, rule_figures.failure)"
)
_STAND: Final = text(
    "INSERT INTO rule_books (worker, host, noted_at, version, file_version, problems, rules)"
    " VALUES (:worker, :host, :noted_at, :version, :file_version, :problems, :rules)"
    " ON CONFLICT (worker) DO UPDATE SET noted_at = excluded.noted_at, version = excluded.version,"
    " file_version = excluded.file_version, problems = excluded.problems, rules = excluded.rules"
)
_KEEP: Final = text(
    "INSERT INTO rule_texts (version, text, noted_at) VALUES (:version, :text, :noted_at)"
    " ON CONFLICT (version) DO UPDATE SET noted_at = excluded.noted_at"
)
#: milliseconds for which a text is kept that nobody goes by any more
_TEXTS_FOR_MS: Final = 30 * 86_400_000


class RuleNotes:
    """The notes of one worker."""

    def __init__(self, book: RuleBook) -> None:
        """Start with nothing counted; what the book holds is said with the first flush."""
        self._book = book
        self._worker = new_id("wrk")
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._matched_at: dict[str, int] = {}
        self._failures: dict[str, tuple[int, str]] = {}
        self._said: Standing | None = None
        self._said_at = self._flushed_at = float("-inf")

    def count(self, matched: Iterable[str], unmatched: Iterable[Unmatched], *, now: int) -> None:
        """Count what the rules said to some changes, at `now`, milliseconds UTC."""
        for rule in matched:
            self._counts[rule]["matched"] += 1
            self._matched_at[rule] = now
        for one in unmatched:
            self._counts[one.rule][one.reason] += 1
            if one.reason == "failed":
                self._note_failure(one, now)

    def flush(self, database: Database, *, now: int, at_once: bool = False) -> None:
        """Write down what is new, at most once a second; raise DatabaseAway and keep it otherwise."""
        ticks = time.monotonic()
        if not at_once and ticks - self._flushed_at < _EVERY:
            return
        self._flushed_at = ticks
        standing = self._book.standing
        must_stand = standing is not self._said or ticks - self._said_at > STAND_EVERY
        if not (self._counts or must_stand):
            return
        with database.write() as connection:
            for rule in sorted(self._counts):
                connection.execute(_ADD, self._row(rule))
            if must_stand:
                connection.execute(_STAND, self._standing(standing, now))
                if standing.version and standing.is_current and not standing.is_silent:
                    told = {"version": standing.version, "text": storable(standing.text), "noted_at": now}
                    connection.execute(_KEEP, told)
                    connection.execute(delete(rule_texts).where(rule_texts.c.noted_at < now - _TEXTS_FOR_MS))
                connection.execute(delete(rule_books).where(rule_books.c.noted_at < now - GONE_AFTER_MS))
        self._counts.clear()
        self._matched_at.clear()
        self._failures.clear()
        if must_stand:
            self._said, self._said_at = standing, ticks

    def leave(self, database: Database) -> None:
        """Say that this worker goes by no rules any more."""
        with database.write() as connection:
            connection.execute(delete(rule_books).where(rule_books.c.worker == self._worker))

    def _note_failure(self, one: Unmatched, now: int) -> None:
        if one.rule not in self._failures:
            _log.warning("the condition of rule %s has no value: %s", one.rule, one.detail)
        self._failures[one.rule] = (now, storable(one.detail)[:_LONGEST_FAILURE])

    def _row(self, rule: str) -> dict[str, Any]:
        failed_at, failure = self._failures.get(rule, (None, None))
        counts = {name: self._counts[rule][name] for name in _COUNTS}
        last = {"matched_at": self._matched_at.get(rule), "failed_at": failed_at, "failure": failure}
        return {"rule": rule} | counts | last

    def _standing(self, standing: Standing, now: int) -> dict[str, Any]:
        return {
            "worker": self._worker,
            "host": storable(socket.gethostname()),
            "noted_at": now,
            "version": standing.version,
            "file_version": standing.file_version,
            "problems": json.dumps(list(self._book.shown_problems())),
            "rules": json.dumps([shown(rule) for rule in standing.rules.all]),
        }


def last_version(database: Database) -> str | None:
    """Return the version of the rules that a worker last went by, if any did."""
    return _last(database, rule_texts.c.version)


def last_text(database: Database) -> str | None:
    """Return the text of the rules that a worker last went by, if any did."""
    return _last(database, rule_texts.c.text)


def _last(database: Database, column: Column[str]) -> str | None:
    with database.read() as connection:
        found: str | None = connection.execute(
            select(column).order_by(rule_texts.c.noted_at.desc(), rule_texts.c.version).limit(1)
        ).scalar()
    return found


def shown(rule: Rule) -> dict[str, Any]:
    """Return a rule as it is shown: what it waits for and what it does, without its expressions."""
    limits = {"rule": rule.limits.rule, "task": rule.limits.task}
    return {
        "name": rule.name,
        "when": list(rule.when),
        "operations": list(rule.steps),
        "accounts": None if rule.accounts is None else sorted(rule.accounts),
        "enabled": rule.enabled,
        "mode": rule.mode,
        "once_per": rule.once_per.scope,
        "for_ms": rule.once_per.for_ms,
        "max_age_ms": rule.max_age_ms,
        "limits": {name: None if one is None else vars(one) for name, one in limits.items()},
        "batch": None if rule.batch is None else {"max": rule.batch.most, "within_ms": rule.batch.within_ms},
    }
