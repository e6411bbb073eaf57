"""A push of an MNS topic: signed by MNS, of the account's own topic, fresh, and whole."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mns_pushes import (
    ACCOUNT,
    BODY,
    DAY,
    MINUTE,
    MNS,
    NOW,
    STRANGER,
    TARGET,
    Push,
    certificate,
    envelope,
    fill,
    in_json,
    md5_of_the_digest,
    md5_of_the_hexadecimal,
    pem,
    reading,
)
from sqlalchemy import select
from werkzeug.serving import make_server

from handlers import tables
from handlers.clock import now_ms
from handlers.errors import BadSignature, BadToken, CannotVerify, RefusedDelivery
from handlers.inbox import Inbox
from handlers.inbox.processing import Processor
from handlers.inbox.refusals import Refusals
from handlers.vendors.aliyun import VENDOR, signature, topic
from handlers.vendors.aliyun.certificates import Certificates, fetch_https
from webhook.api import new_app
from webhook.callbacks import callbacks_blueprint
from webhook.figures import Figures
from webhook.problems import register_problems

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from handlers.database import Database
    from handlers.events import Incoming
    from handlers.keeping.keeper import Keeper
    from handlers.settings import Account, Settings
    from handlers.vendor import Verified


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def verify(store: Path, asked: list[str]) -> Callable[..., Verified]:
    verifier = signature.by_door(topic.Pushes(Certificates(reading(store, asked))).verify)

    def checked(incoming: Incoming, account: Account = ACCOUNT) -> Verified:
        return verifier(incoming, account)

    return checked


# --- what is accepted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [envelope, in_json])
@pytest.mark.parametrize("inner", [bytes, base64.b64encode], ids=["raw", "base64"])
@pytest.mark.parametrize("md5", [md5_of_the_hexadecimal, md5_of_the_digest])
def test_a_push_of_the_accounts_topic_is_accepted(verify: Any, wrap: Any, inner: Any, md5: Any) -> None:
    push = Push(body=wrap(inner(BODY)), md5=md5).signed()
    told = verify(push)
    assert told.signed_at == NOW
    assert told.keys == VENDOR.keys(push) == VENDOR.keys(replace(push, door="http", body=BODY))


def test_a_content_type_in_capitals_is_signed_in_small_letters(verify: Any) -> None:
    assert verify(Push(content_type="text/xml;charset=UTF-8").signed()).keys


def test_the_query_is_signed_with_the_path(verify: Any) -> None:
    push = Push(target=f"{TARGET}?a=%2F&token=right").signed()
    assert verify(push).keys
    with pytest.raises(BadSignature):
        verify(replace(push, target=f"{TARGET}?a=/&token=right"))


def test_the_format_simplified_needs_the_token_of_the_url(verify: Any) -> None:
    push = Push(body=BODY, content_type="text/plain", message_id="5F1").signed()
    for token in (None, "", "wrong"):
        with pytest.raises(BadToken, match=r"url_tokens of \[accounts\.lessons\]"):
            verify(replace(push, token=token))
    assert verify(replace(push, token="older")).secret == 1
    with pytest.raises(RefusedDelivery):
        verify(Push(body=BODY, key=STRANGER, token="right").signed())


@pytest.mark.parametrize("wrap", [envelope, in_json])
def test_an_envelope_that_a_publisher_wrote_himself_needs_the_token(verify: Any, asked: list[str], wrap: Any) -> None:
    """Whoever subscribes his own topic to our door in the format SIMPLIFIED chooses every byte that MNS signs."""
    forged = Push(body=wrap(BODY), message_id="5F1").signed()
    with pytest.raises(BadToken, match=r"url_tokens of \[accounts\.lessons\]"):
        verify(forged)
    assert asked == [], "nothing is fetched for a stranger"
    stripped = {name: value for name, value in forged.headers.items() if name != "x-mns-message-id"}
    with pytest.raises(BadSignature, match="the signature of MNS is wrong"):
        verify(replace(forged, headers=stripped))
    assert verify(replace(forged, token="right")).secret == 0


def test_an_envelope_needs_no_token(verify: Any) -> None:
    assert verify(Push().signed(), ACCOUNT.model_copy(update={"url_tokens": ()})).keys


def test_a_push_is_kept_and_becomes_a_recording(
    database: Database, settings: Settings, keeper: Keeper, store: Path
) -> None:
    ours = settings.account("aliyun", "lessons")
    assert ours is not None
    bound = ours.model_copy(update={"topic_owner": "1234567890", "topic_name": "recordings"})
    settings = replace(settings, accounts={("aliyun", "lessons"): bound})
    pushes = topic.Pushes(Certificates(reading(store, [])))
    vendors = {"aliyun": replace(VENDOR, verify=signature.by_door(pushes.verify))}
    inbox = Inbox(settings, vendors, keeper)
    assert not inbox.accept(Push().signed()).accepted.is_repeat
    assert inbox.accept(Push(body=in_json(base64.b64encode(BODY)), sent_at=NOW - MINUTE).signed()).accepted.is_repeat
    Processor(database, settings, vendors).process()
    with database.read() as connection:
        recording = connection.execute(select(tables.recordings)).mappings().one()
        delivery = connection.execute(select(tables.deliveries)).mappings().one()
    assert recording["task_id"] == "task-005"
    assert delivery["door"] == "mns-topic"
    assert bytes(delivery["body"]) == Push().body


def test_a_push_comes_in_by_http_with_its_path_as_it_was_signed(
    database: Database, settings: Settings, keeper: Keeper, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = settings.account("aliyun", "lessons")
    assert ours is not None
    bound = ours.model_copy(update={"topic_owner": "1234567890", "topic_name": "recordings"})
    settings = replace(settings, accounts={("aliyun", "lessons"): bound})
    pushes = topic.Pushes(Certificates(reading(store, [])))
    vendors = {"aliyun": replace(VENDOR, verify=signature.by_door(pushes.verify))}
    refusals = Refusals(database, vendors)
    refusals.start()
    app = new_app()
    register_problems(app)
    app.register_blueprint(
        callbacks_blueprint(settings, vendors, Inbox(settings, vendors, keeper), refusals, Figures())
    )
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    now = now_ms()
    (store / "today.pem").write_bytes(pem(certificate(MNS, begins=now - DAY, ends=now + DAY)))
    address = "https://mns-cert.oss-cn-shanghai.aliyuncs.com/today.pem"

    def post(push: Incoming, target: str) -> tuple[int, dict[str, Any]]:
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        connection.request("POST", target, push.body, {"host": "reelhook.example.com", **push.headers})
        answer = connection.getresponse()
        told = answer.status, json.loads(answer.read())
        connection.close()
        return told

    try:
        for target in (TARGET, f"{TARGET}?a=%2F%e4&b=+", f"{TARGET}/"):
            push = Push(target=target, address=address, sent_at=now).signed()
            status, told = post(push, target)
            assert (status, told["Code"]) == (200, 0), told
            status, told = post(push, f"{target}?x=1")
            assert (status, told["status"]) == (401, 401)
            assert "the signature of MNS is wrong" in told["detail"]
        gone = Push(address=address.replace("today", "gone"), sent_at=now).signed()
        assert post(gone, TARGET)[0] == 503, "MNS shall try again"
        assert "a callback of aliyun/lessons can't be verified now: the certificate of MNS at https://" in caplog.text
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        refusals.close()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [("topic_owner",), ("topic_name",), ("topic_owner", "topic_name")])
@pytest.mark.parametrize("body", [envelope(BODY), BODY], ids=["envelope", "simplified"])
def test_an_account_without_its_topic_accepts_no_push(verify: Any, asked: list[str], missing: Any, body: bytes) -> None:
    account = ACCOUNT.model_copy(update=dict.fromkeys(missing))
    with pytest.raises(BadSignature, match=r"topic_owner and topic_name of \[accounts\.lessons\] are not set"):
        verify(Push(body=body, token="right").signed(), account)
    assert asked == []


@pytest.mark.parametrize("wrap", [envelope, in_json])
@pytest.mark.parametrize(
    "changed", [{"TopicOwner": "666"}, {"TopicName": "theirs"}, {"TopicName": "Recordings"}, {"TopicOwner": ""}]
)
def test_a_push_of_another_topic_is_refused_however_well_signed(
    verify: Any, asked: list[str], wrap: Any, changed: dict[str, str]
) -> None:
    with pytest.raises(
        BadSignature, match=r"of another topic; expected topic_owner and topic_name of \[accounts\.lessons\]"
    ):
        verify(Push(body=wrap(BODY, **changed), token="right").signed())
    assert asked == [], "nothing is fetched for a stranger"


def test_a_push_that_another_key_signed_is_refused(verify: Any) -> None:
    with pytest.raises(BadSignature, match="the signature of MNS is wrong"):
        verify(Push(key=STRANGER).signed())


@pytest.mark.parametrize("late", [-15 * MINUTE, 0, 15 * MINUTE, DAY, DAY + 15 * MINUTE])
def test_a_push_is_tried_for_a_day_and_clocks_may_differ_by_15_minutes(verify: Any, late: int) -> None:
    address = "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate.pem"
    push = Push(sent_at=NOW, address=address).signed()
    assert verify(replace(push, received_at=NOW + late)).signed_at == NOW


@pytest.mark.parametrize("late", [-15 * MINUTE - 1, DAY + 15 * MINUTE + 1, 400 * DAY, -400 * DAY])
def test_an_older_push_is_refused_and_one_of_the_future(verify: Any, asked: list[str], late: int) -> None:
    with pytest.raises(BadSignature, match=r"^stale: .*max_age of \[accounts\.lessons\]"):
        verify(replace(Push().signed(), received_at=NOW + late))
    assert asked == []


def test_max_age_says_how_old_a_push_may_be(verify: Any) -> None:
    push = replace(Push().signed(), received_at=NOW + 20 * MINUTE)
    assert verify(push, ACCOUNT.model_copy(update={"max_age": 20 * MINUTE})).keys
    with pytest.raises(BadSignature, match="stale"):
        verify(push, ACCOUNT.model_copy(update={"max_age": 20 * MINUTE - 1}))


@pytest.mark.parametrize(
    "date",
    [
        "",
        "soon",
        "1464173174",
        "2016-05-25T10:46:14Z",
        "Wed, 32 May 2016 10:46:14 GMT",
        "Wed, 25 May 99999 10:46:14 GMT",
        "\0",
        "\ud800",
        "," * 5000,
    ],
)
def test_a_date_that_is_none_is_refused(verify: Any, date: str) -> None:
    push = Push().signed()
    with pytest.raises(BadSignature, match=r"(?i)date"):
        verify(replace(push, headers={**push.headers, "date": date}))


NEEDED = ["authorization", "content-md5", "date", "x-mns-signing-cert-url"]
SIGNED = [*NEEDED, "content-type", "x-mns-version", "x-mns-request-id"]


@pytest.mark.parametrize("name", SIGNED)
def test_a_push_without_one_of_its_headers_is_refused(verify: Any, name: str) -> None:
    push = Push().signed()
    headers = {other: value for other, value in push.headers.items() if other != name}
    with pytest.raises(BadSignature) as caught:
        verify(replace(push, headers=headers))
    assert name not in NEEDED or name in str(caught.value)


def test_a_further_header_of_mns_is_no_part_of_what_was_signed(verify: Any) -> None:
    push = Push().signed()
    with pytest.raises(BadSignature):
        verify(replace(push, headers={**push.headers, "x-mns-other": "x"}))
    assert verify(replace(push, headers={**push.headers, "x-forwarded-for": "192.0.2.7"})).keys


def test_a_push_whose_path_is_not_known_is_refused(verify: Any) -> None:
    with pytest.raises(BadSignature, match="the path that was called is not known"):
        verify(replace(Push().signed(), target=None))


def test_the_same_signature_written_otherwise_is_refused(verify: Any) -> None:
    push = Push().signed()
    proof = push.headers["authorization"]
    assert proof.endswith("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = proof[:-3] + alphabet[alphabet.index(proof[-3]) ^ 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(proof)
    for written in (other, proof + "\n", " " + proof, proof.rstrip("=")):
        with pytest.raises(BadSignature, match=r"(?i)authorization"):
            verify(replace(push, headers={**push.headers, "authorization": written}))


def test_a_body_that_was_changed_or_swapped_is_refused(verify: Any) -> None:
    one, other = Push().signed(), Push(body=envelope(BODY.replace(b"task-005", b"task-006"))).signed()
    with pytest.raises(BadSignature, match="Content-MD5 does not fit the body"):
        verify(replace(one, body=other.body))
    forged = {**one.headers, "content-md5": other.headers["content-md5"]}
    with pytest.raises(BadSignature, match="the signature of MNS is wrong"):
        verify(replace(one, body=other.body, headers=forged))


TEXT = st.text(st.characters(exclude_categories=[]), max_size=40)


@given(data=st.data())
def test_every_push_of_which_one_field_was_changed_is_refused(store: Path, data: st.DataObject) -> None:
    verifier = topic.Pushes(Certificates(reading(store, []))).verify
    push = Push().signed()
    field = data.draw(st.sampled_from([*SIGNED, "body", "target"]))
    whole: Any = push.body if field == "body" else TARGET if field == "target" else push.headers[field]
    start, end = sorted((data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, len(whole)))))
    inserted = data.draw(st.binary(max_size=8) if field == "body" else TEXT)
    changed = whole[:start] + inserted + whole[end:]
    if changed == whole or (field == "content-type" and changed.lower() == whole.lower()):
        return
    if field in {"body", "target"}:
        tampered = replace(push, **{field: changed})
    else:
        tampered = replace(push, headers={**push.headers, field: changed})
    # Some changes leave the address of another file on the vendor's host, which is not there.
    with pytest.raises((RefusedDelivery, CannotVerify)):
        verifier(tampered, ACCOUNT)


@given(headers=st.dictionaries(st.sampled_from(SIGNED), TEXT), body=st.binary(max_size=200), target=TEXT | st.none())
def test_no_request_raises_anything_but_a_refusal(
    store: Path, headers: dict[str, str], body: bytes, target: str | None
) -> None:
    verifier = topic.Pushes(Certificates(reading(store, []))).verify
    push = Push().signed()
    wrecked = [
        replace(push, headers={**push.headers, **headers}, target=target),
        replace(push, headers=headers, body=body, token="right"),
    ]
    for one in wrecked:
        if one == push:
            continue
        with pytest.raises((RefusedDelivery, CannotVerify)):
            verifier(one, ACCOUNT)


def test_the_vendor_itself_fetches_over_https() -> None:
    verifier: Any = VENDOR.verify
    pushes = next(cell.cell_contents for cell in verifier.__closure__)
    assert pushes.__self__._certificates._fetch is fetch_https
    assert VENDOR.doors == {"http", "mns-topic"}
    assert {"content-md5", "date", "x-mns-signing-cert-url"} <= VENDOR.proofs
