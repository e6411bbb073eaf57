"""What every vendor promises, asked of each vendor with each of its fixtures."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from counterparts import (
    COUNTERPARTS,
    FIXTURES,
    NOW,
    a_body,
    assert_names_the_setting_and_no_secret,
    assert_storable,
    delivery,
    fixtures_of,
    incoming,
    read,
    verify,
)
from hypothesis import given
from hypothesis import strategies as st

from handlers import drift
from handlers.errors import BadSignature, BadToken, RefusedDelivery, Uncheckable, UnreadableDelivery
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.events import Incoming


HOUSE = Path(__file__).parent.parent
#: the same names in every vendor's folder; of these a vendor has what it needs
AGREED_FILES = {
    "__init__.py",
    "signature.py",
    "callbacks.py",
    "sample.py",
    "api.py",
    "errors.py",
    "parameters.py",  # what a call of the vendor's API may carry
    "layouts.py",  # the streams, layouts and encodings in Volcengine's calls
    "signing.py",  # how such a call is signed
    "mns.py",
    "topic.py",  # Alibaba's pushes of an MNS topic
    "certificates.py",  # whose key signs them
    "live.py",  # the callbacks of Alibaba's live recording
    "envelope.py",  # Volcengine's JSON around JSON
    "words.py",  # the events that Volcengine names, of which signature and callbacks must know
    "told.py",  # what Volcengine's events have in common, which are of three sorts of tasks:
    "records.py",
    "segments.py",
    "pushes.py",
}


def every_fixture() -> Iterator[Any]:
    for vendor in VENDORS:
        for name, kinds in fixtures_of(vendor).items():
            yield pytest.param(vendor, FIXTURES / vendor / name, kinds, id=f"{vendor}-{name}")


each_vendor = pytest.mark.parametrize("vendor", VENDORS)
each_signing_vendor = pytest.mark.parametrize("vendor", [name for name, one in COUNTERPARTS.items() if one.signs])
each_vendor_that_tells_the_time = pytest.mark.parametrize(
    "vendor", [name for name, one in COUNTERPARTS.items() if one.age_setting]
)
each_fixture = pytest.mark.parametrize(("vendor", "path", "kinds"), list(every_fixture()))


def authentic_garbage(vendor: str, sort: str) -> Incoming:
    """Return garbage in the vendor's own envelope, proved with the secret `right`."""
    counterpart = COUNTERPARTS[vendor]
    return counterpart.incoming(counterpart.wrap(GARBAGE[sort], like=a_body(vendor)), "right")


# --- the folder -----------------------------------------------------------------------------------------------------


@each_vendor
def test_a_vendor_is_listed_under_its_own_name(vendor: str) -> None:
    assert VENDORS[vendor].name == vendor


@each_vendor
def test_a_vendors_folder_has_only_the_agreed_file_names(vendor: str) -> None:
    names = {path.name for path in (HOUSE / "handlers" / "vendors" / vendor).iterdir()} - {"__pycache__"}
    assert names <= AGREED_FILES
    assert names >= {"__init__.py", "signature.py", "callbacks.py"}


def test_every_folder_is_a_listed_vendor() -> None:
    folders = {path.parent.name for path in (HOUSE / "handlers" / "vendors").glob("*/__init__.py")}
    assert folders == set(VENDORS) == set(COUNTERPARTS)


@each_vendor
def test_every_fixture_stands_in_its_folders_index(vendor: str) -> None:
    files = {path.name for path in (FIXTURES / vendor).iterdir()} - {"README.md"}
    assert files == set(fixtures_of(vendor))


