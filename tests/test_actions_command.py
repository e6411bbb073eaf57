"""`reelhook actions ...`: what a person sees of actions in a terminal, and does about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from planning import AGAIN, DONE, GIVE_UP, call, claim, know_task, make, plan, post, rows, states
from sqlalchemy import update
from terminal import asked, asked_json, typed

from handlers import rerunning, tables
from handlers.clock import now_ms
from handlers.errors import WrongRequest
from handlers.questions import items
from handlers.questions.filters import Filters
from handlers.rules.change import ACTION_FIELDS

if TYPE_CHECKING:
    from handlers.database import Database

ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def filled(database: Database) -> list[str]:
    """Plan and try three actions, and plan one that waits; return their ids: dead, done, again, planned."""
    know_task(database)
    plan(database, call(0, lane="a"), post(1), call(2, lane="b", rule="archive"))
    outcomes = {0: GIVE_UP, 2: AGAIN}
    for one in claim(database):
        number = int(one.subject.removeprefix("seg_"))
        make(database, one, **({"outcome": outcomes[number]} if number in outcomes else {}))
    plan(database, call(3, lane="c"))
    return [row["id"] for row in rows(database)]


def told_of(number: int, file_format: str | None) -> dict[str, Any]:
    """Return what a destination was told of the n-th recording."""
    recording: dict[str, Any] = {
        "id": f"rec_{number}",
        "format": file_format,
        "started_at": "2023-11-14T22:13:20.000Z",
        "streams": [],
    }
    names = {"change": "recording.available", "subject": f"rec_{number}", "vendor": "volcengine"}
    event = {"kind": "recording.available", "at": "2023-11-14T22:13:20.000Z"}
    return names | {"account": "classroom", "event": event, "task": None, "recording": recording, "segment": None}


def handed_over(database: Database, formats: list[str | None]) -> list[str]:
    """Plan hand-overs of recordings of these formats, all done; return their ids."""
    of_recording = {"rule": "caption", "change": "recording.available"}
    plan(
        database,
        *(
            post(number, told=told_of(number, one), subject=f"rec_{number}", **of_recording)
            for number, one in enumerate(formats)
        ),
    )
    while taken := claim(database):
        for one in taken:
            make(database, one)
    return [row["id"] for row in rows(database)]


def repeated(database: Database) -> list[str | None]:
    """Return what was repeated, in the order of the repetition."""
    return [row["original"] for row in rows(database) if row["original"]]


# --- looking ---


@ONLY_SQLITE
def test_the_list_takes_the_filters_of_the_api(database: Database, environ: dict[str, str]) -> None:
    ids = filled(database)

    def found(*options: str) -> list[str]:
        return [item["id"] for item in asked_json("actions", "list", *options, "--json", environ=environ)["items"]]

    assert found() == ids[::-1]
    assert found("--state", "dead", "--state", "again") == [ids[2], ids[0]]
    assert found("--rule", "archive", "--created-after", "2020-01-01") == [ids[2]]
    assert found("--destination", "captioning", "--operation", "http.post", "--mode", "live") == [ids[1]]
    assert found("--task", "tsk_1", "--recording", "seg_0") == [ids[0]]
    wrong = asked("actions", "list", "--state", "lost", environ=environ)
    assert (wrong.returncode, "--state" in wrong.stderr) == (2, True)


@ONLY_SQLITE
def test_people_see_every_try_in_a_line_of_its_own(database: Database, environ: dict[str, str]) -> None:
    ids = filled(database)
    listed = asked("actions", "list", "--state", "dead", environ=environ).stdout
    assert "InvalidParameter" in listed
    assert "Duration is wrong" in listed
    shown = asked("actions", "show", ids[0], environ=environ).stdout
    assert "attempts" in shown
    assert "number: 1, " in shown
    assert "detail: Duration is wrong" in shown
    assert "Duration: 20" in shown


# --- retry, cancel, result ---


def test_dead_calls_are_retried_by_name(database: Database, environ: dict[str, str]) -> None:
    ids = filled(database)
    assert asked_json("actions", "retry", ids[0], ids[2], "--json", environ=environ) == {
        "retried": 2,
        "superseded": 0,
    }
    assert states(database) == ["planned", "done", "again", "planned"]
    failed = asked("actions", "retry", ids[1], "act_none", "rec_1", ids[2], environ=environ)
    assert failed.returncode == 1
    assert "retried 1" in failed.stderr
    assert f"{ids[1]}: the action is done; only one that is again or cancelled or dead can be retried" in failed.stderr
    assert "act_none: there is no action act_none" in failed.stderr
    assert "rec_1: there is no such action; their ids begin with act_" in failed.stderr


@ONLY_SQLITE
def test_what_waits_is_cancelled_by_name(database: Database, environ: dict[str, str]) -> None:
    ids = filled(database)
    assert asked("actions", "cancel", ids[3], environ=environ).stdout == "1 cancelled\n"
    assert states(database)[3] == "cancelled"
    assert asked("actions", "cancel", ids[3], environ=environ).returncode == 1
    assert asked("actions", "cancel", environ=environ).returncode == 2


def test_retry_all_counts_asks_and_retries(database: Database, environ: dict[str, str]) -> None:
    filled(database)
    assert asked_json("actions", "retry-all", "--preview", "--json", environ=environ) == {
        "matching": 1,
        "more": False,
        "left_out": 0,
        "superseded": 0,
    }
    unasked = asked("actions", "retry-all", environ=environ)
    assert (unasked.returncode, "--yes" in unasked.stderr, "1 action" in unasked.stderr) == (2, True, True)
    assert states(database)[0] == "dead"
    nothing = asked("actions", "retry-all", "--rule", "archive", "--yes", environ=environ)
    assert (nothing.returncode, nothing.stdout) == (0, "0 retried\n")
    assert asked_json("actions", "retry-all", "--yes", "--json", environ=environ) == {
        "retried": 1,
        "left_out": 0,
        "superseded": 0,
    }
    assert states(database)[0] == "planned"
    wrong = asked("actions", "retry-all", "--state", "done", "--yes", environ=environ)
    assert (wrong.returncode, "from which nothing is retried" in wrong.stderr) == (2, True)


@ONLY_SQLITE
def test_what_a_newer_call_makes_superfluous_is_said_not_to_be_made_again(
    database: Database, environ: dict[str, str]
) -> None:
    know_task(database)
    update_of = {"covers": "volcengine.update_segment", "parameters": {"Duration": 20}}
    plan(database, call(1, **update_of), call(2, **update_of), call(3, **update_of))
    for outcome in (GIVE_UP, GIVE_UP, DONE):
        make(database, claim(database)[0], outcome)
    first, _, newest = (row["id"] for row in rows(database))
    seen = asked("actions", "retry-all", "--preview", environ=environ)
    assert seen.stdout == "0 actions match.\n"
    assert "2 actions end superseded instead: a newer call sets all that it would." in seen.stderr
    unasked = asked("actions", "retry-all", environ=environ)
    assert (unasked.returncode, "0 actions (and 2 end superseded)" in unasked.stderr) == (2, True)
    assert states(database) == ["dead", "dead", "done"], "nobody agreed to that"
    done = asked("actions", "retry", first, environ=environ)
    assert (done.returncode, done.stdout) == (0, "0 retried, 1 superseded\n")
    assert f"{first} is not made again, and ends superseded: {newest}, which is newer" in done.stderr
    assert asked_json("actions", "retry-all", "--yes", "--json", environ=environ) == {
        "retried": 0,
        "left_out": 0,
        "superseded": 1,
    }
    assert states(database) == ["superseded", "superseded", "done"]


@ONLY_SQLITE
def test_what_is_about_a_run_that_is_over_is_left_out_and_counted_apart(
    database: Database, environ: dict[str, str]
) -> None:
    ids = filled(database)
    with database.write() as connection:
        connection.execute(update(tables.tasks).values(state="stopped"))
    refused = asked("actions", "retry", ids[0], environ=environ)
    assert (refused.returncode, "its task has stopped" in refused.stderr) == (1, True)
    rerun = ("rerun", "--rule", "short-slices", "--since", "1d", "--state", "dead")
    for options, why, more in (
        (("retry-all",), "1 action is left out: a run is over, ", {"superseded": 0}),
        (rerun, "1 action is left out, for its run is over, ", {}),
    ):
        seen = asked("actions", *options, "--preview", environ=environ)
        assert seen.stdout == "0 actions match.\n"
        assert why in seen.stderr
        found = asked_json("actions", *options, "--preview", "--json", environ=environ)
        assert found == {"matching": 0, "more": False, "left_out": 1} | more
    done = asked_json("actions", "retry-all", "--yes", "--json", environ=environ)
    assert done == {"retried": 0, "left_out": 1, "superseded": 0}
    assert states(database)[0] == "dead"


@ONLY_SQLITE
def test_a_consumer_says_how_it_ended(database: Database, environ: dict[str, str]) -> None:
    ids = filled(database)
    done = asked("actions", "result", ids[1], "failed", "--detail", "no speech", environ=environ)
    assert (done.returncode, done.stdout) == (0, "1 noted\n")
    assert (rows(database)[1]["state"], rows(database)[1]["result_detail"]) == ("dead", "no speech")
    assert asked("actions", "result", ids[3], "done", environ=environ).returncode == 1
    assert asked("actions", "result", ids[1], "perhaps", environ=environ).returncode == 2


# --- stop and go ---


def test_a_rule_is_stopped_and_goes_on(database: Database, environ: dict[str, str]) -> None:
    plan(database, call())
    stopped = asked("actions", "stop", "--rule", "short-slices", environ=environ)
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "Stopped: rule short-slices.\n", "")
    assert claim(database) == []
    assert "short-slices" in asked("actions", "stopped", environ=environ).stdout
    (item,) = asked_json("actions", "stopped", "--json", environ=environ)["items"]
    assert (item["kind"], item["name"]) == ("rule", "short-slices")
    gone = asked("actions", "go", "--rule", "short-slices", environ=environ)
    assert (gone.returncode, gone.stdout) == (0, "Goes on: rule short-slices.\n")
    assert len(claim(database)) == 1
    assert asked("actions", "stopped", environ=environ).stdout == "Nothing is stopped.\n"
    again = asked("actions", "go", "--rule", "short-slices", environ=environ)
    assert (again.returncode, "not stopped" in again.stderr) == (1, True)


@ONLY_SQLITE
def test_an_account_is_stopped_by_its_name_and_everything_by_all(database: Database, environ: dict[str, str]) -> None:
    plan(database, call(vendor="aliyun", account="lessons"), post(1))
    assert asked_json("actions", "stop", "--account", "lessons", "--json", environ=environ) == {
        "stopped": {"kind": "account", "name": "aliyun/lessons"}
    }
    assert [one.operation for one in claim(database)] == ["http.post"]
    unknown = asked("actions", "stop", "--account", "lesons", environ=environ)
    assert (unknown.returncode, "aliyun/lessons" in unknown.stderr) == (2, True)
    assert asked("actions", "go", "--account", "lessons", environ=environ).returncode == 0
    assert asked("actions", "stop", "--all", environ=environ).stdout == "Stopped: every call.\n"
    assert claim(database) == []


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
def test_a_name_that_no_action_ever_had_is_told_so(environ: dict[str, str]) -> None:
    done = asked("actions", "stop", "--destination", "captoining", environ=environ)
    assert done.returncode == 0
    assert "No action was ever planned of destination captoining" in done.stderr


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("options", [[], ["--rule", "a", "--account", "b"], ["--all", "--rule", "a"]])
@pytest.mark.parametrize("verb", ["stop", "go"])
def test_exactly_one_thing_is_stopped_at_a_time(environ: dict[str, str], verb: str, options: list[str]) -> None:
    done = asked("actions", verb, *options, environ=environ)
    assert (done.returncode, "exactly one of --rule" in done.stderr) == (2, True)


# --- rerun ---


def test_what_was_done_is_repeated_by_a_condition(database: Database, environ: dict[str, str]) -> None:
    ids = handed_over(database, ["m3u8", "mp4", "m3u8", None])
    condition = 'recording.format == "m3u8" && action.attempts == 1 && account == "classroom"'
    options = ("--rule", "caption", "--since", "30d", "--if", condition)
    assert asked_json("actions", "rerun", *options, "--preview", "--json", environ=environ)["matching"] == 2
    unasked = asked("actions", "rerun", *options, environ=environ)
    assert (unasked.returncode, "2 actions" in unasked.stderr) == (2, True)
    assert asked_json("actions", "rerun", *options, "--yes", "--json", environ=environ) == {
        "repeated": 2,
        "left_out": 0,
    }
    assert repeated(database) == [ids[0], ids[2]]
    new = rows(database)[-1]
    assert (new["generation"], new["parameters"], new["told"]) == (
        1,
        rows(database)[2]["parameters"],
        rows(database)[2]["told"],
    )
    assert asked_json("actions", "rerun", *options, "--preview", "--json", environ=environ)["matching"] == 0


@ONLY_SQLITE
def test_times_bound_what_is_repeated(database: Database, environ: dict[str, str]) -> None:
    handed_over(database, ["mp4"])

    def found(*options: str) -> int:
        arguments = ("actions", "rerun", "--rule", "caption", *options, "--preview", "--json")
        return int(asked_json(*arguments, environ=environ)["matching"])

    assert found("--since", "1h") == 1
    assert found("--since", "1h", "--until", "30m") == 0
    assert found("--since", "2020-01-01", "--until", "2099-01-01T00:00:00Z") == 1
    assert found("--since", "2099-01-01") == 0
    wrong = asked("actions", "rerun", "--rule", "caption", "--since", "yesterday", environ=environ)
    assert (wrong.returncode, "--since" in wrong.stderr) == (2, True)


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("recording.formt == 'mp4'", "line 1 column 10: recording has no field formt; did you mean format?"),
        ("action.rule ==", "line 1 column"),
        ("1 + 1", "is of type integer; expected a condition"),
        ("nothing", "unknown name or function nothing"),
        ("action.created_at > 5", "times are no numbers"),
    ],
)
@pytest.mark.usefixtures("database")
def test_a_wrong_condition_is_told_with_its_place(environ: dict[str, str], condition: str, said: str) -> None:
    done = asked("actions", "rerun", "--rule", "caption", "--since", "1d", "--if", condition, environ=environ)
    assert done.returncode == 2
    assert "  --if: " in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@ONLY_SQLITE
def test_what_a_condition_has_no_value_for_is_left_out_and_told(database: Database, environ: dict[str, str]) -> None:
    handed_over(database, ["mp4", None])
    options = ("--rule", "caption", "--since", "1d", "--if", 'recording.format.startsWith("m")')
    done = asked("actions", "rerun", *options, "--yes", environ=environ)
    assert (done.returncode, done.stdout) == (0, "1 repeated\n")
    assert "For 1 action the condition has no value, and they are left out: " in done.stderr


def test_conditions_see_times_and_absent_views(database: Database) -> None:
    handed_over(database, ["mp4"])
    know_task(database)
    plan(database, call(9, rule="caption", lane=None))
    make(database, claim(database)[0])
    for text, count in (
        ('recording.started_at == timestamp("2023-11-14T22:13:20Z")', 1),
        ("event.at < action.created_at", 1),
        ("action.destination == null", 1),
        ("action.due_at != null || action.result_at == null", 2),
        ("recording.id == null", 1),
        ('action.change == "recording.available"', 1),
        ('segment.id == null && task.id == null && action.state == "done"', 2),
    ):
        chosen = rerunning.choose(database, Filters(rule=("caption",)), rerunning.read_condition(text))
        assert chosen.count == count, text


def test_steps_of_one_change_stay_together_however_many_are_repeated(database: Database) -> None:
    steps = [
        post(number, step=step, subject=f"rec_{number}", change="recording.available", rule="caption")
        for number in range(17)
        for step in range(3)
    ]
    plan(database, *steps)
    while taken := claim(database):
        for one in taken:
            make(database, one)
    chosen = rerunning.choose(database, Filters(rule=("caption",), state=("done",)))
    assert (chosen.count, rerunning.rerun(database, chosen, now=now_ms())) == (51, 51)
    new = [row for row in rows(database) if row["generation"]]
    assert {row["generation"] for row in new} == {1}
    assert [row["after"] is None for row in new] == [True, False, False] * 17


def test_of_a_call_that_was_repeated_only_the_last_is_repeated(database: Database) -> None:
    (first,) = handed_over(database, ["mp4"])
    everything = Filters(rule=("caption",), state=("done", "dead"))
    rerunning.rerun(database, rerunning.choose(database, everything), now=now_ms())
    assert rerunning.choose(database, everything).count == 0, "the second is still to be made"
    for one in claim(database):
        make(database, one, GIVE_UP)
    assert rerunning.choose(database, Filters(rule=("caption",), state=("done",))).count == 0
    rerunning.rerun(database, rerunning.choose(database, everything), now=now_ms())
    second = rows(database)[1]["id"]
    assert repeated(database) == [first, second]


def test_a_condition_names_all_that_an_item_of_the_list_holds() -> None:
    assert tuple(ACTION_FIELDS) == items.ACTION
    with pytest.raises(WrongRequest, match="known: "):
        rerunning.read_condition("action.nothing == 1")


@ONLY_SQLITE
def test_a_rerun_takes_old_actions_only_since_the_time_given(database: Database, environ: dict[str, str]) -> None:
    ids = handed_over(database, ["mp4", "mp4"])
    old = "act_" + "0" * 26
    with database.write() as connection:
        connection.execute(update(tables.actions).where(tables.actions.c.id == ids[0]).values(id=old))
    done = typed("actions", "rerun", "--rule", "caption", "--since", "30d", "--yes", environ=environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 repeated\n", "")
    assert repeated(database) == [ids[1]]
