"""http.post and http.forward: what arrives there, who can verify it, and what each answer means."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from counterparts import Huawei
from mns_pushes import ACCOUNT, NOW, TARGET, Push, fill, reading
from receivers import ACTION, Receiver, destination, handover, receiver, says, speaker
from rule_operations import AT, change
from standardwebhooks import Webhook, WebhookVerificationError

from handlers.destinations import OPERATIONS, Means, hand_over
from handlers.errors import BadSignature, WrongRequest
from handlers.events import Delivery
from handlers.inbox import Inbox, useful_headers
from handlers.operation import complete, find_problems
from handlers.operation.dry_run import show
from handlers.secrets import Secret
from handlers.vendors import VENDORS
from handlers.vendors.aliyun import topic
from handlers.vendors.aliyun.certificates import Certificates
from handlers.vendors.aliyun.signature import by_door

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handlers.destinations import Handover
    from handlers.operation import Outcome

HUSH = "hush-hush-0123456789"
KEY = b"a key of the receiver's, 32 byte"
WHSEC = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def means() -> Iterator[Means]:
    made = Means()
    yield made
    made.close()


def post(means: Means, there: Receiver | str, told: Handover | None = None, **settings: Any) -> Outcome:
    url = there if isinstance(there, str) else there.url
    return hand_over("http.post", told or handover(), destination(url, **settings), means)


# --- what arrives ----------------------------------------------------------------------------------------------------


def test_a_change_arrives_as_a_cloud_event_with_times_as_text(means: Means) -> None:
    with receiver() as there:
        assert post(means, there).verdict == "done"
    event = json.loads(there.got[0].body)
    assert there.got[0].headers["content-type"] == "application/cloudevents+json"
    assert {name: event[name] for name in ("specversion", "id", "source", "type", "subject", "time")} == {
        "specversion": "1.0",
        "id": ACTION,
        "source": "/accounts/volcengine/classroom",
        "type": "reelhook.recording.available.v1",
        "subject": "rec_1",
        "time": "2023-11-14T22:13:20.123Z",
    }
    data = event["data"]
    assert (data["change"], data["account"], data["segment"]) == ("recording.available", "classroom", None)
    assert data["recording"]["started_at"] == data["event"]["at"] == "2023-11-14T22:13:20.123Z"
    assert data["recording"]["size_bytes"] == 2**62 + 1
    assert data["recording"]["key"] == "课/é.m3u8"
    assert data["recording"]["ended_at"] is None


@pytest.mark.parametrize(
    ("body", "arrives", "typed"),
    [
        ({"file": "课", "big": 2**53 + 1}, '{"file":"课","big":9007199254740993}', "application/json"),
        ([1, None], "[1,null]", "application/json"),
        (False, "false", "application/json"),
        ("as it <stands>", "as it <stands>", "text/plain; charset=utf-8"),
    ],
)
def test_the_body_that_a_rule_gives_arrives_in_its_place(means: Means, body: Any, arrives: str, typed: str) -> None:
    with receiver() as there:
        post(means, there, handover(parameters={"to": "captioning", "body": body}), secret=Secret.literal(WHSEC))
    (got,) = there.got
    assert (got.body.decode(), got.headers["content-type"]) == (arrives, typed)
    Webhook(WHSEC).verify(got.body, got.headers, json_parse=False)


def test_the_headers_that_a_rule_gives_arrive_and_may_name_the_type(means: Means) -> None:
    given = {"X-Api-Key": HUSH, "content-type": "application/vnd.lessons+json"}
    with receiver() as there:
        post(means, there, handover(parameters={"to": "captioning", "headers": given}))
    headers = there.got[0].headers
    assert (headers["x-api-key"], headers["content-type"]) == (HUSH, "application/vnd.lessons+json")


def test_a_batch_arrives_as_one_list_each_with_its_own_id(means: Means) -> None:
    others = (handover(id="act_2"), handover(id="act_3"))
    with receiver() as there:
        post(means, there, handover(others=others))
        post(means, there, handover(others=()))
    first, alone = there.got
    assert first.headers["content-type"] == "application/cloudevents-batch+json"
    assert [event["id"] for event in json.loads(first.body)] == [ACTION, "act_2", "act_3"]
    assert len(json.loads(alone.body)) == 1


def test_a_batch_has_an_id_of_exactly_those_in_it_so_that_no_other_passes_for_its_repeat(means: Means) -> None:
    with receiver() as there:
        for others in ((handover(id="act_2"),), (handover(id="act_2"),), (handover(id="act_3"),), ()):
            post(means, there, handover(others=others))
    first, repeat, another, alone = (one.headers["webhook-id"] for one in there.got)
    assert first == repeat
    assert len({first, another, alone, ACTION}) == 4


def test_the_parameters_that_a_rule_may_give_are_checked_beforehand() -> None:
    model = OPERATIONS["http.post"].parameters
    assert complete(model, {"to": "captioning"}) == {"to": "captioning"}
    for headers in (
        {"Host": "x"},
        {"webhook-id": "x"},
        {"Webhook-Signature": "x"},
        {"content-length": "3"},
        {"Transfer-Encoding": "chunked"},
        {"a b": "x"},
        {"": "x"},
        {"a": "x\r\nb: c"},
        {"a": "课"},
        {"a": " x"},
        {"a": "x", "A": "y"},
        {"a": 1},
        {"Authorization": "Bearer x"},
        {"X-Api-Key": "x"},
        {"Cookie": "x"},
    ):
        assert find_problems(model, {"to": "captioning", "headers": headers}), headers
    for wrong in ({}, {"to": ""}, {"to": "captioning", "url": "x"}, {"to": "captioning", "body": float("nan")}):
        with pytest.raises(WrongRequest):
            complete(model, wrong)


# --- the signature ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("secret", "key"), [(WHSEC, KEY), (WHSEC.rstrip("="), KEY), (HUSH, HUSH.encode())])
def test_standard_webhooks_own_verifier_takes_what_arrives(means: Means, secret: str, key: bytes) -> None:
    with receiver() as there:
        post(means, there, secret=Secret.literal(secret))
    (got,) = there.got
    assert Webhook(key).verify(got.body, got.headers)["id"] == ACTION
    signed = f"{ACTION}.{got.headers['webhook-timestamp']}.".encode() + got.body
    told = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{told}"
    with pytest.raises(WebhookVerificationError):
        Webhook(key).verify(got.body + b" ", got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(b"another key").verify(got.body, got.headers)


def test_the_id_stays_the_same_over_retries_and_the_time_does_not(means: Means) -> None:
    now = int(time.time() * 1000)
    with receiver() as there:
        for at in (now - 60_000, now):
            post(means, there, handover(at=at), secret=Secret.literal(WHSEC))
    one, two = there.got
    assert one.headers["webhook-id"] == two.headers["webhook-id"] == ACTION
    assert one.body == two.body
    assert one.headers["webhook-timestamp"] != two.headers["webhook-timestamp"]
    for got in there.got:
        Webhook(WHSEC).verify(got.body, got.headers)


def test_without_a_secret_nothing_is_signed_and_the_id_is_there_all_the_same(means: Means) -> None:
    with receiver() as there:
        post(means, there)
    assert there.got[0].headers["webhook-id"] == ACTION
    assert "webhook-signature" not in there.got[0].headers


def test_a_secret_that_is_no_key_is_told_by_its_setting_and_not_quoted(means: Means) -> None:
    with receiver() as there:
        outcome = post(means, there, secret=Secret.literal("whsec_!!hush!!"))
    assert (outcome.verdict, outcome.is_unclear, there.got) == ("again", False, [])
    assert "[destinations.captioning]: secret" in outcome.detail
    assert "hush" not in outcome.detail


# --- what an answer means --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, "done"), (201, "done"), (202, "done"), (204, "done")]
    + [(status, "again") for status in (408, 425, 429, 500, 502, 503, 504, 599)]
    + [(status, "give_up") for status in (300, 301, 302, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413, 422)],
)
def test_each_status_is_done_again_or_given_up(means: Means, status: int, verdict: str) -> None:
    with receiver(status=status) as there:
        outcome = post(means, there)
    assert (outcome.verdict, outcome.code) == (verdict, str(status))
    assert outcome.is_throttled == (status == 429)
    assert outcome.is_unclear == (status in {502, 504})


def test_gone_ends_it(means: Means) -> None:
    with receiver(status=410, body=b"we moved") as there:
        outcome = post(means, there)
    assert (outcome.verdict, outcome.detail) == ("give_up", "HTTP 410: we moved")
    assert "gone" in outcome.meaning


@pytest.mark.parametrize("status", [429, 503])
def test_the_receiver_says_when_the_next_try_is_wanted(means: Means, status: int) -> None:
    with receiver(status=status, headers={"Retry-After": "120"}) as there:
        assert post(means, there).after_ms == 120_000
        later = datetime.now(UTC) + timedelta(seconds=90)
        there.headers = {"Retry-After": format_datetime(later, usegmt=True)}
        assert 85_000 <= (post(means, there).after_ms or 0) <= 91_000
        for strange in ("soon", "-5", "1e9", ""):
            there.headers = {"Retry-After": strange}
            assert post(means, there).after_ms is None
        there.headers = {"Retry-After": "999999999999"}
        assert post(means, there).after_ms == 86_400_000


def test_a_date_to_wait_for_counts_by_our_clock_where_the_answer_has_none(means: Means) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    said = f"HTTP/1.1 503 Away\r\nRetry-After: {later}\r\nContent-Length: 0\r\n\r\n".encode()
    with speaker(says(said)) as url:
        outcome = hand_over("http.post", handover(), destination(url), means)
    assert 60_000 <= (outcome.after_ms or 0) <= 91_000


@pytest.mark.parametrize(("status", "is_meant"), [(429, True), (503, True), (500, False)])
def test_a_time_that_a_closed_receiver_names_is_meant_for_all_calls(
    means: Means, status: int, *, is_meant: bool
) -> None:
    with receiver(status=status, headers={"Retry-After": "120"}) as there:
        assert post(means, there).is_throttled is is_meant


def test_a_destination_that_redirects_into_the_local_network_is_given_up_and_the_redirect_named(means: Means) -> None:
    with receiver() as inner, receiver(status=302) as there:
        there.headers = {"Location": f"{inner.url}/admin?token={HUSH}"}
        outcome = post(means, there)
    assert inner.got == []
    assert outcome.verdict == "give_up"
    assert outcome.detail == f"HTTP 302 redirects to 127.0.0.1:{inner.port}"
    assert "redirects are not followed" in outcome.meaning


@pytest.mark.parametrize("url", ["http://localhost", "http://127.0.0.1", "http://[::ffff:127.0.0.1]"])
def test_a_private_address_is_given_up_and_the_setting_named(means: Means, url: str) -> None:
    with receiver() as there:
        outcome = post(means, f"{url}:{there.port}/{HUSH}", allow_private=())
    assert (outcome.verdict, outcome.code, there.got) == ("give_up", "forbidden", [])
    assert "allow_private" in outcome.detail
    assert HUSH not in repr(outcome)


def test_html_is_an_answer_by_its_status_and_is_shown_short(means: Means) -> None:
    with receiver(status=404, body=b"<html>\n  <h1>Not found</h1>" + b"x" * 5000) as there:
        outcome = post(means, there)
    assert outcome.detail.startswith("HTTP 404: <html> <h1>Not found</h1>xxx")
    assert len(outcome.detail) < 300


def test_silence_is_tried_again_and_unclear(means: Means) -> None:
    with speaker(says(closes=False)) as url:
        outcome = post(means, url, timeout=300)
    assert (outcome.verdict, outcome.code, outcome.is_unclear) == ("again", "timeout", True)


def test_a_refused_connection_is_tried_again_and_clear(means: Means) -> None:
    outcome = post(means, "http://127.0.0.1:1")
    assert (outcome.verdict, outcome.code, outcome.is_unclear) == ("again", "unreachable", False)


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_no_secret_shows_in_outcome_repr_log_or_what_a_dry_run_prints(
    means: Means, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    given = handover(parameters={"to": "captioning", "headers": {"X-Api-Key": "other"}})
    with receiver(status=500) as there:
        target = destination(
            f"{there.url}/in-{HUSH}?k=q-{HUSH}",
            secret=Secret.literal(f"s-{HUSH}"),
            headers={"x-api-key": Secret.literal(f"key-{HUSH}")},
        )
        first = hand_over("http.post", given, target, means)
        sent = there.got[0]
        assert sent.headers["x-api-key"] == f"key-{HUSH}"
        signature = sent.headers["webhook-signature"]
        # A receiver may repeat in its answer all that it got.
        there.body = f"{sent.path} {signature} {signature[3:]} key-{HUSH} s-{HUSH}".encode()
        second = hand_over("http.post", given, target, means)
    build = OPERATIONS["http.post"].request
    assert build is not None
    request = build(given, target)
    shown = "\n".join([repr(first), repr(second), repr(request), repr(target), repr(given), show(request), caplog.text])
    assert HUSH not in shown
    assert f"POST http://127.0.0.1:{there.port}/..." in shown
    assert request.headers["webhook-signature"] not in shown


def test_a_header_of_the_settings_that_no_header_can_be_is_told_by_its_setting_and_not_quoted(means: Means) -> None:
    with receiver() as there:
        target = destination(there.url, headers={"Authorization": Secret.literal(f"{HUSH}\n{HUSH}")})
        outcome = hand_over("http.post", handover(), target, means)
    assert outcome.verdict == "again"
    assert "[destinations.captioning]: headers.Authorization: holds what no header can" in outcome.detail
    assert HUSH not in outcome.detail
    assert there.got == []


# --- the delivery as it came -----------------------------------------------------------------------------------------


def test_a_forwarded_delivery_is_verified_by_the_vendors_signature_behind_us(means: Means) -> None:
    vendor = Huawei("huawei")
    incoming = vendor.incoming(b'{"event": "\xe8\xaf\xbe", "n": 1.0}\n', "the-auth-key-of-the-clinic-0123456789")
    account = vendor.account(["the-auth-key-of-the-clinic-0123456789"])
    kept = useful_headers(incoming, VENDORS["huawei"].proofs)
    delivery = Delivery(
        id="dlv_1",
        account="school",
        vendor="huawei",
        door="http",
        received_at=AT,
        headers={**kept, "content-type": "application/json", "host": "reelhook.example", "content-length": "999"},
        body=incoming.body,
    )
    with receiver() as there:
        outcome = hand_over("http.forward", handover(delivery=delivery), destination(there.url), means)
    (got,) = there.got
    assert (outcome.verdict, got.body, got.headers["content-type"]) == ("done", incoming.body, "application/json")
    assert got.headers["host"] == f"127.0.0.1:{there.port}"
    assert got.headers["content-length"] == str(len(incoming.body))
    # Raises BadSignature otherwise.
    VENDORS["huawei"].verify(vendor._plain(got.body, headers=got.headers), account)
    with pytest.raises(BadSignature):
        VENDORS["huawei"].verify(vendor._plain(got.body + b" ", headers=got.headers), account)


@pytest.mark.parametrize("query", ["", "?token=right"])
def test_a_forwarded_push_of_an_mns_topic_is_verified_by_mns_signature_behind_us(
    means: Means, tmp_path: Path, query: str
) -> None:
    """The handler behind verifies as we do, over the path and query that it was called by."""
    verify = by_door(topic.Pushes(Certificates(reading(fill(tmp_path), []))).verify)
    push = Push(target=TARGET + query, token="right" if query else None).signed()
    settings = cast("Any", SimpleNamespace(account=lambda *_: ACCOUNT))
    vendors = {"aliyun": replace(VENDORS["aliyun"], verify=verify)}
    entry, _ = Inbox(settings, vendors, cast("Any", None)).check(push)
    with receiver() as there:
        target = destination(there.url + TARGET + query)
        outcome = hand_over("http.forward", handover(delivery=entry.delivery), target, means)
    (got,) = there.got
    behind = replace(push, headers=got.headers, body=got.body, target=got.path)
    assert (outcome.verdict, verify(behind, ACCOUNT).signed_at) == ("done", NOW)
    with pytest.raises(BadSignature, match="path and query"):
        verify(replace(behind, target="/mns"), ACCOUNT)


def test_an_authorization_is_kept_only_as_the_signature_that_was_verified(tmp_path: Path) -> None:
    pushes = topic.Pushes(Certificates(reading(fill(tmp_path), [])))
    settings = cast("Any", SimpleNamespace(account=lambda *_: ACCOUNT))
    inbox = Inbox(settings, {"aliyun": replace(VENDORS["aliyun"], verify=by_door(pushes.verify))}, cast("Any", None))
    push = Push().signed()
    assert inbox.check(push)[0].delivery.headers["authorization"] == push.headers["authorization"]
    plain = replace(push, door="http", token="right")
    assert "authorization" not in inbox.check(plain)[0].delivery.headers
    assert "authorization" not in useful_headers(push, VENDORS["aliyun"].proofs)


def test_a_delivery_with_headers_that_cannot_be_sent_is_forwarded_without_them(means: Means) -> None:
    strange = {"x-good": "\xe9", "x-课": "a", "x-two": "a\r\nb: c", "x-wide": "课", "transfer-encoding": "chunked"}
    delivery = Delivery(
        id="dlv_1", account="a", vendor="aliyun", door="http", received_at=AT, headers=strange, body=b"\xff\x00"
    )
    with receiver() as there:
        hand_over("http.forward", handover(delivery=delivery), destination(there.url), means)
    (got,) = there.got
    assert got.body == b"\xff\x00"
    assert {name for name in got.headers if name.startswith("x-")} == {"x-good"}


def test_a_delivery_that_is_not_kept_any_more_cannot_be_forwarded(means: Means) -> None:
    with receiver() as there:
        outcome = hand_over("http.forward", handover(), destination(there.url), means)
    assert (outcome.verdict, there.got) == ("give_up", [])
    assert "not kept any more" in outcome.detail


def test_a_destination_of_another_kind_is_given_up(means: Means) -> None:
    outcome = hand_over("sqs.send", handover(change()), destination("http://127.0.0.1:1"), means)
    assert outcome.verdict == "give_up"
    assert "is of kind http; sqs.send needs sqs" in outcome.detail
