"""The HTTP door, over real HTTP: what each bad input gets, and that whatever carried a valid token is kept."""

from __future__ import annotations

import gzip
import json
import re
import socket
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from callbacks import SAMPLE, file_created
from conftest import API_TOKEN, TOKEN
from program import Program, request, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LESSONS = "/callbacks/aliyun/lessons"
WITH_TOKEN = f"{LESSONS}?token={TOKEN}"
MIB = 1024 * 1024


@dataclass
class Door:
    """A running Reelhook on SQLite, and its database for looking into."""

    program: Program
    database: Path

    def post(self, body: bytes | None, target: str = WITH_TOKEN, **headers: str) -> Told:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = request("POST", self.program.url + target, body, headers=named)
        return Told(answer.status, answer.json(), dict(answer.headers))

    def raw(self, *pieces: bytes) -> Told:
        """Send bytes as they are, end the sending, and read the answer to its end."""
        with closing(socket.create_connection(("127.0.0.1", self.program.port), timeout=15)) as client:
            with suppress(OSError):
                for piece in pieces:
                    client.sendall(piece)
                client.shutdown(socket.SHUT_WR)
            answer = b""
            while data := client.recv(65_536):
                answer += data
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        return Told(int(lines[0].split()[1]), json.loads(body), headers)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query, values).fetchall()

    def kept(self, told: Told) -> bytes:
        """Return the body that was kept under the answer's id."""
        return bytes(self.rows("SELECT body FROM deliveries WHERE id = ?", told.answer["delivery"])[0][0])

    def count(self) -> int:
        return int(self.rows("SELECT count(*) FROM deliveries")[0][0])

    def recorded(self, number: int) -> bool:
        return bool(self.rows("SELECT 1 FROM recordings WHERE task_id = ?", f"task-{number:08d}"))


@dataclass
class Told:
    """An answer."""

    status: int
    answer: dict[str, Any]
    headers: dict[str, str]

    def problem(self, status: int) -> str:
        """Return what the problem says, having checked that it is one."""
        assert self.status == status, self.answer
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.answer["status"] == status
        return str(self.answer["detail"])


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    config = folder / "reelhook.toml"
    config.write_text('[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN"]\n')
    environ = {
        "REELHOOK_DATA": str(folder / "data"),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
    }
    with running(environ, "serve", log=folder / "log") as program:
        program.ready()
        yield Door(program, folder / "data" / "reelhook.db")
        log = program.log.read_text()
    assert "starting it again" not in log, "web and worker are the first ones"
    assert "Traceback" not in log


