"""The export: every recording once, as CSV and NDJSON, whole or not at all, in constant memory."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rows import fill_segments
from terminal import PROGRAM, clean, told, typed

from handlers.errors import ReelhookError
from handlers.questions import items
from webhook.exports import whole_file, write_csv, write_ndjson

if TYPE_CHECKING:
    from handlers.database import Database

ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

_MANY = """
INSERT INTO recordings (id, task, locator, vendor, account, app_id, room_id, type, task_id, url, storage, bucket,
    region, key, format, started_at, duration_ms, media, state, sightings, first_seen_at, updated_at)
WITH RECURSIVE numbers(number, name) AS (
    SELECT {first}, CAST({first} AS TEXT)
    UNION ALL SELECT number + 1, CAST(number + 1 AS TEXT) FROM numbers WHERE number + 1 < {end}
)
SELECT 'rec_' || substr('0000000000', 1, 10 - length(name)) || name, 'tsk_' || name, 'oss:b:' || name, 'aliyun',
    'lessons', '9q1x', 'room-' || name, 'record', 'task-' || name,
    'https://rtc-record.oss-cn-shanghai.aliyuncs.com/record/9q1x/' || name || '.m3u8', 'oss', 'rtc-record',
    'cn-shanghai', 'record/9q1x/' || name || '.m3u8', 'm3u8', 1599042234000 + number, 1792257, '{{"width": 640}}',
    'available', 1, 1599042234000, 1599042234000
FROM numbers
"""
_STREAMS = """
INSERT INTO recording_streams (recording, user_id, source)
SELECT r.id, 'teacher-' || r.id, 'camera' FROM recordings r
WHERE NOT EXISTS (SELECT 1 FROM recording_streams s WHERE s.recording = r.id)
"""


def grow(database: Database, first: int, end: int) -> None:
    """Add recordings with the numbers from `first` up to and without `end`, one stream each."""
    with database.write(patience=600) as connection:
        connection.exec_driver_sql(_MANY.format(first=first, end=end))
        connection.exec_driver_sql(_STREAMS)


#: runs the export in this very process, and tells the most memory that it held, in KiB; getrusage() would count the
#: parent's as well, which a child has until it becomes another program
_MEASURED = """
import sys
from webhook.cli import main
try:
    main(["recordings", "export", "--format", sys.argv[1], "--output", sys.argv[2]])
except SystemExit as end:
    most = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(end.code, most)
"""


def exported_rss(environ: dict[str, str], form: str, output: Path) -> int:
    """Export and return the most memory that it took, in KiB."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _MEASURED, form, str(output)],
        env=clean(environ),
        capture_output=True,
        text=True,
        check=True,
    )
    code, rss = done.stdout.split()
    assert code == "0"
    return int(rss)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells what one program held at most")
@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_the_number_of_recordings(
    database: Database, environ: dict[str, str], tmp_path: Path
) -> None:
    grow(database, 0, 20_000)
    some = exported_rss(environ, "ndjson", tmp_path / "some.ndjson")
    grow(database, 20_000, 150_000)
    many = exported_rss(environ, "ndjson", tmp_path / "many.ndjson")
    with (tmp_path / "many.ndjson").open("rb") as lines:
        count = sum(1 for _ in lines)
    assert count == 150_000
    # 130,000 items more would take 250 MiB and more, had they been held; SQLite's own cache may fill up to 64 MiB.
    assert many - some < 96 * 1024, f"{some} KiB for 20,000 recordings, {many} KiB for 150,000"


def test_every_recording_is_exported_once(database: Database, environ: dict[str, str], tmp_path: Path) -> None:
    grow(database, 0, 2_500)
    expected = told("recordings", "list", "--all", "--json", environ=environ)["items"]
    lines = tmp_path / "all.ndjson"
    assert typed("recordings", "export", "--format", "ndjson", "--output", str(lines), environ=environ).returncode == 0
    assert [json.loads(line) for line in lines.read_text().splitlines()] == expected
    done = typed("recordings", "export", "--format", "csv", environ=environ)
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert [row["id"] for row in rows] == [item["id"] for item in expected]
    assert [json.loads(row["streams"]) for row in rows] == [item["streams"] for item in expected]
    assert done.stderr == ""


