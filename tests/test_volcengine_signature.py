"""Volcengine's signature: the official example, what can be moved under it, and what Reelhook does about that."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from handlers.errors import BadSignature, RefusedDelivery, Uncheckable, UnreadableDelivery
from handlers.events import Delivery, Incoming
from handlers.secrets import Secret
from handlers.settings import Account
from handlers.vendors.volcengine import VENDOR
from handlers.vendors.volcengine.envelope import open_envelope
from handlers.vendors.volcengine.signature import sign
from handlers.vendors.volcengine.words import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from handlers.vendor import Verified

NOW = 1_790_000_000_000
SECRET = "s3cr3t-of-the-classroom"
SIGNED = ("EventType", "EventData", "EventTime", "EventId", "AppId", "Version", "Nonce")
#: the example of the vendor's page on signatures (docs/6348/69820), whose secret is 1234
OFFICIAL = {
    "EventType": "RoomCreate",
    "EventData": '{"RoomId":"room1","Timestamp":1679383924691}',
    "EventTime": "2023-03-21T15:32:04+08:00",
    "EventId": "123456",
    "AppId": "appId",
    "Version": "2020-12-01",
    "Nonce": "aaBc",
    "Signature": "1c7200723842eff514b65fc3f065597432bbb4249e10d33db79b3853d05f3691",
}
TRUE = {
    "EventType": "RecordStopped",
    "EventData": '{"AppId":"60d2b5c1f9a3e4017c8b9a21","RoomId":"r","TaskId":"t","Code":0,"RecordFileList":[]}',
    "EventTime": "2026-09-21T14:13:20.123456789Z",
    "EventId": "7000037a01c",
    "AppId": "60d2b5c1f9a3e4017c8b9a21",
    "Version": "2020-12-01",
    "Nonce": "9091",
}


def digest(envelope: Mapping[str, str], secret: str) -> str:
    """Sign as the vendor's page says, without our own code."""
    nonce = envelope.get("Nonce") or envelope.get("Noce", "")
    values = [*(envelope[name] for name in SIGNED[:-1]), nonce, secret]
    return hashlib.sha256("".join(sorted(values, key=lambda value: value.encode())).encode()).hexdigest()


def signed(secret: str = SECRET, **changed: str) -> dict[str, str]:
    envelope = TRUE | changed
    return envelope | {"Signature": digest(envelope, secret)}


def incoming(envelope: Any, *, at: int = NOW, door: str = "http") -> Incoming:
    body = envelope if isinstance(envelope, bytes) else json.dumps(envelope).encode()
    return Incoming(
        vendor="volcengine", account="classroom", door=door, received_at=at, headers={}, body=body, token=None
    )


def account(*secrets: str, **more: object) -> Account:
    known = tuple(Secret.literal(secret) for secret in secrets)
    return Account.model_validate(
        {"name": "classroom", "vendor": "volcengine", "callback_secrets": known, "app_ids": (), **more}
    )


def verify(envelope: Any, *secrets: str, **more: object) -> Verified:
    return VENDOR.verify(incoming(envelope), account(*(secrets or (SECRET,)), **more))


def keys(envelope: Any) -> tuple[str, ...]:
    return VENDOR.keys(incoming(envelope))


# --- what the vendor signs --------------------------------------------------------------------------------------------


def test_the_official_example_is_authentic() -> None:
    verified = verify(OFFICIAL, "1234")
    assert verified.secret == 0
    assert verified.signed_at == 1_679_383_924_000
    assert verified.keys == keys(OFFICIAL)


def test_the_values_are_sorted_and_joined_with_the_secret_among_them() -> None:
    data = TRUE["EventData"]
    joined = f"2020-12-012026-09-21T14:13:20.123456789Z60d2b5c1f9a3e4017c8b9a217000037a01c9091RecordStoppedmiddle{data}"
    expected = hashlib.sha256(joined.encode()).hexdigest()
    assert verify(TRUE | {"Signature": expected}, "middle").secret == 0
    assert sign(open_envelope(json.dumps(TRUE).encode()), "middle") == expected


