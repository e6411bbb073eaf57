"""The door and the worker meet anything at all: a valid token always means kept, and nothing is ever a 500."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from callbacks import SAMPLE, file_created, incoming
from conftest import TOKEN
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from handlers import tables
from handlers.inbox.processing import Processor
from handlers.vendors import VENDORS
from webhook.app import create_app

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from handlers.database import Database
    from handlers.events import Incoming
    from handlers.inbox import Inbox
    from handlers.settings import Settings

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=40)
names = st.text(max_size=10)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))
#: what vendors' fields look like, nearly
nearly = st.sampled_from(
    [
        "2020-02-30T10:00:00Z",
        "2020-09-02T10:23:54+24:00",
        "2020-09-02T10:23:60Z",
        "0001-01-01T00:00:00+14:00",
        "1e999",
        "-0",
        "NaN",
        "\0",
        "\ud800",
        "\U0001f3a5",
        "http://",
        "http://[::1",
        "http://a..b.oss-cn-x.aliyuncs.com//%zz?x=1",
        "//host/path",
        "x" * 600,
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return the documentation's sample with some fields replaced, dropped or added, perhaps cut or percent-encoded."""
    body: dict[str, Any] = dict(SAMPLE)
    for name in draw(st.lists(st.sampled_from(sorted(SAMPLE)), max_size=4)):
        if draw(st.booleans()):
            body[name] = draw(values | nearly)
        else:
            body.pop(name, None)
    body |= draw(st.dictionaries(names, values, max_size=2))
    raw = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    shape = draw(st.sampled_from(["as it is", "cut", "encoded", "form"]))
    if shape == "cut":
        return raw[: draw(st.integers(0, len(raw)))]
    if shape == "encoded":
        return quote(raw).encode()
    return b"a=" + quote(raw).encode() if shape == "form" else raw


bodies = st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode()) | mutated()
types = st.sampled_from(
    ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "é"]
)
texts = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=30)

fuzz = hypothesis_settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass
class Door:
    client: FlaskClient
    database: Database

    def send(self, target: str, body: bytes, kind: str, *, method: str = "POST", header: str = "") -> TestResponse:
        """Send the bytes as they are; the client would put together a form of its own otherwise."""
        stream = io.BytesIO(body)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "X-Any": header}
        return self.client.open(target, method=method, input_stream=stream, headers=headers)

    def count(self) -> int:
        with self.database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(tables.deliveries)).scalar_one())

    def kept(self, delivery: str) -> bytes | None:
        with self.database.read() as connection:
            query = select(tables.deliveries.c.body).where(tables.deliveries.c.id == delivery)
            found = connection.execute(query).scalar()
        return None if found is None else bytes(found)

    def reasons(self) -> list[str]:
        with self.database.read() as connection:
            query = select(tables.inbox.c.reason).where(tables.inbox.c.reason.is_not(None))
            return list(connection.execute(query).scalars())


@pytest.fixture
def door(settings: Settings, database: Database) -> Door:
    return Door(create_app(settings, only="callbacks").test_client(), database)


def test_anything_with_a_valid_token_is_kept_and_processed_or_quarantined(door: Door, settings: Settings) -> None:
    @fuzz
    @given(body=bodies, kind=types)
    @example(body=b'{"MsgId": "\\ud800", "Event": "\\u0000"}', kind="application/json")
    @example(body=b'{"MsgId": {"a": NaN}}', kind="application/json")
    @example(body=b"[" * 100_000, kind="application/json")
    def anything(body: bytes, kind: str) -> None:
        answer = door.send(f"/callbacks/aliyun/lessons?token={TOKEN}", body, kind)
        assert answer.status_code == 200, answer.text
        told = answer.get_json()
        assert told["status"] in {"kept", "repeat", "quarantined"}
        kept = door.kept(told["delivery"])
        assert kept is not None
        if told["status"] != "repeat":
            assert kept == body

    anything()
    processor = Processor(door.database, settings, VENDORS)
    while processor.process():
        pass
    assert [reason for reason in door.reasons() if reason.startswith("processing failed")] == []


def test_anything_without_a_valid_token_is_refused_and_never_kept(door: Door) -> None:
    @fuzz
    @given(body=bodies, kind=types, name=texts, token=texts, header=texts)
    def anything(body: bytes, kind: str, name: str, token: str, header: str) -> None:
        target = f"/callbacks/aliyun/lessons?{quote(name, encoding='latin-1')}={quote(token, encoding='latin-1')}"
        answer = door.send(target, body, kind, header=header)
        assert answer.status_code == 401, answer.text
        assert answer.content_type == "application/problem+json"

    anything()
    assert door.count() == 0


def test_any_address_and_method_get_an_answer_that_is_no_500(door: Door) -> None:
    methods = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"])

    @fuzz
    @given(method=methods, vendor=texts, account=texts, body=bodies)
    def anything(method: str, vendor: str, account: str, body: bytes) -> None:
        path = "/".join(quote(part, safe="", encoding="latin-1") for part in ("callbacks", vendor, account))
        answer = door.send(f"/{path}", body, "", method=method)
        assert answer.status_code in {200, 308, 401, 404, 405}, answer.text

    anything()
    assert door.count() == 0


#: what a text column of PostgreSQL refuses, in every place of a callback
UNSTORABLE = [
    file_created(900_000 + number, **{name: f"{value}{odd}"})
    for number, (name, odd) in enumerate((name, odd) for name in SAMPLE for odd in ("\0", "\ud800"))
    for value in (SAMPLE[name],)
] + [b"\0", b"\0" * 100, b'{"\0": 1}', b'{"\\u0000": "\\u0000"}', b'{"\\ud800": "\\udfff"}', b"\xed\xa0\x80"]


def test_a_nul_or_half_a_surrogate_costs_its_group_nothing(
    inbox: Inbox, database: Database, settings: Settings
) -> None:
    good = [file_created(number) for number in range(len(UNSTORABLE))]
    burst = [incoming(body, token=TOKEN) for pair in zip(good, UNSTORABLE, strict=True) for body in pair]
    answers = _at_once(inbox, burst)
    assert not any(one.is_spooled or one.is_repeat for one in answers)
    processor = Processor(database, settings, VENDORS)
    while processor.process():
        pass
    with database.read() as connection:
        kept = {bytes(body) for body in connection.execute(select(tables.deliveries.c.body)).scalars()}
        recorded = set(connection.execute(select(tables.recordings.c.task_id)).scalars())
        states = {row.delivery: row for row in connection.execute(select(tables.inbox))}
    assert kept == {*good, *UNSTORABLE}
    assert {json.loads(body)["TaskId"] for body in good} <= recorded
    assert len(states) == len(burst)
    assert {row.state for row in states.values()} == {"processed", "quarantined"}
    assert [row.reason for row in states.values() if (row.reason or "").startswith("processing failed")] == []


def _at_once(inbox: Inbox, burst: list[Incoming]) -> list[Any]:
    answers: list[Any] = []
    begin = threading.Barrier(len(burst))

    def accept(one: Incoming) -> None:
        begin.wait()
        answers.append(inbox.accept(one).accepted)

    threads = [threading.Thread(target=accept, args=(one,)) for one in burst]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(burst)
    return answers
