"""How each vendor proves that a delivery is its own: what the contract test needs to play every vendor."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.events import KINDS, Delivery, Event, Incoming
from handlers.secrets import Secret
from handlers.settings import Account
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from handlers.errors import RefusedDelivery
    from handlers.vendor import Verified

FIXTURES = Path(__file__).parent / "fixtures"
_SIGNED = ("EventType", "EventData", "EventTime", "EventId", "AppId", "Version")
NOW = 1_790_000_000_000


class Counterpart:
    """One vendor as a sender; here: one that can't sign, so that its URL holds a token."""

    vendor: str
    #: the account's key that holds the secrets
    setting = "url_tokens"
    #: the account's key that bounds the age of a delivery, where its proof tells a time
    age_setting: str | None = None
    #: the proof covers the body
    signs = False
    #: the proof stands inside the body, so that what is no envelope can't be checked
    proof_in_body = False

    def __init__(self, vendor: str) -> None:
        self.vendor = vendor

    def account(self, secrets: Sequence[str], **more: object) -> Account:
        """Return an account with these secrets."""
        known = tuple(Secret.literal(secret) for secret in secrets)
        return Account.model_validate({"name": "school", "vendor": self.vendor, self.setting: known, **more})

    def content(self, body: bytes) -> bytes:
        """Return what the vendor tells, without its envelope."""
        return body

    def wrap(self, content: bytes, like: bytes) -> bytes:  # noqa: ARG002 - for those that have an envelope
        """Return the body with other content, its proof as it was."""
        return content

    def incoming(self, body: bytes, secret: str | None) -> Incoming:
        """Return the body as it arrives, proved with this secret; None is without any proof."""
        return self._plain(body, token=secret)

    def spoilt(self, incoming: Incoming) -> Mapping[str, Incoming]:
        """Return the delivery with its proof spoilt, by the name of what was done to it."""
        token = incoming.token or ""
        spoilt = {"cut short": token[:-1], "longer": token + "x", "in capitals": token.upper(), "empty": ""}
        return {name: replace(incoming, token=value) for name, value in spoilt.items()}

    def _plain(self, body: bytes, *, headers: Mapping[str, str] | None = None, token: str | None = None) -> Incoming:
        return Incoming(
            vendor=self.vendor,
            account="school",
            door="http",
            received_at=NOW,
            headers=headers or {},
            body=body,
            token=token,
        )


class Huawei(Counterpart):
    """The signature and what it covers beside the body stand in headers."""

    setting = "callback_secrets"
    age_setting = "max_skew"
    signs = True

    def incoming(self, body: bytes, secret: str | None) -> Incoming:
        """Return the body as it arrives, signed with this secret."""
        if secret is None:
            return self._plain(body)
        signed = {"x-rtc-rand": "8f14e45fceea167a", "x-rtc-timestamp": str(NOW)}
        text = "".join(signed.values()).encode() + body
        digest = hmac.new(secret.encode("utf-8", "surrogatepass"), text, hashlib.sha256).hexdigest()
        return self._plain(body, headers={**signed, "x-rtc-signature": digest})

    def spoilt(self, incoming: Incoming) -> Mapping[str, Incoming]:
        """Return the delivery with one of its three headers spoilt."""
        signature = incoming.headers["x-rtc-signature"]
        spoilt = {
            "cut short": {"x-rtc-signature": signature[:-1]},
            "longer": {"x-rtc-signature": signature + "0"},
            "no hexadecimal": {"x-rtc-signature": "z" * 64},
            "empty": {"x-rtc-signature": ""},
            "another time": {"x-rtc-timestamp": str(NOW + 1)},
            "another rand": {"x-rtc-rand": "9f14e45fceea167a"},
            "no rand": {"x-rtc-rand": ""},
        }
        return {name: replace(incoming, headers={**incoming.headers, **put}) for name, put in spoilt.items()}


class Volcengine(Counterpart):
    """The signature stands in the body, an envelope of JSON, and covers other values of it."""

    setting = "callback_secrets"
    age_setting = "max_age"
    signs = True
    proof_in_body = True

    def content(self, body: bytes) -> bytes:
        """Return the text of EventData."""
        return str(json.loads(body)["EventData"]).encode()

    def wrap(self, content: bytes, like: bytes) -> bytes:
        """Return the envelope with other data, as text; what is no UTF-8 is one character a byte."""
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        return json.dumps(json.loads(like) | {"EventData": text}).encode()

    def incoming(self, body: bytes, secret: str | None) -> Incoming:
        """Return the envelope signed anew with this secret; what is no envelope can't be signed."""
        try:
            envelope = json.loads(body)
            values = [envelope[name] for name in _SIGNED]
            values.append(envelope.get("Nonce") or envelope["Noce"])
            text = "".join(sorted([*values, secret or ""])).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError, LookupError, TypeError):
            return self._plain(body)
        signature = {} if secret is None else {"Signature": hashlib.sha256(text).hexdigest()}
        unsigned = {name: value for name, value in envelope.items() if name != "Signature"}
        return self._plain(json.dumps(unsigned | signature).encode())

    def spoilt(self, incoming: Incoming) -> Mapping[str, Incoming]:
        """Return the envelope with its signature or one of the signed values spoilt."""
        envelope = json.loads(incoming.body)
        signature, event_id = envelope["Signature"], envelope["EventId"]
        spoilt: dict[str, dict[str, str | None]] = {
            "cut short": {"Signature": signature[:-1]},
            "longer": {"Signature": signature + "0"},
            "in capitals": {"Signature": signature.upper()},
            "not ASCII": {"Signature": "é" * 64},
            "empty": {"Signature": ""},
            "null": {"Signature": None},
            "another nonce": {"Nonce": "zzzz"},
            "no nonce": {"Nonce": None},
            "another id": {"EventId": event_id + "0"},
            "another time": {"EventTime": "2030-01-01T00:00:00Z"},
            "another app": {"AppId": "another"},
            "another word": {"EventType": "RecordStarted"},
            "another version": {"Version": "2023-11-01"},
        }
        return {name: replace(incoming, body=json.dumps(envelope | put).encode()) for name, put in spoilt.items()}


_EVERY = (
    Counterpart("aliyun"),
    Volcengine("volcengine"),
    Huawei("huawei"),
)
#: every vendor of VENDORS has one
COUNTERPARTS: Mapping[str, Counterpart] = {one.vendor: one for one in _EVERY}


def fixtures_of(vendor: str) -> Mapping[str, tuple[str, ...]]:
    """Return the kinds of each fixture, by its file's name, as its folder's README tells them."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", (FIXTURES / vendor / "README.md").read_text(), re.MULTILINE)
    return {name: tuple(kinds.strip().split(", ")) for name, kinds in rows}


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


def verify(vendor: str, incoming: Incoming, *secrets: str, **more: object) -> Verified:
    return VENDORS[vendor].verify(incoming, COUNTERPARTS[vendor].account(secrets, **more))


def incoming(vendor: str, body: bytes, secret: str | None = "right") -> Incoming:
    return COUNTERPARTS[vendor].incoming(body, secret)


def assert_names_the_setting_and_no_secret(vendor: str, error: RefusedDelivery, *settings: str | None) -> None:
    text = str(error)
    assert "accounts.school" in text
    assert any(setting in text for setting in (COUNTERPARTS[vendor].setting, *settings) if setting)
    assert "s3cr3t" not in text
    assert "right" not in text
