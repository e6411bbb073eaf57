"""The command line's questions and orders: the API's answers, and what was kept put back to work."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import planning
import pytest
from callbacks import file_created, incoming
from conftest import TOKEN
from rows import fill_segments
from terminal import PROGRAM, asked, asked_json, clean, told

from handlers import questions
from handlers.errors import BadToken
from handlers.inbox.processing import Processor
from handlers.inbox.refusals import Refusals
from handlers.questions.filters import Filters, Page
from handlers.vendors import VENDORS
from webhook.columns import print_item, shown, span

if TYPE_CHECKING:
    from handlers.database import Database
    from handlers.inbox import Inbox
    from handlers.settings import Settings


@pytest.fixture
def filled(inbox: Inbox, database: Database, settings: Settings) -> Database:
    """Return a database with five recordings in two rooms, one delivery in quarantine, and two refusals."""
    for number in range(5):
        body = file_created(number, ChannelId=f"room-{number % 2}", StartTime=f"2020-09-0{number + 1}T10:23:54Z")
        inbox.accept(incoming(body, token=TOKEN))
    inbox.accept(incoming(b"garbage", token=TOKEN))
    refusals = Refusals(database, VENDORS)
    refusals.start()
    for token, body in (("wrong", file_created(77)), ("wrong", b"garbage")):
        arrived = incoming(body, token=token)
        with pytest.raises(BadToken) as caught:
            inbox.accept(arrived)
        refusals.record(arrived, caught.value)
    refusals.close()
    processor = Processor(database, settings, VENDORS)
    while processor.process():
        pass
    return database


@pytest.fixture
def sliced(filled: Database) -> Database:
    """Return the same with ten segments and an action."""
    fill_segments(filled, 10)
    planning.plan(filled, planning.call())
    return filled


NOUNS = {
    "recordings": "recording",
    "segments": "segment",
    "tasks": "task",
    "deliveries": "delivery",
    "refusals": "refusal",
    "actions": "action",
}
#: the questions themselves are tried on both engines elsewhere
ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_json_is_what_the_api_answers(sliced: Database, environ: dict[str, str]) -> None:
    for many, one in NOUNS.items():
        with sliced.read() as connection:
            listing = getattr(questions, f"list_{many}")(connection, Filters(), Page())
            assert listing.items
            item = getattr(questions, f"show_{one}")(connection, listing.items[0]["id"])
        assert asked_json(many, "list", "--json", environ=environ) == {"items": listing.items, "next": None}
        assert asked_json(many, "show", item["id"], "--json", environ=environ) == item
    assert told(many, "show", item["id"], "--json", environ=environ) == item


@pytest.mark.parametrize("noun", NOUNS)
@ONLY_SQLITE
@pytest.mark.usefixtures("sliced")
def test_people_see_a_table(environ: dict[str, str], noun: str) -> None:
    items = asked_json(noun, "list", "--json", environ=environ)["items"]
    done = asked(noun, "list", environ=environ)
    heading, *rows = done.stdout.splitlines()
    assert "(UTC)" in heading
    assert [row.split()[0] for row in rows] == [item["id"] for item in items]
    one = asked(noun, "show", items[0]["id"], environ=environ)
    assert one.returncode == 0
    assert items[0]["id"] in one.stdout.splitlines()[0]


@ONLY_SQLITE
@pytest.mark.usefixtures("filled")
def test_pages_follow_each_other(environ: dict[str, str]) -> None:
    everything = asked_json("recordings", "list", "--all", "--json", environ=environ)
    assert (len(everything["items"]), everything["next"]) == (5, None)
    first = asked_json("recordings", "list", "--limit", "3", "--json", environ=environ)
    rest = asked_json("recordings", "list", "--limit", "3", "--cursor", first["next"], "--json", environ=environ)
    assert first["items"] + rest["items"] == everything["items"]
    assert rest["next"] is None
    hint = asked("recordings", "list", "--limit", "3", environ=environ)
    assert first["next"] in hint.stderr


@ONLY_SQLITE
@pytest.mark.usefixtures("filled")
def test_a_filter_given_twice_means_any_of_both(environ: dict[str, str]) -> None:
    def found(*options: str) -> int:
        return len(asked_json("recordings", "list", *options, "--json", environ=environ)["items"])

    assert found("--room-id", "room-0") == 3
    assert found("--room-id", "room-0", "--room-id", "room-1") == 5
    assert found("--started-after", "2020-09-03", "--started-before", "2020-09-05T10:23:54Z") == 2
    assert found("--started-after", "2020-09-05T12:23:54+02:00") == 1
    assert found("--state", "available", "--format", "m3u8", "--vendor", "aliyun", "--q", "room-") == 5
    assert found("--account", "nobody") == 0


@ONLY_SQLITE
@pytest.mark.usefixtures("filled")
def test_a_list_without_rows_says_so(environ: dict[str, str]) -> None:
    done = asked("recordings", "list", "--room-id", "elsewhere", environ=environ)
    assert (done.returncode, done.stdout) == (0, "No recording matches.\n")
    assert asked_json("recordings", "list", "--room-id", "elsewhere", "--json", environ=environ) == {
        "items": [],
        "next": None,
    }
    assert asked_json("tasks", "list", "--task-id", "elsewhere", "--all", "--json", environ=environ) == {
        "items": [],
        "next": None,
    }


@pytest.mark.parametrize(
    "options",
    [
        ["--started-after", "yesterday"],
        ["--cursor", "x"],
        ["--limit", "0"],
        ["--state", "lost"],
        ["--vendor", "aliyum"],
        ["--room-id", "a\udcff"],
    ],
    ids=lambda options: options[0],
)
@ONLY_SQLITE
@pytest.mark.usefixtures("filled")
def test_a_question_that_can_not_be_answered_ends_with_2(environ: dict[str, str], options: list[str]) -> None:
    done = asked("recordings", "list", *options, environ=environ)
    assert done.returncode == 2
    assert options[0] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("noun", NOUNS)
@ONLY_SQLITE
@pytest.mark.usefixtures("filled")
def test_what_is_not_there_ends_with_1(environ: dict[str, str], noun: str) -> None:
    done = asked(noun, "show", "nothing", environ=environ)
    assert done.returncode == 1
    assert "there is no" in done.stderr


def test_people_see_what_was_told_of_a_run_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    begun = {
        "at": "2020-09-02T10:23:54.000Z",
        "kind": "task.started",
        "begins": True,
        "progress": None,
        "delivery": "dlv_1",
    }
    done = {
        "at": "2020-09-02T10:53:46.000Z",
        "kind": "task.stopped",
        "begins": False,
        "progress": 0,
        "delivery": "dlv_2",
    }
    print_item({"id": "tsk_1", "marks": [begun, done], "identifiers": []})
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "id           tsk_1",
        "marks        at: 2020-09-02T10:23:54.000Z, kind: task.started, begins: yes, delivery: dlv_1",
        "at: 2020-09-02T10:53:46.000Z, kind: task.stopped, progress: 0, delivery: dlv_2",
        "identifiers  -",
    ]


def test_what_a_vendor_sent_can_not_steer_the_terminal() -> None:
    assert shown("录制\x1b[31m\u202eX\r[red]").plain == "录制\\x1b[31m\\u202eX\\r[red]"
    assert not shown("[red]x").spans


@pytest.mark.parametrize(
    ("ms", "text"), [(None, "-"), (0, "0:00:00"), (1_792_257, "0:29:52"), (90_061_000, "25:01:01")]
)
def test_spans_read_as_hours_minutes_seconds(ms: int | None, text: str) -> None:
    assert span(ms) == text


@ONLY_SQLITE
@pytest.mark.usefixtures("filled")
def test_a_reader_that_leaves_early_ends_the_command_quietly(environ: dict[str, str]) -> None:
    for arguments in (["recordings", "export", "--format", "csv"], ["recordings", "list", "--json"]):
        with subprocess.Popen(
            [*PROGRAM, *arguments], env=clean(environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""


# --- replay, release, rebuild ---------------------------------------------------------------------------------------


def _states(environ: dict[str, str]) -> dict[str, int]:
    items = asked_json("deliveries", "list", "--json", environ=environ)["items"]
    return {state: sum(item["state"] == state for item in items) for state in ("kept", "processed", "quarantined")}


@pytest.mark.usefixtures("filled")
def test_replay_counts_asks_and_puts_back(environ: dict[str, str]) -> None:
    before = {"kept": 0, "processed": 5, "quarantined": 1}
    assert asked_json("replay", "--preview", "--json", environ=environ) == {"matching": 1, "more": False}
    assert asked_json("replay", "--preview", "--state", "processed", "--json", environ=environ)["matching"] == 5
    unasked = asked("replay", environ=environ)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True)
    assert _states(environ) == before
    assert asked_json("replay", "--yes", "--json", environ=environ) == {"replayed": 1}
    assert _states(environ) == {"kept": 1, "processed": 5, "quarantined": 0}


@ONLY_SQLITE
@pytest.mark.usefixtures("filled")
def test_replay_takes_deliveries_by_name(environ: dict[str, str]) -> None:
    ids = [
        item["id"]
        for item in asked_json("deliveries", "list", "--state", "processed", "--json", environ=environ)["items"]
    ]
    assert asked_json("replay", *ids[:2], "--json", environ=environ) == {"replayed": 2}
    missing = asked("replay", ids[2], "dlv_nothing", environ=environ)
    assert (missing.returncode, "dlv_nothing" in missing.stderr) == (1, True)
    assert _states(environ)["kept"] == 3
    both = asked("replay", ids[0], "--vendor", "aliyun", environ=environ)
    assert (both.returncode, "either" in both.stderr) == (2, True)


@pytest.mark.usefixtures("filled")
def test_release_keeps_what_was_refused(environ: dict[str, str]) -> None:
    assert asked_json("release", "--preview", "--json", environ=environ) == {"matching": 1, "more": False}
    unasked = asked("release", environ=environ)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True)
    assert asked_json("release", "--reason", "bad_token", "--yes", "--json", environ=environ) == {"released": 1}
    assert _states(environ)["kept"] == 1
    assert asked_json("release", "--preview", "--json", environ=environ)["matching"] == 0


@ONLY_SQLITE
@pytest.mark.usefixtures("filled")
def test_release_says_why_one_can_not_be_released(environ: dict[str, str]) -> None:
    ids = [item["id"] for item in asked_json("refusals", "list", "--json", environ=environ)["items"]]
    done = asked("release", *ids, environ=environ)
    assert done.returncode == 1
    assert "released 1" in done.stderr
    assert "was not well-formed" in done.stderr


@pytest.mark.usefixtures("filled")
def test_rebuild_tells_what_it_met(environ: dict[str, str]) -> None:
    unasked = asked("rebuild", environ=environ)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True)
    before = asked_json("recordings", "list", "--json", environ=environ)
    report = asked_json("rebuild", "--yes", "--json", environ=environ)
    assert (report["deliveries"], report["families"], report["rows_changed"]) == (6, 5, 0)
    assert asked_json("recordings", "list", "--json", environ=environ) == before
    assert "6 deliveries read" in asked("rebuild", "--yes", environ=environ).stdout