#: name -> body, and words of the reason that tell what was expected
UNREADABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty; expected a JSON object"),
    "blank": (b" \r\n\t", "is empty; expected a JSON object"),
    "no JSON": (b"FileCreated", "is not JSON: Expecting value at line 1 column 1; expected an object"),
    "half JSON": (b'{"Event": "FileCrea', "line 1 column 11; expected an object"),
    "two values": (b"{}{}", "Extra data at line 1 column 3; expected an object"),
    "no UTF-8": (b"\xff\xfe{}", "is not UTF-8 (byte 0); expected a JSON object"),
    "UTF-16": ("{}".encode("utf-16"), "is not UTF-8"),
    "an array": (b"[1, 2]", "is a JSON array; expected an object"),
    "a string": (b'"FileCreated"', "is a JSON string; expected an object"),
    "a number": (b"12", "is a JSON number; expected an object"),
    "null": (b"null", "is a JSON null; expected an object"),
    "true": (b"true", "is a JSON boolean; expected an object"),
    "arrays 10,000 deep": (b"[" * 10_000 + b"]" * 10_000, "nests too deep"),
    "objects 10,000 deep": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nests too deep"),
    "a number of 10,000 digits": (b'{"Duration": ' + b"9" * 10_000 + b"}", "a number of too many digits"),
    "gzip": (gzip.compress(file_created(), mtime=0), "is not UTF-8"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_body_that_cannot_be_read_is_kept_and_the_answer_says_what_was_expected(door: Door, name: str) -> None:
    body, reason = UNREADABLE[name]
    told = door.post(body)
    assert told.status == 200
    assert told.answer["status"] == "quarantined"
    assert reason in told.answer["reason"]
    assert door.kept(told) == body
    state = door.rows("SELECT state, reason FROM inbox WHERE delivery = ?", told.answer["delivery"])
    assert state == [("quarantined", told.answer["reason"])]


_WRONG: Sequence[Any] = (
    None,
    True,
    False,
    -1,
    1.5,
    10**40,
    "",
    "x" * 3000,
    [],
    ["x"],
    {},
    {"x": 1},
    "\0",
    "\ud800",
    "…",
)
_DATES = (
    "2020-02-30T10:00:00Z",
    "2021-02-29T10:00:00Z",
    "2020-13-01T10:00:00Z",
    "2020-01-01T24:00:01Z",
    "2020-01-01T10:61:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "1899-12-31T23:59:59Z",
    "yesterday",
    "2020",
    "1599042234",
)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_field_of_any_other_type_is_read_or_quarantined_by_name(door: Door, name: str) -> None:
    wrong = [..., *_WRONG, *(_DATES if name in {"StartTime", "StopTime"} else ())]
    for number, value in enumerate(wrong):
        body = file_created(1_000_000 + number, **{name: value})
        told = door.post(body)
        assert told.status == 200, value
        assert door.kept(told) == body
        if told.answer["status"] == "quarantined":
            assert told.answer["reason"].startswith(f"{name} "), value
        else:
            assert told.answer["status"] in {"kept", "repeat"}


@pytest.mark.parametrize("date", _DATES)
def test_a_date_that_does_not_exist_is_quarantined(door: Door, date: str) -> None:
    told = door.post(file_created(StartTime=date))
    assert told.answer["status"] == "quarantined"
    assert told.answer["reason"].startswith(f"StartTime is {date!r}:")
    assert "expected a time" in told.answer["reason"]


def test_all_wrong_fields_are_named_at_once(door: Door) -> None:
    told = door.post(file_created(AppId=None, TaskId=[], Url=7, StartTime="long ago"))
    assert told.answer["status"] == "quarantined"
    for name in ("AppId", "TaskId", "Url", "StartTime"):
        assert name in told.answer["reason"]


SAMPLE_TYPES = (
    None,
    "",
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "nonsense",
)


@pytest.mark.parametrize("number", range(len(SAMPLE_TYPES)))
def test_the_content_type_does_not_matter(door: Door, number: int) -> None:
    body = file_created(2_000_000 + number)
    kind = SAMPLE_TYPES[number]
    head = f"POST {WITH_TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    told = door.raw((head + ("" if kind is None else f"Content-Type: {kind}\r\n") + "\r\n").encode() + body)
    assert (told.status, told.answer["status"]) == (200, "kept")
    wait_until(lambda: door.recorded(2_000_000 + number), what="its recording")


@pytest.mark.parametrize("name", ["percent-encoded whole", "as a form's value", "with a byte order mark", "spaced out"])
def test_json_that_came_as_a_form_or_with_a_mark_is_read(door: Door, name: str) -> None:
    number = 2_100_000 + sum(name.encode())
    plain = file_created(number)
    body = {
        "percent-encoded whole": quote(plain).encode(),
        "as a form's value": b"callback=" + quote(plain).encode(),
        "with a byte order mark": b"\xef\xbb\xbf" + plain,
        "spaced out": b"\r\n " + plain + b"\n",
    }[name]
    told = door.post(body, Content_Type="application/x-www-form-urlencoded")
    assert (told.status, told.answer["status"]) == (200, "kept")
    assert door.kept(told) == body
    wait_until(lambda: door.recorded(number), what="its recording")


def test_a_compressed_body_is_kept_as_it_came(door: Door) -> None:
    """No vendor compresses; what says that it is compressed is not unpacked, and can be read by hand."""
    body = gzip.compress(file_created())
    told = door.post(body, Content_Encoding="gzip")
    assert (told.status, told.answer["status"]) == (200, "quarantined")
    assert door.kept(told) == body


def _head(rest: str, version: str = "1.1") -> bytes:
    return f"POST {WITH_TOKEN} HTTP/{version}\r\nHost: x\r\nConnection: close\r\n{rest}\r\n\r\n".encode()


def test_a_chunked_body_is_a_body(door: Door) -> None:
    body = file_created(2_200_000)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:90], body[90:]))
    told = door.raw(_head("Transfer-Encoding: chunked"), chunks, b"0\r\n\r\n")
    assert (told.status, told.answer["status"]) == (200, "kept")
    assert door.kept(told) == body


