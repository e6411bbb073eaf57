"""Volcengine's callbacks through a running Reelhook, in any order, and what a stranger makes of them."""

from __future__ import annotations

import hashlib
import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import API_TOKEN
from program import Program, request, running, wait_until
from terminal import told, typed

from handlers.clock import now_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = Path(__file__).parent / "fixtures" / "volcengine"
NEW, OLD = "the-new-secret-0123456789abcdef", "the-old-secret-0123456789abcdef"
CONFIGURATION = """
[accounts.classroom]
vendor = "volcengine"
callback_secrets = ["env:NEW", "env:OLD"]

[accounts.strict]
vendor = "volcengine"
callback_secrets = ["env:NEW"]
max_age = "10m"

[storages.school]
kind = "tos"
region = "cn-beijing"
bucket = "school-recordings"
match = { account = "classroom", type = "record" }
"""
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("volcengine")
    config = folder / "reelhook.toml"
    config.write_text(CONFIGURATION)
    environ = {
        "REELHOOK_DATA": str(folder / "data"),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "NEW": NEW,
        "OLD": OLD,
    }
    with running(environ, "serve", log=folder / "log") as started:
        started.ready()
        yield started
        assert "Traceback" not in started.log.read_text()
        assert NEW not in started.log.read_text()


def signed(envelope: dict[str, str], secret: str = NEW) -> bytes:
    values = [value for name, value in envelope.items() if name != "Signature"]
    signature = hashlib.sha256("".join(sorted([*values, secret])).encode()).hexdigest()
    return json.dumps(envelope | {"Signature": signature}).encode()


def envelope(name: str, at: int, **changed: Any) -> dict[str, str]:
    """Return the fixture's envelope with a fresh id, its time, and other fields of its data."""
    outer: dict[str, str] = json.loads((FIXTURES / f"{name}.json").read_bytes())
    data = json.loads(outer["EventData"]) | changed
    time = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
    return outer | {"EventData": json.dumps(data), "EventTime": time, "EventId": f"{next(_numbers):08d}-event"}


def post(program: Program, body: bytes, account: str = "classroom") -> tuple[int, Any]:
    answer = request("POST", f"{program.url}/callbacks/volcengine/{account}", body)
    return answer.status, answer.json()


def api(program: Program, path: str) -> list[Any]:
    answer = request("GET", f"{program.url}/api/v1/{path}", headers={"Authorization": f"Bearer {API_TOKEN}"})
    assert answer.status == 200, answer.body
    return list(answer.json()["items"])