def test_they_are_sorted_as_bytes_beyond_ascii_too() -> None:
    data = '{"AppId":"60d2b5c1f9a3e4017c8b9a21","RoomId":"课堂😀","TaskId":"t"}'
    for secret in ("密钥", "\uffee", "😀"):
        assert verify(signed(secret, EventData=data), secret).keys


def test_the_data_is_signed_as_it_stands() -> None:
    spaced = signed(EventData=TRUE["EventData"].replace(":", ": "))
    assert verify(spaced).keys
    with pytest.raises(BadSignature):
        verify(spaced | {"EventData": TRUE["EventData"]})


def test_an_older_spelling_of_the_nonce_is_taken() -> None:
    older = {name: value for name, value in signed().items() if name != "Nonce"} | {"Noce": TRUE["Nonce"]}
    assert verify(older).keys == verify(signed()).keys
    assert verify(older | {"Nonce": ""}).keys
    assert verify(older | {"Nonce": TRUE["Nonce"]}).keys
    with pytest.raises(RefusedDelivery, match="Nonce and another Noce"):
        verify(older | {"Nonce": "aaBc"})


def test_fields_that_are_not_signed_change_nothing() -> None:
    assert verify(signed() | {"Domain": "cn", "BusinessId": "\ud800", "x": [1]}).keys == keys(signed())


def test_of_a_field_that_stands_twice_the_same_one_is_signed_and_read() -> None:
    body = json.dumps(signed())
    twice = body.replace('{"EventType"', '{"EventData": "{}", "EventType"', 1).encode()
    assert verify(twice).keys
    delivery = Delivery(
        id="dlv_1", account="classroom", vendor="volcengine", door="http", received_at=NOW, headers={}, body=twice
    )
    (event,) = VENDOR.read(delivery)
    assert event.task is not None
    assert event.task.room_id == "r"
    with pytest.raises(BadSignature):
        verify(f'{body[:-1]}, "EventData": "{{}}"}}'.encode())


@pytest.mark.parametrize("door", ["http", "mns", "sqs", "api"])
def test_the_signature_is_asked_for_at_every_door(door: str) -> None:
    assert VENDOR.verify(incoming(signed(), door=door), account(SECRET)).secret == 0
    with pytest.raises(BadSignature, match="Signature missing"):
        VENDOR.verify(incoming(TRUE, door=door), account(SECRET))


@pytest.mark.parametrize(
    "wrong",
    [
        {"EventData": {"RoomId": "r"}},
        {"EventId": 123456},
        {"Nonce": 9091},
        {"Signature": 10**300},
        {"Signature": ["x"]},
        {"EventTime": True},
        {"AppId": "\ud800"},
        {"Signature": "\udfff"},
    ],
)
def test_an_envelope_of_other_types_can_not_be_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(Uncheckable, match=r"callback_secrets of \[accounts\.classroom\]"):
        verify(signed() | wrong)
    assert keys(signed() | wrong)[0].startswith("body:")


@pytest.mark.parametrize("name", SIGNED)
def test_an_envelope_without_one_of_its_fields_is_refused_even_if_it_was_signed_so(name: str) -> None:
    if name == "EventData":
        assert verify(signed(EventData="")).keys, "it is authentic, and quarantined"
        return
    with pytest.raises(BadSignature):
        verify(signed(**{name: ""}))
    for value in (None, ""):
        with pytest.raises(BadSignature):
            verify(signed() | {name: value})


def test_every_secret_of_the_account_is_tried() -> None:
    assert verify(signed("old"), "new", "old").secret == 1
    assert verify(signed("new"), "new", "old").secret == 0
    with pytest.raises(BadSignature, match=r"signature is wrong.*callback_secrets of \[accounts\.classroom\]"):
        verify(signed("older"), "new", "old")


