"""What every vendor promises, asked of each vendor with each of its fixtures."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.errors import RefusedDelivery, UnreadableDelivery
from handlers.events import KINDS, Delivery, Event, Incoming
from handlers.secrets import Secret
from handlers.settings import Account
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HOUSE = Path(__file__).parent.parent
FIXTURES = HOUSE / "tests" / "fixtures"
#: the same names in every vendor's folder; of these a vendor has what it needs
AGREED_FILES = {"__init__.py", "signature.py", "callbacks.py", "sample.py", "api.py", "errors.py", "mns.py"}
NOW = 1_790_000_000_000


@dataclass(frozen=True, kw_only=True)
class Counterpart:
    """How a vendor proves itself: the setting that holds its secrets, and where the proof stands."""

    setting: str

    def account(self, vendor: str, secrets: Sequence[str]) -> Account:
        return Account.model_validate(
            {"name": "school", "vendor": vendor, self.setting: tuple(Secret.literal(secret) for secret in secrets)}
        )

    def incoming(self, vendor: str, body: bytes, secret: str | None) -> Incoming:
        return Incoming(
            vendor=vendor, account="school", door="http", received_at=NOW, headers={}, body=body, token=secret
        )


COUNTERPARTS = {
    "aliyun": Counterpart(setting="url_tokens"),
}


def fixtures_of(vendor: str) -> Mapping[str, tuple[str, ...]]:
    """Return the kinds of each fixture, by its file's name, as its folder's README tells them."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", (FIXTURES / vendor / "README.md").read_text(), re.MULTILINE)
    return {name: tuple(kinds.strip().split(", ")) for name, kinds in rows}


def every_fixture() -> Iterator[Any]:
    for vendor in VENDORS:
        for name, kinds in fixtures_of(vendor).items():
            yield pytest.param(vendor, FIXTURES / vendor / name, kinds, id=f"{vendor}-{name}")


each_vendor = pytest.mark.parametrize("vendor", VENDORS)
each_fixture = pytest.mark.parametrize(("vendor", "path", "kinds"), list(every_fixture()))


def delivery(vendor: str, body: bytes) -> Delivery:
    return Delivery(id="dlv_1", account="school", vendor=vendor, door="http", received_at=NOW, headers={}, body=body)


def read(vendor: str, body: bytes) -> tuple[Event, ...]:
    return tuple(VENDORS[vendor].read(delivery(vendor, body)))


def a_body(vendor: str) -> bytes:
    return (FIXTURES / vendor / next(iter(fixtures_of(vendor)))).read_bytes()


def assert_storable(events: tuple[Event, ...]) -> None:
    """Every engine can keep it: text without NUL or half a surrogate pair, integers of 64 bits, short ids."""
    assert events
    for event in events:
        assert event.kind in KINDS
        for value in leaves(asdict(event)):
            assert value is None or isinstance(value, str | int)
            if isinstance(value, str):
                assert "\0" not in value
                assert len(value.encode()) <= 4096
            if isinstance(value, int):
                assert -(2**63) <= value < 2**63
        if event.task:
            assert all(0 < len(str(value).encode()) <= 512 for value in asdict(event.task).values())
        if event.recording:
            assert event.recording.locator
            assert event.task
        event.fingerprint()


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part)
    else:
        yield value


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


@each_vendor
def test_every_kind_and_every_field_is_documented(vendor: str) -> None:
    text = (HOUSE / "docs" / "vendors" / f"{vendor}.md").read_text()
    documented = set(re.findall(r"`([^`\n]+)`", text))
    kinds = {kind for kinds in fixtures_of(vendor).values() for kind in kinds}
    sample = json.loads(a_body(vendor))
    assert kinds | set(sample) <= documented


# --- reading --------------------------------------------------------------------------------------------------------


@each_fixture
def test_a_fixture_reads_as_the_kinds_that_its_index_tells(vendor: str, path: Path, kinds: tuple[str, ...]) -> None:
    events = read(vendor, path.read_bytes())
    assert tuple(event.kind for event in events) == kinds
    assert all(event.task and event.task.vendor == vendor for event in events)
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

#: Delivery.json() reads these wrongly, or raises a bare ValueError; the mark goes when it is mended
each_sort = pytest.mark.parametrize("sort", list(GARBAGE))


@each_vendor
@each_sort
def test_garbage_is_unreadable_and_nothing_else(vendor: str, sort: str) -> None:
    with pytest.raises(UnreadableDelivery) as caught:
        read(vendor, GARBAGE[sort])
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


def verify(vendor: str, body: bytes, secret: str | None, *secrets: str) -> tuple[tuple[str, ...], int]:
    counterpart = COUNTERPARTS[vendor]
    verified = VENDORS[vendor].verify(counterpart.incoming(vendor, body, secret), counterpart.account(vendor, secrets))
    return verified.keys, verified.secret