def a_lesson(name: str, at: int) -> list[dict[str, str]]:
    """Return what is told of one recording of a minute: its start, its stop with a file, the end of its upload."""
    file = json.loads(envelope("RecordStopped", at)["EventData"])["RecordFileList"][0]
    files = [file | {"ObjectKey": f"{name}.mp4", "StartTime": at + 1_000, "Duration": 58_000}]
    return [
        envelope("RecordStarted", at, TaskId=name),
        envelope("RecordStopped", at + 60_000, TaskId=name, RecordFileList=files),
        envelope("RecordUploadDone", at + 90_000, TaskId=name),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_a_lesson_told_in_any_order_is_one_available_recording(program: Program, order: tuple[int, ...]) -> None:
    name, at = f"lesson-{''.join(map(str, order))}", now_ms() - 300_000
    lesson = a_lesson(name, at)
    for index in order:
        status, answer = post(program, signed(lesson[index]))
        assert (status, answer["status"]) == (200, "kept")
    wait_until(
        lambda: [one for one in api(program, f"recordings?task_id={name}") if one["state"] == "available"],
        what="the recording",
    )
    wait_until(lambda: api(program, f"tasks?task_id={name}")[0]["state"] == "stopped", what="the stop")
    (item,) = api(program, f"recordings?task_id={name}")
    assert (item["storage"], item["bucket"], item["region"], item["key"]) == (
        "tos",
        "school-recordings",
        "cn-beijing",
        f"{name}.mp4",
    )
    assert (item["duration_ms"], item["format"], item["business_id"]) == (58_000, "mp4", "school-7")
    (task,) = api(program, f"tasks?task_id={name}")
    assert (task["upload"], task["recording_count"], task["run"]) == ("done", 1, 1)


def test_a_retry_is_a_repeat_whether_it_is_signed_anew_or_not(program: Program) -> None:
    outer = envelope("RecordStarted", now_ms(), TaskId="retried")
    assert post(program, signed(outer))[1]["status"] == "kept"
    assert post(program, signed(outer))[1]["status"] == "repeat"
    assert post(program, signed(outer | {"Nonce": "zZ09"}))[1]["status"] == "repeat"
    assert post(program, signed(outer, OLD))[1]["status"] == "repeat"


def test_a_captured_callback_is_forged_or_a_repeat(program: Program) -> None:
    outer = envelope("RecordStarted", now_ms(), TaskId="captured") | {"EventId": "7000", "Nonce": "7891"}
    true = json.loads(signed(outer))
    assert post(program, json.dumps(true).encode())[1]["status"] == "kept"
    assert post(program, json.dumps(true | {"EventId": "7891", "Nonce": "7000"}).encode())[1]["status"] == "repeat"
    for forged in ({"EventId": "70007", "Nonce": "891"}, {"Version": true["EventId"], "EventId": true["Version"]}):
        status, _ = post(program, json.dumps(true | forged).encode())
        assert status == 401


def test_a_stranger_is_refused_and_seen(program: Program) -> None:
    outer = envelope("RecordStarted", now_ms(), TaskId="strange")
    assert post(program, signed(outer, "guessed"))[0] == 401
    assert post(program, json.dumps({**outer, "Signature": None}).encode())[0] == 401
    assert post(program, b"<xml/>")[0] == 400
    assert post(program, signed(envelope("RecordStarted", now_ms() - 700_000)), "strict")[0] == 401
    assert post(program, signed(envelope("RecordStarted", now_ms())), "strict")[0] == 200
    wait_until(
        lambda: {one["reason"] for one in api(program, "refusals?limit=1000")} >= {"bad_signature", "uncheckable"},
        what="the refusals",
    )
    assert api(program, "tasks?task_id=strange") == []


def test_what_can_not_be_read_is_kept_and_quarantined(program: Program) -> None:
    outer = envelope("RecordStopped", now_ms(), TaskId="")
    status, answer = post(program, signed(outer))
    assert (status, answer["status"]) == (200, "quarantined")
    assert "TaskId is ''" in json.dumps(answer)


def test_slices_become_segments(program: Program) -> None:
    assert post(program, signed(envelope("SegmentRealTimeData-several", now_ms(), TaskId="slices")))[0] == 200
    wait_until(lambda: len(api(program, "segments?task_id=slices")) == 3, what="the segments")
    assert sorted(one["mixed"] for one in api(program, "segments?task_id=slices")) == [False, False, True]


def test_the_generated_account_signs_and_is_printed_with_its_key(tmp_path: Path) -> None:
    environ = {"REELHOOK_DATA": str(tmp_path / "data")}
    urls = told("accounts", "--json", environ=environ)
    (url,) = [item["callback_url"] for item in urls if item["vendor"] == "volcengine"]
    assert url.endswith("/callbacks/volcengine/default")
    printed = typed("accounts", environ=environ).stdout
    key = printed.split(url)[1].split("signing key")[1].split()[0]
    assert len(key) >= 32
    with running(environ, "serve", log=tmp_path / "log") as started:
        started.ready()
        body = signed(envelope("RecordStarted", now_ms()), key)
        answer = request("POST", f"{started.url}/callbacks/volcengine/default", body)
        assert (answer.status, answer.json()["status"]) == (200, "kept")