# --- its shape --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"EventType": "recordStopped"},
        {"EventType": "Record Stopped"},
        {"EventType": "R"},
        {"Version": "20-12-01"},
        {"Version": "2020-12-010"},
        {"Nonce": "909"},
        {"Nonce": "90911"},
        {"Nonce": "90-1"},
        {"Nonce": "٩٠٩١"},
        {"EventTime": "2026-09-21T14:13:20"},
        {"EventTime": "2026-09-21 14:13:20Z"},
        {"EventTime": "2026-02-30T14:13:20Z"},
        {"EventTime": "1969-12-31T23:59:59Z"},
        {"EventTime": "3000-01-01T00:00:00Z"},
        {"EventTime": "2026-09-21T14:13:20.1234567890Z"},
        {"EventTime": "2026-09-21T24:00:00Z"},
        {"EventTime": "1790000000000"},
        {"EventId": "2020-12-01"},
        {"EventId": "2026-09-21T14:13:20Z"},
        {"EventId": "RecordStopped"},
        {"EventId": '{"RoomId":"r"}'},
        {"EventId": "a b"},
        {"EventId": "é"},
        {"EventId": "x" * 257},
        {"AppId": "another"},
        {"AppId": '6"'},
        {"EventData": 'x{"RoomId":"r"}'},
        {"EventData": '0{"AppId":"60d2b5c1f9a3e4017c8b9a21"}'},
        {"EventData": '{"AppId":"another"}'},
        {"EventData": '{"AppId":17}'},
    ],
)
def test_what_does_not_look_as_it_was_signed_is_forged(changed: dict[str, str]) -> None:
    with pytest.raises(BadSignature, match="values were moved") as caught:
        verify(signed(**changed))
    assert next(iter(changed)).removeprefix("App") in str(caught.value) or "AppId" in changed
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"EventTime": "2023-03-21T15:32:04+08:00"},
        {"EventTime": "2023-03-21T15:32:04.5-11:30"},
        {"EventTime": "1970-07-01T00:00:00.000000000Z"},
        {"EventId": "9091"},
        {"EventId": "0d3f9a6e-5c1b-4a53-8f0e-7f2f7d8e1a90"},
        {"EventId": "room@1.example_2:3/4"},
        {"EventType": "SomethingNew2"},
        {"Version": "2023-11-01"},
        {"Nonce": "aaBc"},
        {"EventData": "<xml/>"},
        {"EventData": "[1]"},
        {"EventData": '{"AppId":"60d2b5c1f9a3e4017c8b9a21"'},
        {"EventData": '{"AppId":""}'},
        {"EventData": ' \n{"AppId":"60d2b5c1f9a3e4017c8b9a21"}\n'},
        {"EventData": '\ufeff {"AppId":"60d2b5c1f9a3e4017c8b9a21"}'},
        {"EventData": '{"AppId":17}', "AppId": "17"},
        {"EventData": '{"AppId":["x"]}'},
    ],
)
def test_what_the_vendor_may_send_is_never_refused(changed: dict[str, str]) -> None:
    assert verify(signed(**changed)).keys == keys(signed(**changed))


def test_the_time_that_is_signed_is_told_in_milliseconds() -> None:
    assert verify(signed()).signed_at == 1_790_000_000_123
    assert verify(signed(EventTime="2026-09-21T22:13:20+08:00")).signed_at == NOW


def test_a_callback_is_as_old_as_the_account_allows() -> None:
    assert verify(signed(EventTime="2020-01-01T00:00:00Z")).keys
    assert verify(signed(EventTime="2026-09-21T14:03:20Z"), max_age=600_000).keys
    with pytest.raises(BadSignature, match=r"stale.*600001 ms before.*max_age of \[accounts\.classroom\]"):
        verify(signed(EventTime="2026-09-21T14:03:19.999Z"), max_age=600_000)
    with pytest.raises(BadSignature, match=r"stale.*600001 ms after"):
        verify(signed(EventTime="2026-09-21T14:23:20.001Z"), max_age=600_000)


# --- what it is recognised by -----------------------------------------------------------------------------------------


def test_a_retry_that_is_signed_anew_is_a_repeat() -> None:
    again = signed(Nonce="7302", EventTime="2026-09-21T14:13:26Z")
    assert set(keys(again)) & set(keys(signed()))


def test_what_says_something_else_under_the_same_id_is_none() -> None:
    others = [
        signed(EventType="RecordStarted"),
        signed(EventData=TRUE["EventData"].replace("[]", "[1]")),
        signed(EventId="7000037a01d"),
        signed(AppId="x", EventData="{}"),
    ]
    told = [key for envelope in (signed(), *others) for key in keys(envelope)]
    assert len(set(told)) == len(told)


