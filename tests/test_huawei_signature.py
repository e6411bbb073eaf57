"""Huawei's signature: who is let in, and that no other cut of a captured callback is."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from huawei_callbacks import KEY, MILLISECONDS, OLD_KEY, SECONDS, headers_of, sign, utc
from hypothesis import example, given
from hypothesis import strategies as st

from handlers.errors import BadSignature, BadToken, RefusedDelivery, UnreadableDelivery
from handlers.events import Incoming, read_json
from handlers.secrets import Secret
from handlers.settings import Account
from handlers.vendors.huawei import VENDOR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.vendor import Verified

NOW = 1_790_000_000_123


def account(**changed: Any) -> Account:
    told: dict[str, Any] = {"name": "clinic", "vendor": "huawei", "callback_secrets": (Secret.literal(KEY),)}
    return Account.model_validate(told | changed)


def accept(headers: Mapping[str, str], body: bytes, its: Account | None = None, **changed: Any) -> Verified:
    told: dict[str, Any] = {
        "vendor": "huawei",
        "account": "clinic",
        "door": "http",
        "received_at": NOW,
        "headers": headers,
        "body": body,
    }
    incoming = Incoming(**(told | changed))
    verified = VENDOR.verify(incoming, its or account())
    assert verified.keys == VENDOR.keys(incoming)
    return verified


def test_the_signature_of_a_known_callback_is_right() -> None:
    body = b'{"event_type":"RECORD_FILE_COMPLETE","app_id":"5fcdf5651","job_id":"608196a2","room_id":"room01"}'
    headers = {
        "x-rtc-rand": "8f14e45fceea167a",
        "x-rtc-timestamp": "1619600282",
        "x-rtc-signature": "b7909c91068ca17d637a016feb1c0b1124133f68103074f42fbf9a8f212f3983",
    }
    verified = accept(headers, body)
    assert (verified.secret, verified.signed_at) == (0, 1_619_600_282_000)


@pytest.mark.parametrize(("timestamp", "expected"), [(SECONDS, 1_790_000_000_000), (MILLISECONDS, 1_790_000_000_123)])
def test_ten_digits_are_seconds_and_thirteen_milliseconds(timestamp: str, expected: int) -> None:
    assert accept(headers_of("r", timestamp, b"{}"), b"{}").signed_at == expected


def test_a_signature_may_be_written_in_capitals_and_is_the_same_delivery() -> None:
    headers = headers_of("r", SECONDS, b"{}")
    shouted = headers | {"x-rtc-signature": headers["x-rtc-signature"].upper()}
    assert accept(shouted, b"{}") == accept(headers, b"{}")


def test_keys_rotate_and_the_one_that_matched_is_told() -> None:
    both = account(callback_secrets=(Secret.literal(KEY), Secret.literal(OLD_KEY)))
    assert accept(headers_of("r", SECONDS, b"{}"), b"{}", both).secret == 0
    assert accept(headers_of("r", SECONDS, b"{}", OLD_KEY), b"{}", both).secret == 1
    with pytest.raises(BadSignature):
        accept(headers_of("r", SECONDS, b"{}", OLD_KEY), b"{}")


@pytest.mark.parametrize("missing", ["x-rtc-rand", "x-rtc-timestamp", "x-rtc-signature"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_header_is_named_with_the_setting_and_where_to_set_it(missing: str, value: str | None) -> None:
    headers = headers_of("r", SECONDS, b"{}")
    headers.pop(missing)
    if value is not None:
        headers[missing] = value
    with pytest.raises(BadSignature, match=r"callback_secrets of \[accounts\.clinic\].*console") as caught:
        accept(headers, b"{}")
    assert missing.title() in str(caught.value)


@pytest.mark.parametrize("changed", ["x-rtc-rand", "x-rtc-timestamp", "body", "x-rtc-signature"])
def test_what_was_changed_is_refused_and_no_key_is_repeated(changed: str) -> None:
    headers, body = headers_of("r", SECONDS, b"{}"), b"{}"
    if changed == "body":
        body = b"{ }"
    else:
        headers[changed] += "1"
    with pytest.raises(BadSignature, match=r"signature is wrong.*callback_secrets of \[accounts\.clinic\]") as caught:
        accept(headers, body)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("rand", "timestamp"),
    [
        ("r", "179000000"),
        ("r", "17900000000"),
        ("r", "179000000012"),
        ("r", "17900000001234"),
        ("r", " 790000000"),
        ("r", "١٧٩٠٠٠٠٠٠٠"),
        ("r", "-179000000"),
        ("r", "0000000000"),
        ("r", "1420070399"),
        ("r", "4102444800"),
        ("r", "1420070399999"),
        ("r", "4102444800000"),
        ("r", "9999999999999"),
        ("a b", SECONDS),
        ("a\tb", SECONDS),
        ("ä", SECONDS),
        ("r" * 257, SECONDS),
    ],
)
def test_a_signed_text_that_was_cut_elsewhere_is_refused(rand: str, timestamp: str) -> None:
    with pytest.raises(BadSignature, match=r"cut elsewhere.*10 digits \(seconds\) or 13"):
        accept(headers_of(rand, timestamp, b"{}"), b"{}")


#: what is signed, and the body that is left when three digits go from the timestamp into it
READABLE = [b'{"event_type":"X"}', b' \r\n{"a":1}', b'\xef\xbb\xbf{"a":1}', b"body=%7B%22a%22%3A1%7D"]


@pytest.mark.parametrize("body", READABLE)
def test_digits_of_the_timestamp_can_not_be_moved_into_the_body(body: bytes) -> None:
    read_json(body)
    signature = sign("r", MILLISECONDS, body)
    moved = {"x-rtc-rand": "r", "x-rtc-timestamp": MILLISECONDS[:10], "x-rtc-signature": signature}
    with pytest.raises(BadSignature, match="the body was cut elsewhere"):
        accept(moved, MILLISECONDS[10:].encode() + body)


def test_digits_can_not_be_moved_through_the_timestamp_from_the_rand_into_the_body() -> None:
    headers = headers_of("rand-2", MILLISECONDS, b"{}")
    moved = headers | {"x-rtc-rand": "rand-", "x-rtc-timestamp": "2" + MILLISECONDS[:12]}
    assert utc("2015-01-01") < int(moved["x-rtc-timestamp"]) < utc("2100-01-01"), "a time that can be"
    with pytest.raises(BadSignature, match="the body was cut elsewhere"):
        accept(moved, MILLISECONDS[12:].encode() + b"{}")


@pytest.mark.parametrize("timestamp", [SECONDS, MILLISECONDS])
@pytest.mark.parametrize("body", [b"", b"1", b"123", b"123garbage", b"1" * 40, b"2026-01-01", b"99999999999999{}"])
def test_garbage_that_begins_with_digits_is_authentic_all_the_same(timestamp: str, body: bytes) -> None:
    assert accept(headers_of("r", timestamp, body), body).keys


def test_another_cut_between_rand_and_timestamp_is_a_repeat() -> None:
    headers = headers_of("f00d-179", SECONDS, b"{}")
    moved = headers | {"x-rtc-rand": "f00d-", "x-rtc-timestamp": "179" + SECONDS}
    assert accept(moved, b"{}").signed_at != accept(headers, b"{}").signed_at
    assert accept(moved, b"{}").keys == accept(headers, b"{}").keys


rands = st.text("0123456789", min_size=1, max_size=20) | st.text("abcdef0123456789", min_size=1, max_size=20)
stamps = st.integers(1_420_070_400, 4_102_444_799).map(str) | st.integers(1_420_070_400_000, 4_102_444_799_999).map(str)
signed_bodies = (
    st.sampled_from([*READABLE, b"{}", b"", b"1", b"123", b"123{", b"12{}3"])
    | st.text("0123456789{} ", max_size=20).map(str.encode)
    | st.binary(max_size=20)
)


@given(rand=rands, timestamp=stamps, body=signed_bodies)
@example(rand="161", timestamp="1619600282", body=b"{}")
@example(rand="1619600282123", timestamp="1619600282123", body=b"{}")
@example(rand="r", timestamp="1619600282123", body=b"{}")
@example(rand="r2", timestamp="1790000000", body=b"{}")
@example(rand="r", timestamp="1619600282", body=b"123{}")
def test_every_other_cut_of_an_authentic_callback_is_refused_or_a_repeat(
    rand: str, timestamp: str, body: bytes
) -> None:
    signed = (rand + timestamp).encode() + body
    signature = sign(rand, timestamp, body)
    own = VENDOR.keys(
        Incoming(
            vendor="huawei",
            account="clinic",
            door="http",
            received_at=NOW,
            headers=headers_of(rand, timestamp, body),
            body=body,
        )
    )
    taken = []
    for start, end in itertools.combinations(range(min(len(signed), 50) + 1), 2):
        cut = {
            "x-rtc-rand": signed[:start].decode("latin-1"),
            "x-rtc-timestamp": signed[start:end].decode("latin-1"),
            "x-rtc-signature": signature,
        }
        try:
            assert accept(cut, signed[end:]).keys == own
        except RefusedDelivery:
            continue
        taken.append(signed[end:])
    if is_readable(body):
        assert set(taken) == {body}, "what can be read is never refused, and no other cut of it comes before it"
    else:
        # Digits before what can be read may be the timestamp's: the vendor sends no such body.
        assert {other for other in taken if is_readable(other)} <= {body.lstrip(b"0123456789")}


def is_readable(body: bytes) -> bool:
    try:
        read_json(body)
    except UnreadableDelivery:
        return False
    return True


def test_a_skew_is_refused_both_ways_and_the_setting_named() -> None:
    strict = account(max_skew=60_000)
    for off in (-60_000, 0, 60_000):
        assert accept(headers_of("r", str(NOW + off), b"{}"), b"{}", strict).signed_at == NOW + off
    for off, word in ((-60_001, "before"), (60_001, "after")):
        with pytest.raises(BadSignature, match=rf"{word} it came.*60000 ms, by max_skew of \[accounts\.clinic\]"):
            accept(headers_of("r", str(NOW + off), b"{}"), b"{}", strict)


def test_without_max_skew_no_callback_is_too_old() -> None:
    assert accept(headers_of("r", "1619600282", b"{}"), b"{}").signed_at == 1_619_600_282_000


def test_the_headers_prove_a_callback_from_a_queue_too() -> None:
    headers = headers_of("r", SECONDS, b"{}")
    for door in ("mns", "sqs"):
        assert accept(headers, b"{}", door=door).secret == 0
        with pytest.raises(BadSignature):
            accept({}, b"{}", door=door)


def test_the_headers_that_prove_are_kept_with_the_delivery() -> None:
    assert frozenset(headers_of("r", SECONDS, b"{}")) == VENDOR.proofs


# --- without a signature ----------------------------------------------------------------------------------------------

TOKENS = (Secret.literal("new"), Secret.literal("old"))


def test_an_account_with_tokens_alone_goes_by_the_token() -> None:
    unsigned = account(callback_secrets=(), url_tokens=TOKENS)
    assert accept({}, b"{}", unsigned, token="new").secret == 0
    assert accept({}, b"{}", unsigned, token="old").secret == 1
    assert accept({}, b"{}", unsigned, token="old").signed_at is None
    for token in (None, "", "wrong", "ne", "new ", "\ud800"):
        with pytest.raises(BadToken, match=r"url_tokens of \[accounts\.clinic\]"):
            accept({}, b"{}", unsigned, token=token)


def test_an_account_with_a_signing_key_demands_the_signature_whatever_the_token() -> None:
    both = account(url_tokens=TOKENS)
    assert accept(headers_of("r", SECONDS, b"{}"), b"{}", both).secret == 0
    for token in (None, "new"):
        with pytest.raises(BadSignature):
            accept({}, b"{}", both, token=token)


def test_an_account_with_neither_accepts_nothing() -> None:
    bare = account(callback_secrets=())
    for headers in ({}, headers_of("r", SECONDS, b"{}"), headers_of("r", SECONDS, b"{}", "")):
        with pytest.raises(BadSignature, match=r"callback_secrets of \[accounts\.clinic\] is empty"):
            accept(headers, b"{}", bare, token="")