def test_every_segment_is_exported_once(database: Database, environ: dict[str, str]) -> None:
    fill_segments(database, 1_500)
    expected = told("segments", "list", "--all", "--json", environ=environ)["items"]
    lines = typed("segments", "export", "--format", "ndjson", environ=environ).stdout.splitlines()
    assert [json.loads(line) for line in lines] == expected
    narrowed = ("--room-id", "room-000002", "--started-after", "2020-09-13T13:20:00Z")
    done = typed("segments", "export", "--format", "csv", *narrowed, environ=environ)
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert (tuple(rows[0]), len(rows)) == (items.SEGMENT, 6)
    assert {(row["room_id"], row["identifier"], row["media"], row["mixed"]) for row in rows} == {
        ("room-000002", "run-5", "{}", "")
    }
    by_id = {item["id"]: item for item in expected}
    assert all(json.loads(row["streams"]) == by_id[row["id"]]["streams"] for row in rows)


@ONLY_SQLITE
def test_filters_narrow_the_export(database: Database, environ: dict[str, str]) -> None:
    grow(database, 0, 20)
    narrowed = ("--room-id", "room-3", "--room-id", "room-4", "--file-format", "m3u8")
    done = typed("recordings", "export", "--format", "ndjson", *narrowed, environ=environ)
    assert [json.loads(line)["room_id"] for line in done.stdout.splitlines()] == ["room-4", "room-3"]
    assert typed("recordings", "export", "--format", "ndjson", "--file-format", "mp4", environ=environ).stdout == ""


@ONLY_SQLITE
@pytest.mark.usefixtures("database")
def test_without_recordings_there_is_a_header(environ: dict[str, str]) -> None:
    done = typed("recordings", "export", "--format", "csv", environ=environ)
    assert (done.returncode, done.stdout.strip().split(",")) == (0, list(items.RECORDING))


def _item(**values: Any) -> dict[str, Any]:
    return dict.fromkeys(items.RECORDING) | values


def test_csv_is_rfc_4180() -> None:
    out = io.BytesIO()
    told_of: dict[str, Any] = {
        "room_id": 'a "b", c\nd',
        "user": None,
        "mixed": True,
        "media": {"a": "录"},
        "flags": [],
        "duration_ms": 7,
    }
    write_csv([_item(**told_of)], ("id", "room_id", "mixed", "media", "flags", "duration_ms"), out)
    header = b"id,room_id,mixed,media,flags,duration_ms\r\n"
    assert out.getvalue() == header + ',"a ""b"", c\nd",true,"{""a"":""录""}",[],7\r\n'.encode()


@pytest.mark.parametrize("text", ["=1+1", "@x", "-", "\t", " ", "a\rb", "录制"])
def test_csv_gives_back_every_text_as_it_was(text: str) -> None:
    out = io.BytesIO()
    write_csv([_item(room_id=text)], ("room_id", "id"), out)
    assert list(csv.reader(io.StringIO(out.getvalue().decode(), newline="")))[1] == [text, ""]


def test_ndjson_is_one_line_for_each_item() -> None:
    out = io.BytesIO()
    write_ndjson([_item(room_id="a\nb", streams=[{"user_id": "录"}])], ("room_id", "streams"), out)
    assert out.getvalue() == '{"room_id":"a\\nb","streams":[{"user_id":"录"}]}\n'.encode()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "recordings.csv"
    path.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), whole_file(path) as out:
        out.writelines(b"%d" % (1 // number) for number in (1, 0))
    assert path.read_bytes() == b"before"
    with whole_file(path) as out:
        out.write(b"after")
        out.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    path = tmp_path / "latest.csv"
    path.symlink_to(tmp_path / "real.csv")
    with whole_file(path) as out:
        out.write(b"x")
    assert path.is_symlink()
    assert (tmp_path / "real.csv").read_bytes() == b"x"


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReelhookError, match="can't be written"), whole_file(tmp_path / "missing" / "a.csv"):
        pass
    with whole_file(Path("/dev/null")) as out:
        out.write(b"x")


@ONLY_SQLITE
def test_a_person_sees_progress_and_a_program_does_not(
    database: Database, environ: dict[str, str], tmp_path: Path
) -> None:
    grow(database, 0, 50)
    controller, terminal = pty.openpty()
    output = tmp_path / "out.csv"
    arguments = [*PROGRAM, "recordings", "export", "--format", "csv", "--output", str(output)]
    try:
        done = subprocess.run(arguments, env=clean(environ | {"TERM": "xterm"}), stderr=terminal, check=False)
        os.set_blocking(controller, False)
        seen = os.read(controller, 65_536).decode()
    finally:
        os.close(controller)
        os.close(terminal)
    assert done.returncode == 0
    assert "50/50" in seen
    assert len(output.read_text().splitlines()) == 51