def test_deliveries_without_a_signature_or_an_id_are_told_apart_by_their_body() -> None:
    bodies = [TRUE, TRUE | {"EventId": "x"}, signed(EventId=""), {}, {"EventId": "x"}]
    told = [keys(envelope) for envelope in bodies]
    assert all(len(one) == 1 for one in told)
    assert len(set(told)) == len(bodies)


# --- what can be moved under it ---------------------------------------------------------------------------------------


def moved(envelope: Mapping[str, str], secret: str, pieces: Sequence[str], order: Sequence[int]) -> dict[str, str]:
    """Give the pieces, sorted, to the fields in this order."""
    return dict(zip(SIGNED, (pieces[index] for index in order), strict=True)) | {"Signature": digest(envelope, secret)}


def pieces_of(envelope: Mapping[str, str]) -> tuple[list[str], list[int]]:
    """Return the signed values in the order of signing, and for each field where its value is among them."""
    ranked = sorted(range(len(SIGNED)), key=lambda index: envelope[SIGNED[index]].encode())
    return [envelope[SIGNED[index]] for index in ranked], [ranked.index(index) for index in range(len(SIGNED))]


def verifies_still(variant: Mapping[str, str], secret: str) -> bool:
    return digest(variant, secret) == variant["Signature"]


def assert_refused_or_a_repeat(variant: Mapping[str, str], true: Mapping[str, str], secret: str) -> None:
    """A variant that verifies is forged, or the true one again: of the same time and app, with the same data."""
    assert verifies_still(variant, secret)
    try:
        verified = verify(dict(variant), secret)
    except BadSignature:
        return
    assert set(verified.keys) & set(verify(dict(true), secret).keys)
    assert variant["EventData"] == true["EventData"]
    assert variant["EventTime"] == true["EventTime"]
    assert variant["AppId"] == true["AppId"]
    assert variant["EventType"] == true["EventType"] or variant["EventType"] not in WORDS


def with_one_border_moved(pieces: Sequence[str]) -> Iterator[list[str]]:
    """Cut each two neighbours elsewhere, in every way."""
    for left in range(len(pieces) - 1):
        both = pieces[left] + pieces[left + 1]
        for cut in range(len(both) + 1):
            yield [*pieces[:left], both[:cut], both[cut:], *pieces[left + 2 :]]


def test_the_published_weaknesses_are_weaknesses_and_are_refused() -> None:
    variants: list[dict[str, str]] = [
        OFFICIAL | {"EventId": "aaBc", "Nonce": "123456"},
        OFFICIAL | {"EventId": "12345620", "Version": "20-12-01"},
        OFFICIAL | {"AppId": "ppId", "Nonce": "aaBca"},
        OFFICIAL | {"EventType": OFFICIAL["AppId"], "AppId": OFFICIAL["EventType"]},
        OFFICIAL | {"EventType": OFFICIAL["Nonce"], "Nonce": OFFICIAL["EventType"]},
    ]
    for variant in variants:
        assert verifies_still(variant, "1234")
        with pytest.raises(BadSignature, match="values were moved"):
            verify(variant, "1234")


@dataclass(frozen=True)
class Case:
    """An authentic envelope and the secret that it is signed with."""

    envelope: dict[str, str]
    secret: str


def a_case(event_id: str, nonce: str, app_id: str, word_and_secret: tuple[str, str], **more: str) -> Case:
    word, secret = word_and_secret
    data = json.dumps({"AppId": app_id, "RoomId": "room-1", "TaskId": "task-1", "Code": 0})
    told = {"EventType": word, "EventData": data, "EventId": event_id, "AppId": app_id, "Nonce": nonce}
    return Case(signed(secret, **told, **more), secret)


