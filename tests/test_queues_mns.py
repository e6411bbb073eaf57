"""The MNS door: the real SDK against the stand-in, which misbehaves as the service and the network do."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from callbacks import file_created
from program import free_port, wait_until
from pulling import ACCESS_KEY, SECRET_KEY, Pulled, environ_of, mns_queue, refusing
from sqlalchemy import select

from handlers import tables
from handlers.clock import now_ms
from handlers.errors import QueueAway
from handlers.inbox.processing import Processor
from handlers.keeping.spool import Spool
from handlers.queues import connect
from handlers.queues.mns_wire import field_of, messages_of
from handlers.settings import Queue, Secret
from handlers.vendors import VENDORS
from standin.mns import Attributes, MnsStandin
from standin.mns.message import Draft

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_SAME = tables.inbox.c.delivery == tables.deliveries.c.id


@pytest.fixture
def mns() -> Iterator[MnsStandin]:
    with MnsStandin(access_keys={ACCESS_KEY: SECRET_KEY}) as running:
        running.create_queue("recordings", visibility_timeout=1)
        yield running


@pytest.fixture
def pulled(mns: MnsStandin, tmp_path: Path, database_url: str) -> Iterator[Pulled]:
    made = Pulled(environ_of(tmp_path, database_url, mns_queue(mns.endpoint, max_receives=2)))
    yield made
    made.close()


@pytest.fixture
def on_sqlite(mns: MnsStandin, tmp_path: Path) -> Iterator[Pulled]:
    """Return one of which the engine does not matter."""
    url = f"sqlite:///{tmp_path}/data/reelhook.db"
    made = Pulled(environ_of(tmp_path, url, mns_queue(mns.endpoint, max_receives=2)))
    yield made
    made.close()


def _is_empty(mns: MnsStandin) -> Any:
    return lambda: not mns.messages("recordings")


def _sent(mns: MnsStandin, count: int, start: int = 0) -> list[bytes]:
    bodies = [file_created(number) for number in range(start, start + count)]
    mns.send_all("recordings", [body.decode() for body in bodies])
    return bodies


def _hide_for_long(mns: MnsStandin) -> None:
    """Leave no message time to come again by itself, however busy the machine is."""
    mns.service.queue("recordings").attributes = Attributes(visibility_timeout=60)


def _said(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


def test_messages_are_kept_once_and_then_deleted(mns: MnsStandin, pulled: Pulled) -> None:
    _hide_for_long(mns)
    bodies = _sent(mns, 40)
    with pulled.polling():
        wait_until(_is_empty(mns), what="an empty queue")
    assert sorted(pulled.bodies()) == sorted(bodies)
    figures = pulled.figures()
    assert figures["queue_received"] == figures["queue_kept"] == figures["queue_deleted"] == 40
    assert (figures["queue_up"], pulled.repeats()) == (1, 0)
    assert mns.requests["BatchDeleteMessage"] <= 4
    (row, *_) = pulled.rows(select(tables.deliveries.c.door, tables.deliveries.c.headers))
    headers = json.loads(bytes(row.headers))
    assert row.door == "mns"
    assert set(headers) == {"x-mns-message-id", "x-mns-dequeue-count", "x-mns-enqueue-time"}


def test_whatever_came_is_kept_byte_for_byte(mns: MnsStandin, pulled: Pulled) -> None:
    plain = file_created(1).decode()
    coded = base64.b64encode(file_created(2)).decode()
    others = ["no JSON, no base64", "{", coded[:-3], "\u5f55\u5236 \U0001f3ac", " \t", "x" * 65_536, "<a>&amp;]]></a>"]
    mns.send_all("recordings", [plain, coded, *others])
    with pulled.polling():
        wait_until(_is_empty(mns), what="an empty queue")
    assert sorted(pulled.bodies()) == sorted(body.encode() for body in [plain, coded, *others])
    Processor(pulled.database, pulled.settings, VENDORS).process()
    states = {
        bytes(row.body).decode(): row.state
        for row in pulled.rows(
            select(tables.deliveries.c.body, tables.inbox.c.state).join_from(tables.deliveries, tables.inbox, _SAME)
        )
    }
    assert (states[plain], states[coded]) == ("processed", "processed")
    assert {states[other] for other in others} == {"quarantined"}


def test_a_message_that_comes_again_is_a_repeat(mns: MnsStandin, pulled: Pulled) -> None:
    mns.faults.add("duplicate", times=1)
    bodies = _sent(mns, 3)
    with pulled.polling():
        wait_until(lambda: pulled.repeats() == 3 and not mns.messages("recordings"), what="three repeats")
    assert sorted(pulled.bodies()) == sorted(bodies)


def test_a_message_whose_delete_failed_comes_again_and_is_deleted_then(mns: MnsStandin, on_sqlite: Pulled) -> None:
    mns.faults.add("partial_delete", count=3, times=1)
    _sent(mns, 10)
    with on_sqlite.polling():
        wait_until(_is_empty(mns), what="an empty queue")
    figures = on_sqlite.figures()
    assert (on_sqlite.count(), on_sqlite.repeats()) == (10, 3)
    assert (figures["queue_delete_failed"], figures["queue_deleted"]) == (3, 10)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("cut", {}),
        ("drop_reply", {}),
        ("broken_reply", {}),
        ("html_502", {}),
        ("empty_504", {}),
        ("throttle", {}),
        ("error", {"code": "InternalError"}),
        ("header_case", {"case": "lower"}),
        ("duplicate", {}),
        ("stall", {"seconds": 2}),
    ],
)
def test_what_goes_wrong_on_the_way_loses_nothing_and_keeps_nothing_twice(
    mns: MnsStandin,
    on_sqlite: Pulled,
    kind: str,
    told: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webhook.polling_line.ANSWER_PATIENCE", 0.5)
    monkeypatch.setattr("webhook.polling_rests.FIRST", 0.05)
    for operation in ("BatchReceiveMessage", "BatchDeleteMessage"):
        mns.faults.add(kind, operation=operation, times=2, **told)
    if kind == "header_case":
        mns.faults.add("partial_delete", count=2, times=1)
    bodies = _sent(mns, 20)
    with on_sqlite.polling():
        wait_until(_is_empty(mns), what="an empty queue")
    assert sorted(on_sqlite.bodies()) == sorted(bodies)


def test_an_empty_answer_that_comes_at_once_makes_no_hot_loop(mns: MnsStandin, on_sqlite: Pulled) -> None:
    mns.faults.add("empty_at_once", times=None)
    with on_sqlite.polling():
        time.sleep(3)
        asked = mns.requests["BatchReceiveMessage"]
        mns.faults.clear()
        _sent(mns, 1)
        wait_until(lambda: on_sqlite.count() == 1, what="the message after the empty answers")
    assert 2 <= asked <= 8


def test_a_short_batch_does_not_mean_that_the_queue_is_drained(mns: MnsStandin, on_sqlite: Pulled) -> None:
    mns.faults.add("short_batch", count=5, times=None)
    _sent(mns, 30)
    with on_sqlite.polling():
        began = time.monotonic()
        wait_until(_is_empty(mns), what="an empty queue")
        assert time.monotonic() - began < 5


def test_an_endpoint_where_nobody_listens_is_said_once_and_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    port = free_port()
    url = f"sqlite:///{tmp_path}/data/reelhook.db"
    pulled = Pulled(environ_of(tmp_path, url, mns_queue(f"http://127.0.0.1:{port}", threads=2)))
    with pulled.polling():
        wait_until(lambda: _said(caplog, "nothing can be received"), what="a word about the endpoint")
        time.sleep(1)
        assert len(_said(caplog, "nothing can be received")) == 1
        with MnsStandin(access_keys={ACCESS_KEY: SECRET_KEY}, port=port) as mns:
            mns.create_queue("recordings")
            _sent(mns, 1)
            wait_until(_is_empty(mns), what="an empty queue")
    assert pulled.count() == 1
    assert _said(caplog, "messages can be received again")
    pulled.close()


def test_a_queue_that_is_not_there_is_named_with_the_setting_to_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/data/reelhook.db"
    with MnsStandin(access_keys={ACCESS_KEY: SECRET_KEY}) as mns:
        pulled = Pulled(environ_of(tmp_path, url, mns_queue(mns.endpoint)))
        with pulled.polling():
            wait_until(lambda: _said(caplog, "QueueNotExist"), what="a word about the queue")
            wait_until(lambda: pulled.figures().get("queue_up") == 0, what="a figure that says so")
            mns.create_queue("recordings")
            _sent(mns, 1)
            wait_until(_is_empty(mns), what="an empty queue")
        (said,) = _said(caplog, "QueueNotExist")
        assert "create it, or mend its `queue` or `endpoint`" in said
        assert pulled.figures()["queue_up"] == 1
        pulled.close()


@pytest.mark.parametrize(
    ("code", "setting"), [("AccessDenied", "`access_key_id` receive, delete and hide"), ("TimeExpired", "clock")]
)
def test_what_the_service_refuses_is_said_with_what_to_change(mns: MnsStandin, code: str, setting: str) -> None:
    mns.faults.add("error", code=code, times=None)
    queue = connect(_settings(mns.endpoint), patience=5)
    for ask in (lambda: queue.receive(0), lambda: queue.delete(["handle"]), queue.look):
        with pytest.raises(QueueAway, match=f"{code}.*{setting}"):
            ask()
    assert queue.hide(["handle"], 5) == {}
    queue.close()


def test_a_receive_asks_for_sixteen_messages_and_a_long_poll(mns: MnsStandin) -> None:
    queue = connect(_settings(mns.endpoint), patience=5)
    began = time.monotonic()
    assert queue.receive(1) == []
    assert time.monotonic() - began > 0.9
    _sent(mns, 20)
    assert [len(queue.receive(1)) for _ in range(2)] == [16, 4]
    queue.close()


def test_no_secret_stands_in_what_is_said_of_a_refusal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"sqlite:///{tmp_path}/data/reelhook.db"
    with MnsStandin(access_keys={ACCESS_KEY: "quite-another-secret"}) as mns:
        mns.create_queue("recordings")
        pulled = Pulled(environ_of(tmp_path, url, mns_queue(mns.endpoint)))
        with pulled.polling():
            wait_until(lambda: _said(caplog, "SignatureDoesNotMatch"), what="a word about the secret")
        assert "mend its `secret_access_key`" in _said(caplog, "SignatureDoesNotMatch")[0]
        assert SECRET_KEY not in caplog.text
        assert ACCESS_KEY not in caplog.text
        pulled.close()


@pytest.mark.parametrize("ahead", [-600_000, 0, 600_000])
def test_for_how_long_a_message_is_hidden_is_told_by_the_services_own_clock(ahead: int) -> None:
    with MnsStandin(access_keys={ACCESS_KEY: SECRET_KEY}, clock=lambda: now_ms() + ahead) as mns:
        mns.create_queue("recordings", visibility_timeout=20)
        _sent(mns, 1)
        queue = connect(_settings(mns.endpoint), patience=5)
        (message,) = queue.receive(0)
        assert 19 < message.hidden_for <= 20
        assert queue.hide([message.handle], 0).keys() == {message.handle}
        wait_until(lambda: mns.messages("recordings")[0].state == "active", what="a message given back")
        (again,) = queue.receive(0)
        assert again.receives == 2
        assert 15 < again.hidden_for < 25  # as far as the first reply told of the clock
        queue.close()


def test_a_server_that_stalls_under_tls_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        queue = connect(_settings(f"https://127.0.0.1:{silent.getsockname()[1]}"), patience=0.5)
        began = time.monotonic()
        with pytest.raises(QueueAway, match="can't be reached"):
            queue.receive(0)
        assert time.monotonic() - began < 5


def _settings(endpoint: str) -> Queue:
    secrets = {"access_key_id": Secret.literal(ACCESS_KEY), "secret_access_key": Secret.literal(SECRET_KEY)}
    return Queue.model_validate(mns_queue(endpoint) | {"name": "lessons"} | secrets)


def test_a_message_that_damages_its_batch_costs_no_other_one(mns: MnsStandin, on_sqlite: Pulled) -> None:
    _hide_for_long(mns)
    # The SDK takes an empty body for a damaged answer, and would throw the whole batch away.
    mns.service.queue("recordings").send([Draft(body="")])
    bodies = _sent(mns, 5)
    with on_sqlite.polling():
        wait_until(_is_empty(mns), what="an empty queue")
    assert sorted(on_sqlite.bodies()) == sorted([b"", *bodies])
    assert on_sqlite.repeats() == 0


def _told(body: str, *, md5: str = "") -> str:
    """Return a message of an answer; `body` is the whole element."""
    told = f"<MessageBodyMD5>{md5}</MessageBodyMD5>" if md5 else ""
    return f"<Message><MessageId>m</MessageId><ReceiptHandle>h</ReceiptHandle>{body}{told}</Message>"


def _md5(text: bytes) -> str:
    return hashlib.md5(text, usedforsecurity=False).hexdigest().upper()


_QUOTES = "<Notification><MessageId>n</MessageId><Message>in & out</Message></Notification>"


@pytest.mark.parametrize(
    "element",
    [
        f"<MessageBody><![CDATA[{_QUOTES}]]></MessageBody>",
        f"<MessageBody>{_QUOTES.replace('&', '&amp;')}</MessageBody>",
        f"<MessageBody>{_QUOTES.replace('&', '&amp;').replace('<', '&lt;')}</MessageBody>",
        f"<MessageBody a='1>' b=\"2\"><![CDATA[{_QUOTES[:30]}]]><![CDATA[{_QUOTES[30:]}]]></MessageBody >",
    ],
)
@pytest.mark.parametrize("md5", ["", _md5(_QUOTES.encode())])
def test_a_body_that_quotes_a_message_is_taken_whole(element: str, md5: str) -> None:
    answer = f"<Messages xmlns='x'>{_told(element, md5=md5)}\n{_told('<MessageBody>b</MessageBody>')}</Messages>"
    found = messages_of(answer)
    assert [(one["message_body"], one["damage"], one["message_id"]) for one in found] == [
        (_QUOTES, None, "m"),
        ("b", None, "m"),
    ]


@pytest.mark.parametrize(
    ("element", "md5", "damage"),
    [
        ("", "", "it has no MessageBody"),
        ("", _md5(b""), "it has no MessageBody"),
        ("<MessageBody/>", "", "its MessageBody is empty"),
        ("<MessageBody />", _md5(b""), None),
        ("<MessageBody></MessageBody>", _md5(b"a"), "its MessageBody does not fit its MessageBodyMD5"),
        ("<MessageBody>YQ==</MessageBody>", _md5(b"b"), "its MessageBody does not fit its MessageBodyMD5"),
        # The body as it is stored, as it is on the wire, and what stands in it as base64.
        ("<MessageBody>a&amp;b</MessageBody>", _md5(b"a&b"), None),
        ("<MessageBody>a&amp;b</MessageBody>", _md5(b"a&amp;b").lower(), None),
        ("<MessageBody>YQ==</MessageBody>", _md5(b"a"), None),
        ("<MessageBody>a</MessageBody>", "no-md5", None),
    ],
)
def test_a_body_that_can_not_be_what_was_sent_is_told(element: str, md5: str, damage: str | None) -> None:
    message = _told(element, md5=md5)
    (found,) = messages_of(f"<Messages>{message}</Messages>")
    assert found["damage"] == damage
    assert found["element"] == (message if damage else None)


def test_a_body_that_was_damaged_on_the_way_is_received_again(mns: MnsStandin, on_sqlite: Pulled) -> None:
    mns.faults.add("corrupt_body", times=1)
    bodies = _sent(mns, 3)
    with on_sqlite.polling():
        wait_until(_is_empty(mns), what="an empty queue")
    assert sorted(on_sqlite.bodies()) == sorted(bodies)
    assert on_sqlite.figures()["queue_refused"] == 1


def test_a_body_that_stays_damaged_is_set_aside_as_it_came(mns: MnsStandin, on_sqlite: Pulled) -> None:
    mns.faults.add("corrupt_body", times=None)
    (body,) = _sent(mns, 1)
    with on_sqlite.polling():
        wait_until(_is_empty(mns), what="an empty queue")
    assert on_sqlite.bodies() == []
    ((reason, element),) = on_sqlite.rows(select(tables.refusals.c.reason, tables.refusals.c.body))
    assert reason == "damaged"
    assert f"<MessageBodyMD5>{_md5(body)}</MessageBodyMD5>" in bytes(element).decode()


def test_a_damaged_answer_is_read_message_by_message() -> None:
    message = "<Message><MessageId>m</MessageId><ReceiptHandle>h</ReceiptHandle><MessageBody>{}</MessageBody></Message>"
    bodies = ["a &lt;b&gt; &amp;amp; &#65;&#x42; &#x999999;", "<![CDATA[<x>&amp;]]>", "\x01", ""]
    answer = "<Messages>" + "".join(message.format(body) for body in bodies) + "<Message></Message></Messages>"
    assert [one["message_body"] for one in messages_of(answer)] == [
        "a <b> &amp; AB &#x999999;",
        "<x>&amp;",
        "\x01",
        "",
    ]
    assert field_of(answer, "Nothing") is None


def test_what_the_database_refuses_holds_up_no_other_message(mns: MnsStandin, pulled: Pulled) -> None:
    (bad, *good) = _sent(mns, 16)
    with refusing(pulled.database, bad, headers=True), pulled.polling():
        wait_until(lambda: pulled.count() >= 15, what="the other fifteen")
        assert sorted(pulled.bodies()) == sorted(good)
        left = [bad.decode()]
        wait_until(lambda: [one.body for one in mns.messages("recordings")] == left, what="the deleting of the others")
        wait_until(_is_empty(mns), what="an empty queue")
    assert sorted(pulled.bodies()) == sorted(good)
    assert pulled.figures()["queue_set_aside"] == 1
    assert pulled.settings.spool is not None
    spool = Spool(pulled.settings.spool)
    assert spool.depth() == (0, 1)
    assert spool.retry() == 1
    ((_, entry),) = spool.waiting(2)
    assert (entry.delivery.body, entry.state) == (bad, tables.KEPT)
    assert "x-mns-message-id" in entry.delivery.headers
    spool.close()


def test_without_a_spool_what_the_database_never_takes_stays_in_the_queue(mns: MnsStandin, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/data/reelhook.db"
    environ = environ_of(tmp_path, url, mns_queue(mns.endpoint, max_receives=1)) | {"REELHOOK_SPOOL": "off"}
    pulled = Pulled(environ)
    (bad,) = _sent(mns, 1)
    with refusing(pulled.database, bad, headers=False), pulled.polling():
        wait_until(lambda: mns.messages("recordings")[0].dequeue_count > 3, what="more receives")
    assert len(mns.messages("recordings")) == 1
    with pulled.polling():
        wait_until(_is_empty(mns), what="an empty queue")
    assert pulled.bodies() == [bad]
    pulled.close()


def test_several_threads_with_a_client_each_share_a_queue(mns: MnsStandin, tmp_path: Path, database_url: str) -> None:
    _hide_for_long(mns)
    pulled = Pulled(environ_of(tmp_path, database_url, mns_queue(mns.endpoint, threads=4)))
    bodies = _sent(mns, 400)
    with pulled.polling():
        wait_until(_is_empty(mns), what="an empty queue")
    assert sorted(pulled.bodies()) == sorted(bodies)
    assert pulled.repeats() == 0
    pulled.close()


def test_two_pollers_at_one_queue_keep_each_message_once(mns: MnsStandin, pulled: Pulled) -> None:
    bodies = _sent(mns, 200)
    mns.faults.add("duplicate", times=3)
    other = Pulled(pulled.environ)
    with pulled.polling(), other.polling():
        wait_until(_is_empty(mns), what="an empty queue")
    assert sorted(pulled.bodies()) == sorted(bodies)
    other.close()


def test_the_sdk_is_imported_only_where_a_queue_of_mns_is_configured() -> None:
    code = "import sys, webhook.poller, webhook.processes; print({'mns', 'boto3', 'botocore'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_sdk_gets_no_logger(mns: MnsStandin) -> None:
    queue = connect(_settings(mns.endpoint), patience=5)
    with suppress(QueueAway):
        queue.receive(0)
    client = vars(queue)["_client"]
    assert (client.logger, client.http.logger) == (None, None)
    queue.close()


def test_receiving_goes_on_after_an_outage_that_nothing_held_has_outlived(mns: MnsStandin, on_sqlite: Pulled) -> None:
    def rename(table: str, other: str) -> None:
        with on_sqlite.database.write() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {other}")

    bodies = _sent(mns, 3)
    mns.faults.add("error", operation="ChangeMessageVisibility", times=None)
    rename("seen", "away")
    with on_sqlite.polling():
        wait_until(lambda: on_sqlite.figures().get("queue_let_go", 0) >= 3, what="all messages let go")
        rename("away", "seen")
        wait_until(_is_empty(mns), what="an empty queue")
    assert sorted(on_sqlite.bodies()) == sorted(bodies)
