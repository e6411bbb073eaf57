"""MNS as it pushes a topic's messages, with certificates of our own making; it shares no code with the product."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from handlers.events import Incoming
from handlers.secrets import Secret
from handlers.settings import Account

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = (Path(__file__).parent / "fixtures" / "aliyun" / "FileCreated.json").read_bytes()
NOW = 1_790_000_000_000
MINUTE, DAY = 60_000, 86_400_000
TARGET = "/callbacks/aliyun/lessons/mns-topic"
ADDRESS = "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate.pem"
ACCOUNT = Account(
    name="lessons",
    vendor="aliyun",
    url_tokens=(Secret.literal("right"), Secret.literal("older")),
    topic_owner="1234567890",
    topic_name="recordings",
)


def moment(at: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at / 1000, dt.UTC)


def certificate(
    key: Any, *, begins: int = NOW - DAY, ends: int = NOW + DAY, issuer: Any = None, ca: bool = False
) -> x509.Certificate:
    """Make a certificate, signed by `issuer` (its certificate and key) or by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name if issuer or not ca else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA")]))
        .issuer_name(issuer[0].subject if issuer else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment(begins))
        .not_valid_after(moment(ends))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    signer = issuer[1] if issuer else key
    if issuer:
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(above, critical=False)
    if ca:
        usage = {name: name in {"key_cert_sign", "crl_sign", "digital_signature"} for name in _USAGES}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    return builder.sign(signer, hashes.SHA256())


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def pem(made: x509.Certificate) -> bytes:
    return made.public_bytes(serialization.Encoding.PEM)


MNS = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def envelope(body: bytes, **changed: str) -> bytes:
    told = {
        "TopicOwner": "1234567890",
        "TopicName": "recordings",
        "MessageId": "5F1",
        "Message": body.decode(),
    } | changed
    members = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in told.items())
    return (
        f'<?xml version="1.0"?><Notification xmlns="http://mns.aliyuncs.com/doc/v1/">{members}</Notification>'.encode()
    )


def in_json(body: bytes, **changed: str) -> bytes:
    return json.dumps(
        {"TopicOwner": "1234567890", "TopicName": "recordings", "Message": body.decode()} | changed
    ).encode()


def md5_of_the_hexadecimal(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).hexdigest().encode()).decode()  # noqa: S324 - what MNS sends


def md5_of_the_digest(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()  # noqa: S324 - what MNS sends


@dataclass(frozen=True, kw_only=True)
class Push:
    """What MNS is asked to push."""

    body: bytes = envelope(BODY)
    address: str = ADDRESS
    sent_at: int = NOW
    target: str = TARGET
    content_type: str = "text/xml;charset=utf-8"
    md5: Callable[[bytes], str] = md5_of_the_hexadecimal
    key: rsa.RSAPrivateKey = MNS
    token: str | None = None
    #: as the format SIMPLIFIED has it, in a header
    message_id: str | None = None

    def signed(self) -> Incoming:
        """Sign it as MNS does, and let it arrive at NOW."""
        headers = {
            "host": "reelhook.example.com",
            "content-type": self.content_type,
            "content-md5": self.md5(self.body),
            "date": format_datetime(moment(self.sent_at), usegmt=True),
            "x-mns-version": "2015-06-06",
            "x-mns-request-id": "57458276F0E3D56D7C00054B",
            "x-mns-signing-cert-url": base64.b64encode(self.address.encode()).decode(),
        }
        if self.message_id is not None:
            headers["x-mns-message-id"] = self.message_id
        shown = [headers["content-md5"], self.content_type.lower(), headers["date"]]
        lines = [
            "POST",
            *shown,
            *sorted(f"{name}:{value}" for name, value in headers.items() if name[:6] == "x-mns-"),
            self.target,
        ]
        proof = self.key.sign("\n".join(lines).encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - as MNS
        return Incoming(
            vendor="aliyun",
            account="lessons",
            door="mns-topic",
            received_at=NOW,
            headers=headers | {"authorization": base64.b64encode(proof).decode()},
            body=self.body,
            token=self.token,
            target=self.target,
        )


def fill(folder: Path) -> Path:
    """Lay out what lies on the vendor's hosts, by name."""
    made = {
        "x509_public_certificate.pem": pem(certificate(MNS)),
        "expired.pem": pem(certificate(MNS, ends=NOW - 1000)),
        "future.pem": pem(certificate(MNS, begins=NOW + 1000)),
        "elliptic.pem": pem(certificate(ec.generate_private_key(ec.SECP256R1()))),
        "garbage.pem": b"<html>not a certificate</html>",
        "broken.pem": pem(certificate(MNS))[:400],
        "empty.pem": b"",
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return folder


def reading(store: Path, asked: list[str]) -> Callable[[str], bytes]:
    def fetch(url: str) -> bytes:
        asked.append(url)
        return (store / url.rpartition("/")[2]).read_bytes()

    return fetch