CASES = [
    a_case("7000037a01c", "9091", "60d2b5c1f9a3e4017c8b9a21", ("RecordStopped", SECRET)),
    a_case("0d3f9a6e-5c1b-4a53-8f0e-7f2f7d8e1a90", "aaBc", "appId", ("RecordStarted", "1234")),
    a_case("f00d", "beef", "60d2b5c1f9a3e4017c8b9a21", ("RecordUploadDone", "~secret")),
    a_case("abcdef", "Zeta", "abc", ("SegmentRealTimeData", "000")),
    a_case("Zed9", "Sabc", "Zebra", ("TranscodeStopped", "zzz")),
    a_case("20", "2020", "2", ("RecordStopped", "5ecret"), EventTime="2020-12-01T10:00:00+08:00"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.envelope["EventId"])
def test_no_two_values_can_be_exchanged(case: Case) -> None:
    for one, other in itertools.combinations(SIGNED, 2):
        swapped = case.envelope | {one: case.envelope[other], other: case.envelope[one]}
        assert_refused_or_a_repeat(swapped, case.envelope, case.secret)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.envelope["EventId"])
def test_no_border_can_be_moved(case: Case) -> None:
    pieces, order = pieces_of(case.envelope)
    found = 0
    for cut in with_one_border_moved(pieces):
        variant = moved(case.envelope, case.secret, cut, order)
        if verifies_still(variant, case.secret):
            found += 1
            assert_refused_or_a_repeat(variant, case.envelope, case.secret)
    assert found > 1, "the true one, and at least one that is moved"


ALNUM = "0123456789ABCDEFXYZabcdefxyz"
ids = st.text(ALNUM, min_size=1, max_size=12) | st.uuids().map(str) | st.integers(0, 10**12).map(str)


@st.composite
def authentic(draw: st.DrawFn) -> Case:
    nonce = draw(st.text(ALNUM, min_size=4, max_size=4))
    event_id = draw(ids | st.just(nonce))
    assume(event_id not in WORDS)
    word = draw(st.sampled_from(sorted(WORDS)))
    time = draw(st.sampled_from([TRUE["EventTime"], "2020-12-01T00:00:00Z", "2023-03-21T15:32:04+08:00"]))
    secret = draw(st.text(ALNUM + "-_~", min_size=1, max_size=16))
    return a_case(event_id, nonce, draw(ids), (word, secret), EventTime=time)


@st.composite
def attacked(draw: st.DrawFn) -> tuple[Case, dict[str, str]]:
    """An envelope, and a variant with borders moved and values exchanged."""
    case = draw(authentic())
    pieces, order = pieces_of(case.envelope)
    for _ in range(draw(st.integers(0, 3))):
        left = draw(st.integers(0, len(pieces) - 2))
        both = pieces[left] + pieces[left + 1]
        # Near the old border and the ends, where something may still look right.
        near = [0, 1, 4, 10, len(pieces[left]) - 1, len(pieces[left]) + 1, len(both) - 10, len(both) - 4, len(both)]
        cut = min(max(draw(st.sampled_from(near) | st.integers(0, len(both))), 0), len(both))
        pieces[left : left + 2] = [both[:cut], both[cut:]]
    if draw(st.booleans()):
        order = draw(st.permutations(order))
    return case, moved(case.envelope, case.secret, pieces, order)


@example(attack=(CASES[0], CASES[0].envelope))
@given(attack=attacked())
def test_a_captured_callback_under_the_same_signature_is_forged_or_a_repeat(
    attack: tuple[Case, dict[str, str]],
) -> None:
    case, variant = attack
    assume(verifies_still(variant, case.secret))
    assert_refused_or_a_repeat(variant, case.envelope, case.secret)


def test_an_id_that_gave_characters_to_the_nonce_is_the_true_one_again() -> None:
    true = signed(EventId="7000", Nonce="7891")
    variant = true | {"EventId": "70007", "Nonce": "891"}
    assert verifies_still(variant, SECRET)
    with pytest.raises(BadSignature):
        verify(variant)
    exchanged = true | {"EventId": "7891", "Nonce": "7000"}
    assert set(verify(exchanged).keys) & set(verify(true).keys)


def test_reading_what_was_not_verified_gives_no_other_error() -> None:
    for envelope in (signed(EventTime="soon"), signed() | {"Signature": "x"}):
        body = json.dumps(envelope).encode()
        delivery = Delivery(
            id="dlv_1", account="classroom", vendor="volcengine", door="import", received_at=NOW, headers={}, body=body
        )
        assert VENDOR.read(delivery)
    with pytest.raises(UnreadableDelivery):
        VENDOR.read(replace(delivery, body=b'{"EventType": "RecordStopped", "EventData": {}}'))
