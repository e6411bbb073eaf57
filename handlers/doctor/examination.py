"""What the doctor looks at, in order: settings, rules, machine, database, spool, and whether anybody works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.clock import now_ms
from handlers.database import Database
from handlers.doctor.acting import examine_rules
from handlers.doctor.durability import examine_database
from handlers.doctor.exposure import examine_exposure
from handlers.doctor.findings import Finding, fail, ok, warn
from handlers.doctor.following import examine_actions, examine_endings, examine_workers
from handlers.doctor.premises import examine_clock, examine_folder
from handlers.doctor.reach import examine_queues
from handlers.errors import DatabaseAway, SettingsError
from handlers.keeping.spool import Spool
from handlers.meters import DRIFT
from handlers.observation import observe
from handlers.questions.backlog import MOST_SET_ASIDE
from handlers.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from handlers.questions.backlog import Backlog, SetAside
    from handlers.settings import Settings

#: milliseconds after which a waiting delivery means that nobody works
_LATE_MS = 60_000
#: share of what may be set aside from which it counts as full
_NEARLY_FULL = 0.9
#: fields that a person reads
_MOST_DRIFT = 5


def examine(environ: Mapping[str, str], vendors: Sequence[str]) -> Iterator[Finding]:
    """Look at everything; what can't be looked at is a finding too. Nothing is made or changed."""
    try:
        settings = load(environ, vendors=vendors, create=False)
    except SettingsError as exc:
        for problem in exc.problems:
            yield fail("settings", problem, "see docs/configuration.md")
        return
    yield from examine_exposure(settings, environ)
    yield from examine_rules(settings)
    yield from examine_clock()
    yield from examine_folder(settings.data, name="REELHOOK_DATA", holds_sqlite=True)
    if settings.spool is not None and settings.spool.parent != settings.data:
        yield from examine_folder(settings.spool.parent, name="REELHOOK_SPOOL", holds_sqlite=True)
    database = Database(settings.database_url, pool_size=1)
    spool = None if settings.spool is None else Spool(settings.spool)
    try:
        found = examine_database(database, settings.shown_database_url)
        yield from found
        yield from _spool(settings, spool)
        if any(one.check == "migrations" and one.level == "ok" for one in found):
            yield from _work(settings, database)
        yield from examine_queues(settings)
    finally:
        database.close()
        if spool is not None:
            spool.close()


def retry_spool(settings: Settings) -> int:
    """Put what the database refused back in the spool's line; return how many. Raises DatabaseAway if it can't."""
    if settings.spool is None or not settings.spool.exists():
        return 0
    spool = Spool(settings.spool)
    try:
        return spool.retry()
    finally:
        spool.close()


def _spool(settings: Settings, spool: Spool | None) -> Iterator[Finding]:
    if spool is None:
        if settings.on_server:
            does = "unset REELHOOK_SPOOL, or set it to a file on a local disk"
            yield warn("spool", "the spool is off: while the database is away, callbacks get 503 and may be lost", does)
        else:
            yield ok("spool", "the spool is off")
        return
    try:
        waiting, refused = spool.depth()
    except DatabaseAway as exc:
        yield fail("spool", f"{spool.path}: {exc}", "let the user that runs Reelhook read and write it")
        return
    if waiting:
        does = "it drains by itself while `reelhook web` or `serve` runs and the database answers"
        yield warn("spool", f"{waiting} deliveries wait in {spool.path} for the database", does)
    else:
        yield ok("spool", f"nothing waits in {spool.path}")
    if refused:
        does = "see the log for the reason; once it is mended: reelhook doctor --retry-spool"
        yield warn("spool.refused", f"the database refused {refused} deliveries that {spool.path} holds", does)


def _work(settings: Settings, database: Database) -> Iterator[Finding]:
    seen = observe(database, None, now=now_ms())
    backlog = seen.backlog
    if backlog is None or seen.rules is None or seen.actions is None:
        yield fail("worker", "the database went away meanwhile", "run this again")
        return
    yield _waiting(backlog)
    if backlog.quarantined:
        does = "`reelhook deliveries list --state quarantined` tells why; mend the cause, then `reelhook replay`"
        yield warn("quarantine", f"{backlog.quarantined} deliveries are in quarantine", does)
    else:
        yield ok("quarantine", "no delivery is in quarantine")
    for one in backlog.set_aside:
        yield _set_aside(one)
    yield _drift([label for name, label, _ in seen.totals if name == DRIFT])
    yield from examine_workers(settings, seen.rules)
    yield from examine_actions(seen.actions)
    yield from examine_endings(database, now=now_ms())


def _drift(labels: Sequence[str]) -> Finding:
    if not labels:
        return ok("drift", "every field that came is one that the vendors document")
    wrong = [label for label in labels if label.split("/")[2] == "wrong"]
    chosen = sorted(wrong or labels)
    told = ", ".join(chosen[:_MOST_DRIFT])
    more = f", and {len(chosen) - _MOST_DRIFT} more" if len(chosen) > _MOST_DRIFT else ""
    if not wrong:
        return ok("drift", f"fields came that no page of the vendor has, and were left alone: {told}{more}")
    does = "the deliveries are kept as they came; compare one with docs/vendors/, and tell us what the vendor changed"
    return warn("drift", f"fields came whose value can't be used, and was left out: {told}{more}", does)


def _set_aside(found: SetAside) -> Finding:
    check = f"set_aside.{found.vendor}.{found.account}"
    size = f"{found.size_bytes / 1024 / 1024:.1f} of {MOST_SET_ASIDE // 1024 // 1024} MiB"
    says = f"{found.count} messages that were refused are set aside, deleted from their queue ({size})"
    does = "`reelhook refusals list` tells why; mend the cause, then `reelhook release`"
    if found.size_bytes < _NEARLY_FULL * MOST_SET_ASIDE:
        return warn(check, says, does)
    return fail(check, f"{says}: what finds no room stays in its queue until it expires there", does)


def _waiting(backlog: Backlog) -> Finding:
    if not backlog.waiting:
        return ok("worker", "no delivery waits for a worker")
    age = backlog.oldest_waiting_ms
    says = f"{backlog.waiting} deliveries wait for a worker, the oldest for {age / 1000:.0f} s"
    if age <= _LATE_MS:
        return ok("worker", says)
    return fail("worker", says, "start `reelhook work` (or `serve`); if one runs, see its log")