def names_in(value: Any) -> Iterator[str]:
    """Yield the names of all fields, of JSON inside of text too."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from names_in(part)


@each_vendor
def test_every_kind_and_every_field_and_every_event_word_is_documented(vendor: str) -> None:
    text = (HOUSE / "docs" / "vendors" / f"{vendor}.md").read_text()
    documented = set(re.findall(r"`([^`\n]+)`", text))
    index = fixtures_of(vendor)
    told: set[str] = {kind for kinds in index.values() for kind in kinds}
    for name in [name for name, kinds in index.items() if "unknown" not in kinds and "further-fields" not in name]:
        body = (FIXTURES / vendor / name).read_bytes()
        told |= {event.word for event in read(vendor, body)} | set(names_in(json.loads(body)))
    assert told - documented == set()


# --- reading --------------------------------------------------------------------------------------------------------


@each_fixture
def test_a_fixture_reads_as_the_kinds_that_its_index_tells(vendor: str, path: Path, kinds: tuple[str, ...]) -> None:
    events = read(vendor, path.read_bytes())
    assert tuple(event.kind for event in events) == kinds
    for event in events:
        assert event.task is not None or event.kind == "unknown"
        assert event.task is None or event.task.vendor == vendor
    assert_storable(events)


@each_fixture
def test_reading_the_same_bytes_twice_gives_equal_events(vendor: str, path: Path, kinds: tuple[str, ...]) -> None:
    first, second = read(vendor, path.read_bytes()), read(vendor, path.read_bytes())
    assert first == second
    assert [event.fingerprint() for event in first] == [event.fingerprint() for event in second]
    assert len(first) == len(kinds)


@each_vendor
def test_an_event_does_not_depend_on_the_door_or_the_account(vendor: str) -> None:
    one = delivery(vendor, a_body(vendor))
    other = replace(one, id="dlv_2", account="college", door="sqs", received_at=NOW + 1, headers={"x": "y"})
    assert VENDORS[vendor].read(one) == VENDORS[vendor].read(other)


@each_fixture
def test_what_the_vendor_documents_is_no_drift(vendor: str, path: Path, kinds: tuple[str, ...]) -> None:
    with drift.noting() as noted:
        read(vendor, path.read_bytes())
    assert not noted or kinds == ("unknown",) or "further-fields" in path.name


GARBAGE = {
    "nothing": b"",
    "blanks": b" \r\n\t",
    "no JSON": b"FileCreated",
    "broken off": b'{"Event": "FileCreated", "AppId": "9q',
    "an array": b'[{"Event": "FileCreated"}]',
    "a text": b'"FileCreated"',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
    "not UTF-8": b'{"Event": "\xff\xfe"}',
    "UTF-16": '{"Event": "FileCreated"}'.encode("utf-16"),
    "binary": bytes(range(256)),
    "a NUL": b"\0",
    "XML": b"<Event>FileCreated</Event>",
    "nested deep": b'{"Event": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "nested deep without an end": b'{"Event":' * 10_000,
    "a number of 5000 digits": b'{"Duration": ' + b"9" * 5000 + b"}",
    "a form without JSON": b"Event=FileCreated&AppId=9q",
    "a form of broken JSON": b"body=%7B%22Event%22",
    "a form of two objects": b"a=%7B%7D&b=%7B%7D",
    "a form of many fields": b"a=%7B%7D" + b"&b=1" * 100,
    "a form that is not UTF-8": b"a=%7B%22Event%22%3A%22%FF%22%7D",
}

each_sort = pytest.mark.parametrize("sort", list(GARBAGE))


@each_vendor
@each_sort
def test_garbage_is_unreadable_and_nothing_else(vendor: str, sort: str) -> None:
    for body in (GARBAGE[sort], authentic_garbage(vendor, sort).body):
        with pytest.raises(UnreadableDelivery) as caught:
            read(vendor, body)
        assert str(caught.value)


@each_vendor
def test_a_word_that_we_do_not_know_is_kept_and_is_no_error(vendor: str) -> None:
    names = [name for name, kinds in fixtures_of(vendor).items() if kinds == ("unknown",)]
    assert names
    for name in names:
        body = (FIXTURES / vendor / name).read_bytes()
        (event,) = read(vendor, body)
        assert event.word == "" or event.word in name
        assert event.recording is None


# --- verifying ------------------------------------------------------------------------------------------------------


@each_fixture
def test_an_authentic_delivery_is_accepted_and_recognised_again(
    vendor: str, path: Path, kinds: tuple[str, ...]
) -> None:
    assert kinds
    came = incoming(vendor, path.read_bytes())
    verified = verify(vendor, came, "right")
    assert verified == verify(vendor, replace(came, received_at=NOW + 1), "right")
    assert verified.keys
    assert all(re.fullmatch(r"[a-z]+:[0-9a-f]{32}", key) for key in verified.keys)
    assert verified.secret == 0


@each_vendor
@each_sort
def test_a_refused_delivery_is_recognised_by_the_same_keys_once_it_is_released(vendor: str, sort: str) -> None:
    for came in (incoming(vendor, a_body(vendor)), authentic_garbage(vendor, sort)):
        with pytest.raises(RefusedDelivery):
            verify(vendor, came, "wrong")
        assert VENDORS[vendor].keys(came) == verify(vendor, came, "right").keys


@each_vendor
@each_sort
def test_keys_can_be_told_of_anything(vendor: str, sort: str) -> None:
    came = incoming(vendor, GARBAGE[sort])
    assert VENDORS[vendor].keys(came)
    assert VENDORS[vendor].keys(came) == VENDORS[vendor].keys(replace(came, received_at=NOW + 1))


@each_vendor
def test_no_two_fixtures_share_a_key(vendor: str) -> None:
    bodies = [(FIXTURES / vendor / name).read_bytes() for name in fixtures_of(vendor)]
    keys = [key for body in bodies for key in verify(vendor, incoming(vendor, body), "right").keys]
    assert len(set(keys)) == len(keys)


@each_vendor
@pytest.mark.parametrize("secret", [None, "", "wrong", "righ", "right "])
def test_a_missing_or_wrong_proof_is_refused_and_the_setting_named(vendor: str, secret: str | None) -> None:
    with pytest.raises((BadSignature, BadToken)) as caught:
        verify(vendor, incoming(vendor, a_body(vendor), secret), "right", "s3cr3t")
    assert_names_the_setting_and_no_secret(vendor, caught.value)


@each_vendor
def test_a_spoilt_proof_is_refused_and_the_setting_named(vendor: str) -> None:
    spoilt = COUNTERPARTS[vendor].spoilt(incoming(vendor, a_body(vendor)))
    assert spoilt
    for name, came in spoilt.items():
        with pytest.raises((BadSignature, BadToken)) as caught:
            assert verify(vendor, came, "right", "s3cr3t") is None, name
        assert_names_the_setting_and_no_secret(vendor, caught.value)


@each_signing_vendor
def test_a_proof_does_not_fit_another_body(vendor: str) -> None:
    for name in fixtures_of(vendor):
        came = incoming(vendor, (FIXTURES / vendor / name).read_bytes())
        content = COUNTERPARTS[vendor].content(came.body)
        for other in {content + b" ", content[:-1], content.replace(b":", b": ", 1), b"{}"} - {content}:
            forged = replace(came, body=COUNTERPARTS[vendor].wrap(other, like=came.body))
            with pytest.raises(BadSignature) as caught:
                verify(vendor, forged, "right")
            assert_names_the_setting_and_no_secret(vendor, caught.value)


@each_vendor_that_tells_the_time
def test_a_stale_delivery_is_refused_and_the_setting_named(vendor: str) -> None:
    setting = COUNTERPARTS[vendor].age_setting
    assert setting
    came = incoming(vendor, a_body(vendor))
    signed_at = verify(vendor, came, "right").signed_at
    assert signed_at is not None
    for late in (-600_001, 600_001, 10**10):
        stale = replace(came, received_at=signed_at + late)
        assert verify(vendor, stale, "right").signed_at == signed_at
        with pytest.raises(BadSignature) as caught:
            verify(vendor, stale, "right", **{setting: 600_000})
        assert_names_the_setting_and_no_secret(vendor, caught.value, setting)
        assert setting in str(caught.value)
        for door in ("mns", "sqs"):  # there it may have waited for days, and the queue is ours
            assert verify(vendor, replace(stale, door=door), "right", **{setting: 600_000}).keys
    for late in (-600_000, 0, 600_000):
        assert verify(vendor, replace(came, received_at=signed_at + late), "right", **{setting: 600_000}).keys


@each_vendor
def test_keys_rotate_and_the_one_that_matched_is_told(vendor: str) -> None:
    old, new = (incoming(vendor, a_body(vendor), secret) for secret in ("old", "new"))
    assert verify(vendor, old, "old").secret == 0
    assert verify(vendor, old, "new", "old").secret == 1
    assert verify(vendor, new, "new", "old").secret == 0
    with pytest.raises(RefusedDelivery):
        verify(vendor, old, "new")


@each_vendor
def test_an_account_without_secrets_accepts_nothing(vendor: str) -> None:
    for secret in (None, "", "x"):
        with pytest.raises((BadSignature, BadToken), match=COUNTERPARTS[vendor].setting):
            verify(vendor, incoming(vendor, a_body(vendor), secret))


@each_vendor
@each_sort
def test_an_authentic_delivery_is_accepted_whatever_its_content(vendor: str, sort: str) -> None:
    came = authentic_garbage(vendor, sort)
    assert verify(vendor, came, "right").keys
    with pytest.raises((BadSignature, BadToken)):
        verify(vendor, came, "wrong")


@each_vendor
@each_sort
def test_garbage_without_an_envelope_can_not_be_checked_where_the_proof_stands_in_it(vendor: str, sort: str) -> None:
    came = incoming(vendor, GARBAGE[sort])
    if not COUNTERPARTS[vendor].proof_in_body:
        assert verify(vendor, came, "right").keys
        return
    with pytest.raises(Uncheckable) as caught:
        verify(vendor, came, "right")
    assert_names_the_setting_and_no_secret(vendor, caught.value)


# --- anything at all ------------------------------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=40)
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**320)
    | st.floats()
    | ANY_TEXT
    | st.sampled_from(["", "\0", "\ud800", "2020-02-30T00:00:00Z", "0001-01-01T00:00:00Z", "1e400", "x" * 5000])
    | ANY_TEXT.map("http://a.oss-cn-shanghai.aliyuncs.com/{}".format),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
vendors = st.sampled_from(sorted(VENDORS))


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A fixture of whose content some fields were dropped, replaced or swapped, or some bytes changed."""
    vendor = draw(vendors)
    body = (FIXTURES / vendor / draw(st.sampled_from(sorted(fixtures_of(vendor))))).read_bytes()
    counterpart = COUNTERPARTS[vendor]
    content = counterpart.content(body)
    how = draw(st.sampled_from(["bytes", "content's bytes", "envelope", "content"]))
    if how == "bytes":
        return vendor, draw(cut(body))
    if how == "content's bytes":
        return vendor, counterpart.wrap(draw(cut(content)), like=body)
    if how == "envelope":
        return vendor, json.dumps(draw(changed_fields(json.loads(body)))).encode()
    values = json.loads(content) if content.startswith(b"{") else {"AppId": "9q", "TaskId": 1}
    return vendor, counterpart.wrap(json.dumps(draw(changed_fields(values))).encode(), like=body)