_MALFORMED = "broke off or is malformed"
#: name -> what is sent, and words of the answer
_BROKEN: dict[str, tuple[bytes, str]] = {
    "short": (_head("Content-Length: 10") + b"{}", "2 bytes came, 10 were announced"),
    "no body at all": (_head("Content-Length: 10"), "0 bytes came, 10 were announced"),
    "a chunk that breaks off": (_head("Transfer-Encoding: chunked") + b"9\r\n{}", "2 bytes came before that"),
    "no last chunk": (_head("Transfer-Encoding: chunked") + b"2\r\n{}\r\n", "2 bytes came before that"),
    "a chunk without a size": (
        _head("Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n",
        _MALFORMED,
    ),
    "a chunk longer than said": (
        _head("Transfer-Encoding: chunked") + b"1\r\n{}\r\n0\r\n\r\n",
        _MALFORMED,
    ),
    "another coding": (
        _head("Transfer-Encoding: gzip, chunked") + b"2\r\n{}\r\n0\r\n\r\n",
        _MALFORMED,
    ),
    "two lengths": (_head("Content-Length: 2\r\nContent-Length: 3") + b"{}", "not well-formed HTTP"),
    "length and chunks": (_head("Content-Length: 2\r\nTransfer-Encoding: chunked") + b"{}", "not well-formed HTTP"),
    "a negative length": (_head("Content-Length: -2") + b"{}", "not well-formed HTTP"),
    "a length in words": (_head("Content-Length: two") + b"{}", "not well-formed HTTP"),
    "half a head": (_head("X: y")[:60], "ended before its head was whole"),
    "no HTTP": (b"nonsense\r\n\r\n", "not well-formed HTTP"),
    "a token that is no ASCII": (
        b"POST /callbacks/aliyun/lessons?token=\xff HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        "not well-formed HTTP",
    ),
}


@pytest.mark.parametrize("name", _BROKEN)
def test_a_request_that_is_not_whole_is_no_delivery(door: Door, name: str) -> None:
    sent, words = _BROKEN[name]
    before = door.count()
    assert words in door.raw(sent).problem(400)
    assert door.count() == before


def test_a_body_of_just_the_limit_is_kept_and_one_byte_more_is_not(door: Door) -> None:
    body = file_created(2_300_000).ljust(MIB)
    told = door.post(body)
    assert (told.status, told.answer["status"]) == (200, "kept")
    assert door.kept(told) == body
    before = door.count()
    detail = door.post(body + b" ").problem(413)
    assert "1048577 bytes were announced, at most 1048576" in detail
    assert "REELHOOK_MAX_BODY" in detail
    chunked = _head("Transfer-Encoding: chunked") + b"100001\r\n" + body + b" \r\n0\r\n\r\n"
    assert "1048576" in door.raw(chunked).problem(413)
    assert door.count() == before


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE"])
def test_another_method_is_told_which_one_goes(door: Door, method: str) -> None:
    before = door.count()
    answer = request(method, door.program.url + WITH_TOKEN, None if method in {"GET", "HEAD"} else b"{}")
    assert answer.status == 405
    assert sorted(answer.headers["Allow"].split(", ")) == ["OPTIONS", "POST"]
    if method != "HEAD":
        assert f"{method} does not go with {LESSONS}; expected OPTIONS, POST" in answer.json()["detail"]
    assert TOKEN.encode() not in answer.body
    assert door.count() == before


def test_options_are_told(door: Door) -> None:
    answer = request("OPTIONS", door.program.url + WITH_TOKEN)
    assert (answer.status, sorted(answer.headers["Allow"].split(", "))) == (200, ["OPTIONS", "POST"])


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (f"/callbacks/nobody/lessons?token={TOKEN}", "no vendor has this name; expected /callbacks/<vendor>/<account>"),
        (f"/callbacks/aliyun/nothing?token={TOKEN}", "no account of this name; `reelhook accounts` prints"),
        (f"/callbacks/aliyun/LESSONS?token={TOKEN}", "no account of this name"),
        (f"/callbacks/aliyun/%00?token={TOKEN}", "no account of this name"),
        (f"/callbacks/aliyun/lessons/more/still?token={TOKEN}", "there is nothing at"),
        (f"/callbacks/aliyun?token={TOKEN}", "there is nothing at"),
        (f"/callbacks//aliyun/lessons?token={TOKEN}", "there is nothing at"),
        (f"/callbacks/aliyun//lessons?token={TOKEN}", "there is nothing at"),
        (f"/callbacks/aliyun/lessons//mns-topic?token={TOKEN}", "there is nothing at"),
        (f"/callbacks/aliyun/lessons/http?token={TOKEN}", "aliyun has no door of this name, only mns-topic; "),
        (f"/callbacks/aliyun/lessons/mns?token={TOKEN}", "aliyun has no door of this name"),
        (f"/callbacks/aliyun/lessons/MNS-topic?token={TOKEN}", "aliyun has no door of this name"),
        (f"/callbacks/volcengine/lessons/more?token={TOKEN}", "volcengine has no door of this name, and needs nothing"),
        (f"/callbacks/aliyun/lessons/{TOKEN}", "aliyun has no door of this name"),
        (f"/callbacks/aliyun/lessons/%ff%00?token={TOKEN}", "aliyun has no door of this name"),
    ],
)
def test_an_address_that_is_not_configured_is_told(door: Door, target: str, words: str) -> None:
    before = door.count()
    told = door.post(file_created(), target)
    assert words in told.problem(404)
    assert TOKEN not in f"{told.answer} {told.headers}"
    assert door.count() == before