@each_fixture
def test_an_authentic_delivery_is_accepted_and_recognised_again(
    vendor: str, path: Path, kinds: tuple[str, ...]
) -> None:
    assert kinds
    keys, secret = verify(vendor, path.read_bytes(), "right", "right")
    assert (keys, secret) == verify(vendor, path.read_bytes(), "right", "right")
    assert keys
    assert all(re.fullmatch(r"[a-z]+:[0-9a-f]{32}", key) for key in keys)
    assert secret == 0


@each_vendor
@each_sort
def test_a_refused_delivery_is_recognised_by_the_same_keys_once_it_is_released(vendor: str, sort: str) -> None:
    for body in (a_body(vendor), GARBAGE[sort]):
        incoming = COUNTERPARTS[vendor].incoming(vendor, body, "wrong")
        assert VENDORS[vendor].keys(incoming) == verify(vendor, body, "right", "right")[0]


@each_vendor
def test_no_two_fixtures_share_a_key(vendor: str) -> None:
    bodies = [(FIXTURES / vendor / name).read_bytes() for name in fixtures_of(vendor)]
    keys = [verify(vendor, body, "right", "right")[0] for body in bodies]
    assert len(set(keys)) == len(bodies)


@each_vendor
@pytest.mark.parametrize("secret", [None, "", "wrong", "righ", "right "])
def test_a_missing_or_wrong_proof_is_refused_and_the_setting_named(vendor: str, secret: str | None) -> None:
    with pytest.raises(RefusedDelivery) as caught:
        verify(vendor, a_body(vendor), secret, "right", "s3cr3t")
    text = str(caught.value)
    assert COUNTERPARTS[vendor].setting in text
    assert "accounts.school" in text
    assert "s3cr3t" not in text
    assert "right" not in text


@each_vendor
def test_keys_rotate_and_the_one_that_matched_is_told(vendor: str) -> None:
    body = a_body(vendor)
    assert verify(vendor, body, "old", "old")[1] == 0
    assert verify(vendor, body, "old", "new", "old")[1] == 1
    assert verify(vendor, body, "new", "new", "old")[1] == 0
    with pytest.raises(RefusedDelivery):
        verify(vendor, body, "old", "new")


@each_vendor
def test_an_account_without_secrets_accepts_nothing(vendor: str) -> None:
    for secret in (None, "", "x"):
        with pytest.raises(RefusedDelivery, match=COUNTERPARTS[vendor].setting):
            verify(vendor, a_body(vendor), secret)


@each_vendor
@each_sort
def test_an_authentic_delivery_is_accepted_whatever_its_body(vendor: str, sort: str) -> None:
    assert verify(vendor, GARBAGE[sort], "right", "right")[0]
    with pytest.raises(RefusedDelivery):
        verify(vendor, GARBAGE[sort], "wrong", "right")


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
    """A fixture of which some fields were dropped, replaced or swapped, or some bytes changed."""
    vendor = draw(vendors)
    body = (FIXTURES / vendor / draw(st.sampled_from(sorted(fixtures_of(vendor))))).read_bytes()
    if draw(st.booleans()):
        start, end = sorted((draw(st.integers(0, len(body))), draw(st.integers(0, len(body)))))
        return vendor, body[:start] + draw(st.binary(max_size=8)) + body[end:]
    values = json.loads(body)
    names = sorted(values)
    for name in draw(st.lists(st.sampled_from(names), max_size=4)):
        values[name] = draw(ANY_JSON | st.sampled_from([values.get(other) for other in names]))
    for name in draw(st.lists(st.sampled_from(names), max_size=2)):
        values.pop(name, None)
    values |= draw(st.dictionaries(ANY_TEXT, ANY_JSON, max_size=2))
    return vendor, json.dumps(values).encode()


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


@given(vendor=vendors, body=st.binary(max_size=200))
def test_any_bytes_are_read_or_unreadable(vendor: str, body: bytes) -> None:
    assert_read_or_unreadable(vendor, body)


@given(vendor=vendors, value=ANY_JSON)
def test_any_json_is_read_or_unreadable(vendor: str, value: Any) -> None:
    assert_read_or_unreadable(vendor, json.dumps(value).encode())


@given(changed=mutated())
def test_any_changed_fixture_is_read_or_unreadable(changed: tuple[str, bytes]) -> None:
    assert_read_or_unreadable(*changed)


@given(changed=mutated(), secret=ANY_TEXT | st.none() | st.just("right"))
def test_any_changed_delivery_is_accepted_or_refused(changed: tuple[str, bytes], secret: str | None) -> None:
    vendor, body = changed
    if secret == "right":
        assert verify(vendor, body, secret, "right")[0]
        return
    with pytest.raises(RefusedDelivery):
        verify(vendor, body, secret, "right")


@given(vendor=vendors, body=st.binary(max_size=200), secret=ANY_TEXT)
def test_any_bytes_are_accepted_with_the_right_proof_only(vendor: str, body: bytes, secret: str) -> None:
    with pytest.raises(RefusedDelivery):
        verify(vendor, body, secret + "x", "right")
    assert verify(vendor, body, "right", "right")[0]
