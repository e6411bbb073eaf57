"""A rule applied to history by hand: what it has missed is planned, as live calls are, and nothing twice."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from histories import Live, calls, configured, counts, planned, settings_of, tried
from sqlalchemy import select
from terminal import asked, asked_json

from handlers import tables
from handlers.backtest import Source, Version, Window, chosen
from handlers.backtest.applying import application
from handlers.clock import now_ms
from handlers.rules import RuleBook
from handlers.rules.known import known_of
from handlers.vendors import VENDORS
from standin.callbacks.world import World

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from handlers.backtest.applying import Application
    from handlers.database import Database
    from handlers.events import Incoming
    from handlers.keeping.keeper import Keeper
    from handlers.settings import Settings

RULE = """rules:
  - name: each-file
    when: [recording.created, recording.available]
    do: {http.post: {to: captioning, body: "${recording.id} of ${task.id}"}}
"""
SHORTER = """rules:
  - name: shorter
    when: segment.created
    once_per: task
    do: {volcengine.update_segment: {Duration: 20}}
"""
SINCE = ("--since", "2026-03-01", "--until", "2026-03-31")
WINDOW = Window(since=1_772_000_000_000, until=1_775_000_000_000)


def history() -> list[Incoming]:
    deliveries = zip(World(seed=5, tasks=12, hours=3, queue=False).notices, days(), strict=True)
    return [callback.incoming(notice.at + number) for number, (notice, callback) in enumerate(deliveries)]


def days() -> Any:
    return World(seed=5, tasks=12, hours=3, queue=False).deliveries()


def lived(  # noqa: PLR0913 - the fixtures that it stands on
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper, rules: str, *, with_rules: int = 0
) -> dict[str, str]:
    """Live through a history, with the rules in force for so many of its deliveries only; return the environment."""
    told = configured(environ, tmp_path, rules)
    received = history()
    Live(database, settings_of(told), keeper).live(received[:with_rules])
    Live(database, settings_of(told), keeper, has_rules=False).live(received[with_rules:])
    return told


def applying(database: Database, settings: Settings, name: str, **more: Any) -> AbstractContextManager[Application]:
    known = known_of(settings)
    rules = chosen(RuleBook(settings.rules, known).rules, known, [name])
    source = Source(database=database, settings=settings, vendors=VENDORS)
    return application(source, WINDOW, Version(path=settings.rules, rules=rules), **more)


def rows(database: Database) -> list[dict[str, Any]]:
    with database.read() as connection:
        found = connection.execute(select(tables.actions).order_by(tables.actions.c.id)).mappings()
        return [dict(row) for row in found]


def test_what_a_rule_has_missed_is_planned_and_nothing_twice(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    told = lived(database, environ, tmp_path, keeper, RULE, with_rules=30)
    live = planned(database)
    with tried(database, settings_of(told), WINDOW.since, WINDOW.until) as done:
        every = calls(done)
    assert 0 < len(live) < len(every)

    applied = asked_json("rules", "run", "each-file", *SINCE, "--yes", "--rate", "10000/s", "--json", environ=told)

    after = planned(database)
    assert after[: len(live)] == live
    assert sorted(map(str, after)) == sorted(map(str, every))
    assert applied["new"] == {"planned": len(every) - len(live)}
    assert applied["known"] == len(live)

    again = asked_json("rules", "run", "each-file", *SINCE, "--yes", "--json", environ=told)
    assert (again["new"], again["known"]) == ({}, len(every))
    assert planned(database) == after


def test_what_was_planned_is_ready_to_be_called_with_what_the_destination_is_told(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    told = lived(database, environ, tmp_path, keeper, RULE)
    asked_json("rules", "run", "each-file", *SINCE, "--yes", "--json", "--rate", "10000/s", environ=told)
    for row in rows(database):
        assert (row["stage"], row["generation"]) == ("ready", 0)
        assert json.loads(row["told"])["recording"]["id"] == row["recording"]
        assert row["rules_version"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_preview_tells_what_a_run_does_and_writes_nothing(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    told = lived(database, environ, tmp_path, keeper, RULE, with_rules=30)
    before = counts(database)
    seen = asked_json("rules", "run", "each-file", *SINCE, "--preview", "--json", environ=told)
    assert counts(database) == before
    text = asked("rules", "run", "each-file", *SINCE, "--preview", environ=told).stdout
    assert f"{seen['rule']['calls']} calls" in text
    assert f"{seen['known']} calls planned before, left as they are" in text
    applied = asked_json("rules", "run", "each-file", *SINCE, "--yes", "--json", "--rate", "10000/s", environ=told)
    assert (seen["rule"]["calls"], seen["known"]) == (applied["new"]["planned"], applied["known"])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_somebody_must_agree(database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper) -> None:
    told = lived(database, environ, tmp_path, keeper, RULE)
    done = asked("rules", "run", "each-file", *SINCE, environ=told)
    assert done.returncode == 2
    assert "nobody is here to be asked; add --yes" in done.stderr
    assert rows(database) == []


def test_calls_of_tasks_that_are_over_end_cancelled(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    told = lived(database, environ, tmp_path, keeper, SHORTER)
    with database.read() as connection:
        tasks = connection.execute(select(tables.tasks).where(tables.tasks.c.type == "segment")).mappings().all()
    asked_json("rules", "run", "shorter", *SINCE, "--yes", "--json", environ=told)
    last = {name_of(row): max(one["run"] for one in tasks if name_of(one) == name_of(row)) for row in tasks}
    over = {row["id"] for row in tasks if row["state"] in {"stopped", "failed"} or row["run"] < last[name_of(row)]}
    states = {row["task"]: row["state"] for row in rows(database)}
    assert set(states) == {row["id"] for row in tasks}
    assert {task for task, state in states.items() if state == "cancelled"} == over
    assert {state for task, state in states.items() if task not in over} <= {"planned"}
    assert len(set(states.values())) == 2


def name_of(row: Any) -> tuple[str, ...]:
    return (row["app_id"], row["room_id"], row["task_id"])


def test_age_does_not_count_by_hand_unless_it_is_kept_and_expiry_counts_from_now(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    told = lived(database, environ, tmp_path, keeper, SHORTER)
    kept = asked_json("rules", "run", "shorter", *SINCE, "--keep-age", "--yes", "--json", environ=told)
    assert kept["new"] == {}
    begun = now_ms()
    asked_json("rules", "run", "shorter", *SINCE, "--yes", "--json", environ=told)
    planned_rows = rows(database)
    assert planned_rows
    assert all(begun + 600_000 <= row["expires_at"] <= now_ms() + 600_000 for row in planned_rows)


def test_a_once_key_that_is_used_up_holds_by_hand_too(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    told = lived(database, environ, tmp_path, keeper, SHORTER.replace("once_per: task", "once_per: account"))
    first = asked_json("rules", "run", "shorter", *SINCE, "--yes", "--json", environ=told)
    assert first["new"]["planned"] == 1, "those before it were about tasks that are over, and used nothing up"
    assert first["new"].keys() <= {"planned", "cancelled"}
    assert first["left_out"] > 1
    seen = asked_json("rules", "run", "shorter", *SINCE, "--preview", "--json", environ=told)
    assert (seen["rule"]["calls"], seen["rule"]["ended"]) == (0, {})


def test_what_a_rule_only_showed_in_shadow_is_planned_once_it_is_live(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    shadow = RULE.replace("when:", "mode: shadow\n    when:")
    told = lived(database, environ, tmp_path, keeper, shadow, with_rules=30)
    shown = len(rows(database))
    (tmp_path / "rules.yaml").write_text(RULE)
    done = asked_json("rules", "run", "each-file", *SINCE, "--yes", "--json", "--rate", "10000/s", environ=told)
    assert done["known"] == 0
    assert done["new"]["planned"] > shown > 0
    assert [row["state"] for row in rows(database)] == ["shadow"] * shown + ["planned"] * done["new"]["planned"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_disabled_rule_may_be_run_and_a_shadow_not(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    told = lived(database, environ, tmp_path, keeper, RULE.replace("when:", "enabled: false\n    when:"))
    (tmp_path / "rules.yaml").write_text(RULE.replace("when:", "mode: shadow\n    when:"))
    done = asked("rules", "run", "each-file", *SINCE, "--yes", environ=told)
    assert done.returncode == 1
    assert "the rule each-file is in shadow" in done.stderr
    assert "reelhook rules backtest --rule each-file" in done.stderr
    assert rows(database) == []
    (tmp_path / "rules.yaml").write_text(RULE.replace("when:", "enabled: false\n    when:"))
    applied = asked_json("rules", "run", "each-file", *SINCE, "--yes", "--json", "--rate", "10000/s", environ=told)
    assert applied["new"]["planned"] == len(rows(database)) > 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_more_is_planned_in_a_second_than_the_rate(
    database: Database, environ: dict[str, str], tmp_path: Path, keeper: Keeper
) -> None:
    told = lived(database, environ, tmp_path, keeper, RULE)
    slept = [0.0]
    seen = []

    def sleep(seconds: float) -> None:
        seen.append((slept[0], len(rows(database))))
        slept[0] += seconds

    with applying(database, settings_of(told), "each-file") as one:
        applied = one.apply(rate=4, ticks=lambda: slept[0], sleep=sleep)
    assert applied.new.total() == len(rows(database)) > 10
    # A delivery's calls are planned together, however many files it tells of.
    at_once = max(Counter(row["delivery"] for row in rows(database)).values())
    for at, count in seen:
        assert count <= 4 * at + at_once
    assert slept[0] == pytest.approx(applied.new.total() / 4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", *SINCE), "rules.yaml has no rule nobody"),
        (("each-file", *SINCE, "--rate", "many"), "expected a rate such as 50/s"),
        (("each-file", *SINCE, "--rate", "0/s"), "expected a rate such as 50/s"),
        (("each-file",), "Missing option '--since'"),
    ],
)
def test_wrong_usage_ends_with_2(
    database: Database, environ: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = asked("rules", "run", *arguments, environ=configured(environ, tmp_path, RULE))
    assert (done.returncode, rows(database)) == (2, [])
    assert said in done.stderr