@st.composite
def cut(draw: st.DrawFn, whole: bytes) -> bytes:
    start, end = sorted((draw(st.integers(0, len(whole))), draw(st.integers(0, len(whole)))))
    return whole[:start] + draw(st.binary(max_size=8)) + whole[end:]


@st.composite
def changed_fields(draw: st.DrawFn, values: dict[str, Any]) -> dict[str, Any]:
    """The object, or one of the objects in it, with other fields."""
    inner = [name for name, value in values.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    name = draw(st.none() | st.sampled_from(inner)) if inner else None
    if name is not None:
        first, *others = values[name]
        return values | {name: [draw(changed_fields(first)), *others]}
    names = sorted(values)
    changed = dict(values)
    for name in draw(st.lists(st.sampled_from(names), max_size=4)):
        changed[name] = draw(ANY_JSON | st.sampled_from([values[other] for other in names]))
    for name in draw(st.lists(st.sampled_from(names), max_size=2)):
        changed.pop(name, None)
    return changed | draw(st.dictionaries(ANY_TEXT, ANY_JSON, max_size=2))


def assert_read_or_unreadable(vendor: str, body: bytes) -> None:
    try:
        events = read(vendor, body)
    except UnreadableDelivery as exc:
        reason = str(exc)
    else:
        assert_storable(events)
        return
    assert "\0" not in reason
    assert len(reason.encode()) < 4096


def assert_accepted_or_refused(vendor: str, came: Incoming) -> None:
    """A vendor that signs may tell by the shape of a delivery that it is forged, or can't be checked at all."""
    if not COUNTERPARTS[vendor].signs:
        assert verify(vendor, came, "right").keys
        return
    try:
        verified = verify(vendor, came, "right")
    except RefusedDelivery as exc:
        assert_names_the_setting_and_no_secret(vendor, exc)
    else:
        assert verified.keys == VENDORS[vendor].keys(came)


@given(vendor=vendors, body=st.binary(max_size=200))
def test_any_bytes_are_read_or_unreadable(vendor: str, body: bytes) -> None:
    assert_read_or_unreadable(vendor, body)
    assert_read_or_unreadable(vendor, COUNTERPARTS[vendor].wrap(body, like=a_body(vendor)))


@given(vendor=vendors, value=ANY_JSON)
def test_any_json_is_read_or_unreadable(vendor: str, value: Any) -> None:
    body = json.dumps(value).encode()
    assert_read_or_unreadable(vendor, body)
    assert_read_or_unreadable(vendor, COUNTERPARTS[vendor].wrap(body, like=a_body(vendor)))


@given(changed=mutated())
def test_any_changed_fixture_is_read_or_unreadable(changed: tuple[str, bytes]) -> None:
    assert_read_or_unreadable(*changed)


@given(changed=mutated(), secret=ANY_TEXT | st.none())
def test_any_changed_delivery_is_accepted_or_refused(changed: tuple[str, bytes], secret: str | None) -> None:
    vendor, body = changed
    assert_accepted_or_refused(vendor, incoming(vendor, body))
    assert VENDORS[vendor].keys(incoming(vendor, body))
    with pytest.raises(RefusedDelivery):
        verify(vendor, incoming(vendor, body, secret), "right")


@given(vendor=vendors, body=st.binary(max_size=200), secret=ANY_TEXT)
def test_any_bytes_are_accepted_with_the_right_proof_only(vendor: str, body: bytes, secret: str) -> None:
    for whole in (body, COUNTERPARTS[vendor].wrap(body, like=a_body(vendor))):
        assert_accepted_or_refused(vendor, incoming(vendor, whole))
        with pytest.raises(RefusedDelivery):
            verify(vendor, incoming(vendor, whole, secret + "x"), "right")
