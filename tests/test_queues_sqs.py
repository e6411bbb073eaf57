"""The SQS door: boto3 against moto's server, and what gateways and topics wrap around a callback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
import pytest
from callbacks import file_created
from conftest import TOKEN
from moto.server import ThreadedMotoServer
from program import free_port, running, wait_until
from pulling import ACCESS_KEY, SECRET_KEY, Pulled, environ_of, refusing, sqs_queue
from sqlalchemy import select
from terminal import asked

from handlers import tables
from handlers.errors import QueueAway
from handlers.keeping.spool import Spool
from handlers.queues import Message, connect
from handlers.queues.envelopes import opened
from handlers.settings import Secret, SqsQueue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLINIC_KEY = "a-key-of-the-clinic-0123456789abcdef0123"
CLINIC = '[accounts.clinic]\nvendor = "huawei"\ncallback_secrets = ["env:CLINIC_KEY"]\n'


class Sqs:
    """A queue of moto's."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        session = boto3.session.Session()
        keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
        self.client = session.client("sqs", region_name="eu-west-1", endpoint_url=endpoint, **keys)
        self.url = ""

    def create(self, visibility: int = 1) -> None:
        told = {"VisibilityTimeout": str(visibility)}
        self.url = self.client.create_queue(QueueName="recordings", Attributes=told)["QueueUrl"]

    def hide_for(self, seconds: int) -> None:
        """Hide what is received for longer than a busy machine may take over it."""
        self.client.set_queue_attributes(QueueUrl=self.url, Attributes={"VisibilityTimeout": str(seconds)})

    def send(self, body: str, **attributes: str) -> None:
        told = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        self.client.send_message(QueueUrl=self.url, MessageBody=body, MessageAttributes=told)

    def left(self) -> int:
        """Return how many messages are there, hidden ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def is_empty(self) -> bool:
        return self.left() == 0


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running_server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running_server.start()
    host, port = running_server.get_host_and_port()
    yield f"http://{host}:{port}"
    running_server.stop()


@pytest.fixture
def sqs(server: str) -> Iterator[Sqs]:
    made = Sqs(server)
    made.create()
    yield made
    made.client.delete_queue(QueueUrl=made.url)
    made.client.close()


def _environ(folder: Path, database_url: str, endpoint: str, **changed: Any) -> dict[str, str]:
    queue = sqs_queue(endpoint, max_receives=2, **changed)
    return environ_of(folder, database_url, queue, accounts=CLINIC) | {"CLINIC_KEY": CLINIC_KEY}


@pytest.fixture
def pulled(sqs: Sqs, tmp_path: Path, database_url: str) -> Iterator[Pulled]:
    made = Pulled(_environ(tmp_path, database_url, sqs.endpoint))
    yield made
    made.close()


@pytest.fixture
def clinic(sqs: Sqs, tmp_path: Path) -> Iterator[Pulled]:
    """Return one whose queue carries the callbacks of an account whose vendor signs."""
    url = f"sqlite:///{tmp_path}/data/reelhook.db"
    made = Pulled(_environ(tmp_path, url, sqs.endpoint, account="clinic"))
    yield made
    made.close()


def _signed(body: bytes, *, key: str = CLINIC_KEY) -> dict[str, str]:
    moment, rand = str(int(time.time())), "a1b2c3d4"
    signature = hmac.new(key.encode(), f"{rand}{moment}".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Rtc-Timestamp": moment, "X-Rtc-Rand": rand, "X-Rtc-Signature": signature}


def _completed(number: int = 1) -> bytes:
    told = {
        "event_type": 1,
        "app_id": "clinic-app",
        "room_id": "room",
        "task_id": f"task-{number}",
        "unknown": "\u5f55",
    }
    return json.dumps(told, ensure_ascii=False).encode()


@pytest.mark.parametrize("vendor", ["huawei", "aliyun"])
def test_the_stand_in_fills_a_queue_as_a_gateway_does(sqs: Sqs, tmp_path: Path, vendor: str) -> None:
    words = {"huawei": ("RECORD_FILE_COMPLETE", "clinic", CLINIC_KEY), "aliyun": ("FileCreated", "lessons", TOKEN)}
    word, account, secret = words[vendor]
    done = asked(
        *("standin", "callbacks", vendor, word, "--sqs-queue", sqs.url, "--secret", secret, "--count", "2"),
        environ={
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "eu-west-1",
        },
    )
    assert done.returncode == 0, done
    pulled = Pulled(_environ(tmp_path, f"sqlite:///{tmp_path}/data/reelhook.db", sqs.endpoint, account=account))
    with pulled.polling():
        wait_until(sqs.is_empty, what="an empty queue")
    assert pulled.figures()["queue_kept"] == 2
    pulled.close()


def test_a_queue_that_is_not_there_is_told_by_the_stand_in(sqs: Sqs) -> None:
    done = asked(
        *("standin", "callbacks", "aliyun", "FileCreated", "--sqs-queue", f"{sqs.url}-x", "--secret", TOKEN),
        environ={
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "eu-west-1",
        },
    )
    assert done.returncode == 1
    assert "does not take it" in done.stderr


def test_messages_are_kept_once_and_then_deleted(sqs: Sqs, pulled: Pulled) -> None:
    sqs.hide_for(60)
    bodies = [file_created(number) for number in range(25)]
    for body in bodies:
        sqs.send(body.decode(), token=TOKEN)
    with pulled.polling():
        wait_until(sqs.is_empty, what="an empty queue")
    assert sorted(pulled.bodies()) == sorted(bodies)
    figures = pulled.figures()
    assert figures["queue_received"] == figures["queue_kept"] == figures["queue_deleted"] == 25
    ((door, headers), *_) = pulled.rows(select(tables.deliveries.c.door, tables.deliveries.c.headers))
    assert door == "sqs"
    assert set(json.loads(bytes(headers))) == {"x-sqs-message-id", "x-sqs-receive-count", "x-sqs-sent-timestamp"}
    assert TOKEN not in bytes(headers).decode()


def test_garbage_is_kept_in_quarantine_and_deleted(sqs: Sqs, pulled: Pulled) -> None:
    for body in ("no JSON", "{", "x" * 65_536):
        sqs.send(body, token=TOKEN)
    with pulled.polling():
        wait_until(sqs.is_empty, what="an empty queue")
    assert sorted(pulled.bodies()) == [b"no JSON", b"x" * 65_536, b"{"]
    assert pulled.figures()["queue_quarantined"] == 3


def test_a_callback_of_a_vendor_that_signs_is_verified_by_the_messages_attributes(sqs: Sqs, clinic: Pulled) -> None:
    body = _completed()
    sqs.send(body.decode(), **_signed(body))
    with clinic.polling():
        wait_until(sqs.is_empty, what="an empty queue")
    assert clinic.bodies() == [body]
    assert clinic.count(tables.refusals) == 0


def test_what_is_not_authentic_is_left_and_then_set_aside_in_the_refusals(sqs: Sqs, clinic: Pulled) -> None:
    good, forged = _completed(1), _completed(2)
    sqs.send(forged.decode(), **_signed(forged, key="not-the-key-of-the-clinic-0123456789"))
    sqs.send(good.decode(), **_signed(good))
    with clinic.polling():
        wait_until(lambda: clinic.count(tables.refusals) == 1, what="a refusal")
        assert sqs.left() >= 1
        wait_until(sqs.is_empty, what="an empty queue")
    assert clinic.bodies() == [good]
    refusals = clinic.rows(select(tables.refusals).order_by(tables.refusals.c.id))
    assert {(row.reason, row.door) for row in refusals} == {("bad_signature", "sqs")}
    assert [row.set_aside is not None for row in refusals] == [False, True]
    assert bytes(refusals[-1].body) == forged
    figures = clinic.figures()
    assert (figures["queue_refused"], figures["queue_set_aside"]) == (3, 1)


def _first_version(body: bytes, headers: dict[str, str], token: str | None = None) -> dict[str, Any]:
    return {
        "resource": "/callbacks",
        "path": "/callbacks",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json", **headers},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "queryStringParameters": {"token": token} if token else None,
        "requestContext": {"stage": "prod"},
        "body": body.decode(),
        "isBase64Encoded": False,
    }


def _second_version(body: bytes, headers: dict[str, str], token: str | None = None) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": "/callbacks/huawei/clinic",
        "rawQueryString": f"token={quote(token, safe='')}" if token else "",
        "headers": {"content-type": "application/json", **headers},
        "requestContext": {"http": {"method": "POST"}},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def _notification(text: str) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:callbacks",
        "Message": text,
        "Timestamp": "2026-11-21T12:00:00.000Z",
        "MessageAttributes": {"X-Trace": {"Type": "String", "Value": "t-1"}},
    }


@pytest.mark.parametrize("event", [_first_version, _second_version])
def test_a_gateways_event_carries_the_vendors_body_and_headers(sqs: Sqs, clinic: Pulled, event: Any) -> None:
    body = _completed()
    sqs.send(json.dumps(event(body, _signed(body))))
    with clinic.polling():
        wait_until(sqs.is_empty, what="an empty queue")
    assert clinic.bodies() == [body]
    assert clinic.count(tables.refusals) == 0


@pytest.mark.parametrize("event", [_first_version, _second_version])
def test_a_gateways_event_carries_the_token_of_the_callback_url(sqs: Sqs, pulled: Pulled, event: Any) -> None:
    body = file_created(1)
    sqs.send(json.dumps(_notification(json.dumps(event(body, {}, TOKEN)))))
    with pulled.polling():
        wait_until(sqs.is_empty, what="an empty queue")
    assert pulled.bodies() == [body]
    ((headers,),) = pulled.rows(select(tables.deliveries.c.headers))
    assert json.loads(bytes(headers))["x-trace"] == "t-1"
    assert TOKEN not in bytes(headers).decode()


@pytest.mark.parametrize("missing", [None, {}, ...])
def test_an_event_with_nothing_but_lists_of_headers_gives_the_last_of_each(missing: Any) -> None:
    event = _first_version(b"{}", {}) | {
        "headers": missing,
        "multiValueHeaders": {"X-Rtc-Rand": ["a", "b"], "X-Empty": [], "X-Odd": "text"},
        "queryStringParameters": missing,
        "multiValueQueryStringParameters": {"token": ["wrong", TOKEN]},
    }
    found = opened(json.dumps({name: value for name, value in event.items() if value is not ...}).encode(), {})
    assert (found.body, found.headers, found.token) == (b"{}", {"x-rtc-rand": "b"}, TOKEN)


@pytest.mark.parametrize(
    ("told", "damage"),
    [
        ({}, "it has no body"),
        ({"Body": "b", "MD5OfBody": hashlib.md5(b"a", usedforsecurity=False).hexdigest()}, "does not fit its MD5"),
        ({"Body": "b", "MD5OfBody": hashlib.md5(b"b", usedforsecurity=False).hexdigest()}, None),
        ({"Body": "b"}, None),
    ],
)
def test_a_body_that_can_not_be_what_was_sent_is_told(told: dict[str, str], damage: str | None) -> None:
    queue = connect(_settings("http://127.0.0.1:1"), patience=1)
    found: Message = vars(type(queue))["_message"](queue, {"ReceiptHandle": "h", **told})
    assert (found.damage or "").endswith(damage or "")
    assert (found.damage is None) is (damage is None)
    queue.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b'{"Type": "Notification"}',
        b'{"Type": "Notification", "Message": 5}',
        b'{"httpMethod": "POST", "body": "!!", "isBase64Encoded": true}',
        b'{"httpMethod": "POST", "body": {"a": 1}}',
        b'{"httpMethod": "POST", "body": "x", "headers": ["a"]}',
        b'{"version": "2.0", "body": "x"}',
        file_created(1),
    ],
)
def test_what_is_no_whole_envelope_is_the_callback_itself(body: bytes) -> None:
    assert opened(body, {}).body == body


def test_an_envelopes_target_is_what_was_requested() -> None:
    found = opened(json.dumps(_second_version(b"{}", {}, "a b")).encode(), {"token": "of-the-message"})
    assert (found.target, found.token, found.body) == ("/callbacks/huawei/clinic?token=a%20b", "a b", b"{}")
    assert "token" not in found.headers


def test_what_the_database_refuses_holds_up_no_other_message_and_is_set_aside(sqs: Sqs, pulled: Pulled) -> None:
    bad, *good = [file_created(number) for number in range(10)]
    for body in [bad, *good]:
        sqs.send(body.decode(), token=TOKEN)
    with refusing(pulled.database, bad, headers=True), pulled.polling():
        wait_until(lambda: pulled.count() >= 9, what="the other nine")
        assert sorted(pulled.bodies()) == sorted(good)
        wait_until(sqs.is_empty, what="an empty queue")
    assert pulled.settings.spool is not None
    spool = Spool(pulled.settings.spool)
    spool.retry()
    ((_, entry),) = spool.waiting(2)
    assert entry.delivery.body == bad
    spool.close()


def test_a_message_whose_delete_failed_comes_again_as_a_repeat(sqs: Sqs, pulled: Pulled) -> None:
    sqs.hide_for(60)
    sqs.send(file_created(1).decode(), token=TOKEN)
    queue = connect(_settings(sqs.endpoint), patience=10)
    (message,) = queue.receive(1)
    failed = queue.delete(["no-handle-of-this-queue", message.handle])
    assert list(failed) == ["no-handle-of-this-queue"]
    assert sqs.is_empty()
    sqs.send(file_created(2).decode(), token=TOKEN)
    sqs.send(file_created(2).decode(), token=TOKEN)
    with pulled.polling():
        wait_until(sqs.is_empty, what="an empty queue")
    assert (pulled.count(), pulled.repeats()) == (1, 1)
    queue.close()


def test_messages_stay_ours_while_the_database_is_away(sqs: Sqs, tmp_path: Path) -> None:
    # Long enough for a client to be made on a busy machine before the first half is over.
    sqs.hide_for(4)
    pulled = Pulled(_environ(tmp_path, f"sqlite:///{tmp_path}/data/reelhook.db", sqs.endpoint))
    with pulled.polling():
        with pulled.database.write_lock.held(5):
            sqs.send(file_created(1).decode(), token=TOKEN)
            time.sleep(7)
            assert sqs.left() == 1
        wait_until(sqs.is_empty, what="an empty queue")
    ((headers,),) = pulled.rows(select(tables.deliveries.c.headers))
    assert json.loads(bytes(headers))["x-sqs-receive-count"] == "1"
    assert pulled.repeats() == 0
    pulled.close()


def test_hiding_and_giving_back(sqs: Sqs) -> None:
    sqs.send(file_created(1).decode())
    queue = connect(_settings(sqs.endpoint), patience=10)
    (message,) = queue.receive(1)
    assert message.hidden_for == 1
    assert queue.hide([message.handle], 600) == {message.handle: message.handle}
    assert queue.receive(1) == []
    queue.hide([message.handle], 0)
    (again,) = queue.receive(1)
    assert (again.id, again.receives) == (message.id, 2)
    assert queue.hide(["no-handle-of-this-queue"], 5) == {"no-handle-of-this-queue": None}
    assert queue.look().endswith("hides what it hands out for 1 s")
    queue.close()


def _settings(endpoint: str, **changed: Any) -> SqsQueue:
    secrets = {"access_key_id": Secret.literal(ACCESS_KEY), "secret_access_key": Secret.literal(SECRET_KEY)}
    return SqsQueue.model_validate(sqs_queue(endpoint) | {"name": "lessons"} | secrets | changed)


def test_a_queue_that_is_not_there_is_named_with_the_setting_to_change(server: str) -> None:
    queue = connect(_settings(server, queue="elsewhere"), patience=5)
    with pytest.raises(QueueAway, match="create it, or mend its `queue`, `region` or `endpoint`"):
        queue.receive(0)
    assert queue.hide(["handle"], 5) == {}
    queue.close()


def test_a_server_that_is_not_there_is_away() -> None:
    queue = connect(_settings(f"http://127.0.0.1:{free_port()}"), patience=1)
    with pytest.raises(QueueAway, match="can't be reached"):
        queue.receive(0)
    queue.close()


def test_without_keys_the_settings_to_change_are_named(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("HOME", "/nonexistent"), ("AWS_EC2_METADATA_DISABLED", "true")):
        monkeypatch.setenv(name, value)
    queue = connect(_settings(server, access_key_id=None, secret_access_key=None), patience=1)
    with pytest.raises(QueueAway, match="set its `access_key_id` and `secret_access_key`"):
        queue.receive(0)
    queue.close()


def test_kill_9_after_keeping_loses_nothing_and_keeps_nothing_twice(
    sqs: Sqs, pulled: Pulled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bodies = [file_created(number) for number in range(60)]
    for number in range(3):
        for body in bodies[number * 20 : number * 20 + 20]:
            sqs.send(body.decode(), token=TOKEN)
        before = pulled.count()
        with running(pulled.environ, "poll", log=tmp_path / "log") as program:
            wait_until(lambda before=before: pulled.count() > before, what="a kept message")
            program.kill()
    with pulled.polling():
        wait_until(sqs.is_empty, what="an empty queue")
    assert sorted(pulled.bodies()) == sorted(bodies)