def test_a_slash_at_the_end_of_the_address_costs_no_callback(door: Door) -> None:
    told = door.post(file_created(), f"{LESSONS}/?token={TOKEN}")
    assert (told.status, told.answer["status"]) == (200, "kept")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?token=",
        "?token",
        "?token=wrong",
        f"?token={TOKEN[:-1]}",
        f"?token={TOKEN}x",
        f"?token={TOKEN.upper()}",
        f"?token=%20{TOKEN}",
        f"?token={TOKEN}%00",
        "?token=%ff%fe",
        "?token=%E2%82%AC",
        "?token=%ED%A0%80",
        f"?token={'x' * 4000}",
        f"?Token={TOKEN}",
        f"?token[]={TOKEN}",
        f"?secret={TOKEN}",
        f"?{TOKEN}",
        f"?a=b&amp;token={TOKEN}",
        f"?token=wrong&token={TOKEN}",
        f"#token={TOKEN}",
    ],
)
def test_without_the_right_token_nothing_is_kept(door: Door, query: str) -> None:
    before = door.count()
    told = door.post(file_created(), LESSONS + query)
    detail = told.problem(401)
    assert "expected ?token=... with one of url_tokens of [accounts.lessons]" in detail
    assert TOKEN not in detail
    assert told.headers["WWW-Authenticate"]
    assert door.count() == before


@pytest.mark.parametrize(
    "query", [f"?token={TOKEN}", f"?token={quote(TOKEN, safe='').replace('a', '%61')}", f"?a=b&token={TOKEN}&token=c&d"]
)
def test_the_right_token_opens_however_it_is_written(door: Door, query: str) -> None:
    told = door.post(file_created(), LESSONS + query)
    assert (told.status, told.answer["status"]) == (200, "kept")


def test_a_token_elsewhere_than_in_the_address_opens_nothing(door: Door) -> None:
    told = door.post(file_created(), LESSONS, Authorization=f"Bearer {TOKEN}", Cookie=f"token={TOKEN}", Token=TOKEN)
    told.problem(401)
    door.post(f"token={TOKEN}".encode(), LESSONS).problem(401)


def test_a_token_that_lost_its_name_in_the_address_stands_in_no_line_of_the_log(door: Door) -> None:
    for path in (f"{LESSONS}/{TOKEN}", f"{LESSONS}/{TOKEN}/", f"{LESSONS}/mns-topic/{TOKEN}"):
        assert TOKEN not in door.post(file_created(), path).problem(404)
    lines = r"POST /callbacks/aliyun/lessons/(\\u2026|…) 404"
    wait_until(lambda: len(re.findall(lines, door.program.log.read_text())) >= 3, what="a line for each")
    assert TOKEN not in door.program.log.read_text()


def test_a_huge_head_is_refused_and_a_large_one_taken(door: Door) -> None:
    assert "too many or too long" in door.post(file_created(), X_Huge="y" * 70_000).problem(431)
    assert "over 8190 bytes" in door.post(file_created(), f"{WITH_TOKEN}&x={'y' * 9000}").problem(414)
    told = door.post(file_created(), **{f"X_Large_{number}": "y" * 5000 for number in range(6)})
    assert (told.status, told.answer["status"]) == (200, "kept")
    ((headers,),) = door.rows("SELECT headers FROM deliveries WHERE id = ?", told.answer["delivery"])
    assert len(headers) < 20_000, "what is kept of them has a bound"


def test_what_came_before_is_a_repeat_and_says_of_what(door: Door) -> None:
    first = door.post(file_created(2_400_000))
    again = door.post(file_created(2_400_000), Content_Type="text/plain")
    expected = {"Code": 0, "Msg": "Success"}  # by the vendor
    assert again.answer == expected | {"status": "repeat", "delivery": first.answer["delivery"]}
    unreadable = door.post(b"the same garbage").answer["delivery"]
    assert door.post(b"the same garbage").answer == expected | {"status": "repeat", "delivery": unreadable}


def test_after_all_this_the_worker_still_works(door: Door) -> None:
    assert door.post(file_created(2_900_000)).answer["status"] == "kept"
    wait_until(lambda: door.recorded(2_900_000), what="its recording")
    wait_until(lambda: door.rows("SELECT 1 FROM inbox WHERE state = 'kept'") == [], what="the inbox's emptying")
    failed = door.rows(
        "SELECT reason FROM inbox WHERE reason LIKE 'processing failed%' OR reason LIKE 'a worker died%'"
    )
    assert failed == []
